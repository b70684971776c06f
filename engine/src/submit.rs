//! Orders become jobs, and jobs are looked up.

use crate::data_dir::packages_in;
use crate::engine::Engine;
use crate::job::{JobHost, JobInner, StartMode};
use crate::order::Order;
use crate::queue::{JobEvents, Orchestrator, Submission};
use crate::work_dir::plain_destination;
use offmap_model::{Failure, GenerateOfflineMapResult, JobError, JobFilter, JobPage, JobSnapshot, JobVerb};
use std::path::PathBuf;
use std::sync::Arc;

/// Longest tenant, label, or unique key, in bytes.
const LONGEST_WORD: usize = 256;
/// Most labels of an order.
const MOST_LABELS: usize = 32;

/// A job of an engine, by its id: it may run, wait, or have ended. Cheap to clone.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offmap_engine::testing::{Act, PlainPackager, Script, ScriptedExporter, scripted_map};
/// use offmap_engine::{Engine, Order};
/// use offmap_model::{AreaOfInterest, GenerateOfflineMapParameters, JobFilter, JobState, OfflineMapSource};
///
/// let dir = tempfile::tempdir()?;
/// let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter)?.data_dir(dir.path()).start()?;
/// let map = scripted_map([("roads", Script::of(Act::Succeed))]);
/// let parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers("7,46,8,47")?);
/// let job = engine.submit(Order::new(OfflineMapSource::from_web_map(map), parameters).tenant("forestry")).await?;
/// let result = job.result().await?;
/// assert!(result.package.starts_with(dir.path()));
/// assert_eq!(job.snapshot().await?.state, JobState::Succeeded);
/// assert_eq!(engine.jobs(&JobFilter::default(), None, 100).await?.jobs.len(), 1);
/// engine.shutdown().await?;
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct Job {
    orchestrator: Arc<Orchestrator>,
    id: String,
}

fn check(order: &Order) -> Result<(), Failure> {
    let words = order.labels.iter().flat_map(|(key, value)| [key, value]);
    if let Some(word) = words.chain([&order.tenant]).chain(&order.unique_key).find(|word| word.len() > LONGEST_WORD) {
        let message = format!("a tenant, label or unique key has {} bytes, expected at most {LONGEST_WORD}", word.len());
        return Err(Failure::invalid_parameter(message));
    }
    if order.labels.len() > MOST_LABELS {
        let message = format!("the order has {} labels, expected at most {MOST_LABELS}", order.labels.len());
        return Err(Failure::invalid_parameter(message));
    }
    if order.labels.contains_key("") {
        return Err(Failure::invalid_parameter(
            "a label of the order has an empty key, by which nobody can find it; name it",
        ));
    }
    if order.retry.attempts == 0 {
        return Err(Failure::invalid_parameter("the order is to be tried 0 times (`retry.attempts`), expected at least 1"));
    }
    order.source.check_urls()?;
    order.parameters.check()
}

impl Engine {
    /// Takes an order: when this answers it is in the store, and survives whatever happens to the process. A job of the tenant that lives
    /// and has the order's unique key is answered in place of a new one.
    ///
    /// # Errors
    /// If the order cannot be used, the queue is full (owner `limit`, may succeed later), or the store cannot be written.
    ///
    /// # Cancel safety
    /// The order may have been taken when the future is dropped; its unique key finds it.
    pub async fn submit(&self, order: Order) -> Result<Job, Failure> {
        check(&order)?;
        let id = uuid::Uuid::new_v4().to_string();
        let orchestrator = self.orchestrator();
        let data_dir = orchestrator.settings.data_dir.as_deref();
        let (destination, is_owned): (PathBuf, bool) = match (order.destination, data_dir) {
            (Some(destination), _) => (plain_destination(&destination), false),
            (None, Some(data_dir)) => (packages_in(data_dir).join(&id), true),
            (None, None) => {
                let message = "the order names no destination, and the engine has no data directory; name one, or give the engine one by `EngineBuilder::data_dir`";
                return Err(Failure::invalid_parameter(message));
            }
        };
        let host = JobHost::new(Arc::clone(self.resources()), None);
        let (source, wishes) = (Arc::new(order.source), (order.parameters, order.overrides));
        let inner = JobInner::new(host, id, source, wishes, destination, StartMode::Fresh);
        let submission = Submission {
            tenant: order.tenant.into(),
            priority: order.priority,
            labels: order.labels,
            unique_key: order.unique_key,
            not_before: order.not_before,
            time_limit: order.time_limit,
            retry: order.retry,
            is_owned,
            ..Submission::default()
        };
        let orchestrator = Arc::clone(orchestrator);
        let submitting = Arc::clone(&orchestrator);
        // Whoever drops this future drops no half of an order.
        let work = self.resources().runtime.spawn(async move { submitting.submit(inner, submission).await });
        let id = work.await.map_err(|e| Failure::internal(format!("the order was not taken: {e}")))??;
        Ok(Job { orchestrator, id })
    }

