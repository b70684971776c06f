//! The lists that tiles are in.

use std::sync::{Mutex, PoisonError};

/// Lists that are kept, and the largest one, in bytes.
const MOST_SPARE: usize = 128;
const LARGEST_SPARE: usize = 64 << 10;

/// Lists that tiles were in, for those to come: made anew for each, they cost more than what is done with them.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// One of them, else an empty one.
    pub(crate) fn reused(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps some.
    pub(crate) fn give(&self, lists: impl Iterator<Item = Vec<u8>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_SPARE.saturating_sub(kept.len());
        kept.extend(lists.filter(|list| list.capacity() <= LARGEST_SPARE).take(room));
    }
}
