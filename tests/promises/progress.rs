//! Progress tells the truth: what is not known is called so, 100 % is the end, and there are no more messages than a reader needs.

use crate::support::{Bench, area, run_to_end};
use async_trait::async_trait;
use offmap::packager::MobileMapPackager;
use offmap::testing::{Act, Script, ScriptedExporter, ScriptedParameters, VirtualClock, scripted_map};
use offmap::{
    Artifact, ByteRange, Engine, ExportContext, ExportState, ExportTask, Exporter, Failure, GenerateOfflineMapJob,
    GenerateOfflineMapParameters, MapLayer, OfflineMapSource, OfflineMapTask, PackRequest, Packager, Packed, PlanContext,
    Progress, ProgressUnit, ServiceDescription, ServiceRequest, StatusMessage, SubjectKind, TaskPlan,
};
use offmap_sandbox::{HOSTED_MAP, SandboxOptions};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What an exporter says while it works.
#[derive(Debug, Clone, Copy)]
enum Says {
    /// So many tiles, one after another.
    Tiles(u64),
    /// So many pieces of a file whose length the server does not say; whether the plan knows it roughly.
    PiecesOfUnknown(u64, bool),
}

/// The scripted exporter, which reports first.
#[derive(Debug, Clone)]
struct Talking(Says);

#[async_trait]
impl Exporter for Talking {
    type Parameters = ScriptedParameters;
    type Service = <ScriptedExporter as Exporter>::Service;

    fn name(&self) -> &'static str {
        ScriptedExporter.name()
    }

    fn parameters_type(&self) -> &'static str {
        ScriptedExporter.parameters_type()
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
        let mut plan = ScriptedExporter.plan(request, found, parameters, ctx).await?;
        if let Says::PiecesOfUnknown(pieces, true) = self.0 {
            plan.bytes = Some(ByteRange { min: pieces * 1000, max: pieces * 1000 });
        }
        Ok(plan)
    }

    async fn export(
        &self,
        task: &ExportTask,
        scripts: &Self::Service,
        _: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let (number, report): (u64, fn(u64, u64) -> Progress) = match self.0 {
            Says::Tiles(n) => {
                (n, |i, all| Progress { completed: i, required: all, unit: ProgressUnit::Tiles, precise: true })
            }
            Says::PiecesOfUnknown(n, _) => (n, |i, _| Progress::bytes(i * 1000, None)),
        };
        for i in 1..=number {
            ctx.report(report(i, number));
            // Every report could be read.
            tokio::task::yield_now().await;
        }
        // The scripted exporter's own report would be of other things.
        let quiet = ScriptedParameters { script: Some(Script { items: 1, ..Script::of(Act::Succeed) }) };
        ScriptedExporter.export(task, scripts, &quiet, ctx).await
    }
}

async fn story_of(says: Says) -> Vec<StatusMessage> {
    let builder = Engine::builder(MobileMapPackager).exporter(Talking(says)).expect("registers");
    let engine = builder.clock(VirtualClock::default()).start().expect("starts");
    let script = Script { items: 1, ..Script::of(Act::Succeed) };
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(scripted_map([("a", script)])));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = task.generate_offline_map(GenerateOfflineMapParameters::new(area()), Default::default(), dir.path().join("p"));
    let (result, events) = run_to_end(&job).await;
    assert!(!result.expect("a package").has_errors());
    engine.shutdown().await.expect("shuts down");
    events
}

fn of_kind(events: &[StatusMessage], kind: SubjectKind) -> Vec<&StatusMessage> {
    events.iter().filter(|m| m.subject.kind == kind).collect()
}

/// Per cent of the job when its layer ended.
fn percent_before_the_layer_ends(events: &[StatusMessage]) -> Option<Progress> {
    let end = events.iter().position(|m| m.subject.kind == SubjectKind::Layer && m.state.is_terminal()).expect("an end");
    events[..end].iter().rev().find(|m| m.subject.kind == SubjectKind::Job && m.progress.is_some())?.progress
}

