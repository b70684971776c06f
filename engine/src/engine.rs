//! The engine: owns the actor system, the exporters and the limits, and outlives its jobs.

use crate::actor::Actors;
use crate::data_dir::DataDir;
use crate::exporter::Exporter;
use crate::packager::Packager;
use crate::permits::{ExportLimits, Permits};
use crate::queue::{Orchestrator, Retention, Settings};
use crate::registry::ExporterRegistry;
use crate::resources::EngineResources;
use crate::store::JobStore;
use offmap_arcgis::CredentialProvider;
use offmap_formats::{ContainerReader, Containers};
use offmap_model::{Clock, Failure, SecretRegistry, SystemClock};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long [`Engine::shutdown`] waits for jobs that were told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// Jobs that run at a time unless the host says otherwise; the rest wait their turn.
pub const DEFAULT_CONCURRENT_JOBS: usize = 16;

/// Exports that run at a time in the whole engine unless the host says otherwise.
pub const DEFAULT_CONCURRENT_EXPORTS: usize = 8;

/// Jobs that an engine has at the most, queued ones and all others that have not ended, unless the host says otherwise.
pub const DEFAULT_MAX_QUEUED_JOBS: usize = 100_000;

/// Owns exporters, packager, limits and the actor system. Cheap to clone; all clones are one engine.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offmap_engine::Engine;
/// use offmap_engine::testing::{PlainPackager, ScriptedExporter};
///
/// let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter)?.start()?;
/// assert_eq!(engine.exporters(), ["scripted"]);
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    orchestrator: Arc<Orchestrator>,
}

/// Numbers about an engine, for health pages and leak checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineStats {
    /// Actors that live.
    pub actors: usize,
    /// The most that lived at once.
    pub peak_actors: usize,
    /// Jobs that were submitted or started and have not ended.
    pub jobs: usize,
    /// Those of them that wait for their turn or their time.
    pub queued: usize,
    /// Those of them that run.
    pub running: usize,
    /// Exports that run.
    pub exports: usize,
}

impl Engine {
    /// Begins an engine that packs with `packager`.
    #[must_use]
    pub fn builder(packager: impl Packager) -> EngineBuilder {
        EngineBuilder {
            registry: ExporterRegistry::default(),
            packager: Arc::new(packager),
            containers: Containers::default(),
            clock: Arc::new(SystemClock),
            runtime: None,
            secrets: SecretRegistry::default(),
            concurrent_jobs: DEFAULT_CONCURRENT_JOBS,
            exports: ExportLimits { total: DEFAULT_CONCURRENT_EXPORTS, per_tenant: usize::MAX, per_host: usize::MAX },
            concurrent_jobs_per_tenant: usize::MAX,
            max_queued_jobs: DEFAULT_MAX_QUEUED_JOBS,
            retention: Retention::default(),
            data_dir: None,
            provider: None,
        }
    }

    pub(crate) fn resources(&self) -> &Arc<EngineResources> {
        &self.orchestrator.resources
    }

    /// What runs its jobs.
    pub(crate) fn orchestrator(&self) -> &Arc<Orchestrator> {
        &self.orchestrator
    }

    /// Names of the exporters, first asked first.
    #[must_use]
    pub fn exporters(&self) -> Vec<&'static str> {
        self.resources().registry.names()
    }

    /// Numbers for health pages and leak checks.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let census = &self.resources().census;
        let (queued, running) = self.orchestrator.counts();
        let jobs = self.orchestrator.living();
        let exports = self.resources().export_permits.used();
        EngineStats { actors: census.alive(), peak_actors: census.peak(), jobs, queued, running, exports }
    }

    /// Ends the engine. With a data directory its jobs are interrupted and keep what they have: the next engine with that directory takes them
    /// up, and may be started as soon as this has answered; what this one knew of its jobs, the next one says. Without one they are
    /// cancelled, those that wait as well.
    ///
    /// # Errors
    /// If a job has not ended within 15 seconds; its exporter blocks a thread. Its data directory is given back all the same.
    pub async fn shutdown(&self) -> Result<(), Failure> {
        let resources = self.resources();
        let waiting = self.orchestrator.close();
        resources.root.cancel();
        if self.orchestrator.settings.data_dir.is_none() {
            // What they left on services is rolled back, for as long as the services take no longer than what runs may.
            drop(tokio::time::timeout(SHUTDOWN_GRACE, self.orchestrator.cancel_all(waiting)).await);
        }
        resources.tracker.close();
        let quiet = tokio::time::timeout(SHUTDOWN_GRACE, resources.tracker.wait()).await;
        if self.orchestrator.settings.data_dir.is_none() {
            // Those that were on their way into the queue.
            drop(tokio::time::timeout(SHUTDOWN_GRACE, self.orchestrator.cancel_all(self.orchestrator.close())).await);
        }
        self.orchestrator.tell_waiting();
        resources.actors.stop();
        let thread = resources.thread.lock().ok().and_then(|mut t| t.take());
        if let Some(thread) = thread {
            // A plain thread joins: `spawn_blocking` would make the host's runtime wait for it.
            let (sender, joined) = oneshot::channel();
            std::thread::spawn(move || {
                let _ = thread.join();
                let _ = sender.send(());
            });
            if tokio::time::timeout(SHUTDOWN_GRACE, joined).await.is_err() {
                self.orchestrator.close_store().await;
                return Err(Failure::internal("the actor thread did not end in time"));
            }
        }
        self.orchestrator.close_store().await;
        if quiet.is_err() {
            let jobs = self.orchestrator.living();
            return Err(Failure::internal(format!("{jobs} jobs did not end in time; an exporter blocks a thread")));
        }
        Ok(())
    }
}

