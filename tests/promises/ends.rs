//! Exactly one end for every layer, table, package and job, and the job's is the last, however a job ends.

use crate::support::{area, run_to_end, scripted_engine, scripted_task};
use async_trait::async_trait;
use offmap::packager::MobileMapPackager;
use offmap::testing::{Act, Script, ScriptedExporter, scripted_map};
use offmap::{
    Engine, ExportState, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapJob,
    GenerateOfflineMapParameters, OfflineMapSource, OfflineMapTask, PackRequest, Packager, Packed, StatusMessage, Subject,
    SubjectKind,
};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Checks the rules; answers the subjects by kind with their ends.
fn check(what: &str, messages: &[StatusMessage]) -> HashMap<SubjectKind, Vec<ExportState>> {
    let mut ended: HashMap<&Subject, ExportState> = HashMap::new();
    let mut completed: HashMap<&Subject, u64> = HashMap::new();
    assert!(messages.is_sorted_by(|a, b| a.seq < b.seq), "{what}: numbers rise");
    for message in messages {
        assert!(!ended.contains_key(&message.subject), "{what}: {message:?} comes after the subject's end");
        if message.state.is_terminal() {
            ended.insert(&message.subject, message.state);
        }
        if let Some(progress) = message.progress {
            let before = completed.insert(&message.subject, progress.completed).unwrap_or(0);
            assert!(progress.completed >= before, "{what}: {message:?} falls from {before}");
            assert!(progress.completed <= progress.required, "{what}: {message:?}");
        }
    }
    for message in messages {
        assert!(ended.contains_key(&message.subject), "{what}: {:?} has no end", message.subject);
    }
    let last = messages.last().unwrap_or_else(|| panic!("{what}: no messages"));
    assert!(last.subject.kind == SubjectKind::Job && last.state.is_terminal(), "{what}: the job ends last: {last:?}");
    let mut by_kind: HashMap<SubjectKind, Vec<ExportState>> = HashMap::new();
    ended.into_iter().for_each(|(subject, state)| by_kind.entry(subject.kind).or_default().push(state));
    by_kind
}

/// What a packager does in place of packing.
#[derive(Debug, Clone, Copy)]
enum Packs {
    Fails,
    Panics,
    Hangs,
}

#[derive(Debug, Clone)]
struct Odd(Packs);

#[async_trait]
impl Packager for Odd {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        MobileMapPackager.check_destination(destination)
    }

    async fn pack(
        &self,
        _: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        report(1, 2);
        match self.0 {
            Packs::Fails => {
                Err(Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Package, "the disk refuses"))
            }
            Packs::Panics => panic!("the packager panics"),
            Packs::Hangs => {
                cancel.cancelled().await;
                Err(Failure::cancelled())
            }
        }
    }
}

fn parameters(continue_on_errors: bool) -> GenerateOfflineMapParameters {
    let mut parameters = GenerateOfflineMapParameters::new(area());
    parameters.continue_on_errors = continue_on_errors;
    parameters
}

/// Reads a job's story; `on` may do something to the job when it reads a message.
async fn story_of(job: &GenerateOfflineMapJob, on: impl Fn(&StatusMessage, &GenerateOfflineMapJob)) -> Vec<StatusMessage> {
    let mut status = job.status();
    job.start();
    let mut messages = Vec::new();
    while let Some(message) = tokio::time::timeout(Duration::from_secs(30), status.next()).await.expect("an end") {
        on(&message, job);
        messages.push(message);
    }
    messages
}

#[tokio::test]
async fn every_layer_ends_once_whatever_it_does_and_whenever_the_job_is_cancelled() {
    use Act::{Fail, Hang, Nothing, Panic, Refuse, Short, Succeed, Unfinished, Unreachable};
    let layers: [(&str, &[Act]); 6] = [
        ("all well", &[Succeed, Succeed]),
        ("each in its way", &[Succeed, Fail, Panic, Short, Nothing, Refuse, Unfinished, Unreachable]),
        ("none", &[Fail, Panic]),
        ("refused", &[Refuse, Refuse]),
        ("out of reach", &[Unreachable]),
        ("cancelled", &[Hang, Succeed, Fail, Hang, Succeed]),
    ];
    for (what, acts) in layers {
        for continue_on_errors in [true, false] {
            let engine = scripted_engine();
            let names: Vec<String> = (0..acts.len()).map(|i| format!("layer{i}")).collect();
            let scripts: Vec<(&str, Script)> =
                names.iter().map(String::as_str).zip(acts.iter().map(|act| Script::of(*act))).collect();
            let task = scripted_task(&engine, &scripts);
            let dir = offmap_sandbox::tempdir().expect("a directory");
            let job =
                task.generate_offline_map(parameters(continue_on_errors), Default::default(), dir.path().join("package"));
            let hangs = acts.contains(&Hang);
            let events = story_of(&job, |message, job| {
                if hangs && message.subject.id == "layer0" && message.progress.is_some() {
                    job.cancel();
                }
            })
            .await;
            let ends = check(what, &events);
            assert_eq!(ends[&SubjectKind::Job].len(), 1, "{what}");
            let layers = ends.get(&SubjectKind::Layer).map_or(0, Vec::len);
            let was_planned = !job.result().await.is_err_and(|e| e.layers.is_empty());
            assert_eq!(layers, if was_planned { acts.len() } else { 0 }, "{what}: {ends:?}");
            assert_eq!(ends.get(&SubjectKind::Package).map_or(0, Vec::len), usize::from(was_planned), "{what}: {ends:?}");
            engine.shutdown().await.expect("shuts down");
        }
    }
}

