//! `GenerateOfflineMapParameters`: what the caller wants, with the defaults of the ArcGIS Maps SDK.
//!
//! Source: ArcGIS Maps SDK reference, class `GenerateOfflineMapParameters` (100.15, 200.x).

use crate::area::AreaOfInterest;
use crate::budget::ErrorBudget;
use crate::direct_hosts::DirectDownloadHosts;
use crate::failure::Failure;
use crate::item::OfflineMapItemInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which layers' attachments are downloaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReturnLayerAttachmentOption {
    /// None.
    None,
    /// All layers'.
    #[default]
    AllLayers,
    /// Those of layers that can only be read.
    ReadOnlyLayers,
    /// Those of layers that can be edited.
    EditableLayers,
}

/// Which way attachments travel when the offline map is synchronised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttachmentSyncDirection {
    /// Neither.
    None,
    /// To the service only.
    Upload,
    /// Both.
    #[default]
    Bidirectional,
}

/// Which rows of a related table are downloaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DestinationTableRowFilter {
    /// All rows.
    All,
    /// Rows that are related to exported rows of other layers.
    #[default]
    RelatedOnly,
}

/// Whether layers are downloaded tile by tile and page by page from services that do not export them. offmap's own: the SDK never does.
///
/// ```
/// use offmap_model::DirectDownload;
///
/// let read: DirectDownload = serde_json::from_str(r#""whenNotExportable""#)?;
/// assert_eq!(read, DirectDownload::WhenNotExportable);
/// assert_eq!(DirectDownload::default(), DirectDownload::Never);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DirectDownload {
    /// No exporter that downloads directly is asked.
    #[default]
    Never,
    /// They are asked for a layer that no other exporter can export.
    WhenNotExportable,
    /// They are asked first.
    Always,
}

/// What happens to layers that have no offline form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnlineOnlyServicesOption {
    /// Left out.
    #[default]
    Exclude,
    /// Kept with their online url.
    Include,
    /// As the map's author says.
    UseAuthoredSettings,
}

/// Whether the offline map can be synchronised later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GenerateOfflineMapUpdateMode {
    /// Replicas are registered on the services.
    #[default]
    SyncWithFeatureServices,
    /// No replica is registered.
    NoUpdates,
}

/// Which of Esri's two vector tile export services is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EsriVectorTilesDownloadOption {
    /// The service of the map.
    #[default]
    UseOriginalService,
    /// The one with fewer fonts.
    UseReducedFontsService,
}

/// What the failure of one layer means for the job. offmap's own: the SDK knows `continueOnErrors` for all layers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LayerImportance {
    /// Without it the package is of no use: its failure stops the job.
    Required,
    /// The package is of use without it: its failure never stops the job.
    Optional,
}

