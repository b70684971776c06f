//! Tiled layers whose services do not export come tile by tile: the same tiles as an export has, each asked for once.

use crate::support::{Bench, area, files_below, run_to_end};
use flate2::read::GzDecoder;
use offmap::arcgis::Credentials;
use offmap::exporters::tile_download::TileDownloadExporter;
use offmap::formats::tile_package::TileCacheReader;
use offmap::formats::{TileReader as _, tile_reader::TileVisitor};
use offmap::packager::{MobileMapPackage, verify};
use offmap::testing::exporter_conformance;
use offmap::{
    Allowance, AreaOfInterest, CapabilityReason, DirectDownload, ErrorBudget, Failure, FailureKind, FailureOwner,
    GenerateOfflineMapJob, GenerateOfflineMapParameters, GenerateOfflineMapResult, LayerNoteKind, LayerOutcome,
    OfflineMapSource, OfflineMapTask, ProgressUnit, TileId, WebMap,
};
use offmap_sandbox::{Fault, FaultAction, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::Path;

/// A map of a raster and a vector tiled layer of services by their names.
pub(crate) fn map_of(sandbox: &Sandbox, raster: &str, vector: &str) -> OfflineMapSource {
    let url = |path: String| format!("{}/arcgis/rest/services/{path}", sandbox.url());
    let layers: Vec<Value> = [
        ("raster", "ArcGISTiledMapServiceLayer", url(format!("{raster}/MapServer"))),
        ("vector", "VectorTileLayer", url(format!("{vector}/VectorTileServer"))),
    ]
    .into_iter()
    .map(|(id, kind, url)| json!({"id": id, "title": id, "layerType": kind, "url": url}))
    .collect();
    let map = json!({"operationalLayers": layers, "spatialReference": {"wkid": 102_100}});
    OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
}

fn closed(bench: &Bench) -> OfflineMapSource {
    map_of(&bench.sandbox, "NoExport", "NoExportStreets")
}

pub(crate) fn parameters(direct: DirectDownload) -> GenerateOfflineMapParameters {
    let mut parameters = GenerateOfflineMapParameters::new(area());
    // Coarse levels only: the pictures are drawn while the test waits.
    parameters.max_scale = 4_000_000.0;
    parameters.direct_download = direct;
    parameters
}

fn job_of(bench: &Bench, source: OfflineMapSource, parameters: GenerateOfflineMapParameters) -> GenerateOfflineMapJob {
    let task = OfflineMapTask::new(&bench.engine, source);
    task.generate_offline_map(parameters, Default::default(), bench.destination())
}

async fn take(bench: &Bench, source: OfflineMapSource, direct: DirectDownload) -> GenerateOfflineMapResult {
    run_to_end(&job_of(bench, source, parameters(direct))).await.0.expect("a package")
}

fn layer<'a>(layers: &'a [LayerOutcome], id: &str) -> &'a LayerOutcome {
    layers.iter().find(|l| l.id == id).expect("a layer")
}

/// All tiles of a file, vector tiles opened.
#[derive(Default)]
struct All(BTreeMap<TileId, Vec<u8>>);

impl TileVisitor for All {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        Ok(true)
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        let mut content = Vec::new();
        let bytes = match bytes.starts_with(b"\x1f\x8b") {
            // How well a program packs it is no difference.
            true => {
                GzDecoder::new(bytes).read_to_end(&mut content).expect("gzip");
                &content
            }
            false => bytes,
        };
        self.0.extend(places.iter().map(|place| (*place, bytes.to_vec())));
        Ok(())
    }
}

/// The tiles of a layer of a package.
pub(crate) fn tiles(package: &Path, id: &str) -> BTreeMap<TileId, Vec<u8>> {
    let opened = MobileMapPackage::open(package).expect("opens");
    let manifest = opened.manifest().expect("there").expect("whole");
    let file = manifest.layers.iter().find(|l| l.id == id).and_then(|l| l.file.clone()).expect("a file");
    let mut all = All::default();
    TileCacheReader::open(&package.join(file)).and_then(|mut reader| reader.for_each_tile(&mut all)).expect("reads");
    all.0
}

