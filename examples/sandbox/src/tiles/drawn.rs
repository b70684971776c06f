//! Tiles that were drawn before: the data do not change, so a tile is the same whoever asks for it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The service's title, level, row and column of a tile.
pub(super) type Key = (&'static str, u32, u64, u64);

/// Most bytes that are kept; beyond, tiles are drawn each time.
const MOST_BYTES: usize = 64 << 20;

#[derive(Default)]
struct Drawn {
    tiles: HashMap<Key, Option<Vec<u8>>>,
    bytes: usize,
}

static DRAWN: LazyLock<Mutex<Drawn>> = LazyLock::new(Mutex::default);

/// A tile as it was drawn at the first call; `None` where nothing is on it.
pub(super) fn once(key: Key, draw: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let drawn = || DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tile) = drawn().tiles.get(&key) {
        return tile.clone();
    }
    let tile = draw();
    let mut drawn = drawn();
    let bytes = size_of::<Key>() + tile.as_ref().map_or(0, Vec::len);
    if drawn.bytes + bytes <= MOST_BYTES && drawn.tiles.insert(key, tile.clone()).is_none() {
        drawn.bytes += bytes;
    }
    tile
}
