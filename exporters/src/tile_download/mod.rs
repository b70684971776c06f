//! Tiled layers tile by tile, from services that do not export them: `.tpkx` of raster tiles, `.vtpk` of vector tiles.
//!
//! Only where `directDownload` allows it. The unit is a block of at most 128 × 128 tiles of a level, in a file of its own
//! (`tile_blocks`); when all are there, they become one package. What exists of a block the service is asked first (`tilemap`).
//!
//! Source: tile reference §2 to §4, §10, §12 to §14.

mod arrived;
mod delivery;
mod export;
mod fetch;
mod packed_style;
mod parameters;
mod source;
mod template;
mod tile_fetch;
mod tile_queue;
mod tilemap;
mod web_tiles;

pub use parameters::TileDownloadParameters;

use crate::job_client::JobClient;
use crate::raster_service;
use crate::tile_blocks::{blocks_of, units};
use crate::tile_levels;
use crate::tile_service::{DESCRIPTION, FILE_UNIT, TiledService, spatial_reference_not_supported, text, title_of};
use crate::vector_service::{self, Description, Way};
use crate::vector_style::{STYLE_UNIT, numbered};
use async_trait::async_trait;
use export::{Export, OWN_STYLE_UNIT};
use offmap_arcgis::body::expect_description;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_disk::run_blocking;
use offmap_engine::{ExportContext, Exporter, LayerPlan, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_formats::tiles::TileInfo;
use offmap_model::{
    Artifact, ByteRange, Capability, CapabilityReason, CountUnit, ExportTask, Failure, FailureStage, LayerType, MapLayer,
    OfflineMapSource, Unit,
};
use source::TileSource;

/// Bytes of a tile, from nearly empty to rich; an estimate for plans.
const RASTER_BYTES: (u64, u64) = (500, 40_000);
const VECTOR_BYTES: (u64, u64) = (200, 60_000);

/// Downloads tiled layers tile by tile.
///
/// ```
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
/// use offmap_engine::Exporter as _;
/// use offmap_exporters::tile_download::TileDownloadExporter;
///
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// let exporter = TileDownloadExporter::new(client);
/// assert_eq!(exporter.parameters_type(), "tileDownloadParameters");
/// assert!(exporter.downloads_directly());
/// # Ok::<_, offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct TileDownloadExporter {
    client: JobClient,
}

impl TileDownloadExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client: JobClient::new(client) }
    }
}

#[async_trait]
impl Exporter for TileDownloadExporter {
    type Parameters = TileDownloadParameters;
    /// `None` where there are no tiles to download.
    type Service = Option<TileSource>;

    fn name(&self) -> &'static str {
        "tile-download"
    }

    fn parameters_type(&self) -> &'static str {
        "tileDownloadParameters"
    }

    fn downloads_directly(&self) -> bool {
        true
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        match layer.layer_type {
            LayerType::VectorTile => vector_service::service_of(layer, source),
            LayerType::Other(_) => raster_service::service_of(layer).or_else(|| web_tiles::service_of(layer, source)),
            _ => raster_service::service_of(layer),
        }
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        let client = self.client.for_plan(ctx);
        let first = request.layers.first();
        if let Some(template) = first.and_then(|layer| web_tiles::template_of(layer, &request.source)) {
            return Ok(web_tiles::describe(request, template));
        }
        match first.map(|l| &l.layer_type) {
            Some(LayerType::VectorTile) => describe_vector(&client, request).await,
            _ => describe_raster(&client, request).await,
        }
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure> {
        let source = downloadable(&found.service)?;
        let level_ids = if source.vector.is_some() {
            let deepest = tile_levels::vector_max_level(&source.service, &found.title, request)?;
            source.service.cached_levels().iter().map(|l| l.level).filter(|id| *id <= deepest).collect()
        } else {
            tile_levels::raster_levels(&source.service, &found.title, request)?
        };
        let area_of_interest = Some(request.parameters.area_of_interest.clone());
        Ok(TileDownloadParameters { area_of_interest, level_ids })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        parameters.check()?;
        let source = downloadable(&found.service)?.clone();
        let layers: Vec<String> = request.layers.iter().map(|l| l.id.clone()).collect();
        let moved = self.client.for_plan(ctx).move_of(&source.service.root);
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
        let source = downloadable(source)?.clone().with_secrets(ctx.secrets());
        let client = self.client.for_task(ctx);
        Export { client: &client, task, source: &source, parameters, ctx }.run().await
    }
}

