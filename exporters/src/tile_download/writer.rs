//! Writes the tiles of a block beside their fetching: what came goes to the disk in batches, and nobody waits for it.
//!
//! A batch is what came within [`WRITTEN_AFTER`], or as much as [`WRITTEN_BYTES`]; no more than that, and what is under way, is fetched
//! again after a kill. Only one batch is written at a time. Where the disk is slower than the service, tiles are asked for no
//! further once [`MOST_WAITING`] bytes wait. A sync is made once, when the block is finished.

use super::arrived::Spare;
use super::block_file::BlockFile;
use futures_util::future::BoxFuture;
use offmap_disk::DiskReserve;
use offmap_engine::ExportContext;
use offmap_model::Failure;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long tiles wait at most while others come. The machine's time: it bounds what a kill costs.
const WRITTEN_AFTER: Duration = Duration::from_millis(10);
const WRITTEN_BYTES: usize = 256 << 10;
const MOST_WAITING: usize = 1 << 20;

/// What came for a place; `None` where there is no tile.
type Came = (u32, Option<Vec<u8>>);

/// Who has the file.
enum Side<'a> {
    /// Nothing is written at the moment.
    Here(BlockFile),
    /// A batch is written.
    Writing(BoxFuture<'a, Result<BlockFile, Failure>>),
    /// It was lost to a failure.
    Lost,
}

/// See the module.
pub(super) struct BlockWriter<'a> {
    ctx: &'a ExportContext,
    reserve: DiskReserve,
    spare: Arc<Spare>,
    side: Side<'a>,
    waiting: Vec<Came>,
    bytes: usize,
    written_at: Instant,
}

impl<'a> BlockWriter<'a> {
    pub(super) fn new(ctx: &'a ExportContext, (reserve, spare): (DiskReserve, &Arc<Spare>), file: BlockFile) -> Self {
        Self {
            ctx,
            reserve,
            spare: Arc::clone(spare),
            side: Side::Here(file),
            waiting: Vec::new(),
            bytes: 0,
            written_at: Instant::now(),
        }
    }

    /// Takes what came for a place.
    pub(super) fn put(&mut self, place: u32, tile: Option<Vec<u8>>) {
        self.bytes += tile.as_ref().map_or(0, Vec::len);
        self.waiting.push((place, tile));
    }

    /// Whether no more may come before something is written.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MOST_WAITING
    }

    /// Whether it is time for a batch.
    pub(super) fn is_due(&self) -> bool {
        let is_time = self.bytes >= WRITTEN_BYTES || self.written_at.elapsed() >= WRITTEN_AFTER;
        matches!(self.side, Side::Here(_)) && !self.waiting.is_empty() && is_time
    }

    /// Begins to write what waits; [`BlockWriter::step`] ends it.
    pub(super) fn begin(&mut self) {
        let mut file = match std::mem::replace(&mut self.side, Side::Lost) {
            Side::Here(file) => file,
            other => {
                self.side = other;
                return;
            }
        };
        let (batch, bytes) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.bytes));
        let (reserve, spare, folder) = (self.reserve, Arc::clone(&self.spare), self.ctx.work_dir().to_owned());
        self.written_at = Instant::now();
        let write = move || {
            reserve.check(&folder, bytes as u64)?;
            batch.iter().for_each(|(place, tile)| file.put(*place, tile.as_deref()));
            spare.give(batch.into_iter().filter_map(|(_, tile)| tile));
            file.flush()?;
            Ok(file)
        };
        self.side = Side::Writing(Box::pin(self.ctx.blocking(write)));
    }

    /// Ends when the batch that is being written is on the disk, or, where none is, when it is time for one; never where nothing waits.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub(super) async fn step(&mut self) -> Result<(), Failure> {
        match &self.side {
            Side::Writing(_) => self.written().await,
            _ if self.waiting.is_empty() => std::future::pending().await,
            _ => {
                tokio::time::sleep_until((self.written_at + WRITTEN_AFTER).into()).await;
                Ok(())
            }
        }
    }

    async fn written(&mut self) -> Result<(), Failure> {
        if let Side::Writing(writing) = &mut self.side {
            let ended = writing.await;
            self.side = Side::Lost;
            self.side = Side::Here(ended?);
        }
        Ok(())
    }

    /// Writes all that waits, and hands the file back.
    pub(super) async fn finish(mut self) -> Result<BlockFile, Failure> {
        self.written().await?;
        self.begin();
        self.written().await?;
        match self.side {
            Side::Here(file) => Ok(file),
            Side::Writing(_) | Side::Lost => Err(Failure::internal("the file of a block is lost")),
        }
    }
}
