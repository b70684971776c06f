//! Fills the files of blocks, a bounded number at a time, each of which a run that comes later finds again.

use super::block::{Block, blocks_of};
use super::block_file::{BlockFile, Known};
use super::tally::Tally;
use crate::tile_service::TiledService;
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use offmap_engine::ExportContext;
use offmap_formats::tiles::TileInfo;
use offmap_model::{AreaOfInterest, Failure, FailureStage, Progress, ProgressUnit};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Blocks that are filled at a time.
const BLOCKS_AT_A_TIME: usize = 4;

/// The blocks of an area, and how many tiles they have.
pub(crate) async fn planned_blocks(
    ctx: &ExportContext,
    service: &TiledService,
    area: AreaOfInterest,
    level_ids: &[u32],
) -> Result<(u64, Vec<Block>), Failure> {
    let (service, level_ids) = (service.clone(), level_ids.to_vec());
    let listed = move || {
        let planned = TileInfo::total(&service.planned_levels(&area, &level_ids)?);
        Ok((planned, blocks_of(&service, &area, &level_ids)?))
    };
    ctx.blocking(listed).await
}

/// Where the tiles of blocks come from.
#[async_trait]
pub(crate) trait BlockSource: Sync {
    /// What the file of a block is for: it is not used for another source.
    fn purpose(&self, unit: &str) -> [u8; 32];

    /// Gets what is not known of a block, and reports it. What came is kept, whatever comes after it.
    async fn fill(&self, block: &Block, file: BlockFile, progress: &TileProgress<'_>) -> Result<BlockFile, Failure>;
}

/// Counts the tiles of a task of which it is known what became of them.
pub(crate) struct TileProgress<'a> {
    ctx: &'a ExportContext,
    planned: u64,
    done: AtomicU64,
}

impl<'a> TileProgress<'a> {
    pub(crate) fn new(ctx: &'a ExportContext, planned: u64) -> Self {
        Self { ctx, planned, done: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, tiles: u64) {
        let completed = self.done.fetch_add(tiles, Ordering::Relaxed).saturating_add(tiles).min(self.planned);
        self.ctx.report(Progress { completed, required: self.planned, unit: ProgressUnit::Tiles, precise: true });
    }
}

/// A block that came.
#[derive(Debug)]
pub(crate) struct BlockEnd {
    pub(crate) block: Block,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// What its file is for.
    pub(super) purpose: [u8; 32],
}

/// The blocks of one task.
pub(crate) struct Blocks<'a, S> {
    ctx: &'a ExportContext,
    source: &'a S,
    progress: TileProgress<'a>,
    tally: Mutex<Tally>,
}

impl<'a, S: BlockSource> Blocks<'a, S> {
    pub(crate) fn new(ctx: &'a ExportContext, source: &'a S, planned: u64) -> Self {
        Self { ctx, source, progress: TileProgress::new(ctx, planned), tally: Mutex::default() }
    }

    /// Fills all blocks, and answers their files in the order of the blocks with what came of all; ends before with the failure that
    /// `meanwhile` ends with.
    pub(crate) async fn all(
        self,
        blocks: Vec<Block>,
        folder: &Path,
        meanwhile: impl Future<Output = Failure>,
    ) -> Result<(Vec<BlockEnd>, Tally), Failure> {
        let made = folder.to_owned();
        let failed = |e: &_| Failure::io(FailureStage::Download, "cannot make the folder of the tiles", e);
        self.ctx.blocking(move || std::fs::create_dir_all(&made).map_err(|e| failed(&e))).await?;
        let mut ends = Vec::new();
        {
            let each = blocks.into_iter().map(|block| self.block(block, folder));
            let mut running = stream::iter(each).buffered(BLOCKS_AT_A_TIME);
            let mut meanwhile = pin!(meanwhile);
            loop {
                tokio::select! {
                    biased;
                    failure = &mut meanwhile => return Err(failure),
                    end = running.next() => match end {
                        Some(end) => ends.push(end?),
                        None => break,
                    },
                }
            }
        }
        Ok((ends, self.tally.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Fills one block, unless an earlier run did.
    async fn block(&self, block: Block, folder: &Path) -> Result<BlockEnd, Failure> {
        let (ctx, unit) = (self.ctx, block.unit());
        let to = folder.join(&unit);
        let purpose = self.source.purpose(&unit);
        if let Some((bytes, sha256)) = ctx.finished_file(&unit, &to).await? {
            let path = to.clone();
            if let Ok(file) = ctx.blocking(move || BlockFile::read(&path, &purpose)).await {
                self.count(&block, &file.known);
                self.progress.add(block.tiles.tiles());
                ctx.finish_file(&unit, None, &to, bytes, &sha256).await?;
                return Ok(BlockEnd { block, path: to, bytes, purpose });
            }
        }
        ctx.begin_unit(&unit).await?;
        let part = to.with_extension("part");
        let opened = part.clone();
        let file = ctx.blocking(move || BlockFile::open(&opened, &purpose)).await?;
        match self.source.fill(&block, file, &self.progress).await {
            Ok(file) => self.end(block, file, (part, to)).await,
            Err(failure) if failure.is_cancelled() => Err(failure),
            Err(failure) => Err(ctx.fail_unit(&unit, failure).await),
        }
    }

    fn count(&self, block: &Block, known: &Known) -> bool {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).add(block, known)
    }

    /// Ends a block: one of which nothing is missing gets its name, and is not fetched again.
    async fn end(&self, block: Block, file: BlockFile, (part, to): (PathBuf, PathBuf)) -> Result<BlockEnd, Failure> {
        let (ctx, unit) = (self.ctx, block.unit());
        let purpose = self.source.purpose(&unit);
        let is_whole = self.count(&block, &file.known);
        let path = if is_whole { to } else { part };
        let named = path.clone();
        let ended = move || if is_whole { file.finish(&named) } else { file.leave() };
        let (bytes, sha256) = ctx.blocking(ended).await?;
        if is_whole {
            ctx.finish_file(&unit, None, &path, bytes, &sha256).await?;
        }
        Ok(BlockEnd { block, path, bytes, purpose })
    }
}