    /// A job by its id.
    ///
    /// # Errors
    /// If there is none, or its retention let it go.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn job(&self, id: &str) -> Result<Job, Failure> {
        let job = Job { orchestrator: Arc::clone(self.orchestrator()), id: id.to_owned() };
        job.snapshot().await?;
        Ok(job)
    }

    /// Jobs, the latest first, without their layers: at most so many, after a page before ([`JobPage::next`]).
    ///
    /// # Errors
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn jobs(&self, filter: &JobFilter, after: Option<u64>, most: u32) -> Result<JobPage, Failure> {
        self.orchestrator().list(filter, after, most).await
    }

    /// Tells that the credentials of a tenant are there now: jobs that wait for them go on.
    ///
    /// # Errors
    /// If the store cannot be written.
    ///
    /// # Cancel safety
    /// May be called again.
    pub async fn credentials_changed(&self, tenant: &str) -> Result<(), Failure> {
        self.orchestrator().credentials_changed(tenant).await
    }
}

impl Job {
    /// Its id, a UUID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The job as it is.
    ///
    /// # Errors
    /// If it is there no more, or the store cannot be read.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn snapshot(&self) -> Result<JobSnapshot, Failure> {
        self.orchestrator.snapshot(&self.id).await
    }

    /// Its messages after a number; 0 for all of them.
    ///
    /// # Errors
    /// As [`Job::snapshot`].
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn events(&self, after: u64) -> Result<JobEvents, Failure> {
        self.orchestrator.events(&self.id, after).await
    }

    /// Waits for its end, over pauses, retries and whatever else.
    ///
    /// # Errors
    /// If no package was made.
    ///
    /// # Cancel safety
    /// May be asked again.
    pub async fn result(&self) -> Result<GenerateOfflineMapResult, JobError> {
        self.orchestrator.ended(&self.id).await
    }

    /// Lets it stand still: what runs on a service goes on there, and a file that is on its way is finished. It makes room for another job.
    ///
    /// # Errors
    /// As all verbs: if the state of the job does not allow it ([`JobVerb::in_state`]), or the store cannot be written.
    ///
    /// # Cancel safety
    /// As for all verbs: once it was polled it is told, and what follows follows though the future is dropped.
    pub async fn pause(&self) -> Result<(), Failure> {
        self.orchestrator.tell_and_wait(&self.id, JobVerb::Pause, None).await
    }

    /// Lets it go on, when it is its turn. One that waits asks or tries again at once.
    ///
    /// # Errors
    /// As [`Job::pause`].
    pub async fn resume(&self) -> Result<(), Failure> {
        self.orchestrator.tell_and_wait(&self.id, JobVerb::Resume, None).await
    }

    /// Stops it; nothing of it stays: what was begun on services is rolled back, by this run or an earlier one. Answers when it has ended.
    ///
    /// # Errors
    /// As [`Job::pause`], and if what it left cannot be rolled back: then it has ended and keeps its work, until it is discarded.
    pub async fn cancel(&self) -> Result<(), Failure> {
        self.orchestrator.tell_and_wait(&self.id, JobVerb::Cancel, None).await
    }

    /// Stops it and keeps what it has on the disk, until it is resumed. Answers when it has stopped.
    ///
    /// # Errors
    /// As [`Job::pause`].
    pub async fn suspend(&self) -> Result<(), Failure> {
        self.orchestrator.tell_and_wait(&self.id, JobVerb::Suspend, None).await
    }

    /// Stops it where it has not ended, and removes what it or an earlier run kept: replicas on services are unregistered, the work directory
    /// goes. A package that is there stays.
    ///
    /// # Errors
    /// As [`Job::pause`], and if what it kept cannot be removed.
    pub async fn discard(&self) -> Result<(), Failure> {
        self.orchestrator.tell_and_wait(&self.id, JobVerb::Discard, None).await
    }

    /// Runs it again after its end: one that failed goes on where it stopped if it kept its work; a package without some layers is
    /// completed. Secrets of its map are in no file: the provider is asked for them
    /// ([`CredentialProvider::web_map`](offmap_arcgis::CredentialProvider::web_map)), and where it does not know them the layers that need
    /// them fail and say so.
    ///
    /// # Errors
    /// As [`Job::pause`], and if the queue is full.
    pub async fn retry(&self) -> Result<(), Failure> {
        self.orchestrator.tell_and_wait(&self.id, JobVerb::Retry, None).await
    }

    /// Changes its priority.
    ///
    /// # Errors
    /// As [`Job::pause`].
    pub async fn reprioritise(&self, priority: i32) -> Result<(), Failure> {
        self.orchestrator.tell_and_wait(&self.id, JobVerb::Reprioritise, Some(priority)).await
    }

    /// Says that the package is the host's from now on: it stays when the retention lets the job go.
    ///
    /// # Errors
    /// As [`Job::snapshot`].
    ///
    /// # Cancel safety
    /// May be called again.
    pub async fn take_over(&self) -> Result<(), Failure> {
        self.orchestrator.take_over(&self.id).await
    }
}
