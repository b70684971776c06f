//! How far the removal of ended jobs is.

use std::time::Duration;

/// Milliseconds of a time.
pub(super) fn signed(longest: Duration) -> i64 {
    i64::try_from(longest.as_millis()).unwrap_or(i64::MAX)
}

/// What is known of the jobs that are to go.
#[derive(Debug, Default)]
pub(crate) struct Retaining {
    /// Whether somebody removes them,
    pub(super) is_running: bool,
    /// and is to look once more.
    pub(super) is_asked: bool,
    /// When the next one is to go.
    pub(super) next: Option<i64>,
    /// How many ended jobs there are, or more: those that run again are counted still.
    pub(super) ended: u64,
}

impl Retaining {
    /// A job has ended at a time, and goes after as long as the retention says.
    pub(super) fn take_end(&mut self, ended: i64, longest: Option<Duration>) {
        self.ended += 1;
        if let Some(longest) = longest {
            let due = ended.saturating_add(signed(longest));
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
    }
}
