//! Looks at the jobs of a data directory that no engine has.

use crate::data_dir::DataDir;
use crate::store::{JobStore, no_job};
use offmap_disk::run_blocking;
use offmap_model::{Failure, JobFilter, JobPage, JobSnapshot};
use std::path::Path;
use tokio::runtime::Handle;

/// The jobs of a data directory ([`EngineBuilder::data_dir`](crate::EngineBuilder::data_dir)) that no engine has: to look at, not to run.
/// While it lives, no engine starts with the directory. What an engine has, its host tells ([`Engine::jobs`](crate::Engine::jobs)).
///
/// ```no_run
/// use offmap_engine::StoredJobs;
/// use offmap_model::JobFilter;
///
/// # async fn run() -> Result<(), offmap_model::Failure> {
/// let stored = StoredJobs::open("/var/lib/maps".as_ref()).await?;
/// for job in stored.list_jobs(&JobFilter::default(), None, 100).await?.jobs {
///     println!("{} {}", job.id, job.state.name());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct StoredJobs {
    store: JobStore,
    _data_dir: DataDir,
}

impl StoredJobs {
    /// Opens the store in a data directory.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or an engine has it (the message names its process).
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn open(path: &Path) -> Result<Self, Failure> {
        let (path, runtime) = (path.to_owned(), Handle::current());
        run_blocking(move || {
            let data_dir = DataDir::open_existing(&path)?;
            let (store, _) = JobStore::open(Some(&data_dir.store()), runtime)?;
            Ok(Self { store, _data_dir: data_dir })
        })
        .await
    }

    /// Jobs, the latest first, without their layers: at most so many, after a page before ([`JobPage::next`]).
    ///
    /// # Errors
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn list_jobs(&self, filter: &JobFilter, after: Option<u64>, most: u32) -> Result<JobPage, Failure> {
        self.store.page(filter, after, most).await
    }

    /// A job as the last engine left it; one that had not ended with what was last said of its layers.
    ///
    /// # Errors
    /// If there is none, or the store cannot be read.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn find_job(&self, id: &str) -> Result<JobSnapshot, Failure> {
        let record = self.store.record(id).await?.ok_or_else(|| no_job(id))?;
        match record.state.is_terminal() {
            true => self.store.ended_job(&record).await,
            false => self.store.stored_job(&record).await,
        }
    }
}
