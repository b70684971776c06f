//! Jobs on a server: how one is submitted and waited for.
//!
//! - A submission whose answer was lost, or is not the service's own, is repeated for a time; what it may have made is removed.
//! - A wait asks at growing intervals, passes the server's words on, and ends with the job's time limit. Whatever may pass in between
//!   is waited for as well.

use crate::body;
use crate::client::{ArcGisClient, parse_http};
use crate::retry::{Pauses, Retries};
use async_trait::async_trait;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, TaskControl};
use std::time::Duration;

/// Whether a look at a job says that the server knows nothing of it: its record is gone, it is not merely out of reach.
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

/// Runs a request that starts something on a service until it ends, or the job was cancelled and its grace is over.
async fn settle<T>(control: &dyn TaskControl, work: impl Future<Output = Result<T, Failure>> + Send) -> Result<T, Failure> {
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

/// Submits a job. A submission of which nobody knows what became is repeated, after `take_back` removed what it may have made.
pub async fn submit<T, S, B>(
    client: &ArcGisClient,
    control: &dyn TaskControl,
    url: &str,
    submission: impl Fn() -> S,
    take_back: impl Fn() -> B,
) -> Result<T, Failure>
where
    S: Future<Output = Result<T, Failure>> + Send,
    B: Future<Output = Result<(), Failure>>,
{
    let url = parse_http(url)?;
    let mut retries = Retries::new(Pauses::Long);
    loop {
        let failure = match settle(control, submission()).await {
            Err(failure) if is_unknown(&failure) => failure,
            ended => return ended,
        };
        let Some(pause) = retries.after_failure(client, &url, &failure) else {
            return Err(retries.explain(client, failure));
        };
        control.log(format!("the answer was lost ({failure}); submitted again"));
        let clock = client.clock();
        tokio::select! {
            biased;
            () = control.cancel_token().cancelled() => return Err(Failure::cancelled()),
            () = clock.sleep(pause) => {}
        }
        take_back().await?;
    }
}

/// How long a result that the service names may be missing: storage lags behind the word of the job.
const RESULT_LAG: Duration = Duration::from_mins(1);
/// The first pause until it is asked for again.
const FIRST_LAG: Duration = Duration::from_secs(1);

/// Asks for a result until it is there: only one that stays away is gone.
pub async fn while_it_lags<T, Fut>(control: &dyn TaskControl, ask: impl Fn() -> Fut) -> Result<T, Failure>
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

/// How much longer each pause between two looks is.
const LONGER: f64 = 1.5;

/// What one look at a job shows.
#[derive(Debug)]
pub enum Poll<T> {
    /// It still runs: the server's words for it, and how much is done, from 0 to 1.
    Running {
        /// The server's message.
        words: String,
        /// How much is done, from 0 to 1, where the server says so.
        done: Option<f64>,
    },
    /// It is done.
    Done(T),
}

/// A job on a server.
#[async_trait]
pub trait ServerJob: Send {
    /// What a job that is done leaves.
    type Result: Send;

    /// `replica job`, `export job`.
    fn name(&self) -> &'static str;

    /// Where it is looked at.
    fn url(&self) -> &str;

    /// Whether the last look found that the server has forgotten it.
    fn is_lost(&self) -> bool;

    /// Looks at it once; a job that failed is a failure. What may pass is asked again for as long as `left`.
    async fn poll(&mut self, left: Duration) -> Result<Poll<Self::Result>, Failure>;

    /// Ends it on the server, because nobody will wait for it any longer.
    async fn abandon(&mut self) {}
}

/// Looks at a job until it ends, or its time limit is over.
pub async fn wait<J: ServerJob>(
    client: &ArcGisClient,
    control: &dyn TaskControl,
    job: &mut J,
) -> Result<J::Result, Failure> {
    let limit = client.options().job_timeout;
    let mut pause = client.options().poll_interval;
    let began = control.clock().now_ms();
    let mut said = String::new();
    loop {
        let waited = Duration::from_millis(u64::try_from(control.clock().now_ms() - began).unwrap_or(0));
        let (words, done) = match job.poll(limit.saturating_sub(waited)).await {
            Ok(Poll::Done(result)) => return Ok(result),
            Ok(Poll::Running { words, done }) => (words, done),
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
        if words != said {
            control.server_message(words.clone());
            said = words;
        }
        if waited > limit {
            let message = format!("the {} is still `{said}` after {} seconds", job.name(), waited.as_secs());
            let failure = Failure::new(FailureOwner::Source, FailureKind::TimedOut, FailureStage::Wait, message);
            job.abandon().await;
            return Err(failure.with_url(job.url()).retryable());
        }
        control.sleep(pause).await;
        pause = pause.mul_f64(LONGER).min(client.options().longest_poll_interval);
    }
}
