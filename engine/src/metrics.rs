//! What the engine counts, by the `metrics` facade: a host program that installs a recorder has it, others pay next to nothing.
//!
//! | name | kind | labels | what |
//! | --- | --- | --- | --- |
//! | [`QUEUE_DEPTH`] | gauge | | jobs that wait for their turn or their time |
//! | [`JOBS`] | gauge | `state` | jobs that have not ended: `queued` or `running` |
//! | [`JOBS_ENDED`] | counter | `outcome` | jobs that ended |
//! | [`JOB_SECONDS`] | histogram | `outcome` | seconds from the submission of a job to its end, its waits counted in |
//! | [`EXPORT_SECONDS`] | histogram | `exporter`, `outcome` | seconds that the export of a task took |
//! | [`PACKAGE_SECONDS`] | histogram | `outcome` | seconds that a package took, its verification counted in |
//! | [`PACKAGE_BYTES`] | counter | | bytes of the packages that were made |
//!
//! - `outcome` is `succeeded`, `failed` or `cancelled`, of a job also `succeededWithErrors`.
//! - `exporter` is the name of one that the engine has.
//! - Seconds are those of the engine's clock.

use offmap_model::{Failure, GenerateOfflineMapResult, JobError};

/// Jobs that wait for their turn.
pub const QUEUE_DEPTH: &str = "offmap_queue_depth";
/// Jobs that have not ended.
pub const JOBS: &str = "offmap_jobs";
/// Jobs that ended.
pub const JOBS_ENDED: &str = "offmap_jobs_ended_total";
/// Seconds that a job took.
pub const JOB_SECONDS: &str = "offmap_job_duration_seconds";
/// Seconds that the export of a task took.
pub const EXPORT_SECONDS: &str = "offmap_export_duration_seconds";
/// Seconds that a package took.
pub const PACKAGE_SECONDS: &str = "offmap_package_duration_seconds";
/// Bytes of packages.
pub const PACKAGE_BYTES: &str = "offmap_package_bytes_total";

const QUEUED: &str = "queued";
const RUNNING: &str = "running";

/// So many jobs wait for their turn, and so many run.
pub(crate) fn jobs(queued: usize, running: usize) {
    for (state, jobs) in [(QUEUED, queued), (RUNNING, running)] {
        metrics::gauge!(JOBS, "state" => state).set(jobs as f64);
    }
    metrics::gauge!(QUEUE_DEPTH).set(queued as f64);
}

fn outcome(failure: Option<&Failure>) -> &'static str {
    match failure {
        None => "succeeded",
        Some(failure) if failure.is_cancelled() => "cancelled",
        Some(_) => "failed",
    }
}

/// Seconds between two times of a clock, in milliseconds.
fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from).max(0) as f64 / 1000.0
}

/// A job ended that was submitted at `from`.
pub(crate) fn job_ended(result: &Result<GenerateOfflineMapResult, JobError>, (from, to): (i64, i64)) {
    let outcome = match result {
        Ok(result) if result.has_errors() => "succeededWithErrors",
        Ok(_) => outcome(None),
        Err(error) => outcome(Some(&error.failure)),
    };
    metrics::counter!(JOBS_ENDED, "outcome" => outcome).increment(1);
    metrics::histogram!(JOB_SECONDS, "outcome" => outcome).record(seconds(from, to));
}

/// The export of a task ended.
pub(crate) fn export_ended(exporter: &'static str, failure: Option<&Failure>, (from, to): (i64, i64)) {
    let labels = [("exporter", exporter), ("outcome", outcome(failure))];
    metrics::histogram!(EXPORT_SECONDS, &labels).record(seconds(from, to));
}

/// A package was made, of so many bytes, or not.
pub(crate) fn package_ended(made: Result<u64, &Failure>, (from, to): (i64, i64)) {
    metrics::histogram!(PACKAGE_SECONDS, "outcome" => outcome(made.err())).record(seconds(from, to));
    metrics::counter!(PACKAGE_BYTES).increment(made.unwrap_or(0));
}
