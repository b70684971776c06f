//! Tiles and thumbnails that were drawn before: the data do not change, so a picture is the same whoever asks for it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What was drawn.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The service's title, level, row and column.
    Tile(&'static str, u32, u64, u64),
    /// Bits of the coordinates of what it shows.
    Thumbnail([u64; 4]),
}

/// Most bytes that are kept; beyond, pictures are drawn each time.
const MOST_BYTES: usize = 64 << 20;

#[derive(Default)]
struct Drawn {
    pictures: HashMap<Key, Option<Vec<u8>>>,
    bytes: usize,
}

static DRAWN: LazyLock<Mutex<Drawn>> = LazyLock::new(Mutex::default);

/// A picture as it was drawn at the first call; `None` where nothing is on it.
pub(crate) fn once(key: Key, draw: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let drawn = || DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(picture) = drawn().pictures.get(&key) {
        return picture.clone();
    }
    let picture = draw();
    let mut drawn = drawn();
    let bytes = size_of::<Key>() + picture.as_ref().map_or(0, Vec::len);
    if drawn.bytes + bytes <= MOST_BYTES && drawn.pictures.insert(key, picture.clone()).is_none() {
        drawn.bytes += bytes;
    }
    picture
}
