//! Raster tiled layers as a tile cache: `exportTiles` to `.tpkx` (or `.tpk`, where that is what comes).

mod parameters;

pub use parameters::ExportTileCacheParameters;

use crate::export_parts::PartCall;
use crate::file_etag;
use crate::job_client::JobClient;
use crate::raster_service::{not_tiled, service_of};
use crate::tile_export;
use crate::tile_levels;
use crate::tile_parts::TileParts;
use crate::tile_service::{
    DEFAULT_VERSION_OF_TPKX, DESCRIPTION, FILE_UNIT, JobUrlStyle, TiledService, export_not_allowed, layers_of,
    spatial_reference_not_supported, text, title_of,
};
use async_trait::async_trait;
use offmap_arcgis::body::expect_description;
use offmap_arcgis::export_twin::export_root;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_disk::run_blocking;
use offmap_engine::{ExportContext, Exporter, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_formats::tile_package;
use offmap_formats::tile_package::{TilePackage, TilePackageKind};
use offmap_model::{
    Artifact, ArtifactFile, Capability, CapabilityReason, ExportTask, Failure, FailureKind, FailureOwner, FailureStage,
    MapLayer, OfflineMapSource, TaskLayer,
};
use serde_json::Value;

/// Bytes of a raster tile, from nearly empty to rich; an estimate for plans.
const BYTES_PER_TILE: (u64, u64) = (500, 40_000);

/// Exports raster tiled layers.
///
/// ```
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
/// use offmap_engine::Exporter as _;
/// use offmap_exporters::tile_cache::TileCacheExporter;
///
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// assert_eq!(TileCacheExporter::new(client).parameters_type(), "exportTileCacheParameters");
/// # Ok::<_, offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct TileCacheExporter {
    client: JobClient,
}

impl TileCacheExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client: JobClient::new(client) }
    }
}

#[async_trait]
impl Exporter for TileCacheExporter {
    type Parameters = ExportTileCacheParameters;
    /// `None` where it does not export tiles.
    type Service = Option<TiledService>;

    fn name(&self) -> &'static str {
        "tile-cache"
    }

    fn parameters_type(&self) -> &'static str {
        "exportTileCacheParameters"
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        service_of(layer)
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        let custom = request.secrets();
        let root = export_root(&request.service_url, &request.source.export_hosts);
        let call =
            ServiceCall::get(&root)?.with_secrets(&custom).in_stage(FailureStage::Plan).answer(AnswerKind::Description);
        let answer = self.client.for_plan(ctx).json(&call).await?;
        expect_description(&answer, &root, "a tiled service", DESCRIPTION)?;
        let flag = |key: &str| answer.get(key).and_then(Value::as_bool).unwrap_or(false);
        let title = title_of(&root, &answer);
        let no_export = || (CapabilityReason::ExportTilesNotAllowed, export_not_allowed(&title));
        let refused = not_tiled(&title, &answer).or_else(|| (!flag("exportTilesAllowed")).then(no_export));
        let service = match refused {
            Some(_) => None,
            None => Some(TiledService::read(&root, &answer, &custom)?),
        };
        let refused = refused.or_else(|| {
            let spatial_reference = &service.as_ref()?.tile_info.spatial_reference;
            let words = spatial_reference_not_supported(&title, spatial_reference)?;
            Some((CapabilityReason::SpatialReferenceNotSupported, words))
        });
        let capability = |_: &MapLayer| match &refused {
            Some((reason, words)) => Capability::refused(*reason, words.clone()),
            None => Capability::Supported,
        };
        let capabilities = request.layers.iter().map(|l| (l.id.clone(), capability(l))).collect();
        let extent = service.as_ref().and_then(TiledService::extent_in);
        let description = ServiceDescription::new(title, service, capabilities);
        Ok(description.with_extent(extent).with_attribution(text(&answer, "copyrightText")))
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure> {
        let service = exporting(&found.service)?;
        let level_ids = tile_levels::raster_levels(service, &found.title, request)?;
        Ok(ExportTileCacheParameters {
            area_of_interest: Some(request.parameters.area_of_interest.clone()),
            level_ids,
            compression_quality: None,
        })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        parameters.check()?;
        let service = exporting(&found.service)?.clone().with_secrets(&request.secrets());
        let layers: Vec<String> = request.layers.iter().map(|l| l.id.clone()).collect();
        let area = service.area(parameters.area_of_interest.as_ref())?;
        let level_ids = parameters.level_ids.clone();
        let moved = self.client.for_plan(ctx).move_of(&service.root);
        let counted =
            move || service.task_plan(layers.into_iter(), (&area, &level_ids), JobUrlStyle::Raster, BYTES_PER_TILE);
        let mut plan = run_blocking(counted).await?;
        plan.warnings.extend(moved);
        Ok(plan)
    }

    async fn export(
        &self,
        task: &ExportTask,
        service: &Self::Service,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let service = exporting(service)?.clone().with_secrets(ctx.secrets());
        run(&self.client.for_task(ctx), task, service, parameters, ctx).await
    }

    async fn rollback(&self, _: &ExportTask, _: &Self::Service, ctx: &ExportContext) {
        tile_export::rollback(&self.client.for_task(ctx), ctx).await;
    }
}

