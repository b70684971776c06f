//! The engine: owns the actor system, the exporters and the limits, and outlives its jobs.

use crate::actor::shared::Census;
use crate::exporter::Exporter;
use crate::job::GenerateOfflineMapJob;
use crate::packager::Packager;
use crate::registry::ExporterRegistry;
use dashmap::DashMap;
use offmap_formats::{ContainerReader, Containers};
use offmap_model::{Clock, Failure, OfflineMapSource, SecretRegistry, SystemClock};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long [`Engine::shutdown`] waits for jobs that were told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// Jobs that run at a time unless the host says otherwise; the rest wait their turn.
pub const DEFAULT_CONCURRENT_JOBS: usize = 16;

/// Exports that run at a time in the whole engine unless the host says otherwise.
pub const DEFAULT_CONCURRENT_EXPORTS: usize = 8;

/// The thread that owns the actix system. No actix type leaves this module but through `spawn`.
#[derive(Debug)]
pub(crate) struct Actors {
    system: actix::System,
    arbiter: actix::ArbiterHandle,
}

impl Actors {
    fn start() -> Result<(Self, std::thread::JoinHandle<()>), Failure> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("offmap-actors".to_owned())
            .spawn(move || {
                let runner = actix::System::new();
                let actors = Self { system: actix::System::current(), arbiter: actix::Arbiter::current() };
                if sender.send(actors).is_ok()
                    && let Err(error) = runner.run()
                {
                    tracing::error!(%error, "the actor system ended with an error");
                }
            })
            .map_err(|e| Failure::internal(format!("cannot start the actor thread: {e}")))?;
        let actors = receiver.recv().map_err(|e| Failure::internal(format!("the actor thread did not start: {e}")))?;
        Ok((actors, thread))
    }

    /// Runs a closure on the actor thread, to start an actor there.
    pub(crate) fn spawn(&self, start: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        if self.arbiter.spawn_fn(start) {
            return Ok(());
        }
        Err(Failure::internal("the engine is shut down; make a new one"))
    }
}

#[derive(Debug)]
pub(crate) struct EngineInner {
    pub(crate) registry: ExporterRegistry,
    pub(crate) packager: Arc<dyn Packager>,
    pub(crate) containers: Containers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) root: CancellationToken,
    pub(crate) tracker: TaskTracker,
    pub(crate) jobs: DashMap<String, GenerateOfflineMapJob>,
    pub(crate) job_permits: Semaphore,
    pub(crate) export_permits: Arc<Semaphore>,
    pub(crate) census: Arc<Census>,
    pub(crate) actors: Actors,
    pub(crate) secrets: SecretRegistry,
    thread: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Ends the engine's own runtime, where the host gave none.
    _own_runtime: Option<oneshot::Sender<()>>,
}

impl EngineInner {
    /// What is taken out of everything that a job for a map writes or shows: the caller's secrets and those of the map.
    pub(crate) fn secrets_of(&self, source: &OfflineMapSource) -> SecretRegistry {
        let own = self.secrets.child();
        own.add_all(source.web_map.secret_texts());
        own
    }
}

impl Drop for EngineInner {
    fn drop(&mut self) {
        self.root.cancel();
        self.actors.system.stop();
    }
}

/// Owns exporters, packager, limits and the actor system. Cheap to clone; all clones are one engine.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use crate::Engine;
/// use crate::testing::{PlainPackager, ScriptedExporter};
///
/// let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter::default())?.start()?;
/// assert_eq!(engine.exporters(), ["scripted"]);
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<EngineInner>,
}

