//! What tests of the queue are made with: a host that answers when it is told to, a service that remembers what was registered there, and
//! a clock that is moved by hand.

use crate::support::area;
use async_trait::async_trait;
use offmap::arcgis::{CredentialProvider, Credentials};
use offmap::packager::MobileMapPackager;
use offmap::testing::{Act, Script, ScriptedExporter, ScriptedParameters, scripted_map};
use offmap::{
    Artifact, Clock, Engine, EngineBuilder, ExportContext, ExportTask, Exporter, Failure, FailureKind, FailureOwner,
    FailureStage, GenerateOfflineMapParameters, Job, JobState, MapLayer, OfflineMapSource, Order, PlanContext,
    ServiceDescription, ServiceRequest, TaskPlan, WebMap,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A host that answers for credentials when it is let.
#[derive(Debug, Clone, Default)]
pub(crate) struct Host {
    /// How often it was asked.
    pub(crate) asked: Arc<AtomicUsize>,
    waits: Arc<AtomicBool>,
    goes_on: Arc<Notify>,
    has_none: Arc<AtomicBool>,
    map: Arc<Mutex<Option<WebMap>>>,
}

impl Host {
    /// Whether it answers only when it is let.
    pub(crate) fn waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Release);
    }

    pub(crate) fn has_credentials(&self, has: bool) {
        self.has_none.store(!has, Ordering::Release);
    }

    /// Its map, with its secrets.
    pub(crate) fn knows(&self, map: WebMap) {
        *self.map.lock().expect("not poisoned") = Some(map);
    }

    /// Waits until it was asked so often.
    pub(crate) async fn asked(&self, times: usize) {
        eventually("the host is asked", || self.asked.load(Ordering::Acquire) >= times).await;
    }

    /// Lets it answer once.
    pub(crate) fn let_answer(&self) {
        self.goes_on.notify_one();
    }
}

#[async_trait]
impl CredentialProvider for Host {
    async fn credentials(&self, _: &str, _: &str) -> Result<Option<Credentials>, Failure> {
        self.asked.fetch_add(1, Ordering::AcqRel);
        if self.waits.load(Ordering::Acquire) {
            self.goes_on.notified().await;
        }
        Ok((!self.has_none.load(Ordering::Acquire)).then(Credentials::none))
    }

    async fn web_map(&self, _: &str, _: &str) -> Result<Option<WebMap>, Failure> {
        Ok(self.map.lock().expect("not poisoned").clone())
    }
}

/// A service whose layers are registered there by their export, until they are rolled back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service {
    registered: Arc<Mutex<BTreeSet<String>>>,
    /// What layers do in place of their scripts.
    does: Arc<Mutex<BTreeMap<String, Act>>>,
    /// How many exports were begun.
    exports: Arc<AtomicUsize>,
    refusal: Arc<Mutex<Option<Failure>>>,
    panics: Arc<AtomicBool>,
    holds_roll_backs: Arc<AtomicBool>,
    /// Whether each export and each roll-back was asked in a session of its job.
    in_session: Arc<Mutex<Vec<bool>>>,
}

impl Service {
    pub(crate) fn registered(&self) -> usize {
        self.registered.lock().expect("not poisoned").len()
    }

    pub(crate) fn exports(&self) -> usize {
        self.exports.load(Ordering::Acquire)
    }

    /// Whether it refuses whoever asks.
    pub(crate) fn refuses(&self, refuses: bool) {
        let (owner, kind) = (FailureOwner::Credentials, FailureKind::Unauthorized);
        let failure = Failure::new(owner, kind, FailureStage::Run, "the service refuses the password");
        *self.refusal.lock().expect("not poisoned") = refuses.then_some(failure);
    }

    /// Whether it lets everybody come back later.
    pub(crate) fn throttles(&self, throttles: bool) {
        let (owner, kind) = (FailureOwner::Source, FailureKind::Throttled);
        let failure = Failure::new(owner, kind, FailureStage::Run, "the service asks to come back later").retryable();
        *self.refusal.lock().expect("not poisoned") = throttles.then_some(failure);
    }

    /// Lets every roll-back panic.
    pub(crate) fn panics(&self) {
        self.panics.store(true, Ordering::Release);
    }

    /// Whether a roll-back comes to no end.
    pub(crate) fn holds_roll_backs(&self, holds: bool) {
        self.holds_roll_backs.store(holds, Ordering::Release);
    }

