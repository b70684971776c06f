//! Feature layers and tables as a geodatabase replica: `createReplica`, one per service, with all its layers and tables.
//!
//! Source: `feature-service-rest` reference §2 to §4.

mod compatibility;
mod job;
mod parameters;
mod replica_file;
mod service;
mod verification;

pub use parameters::{
    GenerateGeodatabaseParameters, GenerateLayerOption, GenerateLayerQueryOption, SyncModel, UtilityNetworkSyncMode,
};

use crate::client::{ArcGisClient, Downloaded};
use async_trait::async_trait;
use job::{FILE_UNIT, JOB_UNIT};
use offmap_engine::{
    Artifact, ArtifactFile, AttachmentSyncDirection, ByteRange, Capability, CapabilityReason, CountUnit,
    DestinationTableRowFilter, Examination, ExportContext, ExportTask, Exporter, Failure, FailureOwner,
    GenerateOfflineMapUpdateMode, LayerArtifact, LayerPlan, LayerType, MapLayer, OfflineMapSource, PlanContext,
    ReturnLayerAttachmentOption, ServiceRequest, TaskPlan, Unit,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::{FeatureService, allows_editing};
use std::collections::HashMap;
use std::path::Path;
use verification::{Verification, expected_attachments, expected_rows};

/// Bytes of a row, from a bare point to a rich polygon; an estimate for plans, attachments not counted.
const BYTES_PER_ROW: (u64, u64) = (200, 20_000);
/// Notes which layers the service refused by name.
const REFUSED: &str = "refusedLayers";
/// Notes that the highest object ids before the first submission are noted.
const HIGHEST_IDS: &str = "highestIds";
/// Bytes of an empty geodatabase.
const EMPTY_BYTES: u64 = 200_000;

/// Takes feature layers and tables of sync-enabled feature services.
#[derive(Debug, Clone)]
pub struct GeodatabaseExporter {
    client: ArcGisClient,
}

impl GeodatabaseExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client }
    }
}

/// Rows and, where there are some, attachments of each layer and table of a mobile geodatabase, by `GDB_ServiceItems.ItemId`.
/// Blocks.
///
/// # Errors
/// If the file is damaged or has no list of its items.
pub fn rows(path: &Path) -> Result<HashMap<i64, (u64, Option<u64>)>, Failure> {
    Ok(replica_file::examine(path)?.into_iter().map(|l| (l.item_id, (l.rows, l.attachments))).collect())
}

/// Reads an answer as a service's and a layer's description, for fuzzing.
pub(crate) fn read_any_service(answer: &Value) {
    let custom = serde_json::Map::new();
    if let Ok(mut service) = FeatureService::read("https://h/rest/services/S/FeatureServer", answer, &custom) {
        service.layers.insert(0, service::read_layer(answer, answer));
        let _ = service.extent_in();
        let _ = serde_json::to_string(&service);
    }
}

/// Reads an answer as a job's state, for fuzzing.
pub(crate) fn read_any_job_answer(answer: &Value) {
    job::read_any_answer(answer);
}

fn read_service(task: &Value) -> Result<FeatureService, Failure> {
    serde_json::from_value(task.clone()).map_err(|e| Failure::internal(format!("the plan's service cannot be read: {e}")))
}

fn layer_id(layer: &MapLayer) -> Option<u32> {
    layer.service().and_then(|s| s.layer_id())
}

