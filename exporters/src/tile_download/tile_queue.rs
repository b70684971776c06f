//! Hands out the tiles of the blocks that are open to those who fetch them: block by block, each row by row.

use super::arrived::Arrived;
use offmap_formats::TileId;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Where what came of a tile goes.
pub(super) type Sender = mpsc::Sender<Arrived>;

/// Bytes of tiles that may be under way, and how large a tile is as long as none came.
const BYTES_IN_FLIGHT: u64 = 16 << 20;
const FIRST_SIZE: u64 = 64 << 10;
/// How much of what is known of sizes a new one replaces.
const SHARE: u64 = 32;
/// Times of the size of tiles so far that a tile may have.
const ROOM: u64 = 2;
/// Requests that may be under way however large tiles are.
const LEAST: usize = 4;

/// Tiles of one block that nobody asked for yet.
struct OpenBlock {
    places: Box<dyn Iterator<Item = TileId> + Send>,
    to: Sender,
}

/// What is known of sizes.
struct Sizes {
    /// Of a tile, times [`SHARE`].
    mean: u64,
    most: usize,
}

impl Sizes {
    /// How many tiles may be under way.
    fn allowed(&self) -> usize {
        let each = (self.mean / SHARE).saturating_mul(ROOM).max(1);
        usize::try_from(BYTES_IN_FLIGHT / each).unwrap_or(usize::MAX).clamp(LEAST.min(self.most), self.most)
    }

    fn add(&mut self, bytes: u64) {
        self.mean = self.mean - self.mean / SHARE + bytes;
    }
}

struct Inner {
    open: VecDeque<OpenBlock>,
    sizes: Sizes,
    under_way: usize,
}

/// See the module.
pub(super) struct TileQueue {
    inner: Mutex<Inner>,
    news: Notify,
}

/// A tile that is under way until this is dropped.
pub(super) struct Turn<'a> {
    pub(super) place: TileId,
    pub(super) to: Sender,
    queue: &'a TileQueue,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Whoever drops it asks for the next one.
        self.queue.lock().under_way -= 1;
    }
}

impl TileQueue {
    /// A queue of which so many tiles are under way at most.
    pub(super) fn new(most: usize) -> Self {
        let sizes = Sizes { mean: FIRST_SIZE * SHARE, most: most.max(1) };
        Self { inner: Mutex::new(Inner { open: VecDeque::new(), sizes, under_way: 0 }), news: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a block. Its receiver ends when all of its tiles came; where it was dropped, no more are asked for.
    pub(super) fn open(&self, places: impl Iterator<Item = TileId> + Send + 'static, to: Sender) {
        self.lock().open.push_back(OpenBlock { places: Box::new(places), to });
        self.news.notify_waiters();
    }

    /// A tile of so many bytes came.
    pub(super) fn came(&self, bytes: usize) {
        let mut inner = self.lock();
        let before = inner.sizes.allowed();
        inner.sizes.add(bytes as u64);
        let more = inner.sizes.allowed() > before;
        drop(inner);
        if more {
            // It may be many more at once.
            self.news.notify_waiters();
        }
    }

    fn try_next(&self) -> Option<Turn<'_>> {
        let mut inner = self.lock();
        if inner.under_way >= inner.sizes.allowed() {
            return None;
        }
        while let Some(block) = inner.open.front_mut() {
            let next = if block.to.is_closed() { None } else { block.places.next() };
            if let Some(place) = next {
                let to = block.to.clone();
                inner.under_way += 1;
                return Some(Turn { place, to, queue: self });
            }
            inner.open.pop_front();
        }
        None
    }

    /// Waits for the next tile.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub(super) async fn next(&self) -> Turn<'_> {
        loop {
            // From here on no news is missed.
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if let Some(turn) = self.try_next() {
                return turn;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(columns: std::ops::Range<u64>) -> impl Iterator<Item = TileId> + Send + 'static {
        columns.map(|column| TileId { level: 9, row: 0, column })
    }

    fn all(queue: &TileQueue) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| queue.try_next()).collect()
    }

    #[tokio::test]
    async fn tiles_go_out_block_by_block_and_fewer_at_a_time_where_they_are_large() {
        let queue = TileQueue::new(64);
        let ((to, mut first), (then, second)) = (mpsc::channel(1), mpsc::channel(1));
        queue.open(places(0..3), to);
        queue.open(places(10..5_000), then);
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(queue.next().await);
        }
        assert_eq!(turns.iter().map(|turn| turn.place.column).collect::<Vec<_>>(), [0, 1, 2, 10]);
        turns.truncate(2);
        assert!(first.try_recv().is_err_and(|error| error == mpsc::error::TryRecvError::Empty), "some are under way");
        turns.clear();
        assert!(first.recv().await.is_none(), "all of its tiles came");
        turns = all(&queue);
        assert_eq!(turns.len(), 64);
        turns.clear();
        (0..500).for_each(|_| queue.came(2 << 20));
        assert!((LEAST..6).contains(&all(&queue).len()), "large tiles");
        (0..500).for_each(|_| queue.came(6_000));
        assert_eq!(all(&queue).len(), 64, "small ones again");
        drop(second);
        assert!(queue.try_next().is_none(), "nobody waits for the block");
        let (to, _third) = mpsc::channel(1);
        let (next, ()) = tokio::join!(queue.next(), async { queue.open(places(7..8), to) });
        assert_eq!(next.place.column, 7, "who waits has news of a block");
    }
}
