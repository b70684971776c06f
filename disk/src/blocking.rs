//! Work that blocks, off the async threads.
//!
//! A blocking step goes on when the future that waits for it is dropped: nothing can stop it. [`Steps`] waits for such steps, so that
//! nobody removes a directory, or fills it anew, in which one of them still writes.

use offmap_model::Failure;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

tokio::task_local! {
    static STEPS: Steps;
}

/// The blocking steps that some async work begins.
#[derive(Debug, Clone, Default)]
pub struct Steps(TaskTracker);

impl Steps {
    /// Those of the work that asks, for a task that it spawns; where none are counted, some that nobody waits for.
    #[must_use]
    pub fn here() -> Self {
        STEPS.try_with(Self::clone).unwrap_or_default()
    }

    /// Runs work whose steps are counted; it is counted itself as long as this future lives. Tasks that it spawns are not, unless they
    /// are run by this as well; steps of `Steps` within others are not counted among those.
    pub fn of<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let (steps, is_running) = (self.clone(), self.0.token());
        async move {
            let _is_running = is_running;
            STEPS.scope(steps, work).await
        }
    }

    /// Waits until all of them have ended, also those for which nobody waits any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// A blocking step that runs. Dropped, it goes on.
#[derive(Debug)]
pub struct Step<T> {
    // Where nobody waits for the result, it is dropped before the step has ended.
    work: JoinHandle<(T, Option<TaskTrackerToken>)>,
}

impl<T: Send + 'static> Step<T> {
    /// Begins a step.
    pub fn begin(work: impl FnOnce() -> T + Send + 'static) -> Self {
        // What the work logs belongs to whoever waits for it.
        let span = tracing::Span::current();
        let is_running = STEPS.try_with(|steps| steps.0.token()).ok();
        Self { work: tokio::task::spawn_blocking(move || (span.in_scope(work), is_running)) }
    }

    /// Waits for its result.
    ///
    /// # Errors
    /// If it panicked, or its runtime ended.
    pub async fn result(self) -> Result<T, JoinError> {
        self.work.await.map(|(result, _)| result)
    }
}

/// Runs work that blocks off the async threads.
///
/// # Errors
/// The work's own failure, or that it panicked.
pub async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match Step::begin(work).result().await {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Failure::internal("a blocking step was dropped by its runtime")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::mpsc;

    /// A step that ends when it is told to, begun and dropped.
    async fn begun_and_dropped() -> mpsc::Sender<()> {
        let (end, told) = mpsc::channel();
        let step = run_blocking(move || {
            let _ = told.recv();
            Ok(())
        });
        assert!(step.now_or_never().is_none(), "it waits");
        end
    }

    #[tokio::test]
    async fn a_step_that_nobody_waits_for_is_waited_for_at_the_end() {
        let steps = Steps::default();
        let end = steps.of(begun_and_dropped()).await;
        assert!(steps.ended().now_or_never().is_none(), "it still runs");
        end.send(()).expect("it waits");
        steps.ended().await;
    }

    #[tokio::test]
    async fn a_task_is_waited_for_that_has_not_begun_yet() {
        let steps = Steps::default();
        let task = tokio::spawn(steps.of(async {}));
        assert!(steps.ended().now_or_never().is_none(), "it has yet to begin");
        task.await.expect("ends");
        steps.ended().await;
    }

    #[tokio::test]
    async fn so_are_the_steps_of_a_task_that_carries_them_and_the_task() {
        let steps = Steps::default();
        let spawned = async { tokio::spawn(async { Steps::here().of(begun_and_dropped()).await }).await };
        let lost = steps.of(spawned).await.expect("ends");
        assert!(steps.ended().now_or_never().is_some(), "a task knows of no steps by itself");
        drop(lost);
        let spawned = async { tokio::spawn(Steps::here().of(begun_and_dropped())).await };
        let end = steps.of(spawned).await.expect("ends");
        assert!(steps.ended().now_or_never().is_none(), "it still runs");
        drop(end);
        steps.ended().await;
    }
}
