//! The engine: owns the actor system, the exporters and the limits, and outlives its jobs.

use crate::actor::Actors;
use crate::exporter::Exporter;
use crate::job::JobHost;
use crate::packager::Packager;
use crate::registry::ExporterRegistry;
use crate::resources::EngineResources;
use offmap_formats::{ContainerReader, Containers};
use offmap_model::{Clock, Failure, SecretRegistry, SystemClock};
use std::sync::Arc;
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
    host: JobHost,
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

    pub(crate) fn resources(&self) -> &EngineResources {
        &self.host.resources
    }

    /// What each of its jobs is given.
    pub(crate) fn host(&self) -> JobHost {
        self.host.clone()
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
        EngineStats { actors: census.alive(), peak_actors: census.peak(), jobs: self.host.running.0.len() }
    }

    /// Cancels all jobs, waits for their ends, and ends the actor system.
    ///
    /// # Errors
    /// If a job has not ended within 15 seconds; its exporter blocks a thread.
    pub async fn shutdown(&self) -> Result<(), Failure> {
        let resources = self.resources();
        resources.root.cancel();
        resources.tracker.close();
        let quiet = tokio::time::timeout(SHUTDOWN_GRACE, resources.tracker.wait()).await;
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
                return Err(Failure::internal("the actor thread did not end in time"));
            }
        }
        quiet.map_err(|_| {
            Failure::internal(format!("{} jobs did not end in time; an exporter blocks a thread", self.host.running.0.len()))
        })
    }
}

/// Builds an [`Engine`].
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
    concurrent_exports: usize,
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
        let resources = EngineResources {
            registry: self.registry,
            packager: self.packager,
            containers: self.containers,
            clock: self.clock,
            runtime,
            root: CancellationToken::new(),
            tracker: TaskTracker::new(),
            job_permits: Semaphore::new(self.concurrent_jobs),
            export_permits: Arc::new(Semaphore::new(self.concurrent_exports)),
            census: Arc::default(),
            actors,
            secrets: self.secrets,
            thread: std::sync::Mutex::new(Some(thread)),
            _own_runtime: own_runtime,
        };
        Ok(Engine { host: JobHost { resources: Arc::new(resources), running: Arc::default(), session: None } })
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
