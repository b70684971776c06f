//! Hands out the tiles of the blocks that are open to those who fetch them: block by block, each row by row.
//!
//! Where several hosts have the same tiles, each has a lane of its own, so that one that is dead or slow holds its share of those who fetch
//! and no more: the others go on with the tiles of the other hosts.

use super::delivery::Delivery;
use offmap_formats::TileId;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bytes of tiles that may be under way, and how large a tile is as long as none came.
const BYTES_IN_FLIGHT: u64 = 16 << 20;
const FIRST_SIZE: u64 = 64 << 10;
/// How much of what is known of sizes a new one replaces.
const SHARE: u64 = 32;
/// Times of the size of tiles so far that a tile may have.
const ROOM: u64 = 2;
/// Requests that may be under way however large tiles are.
const LEAST: usize = 4;

/// Tiles of one block that nobody asked for yet, by the lanes of their hosts.
struct OpenBlock {
    lanes: Vec<VecDeque<TileId>>,
    to: Delivery,
}

impl OpenBlock {
    /// The next tile of those whose host may be asked, with its lane.
    fn next(&mut self, may: impl Fn(usize) -> bool) -> Option<(TileId, usize)> {
        let first = |lane: &VecDeque<TileId>| lane.front().map(|place| (place.row, place.column));
        let open = self.lanes.iter().enumerate().filter(|(lane, _)| may(*lane));
        let (_, lane) = open.filter_map(|(lane, places)| Some((first(places)?, lane))).min()?;
        Some((self.lanes.get_mut(lane)?.pop_front()?, lane))
    }

    fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }
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
    /// Tiles under way, by lanes.
    under_way: Vec<usize>,
}

/// See the module.
pub(super) struct TileQueue {
    inner: Mutex<Inner>,
    /// Most tiles of one lane that are under way.
    most_of_lane: usize,
    news: Notify,
}

/// A tile that is under way until this is dropped.
pub(super) struct Turn<'a> {
    pub(super) place: TileId,
    pub(super) to: Delivery,
    lane: usize,
    queue: &'a TileQueue,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Whoever drops it asks for the next one.
        if let Some(under_way) = self.queue.lock().under_way.get_mut(self.lane) {
            *under_way -= 1;
        }
    }
}

impl TileQueue {
    /// A queue of which so many tiles are under way at most, of each of so many hosts as many.
    pub(super) fn new(most: usize, hosts: usize) -> Self {
        let (most, hosts) = (most.max(1), hosts.max(1));
        let sizes = Sizes { mean: FIRST_SIZE * SHARE, most };
        let inner = Inner { open: VecDeque::new(), sizes, under_way: vec![0; hosts] };
        Self { inner: Mutex::new(inner), most_of_lane: (most / hosts).max(1), news: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a block of tiles, row by row; `host_of` says which host has one. Its receiver ends when all of its tiles came; where it was
    /// dropped, no more are asked for.
    pub(super) fn open(&self, places: impl Iterator<Item = TileId>, host_of: impl Fn(TileId) -> usize, to: Delivery) {
        let mut inner = self.lock();
        let mut lanes = vec![VecDeque::new(); inner.under_way.len()];
        let last = lanes.len() - 1;
        for place in places {
            if let Some(lane) = lanes.get_mut(host_of(place).min(last)) {
                lane.push_back(place);
            }
        }
        let block = OpenBlock { lanes, to };
        // One of which nothing is wanted ends here.
        if !block.is_empty() {
            inner.open.push_back(block);
        }
        drop(inner);
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
        let Inner { open, sizes, under_way } = &mut *inner;
        if under_way.iter().sum::<usize>() >= sizes.allowed() {
            return None;
        }
        // One of which all tiles are under way, or that nobody waits for, ends.
        open.retain(|block| !block.is_empty() && !block.to.is_closed());
        let may = |lane: usize| under_way.get(lane).is_some_and(|n| *n < self.most_of_lane);
        let (place, lane, to) = open.iter_mut().find_map(|block| {
            let (place, lane) = block.next(may)?;
            Some((place, lane, block.to.clone()))
        })?;
        if let Some(n) = under_way.get_mut(lane) {
            *n += 1;
        }
        open.retain(|block| !block.is_empty());
        Some(Turn { place, to, lane, queue: self })
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
    use super::super::delivery::Room;
    use super::*;
    use tokio::sync::mpsc;

    fn places(columns: std::ops::Range<u64>) -> impl Iterator<Item = TileId> {
        columns.map(|column| TileId { level: 9, row: 0, column })
    }

    fn all(queue: &TileQueue) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| queue.try_next()).collect()
    }

    #[tokio::test]
    async fn tiles_go_out_block_by_block_and_fewer_at_a_time_where_they_are_large() {
        let queue = TileQueue::new(64, 1);
        let room = Room::default();
        let ((to, mut first), (then, second)) = (room.delivery(), room.delivery());
        queue.open(places(0..3), |_| 0, to);
        queue.open(places(10..5_000), |_| 0, then);
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
        let (to, _third) = room.delivery();
        let (next, ()) = tokio::join!(queue.next(), async { queue.open(places(7..8), |_| 0, to) });
        assert_eq!(next.place.column, 7, "who waits has news of a block");
    }

    #[test]
    fn a_host_that_does_not_answer_holds_its_share_and_the_others_go_on() {
        let (queue, room) = (TileQueue::new(12, 3), Room::default());
        let ((to, _first), (then, _second)) = (room.delivery(), room.delivery());
        let host_of = |place: TileId| (place.column % 3) as usize;
        queue.open(places(0..30), host_of, to);
        queue.open(places(30..60), host_of, then);
        let (mut dead, mut came) = (Vec::new(), Vec::new());
        while came.len() < 40 {
            let Some(turn) = queue.try_next() else { panic!("all wait for one host, and {} tiles came", came.len()) };
            match host_of(turn.place) {
                0 => dead.push(turn),
                _ => came.push(turn.place.column),
            }
        }
        assert_eq!(dead.len(), 4, "a third of them");
        assert!(came.is_sorted(), "the others' in order: {came:?}");
        assert!(queue.try_next().is_none());
        dead.clear();
        assert_eq!(queue.try_next().map(|turn| turn.place.column), Some(12), "its own where they were left");
    }
}
