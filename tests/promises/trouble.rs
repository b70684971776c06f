//! Trouble that passes: a short step survives minutes of it, a wait for a service's job as long as the job may take.

use crate::support::{Bench, run_to_end};
use async_trait::async_trait;
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download, ServiceCall};
use offmap::testing::VirtualClock;
use offmap::{Clock, Failure, FailureKind, FailureOwner, GenerateOfflineMapResult, LayerOutcome, LayerSecrets};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, Sandbox, SandboxOptions};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn status(code: u16) -> FaultAction {
    FaultAction::Status(code, "<html>gateway</html>".into(), None)
}

fn failed() -> FaultAction {
    FaultAction::Body(json!({"error": {"code": 500, "message": "Error performing query operation", "details": []}}))
}

/// The clock of a bench, for its engine.
#[derive(Debug)]
struct Shared(Arc<VirtualClock>);

#[async_trait]
impl Clock for Shared {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

/// A bench whose client and engine go by one virtual clock.
async fn bench(options: ClientOptions) -> (Bench, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::default());
    let mut bench = Bench::new().await;
    let options = ClientOptions { poll_interval: Duration::from_secs(1), ..options };
    bench.client =
        ArcGisClient::with_clock(options, Credentials::none(), Arc::clone(&clock) as Arc<dyn Clock>).expect("a client");
    (bench, clock)
}

async fn take(bench: &mut Bench, clock: &Arc<VirtualClock>) -> GenerateOfflineMapResult {
    let builder = offmap::with_defaults(&bench.client).expect("exporters");
    // One export at a time: the pauses of one, which take no time, do not use up the time that another one has.
    let builder = builder.clock(Shared(Arc::clone(clock))).concurrent_exports(1);
    bench.engine = builder.start().expect("starts");
    let (result, _) = run_to_end(&bench.job(FIELD_MAP, |_| {}).await).await;
    result.expect("a package")
}

fn layer<'a>(result: &'a GenerateOfflineMapResult, id: &str) -> &'a LayerOutcome {
    result.layers.iter().find(|l| l.id == id).expect("an outcome")
}

fn submissions(bench: &Bench, path: &str) -> usize {
    bench.sandbox.requests().iter().filter(|r| r.path.ends_with(path)).count()
}

fn url(sandbox: &Sandbox, path: &str) -> String {
    format!("{}/arcgis/rest/services/{path}", sandbox.url())
}

#[tokio::test]
async fn every_short_step_survives_minutes_of_trouble() {
    for (path, action) in [
        ("world/mapserver", status(503)),
        ("fieldwork/featureserver/0/query", status(502)),
        ("fieldwork/featureserver/2", FaultAction::Reset),
        ("results/out_service_url", status(504)),
        ("directories/arcgisoutput", FaultAction::Truncate(5)),
        (".geodatabase", status(503)),
        ("streets/vectortileserver", FaultAction::Html),
    ] {
        let (mut bench, clock) = bench(ClientOptions::default()).await;
        // Ten answers in a row are more than a minute and a half of trouble.
        bench.sandbox.fault(Fault::times(path, 10, action.clone()));
        let result = take(&mut bench, &clock).await;
        assert!(!result.has_errors(), "{action:?} at {path}: {:?}", result.layers);
        assert_eq!(submissions(&bench, "Fieldwork/FeatureServer/createReplica"), 1, "{action:?} at {path}");
    }
}

#[tokio::test]
async fn trouble_that_lasts_ends_after_its_time_and_says_how_long_it_was_tried() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let address = url(&sandbox, "World/MapServer");
    for (action, budget, kind) in [
        (status(503), 300, FailureKind::Unavailable),
        (FaultAction::Reset, 300, FailureKind::Unavailable),
        (FaultAction::Html, 300, FailureKind::InvalidAnswer),
        (failed(), 30, FailureKind::ServiceError),
    ] {
        let clock = Arc::new(VirtualClock::default());
        let client = ArcGisClient::with_clock(ClientOptions::default(), Credentials::none(), Arc::clone(&clock));
        let client = client.expect("a client");
        let call = ServiceCall::get(&address).expect("a url");
        client.json(&call).await.expect("the host is known");
        sandbox.fault_first(Fault::always("world/mapserver", action.clone()));
        let began = clock.now_ms();
        let failure = client.json(&call).await.expect_err("it does not pass");
        let lasted = (clock.now_ms() - began) / 1000;
        assert!((budget..budget + 30).contains(&lasted), "{action:?}: {lasted} s");
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.attempts > 5 && failure.since == began, "{failure:?}");
        assert!(failure.message.contains(&format!("it was tried {} times within", failure.attempts)), "{failure}");
        sandbox.heal();
    }
}

