//! The way of tiles that came to who writes them: bounded by their number, and by their bytes until they are on the disk.

use super::arrived::{Arrived, Came};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Tiles of a block that wait to be taken by who writes it.
pub(super) const WAITING: usize = 64;
/// Bytes of tiles of all blocks that came and are not on the disk yet.
const WAITING_BYTES: usize = 8 << 20;

/// Bytes of a tile, as long as it is kept.
pub(super) type Held = Option<OwnedSemaphorePermit>;
/// What became of a tile, and the room of its bytes.
pub(super) type Delivered = (Arrived, Held);

/// The room of all tiles of a task that came and are not on the disk yet.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_BYTES)))
    }
}

impl Room {
    /// The way to who writes a block.
    pub(super) fn delivery(&self) -> (Delivery, mpsc::Receiver<Delivered>) {
        let (to, tiles) = mpsc::channel(WAITING);
        (Delivery { to, room: self.clone() }, tiles)
    }

    /// Waits for room; a tile that is larger than all of it goes alone.
    async fn take(&self, bytes: usize) -> Held {
        let bytes = u32::try_from(bytes.min(WAITING_BYTES)).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(&self.0).acquire_many_owned(bytes).await.ok()
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    to: mpsc::Sender<Delivered>,
    room: Room,
}

impl Delivery {
    /// Whether nobody waits for tiles any more.
    pub(super) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Brings a tile, as soon as there is room.
    pub(super) async fn bring(&self, came: Arrived) {
        let bytes = match &came {
            Ok((_, Came::Tile(bytes))) => bytes.len(),
            _ => 0,
        };
        let held = self.room.take(bytes).await;
        // A block that nobody waits for has failed.
        let _ = self.to.send((came, held)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use offmap_formats::TileId;
    use tokio::task::unconstrained;

    /// Whether it can be brought at once, however much the test's own task did already.
    fn is_brought(to: &Delivery, came: Arrived) -> bool {
        unconstrained(to.bring(came)).now_or_never().is_some()
    }

    fn tile(column: u64, bytes: usize) -> Arrived {
        Ok((TileId { level: 9, row: 0, column }, Came::Tile(vec![7; bytes])))
    }

    #[tokio::test]
    async fn tiles_that_wait_for_the_disk_are_bounded_by_their_bytes_and_by_their_number() {
        let room = Room::default();
        let (blocks, mut tiles): (Vec<_>, Vec<_>) = (0..4).map(|_| room.delivery()).unzip();
        let large = (0..64).take_while(|n| is_brought(&blocks[*n as usize % 4], tile(*n, 1 << 20)));
        assert_eq!(large.count(), 8, "of all blocks together");
        let (came, held) = tiles[0].recv().await.expect("a tile");
        assert!(came.is_ok() && !is_brought(&blocks[1], tile(9, 1)), "it is not on the disk yet");
        drop(held);
        assert!(is_brought(&blocks[1], tile(9, 1)));
        drop(tiles);
        let (block, mut tiles) = room.delivery();
        block.bring(tile(0, WAITING_BYTES * 2)).await;
        assert!(!is_brought(&block, tile(1, 1)), "one that is larger than all of it is alone");
        drop(tiles.recv().await);
        let small = (0..).take_while(|n| is_brought(&block, tile(*n, 1)));
        assert_eq!(small.count(), WAITING);
    }
}
