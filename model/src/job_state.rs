//! The life of a job in an engine: its states, what may be done in each, and how it is seen from outside.

use crate::failure::Failure;
use crate::result::LayerOutcome;
use crate::status::{ExportState, Progress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// State of a job in an engine.
///
/// ```text
/// queued ──▶ running ──▶ succeeded, succeededWithErrors, failed, cancelled
///   ▲  ▲        │ │
///   │  └─ paused ◀┤   suspended: as paused, and nothing of it is in memory
///   └── waiting ◀─┘   for credentials or for the next try
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It stands still until it is resumed; what was downloaded is kept.
    Paused,
    /// It was stopped and keeps what it has: on the disk only, until it is resumed.
    Suspended,
    /// It waits for something else than its turn: see [`WaitReason`].
    Waiting,
    /// Its package is there, and every layer is in it.
    Succeeded,
    /// Its package is there without some layers.
    SucceededWithErrors,
    /// It made no package.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl JobState {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Suspended,
        Self::Waiting,
        Self::Succeeded,
        Self::SucceededWithErrors,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether the job has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::SucceededWithErrors | Self::Failed | Self::Cancelled)
    }

    /// Whether a package was made.
    #[must_use]
    pub fn has_package(self) -> bool {
        matches!(self, Self::Succeeded | Self::SucceededWithErrors)
    }

    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::SucceededWithErrors => "succeededWithErrors",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What a waiting job waits for. The time of an order ([`JobSnapshot::not_before`]) is none of it: a job whose time has not come is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum WaitReason {
    /// The host program does not give credentials, or secrets of its map, for it now: it is asked every minute, and when it says so. Or those
    /// that it gave were refused: it is asked when it says that there are others, or when the job is retried, and never before.
    Credentials,
    /// A host let it wait for so long that its last try was given up; the next one comes at its time.
    ThrottledHost,
    /// Its last try failed by something else that passes, or the engine's store did not take its start; the next one comes at its time.
    Retry,
}

impl WaitReason {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::ThrottledHost => "throttledHost",
            Self::Retry => "retry",
        }
    }

    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Credentials, Self::ThrottledHost, Self::Retry].into_iter().find(|reason| reason.name() == name)
    }
}

/// What a host may do with a job.
///
/// - An order's not-before holds until its time, whatever is done with the job: one that is paused, suspended or cancelled before and then goes on
///   waits for its time again. The time of a next try or of the next question for credentials does not hold: what goes on is begun at once.
/// - Who cancels or discards rolls back on the services what any run of the job left there. Where that cannot be done, since the host has no
///   credentials for the job now, or another job holds the work, the job has ended all the same: the verb fails and says why, the job keeps its work
///   ([`JobSnapshot::is_kept`]), and it can be discarded once there are credentials. Nothing is rolled back as nobody. Where the job's handle said
///   that its work is kept, a cancel keeps it, and only who discards rolls back.
/// - What was told holds after the end of the process: the next engine cancels, discards or suspends the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobVerb {
    /// Lets it stand still.
    Pause,
    /// Lets it go on.
    Resume,
    /// Stops it and rolls back what it did on the services.
    Cancel,
    /// Stops it and keeps what it has.
    Suspend,
    /// Stops it, and removes what it has or an earlier run kept.
    Discard,
    /// Runs it again after its end.
    Retry,
    /// Changes its priority.
    Reprioritise,
}

