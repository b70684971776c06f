//! Writes the tiles of a block beside their fetching: what came goes to the disk in batches, and nobody waits for it.
//!
//! A batch is what came within [`WRITTEN_AFTER`], or as much as [`WRITTEN_BYTES`]; no more than that, and what is under way, is fetched
//! again after a kill. Only one batch is written at a time. Where the disk is slower than the service, tiles are asked for no
//! further once [`MOST_WAITING`] bytes wait. A sync is made once, when the block is finished.

use super::block_file::BlockFile;
use futures_util::future::BoxFuture;
use offmap_disk::DiskReserve;
use offmap_engine::ExportContext;
use offmap_model::Failure;
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
pub(crate) struct BlockWriter<'a> {
    ctx: &'a ExportContext,
    reserve: DiskReserve,
    side: Side<'a>,
    waiting: Vec<Came>,
    bytes: usize,
    written_at: Instant,
}

impl<'a> BlockWriter<'a> {
    pub(crate) fn new(ctx: &'a ExportContext, reserve: DiskReserve, file: BlockFile) -> Self {
        Self { ctx, reserve, side: Side::Here(file), waiting: Vec::new(), bytes: 0, written_at: Instant::now() }
    }

    /// Takes what came for a place.
    pub(crate) fn put(&mut self, place: u32, tile: Option<Vec<u8>>) {
        self.bytes += tile.as_ref().map_or(0, Vec::len);
        self.waiting.push((place, tile));
    }

    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.side, Side::Writing(_))
    }

    /// Whether no more may come before something is written.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MOST_WAITING
    }

    /// Whether it is time for a batch.
    pub(crate) fn is_due(&self) -> bool {
        let is_time = self.bytes >= WRITTEN_BYTES || self.written_at.elapsed() >= WRITTEN_AFTER;
        matches!(self.side, Side::Here(_)) && !self.waiting.is_empty() && is_time
    }

    /// Begins to write what waits; [`BlockWriter::written`] ends it.
    pub(crate) fn begin(&mut self) {
        let mut file = match std::mem::replace(&mut self.side, Side::Lost) {
            Side::Here(file) => file,
            other => {
                self.side = other;
                return;
            }
        };
        let (batch, bytes) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.bytes));
        let (reserve, folder) = (self.reserve, self.ctx.work_dir().to_owned());
        self.written_at = Instant::now();
        let write = move || {
            reserve.check(&folder, bytes as u64)?;
            batch.iter().for_each(|(place, tile)| file.put(*place, tile.as_deref()));
            file.flush()?;
            Ok(file)
        };
        self.side = Side::Writing(Box::pin(self.ctx.blocking(write)));
    }

    /// Ends when the batch that is being written is on the disk.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub(crate) async fn written(&mut self) -> Result<(), Failure> {
        if let Side::Writing(writing) = &mut self.side {
            let ended = writing.await;
            self.side = Side::Lost;
            self.side = Side::Here(ended?);
        }
        Ok(())
    }

    /// Writes all that waits, and hands the file back.
    pub(crate) async fn finish(mut self) -> Result<BlockFile, Failure> {
        self.written().await?;
        self.begin();
        self.written().await?;
        match self.side {
            Side::Here(file) => Ok(file),
            Side::Writing(_) | Side::Lost => Err(Failure::internal("the file of a block is lost")),
        }
    }
}
