//! How work of a job ends.

use futures_util::FutureExt as _;
use offmap_disk::Steps;
use offmap_model::Failure;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long an exporter or packager may clean up after a cancel before its future is dropped; blocking steps that it left may take so long
/// again.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// How long blocking steps may take to end that are left where the job is not cancelled: a disk may be slow, and one that never answers
/// must not hold the job for ever.
const STEPS_LIMIT: Duration = Duration::from_secs(60);

/// A time after a cancel.
async fn grace(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(CANCEL_GRACE).await;
}

/// Runs work to its end, or until it has had its time after a cancel of `stop`. Then cancels the work's own `token`, and waits for
/// blocking steps that it began and does not wait for itself: what they write must not come into a directory that is removed or filled
/// anew. A panic of the work goes on after that.
pub(crate) async fn to_the_end<T>(
    stop: &CancellationToken,
    token: CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let steps = Steps::default();
    let outcome = tokio::select! {
        biased;
        outcome = AssertUnwindSafe(steps.of(work)).catch_unwind() => outcome,
        () = grace(stop) => Ok(Err(Failure::cancelled())),
    };
    // Nobody wants what is left of it.
    token.cancel();
    let has_ended = tokio::select! {
        biased;
        () = steps.ended() => true,
        () = grace(stop) => false,
        () = tokio::time::sleep(STEPS_LIMIT) => false,
    };
    if !has_ended {
        tracing::warn!("a step that blocks does not end; it is not waited for any longer");
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_disk::run_blocking;
    use std::sync::mpsc::{Sender, channel};

    /// A moment.
    const MOMENT: Duration = Duration::from_millis(1);

    /// Work that ends in some way while one of its steps waits to be told that it may end.
    fn leaving<T>(outcome: Result<T, Failure>) -> (Sender<()>, impl Future<Output = Result<T, Failure>>) {
        let (end, told) = channel();
        let work = async move {
            let step = run_blocking(move || {
                let _ = told.recv();
                Ok(())
            });
            assert!(step.now_or_never().is_none(), "it waits");
            outcome
        };
        (end, work)
    }

    fn failed() -> Result<(), Failure> {
        Err(Failure::internal("another step failed"))
    }

    #[tokio::test]
    async fn no_step_that_blocks_outlives_the_work_that_began_it() {
        for outcome in [failed(), Ok(())] {
            let (stop, token) = (CancellationToken::new(), CancellationToken::new());
            let (end, work) = leaving(outcome.clone());
            let mut ended = std::pin::pin!(to_the_end(&stop, token.clone(), work));
            assert!(ended.as_mut().now_or_never().is_none(), "a step still runs");
            assert!(token.is_cancelled(), "it may see that it need not go on");
            end.send(()).expect("it waits");
            assert_eq!(ended.await, outcome);
        }
    }

    #[tokio::test]
    async fn nor_where_the_work_panics() {
        let stop = CancellationToken::new();
        let (end, work) = leaving(failed());
        let panics = async {
            let failure = work.await.expect_err("it fails");
            assert!(failure.message.is_empty(), "this panics");
            Ok(())
        };
        let mut ended = Box::pin(AssertUnwindSafe(to_the_end(&stop, stop.child_token(), panics)).catch_unwind());
        assert!(ended.as_mut().now_or_never().is_none(), "a step still runs");
        end.send(()).expect("it waits");
        assert!(ended.await.is_err(), "the panic is its end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_does_not_end_is_waited_for_so_long_and_no_longer() {
        for (is_cancelled, longest) in [(false, STEPS_LIMIT), (true, CANCEL_GRACE)] {
            let stop = CancellationToken::new();
            let (end, work) = leaving(failed());
            let mut ended = std::pin::pin!(to_the_end(&stop, stop.child_token(), work));
            assert!(ended.as_mut().now_or_never().is_none(), "a step still runs");
            if is_cancelled {
                stop.cancel();
            }
            assert!(ended.as_mut().now_or_never().is_none(), "it has its time");
            tokio::time::advance(longest - MOMENT).await;
            assert!(ended.as_mut().now_or_never().is_none(), "all of it");
            tokio::time::advance(2 * MOMENT).await;
            assert_eq!(ended.as_mut().now_or_never(), Some(failed()), "and no more");
            drop(end);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_after_a_cancel_is_dropped() {
        let stop = CancellationToken::new();
        stop.cancel();
        let ended = to_the_end(&stop, stop.child_token(), std::future::pending::<Result<(), Failure>>()).await;
        assert!(ended.is_err_and(|failure| failure.is_cancelled()));
    }
}