impl JobVerb {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Pause, Self::Resume, Self::Cancel, Self::Suspend, Self::Discard, Self::Retry, Self::Reprioritise];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Suspend => "suspend",
            Self::Discard => "discard",
            Self::Retry => "retry",
            Self::Reprioritise => "reprioritise",
        }
    }

    /// Whether it may be done in a state; where what it is for is so already, it does nothing.
    ///
    /// | | queued | running | paused | suspended | waiting | succeeded | succeededWithErrors | failed | cancelled |
    /// | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
    /// | pause | yes | yes | nothing | refused | yes | refused | refused | refused | refused |
    /// | resume | nothing | nothing | yes | yes | yes | refused | refused | refused | refused |
    /// | cancel | yes | yes | yes | yes | yes | refused | refused | refused | nothing |
    /// | suspend | yes | yes | yes | nothing | yes | refused | refused | refused | refused |
    /// | discard | yes | yes | yes | yes | yes | nothing | nothing | yes | yes |
    /// | retry | nothing | nothing | refused | refused | yes | refused | yes | yes | yes |
    /// | reprioritise | yes | yes | yes | yes | yes | refused | refused | refused | refused |
    #[must_use]
    pub fn in_state(self, state: JobState) -> VerbEffect {
        use JobState as S;
        use VerbEffect::{Acts, Nothing, Refused};
        match (self, state) {
            (Self::Pause, S::Paused)
            | (Self::Resume, S::Queued | S::Running)
            | (Self::Cancel, S::Cancelled)
            | (Self::Suspend, S::Suspended)
            | (Self::Discard, S::Succeeded | S::SucceededWithErrors)
            | (Self::Retry, S::Queued | S::Running) => Nothing,
            (Self::Pause, S::Suspended) | (Self::Retry, S::Paused | S::Suspended | S::Succeeded) => Refused,
            (Self::Discard, S::Failed | S::Cancelled) | (Self::Retry, S::SucceededWithErrors | S::Failed | S::Cancelled) => {
                Acts
            }
            (_, state) if state.is_terminal() => Refused,
            _ => Acts,
        }
    }
}

/// What a verb does in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerbEffect {
    /// It acts.
    Acts,
    /// It is done already.
    Nothing,
    /// It makes no sense there and is refused by name.
    Refused,
}

/// How often a job is tried whose failure may pass ([`Failure::may_succeed_later`]), and how long it waits between.
///
/// - Interruptions do not count: a job that is suspended, or runs when the engine ends, has as many tries as before.
/// - Refused credentials ([`FailureOwner::Credentials`](crate::FailureOwner::Credentials)) are never tried again by it, since a service may lock
///   the account: with a provider of credentials the job waits until the host says that it has others, or retries it; without one it fails.
///
/// ```
/// use offmap_model::RetryPolicy;
/// use std::time::Duration;
///
/// let RetryPolicy { attempts, first_wait, longest_wait } = RetryPolicy::default();
/// assert_eq!((attempts, first_wait, longest_wait), (1, Duration::from_mins(1), Duration::from_hours(1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryPolicy {
    /// Tries in all, the first one counted in. Default: 1, it is not tried again.
    pub attempts: u32,
    /// The wait before the second try; each further one is twice as long. Default: 1 minute.
    pub first_wait: Duration,
    /// The longest wait between two tries. Default: 1 hour.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// One try.
    fn default() -> Self {
        Self { attempts: 1, first_wait: Duration::from_mins(1), longest_wait: Duration::from_hours(1) }
    }
}

impl RetryPolicy {
    /// How long to wait after so many tries; `None` after the last one.
    ///
    /// ```
    /// use offmap_model::RetryPolicy;
    ///
    /// let policy = RetryPolicy { attempts: 4, ..RetryPolicy::default() };
    /// assert_eq!(policy.wait_after(2).map(|w| w.as_secs()), Some(120));
    /// assert_eq!(policy.wait_after(4), None);
    /// ```
    #[must_use]
    pub fn wait_after(&self, tries: u32) -> Option<Duration> {
        let doubled = self.first_wait.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
        (tries < self.attempts).then(|| doubled.min(self.longest_wait))
    }
}

