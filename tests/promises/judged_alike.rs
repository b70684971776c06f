//! One judgement: whatever becomes of a package's files after it was made, a job that finds it in place or completes it calls it
//! complete if and only if a deep look does; and what somebody changed in it is not destroyed.

use crate::support::{Bench, area, files_below, run_to_end};
use offmap::packager::MobileMapPackage;
use offmap::{
    FailureKind, FailureOwner, GenerateOfflineMapJob, GenerateOfflineMapResult, JobError, LayerNoteKind, OfflineMapSource,
    OfflineMapTask, WebMap, verify_deep,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault, STYLE_ITEM};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a layer's data are in a package.
fn data_of(package: &Path, id: &str) -> PathBuf {
    let opened = MobileMapPackage::open(package).expect("opens");
    let own = opened.maps()[0].layers.iter().find(|l| l.id == id).and_then(|l| l.data.clone());
    package.join(own.expect("data").path)
}

/// A file below a package whose name ends so.
fn ending(package: &Path, with: &str) -> PathBuf {
    let mut all = files_below(package);
    all.sort();
    all.into_iter().find(|p| p.to_string_lossy().ends_with(with)).expect("a file")
}

fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let place = to.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(place.parent().expect("a parent")).expect("makes");
        fs::copy(&file, place).expect("copies");
    }
}

/// All files with their bytes.
fn all(package: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = files_below(package);
    all.sort();
    all.into_iter().map(|p| (p.clone(), fs::read(p).expect("reads"))).collect()
}

/// Edits a replica as a field application does: a row changes, none comes or goes.
fn edit(replica: &Path) {
    let connection = rusqlite::Connection::open(replica).expect("opens");
    let sql = "PRAGMA journal_mode=DELETE; CREATE TABLE edits(what); INSERT INTO edits VALUES('mine')";
    connection.execute_batch(sql).expect("edits");
}

fn append(file: &Path) {
    let mut bytes = fs::read(file).expect("reads");
    bytes.push(b' ');
    fs::remove_file(file).expect("removes");
    fs::write(file, bytes).expect("writes");
}

async fn resumed(bench: &Bench, package: &Path) -> Result<GenerateOfflineMapResult, JobError> {
    run_to_end(&GenerateOfflineMapJob::resume(&bench.engine, package).await.expect("a job")).await.0
}

async fn completed(bench: &Bench, package: &Path) -> Result<GenerateOfflineMapResult, JobError> {
    run_to_end(&GenerateOfflineMapJob::complete(&bench.engine, package).await.expect("a job")).await.0
}

fn is_complete(package: &Path) -> bool {
    let found = verify_deep(package).expect("verifies");
    found.ok && found.complete == Some(true)
}

