//! What a failed or killed job leaves is used: a finished unit whose bytes hold is not fetched again, and nothing that was kept goes
//! but by success or by the caller's word.

use crate::support::{Bench, area, files_below, run_to_end, scripted_engine, scripted_task};
use offmap::exporters::tile_cache::TileCacheExporter;
use offmap::packager::{MobileMapPackager, verify};
use offmap::testing::{Act, Script};
use offmap::{
    AreaOfInterest, Engine, ExportState, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapJob, JobError,
    Leftover, OfflineMapSource, OfflineMapTask, StatusMessage, WebMap,
};
use offmap_sandbox::{Fault, FaultAction, JobFault, STYLE_ITEM};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Requests so far whose path has this in it.
fn sent(bench: &Bench, part: &str) -> usize {
    bench.sandbox.requests().iter().filter(|r| r.path.contains(part)).count()
}

fn work_dir(bench: &Bench) -> PathBuf {
    bench.dir.path().join(".package.offmap")
}

fn service(bench: &Bench, path: &str) -> String {
    format!("{}/{path}", bench.sandbox.url())
}

/// A job for a map of some layers.
fn job(bench: &Bench, layers: &[Value], area: AreaOfInterest) -> GenerateOfflineMapJob {
    let map = WebMap::from_value(json!({"operationalLayers": layers, "version": "2.35"})).expect("a map");
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
    let mut parameters = task.default_parameters(area).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    task.generate_offline_map(parameters, Default::default(), bench.destination())
}

fn world(bench: &Bench) -> Value {
    json!({"id": "world", "title": "World", "layerType": "ArcGISTiledMapServiceLayer",
        "url": service(bench, "arcgis/rest/services/World/MapServer")})
}

fn borders(bench: &Bench) -> Value {
    json!({"id": "borders", "title": "Borders", "layerType": "ArcGISFeatureLayer",
        "url": service(bench, "arcgis/rest/services/Reference/FeatureServer/0")})
}

/// A vector tiled layer that is drawn by a style of a portal item.
fn streets(bench: &Bench, id: &str, query: &str) -> Value {
    let style = format!("portal/sharing/rest/content/items/{STYLE_ITEM}/resources/styles/root.json{query}");
    json!({"id": id, "title": id, "layerType": "VectorTileLayer", "styleUrl": service(bench, &style),
        "url": service(bench, "hosted/rest/services/Streets/VectorTileServer")})
}

/// Runs a job that fails and is kept.
async fn fails(job: &GenerateOfflineMapJob) -> JobError {
    job.keep_unfinished();
    let error = run_to_end(job).await.0.expect_err("it fails");
    assert!(error.can_resume, "{error:?}");
    error
}

/// Resumes the job to a complete package; answers its messages.
async fn resumes(bench: &Bench) -> Vec<StatusMessage> {
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let (result, messages) = run_to_end(&again).await;
    let result = result.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert!(verify(&result.package).expect("verifies").ok);
    assert!(!work_dir(bench).exists());
    messages
}

#[tokio::test]
async fn of_an_area_in_two_parts_the_part_that_came_is_not_fetched_again_when_the_other_one_failed() {
    let bench = Bench::new().await;
    let failed = FaultAction::Job(JobFault::Failed("no licence".into()));
    bench.sandbox.fault(Fault { skip: 1, ..Fault::always_at("world/mapserver/exporttiles", failed) });
    let fiji = AreaOfInterest::from_numbers("175,-22,-170,-10").expect("an area");
    fails(&job(&bench, &[world(&bench)], fiji)).await;
    assert_eq!(sent(&bench, ".tpkx"), 1, "the first part came");
    let submitted = || bench.sandbox.requests().iter().filter(|r| r.path.ends_with("/exportTiles")).count();
    assert_eq!(submitted(), 2);
    bench.sandbox.heal();
    resumes(&bench).await;
    assert_eq!((submitted(), sent(&bench, ".tpkx")), (3, 2), "only the second part is asked for and fetched");
}

