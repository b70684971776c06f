//! The fault matrix: every step of every exporter, of the portal and of the packager, under every fault.
//!
//! The faults of the net and how their cells must end stand in `offmap::testing::fault_rows`; here are the steps of the built-in
//! exporters, and the faults that only their files can have.

use crate::support::{Bench, area, quick_client, run_to_end};
use flate2::{Compression, write::GzEncoder};
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::packager::{MobileMapPackager, verify};
use offmap::testing::{FaultEnds, FaultMatrix, FaultRow, FaultStep, StepKind, VirtualClock, fault_names, fault_rows};
use offmap::{
    DirectDownload, Engine, Failure, FailureKind, FailureOwner, GenerateOfflineMapJob, OfflineMapSource, OfflineMapTask,
    PackRequest, Packager, Packed, WebMap,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, FaultyLayer, HOSTED_MAP, STYLE_ITEM, Sandbox, SandboxOptions};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The steps of a layer's way: part of the path, and what the step answers with.
pub(crate) fn steps(layer: &str) -> Vec<FaultStep> {
    use StepKind::{Description, File, PlainFile, State, Submit};
    let steps: &[(&str, StepKind)] = match layer {
        "replica" => &[
            ("reference/featureserver", Description),
            ("reference/featureserver/0", Description),
            ("reference/featureserver/0/query", Description),
            ("reference/featureserver/createreplica", Submit),
            ("reference/featureserver/jobs", State),
            (".geodatabase", File),
        ],
        "query" => &[
            ("opendatapbf/featureserver", Description),
            ("opendatapbf/featureserver/0", Description),
            ("opendatapbf/featureserver/0/query?returncountonly", Description),
            ("opendatapbf/featureserver/0/query?returnidsonly", Description),
            ("opendatapbf/featureserver/0/query?returntruecurves", Description),
            ("opendatapbf/featureserver/0/queryattachments", Description),
            ("/attachments/", PlainFile),
        ],
        "raster" => &[
            ("world/mapserver", Description),
            ("world/mapserver/exporttiles", Submit),
            ("exporttiles/jobs", State),
            ("out_service_url", Description),
            ("world.tpkx", File),
        ],
        "vector" => &[
            ("streets/vectortileserver", Description),
            ("streets/vectortileserver/exporttiles", Submit),
            ("vectortileserver/jobs", State),
            ("streets.vtpk", File),
        ],
        // Tile by tile, with the service's own style.
        "direct" => &[
            ("noexportstreets/vectortileserver", Description),
            ("noexportstreets/vectortileserver/tile/0/0/0", Description),
            ("noexportstreets/vectortileserver/resources/styles/root.json", Description),
            ("sprites/sprite.json", Description),
            ("fonts/sandbox regular", Description),
        ],
        // Pictures of a service without tiles.
        "drawn" => &[("dynamic/mapserver", Description), ("dynamic/mapserver/export", Description)],
        "hosted" => &[("world/mapserver/exporttiles", Submit), ("mapserver/jobs", State), ("world.tpkx", File)],
        _ => &[
            ("styles/root.json", Description),
            ("sprites/sprite.json", Description),
            ("fonts/sandbox regular", Description),
        ],
    };
    steps.iter().map(|(name, kind)| FaultStep::new(*name, *kind)).collect()
}

/// A zip of one entry.
fn zip_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).expect("an entry");
    zip.write_all(bytes).expect("writes");
    zip.finish().expect("a zip").into_inner()
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).expect("writes");
    gzip.finish().expect("gzip")
}

/// Large answers, made once for all tests: a document that is too large in an archive, and what inflates beyond every limit.
static OVERSIZED: LazyLock<Vec<u8>> = LazyLock::new(|| zip_of("root.json", &vec![b' '; 65 << 20]));
static BOMB_OF_SPACES: LazyLock<Vec<u8>> = LazyLock::new(|| gzip_of(&vec![b' '; 80 << 20]));
static BOMB_OF_ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| gzip_of(&vec![0; 80 << 20]));