    /// Whether each export and each roll-back so far was asked in a session of its job.
    pub(crate) fn in_session(&self) -> Vec<bool> {
        self.in_session.lock().expect("not poisoned").clone()
    }

    pub(crate) fn lets(&self, layer: &str, act: Act) {
        self.does.lock().expect("not poisoned").insert(layer.to_owned(), act);
    }
}

#[async_trait]
impl Exporter for Service {
    type Parameters = ScriptedParameters;
    type Service = <ScriptedExporter as Exporter>::Service;

    fn name(&self) -> &'static str {
        "registering"
    }

    fn parameters_type(&self) -> &'static str {
        "registeringParameters"
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        ScriptedExporter.supports(layer, source)
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        ScriptedExporter.describe(request, ctx).await
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure> {
        ScriptedExporter.default_parameters(request, found)
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        ScriptedExporter.plan(request, found, parameters, ctx).await
    }

    async fn export(
        &self,
        task: &ExportTask,
        scripts: &Self::Service,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        self.in_session.lock().expect("not poisoned").push(ctx.session().is_some());
        self.registered.lock().expect("not poisoned").insert(task.id.clone());
        self.exports.fetch_add(1, Ordering::AcqRel);
        if let Some(failure) = self.refusal.lock().expect("not poisoned").clone() {
            return Err(failure);
        }
        let mut scripts = scripts.clone();
        for (layer, act) in self.does.lock().expect("not poisoned").iter() {
            scripts.entry(layer.clone()).and_modify(|script| script.act = *act);
        }
        ScriptedExporter.export(task, &scripts, parameters, ctx).await
    }

    async fn rollback(&self, task: &ExportTask, _: &Self::Service, ctx: &ExportContext) {
        self.in_session.lock().expect("not poisoned").push(ctx.session().is_some());
        if self.holds_roll_backs.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        assert!(!self.panics.load(Ordering::Acquire), "the roll-back panics");
        self.registered.lock().expect("not poisoned").remove(&task.id);
    }
}

/// A clock that a test moves.
#[derive(Debug, Clone)]
pub(crate) struct Hands {
    now: Arc<AtomicI64>,
    moved: watch::Sender<()>,
}

impl Default for Hands {
    fn default() -> Self {
        Self { now: Arc::new(AtomicI64::new(1_700_000_000_000)), moved: watch::Sender::new(()) }
    }
}

impl Hands {
    pub(crate) fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_millis()).expect("fits"), Ordering::AcqRel);
        self.moved.send_replace(());
    }
}

#[async_trait]
impl Clock for Hands {
    fn now_ms(&self) -> i64 {
        self.now.load(Ordering::Acquire)
    }

    async fn sleep(&self, duration: Duration) {
        let mut moved = self.moved.subscribe();
        let end = self.now_ms().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        while self.now_ms() < end {
            moved.changed().await.expect("the clock lives");
        }
    }
}

/// What a process does with an engine, and how the process ends: at once, as one that is killed.
pub(crate) fn killed<T>(start: impl Fn() -> Result<Engine, Failure>, work: impl AsyncFnOnce(&Engine) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let done = runtime.block_on(async {
        let engine = started(start).await;
        work(&engine).await
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    done
}

/// An engine with the data directory of one that ended just now, which may hold it for an instant.
pub(crate) async fn started(start: impl Fn() -> Result<Engine, Failure>) -> Engine {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match start() {
            Ok(engine) => return engine,
            Err(failure) => assert!(tokio::time::Instant::now() < deadline, "{failure}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until a job is in a state.
pub(crate) async fn until(job: &Job, state: JobState) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let snapshot = job.snapshot().await.expect("a job");
        if snapshot.state == state {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "expected {state:?}: {snapshot:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// An engine that runs one job at a time.
pub(crate) fn builder(data: &Path, service: &Service) -> EngineBuilder {
    let builder = Engine::builder(MobileMapPackager).exporter(service.clone()).expect("registers");
    builder.data_dir(data).concurrent_jobs(1)
}

pub(crate) fn source(layers: &[(&str, Act)]) -> OfflineMapSource {
    OfflineMapSource::from_web_map(scripted_map(layers.iter().map(|(id, act)| (*id, Script::of(*act)))))
}

pub(crate) fn parameters() -> GenerateOfflineMapParameters {
    GenerateOfflineMapParameters::new(area())
}

pub(crate) fn order(layers: &[(&str, Act)]) -> Order {
    Order::new(source(layers), parameters())
}