#[tokio::test]
async fn reports_are_few_however_many_tiles_there_are_and_the_last_one_comes() {
    const TILES: u64 = 20_000;
    let events = story_of(Says::Tiles(TILES)).await;
    let layer = of_kind(&events, SubjectKind::Layer);
    assert!(layer.len() > 50, "{} messages of the layer are too few", layer.len());
    assert!(layer.len() < 150, "{} messages of the layer for {TILES} reports", layer.len());
    let last = layer.last().and_then(|m| m.progress).expect("a progress at the end");
    assert_eq!((last.completed, last.required, last.precise), (TILES, TILES, true));
    let few = story_of(Says::Tiles(7)).await;
    let told: Vec<u64> = of_kind(&few, SubjectKind::Layer).iter().filter_map(|m| m.progress).map(|p| p.completed).collect();
    assert_eq!(told, [1, 2, 3, 4, 5, 6, 7, 7], "few reports are all told, and the last with the end");
}

#[tokio::test]
async fn a_length_that_is_not_known_is_not_precise_and_does_not_jump() {
    const PIECES: u64 = 5000;
    for is_planned in [false, true] {
        let events = story_of(Says::PiecesOfUnknown(PIECES, is_planned)).await;
        let layer = of_kind(&events, SubjectKind::Layer);
        assert!(layer.len() < 1000, "{} messages of the layer for {PIECES} reports", layer.len());
        let (end, before) = layer.split_last().expect("messages");
        for progress in before.iter().filter_map(|m| m.progress) {
            assert!(!progress.precise, "{progress:?}");
            assert!(progress.fraction() < 0.01, "nobody knows how much that is: {progress:?}");
        }
        // The layer is half of this job, the package the other; waiting for a server is the first half of a layer.
        let percent = percent_before_the_layer_ends(&events).expect("a progress of the job");
        let most = if is_planned { 48 } else { 25 };
        assert!(percent.completed <= most, "{percent:?} with a plan: {is_planned}");
        assert!(!percent.precise, "{percent:?}");
        let end = end.progress.expect("a progress");
        assert_eq!((end.completed, end.required, end.precise), (PIECES * 1000, PIECES * 1000, true), "now it is known");
    }
}

/// Notes what a packager reports and what was at the destination at that time.
#[derive(Debug, Clone)]
struct Watched(Arc<Mutex<Vec<(u64, u64, bool)>>>);

#[async_trait]
impl Packager for Watched {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        MobileMapPackager.check_destination(destination)
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        let (noted, destination) = (Arc::clone(&self.0), request.destination.clone());
        let watched = Arc::new(move |done: u64, all: u64| {
            noted.lock().expect("a list").push((done, all, destination.exists()));
            report(done, all);
        });
        MobileMapPackager.pack(request, watched, cancel).await
    }
}

#[tokio::test]
async fn a_package_is_not_100_per_cent_before_it_is_verified() {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let builder = Engine::builder(Watched(Arc::clone(&noted))).exporter(ScriptedExporter).expect("registers");
    let engine = builder.clock(VirtualClock::default()).start().expect("starts");
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(scripted_map([("a", Script::of(Act::Succeed))])));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = task.generate_offline_map(GenerateOfflineMapParameters::new(area()), Default::default(), dir.path().join("p"));
    let (result, _) = run_to_end(&job).await;
    let bytes = result.expect("a package").bytes;
    let noted = noted.lock().expect("a list").clone();
    let (last, all, _) = *noted.last().expect("reports");
    assert!(noted.is_sorted_by_key(|(done, ..)| *done), "{noted:?}");
    // What is written is hashed, and what is verified is read again.
    let half = noted.iter().filter(|(done, ..)| *done <= all / 2).count();
    assert!(half > 0 && half < noted.len(), "hashing is not all of it: {noted:?} of a package of {bytes} bytes");
    for (done, all, is_in_place) in &noted {
        assert!(done < all || *is_in_place, "{done} of {all} before the package is in place");
    }
    assert!(last <= all);
    engine.shutdown().await.expect("shuts down");
}

/// Reports all as done, then waits for the test.
#[derive(Debug, Clone)]
struct Hasty(Arc<Semaphore>);

#[async_trait]
impl Packager for Hasty {
    fn check_destination(&self, _: &Path) -> Result<(), Failure> {
        Ok(())
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        report(5, 5);
        tokio::select! {
            () = cancel.cancelled() => return Err(Failure::cancelled()),
            free = self.0.acquire() => free.expect("open").forget(),
        }
        Ok(Packed { path: request.destination, bytes: 5, files: 1 })
    }
}

