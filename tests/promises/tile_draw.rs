//! Layers that their services draw on demand come tile by tile: every pixel of every tile is the one of its place.

use crate::support::{Bench, area, run_to_end};
use crate::tile_download::tiles;
use offmap::arcgis::Credentials;
use offmap::exporters::tile_draw::TileDrawExporter;
use offmap::formats::tiles::{Lod, TileInfo, web_mercator_scheme};
use offmap::packager::{MobileMapPackage, verify};
use offmap::testing::exporter_conformance;
use offmap::{
    Allowance, AreaOfInterest, CapabilityReason, DirectDownload, ErrorBudget, FailureKind, FailureOwner,
    GenerateOfflineMapJob, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, GenerateOfflineMapResult,
    LayerNoteKind, LayerOutcome, OfflineMapSource, OfflineMapTask, ProgressUnit, TileId, WebMap,
};
use offmap_sandbox::{Fault, FaultAction, Pattern, SandboxOptions, pattern_colour};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// A layer of each kind that is drawn.
fn layers(bench: &Bench) -> Vec<Value> {
    let base = bench.sandbox.url();
    let url = |path: &str| format!("{base}/arcgis/rest/services/{path}");
    vec![
        json!({"id": "map", "title": "Map", "layerType": "ArcGISMapServiceLayer", "url": url("Dynamic/MapServer"), "opacity": 0.5,
            "visibleLayers": [0, 1, 3], "layers": [{"id": 3, "layerDefinition": {"definitionExpression": "A > 1"}}]}),
        json!({"id": "image", "title": "Image", "layerType": "ArcGISImageServiceLayer", "url": url("Scenes/ImageServer"),
            "renderingRule": {"rasterFunction": "Natural"}, "bandIds": [2, 1, 0]}),
        json!({"id": "wms", "title": "WMS", "layerType": "WMS", "url": "https://catalogue.example.org/wms?id=1", "version": "1.3.0",
            "mapUrl": format!("{base}/wms?map=chart-7&Service=WMS&request=GetCapabilities&"), "customParameters": {"season": "dry", "Lang": "de"},
            "customLayerParameters": {"SEASON": "monsoon", "TIME": "2020-06"},
            "layers": [{"name": "land"}, {"name": "roads"}], "visibleLayers": ["land", "roads"]}),
    ]
}

fn source_of(layers: Vec<Value>, basemap: Vec<Value>) -> OfflineMapSource {
    let map = json!({"operationalLayers": layers, "baseMap": {"title": "B", "baseMapLayers": basemap},
        "spatialReference": {"wkid": 102_100}});
    OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
}

fn source(bench: &Bench) -> OfflineMapSource {
    source_of(layers(bench), Vec::new())
}

fn parameters(draws: bool) -> GenerateOfflineMapParameters {
    let mut parameters = GenerateOfflineMapParameters::new(area());
    // Levels 0 to 7.
    parameters.max_scale = 4_700_000.0;
    parameters.draw_tiles = draws;
    parameters.include_basemap = false;
    parameters
}

fn job_of(bench: &Bench, source: OfflineMapSource, parameters: GenerateOfflineMapParameters) -> GenerateOfflineMapJob {
    let task = OfflineMapTask::new(&bench.engine, source);
    task.generate_offline_map(parameters, Default::default(), bench.destination())
}

async fn take(bench: &Bench, source: OfflineMapSource) -> GenerateOfflineMapResult {
    run_to_end(&job_of(bench, source, parameters(true))).await.0.expect("a package")
}

fn layer<'a>(layers: &'a [LayerOutcome], id: &str) -> &'a LayerOutcome {
    layers.iter().find(|l| l.id == id).expect("a layer")
}

