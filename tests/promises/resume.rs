//! Going on: after a cancel that keeps, when the server forgot, when the data changed, and with packages that lack layers.

use crate::support::{Bench, files_below, run_to_end};
use offmap::arcgis::ServiceCall;
use offmap::packager::{MobileMapPackage, MobileMapPackager, verify};
use offmap::{
    Engine, ExportState, Failure, FailureOwner, FailureStage, GenerateOfflineMapJob, Leftover, OfflineMapTask, PackRequest,
    Packager, Packed, ProgressUnit, StatusMessage, SubjectKind,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Requests so far whose path ends so.
fn sent(bench: &Bench, ending: &str) -> usize {
    bench.sandbox.requests().iter().filter(|r| r.path.ends_with(ending)).count()
}

fn work_dir(bench: &Bench) -> PathBuf {
    bench.dir.path().join(".package.offmap")
}

/// Runs a job until a message is the wished one, then cancels and keeps. The job is cancelled before the message is passed.
async fn stop_when(job: &GenerateOfflineMapJob, wished: impl Fn(&StatusMessage) -> bool) {
    let mut status = job.status();
    job.start();
    let mut stopped = false;
    while let Some(message) = status.next().await {
        if !stopped && wished(&message) {
            stopped = true;
            job.cancel_and_keep();
        }
    }
    let error = job.result().await.expect_err("cancelled");
    assert!(error.failure.is_cancelled() && error.can_resume, "{error:?}");
}

fn has_bytes(message: &StatusMessage) -> bool {
    message.progress.is_some_and(|p| p.unit == ProgressUnit::Bytes && p.completed > 20_000)
}

#[tokio::test]
async fn a_cancelled_job_that_is_kept_goes_on_where_it_stopped() {
    for item in [FIELD_MAP, HOSTED_MAP] {
        let bench = Bench::new().await;
        let slow = FaultAction::Drip(16 << 10, Duration::from_millis(3));
        for path in [".geodatabase", ".tpkx", ".vtpk"] {
            bench.sandbox.fault(Fault::always(path, slow.clone()));
        }
        let job = bench.job(item, |_| {}).await;
        stop_when(&job, |m| m.subject.id == "world" && has_bytes(m)).await;
        assert!(!bench.destination().exists() && work_dir(&bench).join("ledger.sqlite").exists());
        assert_eq!(bench.sandbox.cancelled_jobs(), 0, "nothing is rolled back");
        let left = Leftover::find(bench.dir.path()).expect("finds");
        assert!(left.len() == 1 && left[0].can_resume && !left[0].in_use && left[0].bytes > 20_000, "{left:?}");
        let text =
            files_below(&work_dir(&bench)).iter().map(|f| std::fs::read(f).unwrap_or_default()).collect::<Vec<_>>().concat();
        assert!(!String::from_utf8_lossy(&text).contains("token="), "no secret is kept");
        let before = sent(&bench, "createReplica") + sent(&bench, "exportTiles");
        bench.sandbox.heal();

        let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
        assert_eq!(again.id(), job.id());
        let result = run_to_end(&again).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        assert!(verify(&result.package).expect("verifies").ok);
        assert!(!work_dir(&bench).exists(), "a finished job leaves nothing beside");
        let after = sent(&bench, "createReplica") + sent(&bench, "exportTiles");
        assert!(after <= 4 && after >= before, "nothing is submitted twice: {before} {after}");
        assert!(bench.sandbox.requests().iter().any(|r| r.range.is_some()), "half a file is continued");
        assert_eq!((bench.sandbox.replicas("Fieldwork"), bench.sandbox.replicas("Reference")), (1, 1));
        let done = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
        assert_eq!(run_to_end(&done).await.0.expect("a package").layers.len(), result.layers.len(), "nothing is left to do");
    }
}

#[tokio::test]
async fn a_new_job_does_not_throw_away_what_an_unfinished_one_left() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    stop_when(&job, |m| m.subject.id == "places" && m.state == ExportState::Succeeded).await;
    let error = run_to_end(&bench.job(FIELD_MAP, |_| {}).await).await.0.expect_err("refused");
    assert_eq!(error.failure.owner, FailureOwner::Caller);
    assert!(error.failure.message.contains("offmap resume"), "{}", error.failure);
    let left = Leftover::find(&bench.destination()).expect("finds");
    left[0].remove(&MobileMapPackager).expect("removes");
    assert!(!work_dir(&bench).exists());
    let nothing = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect_err("nothing");
    assert!(nothing.message.contains("no unfinished job"), "{nothing}");
}

