//! One judgement: what a job calls complete, a deep look at its package calls complete; what is damaged costs its layer only.

use crate::support::{Bench, area, run_to_end};
use async_trait::async_trait;
use offmap::exporters::TilePackageReader;
use offmap::formats::containers::Reading;
use offmap::packager::{MobileMapPackage, MobileMapPackager};
use offmap::{
    ContainerReader, Contents, EarlierPackage, Engine, ExportState, Failure, FailureKind, FailureOwner,
    GenerateOfflineMapJob, GenerateOfflineMapResult, LayerOutcome, OfflineMapTask, PackRequest, Packager, Packed, hex,
    verify_deep,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

fn layer<'a>(layers: &'a [LayerOutcome], id: &str) -> &'a LayerOutcome {
    layers.iter().find(|l| l.id == id).expect("a layer")
}

/// Where a layer's data are in a package.
fn data_of(package: &Path, id: &str) -> String {
    let package = MobileMapPackage::open(package).expect("opens");
    let own = package.maps()[0].layers.iter().find(|l| l.id == id).and_then(|l| l.data.clone());
    own.expect("data").path
}

/// Makes the first so many pictures of a tile package rubbish.
fn spoil(file: &Path, tiles: usize) {
    let mut bytes = std::fs::read(file).expect("reads");
    let pictures: Vec<usize> = bytes.windows(4).enumerate().filter(|(_, w)| *w == b"\x89PNG").map(|(at, _)| at).collect();
    // The first one is the package's thumbnail.
    pictures.iter().skip(1).take(tiles).for_each(|at| bytes[*at] = 0);
    std::fs::remove_file(file).expect("removes");
    std::fs::write(file, bytes).expect("writes");
}

/// Cuts every photo of the places to ten bytes.
fn cut_photos(file: &Path) {
    let connection = Connection::open(file).expect("opens");
    let sql = "PRAGMA journal_mode=DELETE; UPDATE Places__ATTACH SET DATA = substr(DATA, 1, 10)";
    connection.execute_batch(sql).expect("cuts");
}

/// Writes the manifest anew for a file that was changed: a look at hashes is deceived.
fn correct(package: &Path, name: &str) {
    let opened = MobileMapPackage::open(package).expect("opens");
    let mut manifest = opened.manifest().expect("a manifest").expect("a good one").clone();
    let bytes = std::fs::read(package.join(name)).expect("reads");
    for file in manifest.files.iter_mut().filter(|f| f.path == name) {
        (file.bytes, file.sha256) = (bytes.len() as u64, hex(Sha256::digest(&bytes)));
    }
    std::fs::write(package.join("offmap/manifest.json"), manifest.to_bytes().expect("writes")).expect("writes");
}

async fn take_to(bench: &Bench, destination: PathBuf) -> GenerateOfflineMapResult {
    let job = job_of(&bench.task(FIELD_MAP).await, destination);
    run_to_end(&job).await.0.expect("a package")
}

fn job_of(task: &OfflineMapTask, destination: PathBuf) -> GenerateOfflineMapJob {
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    task.generate_offline_map(parameters, Default::default(), destination)
}

#[tokio::test]
async fn a_layer_whose_tiles_came_damaged_fails_and_costs_only_itself() {
    let bench = Bench::new().await;
    let good = bench.take(FIELD_MAP).await;
    let tiles = good.package.join(data_of(&good.package, "world"));
    spoil(&tiles, 2);
    bench.sandbox.fault(Fault::always(".tpkx", FaultAction::Replace(std::fs::read(&tiles).expect("reads"))));
    let result = take_to(&bench, bench.dir.path().join("second")).await;
    let world = layer(&result.layers, "world");
    let failure = world.failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Corrupt), "{failure}");
    assert_eq!(failure.message.matches("is no tile").count(), 2, "each is named: {failure}");
    assert!(result.layers.iter().all(|l| l.id == "world" || l.state == ExportState::Succeeded), "{:?}", result.layers);
    let found = verify_deep(&result.package).expect("verifies");
    assert!(found.ok && found.complete == Some(false) && !result.is_complete(), "{found:?}");
    assert!(found.missing.iter().any(|w| w.starts_with("World: the layer is missing: ")), "{:?}", found.missing);
}

#[tokio::test]
async fn attachments_that_came_cut_short_fail_their_layer_and_no_other() {
    let bench = Bench::new().await;
    let good = bench.take(FIELD_MAP).await;
    let replica = good.package.join(data_of(&good.package, "places"));
    cut_photos(&replica);
    let cut = FaultAction::Replace(std::fs::read(&replica).expect("reads"));
    // Every replica of this run is that one; the layers of other services have no table in it.
    bench.sandbox.fault(Fault::always(".geodatabase", cut));
    let result = take_to(&bench, bench.dir.path().join("second")).await;
    let failure = layer(&result.layers, "places").failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Corrupt), "{failure}");
    assert!(failure.message.contains("has 10 bytes, its table says "), "{failure}");
    assert_eq!(layer(&result.layers, "measurements").state, ExportState::Succeeded, "its sibling in the replica");
    assert!(verify_deep(&result.package).expect("verifies").ok);
}