async fn run(
    client: &ArcGisClient,
    task: &ExportTask,
    service: TiledService,
    parameters: &ExportTileCacheParameters,
    ctx: &ExportContext,
) -> Result<Artifact, Failure> {
    let compact = if service.version >= DEFAULT_VERSION_OF_TPKX {
        "esriMapCacheStorageModeCompactV2"
    } else {
        "esriMapCacheStorageModeCompact"
    };
    let levels = parameters.level_ids.clone();
    let area = service.area(parameters.area_of_interest.as_ref())?;
    let (asked, whole) = (service.clone(), area.clone());
    let calls = ctx.blocking(move || asked.export_calls(&whole, &levels, JobUrlStyle::Raster)).await?;
    let calls = calls.into_iter().map(|PartCall { part, call }| {
        let call = call.with("tilePackage", true).with("storageFormatType", compact);
        let call = match parameters.compression_quality {
            Some(quality) => call.with("optimizeTilesForSize", true).with("compressionQuality", quality),
            None => call,
        };
        PartCall { part, call }
    });
    let path = ctx.work_dir().join("package");
    let parts = TileParts { client, ctx, service: &service, url_style: JobUrlStyle::Raster };
    let got = parts.export(calls.collect(), &path).await?;
    let level_ids = parameters.level_ids.clone();
    let (package, missing) = {
        let path = path.clone();
        let opened = move || {
            let package = tile_package::open(&path)?;
            let missing = service.missing(&area, &level_ids, &package)?;
            Ok((package, missing))
        };
        ctx.blocking(opened).await?
    };
    let has_budget = |l: &TaskLayer| ctx.error_budget(&l.id).missing_tiles.is_some();
    if !task.layers.iter().all(has_budget) {
        check_levels(&package, task, &parameters.level_ids)?;
    }
    ctx.finish_file(FILE_UNIT, None, &path, got.bytes, &got.sha256).await?;
    let mut layers = layers_of(task, package.total(), missing.as_ref(), None);
    file_etag::give(ctx, FILE_UNIT, &got, &mut layers).await?;
    let file = ArtifactFile::file("package", package.kind.extension()).with_sha256(got.sha256);
    Ok(Artifact { files: vec![file], layers, warnings: Vec::new() })
}

/// The service of a plan; one that does not export tiles has none.
fn exporting(service: &Option<TiledService>) -> Result<&TiledService, Failure> {
    service.as_ref().ok_or_else(|| Failure::internal("the plan's service does not export tiles"))
}

/// A level that was asked for and has no tile at all is missing, whatever the sum says. A `.tpk` may count its folders from
/// zero, so there only the number of levels is compared.
fn check_levels(package: &TilePackage, task: &ExportTask, level_ids: &[u32]) -> Result<(), Failure> {
    if package.kind == TilePackageKind::Vtpk {
        let message = format!("\"{}\" is a raster service and sent a vector tile package", task.title);
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, message));
    }
    let there: Vec<u32> = package.tiles.iter().filter(|(_, n)| **n > 0).map(|(level, _)| *level).collect();
    let missing: Vec<u32> = match package.kind {
        TilePackageKind::Tpkx => level_ids.iter().copied().filter(|id| !there.contains(id)).collect(),
        _ if there.len() < level_ids.len() => level_ids.iter().copied().skip(there.len()).collect(),
        _ => Vec::new(),
    };
    if missing.is_empty() {
        return Ok(());
    }
    let message =
        format!("the tile package of \"{}\" has no tiles of levels {missing:?}; it holds levels {there:?}", task.title);
    Err(Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message))
}