#[tokio::test]
async fn a_part_whose_bytes_changed_meanwhile_is_fetched_again() {
    let bench = Bench::new().await;
    let failed = FaultAction::Job(JobFault::Failed("no licence".into()));
    bench.sandbox.fault(Fault { skip: 1, ..Fault::always_at("world/mapserver/exporttiles", failed) });
    let fiji = AreaOfInterest::from_numbers("175,-22,-170,-10").expect("an area");
    fails(&job(&bench, &[world(&bench)], fiji)).await;
    let part = files_below(&work_dir(&bench).join("tasks"));
    let part = part.iter().find(|p| p.ends_with("package.part1")).expect("the first part");
    let mut bytes = std::fs::read(part).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].iter_mut().for_each(|b| *b ^= 0xff);
    std::fs::write(part, bytes).expect("writes");
    bench.sandbox.heal();
    resumes(&bench).await;
    assert_eq!(sent(&bench, ".tpkx"), 3);
}

#[tokio::test]
async fn tiles_that_came_are_not_fetched_again_when_their_fonts_failed() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("/resources/fonts/", FaultAction::Status(500, "no fonts".into(), None)));
    fails(&job(&bench, &[streets(&bench, "streets", "")], area())).await;
    assert_eq!(sent(&bench, ".vtpk"), 1);
    bench.sandbox.heal();
    resumes(&bench).await;
    assert_eq!(sent(&bench, ".vtpk"), 1, "the tiles are there");
}

#[tokio::test]
async fn a_style_that_came_with_its_sprites_and_fonts_is_not_fetched_again_when_another_one_failed() {
    let bench = Bench::new().await;
    let layers = [streets(&bench, "day", ""), streets(&bench, "night", "?v=2")];
    let broken = FaultAction::Status(500, "no sprites".into(), None);
    bench.sandbox.fault(Fault { skip: 1, ..Fault::always("sprites/sprite.json", broken) });
    fails(&job(&bench, &layers, area())).await;
    let of_one = sent(&bench, "/resources/fonts/");
    assert!(of_one >= 256, "the fonts of the first style: {of_one}");
    bench.sandbox.heal();
    resumes(&bench).await;
    assert_eq!(sent(&bench, "/resources/fonts/"), 2 * of_one, "each style's fonts are asked for once");
    assert_eq!(sent(&bench, ".vtpk"), 1, "the tiles are there");
}

#[tokio::test]
async fn a_style_whose_fonts_were_damaged_on_the_disk_is_fetched_again() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("world/mapserver/exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = job(&bench, &[world(&bench), streets(&bench, "streets", "")], area());
    stop_when_done(&job, "streets").await;
    let fonts = files_below(&work_dir(&bench).join("tasks"));
    let font = fonts.iter().find(|p| p.extension().is_some_and(|e| e == "pbf")).expect("a font");
    std::fs::write(font, "").expect("writes");
    let before = sent(&bench, "/resources/fonts/");
    bench.sandbox.heal();
    bench.sandbox.unstick();
    resumes(&bench).await;
    assert_eq!((sent(&bench, "/resources/fonts/"), sent(&bench, ".vtpk")), (2 * before, 1), "fonts again, tiles not");
}

/// Cancels and keeps a job as soon as one of its layers is done.
async fn stop_when_done(job: &GenerateOfflineMapJob, layer: &str) {
    let mut status = job.status();
    job.start();
    while let Some(message) = status.next().await {
        if message.subject.id == layer && message.state == ExportState::Succeeded {
            job.cancel_and_keep();
        }
    }
    assert!(job.result().await.expect_err("cancelled").can_resume);
}

