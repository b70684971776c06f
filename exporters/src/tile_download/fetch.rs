//! Fetches the tiles of blocks: a bounded number at a time, each block into a file of its own.

use super::block_file::{BlockFile, Known, place_in_block};
use super::blocks::Block;
use super::source::TileSource;
use super::tally::{Tally, shown};
use super::tilemap::Tilemaps;
use futures_util::{StreamExt as _, stream};
use offmap_arcgis::ArcGisClient;
use offmap_disk::hash_file_until;
use offmap_engine::ExportContext;
use offmap_formats::TileId;
use offmap_formats::compact_cache::LARGEST_TILE;
use offmap_model::{ExportTask, Failure, FailureOwner, FailureStage, MOST_EXAMPLES, Missing, Progress, ProgressUnit};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Tiles and bytes of a block that wait until they are written: no more of it is fetched again after a kill, but for what was under way.
const WRITTEN_TILES: usize = 4;
const WRITTEN_BYTES: u64 = 1 << 20;
/// Requests that wait for their turn at each host; how many go at a time, the governor of the host says.
const QUEUED_PER_HOST: usize = 2;
/// Most requests under way or waiting.
const MOST_IN_FLIGHT: usize = 256;
/// Blocks that are fetched at a time.
const BLOCKS_AT_A_TIME: usize = 4;

/// A block that came.
#[derive(Debug)]
pub(super) struct BlockEnd {
    pub(super) block: Block,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// Fetches the blocks of one task.
pub(super) struct Fetch<'a> {
    client: &'a ArcGisClient,
    ctx: &'a ExportContext,
    source: &'a TileSource,
    tilemaps: Tilemaps<'a>,
    /// Whether tiles may be missing: every layer says how many.
    has_budget: bool,
    in_flight: usize,
    permits: Semaphore,
    planned: u64,
    done: AtomicU64,
    tally: Mutex<Tally>,
    /// Tiles that did not come so far.
    lost: Mutex<Missing>,
}

/// What a tile's url had.
enum Came {
    Tile(Vec<u8>),
    None,
    /// It did not come; why is logged.
    Lost,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        client: &'a ArcGisClient,
        ctx: &'a ExportContext,
        (source, task): (&'a TileSource, &ExportTask),
        planned: u64,
    ) -> Self {
        let each = client.options().requests_per_host.saturating_mul(QUEUED_PER_HOST).max(1);
        let in_flight = each.saturating_mul(source.template.hosts()).min(MOST_IN_FLIGHT);
        Self {
            client,
            ctx,
            source,
            tilemaps: Tilemaps::new(client, ctx, &source.service, source.is_vector()),
            has_budget: task.layers.iter().all(|l| ctx.error_budget(&l.id).missing_tiles.is_some()),
            in_flight,
            permits: Semaphore::new(in_flight),
            planned,
            done: AtomicU64::new(0),
            tally: Mutex::default(),
            lost: Mutex::new(Missing { of: planned, ..Missing::default() }),
        }
    }