#[tokio::test]
async fn a_server_job_that_still_runs_is_picked_up_and_one_that_was_forgotten_is_submitted_again_once() {
    for (times, whole) in [(0, true), (1, true), (99, false)] {
        let bench = Bench::new().await;
        let stuck = Fault::times("fieldwork/featureserver/createreplica", 1, FaultAction::Job(JobFault::Stuck));
        bench.sandbox.fault(stuck);
        let job = bench.job(FIELD_MAP, |p| p.include_basemap = false).await;
        stop_when(&job, |m| m.subject.id == "countries" && m.message.as_deref() == Some("Pending")).await;
        bench.sandbox.heal();
        bench.sandbox.unstick();
        // The service has registered the first job's replica; what it registers later nobody can unregister.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while bench.sandbox.replicas("Fieldwork") == 0 {
            assert!(tokio::time::Instant::now() < deadline, "no replica");
            tokio::task::yield_now().await;
        }
        if times > 0 {
            let gone = json!({"error": {"code": 400, "message": "Job not found.", "details": []}});
            bench.sandbox.fault(Fault::times("fieldwork/featureserver/jobs", times, FaultAction::Body(gone)));
        }
        let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
        let (result, events) = run_to_end(&again).await;
        let result = result.expect("a package");
        assert_eq!(!result.has_errors(), whole, "{:?}", result.layers);
        assert_eq!(sent(&bench, "Fieldwork/FeatureServer/createReplica"), if times == 0 { 1 } else { 2 });
        let said = events.iter().filter_map(|m| m.message.as_deref()).any(|m| m.contains("submitted once more"));
        assert_eq!(said, times > 0);
        assert!(!whole || bench.sandbox.replicas("Fieldwork") == 1, "one replica");
    }
}

#[tokio::test]
async fn data_that_changed_since_are_fetched_again_and_nothing_else() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    let done = std::sync::Mutex::new(std::collections::HashSet::new());
    stop_when(&job, |m| {
        let mut done = done.lock().expect("a lock");
        if m.state == ExportState::Succeeded {
            done.insert(m.subject.id.clone());
        }
        ["places", "world", "streets"].iter().all(|id| done.contains(*id))
    })
    .await;
    let root = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", bench.sandbox.url());
    let mut edited = bench.client.json(&ServiceCall::get(&root).expect("a url")).await.expect("a description");
    edited["editingInfo"]["lastEditDate"] = json!(1_795_000_000_000_i64);
    bench.sandbox.heal();
    bench.sandbox.unstick();
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/0", FaultAction::Body(edited)));
    // The description is asked, the query is not broken by it.
    bench.sandbox.fault_first(Fault::always("fieldwork/featureserver/0/query", FaultAction::Delay(Duration::ZERO)));
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let (result, events) = run_to_end(&again).await;
    let result = result.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert!(events.iter().filter_map(|m| m.message.as_deref()).any(|m| m.contains("changed since")), "it says so");
    assert_eq!(sent(&bench, "Fieldwork/FeatureServer/createReplica"), 2, "what changed");
    assert_eq!(sent(&bench, "exportTiles"), 2, "and nothing else");
    assert_eq!(bench.sandbox.replicas("Fieldwork"), 1, "the first replica was unregistered");
}

#[tokio::test]
async fn a_second_resume_is_told_who_holds_the_job() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("createreplica", FaultAction::Job(JobFault::Stuck)));
    let job = bench.job(FIELD_MAP, |p| p.include_basemap = false).await;
    let mut status = job.start().status();
    while let Some(message) = status.next().await {
        if message.message.as_deref() == Some("Pending") {
            break;
        }
    }
    let failure = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect_err("held");
    assert!(failure.message.contains(&format!("process {}", std::process::id())), "{failure}");
    assert!(Leftover::find(bench.dir.path()).expect("finds")[0].in_use);
    job.cancel();
    assert!(job.result().await.is_err());
}