#[tokio::test]
async fn a_replica_that_came_stays_with_its_registration_when_its_task_failed_later() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("world/mapserver/exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = job(&bench, &[world(&bench), borders(&bench)], area());
    stop_when_done(&job, "borders").await;
    // Its file and hash are in the ledger; then something failed that is nobody's but the task's.
    let failure = Failure::new(FailureOwner::Source, FailureKind::ServiceError, FailureStage::Check, "the check failed");
    let ledger = rusqlite::Connection::open(work_dir(&bench).join("ledger.sqlite")).expect("opens");
    let changed = ledger.execute(
        "UPDATE task SET state = 'failed', outcome = ?1 WHERE exporter = 'geodatabase'",
        [serde_json::to_string(&failure).expect("JSON")],
    );
    assert_eq!(changed.expect("writes"), 1);
    drop(ledger);
    bench.sandbox.heal();
    bench.sandbox.unstick();
    resumes(&bench).await;
    let fetched = bench.sandbox.requests().iter().filter(|r| r.path.ends_with(".geodatabase")).count();
    assert_eq!((sent(&bench, "createReplica"), fetched), (1, 1), "asked for once, fetched once");
    assert_eq!((sent(&bench, "unRegisterReplica"), bench.sandbox.replicas("Reference")), (0, 1), "its replica stays");
}

#[tokio::test]
async fn a_replica_whose_download_broke_off_goes_on_and_is_not_made_again() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always(".geodatabase", FaultAction::Truncate(1000)));
    let error = fails(&job(&bench, &[borders(&bench)], area())).await;
    assert_eq!(error.failure.owner, FailureOwner::Network, "{error:?}");
    bench.sandbox.heal();
    let before = bench.sandbox.requests().len();
    resumes(&bench).await;
    assert_eq!((sent(&bench, "createReplica"), bench.sandbox.replicas("Reference")), (1, 1), "the job's result is fetched");
    let requests = bench.sandbox.requests();
    let mut files = requests.iter().skip(before).filter(|r| r.path.ends_with(".geodatabase"));
    assert!(files.next().is_some_and(|r| r.range.is_some()), "half a file is continued");
}

#[tokio::test]
async fn a_resume_that_cannot_even_begin_loses_nothing_that_was_kept() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("/resources/fonts/", FaultAction::Status(500, "no fonts".into(), None)));
    fails(&job(&bench, &[streets(&bench, "streets", "")], area())).await;
    let without = Engine::builder(MobileMapPackager).exporter(TileCacheExporter::new(bench.client.clone()));
    let without = without.expect("registers").start().expect("starts");
    let again = GenerateOfflineMapJob::resume(&without, bench.destination()).await.expect("a job");
    let error = run_to_end(&again).await.0.expect_err("nobody fetches vector tiles");
    assert!(error.can_resume && error.failure.message.contains("vector-tiles"), "{error:?}");
    assert!(Leftover::find(&bench.destination()).expect("finds").first().is_some_and(|l| l.can_resume));
    bench.sandbox.heal();
    resumes(&bench).await;
    assert_eq!(sent(&bench, ".vtpk"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_kept_can_be_opened_as_soon_as_the_job_has_ended() {
    let engine = scripted_engine();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let layers: Vec<String> = (0..20).map(|i| format!("layer{i}")).collect();
    let mut script: Vec<_> = layers.iter().map(|id| (id.as_str(), Script::of(Act::Succeed))).collect();
    script.push(("hangs", Script::of(Act::Hang)));
    let parameters = offmap::GenerateOfflineMapParameters::new(area());
    let task = scripted_task(&engine, &script);
    let mut job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
    for round in 0..50 {
        let mut status = job.start().status();
        while let Some(message) = status.next().await {
            // The hanging layer works by then: its ledger is in use until the very end.
            if message.progress.is_some() && message.subject.id == "hangs" {
                job.cancel_and_keep();
            }
        }
        let error = job.result().await.expect_err("it was cancelled");
        assert!(error.can_resume && error.failure.is_cancelled(), "round {round}: {error:?}");
        let again = GenerateOfflineMapJob::resume(&engine, dir.path().join("p")).await;
        job = again.unwrap_or_else(|failure| panic!("round {round}: {failure}"));
    }
    job.discard().await.expect("nothing holds it");
    assert_eq!(files_below(dir.path()), Vec::<PathBuf>::new());
    engine.shutdown().await.expect("shuts down");
}
