//! Work that ends with its time or its cancel.

use offmap_model::{Clock, Failure, FailureKind, FailureOwner, FailureStage};
use std::future::Future;
use tokio_util::sync::CancellationToken;

/// Runs work that is no job's yet, such as the reading of a map, until it ends, its time is over, or it is cancelled. `what` says
/// in a message what was not done in time.
///
/// # Errors
/// The work's own failure, that it was cancelled, or that its time was over.
///
/// # Cancel safety
/// That of the work.
pub async fn run_within<T>(
    what: &str,
    limit: Option<std::time::Duration>,
    cancel: &CancellationToken,
    clock: &dyn Clock,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let over = async {
        match limit {
            Some(limit) => clock.sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::cancelled()),
        ended = work => ended,
        () = over => {
            let seconds = limit.unwrap_or_default().as_secs_f64();
            let message = format!("{what} had not ended after its time limit of {seconds} seconds; raise the limit");
            Err(Failure::new(FailureOwner::Caller, FailureKind::TimedOut, FailureStage::Read, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::SystemClock;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn work_before_a_job_ends_with_its_time_or_its_cancel() {
        let never = || std::future::pending::<Result<(), Failure>>();
        let (cancel, limit) = (CancellationToken::new(), Some(Duration::from_secs(3)));
        let late = run_within("the reading", limit, &cancel, &SystemClock, never()).await.expect_err("late");
        assert_eq!((late.kind, late.owner), (FailureKind::TimedOut, FailureOwner::Caller));
        assert!(late.message.contains("the reading had not ended after its time limit of 3 seconds"), "{late}");
        assert_eq!(run_within("the reading", limit, &cancel, &SystemClock, async { Ok(7) }).await, Ok(7));
        cancel.cancel();
        let ended = run_within("the reading", None, &cancel, &SystemClock, never()).await.expect_err("cancelled");
        assert!(ended.is_cancelled());
    }
}
