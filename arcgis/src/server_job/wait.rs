//! The waits: for a job to end, and for its result to be there.

use super::task::{Poll, ServerJob};
use crate::client::ArcGisClient;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, TaskControl};
use std::time::Duration;

/// How much longer each pause between two polls is.
const LONGER: f64 = 1.5;
/// How long a result that the service names may be missing: storage lags behind the state of the job.
const RESULT_LAG: Duration = Duration::from_mins(1);
/// The first pause until it is asked for again.
const FIRST_LAG: Duration = Duration::from_secs(1);

/// Polls a job until it ends, or its time limit is over.
pub(super) async fn wait<J: ServerJob>(
    client: &ArcGisClient,
    control: &dyn TaskControl,
    job: &mut J,
) -> Result<J::Result, Failure> {
    let limit = client.options().job_timeout;
    let mut pause = client.options().poll_interval;
    let began = control.clock().now_ms();
    let mut last = String::new();
    loop {
        let waited = since(control, began);
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

/// Asks for a file that should be there until it is, for a minute: only one that stays away is gone (`FailureKind::NotFound`). `what` is
/// told to people.
///
/// # Errors
/// That of the last try.
///
/// # Cancel safety
/// May be dropped where `ask` may.
pub async fn while_it_lags<T, Fut>(control: &dyn TaskControl, what: &str, ask: impl Fn() -> Fut) -> Result<T, Failure>
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
        let waited = since(control, began);
        if waited >= RESULT_LAG {
            return Err(failure);
        }
        control.log(format!("{what} is not there yet; it is asked for again"));
        control.sleep(pause).await;
        pause = pause.mul_f64(LONGER);
    }
}

/// The time that passed since `began`, in milliseconds of the job's clock.
fn since(control: &dyn TaskControl, began: i64) -> Duration {
    Duration::from_millis(u64::try_from(control.clock().now_ms() - began).unwrap_or(0))
}