type Damage = (&'static str, fn(&Path));

#[tokio::test]
async fn a_job_that_finds_its_package_calls_it_complete_if_and_only_if_a_deep_look_does() {
    let bench = Bench::new().await;
    let whole = bench.take(HOSTED_MAP).await.package;
    let damages: &[Damage] = &[
        ("nothing", |_| {}),
        ("a replica is gone", |p| fs::remove_file(ending(p, ".geodatabase")).expect("removes")),
        ("a replica was edited", |p| edit(&ending(p, ".geodatabase"))),
        ("raster tiles are gone", |p| fs::remove_file(ending(p, ".tpkx")).expect("removes")),
        ("vector tiles are gone", |p| fs::remove_file(ending(p, ".vtpk")).expect("removes")),
        ("a font is gone", |p| fs::remove_file(ending(p, ".pbf")).expect("removes")),
        ("a font was changed", |p| append(&ending(p, ".pbf"))),
        ("a sprite is gone", |p| fs::remove_file(ending(p, "sprite.json")).expect("removes")),
        ("the thumbnail is gone", |p| fs::remove_file(ending(p, "thumbnail.png")).expect("removes")),
        ("the item's document was changed", |p| append(&p.join("esriinfo/iteminfo.xml"))),
        ("the map was changed", |p| append(&ending(p, ".mmap"))),
        ("the job was changed", |p| append(&p.join("offmap/job.json"))),
        ("a file was added", |p| fs::write(p.join("notes.txt"), "mine").expect("writes")),
    ];
    for (n, (name, damage)) in damages.iter().enumerate() {
        let package = bench.dir.path().join(format!("copy-{n}"));
        copy(&whole, &package);
        damage(&package);
        let (expected, before) = (is_complete(&package), all(&package));
        assert_eq!(expected, *name == "nothing", "{name}");
        let seen = resumed(&bench, &package).await;
        assert_eq!(seen.as_ref().is_ok_and(GenerateOfflineMapResult::is_complete), expected, "{name}: {seen:?}");
        assert_eq!(all(&package), before, "{name}: a look changes nothing");
        // Completing it: what somebody changed or added stays and is named, what is gone of a layer is fetched again.
        let done = completed(&bench, &package).await;
        let is_whole = done.as_ref().is_ok_and(GenerateOfflineMapResult::is_complete);
        assert_eq!(is_whole, is_complete(&package), "{name}: {done:?}");
        match done {
            Ok(_) => assert!(is_whole && (expected || name.ends_with("gone")), "{name}"),
            Err(error) => {
                assert_eq!(all(&package), before, "{name}");
                assert!(error.failure.message.contains("stays as it is"), "{name}: {error}");
                let layers_own = ["replica is", "tiles are", "font is", "sprite is"].iter().any(|w| name.contains(w));
                assert!(!layers_own, "{name}: fetched again, {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_replica_that_was_edited_in_the_field_is_named_though_no_layer_is_missing() {
    let bench = Bench::new().await;
    let package = bench.take(FIELD_MAP).await.package;
    let replica = data_of(&package, "places");
    edit(&replica);
    let before = all(&package);
    let failure = completed(&bench, &package).await.expect_err("is refused").failure;
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Caller, FailureKind::DestinationNotUsable), "{failure}");
    let name = replica.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(failure.message.contains(&name) && failure.message.contains("was changed since it was made"), "{failure}");
    assert_eq!(all(&package), before);
}

#[tokio::test]
async fn a_package_that_is_edited_while_its_completing_was_interrupted_is_not_replaced() {
    let bench = Bench::new().await;
    let failed = FaultAction::Job(JobFault::Failed("no licence".into()));
    bench.sandbox.fault(Fault::always("world/mapserver/exporttiles", failed));
    let package = bench.take(FIELD_MAP).await.package;
    bench.sandbox.heal();
    bench.sandbox.fault(Fault::always("world/mapserver/exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = GenerateOfflineMapJob::complete(&bench.engine, &package).await.expect("a job");
    let mut status = job.status();
    job.start();
    while let Some(message) = status.next().await {
        if message.subject.id == "world" && message.message.is_some() {
            job.cancel_and_keep();
        }
    }
    assert!(job.result().await.expect_err("cancelled").can_resume);
    // As an application that saves by renaming: the work directory keeps the old bytes.
    let replica = data_of(&package, "places");
    let saved = replica.with_extension("saved");
    fs::copy(&replica, &saved).expect("copies");
    edit(&saved);
    fs::rename(&saved, &replica).expect("renames");
    let before = all(&package);
    bench.sandbox.heal();
    bench.sandbox.unstick();
    let error = resumed(&bench, &package).await.expect_err("is refused");
    assert!(error.failure.message.contains("was changed since it was made"), "{error}");
    assert_eq!(all(&package), before, "the edits are there");
}

#[tokio::test]
async fn a_style_whose_gaps_nobody_knows_any_more_is_fetched_again_and_they_are_told() {
    for spoiled in ["DELETE FROM note WHERE key = 'leftOut'", "UPDATE note SET value = '{' WHERE key = 'leftOut'"] {
        let bench = Bench::new().await;
        bench.sandbox.fault(Fault::always("/resources/fonts/", FaultAction::Status(404, "no such font".into(), None)));
        bench.sandbox.fault(Fault::always("world/mapserver/exporttiles", FaultAction::Job(JobFault::Stuck)));
        let at = |path: &str| format!("{}/{path}", bench.sandbox.url());
        let style = at(&format!("portal/sharing/rest/content/items/{STYLE_ITEM}/resources/styles/root.json"));
        let map = json!({"version": "2.35", "operationalLayers": [
            {"id": "world", "title": "World", "layerType": "ArcGISTiledMapServiceLayer",
                "url": at("arcgis/rest/services/World/MapServer")},
            {"id": "streets", "title": "Streets", "layerType": "VectorTileLayer", "styleUrl": style,
                "url": at("hosted/rest/services/Streets/VectorTileServer")}]});
        let map = WebMap::from_value(map).expect("a map");
        let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
        let mut parameters = task.default_parameters(area()).expect("parameters");
        parameters.max_scale = 10_000_000.0;
        let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
        let mut status = job.status();
        job.start();
        while let Some(message) = status.next().await {
            if message.subject.id == "streets" && message.state.is_terminal() {
                job.cancel_and_keep();
            }
        }
        assert!(job.result().await.expect_err("cancelled").can_resume);
        let ledger = rusqlite::Connection::open(bench.dir.path().join(".package.offmap/ledger.sqlite")).expect("opens");
        assert_eq!(ledger.execute(spoiled, []).expect("changes"), 1);
        // The task was interrupted after its style, and before its end.
        ledger
            .execute("UPDATE task SET state = 'started', outcome = NULL WHERE exporter = 'vector-tiles'", [])
            .expect("changes");
        drop(ledger);
        bench.sandbox.heal();
        bench.sandbox.unstick();
        bench.sandbox.fault(Fault::always("/resources/fonts/", FaultAction::Status(404, "no such font".into(), None)));
        let tiles = |bench: &Bench| bench.sandbox.requests().iter().filter(|r| r.path.contains(".vtpk")).count();
        let result = resumed(&bench, &bench.destination()).await.expect("a package");
        let streets = result.layers.iter().find(|l| l.id == "streets").expect("a layer");
        let reason = streets.contents.notes.iter().find(|n| n.kind == LayerNoteKind::Missing).expect("a note");
        assert!(reason.message.contains('('), "with the reason, which only a fetch knows: {reason:?}");
        assert!(!result.warnings.is_empty() || !streets.missing().is_empty());
        assert_eq!(tiles(&bench), 1, "the tiles are there");
        assert!(verify_deep(&result.package).expect("verifies").ok && !result.is_complete());
    }
}
