//! What `server_job::run` has to know of a job, and of the work that it does.

use crate::body::is_unauthorized;
use async_trait::async_trait;
use offmap_model::{Failure, FailureOwner};
use std::time::Duration;

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

/// Whether a poll found that the server knows nothing of a job: its record is gone, it is not merely out of reach.
pub fn is_gone(failure: &Failure) -> bool {
    let out_of_reach = failure.retryable || failure.is_cancelled() || is_unauthorized(failure);
    !out_of_reach && failure.owner == FailureOwner::Source
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

/// Work that a service does as a job, and what `server_job::run` has to know of it. Notes outlive the process, so that another one resumes.
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

    /// Fetches the result of the job. A result that is not there (`FailureKind::NotFound`) is asked for again for a while.
    async fn fetch(&self, result: &ResultOf<Self>) -> Result<Self::Output, Failure>;

    /// Called when the wait for the job, or the fetching of its result, was cancelled.
    async fn cancelled(&self, _job: &Self::Job, _failure: &Failure) -> Result<(), Failure> {
        Ok(())
    }
}

/// What the job of a task leaves.
pub type ResultOf<T> = <<T as ServerTask>::Job as ServerJob>::Result;
