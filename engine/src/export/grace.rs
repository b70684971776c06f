//! How work of a job ends.

use futures_util::FutureExt as _;
use offmap_disk::Steps;
use offmap_model::Failure;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long an exporter or packager may clean up after a cancel before its future is dropped, and how long its blocking steps may take to
/// end then.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Runs work, which looks at a token, to its end, or until it has had its time after a cancel. Then waits for blocking steps that it
/// began and does not wait for itself: what they write must not come into a directory that is removed or filled anew. A panic of the
/// work goes on when they have ended.
pub(crate) async fn to_the_end<T>(
    token: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let steps = Steps::default();
    let grace = async {
        token.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let outcome = tokio::select! {
        biased;
        outcome = AssertUnwindSafe(steps.of(work)).catch_unwind() => outcome,
        () = grace => Ok(Err(Failure::cancelled())),
    };
    if !matches!(outcome, Ok(Ok(_))) {
        // What is left of it need not go on.
        token.cancel();
    }
    if tokio::time::timeout(CANCEL_GRACE, steps.ended()).await.is_err() {
        tracing::warn!("a step that blocks does not end; it is not waited for any longer");
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_disk::run_blocking;
    use std::sync::mpsc::{Sender, channel};

    /// Work that fails while one of its steps waits to be told that it may end.
    fn failing() -> (Sender<()>, impl Future<Output = Result<(), Failure>>) {
        let (end, told) = channel();
        let work = async move {
            let step = run_blocking(move || {
                let _ = told.recv();
                Ok(())
            });
            assert!(step.now_or_never().is_none(), "it waits");
            Err(Failure::internal("another step failed"))
        };
        (end, work)
    }

    #[tokio::test]
    async fn no_step_that_blocks_outlives_the_work_that_began_it() {
        let stop = CancellationToken::new();
        let (end, work) = failing();
        let mut ended = std::pin::pin!(to_the_end(&stop, work));
        assert!(ended.as_mut().now_or_never().is_none(), "a step still runs");
        end.send(()).expect("it waits");
        let failure = ended.await.expect_err("it failed");
        assert!(failure.message.contains("another step failed"), "{failure}");
    }

    #[tokio::test]
    async fn nor_where_the_work_panics() {
        let stop = CancellationToken::new();
        let (end, work) = failing();
        let panics = async {
            let failure = work.await.expect_err("it fails");
            assert!(failure.message.is_empty(), "this panics");
            Ok(())
        };
        let mut ended = Box::pin(AssertUnwindSafe(to_the_end(&stop, panics)).catch_unwind());
        assert!(ended.as_mut().now_or_never().is_none(), "a step still runs");
        assert!(stop.is_cancelled(), "it may see that it need not go on");
        end.send(()).expect("it waits");
        assert!(ended.await.is_err(), "the panic is its end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_does_not_end_is_waited_for_so_long_and_no_longer() {
        let stop = CancellationToken::new();
        let (end, work) = failing();
        let mut ended = std::pin::pin!(to_the_end(&stop, work));
        assert!(ended.as_mut().now_or_never().is_none(), "it has its time");
        tokio::time::advance(CANCEL_GRACE).await;
        ended.await.expect_err("it failed");
        drop(end);
    }
}
