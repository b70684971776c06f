//! Builders and readers for the tests.

use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::packager::MobileMapPackager;
use offmap::testing::{Script, ScriptedExporter, VirtualClock, scripted_map};
use offmap::{
    AreaOfInterest, Engine, GenerateOfflineMapJob, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters,
    GenerateOfflineMapResult, JobError, LayerSecrets, OfflineMapSource, OfflineMapTask, StatusMessage,
};
use offmap_sandbox::{Sandbox, SandboxOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The area of the end-to-end tests: the Alps and what is around them.
pub(crate) const AREA: &str = "2,43,20,52";

pub(crate) fn area() -> AreaOfInterest {
    AreaOfInterest::from_numbers(AREA).expect("an area")
}

/// An engine of scripted layers.
pub(crate) fn scripted_engine() -> Engine {
    let builder = Engine::builder(MobileMapPackager).exporter(ScriptedExporter).expect("registers");
    builder.clock(VirtualClock::default()).start().expect("starts")
}

pub(crate) fn scripted_task(engine: &Engine, layers: &[(&str, Script)]) -> OfflineMapTask {
    OfflineMapTask::new(engine, OfflineMapSource::from_web_map(scripted_map(layers.iter().copied())))
}

/// How a scripted job ended, and what it said.
pub(crate) struct Ended {
    pub(crate) result: Result<GenerateOfflineMapResult, JobError>,
    pub(crate) messages: Vec<StatusMessage>,
    pub(crate) destination: PathBuf,
    pub(crate) _dir: tempfile::TempDir,
}

pub(crate) async fn run_to_end(
    job: &GenerateOfflineMapJob,
) -> (Result<GenerateOfflineMapResult, JobError>, Vec<StatusMessage>) {
    let mut status = job.status();
    job.start();
    let mut messages = Vec::new();
    while let Some(message) = status.next().await {
        messages.push(message);
    }
    (job.result().await, messages)
}

/// Runs scripted layers under a policy; afterwards no actor is left, and nothing beside the destination.
pub(crate) async fn run_scripted(layers: &[(&str, Script)], continue_on_errors: bool) -> Ended {
    let engine = scripted_engine();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let destination = dir.path().join("package");
    let mut parameters = GenerateOfflineMapParameters::new(area());
    parameters.continue_on_errors = continue_on_errors;
    let task = scripted_task(&engine, layers);
    let job = task.generate_offline_map(parameters, GenerateOfflineMapParameterOverrides::default(), &destination);
    let (result, messages) = run_to_end(&job).await;
    no_one_left(&engine).await;
    assert_eq!(destination.exists(), result.is_ok(), "the destination is there if and only if the job succeeded");
    let beside: Vec<_> = std::fs::read_dir(dir.path()).expect("lists").map(|e| e.expect("entry").path()).collect();
    assert_eq!(beside, if result.is_ok() { vec![destination.clone()] } else { Vec::new() });
    Ended { result, messages, destination, _dir: dir }
}

/// Waits until no actor lives, then shuts the engine down.
pub(crate) async fn no_one_left(engine: &Engine) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while engine.stats().actors > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", engine.stats());
        tokio::task::yield_now().await;
    }
    engine.shutdown().await.expect("shuts down");
    assert_eq!(engine.stats().jobs, 0);
}

/// A sandbox, and an engine that takes maps from it.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: ArcGisClient,
    pub(crate) engine: Engine,
    pub(crate) dir: tempfile::TempDir,
}

/// Parameters of a layer at a url.
pub(crate) fn layer_secrets(url: &str, parameters: &[(&str, &str)]) -> LayerSecrets {
    let origin = offmap::arcgis::parse_http(url).expect("a url");
    let mut secrets = LayerSecrets::default();
    parameters.iter().for_each(|(name, value)| secrets.add(&origin, name, value));
    secrets
}

/// A client that looks at jobs often and waits for no retry.
pub(crate) fn quick_client(credentials: Credentials) -> ArcGisClient {
    let options = ClientOptions { poll_interval: Duration::from_millis(10), ..ClientOptions::default() };
    ArcGisClient::with_clock(options, credentials, Arc::new(VirtualClock::default())).expect("a client")
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(SandboxOptions::default(), |_| Credentials::none()).await
    }

    pub(crate) async fn with(options: SandboxOptions, credentials: impl FnOnce(&Sandbox) -> Credentials) -> Self {
        let sandbox = Sandbox::start(options).await.expect("a sandbox");
        let client = quick_client(credentials(&sandbox));
        let engine = offmap::with_defaults(&client).expect("exporters").start().expect("starts");
        Self { sandbox, client, engine, dir: offmap_sandbox::tempdir().expect("a directory") }
    }

    pub(crate) async fn task(&self, item: &str) -> OfflineMapTask {
        let source = offmap::arcgis::portal::read_item(&self.client, &self.sandbox.portal_url(), item).await;
        OfflineMapTask::new(&self.engine, source.expect("reads the map"))
    }

    pub(crate) fn destination(&self) -> PathBuf {
        self.dir.path().join("package")
    }

    pub(crate) async fn job(
        &self,
        item: &str,
        change: impl FnOnce(&mut GenerateOfflineMapParameters),
    ) -> GenerateOfflineMapJob {
        let task = self.task(item).await;
        let mut parameters = task.default_parameters(area()).expect("parameters");
        // Coarse levels only: the pictures are drawn while the test waits.
        parameters.max_scale = 10_000_000.0;
        change(&mut parameters);
        task.generate_offline_map(parameters, GenerateOfflineMapParameterOverrides::default(), self.destination())
    }

    pub(crate) async fn take(&self, item: &str) -> GenerateOfflineMapResult {
        let (result, _) = run_to_end(&self.job(item, |_| {}).await).await;
        result.expect("a package")
    }
}

/// Whether a text stands in what may be no text.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// All files below a directory.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("lists") {
            let path = entry.expect("entry").path();
            if path.is_dir() { todo.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Checks that words for people hold no text of a library.
pub(crate) fn no_library_words(words: &str) {
    for word in ["hyper", "reqwest", "rustls", "webpki", "UnknownIssuer", "Error(", "InvalidCertificate", "os error"] {
        assert!(!words.contains(word), "{word}: {words}");
    }
}
