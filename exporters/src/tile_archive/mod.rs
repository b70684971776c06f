//! Tiles of a PMTiles archive that lies on a web server, by range requests: of a file of any size come the header, the directories and the
//! bytes of those tiles that the area and the levels want.
//!
//! Only where `directDownload` allows it. The layer has the type `PMTiles` and the url of the archive; no map viewer writes such a layer, and
//! [`lone_service`](offmap_arcgis::lone_service) does for `offmap fetch`. What comes is an archive of the same kind, with the same metadata.
//!
//! | step | asks for |
//! | --- | --- |
//! | describe | the first 16 KiB, and the metadata |
//! | plan | the same, and the directories with tiles that are wanted: how many tiles there are, and how many bytes, is known before |
//! | export | the same, and the tiles: ranges of bytes, neighbours in one request (`byte_ranges`), kept in a file as they come (`pack`) |
//!
//! Every request names the state of the archive that is read (`ETag`, else when it was modified) and is held to its length. An archive that
//! changes meanwhile is read once more from its beginning, and then no more. One that has other tiles or zooms than the planned one is refused
//! (`kind`), as is one of more tiles or directories than a disk and a memory have room for.
//!
//! Source: PMTiles specification, version 3 (`spec/v3/spec.md` of protomaps/PMTiles); RFC 9110 §13, §14.

mod byte_ranges;
mod describe;
mod export;
mod kind;
mod opened;
mod pack;
mod parameters;
mod remote;
mod source;
mod wanted;

pub use parameters::TileArchiveParameters;
pub use source::ArchiveSource;

use crate::job_client::JobClient;
use crate::tile_levels;
use crate::tile_service::FILE_UNIT;
use async_trait::async_trait;
use describe::failure_of;
use export::{Export, RANGES_UNIT, no_tiles};
use offmap_arcgis::ArcGisClient;
use offmap_disk::run_blocking;
use offmap_engine::{ExportContext, Exporter, LayerPlan, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_model::{
    Artifact, ByteRange, BytesSource, CountUnit, ExportTask, Failure, FailureStage, LayerType, MapLayer, OfflineMapSource,
    PlannedLevel, Unit,
};
use opened::{Found, Opened};
use pack::Pack;
use std::sync::Arc;
use wanted::wanted;

/// The type of its layers.
const LAYER_TYPE: &str = "PMTiles";
/// Bytes of directories that a plan reads; one of more is an estimate.
const PLANNED_DIRECTORIES: u64 = 64 << 20;

/// Takes tiles out of archives on web servers.
///
/// ```
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
/// use offmap_engine::Exporter as _;
/// use offmap_exporters::tile_archive::TileArchiveExporter;
///
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// let exporter = TileArchiveExporter::new(client);
/// assert_eq!(exporter.parameters_type(), "tileArchiveParameters");
/// assert!(exporter.downloads_directly());
/// # Ok::<_, offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct TileArchiveExporter {
    client: JobClient,
}

impl TileArchiveExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client: JobClient::new(client) }
    }
}

#[async_trait]
impl Exporter for TileArchiveExporter {
    type Parameters = TileArchiveParameters;
    /// `None` where nothing can be taken.
    type Service = Option<ArchiveSource>;

    fn name(&self) -> &'static str {
        "tile-archive"
    }

    fn parameters_type(&self) -> &'static str {
        "tileArchiveParameters"
    }

    fn downloads_directly(&self) -> bool {
        true
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        let is_archive = matches!(&layer.layer_type, LayerType::Other(kind) if kind == LAYER_TYPE);
        layer.url.clone().filter(|_| is_archive)
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        describe::describe(&self.client, request, ctx).await
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure> {
        let source = readable(&found.service)?;
        let level_ids = tile_levels::raster_levels(&source.service, &found.title, request)?;
        Ok(TileArchiveParameters { area_of_interest: Some(request.parameters.area_of_interest.clone()), level_ids })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        parameters.check()?;
        let source = readable(&found.service)?.clone().with_secrets(&request.secrets());
        let remote = source.remote(self.client.for_plan(ctx), Err((&request.parameters.direct_download_hosts, ctx)));
        let (service, of) = (source.service.clone(), parameters.clone());
        let ids = run_blocking(move || wanted(&service, of.area_of_interest.as_ref(), &of.level_ids).map(Arc::new)).await?;
        let failed = |trouble| failure_of(&remote, trouble);
        let opened = Opened::open(&remote, |_| Ok(Pack::in_memory())).await.map_err(failed)?;
        let (opened, found) = opened.directories(&remote, &ids, PLANNED_DIRECTORIES).await.map_err(failed)?;
        if found.as_ref().is_some_and(|found| found.total == 0) {
            return Err(no_tiles(&source.title, FailureStage::Plan).with_url(&remote.url));
        }
        let layers: Vec<String> = request.layers.iter().map(|l| l.id.clone()).collect();
        Ok(task_plan(&source, &layers, found.as_ref(), &opened))
    }

    async fn export(
        &self,
        task: &ExportTask,
        source: &Self::Service,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let source = readable(source)?.clone().with_secrets(ctx.secrets());
        let remote = source.remote(self.client.for_task(ctx), Ok(ctx));
        Export { remote: &remote, task, source: &source, parameters, ctx }.run().await
    }
}

/// The source of a plan; one that is refused has none.
fn readable(source: &Option<ArchiveSource>) -> Result<&ArchiveSource, Failure> {
    source.as_ref().ok_or_else(|| Failure::internal("the plan's archive cannot be read"))
}

/// The plan of an export: exact where the directories were read.
fn task_plan(source: &ArchiveSource, layers: &[String], found: Option<&Found>, opened: &Opened) -> TaskPlan {
    let units = vec![
        Unit::new(RANGES_UNIT, "tileRanges", "the parts of the archive that have the tiles"),
        Unit::new(FILE_UNIT, "resultFile", "the archive of the tiles that are wanted"),
    ];
    let layer = |expected, exact| {
        let of = move |id: &String| LayerPlan { id: id.clone(), expected, exact, ..LayerPlan::default() };
        layers.iter().map(of).collect()
    };
    let plan = TaskPlan { units, count_unit: CountUnit::Tiles, ..TaskPlan::default() };
    let Some(found) = found else {
        let (tiles, _) = opened.reader.stated_bytes();
        let stated = Some(opened.reader.stated_tiles()).filter(|tiles| *tiles > 0);
        let warning = format!("the directories of \"{}\" are so large that they are read with its tiles only", source.title);
        return TaskPlan {
            layers: layer(stated, false),
            bytes: Some(ByteRange { min: 0, max: tiles }),
            requests: tiles / byte_ranges::LARGEST_REQUEST,
            warnings: vec![warning],
            ..plan
        };
    };
    let lods = &source.service.tile_info.lods;
    let level = |(zoom, tiles): (&u8, &u64)| {
        let level_id = u32::from(*zoom);
        let scale = lods.iter().find(|lod| lod.level == level_id).map_or(0.0, |lod| lod.scale);
        PlannedLevel { level_id, scale, tiles: *tiles }
    };
    let fetched = found.requests.iter().map(|range| range.end - range.start).sum();
    TaskPlan {
        layers: layer(Some(found.total), true),
        levels: found.tiles.iter().map(level).collect(),
        bytes: Some(ByteRange { min: found.bytes, max: fetched }),
        bytes_from: BytesSource::ServiceEstimate,
        requests: found.requests.len() as u64,
        ..plan
    }
}