/// A job as it is at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobSnapshot {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Title for people.
    pub title: String,
    /// More is earlier, among the jobs of its tenant.
    pub priority: i32,
    /// What the host noted of it.
    pub labels: BTreeMap<String, String>,
    /// How it is.
    pub state: JobState,
    /// What it waits for, where it waits.
    pub waits_for: Option<WaitReason>,
    /// When it goes on by itself, in milliseconds since 1970 UTC: a job that waits, or is not to begin earlier.
    pub not_before: Option<i64>,
    /// How many jobs are before it at the least, where it is queued.
    pub queue_position: Option<u64>,
    /// When it was submitted, in milliseconds since 1970 UTC.
    pub submitted: i64,
    /// When it last began to run.
    pub started: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// When its state changed last.
    pub updated: i64,
    /// How often it was tried, the present try counted in: begun by itself or by a retry. A run that was interrupted (suspended, or by the
    /// end of the engine or its process) is no try, nor is one whose credentials were refused and which waits for others.
    pub attempts: u32,
    /// Where its package is or will be.
    pub destination: PathBuf,
    /// How far it is, where it runs or stands still in memory.
    pub progress: Option<Progress>,
    /// Its layers and tables while it is in memory, else those of its result.
    pub layers: Vec<LayerSnapshot>,
    /// Why it failed, or why its last try did.
    pub failure: Option<Failure>,
    /// Whether it keeps work that a retry or resume goes on with.
    pub is_kept: bool,
    /// Size of its package in bytes, once it is there.
    pub bytes: Option<u64>,
    /// Things worth knowing that are no errors.
    pub warnings: Vec<String>,
}

impl JobSnapshot {
    /// A job of which no more is known than how it was submitted.
    #[must_use]
    pub fn new(id: &str, tenant: &str, title: &str, state: JobState, destination: PathBuf, submitted: i64) -> Self {
        Self {
            id: id.to_owned(),
            tenant: tenant.to_owned(),
            title: title.to_owned(),
            priority: 0,
            labels: BTreeMap::new(),
            state,
            waits_for: None,
            not_before: None,
            queue_position: None,
            submitted,
            started: None,
            ended: None,
            updated: submitted,
            attempts: 0,
            destination,
            progress: None,
            layers: Vec::new(),
            failure: None,
            is_kept: false,
            bytes: None,
            warnings: Vec::new(),
        }
    }
}

/// A layer or table of a job as it is at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LayerSnapshot {
    /// Id in the map.
    pub id: String,
    /// Title.
    pub title: String,
    /// Whether it is a table.
    pub is_table: bool,
    /// How it is.
    pub state: ExportState,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Why it failed or was skipped.
    pub failure: Option<Failure>,
}

impl LayerSnapshot {
    /// A layer that runs.
    #[must_use]
    pub fn new(id: String, title: String, is_table: bool, state: ExportState, progress: Option<Progress>) -> Self {
        Self { id, title, is_table, state, progress, failure: None }
    }
}

impl From<&LayerOutcome> for LayerSnapshot {
    fn from(layer: &LayerOutcome) -> Self {
        let LayerOutcome { id, title, is_table, state, failure, .. } = layer;
        let of = Self::new(id.clone(), title.clone(), *is_table, *state, None);
        Self { failure: failure.clone(), ..of }
    }
}

/// Which jobs of an engine are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JobFilter {
    /// Those of a tenant.
    pub tenant: Option<String>,
    /// Those in one of these states; all where it is empty.
    pub states: Vec<JobState>,
    /// Those that have all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// A part of a list of jobs, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPage {
    /// The jobs, without their layers.
    pub jobs: Vec<JobSnapshot>,
    /// What to ask the next part with; `None` at the end.
    pub next: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_reasons_are_known_by_their_names() {
        for state in JobState::ALL {
            assert_eq!(JobState::from_name(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.name());
        }
        for reason in [WaitReason::Credentials, WaitReason::ThrottledHost, WaitReason::Retry] {
            assert_eq!(WaitReason::from_name(reason.name()), Some(reason));
        }
        assert_eq!(JobState::from_name("asleep"), None);
    }

    #[test]
    fn waits_grow_to_the_longest_and_end_with_the_last_try() {
        let policy = RetryPolicy { attempts: 40, first_wait: Duration::from_secs(10), longest_wait: Duration::from_mins(5) };
        let waits: Vec<u64> =
            [1, 2, 3, 5, 6, 39].iter().filter_map(|n| policy.wait_after(*n)).map(|w| w.as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 160, 300, 300]);
        assert_eq!((policy.wait_after(40), RetryPolicy::default().wait_after(1)), (None, None));
    }
}
