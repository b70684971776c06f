//! Has the tiles of a block drawn, a few in a picture, each picture in a task of its own.

use super::cut::{CutTile, check, cut};
use super::frame::Frame;
use super::source::DrawSource;
use crate::tile_blocks::{Block, BlockFile, BlockSource, BlockWriter, Spare, TileProgress, place_in_block, shown};
use async_trait::async_trait;
use offmap_arcgis::ArcGisClient;
use offmap_disk::Steps;
use offmap_engine::ExportContext;
use offmap_formats::TileId;
use offmap_model::{
    DirectDownloadHosts, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, MOST_EXAMPLES, Missing,
};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tracing::{Instrument as _, Span};

/// Pictures that wait for their turn; how many are asked for at a time, the governor of the host says.
const QUEUED: usize = 2;
/// Most pictures under way, waiting or not: each is in memory.
const MOST_IN_FLIGHT: usize = 32;
/// How often a picture is asked for whose head is right and whose pixels cannot be decoded.
const ATTEMPTS: u32 = 3;
/// Largest picture, in bytes for each of its pixels and beside them.
const BYTES_OF_PIXEL: usize = 5;
const BYTES_BESIDE: usize = 64 << 10;

/// What came of a picture: its tiles, or how many did not come.
enum Came {
    Tiles(Vec<CutTile>),
    Lost(u64),
}

/// Pictures that are under way.
type Running = JoinSet<Result<Came, Failure>>;

/// Has the tiles of one task drawn.
pub(super) struct Draw<'a> {
    client: &'a ArcGisClient,
    ctx: &'a ExportContext,
    source: &'a DrawSource,
    pictures: Arc<Pictures>,
    /// Tiles are made by the encoder, so that no list is used again.
    spare: Arc<Spare>,
    in_flight: usize,
}

impl<'a> Draw<'a> {
    pub(super) fn new(
        client: &'a ArcGisClient,
        ctx: &'a ExportContext,
        (source, task): (&'a DrawSource, &ExportTask),
        planned: u64,
    ) -> Self {
        let in_flight = client.options().requests_per_host.saturating_mul(QUEUED).clamp(1, MOST_IN_FLIGHT);
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let pictures = Arc::new(Pictures {
            client: client.clone(),
            ctx: ctx.clone(),
            source: source.clone(),
            hosts: Arc::new(ctx.direct_download_hosts().clone()),
            has_budget: task.layers.iter().all(|l| ctx.error_budget(&l.id).missing_tiles.is_some()),
            permits: Semaphore::new(in_flight),
            cores: Semaphore::new(cores),
            lost: Mutex::new(Missing { of: planned, ..Missing::default() }),
        });
        Self { client, ctx, source, pictures, spare: Arc::default(), in_flight }
    }

    /// The pictures of a block of which a tile is not known.
    fn frames(&self, block: &Block, file: &BlockFile) -> Result<Vec<Frame>, Failure> {
        let info = &self.source.service.tile_info;
        let lod = info.lods.iter().find(|lod| lod.level == block.level);
        let lod = lod.ok_or_else(|| Failure::internal(format!("the scheme has no level {}", block.level)))?;
        let knows = |tile: &TileId| file.known.knows(place_in_block(tile.row, tile.column));
        let all = self.source.size.frames((info, lod), block.places());
        Ok(all.filter(|frame| !frame.tiles.iter().all(knows)).collect())
    }
}

/// What a task had; the panic of one is the exporter's.
fn ended(task: Result<Result<Came, Failure>, JoinError>) -> Result<Came, Failure> {
    match task {
        Ok(came) => came,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Failure::cancelled()),
    }
}

