//! `GenerateGeodatabaseParameters` and its `GenerateLayerOption`s.

use crate::feature_service::layer_option::{GenerateLayerOption, GenerateLayerQueryOption, check_options};
use crate::feature_service::service::FeatureService;
use offmap_model::{AreaOfInterest, AttachmentSyncDirection, Failure, SpatialReference};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// What of a service's utility network comes down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UtilityNetworkSyncMode {
    /// Nothing.
    #[default]
    None,
    /// The system tables: associations can be asked for offline.
    SyncSystemTables,
    /// The topology, too: the network can be traced offline.
    SyncSystemAndTopologyTables,
}

fn yes() -> bool {
    true
}

/// What is taken of a feature service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenerateGeodatabaseParameters {
    /// The area: an envelope or polygon.
    pub extent: AreaOfInterest,
    /// One option for each layer and table that comes. A layer without option stays out.
    pub layer_options: Vec<GenerateLayerOption>,
    /// Reference of the geometries in the geodatabase; `None` for the extent's.
    #[serde(default)]
    pub out_spatial_reference: Option<SpatialReference>,
    /// Whether attachments come down.
    #[serde(default)]
    pub return_attachments: bool,
    /// Which way attachments travel later; only sent where the service knows it. `None` follows `return_attachments`: bidirectional
    /// with them, none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment_sync_direction: Option<AttachmentSyncDirection>,
    /// How the replica is registered.
    #[serde(default)]
    pub sync_model: SyncModel,
    /// Whether annotations come down where the service offers them.
    #[serde(default = "yes")]
    pub sync_annotations: bool,
    /// Whether dimensions come down where the service offers them.
    #[serde(default = "yes")]
    pub sync_dimensions: bool,
    /// Whether contingent values come down where the service has them.
    #[serde(default = "yes", alias = "shouldSyncContingentValues")]
    pub sync_contingent_values: bool,
    /// Whether attribute rules come down where the service has them.
    #[serde(default = "yes")]
    pub sync_attribute_rules: bool,
    /// Utility networks.
    #[serde(default)]
    pub utility_network_sync_mode: UtilityNetworkSyncMode,
    /// Bits of `createReplica`'s `syncDataOptions` that are asked for beside those that follow from the parameters, as the map's
    /// author may set them; bits that the service does not offer are left out. offmap's own.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "sync_data_options")]
    pub sync_data_options: Option<u32>,
}

offmap_model::number_fields! { sync_data_options: Option<u32> = "syncDataOptions" }

impl GenerateGeodatabaseParameters {
    pub(super) fn check(&self, service: &FeatureService) -> Result<(), Failure> {
        check_options(&self.extent, &self.layer_options, service)?;
        self.check_direction()?;
        if self.sync_model == SyncModel::None && !service.sync.none {
            return Err(Failure::not_supported(format!(
                "{} cannot make a geodatabase without registering a replica (supportsSyncModelNone)",
                service.root
            )));
        }
        Ok(())
    }

    /// Source: API reference B.5: with attachments bidirectional or upload, without none or upload.
    fn check_direction(&self) -> Result<(), Failure> {
        use AttachmentSyncDirection as D;
        let (with, word, fitting) = match (self.return_attachments, self.direction()) {
            (true, D::None) => ("true", "none", "`upload` or `bidirectional`"),
            (false, D::Bidirectional) => ("false", "bidirectional", "`none` or `upload`"),
            _ => return Ok(()),
        };
        Err(Failure::invalid_parameter(format!(
            "attachmentSyncDirection is `{word}` with returnAttachments {with}; it goes with {fitting}, or leave it out"
        )))
    }

    /// Which way attachments travel.
    #[must_use]
    pub fn direction(&self) -> AttachmentSyncDirection {
        self.attachment_sync_direction.unwrap_or(match self.return_attachments {
            true => AttachmentSyncDirection::Bidirectional,
            false => AttachmentSyncDirection::None,
        })
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

    /// The form of `createReplica` (reference §3), parameter by parameter. Bits that the service does not offer are not asked for.
    pub(super) fn form(
        &self,
        service: &FeatureService,
        replica_name: &str,
        sync_data_options: u32,
    ) -> Vec<(&'static str, String)> {
        let extent = self.extent.for_wire();
        let ids: Vec<String> = self.layer_options.iter().map(|o| o.layer_id.to_string()).collect();
        let spatial_reference = extent.spatial_reference().cloned().unwrap_or_default();
        let model = match self.sync_model {
            SyncModel::None => "none",
            SyncModel::Layer if service.sync.per_layer => "perLayer",
            SyncModel::Geodatabase if service.sync.per_layer && !service.sync.per_replica => "perLayer",
            SyncModel::Geodatabase | SyncModel::Layer => "perReplica",
        };
        let mut form = vec![
            ("replicaName", replica_name.to_owned()),
            ("layers", ids.join(",")),
            ("geometry", json!(extent).to_string()),
            ("geometryType", extent.geometry_type().to_owned()),
            ("inSR", json!(spatial_reference).to_string()),
            ("replicaSR", json!(self.out_spatial_reference.as_ref().unwrap_or(&spatial_reference)).to_string()),
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
            let word = match self.direction() {
                AttachmentSyncDirection::None => "none",
                AttachmentSyncDirection::Upload => "upload",
                AttachmentSyncDirection::Bidirectional => "bidirectional",
            };
            form.push(("attachmentsSyncDirection", word.to_owned()));
        }
        let wanted = sync_data_options & service.sync.data_options.unwrap_or(0);
        if wanted != 0 {
            form.push(("replicaOptions", json!({"syncDataOptions": wanted}).to_string()));
        }
        form
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::LayerSecrets;

    #[test]
    fn a_sync_model_that_the_service_lacks_is_not_asked_for() {
        let extent = json!({"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "spatialReference": {"wkid": 4326}});
        let model = |wanted: &str, capabilities: Value| {
            let answer =
                json!({"layers": [], "capabilities": "Query,Sync", "syncEnabled": true, "syncCapabilities": capabilities});
            let service =
                FeatureService::read("https://h/S/FeatureServer", &answer, &LayerSecrets::default()).expect("reads");
            let parameters = json!({"extent": extent, "layerOptions": [], "syncModel": wanted});
            let parameters: GenerateGeodatabaseParameters = serde_json::from_value(parameters).expect("reads");
            let form = parameters.form(&service, "r", 0);
            form.into_iter().find(|(key, _)| *key == "syncModel").map(|(_, value)| value).expect("a model")
        };
        // Absent means no for layers and yes for replicas (feature service reference §2.1).
        assert_eq!(model("layer", json!({})), "perReplica");
        assert_eq!(model("layer", json!({"supportsPerLayerSync": true})), "perLayer");
        assert_eq!(model("geodatabase", json!({"supportsPerLayerSync": true})), "perReplica");
        assert_eq!(model("geodatabase", json!({"supportsPerLayerSync": true, "supportsPerReplicaSync": false})), "perLayer");
        assert_eq!(model("none", json!({})), "none");
    }
}
