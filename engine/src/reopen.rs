//! Makes jobs again of what they left: their work directory, their package, or their JSON.

use crate::engine::Engine;
use crate::handle::GenerateOfflineMapJob;
use crate::job::{JobDocument, JobHost, JobInner, StartMode, document_of};
use crate::work_dir::plain_destination;
use offmap_disk::run_blocking;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::path::PathBuf;
use std::sync::Arc;

fn job_of(engine: &Engine, document: JobDocument, start_mode: StartMode) -> GenerateOfflineMapJob {
    let JobDocument { id, source, parameters, overrides, destination, .. } = document;
    let host = JobHost::new(Arc::clone(engine.resources()), None);
    let inner = JobInner::new(host, id, Arc::new(source), (parameters, overrides), destination, start_mode);
    GenerateOfflineMapJob::of(engine, inner)
}

impl GenerateOfflineMapJob {
    /// The job for a destination that did not finish: after a crash, `kill -9`, a power cut, a full disk, or
    /// [`GenerateOfflineMapJob::cancel_and_keep`]. A job whose package is there already ends at once with it. It goes on where it stopped; what is done is not done again, a server job that
    /// still runs is picked up, half a file goes on. Credentials are the engine's: they are not in the ledger. offmap's own.
    ///
    /// # Errors
    /// If there is no unfinished job, or a living job holds it (the message names its process).
    pub async fn resume(engine: &Engine, destination: impl Into<PathBuf>) -> Result<Self, Failure> {
        let destination = plain_destination(&destination.into());
        let (text, start_mode) = match document_of(&destination).await {
            Ok(text) => (text, StartMode::Resumed),
            Err(failure) if failure.kind == FailureKind::NotFound => {
                let (packager, place) = (Arc::clone(&engine.resources().packager), destination.clone());
                match run_blocking(move || packager.read_package(&place)).await {
                    Ok(earlier) => (earlier.document, StartMode::Finished),
                    // What is there instead and cannot be read says why.
                    Err(unreadable) if destination.exists() => {
                        return Err(Failure { message: format!("{}; {}", failure.message, unreadable.message), ..failure });
                    }
                    Err(_) => return Err(failure),
                }
            }
            Err(failure) => return Err(failure),
        };
        let mut document = JobDocument::read(&text)?;
        // The whole may have been moved, but not to the name of another one.
        if start_mode == StartMode::Resumed && document.destination.file_name() != destination.file_name() {
            let (own, shown) = (document.destination.display(), destination.display());
            return Err(Failure::new(
                FailureOwner::Caller,
                FailureKind::Corrupt,
                FailureStage::Read,
                format!(
                    "the unfinished job beside {shown} is one for {own}; remove it with `offmap clean {shown}`, or give it its name back"
                ),
            ));
        }
        document.destination = destination;
        Ok(job_of(engine, document, start_mode))
    }

    /// A new job that completes a package that was written with layer errors: what succeeded is carried over without asking its
    /// services, only what failed is fetched, then the new package takes the place of the old one. A package without errors stays as
    /// it is, and so does one for which nothing new could be fetched: it is never replaced by one that holds less. offmap's own.
    ///
    /// # Errors
    /// If the package was not made by offmap, or does not say by which job.
    pub async fn complete(engine: &Engine, package: impl Into<PathBuf>) -> Result<Self, Failure> {
        let package = plain_destination(&package.into());
        let (packager, place) = (Arc::clone(&engine.resources().packager), package.clone());
        let earlier = run_blocking(move || packager.read_package(&place)).await?;
        let mut document = JobDocument::read(&earlier.document)?;
        document.id = uuid::Uuid::new_v4().to_string();
        document.destination = package;
        Ok(job_of(engine, document, StartMode::Completing))
    }

    /// A dormant job of an engine, with the same id, out of [`GenerateOfflineMapJob::to_json`].
    ///
    /// # Errors
    /// If the text is not a job of a version that is known.
    #[doc(alias = "fromJson")]
    pub fn from_json(engine: &Engine, text: &str) -> Result<Self, Failure> {
        Ok(job_of(engine, JobDocument::read(text)?, StartMode::Fresh))
    }
}