fn judge(layer: &MapLayer, service: &FeatureService) -> Capability {
    let title = &layer.title;
    let refused = |reason, words: String| Capability::refused(reason, words);
    if let Some(failure) = layer_id(layer).and_then(|id| service.broken.get(&id)) {
        let mut failure = failure.clone();
        failure.message = format!("\"{title}\": the service does not describe this layer: {}", failure.message);
        return Capability::NotSupported(CapabilityReason::ServiceNotUsable, Box::new(failure));
    }
    let Some(found) = layer_id(layer).and_then(|id| service.layers.get(&id)) else {
        let words = format!("\"{title}\": {} has no such layer", layer.url.as_deref().unwrap_or("the service"));
        return refused(CapabilityReason::LayerNotFound, words);
    };
    if !service.sync_enabled {
        let what = if service.is_view { "the view" } else { "the service" };
        let words = format!(
            "\"{title}\": sync is not enabled on {what} {} (its capabilities are `{}`); its owner can switch it on",
            service.root, service.capabilities
        );
        return refused(CapabilityReason::SyncNotEnabled, words);
    }
    if !found.can_sync {
        let words = format!("\"{title}\": the service can sync, this layer cannot (Sync is missing in its capabilities)");
        return refused(CapabilityReason::SyncNotEnabled, words);
    }
    if found.global_id_field.is_none() {
        let words = format!("\"{title}\" has no global ids, which sync needs; its owner can add them");
        return refused(CapabilityReason::GlobalIdMissing, words);
    }
    if let Some((reason, words)) = &found.problem {
        return refused(*reason, format!("\"{title}\": {words}"));
    }
    Capability::Supported
}

/// The definition expressions of all map layers on one service layer, joined with OR; empty as soon as one has none.
fn joined_where(layers: &[&MapLayer]) -> String {
    let mut clauses: Vec<&str> = Vec::new();
    for layer in layers {
        match layer.definition_expression.as_deref() {
            Some(clause) if !clauses.contains(&clause) => clauses.push(clause),
            Some(_) => {}
            None => return String::new(),
        }
    }
    match clauses.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many => many.iter().map(|c| format!("({c})")).collect::<Vec<_>>().join(" OR "),
    }
}

#[async_trait]
impl Exporter for GeodatabaseExporter {
    type Parameters = GenerateGeodatabaseParameters;