/// Builds an [`Engine`].
///
/// | limit | unless it is set |
/// | --- | --- |
/// | [`concurrent_jobs`](Self::concurrent_jobs) | 16 |
/// | [`concurrent_jobs_per_tenant`](Self::concurrent_jobs_per_tenant) | as many as run in all |
/// | [`concurrent_exports`](Self::concurrent_exports) | 8 |
/// | [`concurrent_exports_per_tenant`](Self::concurrent_exports_per_tenant), [`concurrent_exports_per_host`](Self::concurrent_exports_per_host) | as many as run in all |
/// | [`max_queued_jobs`](Self::max_queued_jobs) | 100,000 |
/// | [`retention`](Self::retention) | ended jobs stay |
///
/// ```
/// use offmap_engine::{DEFAULT_CONCURRENT_EXPORTS, DEFAULT_CONCURRENT_JOBS, DEFAULT_MAX_QUEUED_JOBS, Retention};
///
/// assert_eq!((DEFAULT_CONCURRENT_JOBS, DEFAULT_CONCURRENT_EXPORTS, DEFAULT_MAX_QUEUED_JOBS), (16, 8, 100_000));
/// assert_eq!(Retention::default(), Retention { longest: None, most: None });
/// ```
///
/// ```
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offmap_engine::Engine;
/// use offmap_engine::testing::{PlainPackager, ScriptedExporter, VirtualClock};
///
/// let builder = Engine::builder(PlainPackager).exporter(ScriptedExporter)?;
/// let engine = builder.clock(VirtualClock::default()).concurrent_jobs(4).concurrent_exports(2).start()?;
/// assert_eq!(engine.stats().jobs, 0);
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct EngineBuilder {
    registry: ExporterRegistry,
    packager: Arc<dyn Packager>,
    containers: Containers,
    clock: Arc<dyn Clock>,
    runtime: Option<Handle>,
    secrets: SecretRegistry,
    concurrent_jobs: usize,
    concurrent_jobs_per_tenant: usize,
    exports: ExportLimits,
    max_queued_jobs: usize,
    retention: Retention,
    data_dir: Option<PathBuf>,
    provider: Option<Arc<dyn CredentialProvider>>,
}

impl EngineBuilder {
    /// Adds an exporter; the last one added has the first rank ([`ExporterRegistry`]).
    ///
    /// # Errors
    /// If its name or parameter type is taken.
    pub fn exporter(mut self, exporter: impl Exporter) -> Result<Self, Failure> {
        self.registry.register(exporter)?;
        Ok(self)
    }

    /// Adds a reader of data files: what exports download in its formats is read before its layers are called done, and again in
    /// the package before that is put in place.
    #[must_use]
    pub fn container_reader(mut self, reader: impl ContainerReader) -> Self {
        self.containers = self.containers.with(reader);
        self
    }

    /// Runs exporters on this runtime; else on the current one, else on one of the engine's own.
    #[must_use]
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Takes the secrets of this registry out of everything that jobs write or show.
    #[must_use]
    pub fn secrets(mut self, secrets: SecretRegistry) -> Self {
        self.secrets = secrets;
        self
    }

    /// Takes time from this clock; unless this is said, the machine's. A clock in an `Arc` is one, too: the same can be given to
    /// [`ArcGisClient::with_clock`](offmap_arcgis::ArcGisClient::with_clock).
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Jobs that run at a time, at least one; unless this is said, [`DEFAULT_CONCURRENT_JOBS`]: 16.
    #[must_use]
    pub fn concurrent_jobs(mut self, jobs: usize) -> Self {
        self.concurrent_jobs = jobs.max(1);
        self
    }