#[async_trait]
impl BlockSource for Draw<'_> {
    fn purpose(&self, unit: &str) -> [u8; 32] {
        self.source.purpose(unit)
    }

    async fn fill(&self, block: &Block, file: BlockFile, progress: &TileProgress<'_>) -> Result<BlockFile, Failure> {
        let frames = self.frames(block, &file)?;
        let missing: u64 = frames.iter().map(|frame| frame.tiles.len() as u64).sum();
        progress.add(block.tiles.tiles().saturating_sub(missing));
        let (mut todo, mut running) = (frames.into_iter(), Running::new());
        let mut writer = BlockWriter::new(self.ctx, (self.client.options().disk_reserve, &self.spare), file);
        let mut failed = None;
        while failed.is_none() {
            if writer.is_due() {
                writer.begin();
                continue;
            }
            while running.len() < self.in_flight
                && let Some(frame) = todo.next()
            {
                let (pictures, steps) = (Arc::clone(&self.pictures), Steps::here());
                running.spawn(steps.of(async move { pictures.of(frame).await }).instrument(Span::current()));
            }
            tokio::select! {
                biased;
                stepped = writer.step() => stepped?,
                came = running.join_next(), if !writer.is_full() => match came.map(ended) {
                    Some(Ok(Came::Tiles(tiles))) => {
                        progress.add(tiles.len() as u64);
                        for (tile, bytes) in tiles {
                            writer.put(place_in_block(tile.row, tile.column), bytes);
                        }
                    }
                    Some(Ok(Came::Lost(tiles))) => progress.add(tiles),
                    Some(Err(failure)) => failed = failed.or(Some(failure)),
                    None => break,
                },
            }
        }
        drop(running);
        let file = writer.finish().await?;
        failed.map_or(Ok(file), Err)
    }
}

/// Asks for pictures and cuts them.
struct Pictures {
    client: ArcGisClient,
    ctx: ExportContext,
    source: DrawSource,
    hosts: Arc<DirectDownloadHosts>,
    /// Whether tiles may be missing: every layer says how many.
    has_budget: bool,
    permits: Semaphore,
    /// Pictures that are decoded at a time.
    cores: Semaphore,
    /// Tiles that did not come so far.
    lost: Mutex<Missing>,
}

impl Pictures {
    async fn of(&self, frame: Frame) -> Result<Came, Failure> {
        let closed = |_| Failure::internal("nothing is drawn any more");
        let _permit = self.permits.acquire().await.map_err(closed)?;
        self.ctx.goes_on().await?;
        let frame = Arc::new(frame);
        match self.ctx.or_cancelled(self.drawn(&frame)).await {
            Ok(tiles) => Ok(Came::Tiles(tiles)),
            Err(failure) if self.may_be_lost(&failure) => {
                self.lose(&frame, &failure)?;
                Ok(Came::Lost(frame.tiles.len() as u64))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks for a picture and cuts it.
    async fn drawn(&self, frame: &Arc<Frame>) -> Result<Vec<CutTile>, Failure> {
        let size = (frame.width, frame.height);
        let pixels = usize::try_from(u64::from(size.0) * u64::from(size.1)).unwrap_or(usize::MAX);
        let limit = pixels.saturating_mul(BYTES_OF_PIXEL).saturating_add(BYTES_BESIDE);
        let mut attempt = 1;
        loop {
            let call = self.source.call(frame, &self.hosts)?;
            let Some(bytes) = self.client.tile(call, limit, &|bytes| check(bytes, size), Vec::new()).await? else {
                let message = format!("\"{}\" has nothing where its pictures are drawn (404)", self.source.title);
                let failure = Failure::new(FailureOwner::Source, FailureKind::NotFound, FailureStage::Download, message);
                return Err(failure.with_url(&self.source.drawing.url()));
            };
            let closed = |_| Failure::internal("nothing is drawn any more");
            let _core = self.cores.acquire().await.map_err(closed)?;
            let cutting = Arc::clone(frame);
            match self.ctx.blocking(move || cut(&bytes, &cutting)).await {
                Err(failure) if failure.kind == FailureKind::InvalidAnswer && attempt < ATTEMPTS => attempt += 1,
                Err(failure) => return Err(failure.with_url(&self.source.drawing.url())),
                Ok(tiles) => return Ok(tiles),
            }
        }
    }

    /// Whether a failure costs its tiles, and not the layer: it says how many may be missing, and it is the picture's.
    fn may_be_lost(&self, failure: &Failure) -> bool {
        let of_picture = matches!(failure.owner, FailureOwner::Source | FailureOwner::Network);
        self.has_budget && of_picture && failure.kind != FailureKind::NotSupported && !failure.is_cancelled()
    }

    /// Counts tiles that did not come; fails once no layer can keep its budget.
    fn lose(&self, frame: &Frame, failure: &Failure) -> Result<(), Failure> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(%failure, tiles = frame.tiles.len(), "a picture did not come");
        lost.count += frame.tiles.len() as u64;
        let room = MOST_EXAMPLES.saturating_sub(lost.examples.len());
        lost.examples.extend(frame.tiles.iter().take(room).map(|tile| shown(*tile)));
        self.ctx.may_lack_tiles(&lost)
    }
}
