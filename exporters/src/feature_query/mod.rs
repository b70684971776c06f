//! Feature layers and tables of services that give no replica: their rows are asked for page by page (`query`) and written into a mobile
//! geodatabase, which is read and not synchronised.
//!
//! 1. The object ids of all rows that are wanted are listed first (`id_list`): the truth that everything else is held to.
//! 2. Their pages come side by side, under the limits of the host, each a unit with its file and hash (`page`).
//! 3. Attachments follow their rows (`attachments`); tables follow the rows that they hang on (`related`).
//! 4. The pages become a geodatabase (`write`), while they come where that can be (`early`); its rows are counted (`verify`).
//! 5. Each result knows what it was made of (`made_of`): one of another list is made anew.
//!
//! Source: `feature-service-rest` reference §5.

mod answers;
mod any_features;
mod attachment_file;
mod attachment_list;
mod attachments;
mod early;
mod export;
mod file;
mod fit;
mod id_file;
mod id_list;
mod id_source;
mod json_attributes;
mod json_other;
mod json_rows;
mod json_shape;
mod judge;
mod layer_query;
mod layer_writer;
mod left_out;
mod made_of;
mod order;
mod out_fields;
mod page;
mod parameters;
mod pbf;
mod pbf_budget;
mod pbf_rows;
mod plan;
mod related;
mod related_rows;
mod row_reader;
mod service;
mod slots;
mod stated;
mod stored;
mod units;
mod verify;
mod write;
mod written;

pub use parameters::FeatureQueryParameters;

use crate::feature_service::answer::allows_editing;
use crate::feature_service::row_filter::{layer_id, layer_options};
use crate::job_client::JobClient;
use async_trait::async_trait;
use export::Export;
use offmap_arcgis::ArcGisClient;
use offmap_engine::{ExportContext, Exporter, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_model::{Artifact, ExportTask, Failure, LayerType, MapLayer, OfflineMapSource, ReturnLayerAttachmentOption};
use plan::Planning;
use serde_json::Value;
use service::QueriedService;
use std::sync::atomic::AtomicU64;

/// Exports feature layers and tables of feature and map services, page by page.
///
/// ```
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
/// use offmap_engine::Exporter as _;
/// use offmap_exporters::feature_query::FeatureQueryExporter;
///
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// assert_eq!(FeatureQueryExporter::new(client).name(), "feature-query");
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct FeatureQueryExporter {
    client: JobClient,
}

impl FeatureQueryExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client: JobClient::new(client) }
    }
}

/// Reads an answer as a layer's description, for fuzzing.
pub(crate) fn read_any_layer(answer: &Value) {
    service::read_any_layer(answer);
}

/// Reads bytes as features in every form, for fuzzing.
pub(crate) fn read_any_features(bytes: &[u8]) {
    any_features::read(bytes);
}

#[async_trait]
impl Exporter for FeatureQueryExporter {
    type Parameters = FeatureQueryParameters;
    type Service = QueriedService;

    fn name(&self) -> &'static str {
        "feature-query"
    }

    fn parameters_type(&self) -> &'static str {
        "featureQueryParameters"
    }

    fn downloads_directly(&self) -> bool {
        true
    }

    /// Rows are held to the list of object ids of which they were asked for, and what others deleted or added since is told: edits make
    /// nothing wrong of what came.
    fn outlasts_edits(&self) -> bool {
        true
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        let kind = matches!(layer.layer_type, LayerType::Feature | LayerType::Table | LayerType::SubtypeGroup);
        let service = layer.service()?;
        (kind && matches!(service.kind().as_str(), "featureserver" | "mapserver")).then(|| service.root().to_owned())
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<QueriedService>, Failure> {
        let mut ids: Vec<u32> = request.layers.iter().filter_map(layer_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let client = self.client.for_plan(ctx);
        let found = QueriedService::fetch(&client, &request.service_url, &ids, &request.secrets()).await?;
        let capabilities = request.layers.iter().map(|l| (l.id.clone(), judge::judge(l, &found))).collect();
        let (service, layers) = (&found.service, found.service.layers.values());
        let attribution = service.attribution.clone().or_else(|| layers.clone().find_map(|l| l.attribution.clone()));
        let (extent, edit_date) = (service.extent_in(), layers.filter_map(|l| l.edit_date).max());
        let description = ServiceDescription::new(service.title.clone(), found, capabilities);
        Ok(description.with_extent(extent).with_attribution(attribution).with_edit_date(edit_date))
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<QueriedService>,
    ) -> Result<Self::Parameters, Failure> {
        let (service, wanted) = (&found.service.service, &request.parameters);
        let authored = request.source.web_map.offline_settings().unwrap_or_default();
        // What comes is read only: no layer comes as its schema alone because it could be edited online.
        let layer_options = layer_options(request, service, &authored, |_| false);
        let narrowed = |l: &MapLayer| l.capabilities.as_deref().is_some_and(|c| !allows_editing(c));
        let editable = service.editable && request.layers.iter().any(|l| !narrowed(l));
        let return_attachments = match wanted.return_layer_attachment_option {
            ReturnLayerAttachmentOption::None => false,
            ReturnLayerAttachmentOption::AllLayers => true,
            ReturnLayerAttachmentOption::ReadOnlyLayers => !editable,
            ReturnLayerAttachmentOption::EditableLayers => editable,
        };
        Ok(FeatureQueryParameters {
            extent: wanted.area_of_interest.clone(),
            layer_options,
            out_spatial_reference: request.source.web_map.spatial_reference().or_else(|| service.spatial_reference.clone()),
            return_attachments,
            max_attachment_bytes: None,
            out_fields: None,
        })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<QueriedService>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let service = found.service.clone().with_secrets(&request.secrets());
        parameters.check(&service)?;
        let client = &self.client.for_plan(ctx);
        let counted = Planning { client, service: &service, parameters }.count(&request.layers).await?;
        let warnings = client.move_of(&service.service.root).into_iter().collect();
        Ok(TaskPlan { warnings, ..counted })
    }

    async fn export(
        &self,
        task: &ExportTask,
        service: &QueriedService,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let service = service.clone().with_secrets(ctx.secrets());
        let service = &out_fields::narrowed(service, parameters.out_fields.as_deref());
        let (client, done) = (&self.client.for_task(ctx), &AtomicU64::new(0));
        Export { client, task, service, parameters, ctx, done }.run().await
    }
}
