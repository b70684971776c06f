//! `GenerateGeodatabaseParameters` and its `GenerateLayerOption`s.

use super::service::{FeatureService, geometry_type};
use offmap_engine::{AreaOfInterest, AttachmentSyncDirection, Failure, SpatialReference};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Which rows of a layer come down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GenerateLayerQueryOption {
    /// Every row; where clause and geometry are ignored.
    All,
    /// None by itself; with `include_related` those related to rows of other layers.
    None,
    /// Rows that meet the where clause and, with `use_geometry`, the area.
    #[default]
    UseFilter,
}

/// What comes down of one layer of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenerateLayerOption {
    /// The service's layer id.
    pub layer_id: u32,
    /// Which rows.
    #[serde(default)]
    pub query_option: GenerateLayerQueryOption,
    /// SQL, or empty.
    #[serde(default)]
    pub where_clause: String,
    /// Whether the area filters.
    #[serde(default = "yes")]
    pub use_geometry: bool,
    /// Whether related rows come too; only with [`GenerateLayerQueryOption::None`].
    #[serde(default)]
    pub include_related: bool,
}

fn yes() -> bool {
    true
}

/// How the service keeps the replica's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SyncModel {
    /// No replica is registered.
    None,
    /// One generation for the whole geodatabase (`perReplica`).
    Geodatabase,
    /// One generation for each layer (`perLayer`).
    #[default]
    Layer,
}

/// Utility networks are not taken offline by offmap; the type is there for the SDK's shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UtilityNetworkSyncMode {
    /// None.
    #[default]
    None,
}

/// What is taken of a feature service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenerateGeodatabaseParameters {
    /// The area: an envelope or polygon.
    pub extent: AreaOfInterest,
    /// One option for each layer and table that comes. A layer without option stays out.
    pub layer_options: Vec<GenerateLayerOption>,
    /// Reference of the geometries in the geodatabase; `None` for the service's own.
    #[serde(default)]
    pub out_spatial_reference: Option<SpatialReference>,
    /// Whether attachments come down.
    #[serde(default)]
    pub return_attachments: bool,
    /// Which way attachments travel later; only sent where the service knows it.
    #[serde(default = "no_direction")]
    pub attachment_sync_direction: AttachmentSyncDirection,
    /// How the replica is registered.
    #[serde(default)]
    pub sync_model: SyncModel,
    /// Whether contingent values come down where the service has them.
    #[serde(default = "yes")]
    pub should_sync_contingent_values: bool,
    /// Utility networks.
    #[serde(default)]
    pub utility_network_sync_mode: UtilityNetworkSyncMode,
    /// The bit set of `createReplica`'s `syncDataOptions`, as the map's author may set it; bits that the service does not offer
    /// are left out. `None` asks for contingent values and attribute rules where there are some. offmap's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_data_options: Option<u32>,
}

fn no_direction() -> AttachmentSyncDirection {
    AttachmentSyncDirection::None
}

/// Bits of `syncDataOptions` that are asked for whenever the service offers them: contingent values, attribute rules.
const CONTINGENT_VALUES: u32 = 4;
const ATTRIBUTE_RULES: u32 = 8;

impl GenerateGeodatabaseParameters {
    pub(super) fn check(&self, service: &FeatureService) -> Result<(), Failure> {
        self.extent.check()?;
        let mut seen = HashSet::new();
        for option in &self.layer_options {
            if !service.layers.contains_key(&option.layer_id) {
                let known: Vec<u32> = service.layers.keys().copied().collect();
                return Err(Failure::invalid_parameter(format!(
                    "layerOptions names layer {} of {}, which the map does not use; it uses {known:?}",
                    option.layer_id, service.root
                )));
            }
            if !seen.insert(option.layer_id) {
                return Err(Failure::invalid_parameter(format!("layerOptions names layer {} twice", option.layer_id)));
            }
        }
        if self.sync_model == SyncModel::None && !service.sync.none {
            return Err(Failure::not_supported(format!(
                "{} cannot make a geodatabase without registering a replica (supportsSyncModelNone)",
                service.root
            )));
        }
        Ok(())
    }

    /// `layerQueries`: only the layers that differ from the default are named.
    fn layer_queries(&self) -> Map<String, Value> {
        let mut queries = Map::new();
        for o in &self.layer_options {
            let query = match o.query_option {
                GenerateLayerQueryOption::UseFilter if o.where_clause.is_empty() && o.use_geometry => continue,
                GenerateLayerQueryOption::UseFilter if o.where_clause.is_empty() => {
                    json!({"queryOption": "useFilter", "useGeometry": o.use_geometry, "includeRelated": o.include_related})
                }
                GenerateLayerQueryOption::UseFilter => json!({"queryOption": "useFilter", "where": o.where_clause,
                    "useGeometry": o.use_geometry, "includeRelated": o.include_related}),
                GenerateLayerQueryOption::All => json!({"queryOption": "all", "useGeometry": false}),
                GenerateLayerQueryOption::None => {
                    json!({"queryOption": "none", "useGeometry": false, "includeRelated": o.include_related})
                }
            };
            queries.insert(o.layer_id.to_string(), query);
        }
        queries
    }

    /// The form of `createReplica` (reference §3), parameter by parameter.
    pub(super) fn form(&self, service: &FeatureService, replica_name: &str) -> Vec<(&'static str, String)> {
        let extent = self.extent.for_wire();
        let ids: Vec<String> = self.layer_options.iter().map(|o| o.layer_id.to_string()).collect();
        let reference = extent.spatial_reference().cloned().unwrap_or_default();
        let model = match self.sync_model {
            SyncModel::None => "none",
            SyncModel::Layer if service.sync.per_layer => "perLayer",
            SyncModel::Geodatabase | SyncModel::Layer => "perReplica",
        };
        let mut form = vec![
            ("replicaName", replica_name.to_owned()),
            ("layers", ids.join(",")),
            ("geometry", json!(extent).to_string()),
            ("geometryType", geometry_type(&extent).to_owned()),
            ("inSR", json!(reference).to_string()),
            ("replicaSR", json!(self.out_spatial_reference.as_ref().unwrap_or(&reference)).to_string()),
            ("transportType", "esriTransportTypeUrl".to_owned()),
            ("returnAttachments", self.return_attachments.to_string()),
            ("async", service.sync.is_async.to_string()),
            ("syncModel", model.to_owned()),
            ("dataFormat", "sqlite".to_owned()),
        ];
        if self.sync_model != SyncModel::None {
            let direction = if service.editable { "bidirectional" } else { "download" };
            form.push(("targetType", "client".to_owned()));
            form.push(("syncDirection", direction.to_owned()));
        }
        if service.unknown_time_zone {
            form.push(("timeReferenceUnknownClient", "true".to_owned()));
        }
        let queries = self.layer_queries();
        if !queries.is_empty() {
            form.push(("layerQueries", Value::Object(queries).to_string()));
        }
        if service.sync.attachments_direction {
            let word = match self.attachment_sync_direction {
                AttachmentSyncDirection::None => "none",
                AttachmentSyncDirection::Upload => "upload",
                AttachmentSyncDirection::Bidirectional => "bidirectional",
            };
            form.push(("attachmentsSyncDirection", word.to_owned()));
        }
        let contingent = if self.should_sync_contingent_values { CONTINGENT_VALUES } else { 0 };
        let wanted = self.sync_data_options.unwrap_or(contingent | ATTRIBUTE_RULES) & service.sync.data_options.unwrap_or(0);
        if wanted != 0 {
            form.push(("replicaOptions", json!({"syncDataOptions": wanted}).to_string()));
        }
        form
    }
}
