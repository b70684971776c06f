//! Feature layers and tables as a geodatabase replica: `createReplica`, one per service, with all its layers and tables.
//!
//! Source: `feature-service-rest` reference §2 to §4.

mod compatibility;
mod edit_tokens;
mod job;
mod judge;
mod network_facts;
mod parameters;
mod row_filter;
mod service;
mod sync_data;
mod units;
mod utility_network;
mod verification;

pub use parameters::{
    GenerateGeodatabaseParameters, GenerateLayerOption, GenerateLayerQueryOption, SyncModel, UtilityNetworkSyncMode,
};

use crate::download_limit::DownloadLimit;
use crate::file_etag;
use async_trait::async_trait;
use offmap_arcgis::{ArcGisClient, Downloaded};
use offmap_disk::run_blocking;
use offmap_engine::{ExportContext, Exporter, LayerPlan, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_formats::geodatabase;
use offmap_model::{
    AreaOfInterest, Artifact, ArtifactFile, AttachmentSyncDirection, ByteRange, CountUnit, ExportTask, Failure, FailureKind,
    FailureOwner, GenerateOfflineMapUpdateMode, LayerArtifact, LayerContents, LayerType, MapLayer, OfflineMapSource,
    ReturnLayerAttachmentOption, Unit,
};
use row_filter::{by_service_layer, layer_id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::{FeatureService, RowFilter, allows_editing};
use std::collections::HashMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;
use units::{FILE_UNIT, JOB_UNIT};
use verification::{Verification, expected_attachments, expected_rows};

/// Bytes of a row, from a bare point to a rich polygon; an estimate for plans, attachments not counted.
const BYTES_PER_ROW: (u64, u64) = (200, 20_000);
/// Most bytes of an attachment that are usual.
const BYTES_PER_ATTACHMENT: u64 = 5 << 20;
/// Bytes that related rows are planned with, which are not counted beforehand: a result may have twenty times as many.
const UNCOUNTED: u64 = 50 << 20;
/// The same with attachments.
const UNCOUNTED_ATTACHED: u64 = 500 << 20;
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
/// Blocks until it is done, `cancel` is cancelled, or it took longer than the file's size explains.
///
/// # Errors
/// If the file is damaged, has no list of its items, or names anything but its ordinary tables there.
pub fn rows(path: &Path, cancel: &CancellationToken) -> Result<HashMap<i64, (u64, Option<u64>)>, Failure> {
    Ok(geodatabase::describe(path, cancel)?.into_iter().map(|l| (l.item_id, (l.rows, l.attachments))).collect())
}

/// Reads an answer as a service's and a layer's description, for fuzzing.
pub(crate) fn read_any_service(answer: &Value) {
    let custom = offmap_model::LayerSecrets::default();
    if let Ok(mut service) = FeatureService::read("https://h/rest/services/S/FeatureServer", answer, &custom) {
        service.layers.extend(service::read_layer(answer, answer).ok().map(|layer| (0, layer)));
        let _ = service.extent_in();
        let _ = serde_json::to_string(&service);
    }
}

/// Reads an answer as a job's state, for fuzzing.
pub(crate) fn read_any_job_answer(answer: &Value) {
    job::read_any_answer(answer);
}

/// The area as it goes over the wire; made off the async threads.
async fn for_wire(parameters: &GenerateGeodatabaseParameters) -> Result<AreaOfInterest, Failure> {
    let area = parameters.extent.clone();
    run_blocking(move || Ok(area.for_wire())).await
}

#[async_trait]
impl Exporter for GeodatabaseExporter {
    type Parameters = GenerateGeodatabaseParameters;
    type Service = FeatureService;

    fn name(&self) -> &'static str {
        "geodatabase"
    }

    fn parameters_type(&self) -> &'static str {
        "generateGeodatabaseParameters"
    }

    fn utility_network_parameters(&self) -> &'static [&'static str] {
        &["utilityNetworkSyncMode"]
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        use LayerType::{Annotation, Dimension, Feature, SubtypeGroup, Table};
        let kind = matches!(layer.layer_type, Feature | Table | SubtypeGroup | Annotation | Dimension);
        let service = layer.service()?;
        // A url without a layer's id is asked for as well: the service says which layers it has.
        (kind && service.kind() == "featureserver").then(|| service.root().to_owned())
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        _: &PlanContext,
    ) -> Result<ServiceDescription<FeatureService>, Failure> {
        let mut ids: Vec<u32> = request.layers.iter().filter_map(layer_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let custom = request.secrets();
        let service = FeatureService::fetch(&self.client, &request.service_url, &ids, &custom).await?;
        let attribution =
            service.attribution.clone().or_else(|| service.layers.values().find_map(|l| l.attribution.clone()));
        Ok(ServiceDescription {
            title: service.title.clone(),
            capabilities: request.layers.iter().map(|l| (l.id.clone(), judge::judge(l, &service))).collect(),
            extent: service.extent_in(),
            attribution,
            edit_date: service.layers.values().filter_map(|l| l.edit_date).max(),
            service,
        })
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<FeatureService>,
    ) -> Result<Self::Parameters, Failure> {
        let service = found.service.clone().with_secrets(&request.secrets());
        let wanted = &request.parameters;
        // The author may have made a layer read-only in this map though the service is editable.
        let narrowed = |l: &MapLayer| l.capabilities.as_deref().is_some_and(|c| !allows_editing(c));
        let can_edit = |l: &MapLayer| {
            let own = layer_id(l).and_then(|id| service.layers.get(&id)).is_none_or(|found| found.editable);
            service.editable && own && !narrowed(l)
        };
        let editable = request.layers.iter().any(can_edit);
        let authored = request.source.web_map.offline_settings().unwrap_or_default();
        let layer_options = row_filter::layer_options(request, &service, &authored, can_edit);
        let return_attachments = match wanted.return_layer_attachment_option {
            ReturnLayerAttachmentOption::None => false,
            ReturnLayerAttachmentOption::AllLayers => true,
            ReturnLayerAttachmentOption::ReadOnlyLayers => !editable,
            ReturnLayerAttachmentOption::EditableLayers => editable,
        };
        let utility_network_sync_mode = utility_network::default_mode(request, &service, authored.sync_data_options);
        let with_updates = wanted.update_mode == GenerateOfflineMapUpdateMode::SyncWithFeatureServices;
        let sync_model = utility_network::sync_model(&service, utility_network_sync_mode, with_updates);
        Ok(GenerateGeodatabaseParameters {
            extent: wanted.area_of_interest.clone(),
            layer_options,
            out_spatial_reference: request.source.web_map.spatial_reference().or_else(|| service.spatial_reference.clone()),
            return_attachments,
            attachment_sync_direction: direction(wanted, return_attachments),
            sync_model,
            sync_annotations: true,
            sync_dimensions: true,
            sync_contingent_values: true,
            sync_attribute_rules: true,
            utility_network_sync_mode,
            sync_data_options: authored.sync_data_options,
        })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<FeatureService>,
        parameters: &Self::Parameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let service = found.service.clone().with_secrets(&request.secrets());
        parameters.check(&service)?;
        utility_network::check(parameters, &service)?;
        let mut layers = Vec::new();
        let mut failed: Vec<(String, Failure)> = Vec::new();
        let mut rows = 0_u64;
        let (_, of_service) = by_service_layer(&request.layers);
        let area = for_wire(parameters).await?;
        for option in &parameters.layer_options {
            let twins = of_service.get(&option.layer_id).into_iter().flatten();
            let expected = match expected_rows(&self.client, &service, option, &area).await {
                Ok(expected) => expected,
                // What one layer answers costs only that layer.
                Err(failure) if failure.owner == FailureOwner::Source => {
                    failed.extend(twins.map(|l| (l.id.clone(), uncounted(&l.title, option, failure.clone()))));
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let attachments =
                expected_attachments(&self.client, &service, (option, &area), parameters, expected, None).await;
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
        let is_empty = rows == 0 && self.has_no_rows(&service, parameters).await;
        let mut warnings = utility_network::warnings(request, &service, parameters);
        warnings.extend(self.client.move_of(&service.root));
        Ok(TaskPlan {
            warnings,
            networks: utility_network::planned(request, &service, parameters),
            is_empty,
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
        service: &FeatureService,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let service = service.clone().with_secrets(ctx.secrets());
        Self::new(self.client.for_task(ctx.clone())).run(task, &service, parameters, ctx).await
    }

    async fn rollback(&self, _: &ExportTask, service: &FeatureService, ctx: &ExportContext) {
        let service = service.clone().with_secrets(ctx.secrets());
        job::unregister(&self.client.for_task(ctx.clone()), ctx, &service).await;
    }
}

impl GeodatabaseExporter {
    async fn run(
        &self,
        task: &ExportTask,
        service: &FeatureService,
        parameters: &GenerateGeodatabaseParameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let path = ctx.work_dir().join("replica.geodatabase");
        let outcome = self.download(task, service, parameters, ctx, &path).await;
        if let Err(failure) = &outcome
            && ctx.rolls_back(failure)
        {
            // Nobody will use the replica, so it must not stay on the service, and its file is worth nothing without it.
            ctx.fail_unit(FILE_UNIT, failure.clone()).await;
            self.rollback(task, service, ctx).await;
        }
        outcome
    }
}

/// `None` where it is the one that follows from the attachments by itself. Source: API reference B.3, "layers where the two disagree".
fn direction(
    wanted: &offmap_model::GenerateOfflineMapParameters,
    with_attachments: bool,
) -> Option<AttachmentSyncDirection> {
    use AttachmentSyncDirection as D;
    use ReturnLayerAttachmentOption as O;
    let direction = match (wanted.return_layer_attachment_option, wanted.attachment_sync_direction) {
        (O::ReadOnlyLayers | O::EditableLayers, D::None) if with_attachments => D::Bidirectional,
        (O::ReadOnlyLayers | O::EditableLayers, D::Bidirectional) if !with_attachments => D::None,
        (_, direction) => direction,
    };
    let follows = if with_attachments { D::Bidirectional } else { D::None };
    (direction != follows).then_some(direction)
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

/// The most bytes that a replica is expected to have, with its attachments: as many as were counted, else one for each row. `None` where
/// not even the rows were counted.
fn most_bytes(
    task: &ExportTask,
    service: &FeatureService,
    parameters: &GenerateGeodatabaseParameters,
    ctx: &ExportContext,
) -> Option<u64> {
    let mut most = ctx.planned_bytes()?.max;
    for layer in &task.layers {
        let has_attachments =
            layer.service_layer_id.and_then(|id| service.layers.get(&id)).is_some_and(|l| l.has_attachments);
        let Some(rows) = layer.expected else {
            let uncounted = if parameters.return_attachments && has_attachments { UNCOUNTED_ATTACHED } else { UNCOUNTED };
            most = most.saturating_add(uncounted);
            continue;
        };
        if parameters.return_attachments && has_attachments {
            most = most.saturating_add(layer.attachments.unwrap_or(rows).saturating_mul(BYTES_PER_ATTACHMENT));
        }
    }
    Some(most)
}

/// A layer that the service refused by name, and its words.
#[derive(Serialize, Deserialize)]
struct RefusedLayer {
    layer: u32,
    failure: Failure,
}

impl GeodatabaseExporter {
    async fn download(
        &self,
        task: &ExportTask,
        service: &FeatureService,
        parameters: &GenerateGeodatabaseParameters,
        ctx: &ExportContext,
        path: &Path,
    ) -> Result<Artifact, Failure> {
        let (downloaded, parameters, refused) = self.replica(task, service, parameters, ctx, path).await?;
        // It stays also if what follows fails, which asks the service only.
        ctx.finish_file(FILE_UNIT, Some(JOB_UNIT), path, (downloaded.bytes, &downloaded.sha256)).await?;
        let (file, cancel) = (path.to_owned(), ctx.cancel_token().clone());
        let read = move || Ok((geodatabase::describe(&file, &cancel)?, edit_tokens::of_file(&file, &cancel)?));
        let (found, state) = match ctx.blocking(read).await {
            Ok(read) => read,
            Err(failure) if failure.kind == FailureKind::Corrupt => return Err(ctx.fail_unit(FILE_UNIT, failure).await),
            Err(failure) => return Err(failure),
        };
        let state = edit_tokens::complete(ctx, state).await?;
        let area = for_wire(&parameters).await?;
        let file = ArtifactFile::file("replica.geodatabase", "geodatabase").with_sha256(&downloaded.sha256);
        let mut artifact = Artifact { files: vec![file], ..Artifact::default() };
        let verification =
            Verification { client: &self.client, service, parameters: &parameters, area: &area, ctx, path, found: &found };
        for layer in &task.layers {
            let own = refused.iter().find(|r| Some(r.layer) == layer.service_layer_id);
            if let Some(RefusedLayer { failure, .. }) = own {
                let failure = Some(failure.clone().for_layer(&layer.id));
                let planned = layer.expected;
                artifact.layers.push(LayerArtifact {
                    id: layer.id.clone(),
                    contents: LayerContents { planned, ..LayerContents::default() },
                    failure,
                    ..LayerArtifact::default()
                });
                continue;
            }
            let highest = match layer.service_layer_id {
                Some(id) => ctx.ledger().noted(JOB_UNIT, &highest_key(id)).await?.and_then(|text| text.parse().ok()),
                None => None,
            };
            match ctx.or_cancelled(verification.layer(layer, highest)).await {
                Ok(mut verified) => {
                    verified.contents.edit_tokens = edit_tokens::of_layer(&state, service, layer.service_layer_id);
                    artifact.layers.push(verified);
                }
                Err(failure) if failure.kind == FailureKind::Corrupt => return Err(ctx.fail_unit(FILE_UNIT, failure).await),
                Err(failure) => return Err(failure),
            }
        }
        file_etag::give(ctx, FILE_UNIT, &downloaded, &mut artifact.layers).await?;
        Ok(artifact)
    }

    /// Whether the layers have no rows anywhere, as those of a service that was just published. The first that has some ends the
    /// asking; a service that cannot count them is not called empty.
    async fn has_no_rows(&self, service: &FeatureService, parameters: &GenerateGeodatabaseParameters) -> bool {
        for option in &parameters.layer_options {
            let all = RowFilter { layer: option.layer_id, where_clause: "", area: None, up_to: None };
            if !matches!(service.count(&self.client, &all).await, Ok(0)) {
                return false;
            }
        }
        true
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
        let limit = DownloadLimit::of_plan(most_bytes(task, service, parameters, ctx));
        let planned = |id: u32| task.layers.iter().any(|l| l.service_layer_id == Some(id));
        loop {
            let mut parameters = parameters.clone();
            parameters.layer_options.retain(|o| planned(o.layer_id) && !refused.iter().any(|r| r.layer == o.layer_id));
            self.note_highest_ids(service, &parameters, ctx).await?;
            let failure = match job::run(&self.client, ctx, service, &parameters, path, limit).await {
                Ok(downloaded) => return Ok((downloaded, parameters, refused)),
                Err(failure) => failure,
            };
            let left: Vec<u32> = parameters.layer_options.iter().map(|o| o.layer_id).collect();
            match service.layer_in(&failure, &left).filter(|_| left.len() > 1) {
                Some(layer) => {
                    ctx.log(format!("the service refuses layer {layer} of the set; the others are asked for without it"));
                    refused.push(RefusedLayer { layer, failure: ctx.without_secrets(failure) });
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
    use offmap_model::WebMap;

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
        row_filter::joined_where(&layers.iter().collect::<Vec<_>>())
    }

    #[test]
    fn two_filters_on_one_service_layer_are_joined_with_or() {
        assert_eq!(joined(&[Some("A = 1")]), "A = 1");
        assert_eq!(joined(&[Some("A = 1"), Some("B = 2"), Some("A = 1")]), "(A = 1) OR (B = 2)");
        assert_eq!(joined(&[Some("A = 1"), None]), "");
    }
}
