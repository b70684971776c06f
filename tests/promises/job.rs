//! The job: pause and go on, its messages, its progress, and itself as JSON.

use crate::support::{Bench, area, run_to_end, scripted_task};
use offmap::arcgis::Credentials;
use offmap::packager::MobileMapPackager;
use offmap::testing::{Act, Script, ScriptedExporter};
use offmap::{
    Clock, Engine, ExportState, GenerateOfflineMapJob, GenerateOfflineMapParameters, MessageSeverity, MessageSource,
    ProgressUnit, StatusMessage, SubjectKind, system_now_ms,
};
use offmap_sandbox::{FIELD_MAP, MIXED_MAP, SandboxOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// A clock whose sleepers wait for the test: how many have come, and how many may go on.
#[derive(Debug, Clone)]
struct Gate(Arc<Semaphore>, Arc<Semaphore>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)))
    }
}

#[async_trait::async_trait]
impl Clock for Gate {
    fn now_ms(&self) -> i64 {
        system_now_ms()
    }

    async fn sleep(&self, _: Duration) {
        self.0.add_permits(1);
        self.1.acquire().await.expect("open").forget();
    }
}

fn is(message: &StatusMessage, kind: SubjectKind, id: &str, state: ExportState) -> bool {
    message.subject.kind == kind && (id.is_empty() || message.subject.id == id) && message.state == state
}

#[tokio::test]
async fn a_paused_job_begins_nothing_new_and_goes_on_when_it_is_started_again() {
    let gate = Gate::new();
    let builder = Engine::builder(MobileMapPackager).exporter(ScriptedExporter).expect("registers").concurrent_exports(1);
    let engine = builder.clock(gate.clone()).start().expect("starts");
    let slow = Script { delay_ms: 4, ..Script::of(Act::Succeed) };
    let task = scripted_task(&engine, &[("a", slow), ("b", slow)]);
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = task.generate_offline_map(GenerateOfflineMapParameters::new(area()), Default::default(), dir.path().join("p"));
    let mut status = job.start().status();
    let mut events: Vec<StatusMessage> = Vec::new();
    // The first layer has begun its unit and sleeps.
    let _first = gate.0.acquire().await.expect("open");
    job.pause();
    gate.1.add_permits(100);
    while let Some(message) = status.next().await {
        if is(&message, SubjectKind::Layer, "a", ExportState::Succeeded) {
            job.start();
        }
        events.push(message);
    }
    assert!(job.result().await.is_ok());
    let place = |kind, id: &str, state, from: usize| {
        let found = events
            .iter()
            .skip(from)
            .position(|m| is(m, kind, id, state) && m.progress.is_none_or(|p| p.unit == ProgressUnit::Percent));
        from + found.unwrap_or_else(|| panic!("no {state:?} of {id}"))
    };
    let paused = place(SubjectKind::Job, "", ExportState::Paused, 0);
    let ended = events.iter().position(|m| is(m, SubjectKind::Layer, "a", ExportState::Succeeded)).expect("an end");
    let again = place(SubjectKind::Job, "", ExportState::Started, paused);
    let second = place(SubjectKind::Layer, "b", ExportState::Started, 0);
    assert!(paused < ended && ended < again && again < second, "{paused} {ended} {again} {second}");
}

#[tokio::test]
async fn a_paused_job_can_be_cancelled() {
    let gate = Gate::new();
    let builder = Engine::builder(MobileMapPackager).exporter(ScriptedExporter).expect("registers").concurrent_exports(1);
    let engine = builder.clock(gate.clone()).start().expect("starts");
    let task = scripted_task(&engine, &[("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Succeed))]);
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = task.generate_offline_map(GenerateOfflineMapParameters::new(area()), Default::default(), dir.path().join("p"));
    let mut status = job.status();
    job.start();
    job.pause();
    while let Some(message) = status.next().await {
        if message.state == ExportState::Paused {
            job.cancel();
        }
    }
    let ended = job.result().await;
    assert!(ended.as_ref().map_or_else(|e| e.failure.is_cancelled(), |_| true), "{ended:?}");
    assert_eq!(dir.path().join("p").exists(), ended.is_ok());
}

#[tokio::test]
async fn messages_have_time_severity_and_source_and_progress_runs_from_0_to_100() {
    let bench = Bench::new().await;
    let before = system_now_ms();
    let (result, events) = run_to_end(&bench.job(MIXED_MAP, |_| {}).await).await;
    assert!(result.expect("a package").has_errors());
    assert!(events.iter().all(|m| m.time >= before - 1000 && m.time > 0));
    let from_service: Vec<&str> =
        events.iter().filter(|m| m.source == MessageSource::Service).filter_map(|m| m.message.as_deref()).collect();
    assert!(from_service.contains(&"Pending"), "the service's own job messages: {from_service:?}");
    assert!(
        events
            .iter()
            .any(|m| is(m, SubjectKind::Layer, "wms", ExportState::Skipped) && m.severity == MessageSeverity::Warning)
    );
    let percent: Vec<u64> = events
        .iter()
        .filter(|m| m.subject.kind == SubjectKind::Job)
        .filter_map(|m| m.progress.filter(|p| p.unit == ProgressUnit::Percent).map(|p| p.completed))
        .collect();
    assert!(percent.is_sorted() && percent.last() == Some(&100) && percent.len() > 3, "{percent:?}");
    let json = serde_json::to_value(&events[0]).expect("JSON");
    assert_eq!((json["severity"].as_str(), json["source"].as_str()), (Some("info"), Some("client")));
}

#[tokio::test]
async fn a_job_goes_through_json_into_another_engine_without_its_credentials() {
    let options = SandboxOptions { secured: true, ..SandboxOptions::default() };
    let bench = Bench::with(options, |s| Credentials::token(s.token()).for_url(&s.portal_url()).expect("a url")).await;
    let job = bench
        .job(FIELD_MAP, |p| {
            p.include_basemap = false;
            p.min_scale = 1e8;
        })
        .await;
    let text = job.to_json().expect("JSON");
    assert!(!text.to_lowercase().contains("token"), "no credentials");
    let other = offmap::with_defaults(&bench.client).expect("exporters").start().expect("starts");
    let again = GenerateOfflineMapJob::from_json(&other, &text).expect("a job");
    assert_eq!((again.id(), again.destination()), (job.id(), job.destination()));
    assert_eq!(again.to_json().expect("JSON"), text);
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);

    for (words, text) in [
        ("expected `offmap-job` version 1", text.replace("\"version\":1,\"id\"", "\"version\":7,\"id\"")),
        ("unknown field", text.replacen('{', "{\"extra\":1,", 1)),
        ("expected value", String::new()),
        ("minScale is -5", text.replace("\"minScale\":100000000.0", "\"minScale\":-5")),
    ] {
        let failure = GenerateOfflineMapJob::from_json(&other, &text).err().map(|f| f.message).unwrap_or_default();
        assert!(failure.contains(words) || (text.is_empty() && failure.contains("EOF")), "{words}: {failure}");
    }
}