    /// Exports that run at a time in the whole engine, at least one; unless this is said, [`DEFAULT_CONCURRENT_EXPORTS`]: 8.
    #[must_use]
    pub fn concurrent_exports(mut self, exports: usize) -> Self {
        self.exports.total = exports.max(1);
        self
    }

    /// Jobs of one tenant that run at a time, at least one; unless this is said, as many as run in all.
    #[must_use]
    pub fn concurrent_jobs_per_tenant(mut self, jobs: usize) -> Self {
        self.concurrent_jobs_per_tenant = jobs.max(1);
        self
    }

    /// Exports for one tenant that run at a time, at least one; unless this is said, as many as run in all.
    #[must_use]
    pub fn concurrent_exports_per_tenant(mut self, exports: usize) -> Self {
        self.exports.per_tenant = exports.max(1);
        self
    }

    /// Exports from one host that run at a time, at least one; unless this is said, as many as run in all. How many requests go to a host
    /// at a time is the client's matter ([`ClientOptions::requests_per_host`](offmap_arcgis::ClientOptions::requests_per_host)).
    #[must_use]
    pub fn concurrent_exports_per_host(mut self, exports: usize) -> Self {
        self.exports.per_host = exports.max(1);
        self
    }

    /// Jobs that the engine has at the most that have not ended, those that run or stand still counted in, at least one; unless this is
    /// said, [`DEFAULT_MAX_QUEUED_JOBS`]: 100,000. One more is refused ([`FailureOwner::Limit`]).
    ///
    /// [`FailureOwner::Limit`]: offmap_model::FailureOwner::Limit
    #[must_use]
    pub fn max_queued_jobs(mut self, jobs: usize) -> Self {
        self.max_queued_jobs = jobs.max(1);
        self
    }

    /// Keeps the jobs in this directory: what was submitted survives the end of the process, however that comes, and the next engine with
    /// the directory takes it up. One engine at a time has it. Without one the jobs are in memory.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// What becomes of jobs that have ended; unless this is said they stay for ever ([`Retention::default`]).
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Asks this provider for the credentials of every job that was submitted by [`Engine::submit`].
    #[must_use]
    pub fn credential_provider(mut self, provider: impl CredentialProvider) -> Self {
        self.provider = Some(Arc::new(provider));
        self
    }

    /// Starts the engine, and takes up the jobs of its data directory. Blocks while those are read.
    ///
    /// # Errors
    /// If a thread cannot be started, or the data directory cannot be used or is another engine's.
    pub fn start(self) -> Result<Engine, Failure> {
        if cfg!(panic = "abort") {
            tracing::warn!("built with panic = \"abort\": a panic in an exporter will end the process");
        }
        let (runtime, own_runtime) = match self.runtime.map_or_else(Handle::try_current, Ok) {
            Ok(handle) => (handle, None),
            Err(_) => own_runtime().map(|(handle, end)| (handle, Some(end)))?,
        };
        let data_dir = self.data_dir.as_deref().map(DataDir::open).transpose()?;
        let (store, found) = JobStore::open(data_dir.as_ref().map(DataDir::store).as_deref(), runtime.clone())?;
        let (actors, thread) = Actors::start()?;
        let resources = EngineResources {
            registry: self.registry,
            packager: self.packager,
            containers: self.containers,
            clock: self.clock,
            runtime,
            root: CancellationToken::new(),
            tracker: TaskTracker::new(),
            export_permits: Permits::new(self.exports),
            census: Arc::default(),
            actors,
            secrets: self.secrets,
            thread: std::sync::Mutex::new(Some(thread)),
            _own_runtime: own_runtime,
        };
        let settings = Settings {
            running: self.concurrent_jobs,
            running_per_tenant: self.concurrent_jobs_per_tenant,
            most_jobs: self.max_queued_jobs,
            retention: self.retention,
            data_dir: data_dir.as_ref().map(|d| d.path().to_owned()),
            provider: self.provider,
            data: data_dir.into(),
        };
        let (orchestrator, changed) = Orchestrator::new(Arc::new(resources), settings, store, found);
        orchestrator.go_on_with(&changed);
        orchestrator.watch_time();
        orchestrator.dispatch();
        Ok(Engine { orchestrator })
    }
}

/// A runtime on a thread of its own, since dropping one in async code panics. It ends when the sender is dropped.
fn own_runtime() -> Result<(Handle, oneshot::Sender<()>), Failure> {
    let failed = |e: std::io::Error| Failure::internal(format!("cannot start a runtime: {e}"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("offmap-worker").build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let (end, ended) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("offmap-runtime".to_owned())
        .spawn(move || {
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })
        .map_err(failed)?;
    Ok((handle, end))
}
