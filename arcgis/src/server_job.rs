//! Jobs on a server: [`run`] submits one, waits for it and fetches its result.
//!
//! 1. A job that an earlier run submitted is resumed; else one is submitted. A submission whose answer was lost, or is not the
//!    service's own, is repeated for a time; what it may have made is removed.
//! 2. The wait polls at growing intervals, passes the server's messages on, and ends with the job's time limit. Whatever may pass in
//!    between is waited for as well.
//! 3. The result is fetched; storage may lag behind the job.
//! 4. A job or result that the server has forgotten is submitted once more, once in all runs.

use crate::body;
use crate::client::ArcGisClient;
use crate::transport::{Pauses, Retries};
use crate::urls::parse_http;
use async_trait::async_trait;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, TaskControl};
use std::time::Duration;

/// Whether a poll says that the server knows nothing of a job: its record is gone, it is not merely out of reach.
pub fn is_gone(failure: &Failure) -> bool {
    let out_of_reach = failure.retryable || failure.is_cancelled() || body::is_unauthorized(failure);
    !out_of_reach && failure.owner == FailureOwner::Source
}

/// Whether nobody knows what became of a submission: the connection broke before its answer, what stands before the service answered
/// in its place (502, 503, 504, a page), or the service failed while it worked on it (500). A service that asks to come back later
/// did not begin.
fn is_unknown(failure: &Failure) -> bool {
    failure.retryable && failure.kind != FailureKind::Throttled
}

/// After a cancel, how long a submission may go on, so that what it started is known and can be removed.
const CANCEL_GRACE: Duration = Duration::from_millis(700);

