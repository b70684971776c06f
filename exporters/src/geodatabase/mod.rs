//! Feature layers and tables as a geodatabase replica: `createReplica`, one per service, with all its layers and tables.
//!
//! Source: `feature-service-rest` reference §2 to §4.

mod compatibility;
mod job;
mod parameters;
mod replica_file;
mod service;

pub use parameters::{
    GenerateGeodatabaseParameters, GenerateLayerOption, GenerateLayerQueryOption, SyncModel, UtilityNetworkSyncMode,
};

use crate::client::{ArcGisClient, Downloaded};
use async_trait::async_trait;
use job::{FILE_UNIT, JOB_UNIT};
use offmap_engine::{
    AreaOfInterest, Artifact, ArtifactFile, AttachmentSyncDirection, ByteRange, Capability, CapabilityReason, CountUnit,
    DestinationTableRowFilter, Examination, ExportContext, ExportTask, Exporter, Failure, FailureKind, FailureOwner,
    FailureStage, GenerateOfflineMapUpdateMode, LayerArtifact, LayerPlan, LayerType, MapLayer, Missing, OfflineMapSource,
    PlanContext, ReturnLayerAttachmentOption, ServiceRequest, TaskLayer, TaskPlan, Unit, run_blocking,
};
use replica_file::ReplicaLayer;
use serde_json::Value;
use service::{FeatureService, RowFilter, allows_editing};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Bytes of a row, from a bare point to a rich polygon; an estimate for plans, attachments not counted.
const BYTES_PER_ROW: (u64, u64) = (200, 20_000);
/// Bytes of an empty geodatabase.
const EMPTY_BYTES: u64 = 200_000;
/// Attachments of more rows than this are not counted beforehand.
const MOST_ROWS_ASKED: u64 = 20_000;
/// Keys in one `IN (…)` of a count.
const KEYS_AT_A_TIME: usize = 100;

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

/// The area as it goes over the wire; made off the async threads.
async fn for_wire(parameters: &GenerateGeodatabaseParameters) -> Result<AreaOfInterest, Failure> {
    let area = parameters.extent.clone();
    run_blocking(move || Ok(area.for_wire())).await
}

/// Ids of service layers, in the order of the map, and the map layers on each.
fn by_service_layer(layers: &[MapLayer]) -> (Vec<u32>, HashMap<u32, Vec<&MapLayer>>) {
    let mut order = Vec::new();
    let mut all: HashMap<u32, Vec<&MapLayer>> = HashMap::new();
    for (id, layer) in layers.iter().filter_map(|l| Some((layer_id(l)?, l))) {
        let twins = all.entry(id).or_default();
        if twins.is_empty() {
            order.push(id);
        }
        twins.push(layer);
    }
    (order, all)
}