/// How often each tile was asked for.
fn asked(bench: &Bench) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in bench.sandbox.requests().iter().filter(|r| r.path.contains("/tile/")) {
        *counts.entry(request.path.clone()).or_insert(0) += 1;
    }
    counts
}

#[tokio::test]
async fn tiles_that_come_one_by_one_are_those_of_an_export() {
    let exported = Bench::new().await;
    let by_export = take(&exported, map_of(&exported.sandbox, "World", "Streets"), DirectDownload::WhenNotExportable).await;
    assert!(asked(&exported).is_empty(), "what can be exported is");
    for no_tilemaps in [false, true] {
        let options = SandboxOptions { no_tilemaps, ..SandboxOptions::default() };
        let bench = Bench::with(options, |_| Credentials::none()).await;
        let result = take(&bench, closed(&bench), DirectDownload::WhenNotExportable).await;
        assert!(!result.has_errors() && result.is_complete(), "{:?}", result.layers);
        for id in ["raster", "vector"] {
            let (there, expected) = (tiles(&result.package, id), tiles(&by_export.package, id));
            assert!(there.len() > 10 && there == expected, "{id}: {} tiles, expected {}", there.len(), expected.len());
            let contents = &layer(&result.layers, id).contents;
            assert_eq!((contents.planned, contents.got), (Some(there.len() as u64), there.len() as u64), "{id}");
        }
        assert!(asked(&bench).values().all(|times| *times == 1), "each tile once");
        let verified = verify(&result.package).expect("verifies");
        assert!(verified.ok && verified.complete == Some(true), "{verified:?}");
        let manifest =
            MobileMapPackage::open(&result.package).expect("opens").manifest().expect("there").expect("whole").clone();
        for layer in &manifest.layers {
            assert!(layer.direct_download && layer.exporter.as_deref() == Some("tile-download"), "{layer:?}");
            assert!(layer.attribution.as_deref().is_some_and(|a| a.contains("Natural Earth")), "{layer:?}");
        }
    }
}

#[tokio::test]
async fn with_always_tiles_come_one_by_one_from_a_service_that_exports() {
    let bench = Bench::new().await;
    let result = take(&bench, map_of(&bench.sandbox, "World", "Streets"), DirectDownload::Always).await;
    assert!(result.is_complete(), "{:?}", result.layers);
    assert!(!bench.sandbox.requests().iter().any(|r| r.path.contains("exportTiles")), "no export is asked for");
}

#[tokio::test]
async fn without_the_caller_s_word_no_tile_is_asked_for_and_the_check_says_that_it_would_work() {
    let bench = Bench::new().await;
    let task = OfflineMapTask::new(&bench.engine, closed(&bench));
    let capabilities = task.capabilities(&parameters(DirectDownload::Never)).await.expect("capabilities");
    for capability in &capabilities.layer_capabilities {
        assert_eq!(capability.reason, Some(CapabilityReason::ExportTilesNotAllowed), "{capability:?}");
        assert_eq!(capability.direct_download.as_deref(), Some("tile-download"));
    }
    let error = run_to_end(&job_of(&bench, closed(&bench), parameters(DirectDownload::Never))).await.0;
    assert!(error.is_err() || error.is_ok_and(|r| r.has_errors()));
    assert!(asked(&bench).is_empty());
}

