//! Progress of a subject, and when a reader is shown it.

use offmap_model::Progress;

/// A report is shown when so many hundredths of the whole were done since the one that was shown before,
const SHOWN_EVERY_HUNDREDTHS: u128 = 1;
/// or so many milliseconds later.
const SHOWN_EVERY_MS: i64 = 1000;

/// How far a subject is, and what of it readers are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Place of the latest report among all: the layers of a task share theirs.
    pub(crate) latest: usize,
    pub(crate) shown: Progress,
    pub(crate) shown_at: i64,
    /// Number of the report that is shown.
    pub(crate) seq: u64,
}

impl Known {
    /// Whether the latest report is news for a reader of the one that is shown.
    pub(crate) fn is_news(&self, latest: Progress, now: i64) -> bool {
        let shown = self.shown;
        let more = latest.completed.saturating_sub(shown.completed);
        let is_further = more > 0 && u128::from(more) * 100 >= u128::from(latest.required) * SHOWN_EVERY_HUNDREDTHS;
        let is_all = latest.precise && latest.completed == latest.required && latest.required == shown.required;
        is_further || is_all || now.abs_diff(self.shown_at) >= SHOWN_EVERY_MS.unsigned_abs()
    }
}

/// How much of a part of a job is done, in billionths, and whether that is known or estimated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) done: u64,
    pub(crate) precise: bool,
}

/// All of a part: whole numbers, so that their sum stays right however often one of them changes.
pub(crate) const ALL_OF_A_PART: u64 = 1_000_000_000;
