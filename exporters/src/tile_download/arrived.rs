//! What came of tiles, and the lists that it is in.

use offmap_formats::TileId;
use offmap_model::Failure;
use std::sync::{Mutex, PoisonError};

/// Lists that are kept, and the largest one, in bytes.
const MOST_SPARE: usize = 128;
const LARGEST_SPARE: usize = 64 << 10;

/// What a tile's url had.
pub(super) enum Came {
    Tile(Vec<u8>),
    None,
    /// It did not come; why is logged.
    Lost,
}

/// What became of a tile; the failure of one that the layers cannot do without.
pub(super) type Arrived = Result<(TileId, Came), Failure>;

/// Lists that tiles were in, for those to come: made anew for each, they cost more than what is done with them.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// One of them, else an empty one.
    pub(super) fn reused(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps some.
    pub(super) fn give(&self, lists: impl Iterator<Item = Vec<u8>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_SPARE.saturating_sub(kept.len());
        kept.extend(lists.filter(|list| list.capacity() <= LARGEST_SPARE).take(room));
    }
}