/// What the caller wants of an offline map.
///
/// As JSON: camelCase, enum values in the SDK's spelling, every key but `areaOfInterest` optional, unknown keys refused.
///
/// ```
/// use offmap_model::{AreaOfInterest, GenerateOfflineMapParameters};
///
/// let mut parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8")?);
/// // Scale denominators: the far limit is the larger number.
/// (parameters.min_scale, parameters.max_scale) = (1_000_000.0, 25_000.0);
/// parameters.check()?;
/// parameters.max_scale = 2_000_000.0;
/// assert!(parameters.check().is_err());
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenerateOfflineMapParameters {
    /// The area, with a spatial reference. Also the offline map's extent.
    pub area_of_interest: AreaOfInterest,
    /// Far limit of raster tile levels as a scale denominator, the larger number; 0 for all the way out.
    ///
    /// Not applied to vector tiles or geodatabases.
    #[serde(default)]
    pub min_scale: f64,
    /// Near limit of raster and vector tile levels as a scale denominator, the smaller number; 0 for the most detailed.
    ///
    /// Not applied to geodatabases.
    #[serde(default)]
    pub max_scale: f64,
    /// Whether basemap layers are exported.
    #[serde(default = "yes")]
    pub include_basemap: bool,
    /// Metadata of the package; `None` copies the portal item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_info: Option<OfflineMapItemInfo>,
    /// Which way attachments travel later.
    #[serde(default)]
    pub attachment_sync_direction: AttachmentSyncDirection,
    /// Which layers' attachments are downloaded.
    #[serde(default)]
    pub return_layer_attachment_option: ReturnLayerAttachmentOption,
    /// Whether editable layers come without rows.
    #[serde(default)]
    pub return_schema_only_for_editable_layers: bool,
    /// Whether the failure of a layer leaves the rest going (the SDK's default).
    #[serde(default = "yes")]
    pub continue_on_errors: bool,
    /// Whether a layer's definition expression filters what comes down.
    #[serde(default = "yes")]
    pub definition_expression_filter_enabled: bool,
    /// Which rows of related tables come down.
    #[serde(default)]
    pub destination_table_row_filter: DestinationTableRowFilter,
    /// File name of a basemap already on the device.
    #[serde(default)]
    pub reference_basemap_filename: String,
    /// Its directory, absolute or relative to the parent directory of the package.
    #[serde(default)]
    pub reference_basemap_directory: String,
    /// What happens to layers without an offline form.
    #[serde(default)]
    pub online_only_services_option: OnlineOnlyServicesOption,
    /// Whether the offline map can be synchronised later.
    #[serde(default)]
    pub update_mode: GenerateOfflineMapUpdateMode,
    /// Which of Esri's vector tile export services is used.
    #[serde(default)]
    pub esri_vector_tiles_download_option: EsriVectorTilesDownloadOption,
    /// Whether layers are downloaded directly where their services do not export them; per layer in the overrides. offmap's own.
    #[serde(default)]
    pub direct_download: DirectDownload,
    /// Whether layers that their services draw on demand (dynamic map and image services, WMS) are drawn tile by tile; per layer in the
    /// overrides. offmap's own.
    #[serde(default)]
    pub draw_tiles: bool,
    /// Hosts that may be downloaded from directly though their terms are known to forbid it, and further ones that forbid it. offmap's own.
    #[serde(default, skip_serializing_if = "DirectDownloadHosts::is_empty")]
    pub direct_download_hosts: DirectDownloadHosts,
    /// Layers and tables, by id, whose failure stops the job or never does, whatever `continue_on_errors` says of the others.
    /// offmap's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layer_importance: BTreeMap<String, LayerImportance>,
    /// How much of a layer or table, by id, may be missing without its being a failure. offmap's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub error_budgets: BTreeMap<String, ErrorBudget>,
}

fn yes() -> bool {
    true
}

impl GenerateOfflineMapParameters {
    /// The defaults for an area.
    #[must_use]
    pub fn new(area: impl Into<AreaOfInterest>) -> Self {
        Self {
            area_of_interest: area.into(),
            min_scale: 0.0,
            max_scale: 0.0,
            include_basemap: true,
            item_info: None,
            attachment_sync_direction: AttachmentSyncDirection::default(),
            return_layer_attachment_option: ReturnLayerAttachmentOption::default(),
            return_schema_only_for_editable_layers: false,
            continue_on_errors: true,
            definition_expression_filter_enabled: true,
            destination_table_row_filter: DestinationTableRowFilter::default(),
            reference_basemap_filename: String::new(),
            reference_basemap_directory: String::new(),
            online_only_services_option: OnlineOnlyServicesOption::default(),
            update_mode: GenerateOfflineMapUpdateMode::default(),
            esri_vector_tiles_download_option: EsriVectorTilesDownloadOption::default(),
            direct_download: DirectDownload::default(),
            draw_tiles: false,
            direct_download_hosts: DirectDownloadHosts::default(),
            layer_importance: BTreeMap::new(),
            error_budgets: BTreeMap::new(),
        }
    }

    /// Whether the failure of a layer or table stops the job.
    #[must_use]
    pub fn stops_at(&self, layer: &str) -> bool {
        match self.layer_importance.get(layer) {
            Some(LayerImportance::Required) => true,
            Some(LayerImportance::Optional) => false,
            None => !self.continue_on_errors,
        }
    }

    /// Checks values that can be judged without asking any service.
    ///
    /// # Errors
    /// The first parameter that cannot be used, by name.
    pub fn check(&self) -> Result<(), Failure> {
        self.check_values()?;
        self.check_attachments()
    }