#[tokio::test]
async fn a_package_that_fails_panics_or_is_cancelled_ends_once() {
    for packs in [Packs::Fails, Packs::Panics, Packs::Hangs] {
        let builder = Engine::builder(Odd(packs)).exporter(ScriptedExporter).expect("registers");
        let engine = builder.start().expect("starts");
        let map = scripted_map([("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Fail))]);
        let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let job = task.generate_offline_map(parameters(true), Default::default(), dir.path().join("package"));
        let events = story_of(&job, |message, job| {
            if message.subject.kind == SubjectKind::Package && matches!(packs, Packs::Hangs) {
                job.cancel();
            }
        })
        .await;
        let ends = check(&format!("{packs:?}"), &events);
        let expected = if matches!(packs, Packs::Hangs) { ExportState::Cancelled } else { ExportState::Failed };
        assert_eq!(ends[&SubjectKind::Package], [expected], "{packs:?}");
        assert_eq!(ends[&SubjectKind::Job], [expected], "{packs:?}");
        assert_eq!(ends[&SubjectKind::Layer].len(), 2, "{packs:?}");
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test]
async fn a_job_that_cannot_begin_ends_once() {
    let engine = scripted_engine();
    let task = scripted_task(&engine, &[("a", Script::of(Act::Succeed))]);
    let dir = offmap_sandbox::tempdir().expect("a directory");
    // The destination is not empty.
    std::fs::write(dir.path().join("x"), "x").expect("writes");
    let job = task.generate_offline_map(parameters(true), Default::default(), dir.path());
    let ends = check("refused", &story_of(&job, |_, _| {}).await);
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(SubjectKind::Job, vec![ExportState::Failed])]);
    // Cancelled while it is dormant.
    let job = task.generate_offline_map(parameters(true), Default::default(), dir.path().join("p"));
    job.cancel();
    let ends = check("dormant", &story_of(&job, |_, _| {}).await);
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(SubjectKind::Job, vec![ExportState::Cancelled])]);
    // Nothing to take.
    let nothing = scripted_task(&engine, &[]);
    let job = nothing.generate_offline_map(parameters(true), Default::default(), dir.path().join("p"));
    let ends = check("nothing", &story_of(&job, |_, _| {}).await);
    assert_eq!(ends[&SubjectKind::Job], [ExportState::Failed]);
    // The engine is gone.
    engine.shutdown().await.expect("shuts down");
    let job = task.generate_offline_map(parameters(true), Default::default(), dir.path().join("p"));
    let ends = check("engine gone", &story_of(&job, |_, _| {}).await);
    assert!(ends[&SubjectKind::Job].iter().all(|s| s.is_terminal()), "{ends:?}");
}

#[tokio::test]
async fn an_engine_that_is_shut_down_and_a_time_limit_end_all_that_runs_once() {
    for is_shut_down in [true, false] {
        let builder = Engine::builder(MobileMapPackager).exporter(ScriptedExporter).expect("registers");
        let engine = builder.concurrent_exports(1).start().expect("starts");
        let map = scripted_map([("a", Script::of(Act::Hang)), ("b", Script::of(Act::Succeed))]);
        let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let job = task.generate_offline_map(parameters(true), Default::default(), dir.path().join("package"));
        if !is_shut_down {
            job.limit_time(Duration::from_millis(300));
        }
        let reader = job.clone();
        let events = tokio::spawn(async move { run_to_end(&reader).await.1 });
        if is_shut_down {
            let mut status = job.status();
            while let Some(message) = status.next().await {
                if message.subject.kind == SubjectKind::Layer && message.progress.is_some() {
                    engine.shutdown().await.expect("shuts down");
                    break;
                }
            }
        }
        let ends = check(&format!("shut down: {is_shut_down}"), &events.await.expect("a story"));
        let job_end = if is_shut_down { ExportState::Cancelled } else { ExportState::Failed };
        assert_eq!(ends[&SubjectKind::Job], [job_end]);
        assert_eq!(ends[&SubjectKind::Layer], [ExportState::Cancelled, ExportState::Cancelled]);
    }
}