/// The source of a plan; a service without tiles has none.
fn downloadable(source: &Option<TileSource>) -> Result<&TileSource, Failure> {
    source.as_ref().ok_or_else(|| Failure::internal("the plan's service has no tiles to download"))
}

/// The plan of a download: blocks, styles, and the package that they become.
fn task_plan(source: &TileSource, layers: &[String], parameters: &TileDownloadParameters) -> Result<TaskPlan, Failure> {
    let service = &source.service;
    let area = service.area(parameters.area_of_interest.as_ref())?;
    let levels = service.planned_levels(&area, &parameters.level_ids)?;
    let blocks = blocks_of(service, &area, &parameters.level_ids)?;
    let total = TileInfo::total(&levels);
    let (least, most) = if source.is_vector() { VECTOR_BYTES } else { RASTER_BYTES };
    // A service that says which tiles there are may have far fewer.
    let (tilemaps, sure) = if service.has_tilemap { (blocks.len() as u64, 0) } else { (0, total) };
    let mut units = units(&blocks);
    if let Some(described) = &source.vector {
        units.push(Unit::new(OWN_STYLE_UNIT, "resource", "the service's style with sprites and fonts"));
        for i in 0..described.styles.len() {
            units.push(Unit::new(numbered(STYLE_UNIT, i), "resource", "the item's style with sprites and fonts"));
        }
    }
    units.push(Unit::new(FILE_UNIT, "resultFile", "the tile package"));
    let layer = |id: &String| LayerPlan { id: id.clone(), expected: Some(total), ..LayerPlan::default() };
    Ok(TaskPlan {
        units,
        layers: layers.iter().map(layer).collect(),
        count_unit: CountUnit::Tiles,
        requests: total.saturating_add(tilemaps),
        levels,
        bytes: Some(ByteRange { min: sure.saturating_mul(least), max: total.saturating_mul(most) }),
        ..TaskPlan::default()
    })
}

async fn describe_raster(
    client: &ArcGisClient,
    request: &ServiceRequest,
) -> Result<ServiceDescription<Option<TileSource>>, Failure> {
    let (custom, root) = (request.secrets(), &request.service_url);
    let call = ServiceCall::get(root)?.with_secrets(&custom).in_stage(FailureStage::Plan).answer(AnswerKind::Description);
    let answer = client.json(&call).await?;
    expect_description(&answer, root, "a tiled service", DESCRIPTION)?;
    let (title, attribution) = (title_of(root, &answer), text(&answer, "copyrightText"));
    let mut refused = raster_service::not_tiled(&title, &answer);
    let service = match refused {
        Some(_) => None,
        None => Some(TiledService::read(root, &answer, &custom)?),
    };
    if let Some(words) =
        service.as_ref().and_then(|s| spatial_reference_not_supported(&title, &s.tile_info.spatial_reference))
    {
        refused = Some((CapabilityReason::SpatialReferenceNotSupported, words));
    }
    let capability = |layer: &MapLayer| match &refused {
        Some((reason, words)) => (layer.id.clone(), Capability::refused(*reason, words.clone())),
        None => (layer.id.clone(), Capability::Supported),
    };
    let capabilities = request.layers.iter().map(capability).collect();
    let extent = service.as_ref().and_then(TiledService::extent_in);
    let source = service.map(|service| TileSource::raster(service, title.clone(), attribution.clone()));
    Ok(ServiceDescription::new(title, source, capabilities).with_extent(extent).with_attribution(attribution))
}

async fn describe_vector(
    client: &ArcGisClient,
    request: &ServiceRequest,
) -> Result<ServiceDescription<Option<TileSource>>, Failure> {
    let mut found = Description::new(client, request, Way::Direct);
    found.read_styles().await?;
    let (title, attribution) = found.read_service().await?;
    let found = found.into_description(title, attribution);
    let service = found.service.service.clone();
    let hosts = &request.parameters.direct_download_hosts;
    // A style may name a service on another host than its own.
    let forbidden = service.as_ref().and_then(|service| hosts.refused(&found.title, &service.root));
    if let Some(words) = forbidden {
        let refused =
            |l: &MapLayer| (l.id.clone(), Capability::refused(CapabilityReason::DirectDownloadForbidden, words.clone()));
        return Ok(ServiceDescription::new(found.title, None, request.layers.iter().map(refused).collect()));
    }
    let source = service
        .map(|service| TileSource::vector(service, found.service.clone(), found.title.clone(), found.attribution.clone()));
    let described = ServiceDescription::new(found.title, source, found.capabilities);
    Ok(described.with_extent(found.extent).with_attribution(found.attribution))
}
