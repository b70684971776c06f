//! How work of a job ends.

use offmap_disk::Steps;
use offmap_model::Failure;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long an exporter or packager may clean up after a cancel before its future is dropped.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

async fn grace(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(CANCEL_GRACE).await;
}

/// Runs work to its end, or until it has had its time after a cancel. Then waits, after a cancel so long again at most, for blocking steps
/// that it began and does not wait for itself: what they write must not come into a directory that is removed or filled anew.
pub(crate) async fn to_the_end<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let steps = Steps::default();
    let outcome = tokio::select! {
        biased;
        outcome = steps.of(work) => outcome,
        () = grace(stop) => Err(Failure::cancelled()),
    };
    tokio::select! {
        biased;
        () = steps.ended() => {}
        () = grace(stop) => tracing::warn!("a step that blocks has not ended"),
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
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

    #[tokio::test(start_paused = true)]
    async fn after_a_cancel_a_step_that_does_not_end_is_waited_for_so_long_and_no_longer() {
        let stop = CancellationToken::new();
        let (end, work) = failing();
        let mut ended = std::pin::pin!(to_the_end(&stop, work));
        assert!(ended.as_mut().now_or_never().is_none(), "a step still runs");
        stop.cancel();
        assert!(ended.as_mut().now_or_never().is_none(), "it has its time");
        tokio::time::advance(CANCEL_GRACE).await;
        ended.await.expect_err("it failed");
        drop(end);
    }
}