    /// What came of all blocks.
    pub(super) fn into_tally(self) -> Tally {
        self.tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches all blocks, and answers their files in the order of the blocks.
    pub(super) async fn all(&self, blocks: Vec<Block>, folder: &Path) -> Result<Vec<BlockEnd>, Failure> {
        let made = folder.to_owned();
        let failed = |e: &_| Failure::io(FailureStage::Download, "cannot make the folder of the tiles", e);
        self.ctx.blocking(move || std::fs::create_dir_all(&made).map_err(|e| failed(&e))).await?;
        let mut running = stream::iter(blocks.into_iter().map(|block| self.block(block, folder))).buffered(BLOCKS_AT_A_TIME);
        let mut ends = Vec::new();
        while let Some(end) = running.next().await {
            ends.push(end?);
        }
        Ok(ends)
    }

    /// What the file of a block is for: it is not used for another source.
    pub(super) fn purpose(source: &TileSource, unit: &str) -> [u8; 32] {
        let said = format!("{:?} {:?} {unit}", source.template, source.service.tile_info);
        Sha256::digest(said.as_bytes()).into()
    }

    /// Fetches one block, unless an earlier run did.
    async fn block(&self, block: Block, folder: &Path) -> Result<BlockEnd, Failure> {
        let (ctx, unit) = (self.ctx, block.unit());
        let to = folder.join(&unit);
        let purpose = Self::purpose(self.source, &unit);
        if let Some((bytes, sha256)) = ctx.finished_file(&unit, &to).await? {
            let path = to.clone();
            if let Ok(file) = ctx.blocking(move || BlockFile::read(&path, &purpose)).await {
                self.count(&block, &file.known);
                self.progress(block.tiles.tiles());
                ctx.finish_file(&unit, None, &to, bytes, &sha256).await?;
                return Ok(BlockEnd { block, path: to, bytes });
            }
        }
        ctx.begin_unit(&unit).await?;
        let part = to.with_extension("part");
        let opened = part.clone();
        let mut file = ctx.blocking(move || BlockFile::open(&opened, &purpose)).await?;
        let fetched = async {
            if file.known.presence.is_none()
                && let Some(presence) = self.tilemaps.of_block(&block).await?
            {
                file.put_presence(presence);
            }
            self.tiles(&block, file).await
        };
        match fetched.await {
            Ok(file) => self.end(block, file, (part, to)).await,
            Err(failure) if failure.is_cancelled() => Err(failure),
            Err(failure) => Err(ctx.fail_unit(&unit, failure).await),
        }
    }

    /// Fetches what is not known of a block.
    async fn tiles(&self, block: &Block, mut file: BlockFile) -> Result<BlockFile, Failure> {
        let unknown = |place: &TileId| !file.known.knows(place_in_block(place.row, place.column));
        let todo: Vec<TileId> = block.places().filter(unknown).collect();
        self.progress(block.tiles.tiles().saturating_sub(todo.len() as u64));
        let mut running = stream::iter(todo).map(|place| self.tile(place)).buffer_unordered(self.in_flight);
        let mut written = 0;
        let mut failed = None;
        while let Some(came) = running.next().await {
            match came {
                Ok((place, Came::Tile(bytes))) => file.put(place_in_block(place.row, place.column), Some(&bytes)),
                Ok((place, Came::None)) => file.put(place_in_block(place.row, place.column), None),
                Ok((_, Came::Lost)) => {}
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
            self.progress(1);
            written += 1;
            if written % WRITTEN_TILES == 0 || file.waiting() >= WRITTEN_BYTES {
                file = self.write(file).await?;
                // Waits here while the job is paused.
                let gate = async {
                    self.ctx.sleep(Duration::ZERO).await;
                    Ok(())
                };
                self.ctx.or_cancelled(gate).await?;
            }
        }
        drop(running);
        // What came is kept, whatever came after it.
        let file = self.write(file).await?;
        failed.map_or(Ok(file), Err)
    }

    /// Writes what waits.
    async fn write(&self, mut file: BlockFile) -> Result<BlockFile, Failure> {
        let (reserve, folder) = (self.client.options().disk_reserve, self.ctx.work_dir().to_owned());
        let written = move || {
            reserve.check(&folder, file.waiting())?;
            file.flush()?;
            Ok(file)
        };
        self.ctx.blocking(written).await
    }

    /// Fetches one tile.
    async fn tile(&self, place: TileId) -> Result<(TileId, Came), Failure> {
        let closed = |_| Failure::internal("nothing is fetched any more");
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let format = self.source.format();
        let is_tile = |bytes: &[u8]| format.check_tile(bytes);
        let call = self.source.call(place)?;
        match self.ctx.or_cancelled(self.client.tile(&call, LARGEST_TILE as usize, &is_tile)).await {
            Ok(Some(bytes)) => Ok((place, Came::Tile(bytes))),
            Ok(None) => Ok((place, Came::None)),
            Err(failure) if self.may_be_lost(&failure) => {
                self.lose(place, &failure)?;
                Ok((place, Came::Lost))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether a failure costs its tile, and not the layers: they say how many may be missing, and it is the tile's.
    fn may_be_lost(&self, failure: &Failure) -> bool {
        let of_tile = matches!(failure.owner, FailureOwner::Source | FailureOwner::Network);
        self.has_budget && of_tile && !failure.is_cancelled()
    }

    /// Counts a tile that did not come; fails once no layer can keep its budget.
    fn lose(&self, place: TileId, failure: &Failure) -> Result<(), Failure> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(%failure, ?place, "a tile did not come");
        lost.count += 1;
        if lost.examples.len() < MOST_EXAMPLES {
            lost.examples.push(shown(place));
        }
        self.ctx.may_lack_tiles(&lost)
    }

    fn progress(&self, tiles: u64) {
        let completed = self.done.fetch_add(tiles, Ordering::Relaxed).saturating_add(tiles).min(self.planned);
        self.ctx.report(Progress { completed, required: self.planned, unit: ProgressUnit::Tiles, precise: true });
    }

    fn count(&self, block: &Block, known: &Known) -> bool {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).add(block, known)
    }

    /// Ends a block: one of which nothing is missing gets its name, and is not fetched again.
    async fn end(&self, block: Block, file: BlockFile, (part, to): (PathBuf, PathBuf)) -> Result<BlockEnd, Failure> {
        let (ctx, unit) = (self.ctx, block.unit());
        let is_whole = self.count(&block, &file.known);
        let path = if is_whole { to } else { part };
        let (named, cancel) = (path.clone(), ctx.cancel_token().clone());
        let ended = move || {
            if is_whole {
                file.finish(&named)?;
            }
            hash_file_until(&named, &cancel)
        };
        let (bytes, sha256) = ctx.blocking(ended).await?;
        if is_whole {
            ctx.finish_file(&unit, None, &path, bytes, &sha256).await?;
        }
        Ok(BlockEnd { block, path, bytes })
    }
}
