//! Writes the tiles of a block beside their fetching: what came goes to the disk at once, and nobody waits for it.
//!
//! Only one batch is written at a time: what came while the one before it was written. So no more than that is fetched again after a
//! kill, and where tiles come faster than they are written, batches get larger by themselves. Where the disk is slower than the service, tiles
//! are asked for no further once [`MOST_WAITING`] bytes wait. A kill of the process loses nothing of what was written; for a loss of
//! power a sync is made once, when the block is finished.

use super::block_file::BlockFile;
use super::spare::Spare;
use futures_util::future::BoxFuture;
use offmap_disk::{DiskReserve, run_blocking};
use offmap_engine::ExportContext;
use offmap_model::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

const MOST_WAITING: usize = 1 << 20;

/// What came for a place; `None` where there is no tile. What is held is given back once it is on the disk.
type Came = (u32, Option<Vec<u8>>, Option<OwnedSemaphorePermit>);

/// Who has the file.
enum Side {
    /// Nothing is written at the moment.
    Here(BlockFile),
    /// A batch is written.
    Writing(BoxFuture<'static, Result<BlockFile, Failure>>),
    /// It was lost to a failure.
    Lost,
}

/// See the module.
pub(crate) struct BlockWriter {
    /// Where the disk's room is looked at.
    folder: PathBuf,
    reserve: DiskReserve,
    spare: Arc<Spare>,
    side: Side,
    waiting: Vec<Came>,
    bytes: usize,
}

impl BlockWriter {
    pub(crate) fn new(ctx: &ExportContext, aside: (DiskReserve, &Arc<Spare>), file: BlockFile) -> Self {
        Self::of(ctx.work_dir().to_owned(), aside, file)
    }

    fn of(folder: PathBuf, (reserve, spare): (DiskReserve, &Arc<Spare>), file: BlockFile) -> Self {
        Self { folder, reserve, spare: Arc::clone(spare), side: Side::Here(file), waiting: Vec::new(), bytes: 0 }
    }

    /// Takes what came for a place.
    pub(crate) fn put(&mut self, place: u32, tile: Option<Vec<u8>>) {
        self.add((place, tile, None));
    }

    /// The same for a tile whose bytes hold room until they are on the disk.
    pub(crate) fn put_held(&mut self, place: u32, tile: Vec<u8>, held: Option<OwnedSemaphorePermit>) {
        self.add((place, Some(tile), held));
    }

    fn add(&mut self, came: Came) {
        self.bytes += came.1.as_ref().map_or(0, Vec::len);
        self.waiting.push(came);
    }

    /// Whether no more may come before something is written.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MOST_WAITING
    }

    /// Whether a batch can be begun: something waits, and nothing is written.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.side, Side::Here(_)) && !self.waiting.is_empty()
    }

    /// Begins to write what waits; [`BlockWriter::step`] ends it.
    pub(crate) fn begin(&mut self) {
        let mut file = match std::mem::replace(&mut self.side, Side::Lost) {
            Side::Here(file) => file,
            other => {
                self.side = other;
                return;
            }
        };
        let (batch, bytes) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.bytes));
        let (reserve, spare, folder) = (self.reserve, Arc::clone(&self.spare), self.folder.clone());
        let write = move || {
            reserve.check(&folder, bytes as u64)?;
            batch.iter().for_each(|(place, tile, _)| file.put(*place, tile.as_deref()));
            file.flush()?;
            spare.give(batch.into_iter().filter_map(|(_, tile, _)| tile));
            Ok(file)
        };
        self.side = Side::Writing(Box::pin(run_blocking(write)));
    }

    /// Ends when the batch that is being written is on the disk; never where none is.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub(crate) async fn step(&mut self) -> Result<(), Failure> {
        match &self.side {
            Side::Writing(_) => self.written().await,
            Side::Here(_) | Side::Lost => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use super::super::block_file::PlaceState;
    use super::*;

    #[tokio::test]
    async fn a_tile_is_written_as_soon_as_it_came_and_what_comes_meanwhile_right_after_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("block");
        let file = BlockFile::open(&path, &[7; 32]).expect("opens");
        let mut writer = BlockWriter::of(dir.path().to_owned(), (DiskReserve::default(), &Arc::default()), file);
        let there = || {
            let file = BlockFile::open(&path, &[7; 32]).expect("opens");
            [1, 2, 3].map(|place| file.known.state(place) == PlaceState::Got)
        };
        assert!(!writer.is_due());
        writer.put(1, Some(b"one".to_vec()));
        assert!(writer.is_due(), "nobody waits for more");
        writer.begin();
        writer.put(2, Some(b"two".to_vec()));
        writer.put(3, Some(b"three".to_vec()));
        assert!(!writer.is_due(), "one batch at a time");
        writer.step().await.expect("writes");
        assert_eq!(there(), [true, false, false]);
        assert!(writer.is_due());
        writer.begin();
        writer.step().await.expect("writes");
        assert_eq!(there(), [true; 3], "as a process that was killed here leaves it");
    }
}