    /// Each value by itself.
    pub(super) fn check_values(&self) -> Result<(), Failure> {
        self.area_of_interest.check()?;
        for (name, scale) in [("minScale", self.min_scale), ("maxScale", self.max_scale)] {
            if !scale.is_finite() || scale < 0.0 {
                return Err(Failure::invalid_parameter(format!(
                    "{name} is {scale}; it is a scale denominator such as 50000, or 0 for no limit"
                )));
            }
        }
        if self.min_scale > 0.0 && self.max_scale > 0.0 && self.min_scale <= self.max_scale {
            return Err(Failure::invalid_parameter(format!(
                "minScale {} is not above maxScale {}; minScale is the far limit and the larger number, for instance 100000 to 500",
                self.min_scale, self.max_scale
            )));
        }
        self.direct_download_hosts.check()?;
        for (layer, budget) in &self.error_budgets {
            budget.check(layer)?;
        }
        Ok(())
    }

    /// Source: ArcGIS Maps SDK reference, `attachmentSyncDirection` and `returnLayerAttachmentOption`.
    pub(super) fn check_attachments(&self) -> Result<(), Failure> {
        use AttachmentSyncDirection as D;
        use ReturnLayerAttachmentOption as O;
        let valid = match self.return_layer_attachment_option {
            O::None => self.attachment_sync_direction != D::Bidirectional,
            O::AllLayers => self.attachment_sync_direction != D::None,
            O::ReadOnlyLayers | O::EditableLayers => true,
        };
        if valid {
            return Ok(());
        }
        Err(Failure::invalid_parameter(match self.return_layer_attachment_option {
            O::None => {
                "returnLayerAttachmentOption `none` goes with attachmentSyncDirection `none` or `upload`, not `bidirectional`"
            }
            _ => {
                "returnLayerAttachmentOption `allLayers` goes with attachmentSyncDirection `upload` or `bidirectional`, not `none`"
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: &str = r#""areaOfInterest":{"xmin":5,"ymin":45,"xmax":10,"ymax":48,"spatialReference":{"wkid":4326}}"#;

    fn refused(rest: &str) -> String {
        GenerateOfflineMapParameters::from_json(&format!("{{{AREA}{rest}}}")).expect_err("refused").message
    }

    #[test]
    fn the_defaults_are_the_sdk_s() {
        let p = GenerateOfflineMapParameters::from_json(&format!("{{{AREA}}}")).expect("reads");
        assert_eq!(p, GenerateOfflineMapParameters::new(p.area_of_interest.clone()));
        assert!(p.continue_on_errors && p.include_basemap && p.definition_expression_filter_enabled);
        assert!(p.min_scale == 0.0 && p.max_scale == 0.0);
        assert_eq!(p.destination_table_row_filter, DestinationTableRowFilter::RelatedOnly);
        assert_eq!(p.update_mode, GenerateOfflineMapUpdateMode::SyncWithFeatureServices);
        let json = serde_json::to_value(&p).expect("writes");
        assert_eq!(json["returnLayerAttachmentOption"], "allLayers");
        assert_eq!(json["attachmentSyncDirection"], "bidirectional");
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        assert!(refused(r#","minscale":5"#).contains("unknown field `minscale`"));
        assert!(refused(r#","minScale":500,"maxScale":1000"#).contains("minScale 500 is not above maxScale 1000"));
        assert!(refused(r#","minScale":500,"maxScale":500"#).contains("not above"));
        assert!(refused(r#","maxScale":-1"#).contains("maxScale is -1"));
        assert!(refused(r#","updateMode":"sometimes""#).contains("sometimes"));
        assert!(
            refused(r#","returnLayerAttachmentOption":"none","attachmentSyncDirection":"bidirectional""#)
                .contains("not `bidirectional`")
        );
        assert!(refused(r#","attachmentSyncDirection":"none""#).contains("not `none`"));
        assert!(refused(r#","esriVectorTilesDownloadOption":"smallFonts""#).contains("smallFonts"));
        assert!(refused(r#","itemInfo":{"thumbnail":"data:image/png;base64,AAAA"}"#).contains("neither a PNG nor a JPEG"));
    }
}