#[tokio::test]
async fn a_wait_for_a_job_rides_out_any_trouble_until_its_limit() {
    for (path, submission) in [
        ("fieldwork/featureserver/jobs/", "Fieldwork/FeatureServer/createReplica"),
        ("world/mapserver/exporttiles/jobs/", "World/MapServer/exportTiles"),
    ] {
        for action in [status(503), failed(), FaultAction::Reset, FaultAction::Html] {
            let (mut bench, clock) = bench(ClientOptions { attempts: 2, ..ClientOptions::default() }).await;
            // More than half an hour.
            bench.sandbox.fault(Fault::times(path, 100, action.clone()));
            let result = take(&mut bench, &clock).await;
            assert!(!result.has_errors(), "{action:?} at {path}: {:?}", result.layers);
            assert_eq!(submissions(&bench, submission), 1, "{action:?} at {path}");
            assert_eq!(submissions(&bench, "unRegisterReplica"), 0, "{action:?} at {path}");
        }
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_limit_of_the_job_whatever_the_trouble() {
    let (mut bench, clock) = bench(ClientOptions::default()).await;
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/jobs/", status(503)));
    let began = clock.now_ms();
    let result = take(&mut bench, &clock).await;
    let failure = layer(&result, "places").failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Unavailable), "{failure}");
    assert!(failure.attempts > 100 && failure.message.contains("within 60 minutes"), "{failure}");
    let lasted = (clock.now_ms() - began) / 1000;
    assert!((3600..2 * 3600).contains(&lasted), "{lasted} s");
    assert!(layer(&result, "world").failure.is_none());
    assert_eq!(bench.sandbox.replicas("Fieldwork"), 0, "nobody fetches it any more");
}

#[tokio::test]
async fn a_retry_after_is_honoured_whatever_its_length() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    for (code, seconds) in [(429, 61), (503, 600), (429, 3 * 3600), (503, 86_400)] {
        let clock = Arc::new(VirtualClock::default());
        let client = ArcGisClient::with_clock(ClientOptions::default(), Credentials::none(), Arc::clone(&clock));
        let asked = FaultAction::Status(code, "later".into(), Some(seconds));
        sandbox.fault_first(Fault::times("world/mapserver", 1, asked));
        let began = clock.now_ms();
        let call = ServiceCall::get(&url(&sandbox, "World/MapServer")).expect("a url");
        client.expect("a client").json(&call).await.expect("an answer");
        let waited = (clock.now_ms() - began) / 1000;
        assert!(waited >= i64::try_from(seconds).expect("small"), "{code} {seconds}: asked again after {waited} s");
    }
}

#[tokio::test]
async fn a_retry_after_beyond_the_limit_of_the_job_ends_with_the_limit() {
    let (mut bench, clock) = bench(ClientOptions::default()).await;
    bench
        .sandbox
        .fault(Fault::always("fieldwork/featureserver/jobs/", FaultAction::Status(429, "later".into(), Some(30 * 86_400))));
    let began = clock.now_ms();
    let result = take(&mut bench, &clock).await;
    let failure = layer(&result, "places").failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Throttled), "{failure}");
    assert!(began + 3_600_000 <= clock.now_ms());
}