fn hasty(dir: &Path) -> (Engine, Arc<Semaphore>, GenerateOfflineMapJob) {
    let gate = Arc::new(Semaphore::new(0));
    let builder = Engine::builder(Hasty(Arc::clone(&gate))).exporter(ScriptedExporter).expect("registers");
    let engine = builder.clock(VirtualClock::default()).start().expect("starts");
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(scripted_map([("a", Script::of(Act::Succeed))])));
    let job = task.generate_offline_map(GenerateOfflineMapParameters::new(area()), Default::default(), dir.join("p"));
    (engine, gate, job)
}

#[tokio::test]
async fn neither_package_nor_job_is_at_100_per_cent_before_its_end_whatever_the_packager_says() {
    for is_cancelled in [false, true] {
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let (engine, gate, job) = hasty(dir.path());
        let mut status = job.status();
        job.start();
        let (mut package, mut whole) = (Vec::new(), Vec::new());
        while let Some(message) = status.next().await {
            let Some(progress) = message.progress else { continue };
            match message.subject.kind {
                SubjectKind::Package => {
                    package.push((message.state, progress));
                    if is_cancelled { job.cancel() } else { gate.add_permits(1) }
                }
                SubjectKind::Job => whole.push((message.state, progress)),
                _ => {}
            }
        }
        let is_whole = |p: &Progress| p.completed >= p.required;
        let ended = |state: ExportState| state == ExportState::Succeeded;
        for (state, progress) in package.iter().chain(&whole) {
            assert_eq!(is_whole(progress), ended(*state), "{state:?} {progress:?}, cancelled: {is_cancelled}");
        }
        assert!(package.len() > 1 && whole.len() > 1, "{package:?} {whole:?}");
        assert_eq!(job.result().await.is_ok(), !is_cancelled);
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test]
async fn what_was_cancelled_is_not_done() {
    let builder = Engine::builder(MobileMapPackager).exporter(ScriptedExporter).expect("registers").concurrent_exports(1);
    let engine = builder.start().expect("starts");
    let names: Vec<String> = (0..8).map(|i| format!("layer{i}")).collect();
    let act = |i: usize| if i == 1 { Act::Hang } else { Act::Succeed };
    let map = scripted_map(names.iter().enumerate().map(|(i, name)| (name.as_str(), Script::of(act(i)))));
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = task.generate_offline_map(GenerateOfflineMapParameters::new(area()), Default::default(), dir.path().join("p"));
    let mut status = job.status();
    job.start();
    let mut last = None;
    while let Some(message) = status.next().await {
        if message.subject.id == "layer1" && message.progress.is_some_and(|p| p.completed == p.required) {
            job.cancel();
        }
        if message.subject.kind == SubjectKind::Job {
            last = message.progress.or(last);
        }
    }
    let last = last.expect("a progress");
    assert!(last.completed <= 25, "one of nine parts is done and one is at its end, the job says {last:?}");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn the_first_of_two_parts_of_tiles_is_not_all_of_them() {
    let bench = Bench::with(SandboxOptions::default(), |_| offmap::arcgis::Credentials::none()).await;
    let task = bench.task(HOSTED_MAP).await;
    // Across the dateline: two parts.
    let across = offmap::AreaOfInterest::from_numbers("170,-20,-170,-10").expect("an area");
    let mut parameters = task.default_parameters(across).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let (_, events) = run_to_end(&job).await;
    let joined = |m: &&StatusMessage| m.message.as_deref().is_some_and(|w| w.contains("are joined"));
    let layers: Vec<_> = events.iter().filter(joined).map(|m| m.subject.clone()).collect();
    assert!(!layers.is_empty(), "a layer has two parts");
    for layer in layers {
        let of_layer: Vec<_> = events.iter().filter(|m| m.subject == layer && !m.state.is_terminal()).collect();
        let told: Vec<Progress> = of_layer.iter().filter_map(|m| m.progress).collect();
        let all = told.iter().filter(|p| p.precise).map(|p| p.required).max().unwrap_or(0);
        let early: Vec<_> = told.iter().filter(|p| p.precise && p.required < all).collect();
        assert!(early.is_empty(), "a part is told as the whole: {early:?} of {all}");
    }
}
