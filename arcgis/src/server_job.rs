//! Jobs on a server: [`run`] submits one, waits for it and fetches its result.
//!
//! 1. A job that an earlier run submitted is resumed; else one is submitted. A submission whose answer was lost, or is not the
//!    service's own, is repeated for a time; what it may have made is removed.
//! 2. The wait polls at growing intervals, passes the server's messages on, and ends with the job's time limit. Whatever may pass in
//!    between is waited for as well.
//! 3. The result is fetched; storage may lag behind the job.
//! 4. A job or result that the server has forgotten is submitted once more, once in all runs.

mod submit;
mod task;
mod wait;

use crate::client::ArcGisClient;
use offmap_model::{Failure, FailureKind, TaskControl};
use submit::submit;
pub use task::{Poll, ResultOf, ServerJob, ServerTask, Submission, is_gone};
use wait::wait;
pub use wait::while_it_lags;

/// Notes that a forgotten job was submitted again.
const AGAIN: &str = "again";

/// What there is after a submission.
enum Started<J: ServerJob> {
    Job(J),
    Done(J::Result),
}

/// Why an attempt ended, and whether the server has forgotten its job or result.
struct Ended {
    failure: Failure,
    is_forgotten: bool,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self { failure, is_forgotten: false }
    }
}

/// Submits or resumes the job of a task, waits for it, and fetches its result: see the module.
///
/// # Errors
/// Of the submission, the job or the fetching; cancelled if the task was.
///
/// # Cancel safety
/// May be dropped: what was noted is resumed by the next run, and what a submission may have made is found by its owner.
pub async fn run<T: ServerTask>(client: &ArcGisClient, control: &dyn TaskControl, task: &T) -> Result<T::Output, Failure> {
    loop {
        let Ended { failure, is_forgotten } = match attempt(client, control, task).await {
            Ok(output) => return Ok(output),
            Err(ended) => ended,
        };
        if !is_forgotten || task.noted(AGAIN).await?.is_some() {
            return Err(failure);
        }
        control.log(format!("the service has forgotten the job, which is submitted once more ({failure})"));
        task.note(AGAIN, "1").await?;
        task.note(task.url_note(), "").await?;
    }
}

async fn attempt<T: ServerTask>(client: &ArcGisClient, control: &dyn TaskControl, task: &T) -> Result<T::Output, Ended> {
    let known = task.noted(task.url_note()).await?.filter(|url| !url.is_empty());
    let submission = match known {
        Some(url) => Submission::Job(url),
        None => {
            task.prepare().await?;
            let submission = submit(client, control, task).await?;
            if let Submission::Job(url) = &submission {
                task.note(task.url_note(), url).await?;
            }
            submission
        }
    };
    let mut started = match submission {
        Submission::Job(url) => Started::Job(task.job(url)),
        Submission::Done(result) => Started::Done(result),
    };
    let mut is_found = false;
    let work = async {
        let waited;
        let result = match &mut started {
            Started::Job(job) => {
                waited = wait(client, control, job).await?;
                &waited
            }
            Started::Done(result) => &*result,
        };
        is_found = true;
        task.job_finished().await?;
        while_it_lags(control, "the job is done and its result", || task.fetch(result)).await
    };
    let ended = tokio::select! {
        biased;
        () = control.cancel_token().cancelled() => Err(Failure::cancelled()),
        ended = work => ended,
    };
    let (failure, job) = match (ended, started) {
        (Ok(output), _) => return Ok(output),
        (Err(failure), Started::Done(_)) => return Err(failure.into()),
        (Err(failure), Started::Job(job)) => (failure, job),
    };
    if failure.is_cancelled() {
        task.cancelled(&job, &failure).await?;
        return Err(failure.into());
    }
    // Files that nobody fetched for some minutes are removed.
    let is_forgotten = job.is_forgotten() || (is_found && failure.kind == FailureKind::NotFound);
    Err(Ended { failure, is_forgotten })
}
