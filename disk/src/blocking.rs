//! Work that blocks, off the async threads.

use offmap_model::Failure;

/// Runs work that blocks off the async threads.
///
/// # Errors
/// The work's own failure, or that it panicked.
pub async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    // What the work logs belongs to whoever waits for it.
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Failure::internal("a blocking step was dropped by its runtime")),
    }
}
