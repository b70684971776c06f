//! What code that works for one task of a job may ask of whoever runs the job.

use crate::clock::Clock;
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Lent to clients and waits that work for a task, so that they need not know the engine: its clock, its cancellation, and where to
/// report.
#[async_trait]
pub trait TaskControl: Debug + Send + Sync + 'static {
    /// The job's clock: everything that waits for the task waits on it.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Fires when the job is cancelled.
    fn cancel_token(&self) -> &CancellationToken;

    /// Waits on the clock between two polls, and as long as the job is paused.
    ///
    /// # Cancel safety
    /// Dropping the future stops waiting and nothing else.
    async fn sleep(&self, time: Duration);

    /// Reports how far the server's own work for the task is, from 0 to 1.
    fn waiting(&self, fraction: f64);

    /// Logs a message for people.
    fn log(&self, message: String);

    /// Passes on a message of the service.
    fn server_message(&self, message: String);
}
