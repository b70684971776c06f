//! Fetches the tiles of blocks: a bounded number at a time, each block into a file of its own.

use super::arrived::Came;
use super::block_file::{BlockFile, Known, place_in_block};
use super::blocks::Block;
use super::source::TileSource;
use super::tally::Tally;
use super::tile_fetch::TileFetch;
use super::tilemap::Tilemaps;
use super::writer::BlockWriter;
use futures_util::{StreamExt as _, stream};
use offmap_arcgis::ArcGisClient;
use offmap_engine::ExportContext;
use offmap_formats::TileId;
use offmap_model::{ExportTask, Failure, FailureStage, Progress, ProgressUnit};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Most requests under way or waiting; how many go at a time, the governor of each host says.
const MOST_IN_FLIGHT: usize = 512;
/// Tiles of a block that wait to be taken by who writes it.
const WAITING: usize = 64;
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
    tiles: Arc<TileFetch>,
    in_flight: usize,
    planned: u64,
    done: AtomicU64,
    tally: Mutex<Tally>,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        client: &'a ArcGisClient,
        ctx: &'a ExportContext,
        (source, task): (&'a TileSource, &ExportTask),
        planned: u64,
    ) -> Self {
        let each = client.options().tiles_per_host.max(1);
        let in_flight = each.saturating_mul(source.template.hosts()).min(MOST_IN_FLIGHT);
        Self {
            client,
            ctx,
            source,
            tilemaps: Tilemaps::new(client, ctx, &source.service, source.is_vector()),
            tiles: TileFetch::new((client, ctx), (source, task), in_flight, planned),
            in_flight,
            planned,
            done: AtomicU64::new(0),
            tally: Mutex::default(),
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
        let mut workers = self.tiles.workers(self.in_flight);
        let mut ends = Vec::new();
        loop {
            tokio::select! {
                biased;
                failure = workers.panicked() => return Err(failure),
                end = running.next() => match end {
                    Some(end) => ends.push(end?),
                    None => return Ok(ends),
                },
            }
        }
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

    /// Fetches what is not known of a block. What came is kept, whatever comes after it.
    async fn tiles(&self, block: &Block, file: BlockFile) -> Result<BlockFile, Failure> {
        let unknown = |place: &TileId| !file.known.knows(place_in_block(place.row, place.column));
        let todo: Vec<TileId> = block.places().filter(unknown).collect();
        self.progress(block.tiles.tiles().saturating_sub(todo.len() as u64));
        let aside = (self.client.options().disk_reserve, self.tiles.spare());
        let mut writer = BlockWriter::new(self.ctx, aside, file);
        let (to, mut arrived) = mpsc::channel(WAITING);
        self.tiles.open(todo.into_iter(), to);
        let (mut batch, mut failed) = (Vec::with_capacity(WAITING), None);
        while failed.is_none() {
            if writer.is_due() {
                writer.begin();
                continue;
            }
            tokio::select! {
                biased;
                stepped = writer.step() => stepped?,
                came = arrived.recv_many(&mut batch, WAITING), if !writer.is_full() => {
                    if came == 0 {
                        break;
                    }
                    for tile in batch.drain(..) {
                        match tile {
                            Ok((place, Came::Tile(bytes))) => writer.put(place_in_block(place.row, place.column), Some(bytes)),
                            Ok((place, Came::None)) => writer.put(place_in_block(place.row, place.column), None),
                            Ok((_, Came::Lost)) => {}
                            Err(failure) => failed = failed.or(Some(failure)),
                        }
                    }
                    self.progress(came as u64);
                },
            }
        }
        drop(arrived);
        let file = writer.finish().await?;
        failed.map_or(Ok(file), Err)
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
        let named = path.clone();
        let ended = move || if is_whole { file.finish(&named) } else { file.leave() };
        let (bytes, sha256) = ctx.blocking(ended).await?;
        if is_whole {
            ctx.finish_file(&unit, None, &path, bytes, &sha256).await?;
        }
        Ok(BlockEnd { block, path, bytes })
    }
}