/// Faults of the net, and of the files that only ArcGIS exporters download.
fn rows(sandbox: &Sandbox) -> Vec<FaultRow> {
    let corrupt = || FaultEnds::fails([(FailureOwner::Source, FailureKind::Corrupt)]);
    let file =
        |name: &str, bytes: Vec<u8>| FaultRow::always(name, &[StepKind::File], FaultAction::Replace(bytes), corrupt());
    let stored = |name: &str| zip_of(name, b"{}");
    // Readers want entries stored, so a deflated one is not even opened; what is left is a document that is too large. A replica is
    // no zip at all.
    let compressed =
        FaultEnds::fails([(FailureOwner::Source, FailureKind::NotSupported), (FailureOwner::Source, FailureKind::Corrupt)]);
    let mut deflated = stored("root.json");
    let directory = deflated.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory");
    // The method, in the entry's own head and in the directory.
    (deflated[8], deflated[directory + 10]) = (8, 8);
    let words = FaultEnds::fails([(FailureOwner::Source, FailureKind::InvalidAnswer)]);
    let mut rows = fault_rows(&format!("{}/elsewhere", sandbox.storage_url()));
    rows.extend([
        file("a SQLite file that is none", b"SQLite format 3\0 and rubbish".to_vec()),
        file("a zip that leaves its folder", stored("../../evil")),
        file("a zip without a package", stored("readme.txt")),
        FaultRow::always("a compressed package", &[StepKind::File], FaultAction::Replace(deflated), compressed),
        file("a zip with an oversized document", OVERSIZED.clone()),
        FaultRow::always("a gzip bomb", &[StepKind::Description], FaultAction::Gzip(BOMB_OF_SPACES.clone()), words),
        FaultRow::always("a gzip bomb", &[StepKind::File], FaultAction::Gzip(BOMB_OF_ZEROS.clone()), corrupt()),
    ]);
    rows
}

/// Cells that end otherwise than their rows say, and why.
fn other_ends(step: &FaultStep, row: &FaultRow) -> Option<FaultEnds> {
    // An empty object is a good index of no sprites.
    let no_sprites = row.name == fault_names::EMPTY_OBJECT && step.name.contains("sprite");
    // Photos are smaller than where the file is cut.
    let is_small = row.name == fault_names::CUT_SHORT && step.name.contains("attachments");
    (no_sprites || is_small).then(FaultEnds::complete)
}

/// The same for storage with signed addresses, which knows no tokens.
fn other_ends_of_storage(step: &FaultStep, row: &FaultRow) -> Option<FaultEnds> {
    (row.name == fault_names::INVALID_TOKEN_ONCE && step.kind == StepKind::File)
        .then(FaultEnds::default)
        .or_else(|| other_ends(step, row))
}

