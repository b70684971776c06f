//! Layers that their services draw on demand, tile by tile: `.tpkx` of dynamic map services, image services without a cache, and WMS.
//!
//! Only where `drawTiles` allows it. Tiles lie in the scheme of the map's basemap (`scheme`). A picture holds several tiles and a margin
//! (`frame`), is cut (`cut`), and goes into the file of its block as tiles that were fetched do (`tile_blocks`). Tiles on which nothing is
//! drawn are not stored.
//!
//! Source: ArcGIS REST API, Export Map and Export Image; WMS 1.1.1 and 1.3.0; tile reference §1, §10, §12, §13.

mod arcgis_picture;
mod axis_order;
mod cut;
mod describe;
mod draw;
mod drawing;
mod export;
mod frame;
mod image_service;
mod layer;
mod map_service;
mod parameters;
mod scheme;
mod source;
mod wms_capabilities;
mod wms_drawing;

pub use parameters::TileDrawParameters;
pub use source::DrawSource;

use crate::job_client::JobClient;
use crate::tile_blocks::{blocks_of, units};
use crate::tile_levels;
use crate::tile_service::FILE_UNIT;
use async_trait::async_trait;
use export::Export;
use offmap_arcgis::ArcGisClient;
use offmap_disk::run_blocking;
use offmap_engine::{ExportContext, Exporter, LayerPlan, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_formats::tiles::TileInfo;
use offmap_model::{Artifact, ByteRange, CountUnit, ExportTask, Failure, MapLayer, OfflineMapSource, Unit};

/// Bytes of a tile, from nothing to rich; an estimate for plans.
const BYTES: (u64, u64) = (0, 60_000);

/// Has layers drawn tile by tile.
///
/// ```
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
/// use offmap_engine::Exporter as _;
/// use offmap_exporters::tile_draw::TileDrawExporter;
///
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// let exporter = TileDrawExporter::new(client);
/// assert_eq!(exporter.parameters_type(), "tileDrawParameters");
/// assert!(exporter.draws_tiles());
/// # Ok::<_, offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct TileDrawExporter {
    client: JobClient,
}

impl TileDrawExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client: JobClient::new(client) }
    }
}

#[async_trait]
impl Exporter for TileDrawExporter {
    type Parameters = TileDrawParameters;
    /// `None` where nothing can be drawn.
    type Service = Option<DrawSource>;

    fn name(&self) -> &'static str {
        "tile-draw"
    }

    fn parameters_type(&self) -> &'static str {
        "tileDrawParameters"
    }

    fn draws_tiles(&self) -> bool {
        true
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        layer::service_of(layer, source)
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        let client = self.client.for_plan(ctx);
        let layer = request.layers.first().ok_or_else(|| Failure::internal("no layer is to be drawn"))?;
        describe::describe(&client, request, layer).await
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure> {
        let source = drawable(&found.service)?;
        let level_ids = tile_levels::raster_levels(&source.service, &found.title, request)?;
        Ok(TileDrawParameters { area_of_interest: Some(request.parameters.area_of_interest.clone()), level_ids })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        parameters.check()?;
        let source = drawable(&found.service)?.clone();
        let layers: Vec<String> = request.layers.iter().map(|l| l.id.clone()).collect();
        let moved = self.client.for_plan(ctx).move_of(&source.drawing.url());
        let parameters = parameters.clone();
        let mut plan = run_blocking(move || task_plan(&source, &layers, &parameters)).await?;
        plan.warnings.extend(moved);
        Ok(plan)
    }

    async fn export(
        &self,
        task: &ExportTask,
        source: &Self::Service,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let source = drawable(source)?.clone().with_secrets(ctx.secrets());
        let client = self.client.for_task(ctx);
        Export { client: &client, task, source: &source, parameters, ctx }.run().await
    }
}

/// Reads bytes as the capabilities of a WMS, for fuzzing.
pub(crate) fn read_any_capabilities(bytes: &[u8]) {
    if let Ok(read) = wms_capabilities::Capabilities::read(bytes) {
        let names = read.top_names();
        let _ =
            (read.check(&names), read.extent(&names), read.attribution(&names), read.crs(&names, &["EPSG:3857".to_owned()]));
    }
}

/// The source of a plan; a service that draws nothing has none.
fn drawable(source: &Option<DrawSource>) -> Result<&DrawSource, Failure> {
    source.as_ref().ok_or_else(|| Failure::internal("the plan's service draws nothing"))
}

/// The plan of a drawing: blocks, pictures, and the package that they become.
fn task_plan(source: &DrawSource, layers: &[String], parameters: &TileDrawParameters) -> Result<TaskPlan, Failure> {
    let service = &source.service;
    let area = service.area(parameters.area_of_interest.as_ref())?;
    let levels = service.planned_levels(&area, &parameters.level_ids)?;
    let blocks = blocks_of(service, &area, &parameters.level_ids)?;
    let total = TileInfo::total(&levels);
    let mut units = units(&blocks);
    units.push(Unit::new(FILE_UNIT, "resultFile", "the tile package"));
    let layer = |id: &String| LayerPlan { id: id.clone(), expected: Some(total), ..LayerPlan::default() };
    Ok(TaskPlan {
        units,
        layers: layers.iter().map(layer).collect(),
        count_unit: CountUnit::Tiles,
        requests: blocks.iter().map(|block| source.size.pictures(&block.tiles)).fold(0, u64::saturating_add),
        levels,
        bytes: Some(ByteRange { min: total.saturating_mul(BYTES.0), max: total.saturating_mul(BYTES.1) }),
        warnings: source.warnings.clone(),
        ..TaskPlan::default()
    })
}