/// The tiles of an area on levels of a scheme.
fn places(scheme: &TileInfo, area: &AreaOfInterest, levels: std::ops::RangeInclusive<u32>) -> Vec<TileId> {
    let lods: Vec<Lod> = scheme.lods.iter().filter(|lod| levels.contains(&lod.level)).copied().collect();
    let cover = scheme.cover(area, None, &lods).expect("projects").expect("few");
    let place = |level: u32, (row, column): (u64, u64)| TileId { level, row, column };
    cover.iter().flat_map(|(level, rows)| rows.each().map(|at| place(*level, at)).collect::<Vec<_>>()).collect()
}

/// Checks every pixel of the tiles at some places against the pattern of a service; answers how many have nothing on them.
fn check_pixels(tiles: &BTreeMap<TileId, Vec<u8>>, places: &[TileId], pattern: Pattern) -> u64 {
    let mut empty = 0;
    for place in places {
        let (left, top) = (place.column as i64 * 256, place.row as i64 * 256);
        let Some(bytes) = tiles.get(place) else {
            assert_eq!(pattern_colour(pattern, left, top), [0; 4], "{pattern:?} {place:?} is not stored");
            empty += 1;
            continue;
        };
        let picture = image::load_from_memory(bytes).expect("a PNG").into_rgba8();
        assert_eq!(picture.dimensions(), (256, 256), "{place:?}");
        for (x, y, pixel) in picture.enumerate_pixels() {
            let expected = pattern_colour(pattern, left + i64::from(x), top + i64::from(y));
            assert_eq!(pixel.0, expected, "{pattern:?} {place:?}, pixel {x}, {y}");
        }
    }
    assert!(tiles.keys().all(|tile| places.contains(tile)), "{pattern:?}: tiles that nobody wants");
    empty
}

/// How often each picture was asked for.
fn asked(bench: &Bench) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in bench.sandbox.requests() {
        if let Some(corners) = request.parameters.get("bbox") {
            *counts.entry(format!("{} {corners}", request.path)).or_insert(0) += 1;
        }
    }
    counts
}

#[tokio::test]
async fn every_pixel_of_every_drawn_tile_is_the_one_of_its_place() {
    let bench = Bench::new().await;
    let result = take(&bench, source(&bench)).await;
    assert!(!result.has_errors() && result.is_complete(), "{:?}", result.layers);
    let scheme = web_mercator_scheme(256, 22);
    let places = places(&scheme, &area(), 0..=7);
    for (id, pattern) in [("map", Pattern::Map), ("image", Pattern::Image), ("wms", Pattern::Wms)] {
        let there = tiles(&result.package, id);
        let empty = check_pixels(&there, &places, pattern);
        assert!(there.len() > 40 && (pattern == Pattern::Image) == (empty == 0), "{id}: {} and {empty} empty", there.len());
        let contents = &layer(&result.layers, id).contents;
        assert_eq!((contents.planned, contents.got), (Some(there.len() as u64), there.len() as u64), "{id}");
        let note = contents.notes.iter().find(|n| n.kind == LayerNoteKind::NotExisting);
        assert_eq!(note.is_some_and(|n| n.message.contains("nothing is drawn on")), empty > 0, "{id}");
    }
    let counts = asked(&bench);
    assert!(counts.values().all(|times| *times == 1), "each picture once");
    assert!(counts.len() < places.len(), "{} pictures of {} tiles", counts.len(), places.len() * 3);
    let verified = verify(&result.package).expect("verifies");
    assert!(verified.ok && verified.complete == Some(true), "{verified:?}");
    let opened = MobileMapPackage::open(&result.package).expect("opens");
    let manifest = opened.manifest().expect("there").expect("whole").clone();
    for layer in &manifest.layers {
        assert!(layer.drawn && !layer.direct_download && layer.exporter.as_deref() == Some("tile-draw"), "{layer:?}");
        assert_eq!(layer.attribution.as_deref(), Some("Drawn by the sandbox"));
    }
    for layer in &opened.maps()[0].layers {
        assert_eq!(layer.layer_type.to_string(), "ArcGISTiledMapServiceLayer", "{}", layer.id);
    }
}