#[tokio::test]
async fn a_deep_look_names_each_damaged_tile_and_each_attachment_that_is_cut() {
    let bench = Bench::new().await;
    let result = bench.take(FIELD_MAP).await;
    let (tiles, replica) = (data_of(&result.package, "world"), data_of(&result.package, "places"));
    spoil(&result.package.join(&tiles), 3);
    cut_photos(&result.package.join(&replica));
    let named = |found: &offmap::packager::Verification, words: &str| {
        found.problems.iter().filter(|p| p.what.contains(words)).count() as u64
    };
    let photos = layer(&result.layers, "places").contents.attachments.expect("photos");
    for is_corrected in [false, true] {
        if is_corrected {
            [&tiles, &replica].into_iter().for_each(|name| correct(&result.package, name));
            assert!(offmap::packager::verify(&result.package).expect("verifies").ok, "hashes say nothing");
        }
        let found = verify_deep(&result.package).expect("verifies");
        assert_eq!((named(&found, "is no tile"), found.ok), (3, false), "{:?}", found.problems);
        assert_eq!(named(&found, "has 10 bytes, its table says "), photos, "{:?}", found.problems);
    }
}

#[tokio::test]
async fn a_view_in_the_place_of_an_attachment_table_is_no_table() {
    let bench = Bench::new().await;
    let result = bench.take(FIELD_MAP).await;
    let replica = data_of(&result.package, "places");
    let connection = Connection::open(result.package.join(&replica)).expect("opens");
    let sql = "PRAGMA journal_mode=DELETE; ALTER TABLE Places__ATTACH RENAME TO theirs;
        CREATE VIEW Places__ATTACH AS SELECT * FROM theirs";
    connection.execute_batch(sql).expect("changes");
    drop(connection);
    correct(&result.package, &replica);
    let found = verify_deep(&result.package).expect("verifies");
    assert!(found.problems.iter().any(|p| p.what.contains("`places__attach` is no ordinary table")), "{found:?}");
}

#[tokio::test]
async fn a_package_that_is_damaged_inside_is_completed_by_fetching_the_layer_again() {
    let bench = Bench::new().await;
    let result = bench.take(FIELD_MAP).await;
    let tiles = data_of(&result.package, "world");
    spoil(&result.package.join(&tiles), 1);
    correct(&result.package, &tiles);
    // What is there is judged, not what its manifest says of it.
    let left = GenerateOfflineMapJob::resume(&bench.engine, &result.package).await.expect("a job");
    let seen = run_to_end(&left).await.0.expect("a package");
    assert!(!seen.is_complete(), "{:?}", seen.layers);
    assert_eq!(layer(&seen.layers, "world").failure.as_ref().map(|f| f.kind), Some(FailureKind::Corrupt));
    let job = GenerateOfflineMapJob::complete(&bench.engine, &result.package).await.expect("a job");
    let completed = run_to_end(&job).await.0.expect("a package");
    assert!(completed.is_complete(), "{:?}", completed.layers);
    let found = verify_deep(&completed.package).expect("verifies");
    assert!(found.ok && found.complete == Some(true), "{found:?}");
}

/// Changes one byte in the middle of a file, which no reader of tiles can see.
fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).expect("reads");
    let middle = bytes.windows(4).position(|w| w == b"IDAT").expect("a picture") + 8;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).expect("writes");
}

/// What becomes of a file.
type Damage = fn(&Path);

/// A packager whose disk damages the tiles, after they were judged.
#[derive(Debug)]
struct BadDisk(Damage);

#[async_trait]
impl Packager for BadDisk {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        MobileMapPackager.check_destination(destination)
    }

    fn read_package(&self, package: &Path) -> Result<EarlierPackage, Failure> {
        MobileMapPackager.read_package(package)
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        let tiles = request.artifacts.iter().find(|a| a.artifact.files.iter().any(|f| f.extension == "tpkx"));
        let tiles = tiles.expect("a tile package");
        (self.0)(&tiles.work_dir.join(&tiles.artifact.files[0].path));
        MobileMapPackager.pack(request, report, cancel).await
    }
}