#[tokio::test]
async fn a_cancel_ends_a_pause_of_a_day_at_once() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let client = ArcGisClient::new(ClientOptions::default(), Credentials::none()).expect("a client");
    let engine = offmap::with_defaults(&client).expect("exporters").start().expect("starts");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let source = portal::read_item(&client, &sandbox.portal_url(), FIELD_MAP).await.expect("a map");
    let task = offmap::OfflineMapTask::new(&engine, source);
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let day = FaultAction::Status(429, "later".into(), Some(86_400));
    sandbox.fault(Fault::always("world/mapserver/exporttiles", day));
    let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
    let mut status = job.status();
    job.start();
    let mut cancelled = None;
    while let Some(message) = status.next().await {
        if cancelled.is_none() && format!("{message:?}").contains("throttled until") {
            job.cancel();
            cancelled = Some(Instant::now());
        }
    }
    let error = job.result().await.expect_err("cancelled");
    assert!(error.failure.is_cancelled(), "{error}");
    let took = cancelled.expect("it was throttled").elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A page at a step, always and for a while.
async fn ends(bench: &Bench, page: &str, what: impl AsyncFn() -> Result<(), Failure>) -> Failure {
    bench.sandbox.fault_first(Fault::times(page, 6, FaultAction::Html));
    what().await.unwrap_or_else(|failure| panic!("{page}: {failure}"));
    bench.sandbox.heal();
    bench.sandbox.fault_first(Fault::always(page, FaultAction::Html));
    let failure = what().await.expect_err(page);
    bench.sandbox.heal();
    failure
}

#[tokio::test]
async fn a_page_in_place_of_an_answer_is_asked_again_at_every_step_before_it_is_believed() {
    let (bench, _) = bench(ClientOptions::default()).await;
    let (client, dir) = (&bench.client, offmap_sandbox::tempdir().expect("a directory"));
    let portal_url = bench.sandbox.portal_url();
    let call = |path: &str| ServiceCall::get(&url(&bench.sandbox, path)).expect("a url");
    let description = ends(&bench, "world/mapserver", async || client.json(&call("World/MapServer")).await.map(drop)).await;
    let list = ends(&bench, "featureserver/replicas", async || {
        client.list(&call("Fieldwork/FeatureServer/replicas"), Some).await.map(drop)
    })
    .await;
    let item = ends(&bench, "/data", async || portal::read_item(client, &portal_url, FIELD_MAP).await.map(drop)).await;
    let downloads = AtomicU32::new(0);
    let file = ends(&bench, "world/mapserver/tile", async || {
        let name = downloads.fetch_add(1, Ordering::Relaxed).to_string();
        let (address, to) = (url(&bench.sandbox, "World/MapServer/tile/0/0/0"), dir.path().join(name));
        let secrets = LayerSecrets::default();
        let file = Download { url: &address, to: &to, presigned: false, limit: 1 << 20, secrets: &secrets };
        client.download(file, |_, _| {}).await.map(drop)
    })
    .await;
    for failure in [description, list, item, file] {
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure}");
        for words in ["an HTML page (\"Sign in\")", "open http", "give credentials", "times within"] {
            assert!(failure.message.contains(words), "{words}: {failure}");
        }
    }
}

#[tokio::test]
async fn a_submission_that_a_page_or_a_500_answered_is_like_one_whose_answer_was_lost() {
    for (path, submission) in [
        ("fieldwork/featureserver/createreplica", "Fieldwork/FeatureServer/createReplica"),
        ("world/mapserver/exporttiles", "World/MapServer/exportTiles"),
    ] {
        for action in [FaultAction::Html, status(500), failed(), status(503)] {
            let (mut bench, clock) = bench(ClientOptions::default()).await;
            bench.sandbox.fault(Fault { exact: true, ..Fault::times(path, 3, action.clone()) });
            let result = take(&mut bench, &clock).await;
            assert!(!result.has_errors(), "{action:?} at {path}: {:?}", result.layers);
            assert_eq!(submissions(&bench, submission), 4, "{action:?} at {path}");
            assert_eq!(bench.sandbox.replicas("Fieldwork"), 1, "{action:?} at {path}: what it made is removed");
            // Each submission of a replica has a name of its own, by which what it made is found.
            let requests = bench.sandbox.requests();
            let names: std::collections::BTreeSet<_> = requests
                .iter()
                .filter(|r| r.path.ends_with("Fieldwork/FeatureServer/createReplica"))
                .map(|r| r.parameters["replicaname"].clone())
                .collect();
            assert_eq!(names.len(), submissions(&bench, "Fieldwork/FeatureServer/createReplica"), "{action:?} at {path}");
        }
    }
}
