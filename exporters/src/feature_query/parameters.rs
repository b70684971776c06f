//! `FeatureQueryParameters`.

use super::out_fields;
use super::service::QueriedService;
use crate::feature_service::layer_option::GenerateLayerOption;
use crate::feature_service::layer_option::check_options;
use offmap_model::{AreaOfInterest, Failure, SpatialReference};
use serde::{Deserialize, Serialize};

/// What is asked of a feature or map service whose rows come page by page. The SDK has no such exporter; the names are those of
/// `GenerateGeodatabaseParameters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureQueryParameters {
    /// The area: an envelope or polygon.
    pub extent: AreaOfInterest,
    /// One option for each layer and table that comes. A layer without option stays out.
    pub layer_options: Vec<GenerateLayerOption>,
    /// Reference of the geometries; `None` for the extent's.
    #[serde(default)]
    pub out_spatial_reference: Option<SpatialReference>,
    /// Whether attachments come along.
    #[serde(default)]
    pub return_attachments: bool,
    /// Most bytes of attachments of each layer, the smallest ones first; those that do not fit are named as missing. `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "max_attachment_bytes")]
    pub max_attachment_bytes: Option<u64>,
    /// The fields that come, of each layer those that it has, in any letter case; `None` for all. Object id, global id, shape and the keys
    /// of relationships come always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_fields: Option<Vec<String>>,
}

offmap_model::number_fields! { max_attachment_bytes: Option<u64> = "maxAttachmentBytes" }

impl FeatureQueryParameters {
    pub(super) fn check(&self, service: &QueriedService) -> Result<(), Failure> {
        check_options(&self.extent, &self.layer_options, &service.service)?;
        let layers: Vec<u32> = self.layer_options.iter().map(|option| option.layer_id).collect();
        out_fields::check(service, &layers, self.out_fields.as_deref().unwrap_or_default())
    }

    /// The spatial reference that shapes come in.
    pub(super) fn reference(&self) -> SpatialReference {
        let own = self.out_spatial_reference.clone();
        own.or_else(|| self.extent.spatial_reference().cloned()).unwrap_or_else(SpatialReference::wgs84)
    }
}