#[tokio::test]
async fn a_package_that_does_not_verify_is_not_put_in_place_and_its_job_goes_on() {
    let damages: [(Damage, &str); 2] = [(|file| spoil(file, 1), "is no tile"), (flip, "when it was exported")];
    for (damage, expected) in damages {
        let bench = Bench::new().await;
        let engine = offmap::exporters::register(Engine::builder(BadDisk(damage)), &bench.client).expect("registers");
        let engine = engine.start().expect("starts");
        let source = offmap::arcgis::portal::read_item(&bench.client, &bench.sandbox.portal_url(), FIELD_MAP).await;
        let job = job_of(&OfflineMapTask::new(&engine, source.expect("a map")), bench.destination());
        let error = run_to_end(&job).await.0.expect_err("it does not verify");
        assert_eq!((error.failure.owner, error.failure.kind), (FailureOwner::Storage, FailureKind::Corrupt), "{error}");
        assert!(error.failure.message.contains(expected), "{error}");
        assert!(error.can_resume && !bench.destination().exists(), "{error}");
        let job = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
        let result = run_to_end(&job).await.0.expect("a package");
        let found = verify_deep(&result.package).expect("verifies");
        assert!(result.is_complete() && found.ok && found.complete == Some(true), "{found:?} {:?}", result.layers);
    }
}

/// Counts how often tile packages are read.
#[derive(Debug)]
struct CountingReader(Arc<AtomicUsize>);

impl ContainerReader for CountingReader {
    fn extensions(&self) -> &'static [&'static str] {
        &["tpkx"]
    }

    fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
        self.0.fetch_add(1, Ordering::SeqCst);
        TilePackageReader.read(path, reading)
    }
}

#[tokio::test]
async fn tiles_that_were_read_after_their_export_are_read_once_more_only_if_their_bytes_changed() {
    for (damage, expected) in [((|_| {}) as Damage, 1), (|file| spoil(file, 1), 2)] {
        let bench = Bench::new().await;
        let reads = Arc::new(AtomicUsize::new(0));
        let engine = offmap::exporters::register(Engine::builder(BadDisk(damage)), &bench.client).expect("registers");
        let engine = engine.container_reader(CountingReader(Arc::clone(&reads))).start().expect("starts");
        let source = offmap::arcgis::portal::read_item(&bench.client, &bench.sandbox.portal_url(), FIELD_MAP).await;
        let job = job_of(&OfflineMapTask::new(&engine, source.expect("a map")), bench.destination());
        assert_eq!(run_to_end(&job).await.0.is_ok(), expected == 1);
        assert_eq!(reads.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn an_answer_that_counts_nothing_is_not_counted_and_no_zero() {
    let bench = Bench::new().await;
    let good = bench.take(FIELD_MAP).await;
    let replica = good.package.join(data_of(&good.package, "places"));
    let sql = "PRAGMA journal_mode=DELETE; DELETE FROM Places__ATTACH";
    Connection::open(&replica).expect("opens").execute_batch(sql).expect("deletes");
    bench.sandbox.fault(Fault::always(".geodatabase", FaultAction::Replace(std::fs::read(&replica).expect("reads"))));
    // A proxy answers with an object of its own: no photo came and none was counted.
    bench.sandbox.fault(Fault::always("/queryattachments", FaultAction::Body(serde_json::json!({"status": "ok"}))));
    let result = take_to(&bench, bench.dir.path().join("second")).await;
    let places = layer(&result.layers, "places");
    assert_eq!((places.state, places.contents.attachments), (ExportState::Succeeded, Some(0)), "{places:?}");
    let said = |words: &[String]| words.iter().any(|w| w.starts_with("Places: attachments: "));
    let found = verify_deep(&result.package).expect("verifies");
    assert!(found.ok && said(&found.not_counted), "{found:?}");
}

#[tokio::test]
async fn zero_of_zero_is_taken_only_where_the_service_counts_zero() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    let mut parameters = task.default_parameters(area()).expect("parameters");
    // All the way around: once it was taken for the strip between its two ends.
    parameters.area_of_interest = offmap::AreaOfInterest::from_numbers("-180,43,180,52").expect("an area");
    parameters.max_scale = 100_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    let envelope =
        serde_json::json!({"xmin": -180, "ymin": 43, "xmax": 180, "ymax": 52, "spatialReference": {"wkid": 4326}});
    let url = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0/query", bench.sandbox.url());
    let call = offmap::arcgis::ServiceCall::post(&url).expect("a call").with("where", "1=1");
    let call = call.with("geometry", envelope).with("geometryType", "esriGeometryEnvelope").with("inSR", "4326");
    let counted = bench.client.json(&call.with("returnCountOnly", true)).await.expect("answers");
    let counted = counted["count"].as_u64().expect("a count");
    let places = layer(&result.layers, "places");
    assert!(
        counted > 0 && places.contents.got == counted && places.contents.planned == Some(counted),
        "{counted}: {places:?}"
    );
    assert!(
        result
            .layers
            .iter()
            .filter(|l| l.id == "world")
            .all(|l| l.contents.got > 0 && Some(l.contents.got) == l.contents.planned)
    );
}