/// The map of one layer.
pub(crate) fn map_of(sandbox: &Sandbox, layer: &str) -> WebMap {
    let url = |folder: &str, path: &str| format!("{}/{folder}/rest/services/{path}", sandbox.url());
    let layer = match layer {
        "replica" => json!({"layerType": "ArcGISFeatureLayer", "url": url("arcgis", "Reference/FeatureServer/0")}),
        "query" => json!({"layerType": "ArcGISFeatureLayer", "url": url("arcgis", "OpenDataPbf/FeatureServer/0")}),
        "raster" => json!({"layerType": "ArcGISTiledMapServiceLayer", "url": url("arcgis", "World/MapServer")}),
        "vector" => json!({"layerType": "VectorTileLayer", "url": url("arcgis", "Streets/VectorTileServer")}),
        "direct" => json!({"layerType": "VectorTileLayer", "url": url("arcgis", "NoExportStreets/VectorTileServer")}),
        "drawn" => json!({"layerType": "ArcGISMapServiceLayer", "url": url("arcgis", "Dynamic/MapServer")}),
        "hosted" => json!({"layerType": "ArcGISTiledMapServiceLayer", "url": url("hosted", "World/MapServer")}),
        _ => json!({"layerType": "VectorTileLayer", "styleUrl":
            format!("{}/sharing/rest/content/items/{STYLE_ITEM}/resources/styles/root.json", sandbox.portal_url())}),
    };
    let mut layer = layer;
    layer["id"] = json!("it");
    WebMap::from_value(json!({"operationalLayers": [layer], "spatialReference": {"wkid": 102_100}})).expect("a map")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_replica_ends_rightly_under_every_fault() {
    every_cell("replica").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_rows_that_come_page_by_page_ends_rightly_under_every_fault() {
    every_cell("query").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_style_ends_rightly_under_every_fault() {
    every_cell("style").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_raster_tiles_ends_rightly_under_every_fault() {
    every_cell("raster").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_vector_tiles_ends_rightly_under_every_fault() {
    every_cell("vector").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_tiles_that_come_one_by_one_ends_rightly_under_every_fault() {
    every_cell("direct").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_tiles_that_are_drawn_ends_rightly_under_every_fault() {
    every_cell("drawn").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_hosted_tiles_ends_rightly_under_every_fault() {
    every_cell("hosted").await;
}

/// Cells that a layer has at least, those of silence at a state not counted.
const LEAST_CELLS: usize = 80;

async fn every_cell(layer: &str) {
    offmap_sandbox::prefer_memory();
    let is_hang = |row: &FaultRow| row.name == fault_names::HANG;
    // A job that cannot be asked for is waited for until its limit, and each silence takes a moment of the real time.
    let (hangs, others) = (Duration::from_mins(1), Duration::from_hours(1));
    let at_state = |row: FaultRow| FaultRow { kinds: vec![StepKind::State], ..row };
    let elsewhere = |mut row: FaultRow| {
        row.kinds.retain(|kind| *kind != StepKind::State);
        row
    };
    // Silences are waited for while the other cells are played, each at a sandbox of its own.
    let (at_jobs, silent, told) = tokio::join!(
        cells(layer, hangs, |rows| rows.into_iter().filter(is_hang).map(at_state).collect()),
        cells(layer, others, |rows| rows.into_iter().filter(is_hang).map(elsewhere).collect()),
        cells(layer, others, |rows| rows.into_iter().filter(|row| !is_hang(row)).collect()),
    );
    println!("{} cells of silence", at_jobs + silent);
    let cells = silent + told;
    // A way of two steps has fewer.
    let least = if layer == "drawn" { LEAST_CELLS / 2 } else { LEAST_CELLS };
    assert!(cells >= least, "{layer}: {cells} cells");
}

/// Plays the cells of some rows, where a job may take so long; how many there were.
async fn cells(layer: &str, job_timeout: Duration, chosen: impl FnOnce(Vec<FaultRow>) -> Vec<FaultRow>) -> usize {
    let options = SandboxOptions { secured: true, polls: 1, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).await.expect("a sandbox");
    let credentials = || {
        Credentials::user(&sandbox.portal_url(), offmap_sandbox::USER, offmap_sandbox::PASSWORD, "https://app")
            .expect("credentials")
    };
    let client = ArcGisClient::with_clock(
        // A silence is told after a moment. Polls are so many that the sandbox has time to draw.
        ClientOptions {
            poll_interval: Duration::from_secs(1),
            longest_poll_interval: Duration::from_secs(1),
            request_timeout: Duration::from_millis(1000),
            retry_time: Duration::from_secs(4),
            job_timeout,
            ..ClientOptions::default()
        },
        credentials(),
        Arc::new(VirtualClock::default()),
    )
    .expect("a client");
    let builder = offmap::with_defaults(&client).expect("exporters").clock(VirtualClock::default());
    let engine = builder.start().expect("starts");
    let rows = chosen(rows(&sandbox));
    let verified = |package: &Path| match verify(package) {
        Ok(verification) if verification.ok => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map_of(&sandbox, layer)));
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 250_000_000.0;
    match layer {
        "direct" => parameters.direct_download = DirectDownload::WhenNotExportable,
        "drawn" => parameters.draw_tiles = true,
        // Before the others: else the reason of a layer that cannot be had is that its service has no sync.
        "query" => parameters.direct_download = DirectDownload::Always,
        _ => {}
    }
    let other_ends = if layer == "hosted" { other_ends_of_storage } else { other_ends };
    let service = FaultyLayer { sandbox: &sandbox, steps: steps(layer), other_ends };
    let longest = Duration::from_secs(60);
    let matrix = FaultMatrix { task: &task, parameters, service: &service, rows: &rows, verify: &verified, longest };
    let report = matrix.run().await.expect("a directory");
    println!("{layer}: {} cells, {} wrong, {} leaked tokens", report.cells, report.wrong.len(), report.leaked_tokens);
    assert_eq!(report.leaked_tokens, 0, "no token at a foreign host");
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    report.cells
}

#[tokio::test]
async fn the_portal_s_steps_end_rightly_under_every_fault() {
    let bench = Bench::new().await;
    let client = quick_client(Credentials::none());
    let mut wrong = Vec::new();
    let mut cells = 0;
    for row in rows(&bench.sandbox).iter().filter(|r| r.kinds.contains(&StepKind::Description)) {
        for (step, item) in [("/data", FIELD_MAP), (HOSTED_MAP, HOSTED_MAP)] {
            cells += 1;
            bench.sandbox.heal();
            bench.sandbox.fault(Fault { times: row.times, ..Fault::always(step, row.action.clone()) });
            let read = portal::read_item(&client, &bench.sandbox.portal_url(), item).await;
            let ends = match row.name.as_str() {
                // Without credentials an old token is nobody's to renew.
                fault_names::INVALID_TOKEN_ONCE => {
                    FaultEnds::fails([(FailureOwner::Credentials, FailureKind::Unauthorized)])
                }
                // What is JSON and no web map is the caller's: the wrong item was named.
                fault_names::EMPTY_OBJECT => FaultEnds::fails([(FailureOwner::Caller, FailureKind::InvalidAnswer)]),
                fault_names::LIST if step == "/data" => {
                    FaultEnds::fails([(FailureOwner::Caller, FailureKind::InvalidAnswer)])
                }
                _ => row.ends.clone(),
            };
            let said = ends.judge(read.as_ref().err());
            wrong.extend(said.err().map(|words| format!("{} at {step}: {words}", row.name)));
        }
    }
    println!("portal: {cells} cells, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// When the disk plays its trick: before the packager begins, or when it has staged and hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    Hashing,
}

/// A packager whose disk plays a trick on it.
struct Tricked {
    moment: Moment,
    trick: fn(&PackRequest),
}

impl std::fmt::Debug for Tricked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tricked({:?})", self.moment)
    }
}

#[async_trait::async_trait]
impl Packager for Tricked {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        MobileMapPackager.check_destination(destination)
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        if self.moment == Moment::Before {
            (self.trick)(&request);
            return MobileMapPackager.pack(request, report, cancel).await;
        }
        let (trick, seen, first) = (self.trick, request.clone(), std::sync::Once::new());
        let watched = move |done, all| {
            first.call_once(|| trick(&seen));
            report(done, all);
        };
        MobileMapPackager.pack(request, Arc::new(watched), cancel).await
    }
}

fn brought_home(request: &PackRequest) -> std::path::PathBuf {
    let task = request.artifacts.first().expect("a task");
    task.work_dir.join(&task.artifact.files[0].path)
}

/// Files of the staged package that begin so; the file itself, not the one that it is a link of.
fn staged(request: &PackRequest, ending: &str) -> std::path::PathBuf {
    let all = crate::support::files_below(&request.staging_dir);
    all.into_iter().find(|f| f.to_string_lossy().ends_with(ending)).expect("staged")
}

#[tokio::test]
async fn the_packager_s_steps_end_rightly_whatever_the_disk_does() {
    use FailureKind::{Corrupt, DestinationNotUsable, Io};
    type Cell = (&'static str, Moment, fn(&PackRequest), Option<(FailureOwner, &'static [FailureKind])>);
    let cells: [Cell; 9] = [
        (
            "a downloaded file is gone",
            Moment::Before,
            |r| std::fs::remove_file(brought_home(r)).expect("removes"),
            Some((FailureOwner::Storage, &[Io])),
        ),
        (
            "a downloaded file became a folder",
            Moment::Before,
            |r| {
                std::fs::remove_file(brought_home(r)).expect("removes");
                std::fs::create_dir(brought_home(r)).expect("makes");
            },
            Some((FailureOwner::Storage, &[Io, Corrupt])),
        ),
        (
            "an interrupted packing left a rest",
            Moment::Before,
            |r| {
                std::fs::create_dir_all(r.staging_dir.join("p13")).expect("makes");
                std::fs::write(r.staging_dir.join("p13/rest.bin"), "rest").expect("writes");
            },
            None,
        ),
        (
            "a file lies where the package is staged",
            Moment::Before,
            |r| std::fs::write(&r.staging_dir, "x").expect("writes"),
            None,
        ),
        (
            "the destination was filled meanwhile",
            Moment::Before,
            |r| {
                std::fs::create_dir(&r.destination).expect("makes");
                std::fs::write(r.destination.join("theirs"), "theirs").expect("writes");
            },
            Some((FailureOwner::Storage, &[Io, DestinationNotUsable])),
        ),
        (
            "the destination became a file",
            Moment::Hashing,
            |r| std::fs::write(&r.destination, "theirs").expect("writes"),
            Some((FailureOwner::Storage, &[Io, DestinationNotUsable])),
        ),
        (
            "a document was changed behind its hash",
            Moment::Hashing,
            |r| {
                let path = staged(r, "item.pkinfo");
                let mut bytes = std::fs::read(&path).expect("reads");
                bytes[0] ^= 1;
                std::fs::remove_file(&path).expect("removes");
                std::fs::write(path, bytes).expect("writes");
            },
            Some((FailureOwner::Storage, &[Corrupt])),
        ),
        (
            "a staged file is gone",
            Moment::Hashing,
            |r| std::fs::remove_file(staged(r, ".tpkx")).expect("removes"),
            Some((FailureOwner::Storage, &[Io, Corrupt])),
        ),
        (
            "the staged package is gone",
            Moment::Hashing,
            |r| std::fs::remove_dir_all(&r.staging_dir).expect("removes"),
            Some((FailureOwner::Storage, &[Io, Corrupt])),
        ),
    ];
    let bench = Bench::new().await;
    for (name, moment, trick, ends) in cells {
        let builder = Engine::builder(Tricked { moment, trick });
        let engine = offmap::exporters::register(builder, &bench.client).expect("exporters").start().expect("starts");
        let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map_of(&bench.sandbox, "raster")));
        let mut parameters = task.default_parameters(area()).expect("parameters");
        parameters.max_scale = 250_000_000.0;
        let out = bench.dir.path().join(name.replace(' ', "-"));
        let result = run_to_end(&task.generate_offline_map(parameters, Default::default(), &out)).await.0;
        match (result, ends) {
            (Ok(result), None) => assert!(verify(&result.package).expect("verifies").ok, "{name}"),
            (Err(error), Some((owner, kinds))) => {
                let failure = &error.failure;
                assert!(failure.owner == owner && kinds.contains(&failure.kind), "{name}: {failure:?}");
                assert!(error.can_resume, "{name}: what was downloaded is kept");
                let theirs = out.join("theirs").exists() || out.is_file();
                assert!(!out.exists() || theirs, "{name}: half a destination");
            }
            (result, ends) => panic!("{name}: {result:?}, expected {ends:?}"),
        }
        // Whatever it was: with the trick undone, the job is resumed to a complete package.
        if out.is_file() {
            std::fs::remove_file(&out).expect("removes");
        } else if out.join("theirs").exists() {
            std::fs::remove_dir_all(&out).expect("removes");
        }
        let folder = bench.dir.path().join(format!(".{}.offmap/tasks/000-tile-cache/package", name.replace(' ', "-")));
        if folder.is_dir() {
            std::fs::remove_dir(folder).expect("removes");
        }
        if !out.exists() {
            let again = GenerateOfflineMapJob::resume(&bench.engine, &out).await.expect("a job");
            let result = run_to_end(&again).await.0.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!result.has_errors() && verify(&result.package).expect("verifies").ok, "{name}");
        }
    }
    println!("packager: {} cells", cells.len());
}
