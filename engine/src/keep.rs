//! What becomes of the work of a job that makes no package.

use std::sync::atomic::{AtomicU8, Ordering};

/// It goes unless somebody says otherwise; who says that it is discarded has the last word.
///
/// | said | kept |
/// | --- | --- |
/// | nothing | no |
/// | keep | yes |
/// | discard, before or after keep | no |
#[derive(Debug, Default)]
pub(crate) struct Keep(AtomicU8);

const KEPT: u8 = 1;
const DISCARDED: u8 = 2;

impl Keep {
    /// Keeps it, where it is not discarded.
    pub(crate) fn keep(&self) {
        // One that is discarded stays so.
        let _ = self.0.compare_exchange(0, KEPT, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Discards it, whatever was said before or is said later.
    pub(crate) fn discard(&self) {
        self.0.store(DISCARDED, Ordering::Release);
    }

    /// Whether it is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.load(Ordering::Acquire) == KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarding_has_the_last_word() {
        let keep = Keep::default();
        assert!(!keep.is_kept());
        keep.keep();
        assert!(keep.is_kept());
        keep.discard();
        assert!(!keep.is_kept());
        keep.keep();
        assert!(!keep.is_kept());
    }
}
