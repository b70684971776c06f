//! What becomes of the work of a job that makes no package: the one rule, for its layers and for the job.

use offmap_model::{Failure, FailureOwner};
use std::sync::atomic::{AtomicU8, Ordering};

/// It goes unless something keeps it; who discards it has the last word.
///
/// | what happens | kept |
/// | --- | --- |
/// | nothing else | no |
/// | the host keeps it, or the job's time is over | yes |
/// | the disk is full or broken: what is there need not be fetched again | yes |
/// | a job that was resumed fails: what was kept once goes only by success or by the caller | yes |
/// | another run of the job goes on with it: it is suspended, tried again, or taken up by the next engine | yes, until it is cancelled |
/// | the host discards it, before or after | no |
#[derive(Debug, Default)]
pub(crate) struct Keep {
    state: AtomicU8,
    /// Whether an earlier run kept it.
    was_kept: bool,
}

const KEPT: u8 = 1;
const DISCARDED: u8 = 2;
const UNLESS_CANCELLED: u8 = 3;

/// Whether a failure keeps the work by itself.
fn is_of_the_disk(failure: &Failure) -> bool {
    failure.owner == FailureOwner::Storage
}

impl Keep {
    /// For the work of a job that an earlier run kept.
    pub(crate) fn resumed() -> Self {
        Self { was_kept: true, ..Self::default() }
    }

    /// Keeps it, where it is not discarded.
    pub(crate) fn keep(&self) {
        // One that is discarded stays so.
        let kept = |state| (state != DISCARDED).then_some(KEPT);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, kept);
    }

    /// Keeps it for another run of the job, until the job is cancelled.
    pub(crate) fn keep_unless_cancelled(&self) {
        let _ = self.state.compare_exchange(0, UNLESS_CANCELLED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The job is cancelled: there is no other run.
    pub(crate) fn cancelled(&self) {
        let _ = self.state.compare_exchange(UNLESS_CANCELLED, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Discards it, whatever was said before or is said later.
    pub(crate) fn discard(&self) {
        self.state.store(DISCARDED, Ordering::Release);
    }

    /// Whether it is kept.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), KEPT | UNLESS_CANCELLED)
    }

    /// Judges the failure of a layer; answers whether it ends the whole job, since nothing more can be written.
    pub(crate) fn layer_failed(&self, failure: &Failure) -> bool {
        if is_of_the_disk(failure) {
            self.keep();
        }
        is_of_the_disk(failure)
    }

    /// Judges the failure of the job.
    pub(crate) fn job_failed(&self, failure: &Failure) {
        if is_of_the_disk(failure) || (self.was_kept && !failure.is_cancelled()) {
            self.keep();
        }
    }

    /// Whether what a layer left on its service is rolled back after its failure.
    pub(crate) fn rolls_back(&self, failure: &Failure) -> bool {
        !self.is_kept() && !is_of_the_disk(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::{FailureKind, FailureStage};

    #[test]
    fn discarding_has_the_last_word() {
        let keep = Keep::default();
        assert!(!keep.is_kept());
        keep.keep_unless_cancelled();
        assert!(keep.is_kept());
        keep.cancelled();
        assert!(!keep.is_kept());
        keep.keep_unless_cancelled();
        keep.keep();
        keep.cancelled();
        assert!(keep.is_kept(), "who keeps it says so for a cancel as well");
        keep.discard();
        assert!(!keep.is_kept());
        keep.keep();
        assert!(!keep.is_kept());
    }

    #[test]
    fn a_full_disk_keeps_the_work_and_so_does_a_resumed_job_that_fails() {
        let full = Failure::new(FailureOwner::Storage, FailureKind::StorageFull, FailureStage::Run, "full");
        let other = Failure::internal("x");
        let kept = |keep: Keep, failure: &Failure| {
            keep.job_failed(failure);
            keep.is_kept()
        };
        assert!(kept(Keep::default(), &full) && !kept(Keep::default(), &other));
        assert!(kept(Keep::resumed(), &other) && !kept(Keep::resumed(), &Failure::cancelled()));
        let keep = Keep::default();
        assert!(!keep.layer_failed(&other) && keep.rolls_back(&other) && !keep.rolls_back(&full));
        assert!(keep.layer_failed(&full) && keep.is_kept() && !keep.rolls_back(&other));
        keep.discard();
        assert!(keep.layer_failed(&full) && !keep.is_kept());
    }
}