#[tokio::test]
async fn a_server_that_lies_with_200_is_found_and_nothing_of_it_is_a_tile() {
    let error = json!({"error": {"code": 500, "message": "Unable to complete operation.", "details": []}});
    for (name, action) in [
        ("a page", FaultAction::Html),
        ("an error as JSON", FaultAction::Body(error)),
        ("words", FaultAction::Replace(b"tile not available".to_vec())),
        ("half a picture", FaultAction::Replace(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec())),
        ("nothing", FaultAction::Replace(Vec::new())),
    ] {
        let bench = Bench::new().await;
        bench.sandbox.fault(Fault::always("/tile/4/", action));
        let result = run_to_end(&job_of(&bench, closed(&bench), parameters(DirectDownload::WhenNotExportable))).await.0;
        let layers = result.map_or_else(|error| error.layers, |result| result.layers);
        for id in ["raster", "vector"] {
            let failure = layer(&layers, id).failure.clone().unwrap_or_else(|| panic!("{name}: {id} is taken"));
            assert_eq!(failure.owner, FailureOwner::Source, "{name}: {failure}");
            assert!(failure.url.as_deref().is_some_and(|url| url.contains("/tile/4/")), "{name}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn trouble_that_passes_costs_nothing() {
    let bench = Bench::new().await;
    for action in [
        FaultAction::Html,
        FaultAction::Status(503, "busy".into(), Some(1)),
        FaultAction::Status(429, "too many".into(), None),
        FaultAction::Reset,
        FaultAction::Truncate(40),
    ] {
        bench.sandbox.fault(Fault::times("/tile/", 3, action));
    }
    let result = take(&bench, closed(&bench), DirectDownload::WhenNotExportable).await;
    assert!(result.is_complete(), "{:?}", result.layers);
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_did_not_come() {
    let gone = |status: u16| FaultAction::Status(status, "no".into(), None);
    // Without a tilemap the answer to a tile's url is the service's word; with one the tile is promised.
    for (status, no_tilemaps, missing, taken) in
        [(404, true, 0, true), (204, true, 0, true), (404, false, 1, true), (403, true, 0, false), (500, true, 0, false)]
    {
        let options = SandboxOptions { no_tilemaps, ..SandboxOptions::default() };
        let bench = Bench::with(options, |_| Credentials::none()).await;
        bench.sandbox.fault(Fault::always("noexport/mapserver/tile/6/22/33", gone(status)));
        let job = job_of(&bench, closed(&bench), parameters(DirectDownload::WhenNotExportable));
        let result = run_to_end(&job).await.0.expect("a package");
        let raster = layer(&result.layers, "raster");
        let cell = format!("{status} {no_tilemaps}: {raster:?}");
        assert_eq!(raster.failure.is_none(), taken, "{cell}");
        if !taken {
            continue;
        }
        let lacking = raster.contents.missing_tiles.clone().unwrap_or_default();
        assert_eq!(lacking.count, missing, "{cell}");
        assert_eq!(raster.contents.planned, Some(raster.contents.got + missing), "{cell}");
        let note = raster.contents.notes.iter().find(|n| n.kind == LayerNoteKind::NotExisting);
        assert_eq!(note.is_some_and(|n| n.message.contains("(the first: 6/22/33)")), missing == 0, "{cell}");
        assert_eq!(verify(&result.package).expect("verifies").complete, Some(missing == 0), "{cell}");
    }
}

#[tokio::test]
async fn a_level_that_answers_with_nothing_at_all_is_no_success() {
    let options = SandboxOptions { no_tilemaps: true, ..SandboxOptions::default() };
    let bench = Bench::with(options, |_| Credentials::none()).await;
    bench.sandbox.fault(Fault::always("noexport/mapserver/tile/4/", FaultAction::Status(404, "no".into(), None)));
    let result = take(&bench, closed(&bench), DirectDownload::WhenNotExportable).await;
    let failure = layer(&result.layers, "raster").failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Incomplete), "{failure}");
    assert!(failure.message.contains("no tile at all of levels [4]"), "{failure}");
}

#[tokio::test]
async fn within_its_budget_a_layer_comes_without_tiles_that_fail_and_beyond_it_ends_early() {
    for (allowed, taken) in [(2, true), (1, false)] {
        let bench = Bench::new().await;
        for tile in ["6/22/33", "6/22/34"] {
            let path = format!("noexport/mapserver/tile/{tile}");
            bench.sandbox.fault(Fault::always(&path, FaultAction::Status(500, "broken".into(), None)));
        }
        let mut parameters = parameters(DirectDownload::WhenNotExportable);
        let budget = ErrorBudget { missing_tiles: Some(Allowance::Count(allowed)), ..ErrorBudget::default() };
        parameters.error_budgets.insert("raster".to_owned(), budget);
        let result = run_to_end(&job_of(&bench, closed(&bench), parameters)).await.0.expect("a package");
        let raster = layer(&result.layers, "raster");
        assert_eq!(raster.failure.is_none(), taken, "{raster:?}");
        if taken {
            let missing = raster.contents.missing_tiles.clone().expect("two");
            assert_eq!((missing.count, missing.examples), (2, vec!["6/22/33".to_owned(), "6/22/34".to_owned()]));
        }
    }
}

#[tokio::test]
async fn a_job_that_is_stopped_asks_for_no_tile_twice() {
    let bench = Bench::new().await;
    let mut wanted = parameters(DirectDownload::WhenNotExportable);
    wanted.max_scale = 2_000_000.0;
    let job = job_of(&bench, closed(&bench), wanted.clone());
    let mut status = job.status();
    job.start();
    let mut stopped = false;
    while let Some(message) = status.next().await {
        let tiles = message.progress.filter(|p| p.unit == ProgressUnit::Tiles).map_or(0, |p| p.completed);
        if !stopped && tiles > 100 {
            stopped = true;
            job.cancel_and_keep();
        }
    }
    assert!(stopped && job.result().await.is_err());
    let before: usize = asked(&bench).len();
    let left = bench.dir.path().join(".package.offmap");
    assert!(files_below(&left).iter().any(|f| f.parent().is_some_and(|p| p.ends_with("blocks"))), "blocks are there");
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(result.is_complete(), "{:?}", result.layers);
    let counts = asked(&bench);
    let twice = counts.values().filter(|times| **times > 1).count();
    assert!(counts.len() > before && before > 100, "{before} of {}", counts.len());
    // What was under way when it stopped is asked for again, and what waited to be written.
    assert!(twice <= 2 * (64 + 16), "{twice} of {} twice", counts.len());
    let other = Bench::new().await;
    let whole = run_to_end(&job_of(&other, closed(&other), wanted)).await.0.expect("a package");
    for id in ["raster", "vector"] {
        assert!(tiles(&result.package, id) == tiles(&whole.package, id), "{id}: the same as of a run that was not stopped");
    }
}

#[tokio::test]
async fn the_style_of_a_vector_service_comes_along_with_its_sprites_and_fonts() {
    let exported = Bench::new().await;
    let by_export = take(&exported, map_of(&exported.sandbox, "World", "Streets"), DirectDownload::Never).await;
    let bench = Bench::new().await;
    let direct = take(&bench, closed(&bench), DirectDownload::WhenNotExportable).await;
    let resources = |package: &Path| {
        let manifest = MobileMapPackage::open(package).expect("opens").manifest().expect("there").expect("whole").clone();
        let file = manifest.layers.iter().find(|l| l.id == "vector").and_then(|l| l.file.clone()).expect("a file");
        let mut all = BTreeMap::new();
        let mut reader = TileCacheReader::open(&package.join(file)).expect("opens");
        let mut take = |name: &str, bytes: &[u8]| {
            all.insert(name.to_owned(), bytes.to_vec());
            Ok(())
        };
        reader.for_each_resource(&mut take).expect("reads");
        all
    };
    let (there, expected) = (resources(&direct.package), resources(&by_export.package));
    let style = |all: &BTreeMap<String, Vec<u8>>| {
        let bytes = all.get("styles/root.json").expect("a style");
        serde_json::from_slice::<Value>(bytes).expect("JSON")
    };
    assert_eq!(style(&there)["layers"], style(&expected)["layers"]);
    assert_eq!(style(&there)["sources"]["esri"]["url"], "../../");
    for name in ["sprites/sprite.json", "sprites/sprite.png", "sprites/sprite@2x.png", "fonts/Sandbox Regular/0-255.pbf"] {
        assert!(there.contains_key(name), "{name} of {:?}", there.keys());
    }
}

#[tokio::test]
async fn tiles_that_do_not_exist_are_named_with_who_said_so() {
    for (no_tilemaps, by) in [(false, "by its tilemap"), (true, "by the answers to their urls")] {
        let options = SandboxOptions { no_tilemaps, ..SandboxOptions::default() };
        let bench = Bench::with(options, |_| Credentials::none()).await;
        let mut parameters = parameters(DirectDownload::WhenNotExportable);
        // Open sea: coarse tiles exist and finer ones do not.
        parameters.area_of_interest = AreaOfInterest::from_numbers("-35,35,-34,36").expect("an area");
        let result = run_to_end(&job_of(&bench, closed(&bench), parameters)).await.0.expect("a package");
        let vector = layer(&result.layers, "vector");
        assert!(vector.failure.is_none() && vector.contents.got > 0 && result.is_complete(), "{vector:?}");
        assert_eq!(vector.contents.planned, Some(vector.contents.got));
        let note = vector.contents.notes.iter().find(|n| n.kind == LayerNoteKind::NotExisting).expect("a note");
        assert!(note.message.contains(by), "{note:?}");
    }
}

#[tokio::test]
async fn the_exporter_keeps_its_contract() {
    for (raster, vector) in [(true, false), (false, true)] {
        let bench = Bench::new().await;
        let mut map = Value::Object(closed(&bench).web_map.json().clone());
        let layers = map["operationalLayers"].as_array_mut().expect("layers");
        layers.retain(|l| (l["id"] == "raster" && raster) || (l["id"] == "vector" && vector));
        let source = OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"));
        let parameters = parameters(DirectDownload::Always);
        let checked = exporter_conformance(TileDownloadExporter::new(bench.client.clone()), source, parameters).await;
        assert_eq!(checked, Ok(()));
    }
}

/// A map of one layer.
fn one_layer(layer: Value) -> OfflineMapSource {
    let map = json!({"operationalLayers": [layer], "spatialReference": {"wkid": 102_100}});
    OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
}

#[tokio::test]
async fn the_tiles_of_a_template_are_a_tiled_layer_of_the_package() {
    let exported = Bench::new().await;
    let by_export = take(&exported, map_of(&exported.sandbox, "World", "Streets"), DirectDownload::Never).await;
    let bench = Bench::new().await;
    let port = bench.sandbox.url().rsplit(':').next().expect("a port").to_owned();
    let map = one_layer(json!({"id": "web", "title": "Web", "layerType": "WebTiledLayer", "copyright": "Natural Earth",
        "templateUrl": format!("http://{{subDomain}}:{port}/xyz/{{level}}/{{col}}/{{row}}.png"), "subDomains": ["localhost", "127.0.0.1"]}));
    let task = OfflineMapTask::new(&bench.engine, map.clone());
    let never = task.capabilities(&parameters(DirectDownload::Never)).await.expect("capabilities");
    assert_eq!(never.layer_capabilities[0].direct_download.as_deref(), Some("tile-download"), "{never:?}");
    let result = take(&bench, map, DirectDownload::WhenNotExportable).await;
    assert!(result.is_complete(), "{:?}", result.layers);
    assert!(tiles(&result.package, "web") == tiles(&by_export.package, "raster"), "the same tiles");
    let hosts: std::collections::BTreeSet<String> = bench.sandbox.requests().iter().map(|r| r.host.clone()).collect();
    assert_eq!(hosts.len(), 2, "both hosts are asked: {hosts:?}");
    let opened = MobileMapPackage::open(&result.package).expect("opens");
    let manifest = opened.manifest().expect("there").expect("whole").clone();
    assert_eq!(manifest.layers[0].attribution.as_deref(), Some("Natural Earth"));
    assert_eq!(opened.maps()[0].layers[0].layer_type.to_string(), "ArcGISTiledMapServiceLayer");
    assert!(verify(&result.package).expect("verifies").ok);
}

#[tokio::test]
async fn hosts_whose_terms_forbid_bulk_download_are_refused_with_the_clause() {
    let bench = Bench::new().await;
    let template = "https://{subDomain}.tile.openstreetmap.org/{level}/{col}/{row}.png";
    let layers = [
        json!({"id": "it", "title": "It", "layerType": "OpenStreetMap"}),
        json!({"id": "it", "title": "It", "layerType": "WebTiledLayer", "templateUrl": template, "subDomains": ["a", "b"]}),
        json!({"id": "it", "title": "It", "layerType": "ArcGISTiledMapServiceLayer",
            "url": "https://services.arcgisonline.com/ArcGIS/rest/services/World_Imagery/MapServer"}),
    ];
    for layer in layers {
        let task = OfflineMapTask::new(&bench.engine, one_layer(layer.clone()));
        let mut parameters = parameters(DirectDownload::Always);
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        let words = format!("{:?} {:?}", plan.skipped, plan.warnings);
        assert!(plan.tasks.is_empty() && words.contains("the terms of") && words.contains("--allow-direct-from"), "{words}");
        if layer["layerType"] == "ArcGISTiledMapServiceLayer" {
            continue;
        }
        assert_eq!(plan.skipped[0].reason, CapabilityReason::DirectDownloadForbidden, "{layer}");
        parameters.direct_download_hosts.allow =
            ["tile.openstreetmap.org", "*.tile.openstreetmap.org"].map(str::to_owned).to_vec();
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        assert_eq!(plan.tasks.len(), 1, "the caller named the host: {:?}", plan.skipped);
    }
    // The caller's own list.
    let task = OfflineMapTask::new(&bench.engine, closed(&bench));
    let mut parameters = parameters(DirectDownload::WhenNotExportable);
    parameters.direct_download_hosts.refuse.insert("localhost".to_owned(), "clause 7 of its terms".to_owned());
    let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
    assert!(
        plan.tasks.is_empty() && plan.warnings.iter().any(|w| w.contains("clause 7 of its terms")),
        "{:?}",
        plan.warnings
    );
    assert!(plan.skipped.iter().all(|s| s.reason == CapabilityReason::ExportTilesNotAllowed), "the first reason stays");
}

#[tokio::test]
async fn an_export_over_the_limit_is_asked_for_in_parts_and_every_tile_is_equal() {
    let whole = Bench::new().await;
    let in_one = take(&whole, map_of(&whole.sandbox, "World", "Streets"), DirectDownload::Never).await;
    let options = SandboxOptions { max_export_tiles: Some(40), ..SandboxOptions::default() };
    let bench = Bench::with(options, |_| Credentials::none()).await;
    let source = map_of(&bench.sandbox, "World", "Streets");
    let task = OfflineMapTask::new(&bench.engine, source.clone());
    let plan = task.plan(&parameters(DirectDownload::Never), &Default::default()).await.expect("a plan");
    for planned in &plan.tasks {
        assert!(planned.units.iter().filter(|u| u.kind == "serverJob").count() > 1, "the plan has the parts: {planned:?}");
        assert!(planned.limits[0].needed > 40 && planned.limits[0].limit == 40, "{:?}", planned.limits);
    }
    assert!(plan.warnings.iter().any(|w| w.contains("they are asked for in")), "{:?}", plan.warnings);
    let result = take(&bench, source, DirectDownload::Never).await;
    assert!(result.is_complete(), "{:?}", result.layers);
    for id in ["raster", "vector"] {
        assert!(tiles(&result.package, id) == tiles(&in_one.package, id), "{id}: the same tiles");
    }
    let exports = bench.sandbox.requests().iter().filter(|r| r.path.ends_with("exportTiles")).count();
    assert!(exports > 4, "{exports} exports");
    assert!(verify(&result.package).expect("verifies").ok);
}

#[tokio::test]
async fn the_index_of_a_vector_service_says_what_exists_where_blocks_are_not_answered() {
    let bench = Bench::new().await;
    let refused = json!({"error": {"code": 400, "message": "Invalid URL", "details": []}});
    bench.sandbox.fault(Fault::always("vectortileserver/tilemap/", FaultAction::Body(refused)));
    let mut parameters = parameters(DirectDownload::WhenNotExportable);
    parameters.max_scale = 50_000_000.0;
    let result = run_to_end(&job_of(&bench, closed(&bench), parameters)).await.0.expect("a package");
    let vector = layer(&result.layers, "vector");
    assert!(vector.failure.is_none(), "{vector:?}");
    let asked = asked(&bench).keys().filter(|path| path.contains("VectorTileServer")).count() as u64;
    assert_eq!((vector.contents.got, vector.contents.planned), (asked, Some(asked)), "only what exists is asked for");
    let index = bench.sandbox.requests().iter().filter(|r| r.path.ends_with("VectorTileServer/tilemap")).count();
    assert_eq!(index, 1, "the index is read once");
}
