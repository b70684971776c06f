//! Runs a job to its end, in front of somebody.

use crate::arguments::RunArguments;
use crate::interrupt::on_ctrl_c;
use crate::progress;
use offmap::{GenerateOfflineMapJob, GenerateOfflineMapResult, JobError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Runs a job to its end, shows how far it is, and cancels it where a signal comes. The token is cancelled by a signal as well, also by one
/// that comes later: what follows the job is ended by it, too.
pub(crate) async fn run(
    job: GenerateOfflineMapJob,
    wishes: &RunArguments,
) -> (Result<GenerateOfflineMapResult, JobError>, CancellationToken) {
    if wishes.keep == Some(true) {
        job.keep_unfinished();
    }
    if let Some(seconds) = wishes.time_limit {
        job.limit_time(Duration::from_secs(seconds));
    }
    let shown = tokio::spawn(progress::show(job.status(), wishes.style()));
    let (watched, cancel) = (job.clone(), CancellationToken::new());
    let cancelled = cancel.clone();
    tokio::spawn(on_ctrl_c(move || {
        watched.cancel();
        cancelled.cancel();
    }));
    let outcome = job.start().result().await;
    // The last message of the stream is the job's end; what follows on the terminal comes after it.
    let _ = shown.await;
    (outcome, cancel)
}