    fn name(&self) -> &'static str {
        "geodatabase"
    }

    fn parameters_type(&self) -> &'static str {
        "generateGeodatabaseParameters"
    }

    fn takes(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        use LayerType::{Annotation, Dimension, Feature, SubtypeGroup, Table};
        let kind = matches!(layer.layer_type, Feature | Table | SubtypeGroup | Annotation | Dimension);
        let service = layer.service()?;
        (kind && service.kind() == "featureserver" && service.layer_id().is_some()).then(|| service.root().to_owned())
    }

    async fn examine(&self, request: &ServiceRequest, _: &PlanContext) -> Result<Examination, Failure> {
        let mut ids: Vec<u32> = request.layers.iter().filter_map(layer_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let custom = request.layers.first().map(|l| l.custom_parameters.clone()).unwrap_or_default();
        let service = FeatureService::fetch(&self.client, &request.service_url, &ids, &custom).await?;
        let attribution =
            service.attribution.clone().or_else(|| service.layers.values().find_map(|l| l.attribution.clone()));
        Ok(Examination {
            title: service.title.clone(),
            capabilities: request.layers.iter().map(|l| (l.id.clone(), judge(l, &service))).collect(),
            extent: service.extent_in(),
            attribution,
            edit_date: service.layers.values().filter_map(|l| l.edit_date).max(),
            service: serde_json::to_value(&service).map_err(|e| Failure::internal(e.to_string()))?,
        })
    }

    fn default_parameters(&self, request: &ServiceRequest, found: &Examination) -> Result<Self::Parameters, Failure> {
        let service = read_service(&found.service)?;
        let wanted = &request.parameters;
        // The author may have made a layer read-only in this map though the service is editable.
        let narrowed = |l: &MapLayer| l.capabilities.as_deref().is_some_and(|c| !allows_editing(c));
        let can_edit = |l: &MapLayer| {
            let own = layer_id(l).and_then(|id| service.layers.get(&id)).is_none_or(|found| found.editable);
            service.editable && own && !narrowed(l)
        };
        let editable = request.layers.iter().any(can_edit);
        let authored = request.source.web_map.offline_settings()?.unwrap_or_default();
        let mut layer_options: Vec<GenerateLayerOption> = Vec::new();
        for layer in &request.layers {
            let Some(id) = layer_id(layer) else { continue };
            if layer_options.iter().any(|o| o.layer_id == id) {
                continue;
            }
            let twins: Vec<&MapLayer> = request.layers.iter().filter(|l| layer_id(l) == Some(id)).collect();
            let filter = match wanted.definition_expression_filter_enabled {
                true => joined_where(&twins),
                false => String::new(),
            };
            let described = service.layers.get(&id);
            let is_table = described.is_some_and(|l| l.is_table);
            let in_map = |other: i64| request.layers.iter().any(|l| layer_id(l).map(i64::from) == Some(other));
            let is_related =
                described.is_some_and(|l| l.relationships.iter().any(|r| r.is_destination() && in_map(r.related_table_id)));
            let related_only = is_table
                && is_related
                && filter.is_empty()
                && wanted.destination_table_row_filter == DestinationTableRowFilter::RelatedOnly;
            let schema_only = wanted.return_schema_only_for_editable_layers && twins.iter().any(|l| can_edit(l));
            let (query_option, use_geometry, include_related) = if schema_only {
                (GenerateLayerQueryOption::None, false, false)
            } else if related_only {
                (GenerateLayerQueryOption::None, false, true)
            } else if is_table && !authored.include_table_rows() {
                // The author wants tables without rows of their own.
                (GenerateLayerQueryOption::None, false, false)
            } else if is_table && filter.is_empty() {
                // A table that asks for nothing comes down empty.
                (GenerateLayerQueryOption::All, false, false)
            } else {
                (GenerateLayerQueryOption::UseFilter, !is_table, false)
            };
            layer_options.push(GenerateLayerOption {
                layer_id: id,
                query_option,
                where_clause: filter,
                use_geometry,
                include_related,
            });
        }
        let return_attachments = match wanted.return_layer_attachment_option {
            ReturnLayerAttachmentOption::None => false,
            ReturnLayerAttachmentOption::AllLayers => true,
            ReturnLayerAttachmentOption::ReadOnlyLayers => !editable,
            ReturnLayerAttachmentOption::EditableLayers => editable,
        };
        Ok(GenerateGeodatabaseParameters {
            extent: wanted.area_of_interest.clone(),
            layer_options,
            out_spatial_reference: request.source.web_map.spatial_reference().or_else(|| service.spatial_reference.clone()),
            return_attachments,
            attachment_sync_direction: direction(wanted, return_attachments),
            sync_model: match wanted.update_mode {
                GenerateOfflineMapUpdateMode::NoUpdates => SyncModel::None,
                GenerateOfflineMapUpdateMode::SyncWithFeatureServices => SyncModel::Layer,
            },
            should_sync_contingent_values: true,
            utility_network_sync_mode: UtilityNetworkSyncMode::None,
            sync_data_options: authored.sync_data_options,
        })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &Examination,
        parameters: &Self::Parameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let service = read_service(&found.service)?;
        parameters.check(&service)?;
        let mut layers = Vec::new();
        let mut failed: Vec<(String, Failure)> = Vec::new();
        let mut rows = 0_u64;
        let area = parameters.extent.for_wire();
        for option in &parameters.layer_options {
            let twins = request.layers.iter().filter(|l| layer_id(l) == Some(option.layer_id));
            let expected = match expected_rows(&self.client, &service, option, &area).await {
                Ok(expected) => expected,
                // What one layer answers costs only that layer.
                Err(failure) if failure.owner == FailureOwner::Source => {
                    failed.extend(twins.map(|l| (l.id.clone(), uncounted(&l.title, option, failure.clone()))));
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let attachments = expected_attachments(&self.client, &service, option, parameters, expected, None).await;
            rows = rows.saturating_add(expected.unwrap_or(0));
            for layer in twins {
                layers.push(LayerPlan {
                    id: layer.id.clone(),
                    service_layer_id: Some(option.layer_id),
                    expected,
                    exact: expected.is_some(),
                    attachments,
                });
            }
        }
        Ok(TaskPlan {
            units: vec![
                Unit::new(JOB_UNIT, "serverJob", "the service's replica job"),
                Unit::new(FILE_UNIT, "resultFile", "the geodatabase"),
            ],
            layers,
            failed,
            count_unit: CountUnit::Features,
            // Submit, one look, fetch.
            requests: 3,
            bytes: Some(ByteRange {
                min: EMPTY_BYTES.saturating_add(rows.saturating_mul(BYTES_PER_ROW.0)),
                max: EMPTY_BYTES.saturating_add(rows.saturating_mul(BYTES_PER_ROW.1)),
            }),
            ..TaskPlan::default()
        })
    }

    async fn export(
        &self,
        task: &ExportTask,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let service = read_service(&task.service)?;
        let path = ctx.work_dir().join("replica.geodatabase");
        let outcome = self.bring_home(task, &service, parameters, ctx, &path).await;
        if outcome.as_ref().is_err_and(|failure| ctx.takes_back(failure)) {
            // Nobody will use the replica, so it must not stay on the service.
            self.discard(task, ctx).await;
        }
        outcome
    }

    async fn discard(&self, task: &ExportTask, ctx: &ExportContext) {
        if let Ok(service) = read_service(&task.service) {
            job::unregister(&self.client, ctx, &service).await;
        }
    }
}

/// Source: API reference B.3, "layers where the two disagree".
fn direction(wanted: &offmap_engine::GenerateOfflineMapParameters, with_attachments: bool) -> AttachmentSyncDirection {
    use AttachmentSyncDirection as D;
    use ReturnLayerAttachmentOption as O;
    match (wanted.return_layer_attachment_option, wanted.attachment_sync_direction) {
        (O::ReadOnlyLayers | O::EditableLayers, D::None) if with_attachments => D::Bidirectional,
        (O::ReadOnlyLayers | O::EditableLayers, D::Bidirectional) if !with_attachments => D::None,
        (_, direction) => direction,
    }
}

/// Why a layer without a count stays behind.
fn uncounted(title: &str, option: &GenerateLayerOption, mut failure: Failure) -> Failure {
    let filter = match option.where_clause.as_str() {
        "" => String::new(),
        clause => format!(" for the filter `{clause}`"),
    };
    failure.message = format!("\"{title}\": the service does not count its rows{filter}: {}", failure.message);
    failure
}

/// A layer that the service refused by name, and its words.
#[derive(Serialize, Deserialize)]
struct RefusedLayer {
    layer: u32,
    failure: Failure,
}

impl GeodatabaseExporter {
    async fn bring_home(
        &self,
        task: &ExportTask,
        service: &FeatureService,
        parameters: &GenerateGeodatabaseParameters,
        ctx: &ExportContext,
        path: &Path,
    ) -> Result<Artifact, Failure> {
        let (Downloaded { bytes, sha256 }, parameters, refused) = self.replica(task, service, parameters, ctx, path).await?;
        let file = path.to_owned();
        let found = ctx.blocking(move || replica_file::examine(&file)).await?;
        let mut artifact =
            Artifact { files: vec![ArtifactFile::file("replica.geodatabase", "geodatabase")], ..Artifact::default() };
        let verification = Verification { client: &self.client, service, parameters: &parameters, ctx, path, found: &found };
        for layer in &task.layers {
            let own = refused.iter().find(|r| Some(r.layer) == layer.service_layer_id);
            if let Some(RefusedLayer { failure, .. }) = own {
                let failure = Some(failure.clone().for_layer(&layer.id));
                let planned = layer.expected;
                artifact.layers.push(LayerArtifact { id: layer.id.clone(), planned, failure, ..LayerArtifact::default() });
                continue;
            }
            let highest = match layer.service_layer_id {
                Some(id) => ctx.ledger().noted(JOB_UNIT, &highest_key(id)).await?.and_then(|text| text.parse().ok()),
                None => None,
            };
            artifact.layers.push(ctx.or_cancelled(verification.layer(layer, highest)).await?);
        }
        ctx.finish_unit(FILE_UNIT, bytes, Some(&sha256)).await?;
        Ok(artifact)
    }

    /// Downloads the replica; a layer that the service refuses by name is left out of the set, which is submitted again.
    async fn replica(
        &self,
        task: &ExportTask,
        service: &FeatureService,
        parameters: &GenerateGeodatabaseParameters,
        ctx: &ExportContext,
        path: &Path,
    ) -> Result<(Downloaded, GenerateGeodatabaseParameters, Vec<RefusedLayer>), Failure> {
        let mut refused: Vec<RefusedLayer> = match ctx.ledger().noted(JOB_UNIT, REFUSED).await? {
            Some(text) => serde_json::from_str(&text).unwrap_or_default(),
            None => Vec::new(),
        };
        let planned = |id: u32| task.layers.iter().any(|l| l.service_layer_id == Some(id));
        loop {
            let mut parameters = parameters.clone();
            parameters.layer_options.retain(|o| planned(o.layer_id) && !refused.iter().any(|r| r.layer == o.layer_id));
            self.note_highest_ids(service, &parameters, ctx).await?;
            let failure = match job::run(&self.client, ctx, service, &parameters, path).await {
                Ok(downloaded) => return Ok((downloaded, parameters, refused)),
                Err(failure) => failure,
            };
            let left: Vec<u32> = parameters.layer_options.iter().map(|o| o.layer_id).collect();
            match service.layer_in(&failure, &left).filter(|_| left.len() > 1) {
                Some(layer) => {
                    ctx.say(format!("the service refuses layer {layer} of the set; the others are asked for without it"));
                    refused.push(RefusedLayer { layer, failure });
                    let text = serde_json::to_string(&refused).map_err(|e| Failure::internal(e.to_string()))?;
                    ctx.ledger().note(JOB_UNIT, REFUSED, &text).await?;
                    ctx.ledger().note(JOB_UNIT, job::STATUS_URL, "").await?;
                }
                None => return Err(failure),
            }
        }
    }

    /// Notes what the highest object ids are before the submission, once.
    async fn note_highest_ids(
        &self,
        service: &FeatureService,
        parameters: &GenerateGeodatabaseParameters,
        ctx: &ExportContext,
    ) -> Result<(), Failure> {
        if ctx.ledger().noted(JOB_UNIT, HIGHEST_IDS).await?.is_some() {
            return Ok(());
        }
        for option in &parameters.layer_options {
            let asked = async { Ok(service.highest_id(&self.client, option.layer_id).await) };
            if let Some(highest) = ctx.or_cancelled(asked).await? {
                ctx.ledger().note(JOB_UNIT, &highest_key(option.layer_id), &highest.to_string()).await?;
            }
        }
        ctx.ledger().note(JOB_UNIT, HIGHEST_IDS, "1").await
    }
}

fn highest_key(layer: u32) -> String {
    format!("highestId:{layer}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_engine::WebMap;

    fn layers(wheres: &[Option<&str>]) -> Vec<MapLayer> {
        let list: Vec<Value> = wheres
            .iter()
            .map(|w| {
                serde_json::json!({"layerType": "ArcGISFeatureLayer", "url": "https://h/S/FeatureServer/0",
                "layerDefinition": {"definitionExpression": w}})
            })
            .collect();
        WebMap::from_value(serde_json::json!({"operationalLayers": list})).expect("a map").layers()
    }

    fn joined(wheres: &[Option<&str>]) -> String {
        let layers = layers(wheres);
        joined_where(&layers.iter().collect::<Vec<_>>())
    }

    #[test]
    fn two_filters_on_one_service_layer_are_joined_with_or() {
        assert_eq!(joined(&[Some("A = 1")]), "A = 1");
        assert_eq!(joined(&[Some("A = 1"), Some("B = 2"), Some("A = 1")]), "(A = 1) OR (B = 2)");
        assert_eq!(joined(&[Some("A = 1"), None]), "");
    }
}
