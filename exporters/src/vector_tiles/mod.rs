//! Vector tiled layers: `exportTiles` to `.vtpk`, and the style, sprites and fonts of a style that lives on a portal item.

mod export;
mod parameters;

pub use parameters::ExportVectorTilesParameters;

use crate::job_client::JobClient;
use crate::tile_export;
use crate::tile_levels;
use crate::tile_service::{JobUrlStyle, TiledService};
use crate::vector_service::{Described, Description, Way, service_of};
use crate::vector_style::{STYLE_UNIT, numbered};
use async_trait::async_trait;
use export::Export;
use offmap_arcgis::ArcGisClient;
use offmap_disk::run_blocking;
use offmap_engine::{ExportContext, Exporter, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_model::{Artifact, ExportTask, Failure, MapLayer, OfflineMapSource, Unit};

/// Bytes of a vector tile, from nearly empty to rich; an estimate for plans.
const BYTES_PER_TILE: (u64, u64) = (200, 60_000);
/// Exports vector tiled layers.
///
/// ```
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
/// use offmap_engine::Exporter as _;
/// use offmap_exporters::vector_tiles::VectorTilesExporter;
///
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// assert_eq!(VectorTilesExporter::new(client).parameters_type(), "exportVectorTilesParameters");
/// # Ok::<_, offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct VectorTilesExporter {
    client: JobClient,
}

impl VectorTilesExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client: JobClient::new(client) }
    }
}

#[async_trait]
impl Exporter for VectorTilesExporter {
    type Parameters = ExportVectorTilesParameters;
    type Service = Described;

    fn name(&self) -> &'static str {
        "vector-tiles"
    }

    fn parameters_type(&self) -> &'static str {
        "exportVectorTilesParameters"
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        service_of(layer, source)
    }

    async fn describe(&self, request: &ServiceRequest, ctx: &PlanContext) -> Result<ServiceDescription<Described>, Failure> {
        let client = self.client.for_plan(ctx);
        let mut found = Description::new(&client, request, Way::Export);
        found.read_styles().await?;
        let (title, attribution) = found.read_service().await?;
        Ok(found.into_description(title, attribution))
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Described>,
    ) -> Result<Self::Parameters, Failure> {
        let wanted = &request.parameters;
        let service = found.service.chosen(wanted.esri_vector_tiles_download_option)?;
        let max_level = tile_levels::vector_max_level(service, &found.title, request)?;
        let max_level = i32::try_from(max_level).unwrap_or(i32::MAX);
        Ok(ExportVectorTilesParameters {
            area_of_interest: Some(wanted.area_of_interest.clone()),
            max_level,
            esri_vector_tiles_download_option: wanted.esri_vector_tiles_download_option,
        })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Described>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        parameters.check()?;
        let described = found.service.clone().with_secrets(&request.secrets());
        let service = described.chosen(parameters.esri_vector_tiles_download_option)?.clone();
        let level_ids = level_ids(&service, parameters)?;
        let layers: Vec<String> = request.layers.iter().map(|l| l.id.clone()).collect();
        let area = service.area(parameters.area_of_interest.as_ref())?;
        let moved = self.client.for_plan(ctx).move_of(&service.root);
        let counted =
            move || service.task_plan(layers.into_iter(), (&area, &level_ids), JobUrlStyle::Vector, BYTES_PER_TILE);
        let mut plan = run_blocking(counted).await?;
        plan.warnings.extend(moved);
        for i in 0..described.styles.len() {
            plan.units.push(Unit::new(numbered(STYLE_UNIT, i), "resource", "the item's style with sprites and fonts"));
        }
        plan.warnings.extend(described.warnings(parameters.esri_vector_tiles_download_option));
        Ok(plan)
    }

    async fn export(
        &self,
        task: &ExportTask,
        described: &Described,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let described = described.clone().with_secrets(ctx.secrets());
        let service = described.chosen(parameters.esri_vector_tiles_download_option)?;
        let level_ids = level_ids(service, parameters)?;
        let client = self.client.for_task(ctx);
        let export = Export { client: &client, task, described: &described, service, level_ids: &level_ids, ctx };
        export.run(parameters.area_of_interest.as_ref()).await
    }

    async fn rollback(&self, _: &ExportTask, _: &Described, ctx: &ExportContext) {
        tile_export::rollback(&self.client.for_task(ctx), ctx).await;
    }
}

/// `minLOD`..the wanted level.
fn level_ids(service: &TiledService, parameters: &ExportVectorTilesParameters) -> Result<Vec<u32>, Failure> {
    let deepest = u32::try_from(parameters.max_level).unwrap_or(u32::MAX);
    let ids: Vec<u32> = service.cached_levels().iter().map(|l| l.level).filter(|id| *id <= deepest).collect();
    if ids.is_empty() {
        let message = format!("{} has no level at or below maxLevel {}", service.root, parameters.max_level);
        return Err(Failure::invalid_parameter(message));
    }
    Ok(ids)
}
