//! How large a result may be: what the plan expects, with room for plans that are wrong.

use offmap_model::{Failure, FailureKind};

/// Times the planned bytes that are taken.
const FACTOR: u64 = 20;
/// Bytes that are taken beside, so that small plans may be wrong by more.
const SLACK: u64 = 256 << 20;
/// Largest result that is taken where the plan does not know its size.
const UNPLANNED: u64 = 16 << 30;
/// Largest result that is taken at all.
const LARGEST: u64 = 1 << 40;

/// The most bytes that are taken as the result of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DownloadLimit {
    planned: Option<u64>,
    pub(crate) bytes: u64,
}

impl DownloadLimit {
    /// Follows from the most bytes that the plan expects; `None` where it cannot know.
    pub(crate) fn of_plan(planned: Option<u64>) -> Self {
        let bytes = planned.map_or(UNPLANNED, |most| most.saturating_mul(FACTOR).saturating_add(SLACK).min(LARGEST));
        Self { planned, bytes }
    }

    /// What is left of it after other files of the task.
    pub(crate) fn without(self, before: u64) -> Self {
        Self { bytes: self.bytes.saturating_sub(before), ..self }
    }

    /// Says what was planned in the failure of a result that is too large.
    pub(crate) fn explain(self, mut failure: Failure) -> Failure {
        if failure.kind == FailureKind::LimitExceeded {
            let planned = match self.planned {
                Some(most) => format!("the plan expects at most {most}"),
                None => "the plan does not know its size".to_owned(),
            };
            failure.message = format!("{}; {planned}, and {} are taken", failure.message, self.bytes);
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_times_the_plan_and_some_slack_is_taken() {
        let limit = |planned| DownloadLimit::of_plan(planned).bytes;
        assert_eq!(limit(Some(0)), SLACK);
        assert_eq!(limit(Some(1_800_000)), 36_000_000 + SLACK);
        assert_eq!((limit(Some(u64::MAX)), limit(None)), (LARGEST, UNPLANNED));
        assert_eq!(DownloadLimit::of_plan(Some(0)).without(SLACK + 1).bytes, 0);
    }
}