/// Numbers about an engine, for health pages and leak checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineStats {
    /// Actors that live.
    pub actors: usize,
    /// The most that lived at once.
    pub peak_actors: usize,
    /// Jobs that were started and have not ended.
    pub jobs: usize,
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
            concurrent_exports: DEFAULT_CONCURRENT_EXPORTS,
        }
    }

    pub(crate) fn inner(&self) -> &Arc<EngineInner> {
        &self.inner
    }

    /// Names of the exporters, first asked first.
    #[must_use]
    pub fn exporters(&self) -> Vec<&'static str> {
        self.inner.registry.names()
    }

    /// A job that was started and has not ended.
    #[must_use]
    pub fn job(&self, id: &str) -> Option<GenerateOfflineMapJob> {
        self.inner.jobs.get(id).map(|entry| entry.value().clone())
    }

    /// Numbers for health pages and leak checks.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        EngineStats { actors: self.inner.census.alive(), peak_actors: self.inner.census.peak(), jobs: self.inner.jobs.len() }
    }

    /// Cancels all jobs, waits for their ends, and ends the actor system.
    ///
    /// # Errors
    /// If a job has not ended within 15 seconds; its exporter blocks a thread.
    pub async fn shutdown(&self) -> Result<(), Failure> {
        self.inner.root.cancel();
        self.inner.tracker.close();
        let quiet = tokio::time::timeout(SHUTDOWN_GRACE, self.inner.tracker.wait()).await;
        self.inner.actors.system.stop();
        let thread = self.inner.thread.lock().ok().and_then(|mut t| t.take());
        if let Some(thread) = thread {
            // A plain thread joins: `spawn_blocking` would make the host's runtime wait for it.
            let (sender, joined) = oneshot::channel();
            std::thread::spawn(move || {
                let _ = thread.join();
                let _ = sender.send(());
            });
            if tokio::time::timeout(SHUTDOWN_GRACE, joined).await.is_err() {
                return Err(Failure::internal("the actor thread did not end in time"));
            }
        }
        quiet.map_err(|_| {
            Failure::internal(format!("{} jobs did not end in time; an exporter blocks a thread", self.inner.jobs.len()))
        })
    }
}

/// Builds an [`Engine`].
#[derive(Debug)]
pub struct EngineBuilder {
    registry: ExporterRegistry,
    packager: Arc<dyn Packager>,
    containers: Containers,
    clock: Arc<dyn Clock>,
    runtime: Option<Handle>,
    secrets: SecretRegistry,
    concurrent_jobs: usize,
    concurrent_exports: usize,
}

impl EngineBuilder {
    /// Adds an exporter; the last one added is asked first.
    ///
    /// # Errors
    /// If its name or parameter type is taken.
    pub fn exporter(mut self, exporter: impl Exporter) -> Result<Self, Failure> {
        self.registry.register(exporter)?;
        Ok(self)
    }

    /// Adds a reader of data files: what exports bring in its formats is read before its layers are called done, and again in the
    /// package before that is put in place.
    #[must_use]
    pub fn container(mut self, reader: impl ContainerReader) -> Self {
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

    /// Takes time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Jobs that run at a time, at least one.
    #[must_use]
    pub fn concurrent_jobs(mut self, jobs: usize) -> Self {
        self.concurrent_jobs = jobs.max(1);
        self
    }

    /// Exports that run at a time in the whole engine, at least one.
    #[must_use]
    pub fn concurrent_exports(mut self, exports: usize) -> Self {
        self.concurrent_exports = exports.max(1);
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(self) -> Result<Engine, Failure> {
        if cfg!(panic = "abort") {
            tracing::warn!("built with panic = \"abort\": a panic in an exporter will end the process");
        }
        let (runtime, own_runtime) = match self.runtime.map_or_else(Handle::try_current, Ok) {
            Ok(handle) => (handle, None),
            Err(_) => own_runtime().map(|(handle, end)| (handle, Some(end)))?,
        };
        let (actors, thread) = Actors::start()?;
        let inner = EngineInner {
            registry: self.registry,
            packager: self.packager,
            containers: self.containers,
            clock: self.clock,
            runtime,
            root: CancellationToken::new(),
            tracker: TaskTracker::new(),
            jobs: DashMap::new(),
            job_permits: Semaphore::new(self.concurrent_jobs),
            export_permits: Arc::new(Semaphore::new(self.concurrent_exports)),
            census: Arc::default(),
            actors,
            secrets: self.secrets,
            thread: std::sync::Mutex::new(Some(thread)),
            _own_runtime: own_runtime,
        };
        Ok(Engine { inner: Arc::new(inner) })
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