#[tokio::test]
async fn only_what_failed_is_fetched_when_a_package_is_completed() {
    let bench = Bench::new().await;
    let failed = FaultAction::Job(JobFault::Failed("Error in creating runtime geodatabase.".into()));
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", failed));
    let first = bench.take(FIELD_MAP).await;
    assert_eq!(first.layer_errors().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["borders"]);
    let package = MobileMapPackage::open(&first.package).expect("opens");
    let manifest = |p: &MobileMapPackage| p.manifest().expect("a manifest").expect("a good one").clone();
    let hash = |id: &str, p: &MobileMapPackage| {
        let manifest = manifest(p);
        let file = manifest.layers.iter().find(|l| l.id == id).and_then(|l| l.file.clone()).expect("a file");
        manifest.files.iter().find(|f| f.path == file).map(|f| f.sha256.clone())
    };
    let (places, world) = (hash("places", &package), hash("world", &package));
    // Still broken: the package stays as it was.
    let again = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("the same package");
    assert_eq!(result.layer_errors().count(), 1);
    bench.sandbox.heal();
    let before = (sent(&bench, "exportTiles"), sent(&bench, "Fieldwork/FeatureServer/createReplica"));
    let again = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert_eq!((sent(&bench, "exportTiles"), sent(&bench, "Fieldwork/FeatureServer/createReplica")), before);
    let package = MobileMapPackage::open(&result.package).expect("opens");
    assert!(manifest(&package).complete && verify(&result.package).expect("verifies").ok);
    assert_eq!((hash("places", &package), hash("world", &package)), (places, world), "what was there is the same");
    assert!(hash("borders", &package).is_some());
    assert_eq!((bench.sandbox.replicas("Fieldwork"), bench.sandbox.replicas("Reference")), (1, 1));
    let beside: Vec<_> = std::fs::read_dir(bench.dir.path()).expect("lists").map(|e| e.expect("entry").path()).collect();
    assert_eq!(beside, [bench.destination()]);
    let whole = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    let requests = bench.sandbox.requests().len();
    let left = run_to_end(&whole).await.0.expect("as it is");
    assert!(!left.has_errors());
    assert_eq!(left.bytes, result.bytes, "the same package has the same size");
    assert_eq!(bench.sandbox.requests().len(), requests, "a whole package is left alone");
}

/// A packager whose disk fills up when half of the package is staged.
#[derive(Debug)]
struct SmallDisk;

#[async_trait::async_trait]
impl Packager for SmallDisk {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        MobileMapPackager.check_destination(destination)
    }

    async fn pack(
        &self,
        request: PackRequest,
        _: Arc<dyn Fn(u64, u64) + Send + Sync>,
        _: CancellationToken,
    ) -> Result<Packed, Failure> {
        std::fs::create_dir_all(request.staging_dir.join("p13")).expect("makes");
        std::fs::write(request.staging_dir.join("p13/half"), "half").expect("writes");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        Err(Failure::io(FailureStage::Package, "cannot write the map", &full))
    }
}

#[tokio::test]
async fn a_disk_that_is_full_while_packing_leaves_a_job_that_goes_on_without_fetching_anything() {
    let bench = Bench::new().await;
    let small =
        offmap::exporters::register(Engine::builder(SmallDisk), &bench.client).expect("exporters").start().expect("starts");
    let source = bench.task(FIELD_MAP).await.source().clone();
    let task = OfflineMapTask::new(&small, source);
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 20_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let error = run_to_end(&job).await.0.expect_err("full");
    assert_eq!((error.failure.owner, error.can_resume), (FailureOwner::Storage, true), "{error:?}");
    assert!(!bench.destination().exists());
    assert_eq!(bench.sandbox.replicas("Fieldwork"), 1, "nothing is rolled back");
    let files = |r: &offmap_sandbox::LoggedRequest| [".geodatabase", ".tpkx", ".vtpk"].iter().any(|e| r.path.ends_with(e));
    let fetched = bench.sandbox.requests().iter().filter(|r| files(r)).count();
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors() && verify(&result.package).expect("verifies").ok);
    assert_eq!(bench.sandbox.requests().iter().filter(|r| files(r)).count(), fetched, "no file is fetched again");
    assert_eq!(sent(&bench, "createReplica") + sent(&bench, "exportTiles"), 4);
}

