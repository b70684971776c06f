//! The handle of a job: dormant until started, then planned, exported, packed, ended.

use crate::engine::Engine;
use crate::job::{JobHost, JobInner, JobResult, StartMode, discard};
use crate::queue::Orchestrator;
use crate::status_stream::StatusStream;
use crate::work_dir::plain_destination;
use offmap_model::{
    Failure, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, JobVerb, OfflineMapSource, WebMap,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A job that takes one map offline. Cheap to clone; all clones are the same job.
///
/// Made dormant by [`OfflineMapTask::generate_offline_map`](crate::OfflineMapTask::generate_offline_map). Dropping all
/// handles does not stop a running job; [`GenerateOfflineMapJob::cancel`] does.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offmap_engine::testing::{Act, PlainPackager, Script, ScriptedExporter, scripted_map};
/// use offmap_engine::{Engine, OfflineMapTask};
/// use offmap_model::{AreaOfInterest, OfflineMapSource};
///
/// let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter)?.start()?;
/// let map = scripted_map([("roads", Script::of(Act::Succeed))]);
/// let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
/// let parameters = task.default_parameters(AreaOfInterest::from_numbers("7,46,8,47")?)?;
/// let dir = tempfile::tempdir()?;
/// let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("package"));
/// let result = job.start().result().await?;
/// assert!(!result.has_errors() && result.package.is_dir());
/// engine.shutdown().await?;
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct GenerateOfflineMapJob {
    inner: Arc<JobInner>,
    orchestrator: Arc<Orchestrator>,
}

impl GenerateOfflineMapJob {
    pub(crate) fn of(engine: &Engine, inner: impl Into<Arc<JobInner>>) -> Self {
        Self { inner: inner.into(), orchestrator: Arc::clone(engine.orchestrator()) }
    }

    pub(crate) fn new(
        engine: &Engine,
        host: JobHost,
        source: Arc<OfflineMapSource>,
        parameters: GenerateOfflineMapParameters,
        overrides: GenerateOfflineMapParameterOverrides,
        destination: PathBuf,
    ) -> Self {
        // The job outlives a change of the current directory.
        let destination = plain_destination(&destination);
        let (id, wishes) = (uuid::Uuid::new_v4().to_string(), (parameters, overrides));
        Self::of(engine, JobInner::new(host, id, source, wishes, destination, StartMode::Fresh))
    }

    /// The job as JSON: map, parameters, overrides, destination. Credentials are not in it.
    ///
    /// # Errors
    /// If it cannot be written.
    #[doc(alias = "toJson")]
    pub fn to_json(&self) -> Result<String, Failure> {
        self.inner.document()
    }

    /// Titles of the layers that need secrets of the map (`customParameters`, keys in urls), which are in no document: a job that
    /// is made of one fails these layers unless [`GenerateOfflineMapJob::with_secrets_of`] supplies them. offmap's own.
    #[must_use]
    pub fn layers_without_secrets(&self) -> Vec<String> {
        match self.inner.start_mode {
            StartMode::Finished => Vec::new(),
            _ => self.inner.source.web_map.layers_without_secrets(),
        }
    }

    /// The portal and the item that the map was read from, where it has one. offmap's own.
    #[must_use]
    pub fn portal_item(&self) -> Option<(&str, &str)> {
        let source = &self.inner.source;
        Some((source.portal_url.as_deref()?, source.item.as_ref().map(|i| i.id.as_str())?))
    }

    /// The same dormant job with the secrets that are missing taken from its map, read again. To be called before anything else
    /// is said of the job. A layer is known by its id and the origin of its url. offmap's own.
    #[must_use]
    pub fn with_secrets_of(self, map: &WebMap) -> Self {
        let inner = &self.inner;
        let mut source = (*inner.source).clone();
        source.web_map.supply_secrets(map);
        let wishes = (inner.parameters.clone(), inner.overrides.clone());
        let (id, destination) = (inner.id.clone(), inner.destination.clone());
        let inner = JobInner::new(inner.host(), id, Arc::new(source), wishes, destination, inner.start_mode);
        Self { inner: Arc::new(inner), orchestrator: self.orchestrator }
    }

    /// The map that is taken offline, as it is online.
    #[doc(alias = "onlineMap")]
    #[must_use]
    pub fn online_map(&self) -> &WebMap {
        &self.inner.source.web_map
    }

    /// The parameters that the job was made with.
    #[must_use]
    pub fn parameters(&self) -> &GenerateOfflineMapParameters {
        &self.inner.parameters
    }

    /// The overrides that the job was made with.
    #[doc(alias = "parameterOverrides")]
    #[must_use]
    pub fn parameter_overrides(&self) -> &GenerateOfflineMapParameterOverrides {
        &self.inner.overrides
    }

    /// The job's id, a fresh UUID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Where the package will be.
    #[must_use]
    pub fn destination(&self) -> &Path {
        &self.inner.destination
    }

    /// Starts the job, or lets a paused one go on; does nothing to one that runs. It waits for its turn where the engine has as many jobs
    /// running as it may. Answers the same job, for chaining.
    pub fn start(&self) -> &Self {
        self.orchestrator.start(&self.inner);
        self
    }

    /// The job's event log, from its start, for as many readers as wanted.
    #[must_use]
    pub fn status(&self) -> StatusStream {
        self.inner.event_log.reader()
    }

    /// Lets the job stand still: what runs on a service goes on there, a file that is on its way is finished, and nothing new
    /// is begun or asked until [`GenerateOfflineMapJob::start`]. A paused job can be cancelled.
    pub fn pause(&self) {
        if self.inner.started.load(Ordering::Acquire) {
            self.orchestrator.tell_soon(&self.inner.id, JobVerb::Pause);
        } else {
            self.inner.pause.set(true);
        }
    }

    /// Asks the job to stop: exporters cancel their server jobs and unregister their replicas, nothing is left at the
    /// destination. The end comes through [`GenerateOfflineMapJob::result`]. A dormant job will end as soon as it is started.
    pub fn cancel(&self) {
        self.inner.cancel.cancel();
        if self.inner.started.load(Ordering::Acquire) {
            self.orchestrator.tell_soon(&self.inner.id, JobVerb::Cancel);
        }
    }

    /// Like [`GenerateOfflineMapJob::cancel`], but what was downloaded and begun is kept beside the destination, so that
    /// [`GenerateOfflineMapJob::resume`] resumes it.
    pub fn cancel_and_keep(&self) {
        self.keep_unfinished();
        self.cancel();
    }

    /// Like [`GenerateOfflineMapJob::cancel`], and nothing is kept, also where a cancel that keeps was said before: what was begun on
    /// services is rolled back, and what was downloaded is removed. After the job's end, and for a job of another process
    /// ([`GenerateOfflineMapJob::resume`]), see [`GenerateOfflineMapJob::discard`].
    pub fn cancel_and_discard(&self) {
        self.inner.keep.discard();
        self.cancel();
    }

    /// Cancels the job if it runs, waits for its end, and removes what it or an earlier run of it kept: replicas that were registered
    /// are unregistered, jobs on servers are cancelled, the work directory goes. A package that is at the destination stays.
    /// offmap's own.
    ///
    /// # Errors
    /// If another job holds the work, or it cannot be removed. What a service does not let go is logged.
    ///
    /// # Cancel safety
    /// May be called again.
    pub async fn discard(&self) -> Result<(), Failure> {
        self.cancel_and_discard();
        if self.inner.started.load(Ordering::Acquire) {
            // How it ended does not matter: a package stays, and all else is removed.
            let _ = self.result().await;
        }
        discard(&self.inner).await
    }

    /// Keeps the work beside the destination if the job fails or is cancelled, so that [`GenerateOfflineMapJob::resume`] resumes it. A full or
    /// broken disk keeps it in any case.
    pub fn keep_unfinished(&self) {
        self.inner.keep.keep();
        if self.inner.started.load(Ordering::Acquire) {
            self.orchestrator.keep_work_of(&self.inner);
        }
    }

    /// Replaces the package that is at the destination, if there is one: it stays until the new one is verified, and is put aside and
    /// removed then. Only a package of this packager that was not changed since it was made is replaced. To be said before the start.
    pub fn overwrite(&self) {
        self.inner.overwrites.store(true, Ordering::Release);
    }

    /// Ends the job as failed when it runs longer than this by the engine's clock, pauses and the wait for a turn counted in. What was
    /// downloaded is kept, so that [`GenerateOfflineMapJob::resume`] resumes it. To be said before the start.
    pub fn limit_time(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        self.inner.time_limit.store(limit, Ordering::Release);
    }

    /// Counts what was spent before the job was made, such as on the reading of its map, against the time that it may run. To be said
    /// before the start.
    pub fn count_time(&self, spent: Duration) {
        self.inner.time_spent.store(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Waits for the job's end. Waits for ever while the job is dormant.
    ///
    /// # Errors
    /// If no package was made.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; it may be asked again.
    pub async fn result(&self) -> JobResult {
        let mut end = self.inner.result.subscribe();
        // The sender lives in `self.inner`, so the wait ends only with a result.
        match end.wait_for(Option::is_some).await {
            Ok(result) => (*result).clone().unwrap_or_else(|| Err(Failure::internal("a job ended without a result").into())),
            Err(e) => Err(Failure::internal(e.to_string()).into()),
        }
    }
}
