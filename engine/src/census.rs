//! How many actors live.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts actors that live.
#[derive(Debug, Default)]
pub(crate) struct Census {
    alive: AtomicUsize,
    peak: AtomicUsize,
}

impl Census {
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::Acquire)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Acquire)
    }

    /// One more actor, until the guard is dropped with it.
    pub(crate) fn enter(self: &Arc<Self>) -> CensusGuard {
        let alive = self.alive.fetch_add(1, Ordering::AcqRel) + 1;
        self.peak.fetch_max(alive, Ordering::AcqRel);
        CensusGuard(Arc::clone(self))
    }
}

#[derive(Debug)]
pub(crate) struct CensusGuard(Arc<Census>);

impl Drop for CensusGuard {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::AcqRel);
    }
}