/// Runs a request that starts something on a service until it ends, or the job was cancelled and its grace is over. The grace bounds
/// a request that is on its way, so it is the machine's time, as the time-outs of sockets are.
async fn until_cancelled<T>(
    control: &dyn TaskControl,
    work: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<T, Failure> {
    let cancel = control.cancel_token();
    if cancel.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let over = async {
        cancel.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    tokio::select! {
        biased;
        result = work => result,
        () = over => Err(Failure::cancelled()),
    }
}

/// Submits a job. A submission of which nobody knows what became is repeated, after what it may have made was removed.
async fn submit<T: ServerTask>(
    client: &ArcGisClient,
    control: &dyn TaskControl,
    task: &T,
) -> Result<Submission<ResultOf<T>>, Failure> {
    let url = parse_http(task.service_url())?;
    let mut retries = Retries::new(Pauses::Long);
    loop {
        let failure = match until_cancelled(control, task.submit()).await {
            Err(failure) if is_unknown(&failure) => failure,
            ended => return ended,
        };
        let pause = {
            let context = client.transport().retry_context();
            match retries.after_failure(&context, &url, &failure) {
                Some(pause) => pause,
                None => return Err(retries.explain(&context, failure)),
            }
        };
        control.log(format!("the answer was lost ({failure}); submitted again"));
        let clock = client.clock();
        tokio::select! {
            biased;
            () = control.cancel_token().cancelled() => return Err(Failure::cancelled()),
            () = clock.sleep(pause) => {}
        }
        task.remove_submitted().await?;
    }
}

/// How long a result that the service names may be missing: storage lags behind the word of the job.
const RESULT_LAG: Duration = Duration::from_mins(1);
/// The first pause until it is asked for again.
const FIRST_LAG: Duration = Duration::from_secs(1);

/// Asks for a result until it is there: only one that stays away is gone.
async fn while_it_lags<T, Fut>(control: &dyn TaskControl, ask: impl Fn() -> Fut) -> Result<T, Failure>
where
    Fut: Future<Output = Result<T, Failure>>,
{
    let began = control.clock().now_ms();
    let mut pause = FIRST_LAG;
    loop {
        let failure = match ask().await {
            Err(failure) if failure.kind == FailureKind::NotFound => failure,
            ended => return ended,
        };
        let waited = Duration::from_millis(u64::try_from(control.clock().now_ms() - began).unwrap_or(0));
        if waited >= RESULT_LAG {
            return Err(failure);
        }
        control.log("the job is done and its result is not there yet; it is asked for again".to_owned());
        control.sleep(pause).await;
        pause = pause.mul_f64(LONGER);
    }
}

/// How much longer each pause between two polls is.
const LONGER: f64 = 1.5;

/// What one poll of a job shows.
#[derive(Debug)]
#[non_exhaustive]
pub enum Poll<T> {
    /// It still runs.
    Running {
        /// The server's message.
        message: String,
        /// How much is done, from 0 to 1, where the server says so.
        done: Option<f64>,
    },
    /// It is done.
    Done(T),
}

/// A job on a server, as it is polled.
#[async_trait]
pub trait ServerJob: Send + Sync {
    /// What a job that is done leaves.
    type Result: Send + Sync;

    /// `replica job`, `export job`.
    fn name(&self) -> &'static str;

    /// The url of its state.
    fn url(&self) -> &str;

    /// Whether the last poll found that the server has forgotten it.
    fn is_forgotten(&self) -> bool;

    /// Asks for its state once; a job that failed is a failure. What may pass is asked again for as long as `left`.
    async fn poll(&mut self, left: Duration) -> Result<Poll<Self::Result>, Failure>;

    /// Ends it on the server, because nobody will wait for it any longer.
    async fn abandon(&mut self) {}
}

/// Polls a job until it ends, or its time limit is over.
async fn wait<J: ServerJob>(client: &ArcGisClient, control: &dyn TaskControl, job: &mut J) -> Result<J::Result, Failure> {
    let limit = client.options().job_timeout;
    let mut pause = client.options().poll_interval;
    let began = control.clock().now_ms();
    let mut last = String::new();
    loop {
        let waited = Duration::from_millis(u64::try_from(control.clock().now_ms() - began).unwrap_or(0));
        let (message, done) = match job.poll(limit.saturating_sub(waited)).await {
            Ok(Poll::Done(result)) => return Ok(result),
            Ok(Poll::Running { message, done }) => (message, done),
            Err(failure) => {
                if failure.retryable {
                    // Its time is over: nobody fetches what it still makes.
                    job.abandon().await;
                }
                return Err(failure);
            }
        };
        if let Some(done) = done {
            control.waiting(done);
        }
        if message != last {
            control.server_message(message.clone());
            last = message;
        }
        if waited > limit {
            let message = format!("the {} is still `{last}` after {} seconds", job.name(), waited.as_secs());
            let failure = Failure::new(FailureOwner::Source, FailureKind::TimedOut, FailureStage::Wait, message);
            job.abandon().await;
            return Err(failure.with_url(job.url()).retryable());
        }
        control.sleep(pause).await;
        pause = pause.mul_f64(LONGER).min(client.options().longest_poll_interval);
    }
}

/// What a submission was answered with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Submission<R> {
    /// The url of the job's state.
    Job(String),
    /// The result, at once.
    Done(R),
}

/// Work that a service does as a job, and what [`run`] has to know of it. Notes outlive the process, so that another one resumes.
#[async_trait]
pub trait ServerTask: Sync {
    /// Its job on the server.
    type Job: ServerJob;
    /// What is left when the result was fetched.
    type Output: Send;

    /// The url of the service.
    fn service_url(&self) -> &str;

    /// The name of the note that holds the url of the job's state; other notes have other names than this and `again`.
    fn url_note(&self) -> &'static str;

    /// Reads a note.
    async fn noted(&self, name: &str) -> Result<Option<String>, Failure>;

    /// Writes a note.
    async fn note(&self, name: &str, value: &str) -> Result<(), Failure>;

    /// The job whose state is at a url.
    fn job(&self, url: String) -> Self::Job;

    /// Called once before a job is submitted, not before one is resumed.
    async fn prepare(&self) -> Result<(), Failure>;

    /// Submits the job, once.
    async fn submit(&self) -> Result<Submission<ResultOf<Self>>, Failure>;

    /// Removes what a submission may have made whose answer was lost.
    async fn remove_submitted(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Called when the job is done, before its result is fetched.
    async fn job_finished(&self) -> Result<(), Failure>;

    /// Fetches the result of the job. A result that is not there ([`FailureKind::NotFound`]) is asked for again for a while.
    async fn fetch(&self, result: &ResultOf<Self>) -> Result<Self::Output, Failure>;

    /// Called when the wait for the job, or the fetching of its result, was cancelled.
    async fn cancelled(&self, _job: &Self::Job, _failure: &Failure) -> Result<(), Failure> {
        Ok(())
    }
}

/// What the job of a task leaves.
pub type ResultOf<T> = <<T as ServerTask>::Job as ServerJob>::Result;

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
        while_it_lags(control, || task.fetch(result)).await
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