#[tokio::test]
async fn a_picture_is_asked_for_as_the_map_wants_its_layer() {
    let bench = Bench::new().await;
    let task = OfflineMapTask::new(&bench.engine, source(&bench));
    let plan = task.plan(&parameters(true), &Default::default()).await.expect("a plan");
    assert!(plan.tasks.len() == 3 && plan.tasks.iter().all(|t| t.drawn && !t.direct_download), "{plan:?}");
    take(&bench, source(&bench)).await;
    let requests = bench.sandbox.requests();
    let of = |path: &str| -> Vec<_> {
        requests.iter().filter(|r| r.path.to_lowercase().ends_with(path) && r.parameters.contains_key("bbox")).collect()
    };
    let planned = |id: &str| plan.tasks.iter().find(|t| t.layers[0].id == id).expect("a task").requests;
    for (path, id) in [("/export", "map"), ("/exportimage", "image"), ("/wms", "wms")] {
        assert_eq!(of(path).len() as u64, planned(id), "{id}: as many pictures as planned");
    }
    for request in of("/export") {
        let one = |name: &str| request.parameters.get(name).map(String::as_str);
        assert_eq!((one("layers"), one("layerdefs")), (Some("show:1,3"), Some(r#"{"3":"A > 1"}"#)));
        assert_eq!(
            (one("transparent"), one("format"), one("imagesr"), one("f")),
            (Some("true"), Some("png32"), Some("102100"), Some("image"))
        );
    }
    for request in of("/exportimage") {
        let one = |name: &str| request.parameters.get(name).map(String::as_str);
        assert_eq!((one("renderingrule"), one("bandids")), (Some(r#"{"rasterFunction":"Natural"}"#), Some("2,1,0")));
        // The service draws at most 700 pixels: two tiles and the margins.
        assert!(
            one("size").is_some_and(|size| size.split(',').next().and_then(|n| n.parse::<u32>().ok()) <= Some(640)),
            "{request:?}"
        );
    }
    for request in of("/wms") {
        let one = |name: &str| request.parameters.get(name).map(String::as_str);
        assert_eq!((one("layers"), one("styles"), one("crs")), (Some("land,roads"), Some(","), Some("EPSG:3857")));
        assert_eq!(
            (one("map"), one("season"), one("id")),
            (Some("chart-7"), Some("monsoon"), None),
            "each origin gets what is for it, and what is said of pictures counts more"
        );
        assert_eq!((one("time"), one("lang")), (Some("2020-06"), Some("de")));
    }
    let mut asked = 0;
    for request in requests.iter().filter(|r| r.parameters.get("request").is_some_and(|r| r == "GetCapabilities")) {
        let one = |name: &str| request.parameters.get(name).map(String::as_str);
        assert_eq!((one("season"), one("lang"), one("time")), (Some("dry"), Some("de"), None), "{request:?}");
        asked += 1;
    }
    assert!(asked > 0);
}

#[tokio::test]
async fn what_the_map_says_takes_the_place_of_what_its_url_says_in_every_request() {
    let bench = Bench::new().await;
    let mut wms = layers(&bench).remove(2);
    wms["customParameters"] = json!({"Map": "chart-9", "SRS": "EPSG:1", "crs": "EPSG:2", "season": "dry"});
    wms["customLayerParameters"] = json!({"season": "monsoon"});
    let template = json!({"id": "xyz", "title": "XYZ", "layerType": "WebTiledLayer", "customParameters": {"SEASON": "dry"},
        "templateUrl": format!("{}/xyz/{{z}}/{{x}}/{{y}}.png?season=wet&plain", bench.sandbox.url())});
    let mut wanted = parameters(true);
    (wanted.max_scale, wanted.direct_download) = (30_000_000.0, DirectDownload::Always);
    let result = run_to_end(&job_of(&bench, source_of(vec![wms, template], Vec::new()), wanted)).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    let (mut capabilities, mut pictures, mut tiles) = (0, 0, 0);
    for request in &requests {
        let one = |name: &str| request.parameters.get(name).map(String::as_str);
        match one("request") {
            Some("GetCapabilities") => {
                assert_eq!((one("map"), one("season"), one("crs"), one("srs")), (Some("chart-9"), Some("dry"), None, None));
                capabilities += 1;
            }
            Some("GetMap") => {
                assert_eq!((one("map"), one("season")), (Some("chart-9"), Some("monsoon")));
                assert_eq!((one("crs"), one("srs")), (Some("EPSG:3857"), None));
                pictures += 1;
            }
            _ if request.path.contains("/xyz/") => {
                assert_eq!((one("season"), one("plain")), (Some("dry"), Some("")));
                tiles += 1;
            }
            _ => {}
        }
    }
    assert!(capabilities > 0 && pictures > 0 && tiles > 0, "{capabilities} {pictures} {tiles}");
}

#[tokio::test]
async fn what_was_drawn_of_other_parameters_is_drawn_anew() {
    let bench = Bench::new().await;
    let one = |season: &str| {
        let mut wms = layers(&bench).remove(2);
        wms["customLayerParameters"] = json!({"season": season});
        source_of(vec![wms], Vec::new())
    };
    let mut wanted = parameters(true);
    wanted.max_scale = 2_400_000.0;
    let plan = OfflineMapTask::new(&bench.engine, one("dry")).plan(&wanted, &Default::default()).await.expect("a plan");
    let job = job_of(&bench, one("dry"), wanted);
    let mut status = job.status();
    job.start();
    let mut stopped = false;
    while let Some(message) = status.next().await {
        let tiles = message.progress.filter(|p| p.unit == ProgressUnit::Tiles).map_or(0, |p| p.completed);
        if !stopped && tiles > 60 {
            stopped = true;
            job.cancel_and_keep();
        }
    }
    assert!(stopped && job.result().await.is_err());
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let again = again.with_secrets_of(&one("wet").web_map);
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(result.is_complete(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    let wet = requests.iter().filter(|r| r.parameters.get("season").is_some_and(|season| season == "wet"));
    let pictures: std::collections::BTreeSet<&String> = wet.filter_map(|r| r.parameters.get("bbox")).collect();
    assert_eq!(pictures.len() as u64, plan.tasks[0].requests, "every picture is of the season that is asked for");
}

#[tokio::test]
async fn tiles_lie_in_the_scheme_of_the_basemap_and_corners_in_the_order_of_the_axes() {
    let lods: Vec<Value> = (0..8_u32)
        .map(|level| {
            let part = f64::from(level).exp2();
            json!({"level": level, "resolution": 0.703_125 / part, "scale": 295_828_763.795_777_5 / part})
        })
        .collect();
    let scheme =
        json!({"rows": 256, "cols": 256, "origin": {"x": -180, "y": 90}, "spatialReference": {"wkid": 4326}, "lods": lods});
    let basemap = json!({"id": "base", "title": "Base", "layerType": "WebTiledLayer", "tileInfo": scheme,
        "templateUrl": "https://tiles.example.org/{level}/{row}/{col}.png"});
    let info: TileInfo = serde_json::from_value(scheme).expect("a scheme");
    let places = places(&info, &area(), 0..=6);
    for (version, name, corners_begin_with) in [("1.3.0", "crs", "south"), ("1.1.1", "srs", "west")] {
        let bench = Bench::new().await;
        let mut wms = layers(&bench).remove(2);
        wms["version"] = json!(version);
        let result = take(&bench, source_of(vec![wms], vec![basemap.clone()])).await;
        let wms = layer(&result.layers, "wms");
        assert!(wms.failure.is_none(), "{version}: {wms:?}");
        let there = tiles(&result.package, "wms");
        check_pixels(&there, &places, Pattern::Wms);
        assert!(there.len() > 30, "{version}: {} tiles", there.len());
        let requests = bench.sandbox.requests();
        let pictures: Vec<_> = requests.iter().filter(|r| r.parameters.contains_key("bbox")).collect();
        assert!(pictures.iter().all(|r| r.parameters.get(name).is_some_and(|crs| crs == "EPSG:4326")), "{version}");
        let first = |corners: &str| corners.split(',').next().and_then(|n| n.parse::<f64>().ok()).expect("a number");
        let most = pictures.iter().map(|r| first(&r.parameters["bbox"])).fold(f64::MIN, f64::max);
        // The area lies between 2° and 20° east, 43° and 52° north.
        assert_eq!(most > 30.0, corners_begin_with == "south", "{version}: {most}");
        assert!(verify(&result.package).expect("verifies").ok, "{version}");
    }
}

#[tokio::test]
async fn the_levels_are_those_of_the_basemap_that_has_tiles() {
    let bench = Bench::new().await;
    let base = |path: &str, kind: &str| json!({"id": "base", "title": "Base", "layerType": kind, "url": format!("{}/arcgis/rest/services/{path}", bench.sandbox.url())});
    for (basemap, deepest, warns) in [
        (Some(base("World/MapServer", "ArcGISTiledMapServiceLayer")), 9, false),
        // Vector tiles of 512 pixels have one level fewer for the same scale.
        (Some(base("Streets/VectorTileServer", "VectorTileLayer")), 9, false),
        (Some(base("Nowhere/MapServer", "ArcGISTiledMapServiceLayer")), 22, true),
        (None, 22, false),
    ] {
        let mut wanted = parameters(true);
        wanted.area_of_interest = AreaOfInterest::from_numbers("7.44,46.94,7.441,46.941").expect("an area");
        wanted.max_scale = 0.0;
        let map = source_of(vec![layers(&bench).remove(0)], basemap.clone().into_iter().collect());
        let plan = OfflineMapTask::new(&bench.engine, map).plan(&wanted, &Default::default()).await.expect("a plan");
        let levels: Vec<u32> = plan.tasks[0].levels.iter().map(|level| level.level_id).collect();
        assert_eq!(levels.last(), Some(&deepest), "{basemap:?}");
        let says = plan.warnings.iter().any(|w| w.contains("does not say its tiling scheme"));
        assert_eq!(says, warns, "{:?}", plan.warnings);
    }
}

#[tokio::test]
async fn nothing_is_drawn_unless_it_is_said_and_the_check_says_that_it_would_work() {
    let bench = Bench::new().await;
    let task = OfflineMapTask::new(&bench.engine, source(&bench));
    let capabilities = task.capabilities(&parameters(false)).await.expect("capabilities");
    for capability in &capabilities.layer_capabilities {
        assert!(!capability.supports_offline && capability.direct_download.is_none(), "{capability:?}");
        assert_eq!(capability.draw_tiles.as_deref(), Some("tile-draw"), "{capability:?}");
        let words = &capability.failure.as_ref().expect("a reason").message;
        assert!(words.contains("drawTiles"), "{words}");
    }
    let plan = task.plan(&parameters(false), &Default::default()).await.expect("a plan");
    assert!(plan.tasks.is_empty());
    assert!(asked(&bench).is_empty());
    let mut overrides = GenerateOfflineMapParameterOverrides::default();
    overrides.set_draw_tiles("wms", true);
    let plan = task.plan(&parameters(false), &overrides).await.expect("a plan");
    assert_eq!(plan.tasks.iter().map(|t| t.layers[0].id.as_str()).collect::<Vec<_>>(), ["wms"]);
    let again = GenerateOfflineMapParameterOverrides::from_plan(&plan);
    assert_eq!(again.draw_tiles().get("wms"), Some(&true), "the template of overrides says it, too");
    let unknown = GenerateOfflineMapParameterOverrides::from_json(r#"{"drawTiles": {"x": true}}"#).expect("reads");
    let failure = task.plan(&parameters(false), &unknown).await.expect_err("refused");
    assert!(failure.message.contains("drawTiles names `x`, which is not in the map"), "{failure}");
}

#[tokio::test]
async fn what_cannot_be_drawn_is_refused_with_its_reason_and_costs_its_siblings_nothing() {
    let bench = Bench::new().await;
    let mut all = layers(&bench);
    all[0]["visibleLayers"] = json!([]);
    all[1]["url"] = json!(format!("{}/arcgis/rest/services/Nowhere/ImageServer", bench.sandbox.url()));
    let mut unknown = all[2].clone();
    (unknown["id"], unknown["visibleLayers"]) = (json!("unknown"), json!(["rivers"]));
    let cached = json!({"id": "cached", "title": "Cached", "layerType": "ArcGISMapServiceLayer",
        "url": format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url())});
    all.extend([unknown, cached]);
    let task = OfflineMapTask::new(&bench.engine, source_of(all, Vec::new()));
    let plan = task.plan(&parameters(true), &Default::default()).await.expect("a plan");
    assert_eq!(plan.tasks.iter().map(|t| t.layers[0].id.as_str()).collect::<Vec<_>>(), ["wms"]);
    let said = |id: &str| {
        let skipped = plan.skipped.iter().find(|s| s.id == id).expect("skipped");
        let warnings = plan.warnings.iter().filter(|w| w.contains("is not drawn either")).cloned().collect::<Vec<_>>();
        format!("{} {warnings:?}", skipped.failure.as_ref().map(|f| f.message.clone()).unwrap_or_default())
    };
    assert!(said("map").contains("no visible layer in the map"), "{}", said("map"));
    assert!(said("unknown").contains("has no layer `rivers`"), "{}", said("unknown"));
    assert!(said("cached").contains("does not draw pictures"), "{}", said("cached"));
    assert!(
        plan.skipped.iter().any(|s| s.id == "image" && s.reason == CapabilityReason::ServiceNotUsable),
        "{:?}",
        plan.skipped
    );
    let mut forbidden = parameters(true);
    forbidden.direct_download_hosts.refuse.insert("localhost".to_owned(), "clause 7 of its terms".to_owned());
    let plan = task.plan(&forbidden, &Default::default()).await.expect("a plan");
    let words = format!("{:?} {:?}", plan.skipped, plan.warnings);
    assert!(plan.tasks.is_empty() && words.contains("clause 7 of its terms"), "{words}");
}

#[tokio::test]
async fn an_error_that_comes_with_200_is_a_failure_and_never_a_tile() {
    let error = json!({"error": {"code": 400, "message": "Unable to complete operation.", "details": []}});
    let report = |code: &str| {
        format!("<?xml version='1.0'?><ServiceExceptionReport><ServiceException{code}>no memory</ServiceException></ServiceExceptionReport>")
            .into_bytes()
    };
    let mut small = std::io::Cursor::new(Vec::new());
    image::RgbaImage::new(64, 64).write_to(&mut small, image::ImageFormat::Png).expect("writes");
    for (name, action, words) in [
        ("an error as JSON", FaultAction::Body(error), "Unable to complete operation"),
        ("a report", FaultAction::Replace(report("")), "no memory"),
        ("a report of the request", FaultAction::Replace(report(" code=\"LayerNotDefined\"")), "LayerNotDefined: no memory"),
        (
            "a report with its status",
            FaultAction::Status(400, String::from_utf8_lossy(&report(" code=\"LayerNotDefined\"")).into_owned(), None),
            "LayerNotDefined: no memory",
        ),
        ("a page", FaultAction::Html, "HTML"),
        ("another size", FaultAction::Replace(small.into_inner()), "64 × 64 pixels, expected"),
        ("words", FaultAction::Replace(b"not available".to_vec()), "no image"),
        ("nothing there", FaultAction::Status(404, "no".into(), None), "404"),
    ] {
        let bench = Bench::new().await;
        for path in ["mapserver/export", "imageserver/exportimage", "wms?bbox"] {
            bench.sandbox.fault(Fault::always(path, action.clone()));
        }
        let result = run_to_end(&job_of(&bench, source(&bench), parameters(true))).await.0;
        let layers = result.map_or_else(|error| error.layers, |result| result.layers);
        for id in ["map", "image", "wms"] {
            let failure = layer(&layers, id).failure.clone().unwrap_or_else(|| panic!("{name}: {id} is taken"));
            assert_eq!(failure.owner, FailureOwner::Source, "{name}: {failure}");
            let said = format!("{failure} {:?}", failure.server_message);
            assert!(said.contains(words), "{name}: {said}");
        }
    }
}

#[tokio::test]
async fn trouble_that_passes_costs_nothing_and_a_picture_that_fails_costs_its_tiles_within_the_budget() {
    let bench = Bench::new().await;
    for action in
        [FaultAction::Html, FaultAction::Status(503, "busy".into(), Some(1)), FaultAction::Reset, FaultAction::Truncate(40)]
    {
        bench.sandbox.fault(Fault::times("mapserver/export", 2, action));
    }
    let one = |bench: &Bench| source_of(vec![layers(bench).remove(0)], Vec::new());
    let whole = take(&bench, one(&bench)).await;
    assert!(whole.is_complete(), "{:?}", whole.layers);
    for (allowed, taken) in [(100, true), (1, false)] {
        let bench = Bench::new().await;
        let broken = FaultAction::Body(json!({"error": {"code": 400, "message": "broken"}}));
        // Two pictures, behind those of the coarsest levels.
        bench.sandbox.fault(Fault { skip: 8, ..Fault::times("mapserver/export", 2, broken) });
        let mut wanted = parameters(true);
        let budget = ErrorBudget { missing_tiles: Some(Allowance::Count(allowed)), ..ErrorBudget::default() };
        wanted.error_budgets.insert("map".to_owned(), budget);
        let result = run_to_end(&job_of(&bench, one(&bench), wanted)).await.0;
        let layers = result.map_or_else(|error| error.layers, |result| result.layers);
        let map = layer(&layers, "map");
        assert_eq!(map.failure.is_none(), taken, "{map:?}");
        if taken {
            let missing = map.contents.missing_tiles.clone().expect("some");
            assert!(missing.count > 1 && map.contents.planned == Some(map.contents.got + missing.count), "{map:?}");
        }
    }
}

#[tokio::test]
async fn an_area_on_which_nothing_is_drawn_is_no_success() {
    let bench = Bench::new().await;
    let mut nothing = std::io::Cursor::new(Vec::new());
    image::RgbaImage::new(256, 256).write_to(&mut nothing, image::ImageFormat::Png).expect("writes");
    bench.sandbox.fault(Fault::always("mapserver/export", FaultAction::Replace(nothing.into_inner())));
    let mut wanted = parameters(true);
    // The one tile of level 0, which has no margin.
    wanted.max_scale = 600_000_000.0;
    let result = run_to_end(&job_of(&bench, source_of(vec![layers(&bench).remove(0)], Vec::new()), wanted)).await.0;
    let layers = result.map_or_else(|error| error.layers, |result| result.layers);
    let failure = layer(&layers, "map").failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::NotFound), "{failure}");
    assert!(failure.message.contains("draws nothing on any of the 1 tiles"), "{failure}");
}

#[tokio::test]
async fn a_drawing_that_is_stopped_goes_on_where_it_was() {
    let bench = Bench::new().await;
    let one = |bench: &Bench| source_of(vec![layers(bench).remove(0)], Vec::new());
    let mut wanted = parameters(true);
    wanted.max_scale = 2_400_000.0;
    let job = job_of(&bench, one(&bench), wanted.clone());
    let mut status = job.status();
    job.start();
    let mut stopped = false;
    while let Some(message) = status.next().await {
        let tiles = message.progress.filter(|p| p.unit == ProgressUnit::Tiles).map_or(0, |p| p.completed);
        if !stopped && tiles > 60 {
            stopped = true;
            job.cancel_and_keep();
        }
    }
    assert!(stopped && job.result().await.is_err());
    let before = asked(&bench).len();
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(result.is_complete(), "{:?}", result.layers);
    let counts = asked(&bench);
    let twice = counts.values().filter(|times| **times > 1).count();
    // What was under way when it stopped.
    assert!(counts.len() > before && twice <= 32, "{twice} of {} twice, {before} before", counts.len());
    let other = Bench::new().await;
    let whole = run_to_end(&job_of(&other, one(&other), wanted)).await.0.expect("a package");
    assert!(tiles(&result.package, "map") == tiles(&whole.package, "map"), "the same as of a run that was not stopped");
}

#[tokio::test]
async fn the_drawing_exporter_keeps_its_contract() {
    for at in 0..3 {
        let bench = Bench::new().await;
        let map = source_of(vec![layers(&bench).remove(at)], Vec::new());
        let checked = exporter_conformance(TileDrawExporter::new(bench.client.clone()), map, parameters(true)).await;
        assert_eq!(checked, Ok(()));
    }
}

#[tokio::test]
async fn a_map_of_five_layers_that_cannot_be_exported_is_taken_whole() {
    let bench = Bench::with(SandboxOptions::default(), |_| Credentials::none()).await;
    let base = bench.sandbox.url();
    let url = |path: &str| format!("{base}/arcgis/rest/services/{path}");
    let map = source_of(
        vec![
            json!({"id": "features", "title": "Features", "layerType": "ArcGISFeatureLayer", "url": url("OpenData/FeatureServer/0")}),
            json!({"id": "tiled", "title": "Tiled", "layerType": "ArcGISTiledMapServiceLayer", "url": url("NoExport/MapServer")}),
            json!({"id": "wmts", "title": "WMTS", "layerType": "WebTiledLayer", "wmtsInfo": {"layerIdentifier": "world"},
                "templateUrl": format!("{base}/xyz/{{level}}/{{col}}/{{row}}.png?SERVICE=WMTS")}),
            json!({"id": "xyz", "title": "XYZ", "layerType": "WebTiledLayer", "templateUrl": format!("{base}/xyz/{{z}}/{{x}}/{{y}}.png")}),
            json!({"id": "dynamic", "title": "Dynamic", "layerType": "ArcGISMapServiceLayer", "url": url("Dynamic/MapServer")}),
        ],
        Vec::new(),
    );
    let mut wanted = parameters(true);
    wanted.max_scale = 30_000_000.0;
    wanted.direct_download = DirectDownload::WhenNotExportable;
    let result = run_to_end(&job_of(&bench, map, wanted)).await.0.expect("a package");
    assert!(!result.has_errors() && result.is_complete(), "{:?}", result.layers);
    let verified = verify(&result.package).expect("verifies");
    assert!(verified.ok && verified.complete == Some(true), "{verified:?}");
    let opened = MobileMapPackage::open(&result.package).expect("opens");
    let manifest = opened.manifest().expect("there").expect("whole").clone();
    let ways: BTreeMap<&str, (bool, bool)> =
        manifest.layers.iter().map(|l| (l.id.as_str(), (l.direct_download, l.drawn))).collect();
    assert_eq!(ways.values().filter(|(direct, drawn)| *direct && !drawn).count(), 4, "{ways:?}");
    assert_eq!(ways["dynamic"], (false, true));
}
