//! What an engine does with the jobs that an earlier one left.

use super::entry::{Body, Entry, Known};
use super::table::Table;
use crate::store::{JobRecord, Stop};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, JobState, WaitReason};
use std::sync::Arc;

/// How often in a row the process may end while a job runs, until the job is not begun by itself any more: it may be the reason.
const MOST_CRASHES: u32 = 10;

/// What becomes of a job that lived when the engine before this one ended; answers whether it is another one now.
fn taken_up(record: &mut JobRecord) -> bool {
    let was_running = record.state == JobState::Running;
    if was_running {
        // The end of the process was no try, and may have left work.
        (record.attempts, record.is_kept) = (record.attempts.saturating_sub(1), true);
        record.crashes = record.crashes.saturating_add(1);
    }
    if record.stop == Some(Stop::Suspend) {
        (record.state, record.waits_for, record.due, record.stop) = (JobState::Suspended, None, None, None);
        return true;
    }
    if was_running && record.crashes >= MOST_CRASHES {
        let times = std::mem::take(&mut record.crashes);
        let message = format!(
            "the process ended {times} times in a row while the job ran, and the job may be the reason; it is not begun by itself any more: \
             resume it, or cancel it"
        );
        let failure = Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Run, message);
        (record.state, record.failure) = (JobState::Suspended, Some(Box::new(failure)));
        return true;
    }
    // One whose credentials were refused has no time: it is not tried with the same ones by itself.
    let has_time = record.due.is_some();
    let asks = match record.waits_for {
        Some(WaitReason::Credentials) => has_time,
        _ => record.state == JobState::Waiting && !has_time,
    };
    if was_running || asks {
        record.state = JobState::Queued;
        (record.waits_for, record.due) = (None, None);
    }
    was_running || asks
}

/// Takes jobs into an empty table; answers those that are others now than in the store.
pub(super) fn take_up(table: &mut Table, living: Vec<JobRecord>, now: i64) -> Vec<Arc<str>> {
    let mut changed = Vec::new();
    for mut record in living {
        let is_other = taken_up(&mut record);
        let mut entry = Entry::new(record, Body::Stored(Known::default()));
        entry.is_stored = true;
        let id = table.insert(entry);
        table.enqueue(&id, now);
        if is_other {
            changed.push(id);
        }
    }
    changed
}