/// A job that completes a package and died between the two renames.
async fn between_two_renames() -> Bench {
    let bench = Bench::new().await;
    let failed = FaultAction::Job(JobFault::Failed("Error in creating runtime geodatabase.".into()));
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", failed));
    let result = run_to_end(&bench.job(FIELD_MAP, |p| p.include_basemap = false).await).await.0.expect("a package");
    bench.sandbox.heal();
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let job = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    stop_when(&job, |m| m.message.as_deref() == Some("Pending")).await;
    bench.sandbox.heal();
    bench.sandbox.unstick();
    std::fs::rename(&result.package, work_dir(&bench).join("replaced")).expect("moves");
    bench
}

#[tokio::test]
async fn clean_brings_back_a_package_that_was_being_replaced() {
    let bench = between_two_renames().await;
    let left = Leftover::find(bench.dir.path()).expect("finds");
    left[0].remove(&MobileMapPackager).expect("removes");
    assert!(verify(&bench.destination()).expect("verifies").ok && !work_dir(&bench).exists());
}

#[tokio::test]
async fn a_job_that_died_while_it_replaced_a_package_goes_on() {
    let bench = between_two_renames().await;
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors() && verify(&result.package).expect("verifies").ok, "{:?}", result.layers);
    assert!(!work_dir(&bench).exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_work_directory_is_for_its_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    stop_when(&job, |m| m.subject.id == "places" && m.state == ExportState::Succeeded).await;
    let mode = std::fs::symlink_metadata(work_dir(&bench)).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_job_whose_services_could_not_be_reached_plans_anew_when_it_goes_on() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("/rest/services/", FaultAction::Reset));
    let job = bench.job(FIELD_MAP, |p| p.include_basemap = false).await;
    job.keep_unfinished();
    let error = run_to_end(&job).await.0.expect_err("nothing can be reached");
    assert!(error.can_resume, "{error:?}");
    bench.sandbox.heal();
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
}

#[tokio::test]
async fn a_finished_file_that_was_changed_meanwhile_is_fetched_again_and_never_packed() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    stop_when(&job, |m| m.subject.id == "world" && m.state == ExportState::Succeeded).await;
    let is_tiles = |path: &PathBuf| path.extension().is_some_and(|e| e == "tpkx") || path.ends_with("package");
    let tiles = crate::support::files_below(&work_dir(&bench).join("tasks")).into_iter().find(is_tiles).expect("the tiles");
    let mut bytes = std::fs::read(&tiles).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].iter_mut().for_each(|b| *b ^= 0xff);
    std::fs::write(&tiles, bytes).expect("writes");
    bench.sandbox.heal();
    bench.sandbox.unstick();
    let job = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let found = offmap::verify_deep(&result.package).expect("verifies");
    assert!(found.ok && found.complete == Some(true), "{found:?}");
    let exports = bench.sandbox.requests().iter().filter(|r| r.path.ends_with("World/MapServer/exportTiles")).count();
    assert_eq!(exports, 2, "it is exported again");
}

#[tokio::test]
async fn a_plan_of_which_nothing_was_begun_is_made_anew_when_its_job_goes_on() {
    let bench = Bench::new().await;
    let absurd = FaultAction::Body(serde_json::json!({"count": 900_000_000}));
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/2/query", absurd));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    let Err(error) = run_to_end(&job).await.0 else {
        eprintln!("this disk has room for 180 GB");
        return;
    };
    assert!(error.can_resume && error.failure.message.contains("too full"), "{error:?}");
    // A file under its final name is trusted, so what an exporter made before anything was noted must go with the plan.
    let left = work_dir(&bench).join("tasks/000-tile-cache/world.tpkx");
    std::fs::create_dir_all(left.parent().expect("a folder")).expect("makes");
    std::fs::write(&left, "of another plan").expect("writes");
    bench.sandbox.heal();
    let job = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let mut status = job.status();
    job.start();
    let mut is_begun = false;
    while let Some(message) = status.next().await {
        if message.subject.kind == SubjectKind::Layer && message.state == ExportState::NotStarted {
            is_begun = true;
            assert!(!std::fs::read(&left).is_ok_and(|bytes| bytes == b"of another plan"), "it is gone before a task begins");
        }
    }
    let result = job.result().await.expect("a package");
    assert!(is_begun && !result.has_errors(), "{:?}", result.layers);
}
