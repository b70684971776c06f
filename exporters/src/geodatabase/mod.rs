//! Feature layers and tables as a geodatabase replica: `createReplica`, one per service, with all its layers and tables.
//!
//! Source: `feature-service-rest` reference §2 to §4.

mod edit_tokens;
mod export;
mod job;
mod judge;
mod parameters;
mod plan;
mod refused_layer;
mod sync_data;
mod units;
mod utility_network;
mod verification;

pub use crate::feature_service::layer_option::{GenerateLayerOption, GenerateLayerQueryOption};
pub use parameters::{GenerateGeodatabaseParameters, SyncModel, UtilityNetworkSyncMode};

use crate::feature_service::answer::allows_editing;
use crate::feature_service::row_filter::{self, layer_id};
use crate::feature_service::service::FeatureService;
use crate::feature_service::service_layer;
use crate::job_client::JobClient;
use async_trait::async_trait;
use export::Export;
use offmap_arcgis::ArcGisClient;
use offmap_engine::{ExportContext, Exporter, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_formats::geodatabase;
use offmap_model::{
    Artifact, AttachmentSyncDirection, ExportTask, Failure, GenerateOfflineMapUpdateMode, LayerType, MapLayer,
    OfflineMapSource, ReturnLayerAttachmentOption,
};
use plan::Planning;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;
use units::FILE_UNIT;

/// Exports feature layers and tables of sync-enabled feature services.
///
/// ```
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
/// use offmap_engine::Exporter as _;
/// use offmap_exporters::geodatabase::GeodatabaseExporter;
///
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// assert_eq!(GeodatabaseExporter::new(client).name(), "geodatabase");
/// # Ok::<_, offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct GeodatabaseExporter {
    client: JobClient,
}

impl GeodatabaseExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client: JobClient::new(client) }
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
        service.layers.extend(service_layer::read_layer(answer, answer).ok().map(|layer| (0, layer)));
        let _ = service.extent_in();
        let _ = serde_json::to_string(&service);
    }
}

/// Reads an answer as a job's state, for fuzzing.
pub(crate) fn read_any_job_answer(answer: &Value) {
    job::read_any_answer(answer);
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
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<FeatureService>, Failure> {
        let mut ids: Vec<u32> = request.layers.iter().filter_map(layer_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let custom = request.secrets();
        let service = FeatureService::fetch(&self.client.for_plan(ctx), &request.service_url, &ids, &custom).await?;
        let attribution =
            service.attribution.clone().or_else(|| service.layers.values().find_map(|l| l.attribution.clone()));
        let capabilities = request.layers.iter().map(|l| (l.id.clone(), judge::judge(l, &service))).collect();
        let extent = service.extent_in();
        let edit_date = service.layers.values().filter_map(|l| l.edit_date).max();
        let description = ServiceDescription::new(service.title.clone(), service, capabilities);
        Ok(description.with_extent(extent).with_attribution(attribution).with_edit_date(edit_date))
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
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let service = found.service.clone().with_secrets(&request.secrets());
        parameters.check(&service)?;
        utility_network::check(parameters, &service)?;
        let client = &self.client.for_plan(ctx);
        let counted = Planning { client, service: &service, parameters }.count(&request.layers).await?;
        let mut warnings = utility_network::warnings(request, &service, parameters);
        warnings.extend(client.move_of(&service.root));
        let networks = utility_network::planned(request, &service, parameters);
        Ok(TaskPlan { warnings, networks, ..counted })
    }

    async fn export(
        &self,
        task: &ExportTask,
        service: &FeatureService,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let service = &service.clone().with_secrets(ctx.secrets());
        let (client, path) = (&self.client.for_task(ctx), &ctx.work_dir().join("replica.geodatabase"));
        let outcome = Export { client, task, service, parameters, ctx, path }.download().await;
        if let Err(failure) = &outcome
            && ctx.rolls_back(failure)
        {
            // Nobody will use the replica, so it must not stay on the service, and its file is worth nothing without it.
            ctx.fail_unit(FILE_UNIT, failure.clone()).await;
            job::unregister(client, ctx, service).await;
        }
        outcome
    }

    async fn rollback(&self, _: &ExportTask, service: &FeatureService, ctx: &ExportContext) {
        let service = service.clone().with_secrets(ctx.secrets());
        job::unregister(&self.client.for_task(ctx), ctx, &service).await;
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