/// The definition expressions of all map layers on one service layer, joined with OR; empty as soon as one has none.
fn joined_where(layers: &[&MapLayer]) -> String {
    let mut clauses: Vec<&str> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for layer in layers {
        match layer.definition_expression.as_deref() {
            Some(clause) if seen.insert(clause) => clauses.push(clause),
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
        let (order, of_service) = by_service_layer(&request.layers);
        for id in order {
            let twins: &[&MapLayer] = of_service.get(&id).map(Vec::as_slice).unwrap_or_default();
            let filter = match wanted.definition_expression_filter_enabled {
                true => joined_where(twins),
                false => String::new(),
            };
            let described = service.layers.get(&id);
            let is_table = described.is_some_and(|l| l.is_table);
            let in_map = |other: i64| u32::try_from(other).is_ok_and(|other| of_service.contains_key(&other));
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
        let mut rows = 0_u64;
        let (_, of_service) = by_service_layer(&request.layers);
        let area = for_wire(parameters).await?;
        for option in &parameters.layer_options {
            let expected = expected_rows(&self.client, &service, option, &area).await?;
            let attachments = match expected {
                Some(rows) if rows <= MOST_ROWS_ASKED => {
                    expected_attachments(&self.client, &service, option, parameters, &area).await?
                }
                _ => None,
            };
            rows = rows.saturating_add(expected.unwrap_or(0));
            for layer in of_service.get(&option.layer_id).into_iter().flatten() {
                layers.push(LayerPlan {
                    id: layer.id.clone(),
                    service_layer_id: Some(option.layer_id),
                    expected,
                    exact: expected.is_some(),
                    attachments,
                });
            }
        }
        let is_empty = rows == 0 && self.has_no_rows(&service, parameters).await;
        Ok(TaskPlan {
            is_empty,
            units: vec![
                Unit::new(JOB_UNIT, "serverJob", "the service's replica job"),
                Unit::new(FILE_UNIT, "resultFile", "the geodatabase"),
            ],
            layers,
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

/// Which rows an option takes.
enum Taken<'a> {
    /// Those that are related to rows of other layers.
    Related,
    Nothing,
    Rows(RowFilter<'a>),
}

/// The rows that an option takes; `area` is the replica's as it goes over the wire.
fn taken<'a>(service: &FeatureService, option: &'a GenerateLayerOption, area: &'a AreaOfInterest) -> Taken<'a> {
    let is_table = service.layers.get(&option.layer_id).is_some_and(|l| l.is_table);
    let rows = |where_clause, area| Taken::Rows(RowFilter { layer: option.layer_id, where_clause, area });
    match option.query_option {
        GenerateLayerQueryOption::None if option.include_related => Taken::Related,
        GenerateLayerQueryOption::None => Taken::Nothing,
        GenerateLayerQueryOption::All => rows("", None),
        GenerateLayerQueryOption::UseFilter => {
            rows(&option.where_clause, (option.use_geometry && !is_table).then_some(area))
        }
    }
}

/// The service's own count of the attachments that will come; `None` where none are wanted, or it cannot count them.
async fn expected_attachments(
    client: &ArcGisClient,
    service: &FeatureService,
    option: &GenerateLayerOption,
    parameters: &GenerateGeodatabaseParameters,
    area: &AreaOfInterest,
) -> Result<Option<u64>, Failure> {
    let countable = service.layers.get(&option.layer_id).is_some_and(|l| l.has_attachments && l.counts_attachments);
    if !(parameters.return_attachments && countable) {
        return Ok(None);
    }
    match taken(service, option, area) {
        Taken::Related => Ok(None),
        Taken::Nothing => Ok(Some(0)),
        Taken::Rows(rows) => service.count_attachments(client, &rows).await.map(Some),
    }
}

/// The service's own count for the same filter; `None` for rows that are related to others.
async fn expected_rows(
    client: &ArcGisClient,
    service: &FeatureService,
    option: &GenerateLayerOption,
    area: &AreaOfInterest,
) -> Result<Option<u64>, Failure> {
    match taken(service, option, area) {
        Taken::Related => Ok(None),
        Taken::Nothing => Ok(Some(0)),
        Taken::Rows(rows) => service.count(client, &rows).await.map(Some),
    }
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
        let Downloaded { bytes, sha256 } = job::run(&self.client, ctx, service, parameters, path).await?;
        let file = path.to_owned();
        let found = ctx.blocking(move || replica_file::examine(&file)).await?;
        let mut artifact =
            Artifact { files: vec![ArtifactFile::file("replica.geodatabase", "geodatabase")], ..Artifact::default() };
        for layer in &task.layers {
            let proof = self.prove(layer, service, parameters, ctx, path, &found);
            artifact.layers.push(ctx.or_cancelled(proof).await?);
        }
        ctx.finish_unit(FILE_UNIT, bytes, Some(&sha256)).await?;
        Ok(artifact)
    }

    /// Whether the layers have no rows anywhere, as those of a service that was just published. The first that has some ends the
    /// asking; a service that cannot count them is not called empty.
    async fn has_no_rows(&self, service: &FeatureService, parameters: &GenerateGeodatabaseParameters) -> bool {
        for option in &parameters.layer_options {
            let all = RowFilter { layer: option.layer_id, where_clause: "", area: None };
            if !matches!(service.count(&self.client, &all).await, Ok(0)) {
                return false;
            }
        }
        true
    }

    /// Compares the rows that came with the service's own count. The data may have changed since the plan was made, so a
    /// difference is counted once more before it is called one.
    async fn prove(
        &self,
        layer: &TaskLayer,
        service: &FeatureService,
        parameters: &GenerateGeodatabaseParameters,
        ctx: &ExportContext,
        path: &Path,
        found: &[ReplicaLayer],
    ) -> Result<LayerArtifact, Failure> {
        let id = layer.service_layer_id;
        let got = found.iter().find(|l| id.map(i64::from) == Some(l.item_id));
        let option = parameters.layer_options.iter().find(|o| Some(o.layer_id) == id);
        let mut proof = LayerArtifact {
            id: layer.id.clone(),
            file: Some(0),
            item_id: got.map(|g| g.item_id),
            planned: layer.expected,
            got: got.map_or(0, |g| g.rows),
            attachments: got.and_then(|g| g.attachments),
            ..LayerArtifact::default()
        };
        let (Some(got), Some(option)) = (got, option) else {
            let message = format!("the replica has no table for layer \"{}\" (id {id:?})", layer.title);
            let failure = Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message);
            proof.failure = Some(failure.for_layer(&layer.id));
            return Ok(proof);
        };
        if layer.expected.is_none() {
            proof.planned = self.related_rows(option, service, ctx, path, found).await?;
        } else if layer.expected != Some(got.rows) {
            proof.planned = expected_rows(&self.client, service, option, &for_wire(parameters).await?).await?;
        }
        if proof.planned.is_some_and(|planned| planned != got.rows) {
            let planned = proof.planned.unwrap_or_default();
            let message = format!(
                "layer \"{}\": the service counts {planned} rows for the same filter, {} came home",
                layer.title, got.rows
            );
            let failure = Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message);
            proof.failure = Some(failure.for_layer(&layer.id));
        }
        // As with rows, a difference is counted once more.
        if let Some(planned) = layer.attachments.filter(|planned| *planned != got.attachments.unwrap_or(0)) {
            let area = for_wire(parameters).await?;
            let again = expected_attachments(&self.client, service, option, parameters, &area).await?;
            let again = again.unwrap_or(planned);
            let came = got.attachments.unwrap_or(0);
            proof.missing_attachments = Missing::of(again, came);
            if came > again && proof.failure.is_none() {
                let message = format!("layer \"{}\": the service counts {again} attachments, {came} came home", layer.title);
                let failure = Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message);
                proof.failure = Some(failure.for_layer(&layer.id));
            }
        }
        Ok(proof)
    }

    /// Counts on the service the rows that are related to the rows that came home. `None` where a table is related to more than
    /// one layer of the replica: then a row may be counted twice.
    async fn related_rows(
        &self,
        option: &GenerateLayerOption,
        service: &FeatureService,
        ctx: &ExportContext,
        path: &Path,
        found: &[ReplicaLayer],
    ) -> Result<Option<u64>, Failure> {
        let Some(table) = service.layers.get(&option.layer_id) else { return Ok(None) };
        let origins: Vec<_> = table
            .relationships
            .iter()
            .filter(|r| r.is_destination())
            .filter_map(|r| {
                let origin = service.layers.get(&u32::try_from(r.related_table_id).ok()?)?;
                let key = origin.relationships.iter().find(|o| o.id == r.id && !o.is_destination())?;
                let file = found.iter().find(|l| l.item_id == r.related_table_id)?;
                Some((file.table.clone(), key.key_field.clone(), r.key_field.clone()))
            })
            .collect();
        let [(origin, primary, foreign)] = origins.as_slice() else { return Ok(None) };
        let (file, origin, primary) = (path.to_owned(), origin.clone(), primary.clone());
        // A few pieces at a time: a layer's keys are never all in memory.
        let (sender, mut pieces) = tokio::sync::mpsc::channel(2);
        let reading = ctx.blocking(move || {
            // Nobody listens any more once the counting failed.
            let hand_on = |keys| sender.blocking_send(keys).is_ok();
            replica_file::key_literals(&file, &origin, &primary, KEYS_AT_A_TIME, hand_on)
        });
        let counting = async move {
            let mut rows = 0_u64;
            while let Some(keys) = pieces.recv().await {
                let related = format!("{foreign} IN ({keys})");
                let filter = RowFilter { layer: option.layer_id, where_clause: &related, area: None };
                rows = service.count(&self.client, &filter).await?.saturating_add(rows);
            }
            Ok(rows)
        };
        let (read, rows) = futures_util::future::join(reading, counting).await;
        read?;
        rows.map(Some)
    }
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
