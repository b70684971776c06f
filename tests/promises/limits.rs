//! Limits of time and pace.

use crate::support::{Bench, area, run_to_end};
use async_trait::async_trait;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download, ServiceCall};
use offmap::packager::verify;
use offmap::testing::VirtualClock;
use offmap::{Clock, ExportState, FailureKind, FailureOwner, GenerateOfflineMapJob, OfflineMapTask, system_now_ms};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, Sandbox, SandboxOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A clock on which an hour passes when the test says so.
#[derive(Debug, Default, Clone)]
struct HourGlass(Arc<Notify>);

#[async_trait]
impl Clock for HourGlass {
    fn now_ms(&self) -> i64 {
        system_now_ms()
    }

    async fn sleep(&self, duration: Duration) {
        match duration >= Duration::from_secs(3600) {
            true => self.0.notified().await,
            false => tokio::time::sleep(duration).await,
        }
    }
}

#[tokio::test]
async fn a_job_that_takes_longer_than_its_limit_fails_by_name_and_goes_on_when_it_is_resumed() {
    let bench = Bench::new().await;
    let clock = HourGlass::default();
    let engine = offmap::with_defaults(&bench.client).expect("exporters").clock(clock.clone()).start().expect("starts");
    bench.sandbox.fault(Fault::always("world/mapserver/exporttiles", FaultAction::Job(JobFault::Stuck)));
    let task = OfflineMapTask::new(&engine, bench.task(FIELD_MAP).await.source().clone());
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    job.limit_time(Duration::from_secs(3600));
    let mut status = job.status();
    job.start();
    let mut last = None;
    while let Some(message) = status.next().await {
        if message.message.as_deref().is_some_and(|words| words.contains("Exporting")) {
            clock.0.notify_one();
        }
        last = Some(message.state);
    }
    let error = job.result().await.expect_err("too long");
    assert_eq!((error.failure.owner, error.failure.kind), (FailureOwner::Caller, FailureKind::TimedOut), "{error}");
    assert!(error.to_string().contains("time limit of 3600 seconds") && error.can_resume, "{error:?}");
    assert!(!bench.destination().exists());
    assert_eq!(last, Some(ExportState::Failed), "nobody cancelled it");
    bench.sandbox.heal();
    bench.sandbox.unstick();
    let job = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    job.limit_time(Duration::from_secs(7200));
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors() && verify(&result.package).expect("verifies").ok, "{:?}", result.layers);
    assert_eq!(bench.sandbox.replicas("Fieldwork"), 1);
}

#[tokio::test]
async fn a_host_that_only_drips_is_as_good_as_silent() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let options = ClientOptions { request_timeout: Duration::from_millis(200), attempts: 2, ..ClientOptions::default() };
    let client =
        ArcGisClient::with_clock(options, Credentials::none(), Arc::new(VirtualClock::default())).expect("a client");
    // Never silent for long, and 10 bytes a second where 64 are asked for.
    sandbox.fault(Fault::always("", FaultAction::Drip(1, Duration::from_millis(100))));
    let address = format!("{}/arcgis/rest/services/World/MapServer", sandbox.url());
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let to = dir.path().join("file");
    let words = client.json(&ServiceCall::get(&address).expect("a url")).await.map(drop);
    let picture = format!("{}/arcgis/rest/services/World/MapServer/tile/0/0/0", sandbox.url());
    let file = Download { url: &picture, to: &to, presigned: false, limit: 1 << 20, secrets: &Default::default() };
    let file = client.download(file, |_, _| {}).await.map(drop);
    for (what, end) in [("words", words), ("a file", file)] {
        let failure = end.expect_err(what);
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Network, FailureKind::TimedOut), "{what}: {failure}");
        assert!(failure.message.contains("less than 64 bytes a second"), "{what}: {failure}");
        assert_eq!(failure.attempts, 2, "{what}");
    }
    assert!(!to.exists());
}
