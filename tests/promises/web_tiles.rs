//! Templates of tile urls: which layers share a package, how levels stand in urls, where keys go, and what no package holds.

use crate::support::{Bench, holds, run_to_end};
use crate::tile_download::{map_of, parameters, tiles};
use offmap::arcgis::lone_service::{self, Selection, Wanted};
use offmap::arcgis::portal::ReadLimits;
use offmap::formats::tiles::web_mercator_scheme;
use offmap::{
    CapabilityReason, DirectDownload, DirectDownloadHosts, FailureKind, FailureOwner, GenerateOfflineMapResult,
    OfflineMapSource, OfflineMapTask, TileId, WebMap,
};
use offmap_sandbox::{Fault, FaultAction, SandboxOptions};
use serde_json::{Value, json};

fn map_with(layers: Vec<Value>) -> OfflineMapSource {
    let map = json!({"operationalLayers": layers, "spatialReference": {"wkid": 102_100}});
    OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
}

/// A layer of a template; the sandbox is asked by both of its names.
fn layer(bench: &Bench, id: &str, path: &str, more: Value) -> Value {
    let port = bench.sandbox.url().rsplit(':').next().expect("a port").to_owned();
    let mut layer = json!({"id": id, "title": id, "layerType": "WebTiledLayer", "subDomains": ["localhost", "127.0.0.1"],
        "templateUrl": format!("http://{{subDomain}}:{port}{path}")});
    layer.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    layer
}

async fn take(bench: &Bench, map: OfflineMapSource) -> GenerateOfflineMapResult {
    let task = OfflineMapTask::new(&bench.engine, map);
    let job =
        task.generate_offline_map(parameters(DirectDownload::WhenNotExportable), Default::default(), bench.destination());
    run_to_end(&job).await.0.expect("a package")
}

#[tokio::test]
async fn templates_that_stand_for_other_tiles_have_packages_of_their_own() {
    let bench = Bench::new().await;
    let path = |layer: &str| format!("/wmts/{{level}}/{{row}}/{{col}}?LAYER={layer}");
    let scheme = serde_json::to_value(web_mercator_scheme(256, 9)).expect("JSON");
    let layers = vec![
        layer(&bench, "roads", &path("roads"), json!({})),
        layer(&bench, "rivers", &path("rivers"), json!({})),
        layer(&bench, "again", &path("roads"), json!({"opacity": 0.5})),
        layer(&bench, "scheme", &path("roads"), json!({"tileInfo": scheme})),
        layer(&bench, "hosts", &path("roads"), json!({"subDomains": ["localhost"]})),
        layer(&bench, "upper", "/A/{level}/{row}/{col}", json!({})),
        layer(&bench, "lower", "/a/{level}/{row}/{col}", json!({})),
        layer(&bench, "dry", &path("roads"), json!({"customParameters": {"season": "dry", "apiKey": "0123456789abcdef"}})),
        layer(&bench, "wet", &path("roads"), json!({"customParameters": {"season": "wet"}})),
        layer(&bench, "dry too", &path("roads"), json!({"customParameters": {"season": "dry"}})),
    ];
    let task = OfflineMapTask::new(&bench.engine, map_with(layers));
    let plan = task.plan(&parameters(DirectDownload::Always), &Default::default()).await.expect("a plan");
    let of = |t: &offmap::ExportTask| t.layers.iter().map(|l| l.id.clone()).collect::<Vec<_>>().join("+");
    let mut tasks: Vec<String> = plan.tasks.iter().map(of).collect();
    tasks.sort_unstable();
    assert!(!format!("{plan:?}").contains("0123456789abcdef"));
    assert_eq!(tasks, ["dry+dry too", "hosts", "lower", "rivers", "roads+again", "scheme", "upper", "wet"]);
}

#[tokio::test]
async fn layers_of_one_service_that_come_with_the_parameters_of_another_are_named() {
    let bench = Bench::new().await;
    let url = format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url());
    let layer = |id: &str, custom: Value| json!({"id": id, "title": id, "layerType": "ArcGISTiledMapServiceLayer", "url": url, "customParameters": custom});
    let warnings = async |layers: Vec<Value>| {
        let task = OfflineMapTask::new(&bench.engine, map_with(layers));
        let plan = task.plan(&parameters(DirectDownload::Never), &Default::default()).await.expect("a plan");
        assert_eq!(plan.tasks.len(), 1);
        plan.warnings.join(" ")
    };
    let dry = layer("dry", json!({"season": "dry", "apiKey": "0123456789abcdef"}));
    let alike = warnings(vec![dry.clone(), layer("too", json!({"SEASON": "dry", "apiKey": "another-0123456789"}))]).await;
    assert!(!alike.contains("other parameters"), "{alike}");
    let unlike = warnings(vec![dry, layer("wet", json!({"season": "wet"})), layer("any", json!({}))]).await;
    let named = "\"wet\", \"any\" and \"dry\" are layers of one service with other parameters (season)";
    assert!(unlike.contains(named) && !unlike.contains("0123456789"), "{unlike}");
}

#[tokio::test]
async fn a_level_is_asked_for_by_its_value() {
    let exported = Bench::new().await;
    let by_export = take(&exported, map_of(&exported.sandbox, "World", "Streets")).await;
    let bench = Bench::new().await;
    let mut scheme = serde_json::to_value(web_mercator_scheme(256, 9)).expect("JSON");
    for lod in scheme["lods"].as_array_mut().expect("levels") {
        let level = lod["level"].as_u64().expect("a level");
        (lod["level"], lod["levelValue"]) = (json!(level + 20), json!(level.to_string()));
    }
    let web = layer(&bench, "web", "/xyz/{level}/{col}/{row}.png", json!({"tileInfo": scheme}));
    let result = take(&bench, map_with(vec![web])).await;
    assert!(result.is_complete(), "{:?}", result.layers);
    let expected = tiles(&by_export.package, "raster");
    let moved = expected.into_iter().map(|(place, bytes)| (TileId { level: place.level + 20, ..place }, bytes)).collect();
    assert!(tiles(&result.package, "web") == moved, "the same tiles under their own ids");
}

#[tokio::test]
async fn the_key_of_a_template_is_sent_to_each_of_its_hosts() {
    const KEY: &str = "0123456789abcdef-key";
    let bench = Bench::new().await;
    let web = layer(&bench, "web", &format!("/xyz/{{level}}/{{col}}/{{row}}.png?apikey={KEY}"), json!({}));
    let result = take(&bench, map_with(vec![web])).await;
    assert!(result.is_complete(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    let tiles: Vec<_> = requests.iter().filter(|r| r.path.contains("/xyz/")).collect();
    let hosts: std::collections::BTreeSet<&str> = tiles.iter().map(|r| r.host.as_str()).collect();
    assert_eq!(hosts.len(), 2, "{hosts:?}");
    assert!(tiles.iter().all(|r| r.parameters.get("apikey").is_some_and(|key| key == KEY)), "{:?}", tiles.first());
    for file in crate::support::files_below(&result.package) {
        let bytes = std::fs::read(&file).expect("reads");
        assert!(!holds(&bytes, KEY), "{}", file.display());
    }
}

#[tokio::test]
async fn what_no_package_holds_is_told_by_the_first_tile() {
    let bench = Bench::new().await;
    let webp = b"RIFF\x10\0\0\0WEBPVP8 \x04\0\0\0\0\0\0\0".to_vec();
    bench.sandbox.fault(Fault::always("/xyz/", FaultAction::Replace(webp)));
    let web = layer(&bench, "web", "/xyz/{level}/{col}/{row}.png", json!({}));
    let task = OfflineMapTask::new(&bench.engine, map_with(vec![web]));
    let parameters = parameters(DirectDownload::WhenNotExportable);
    let planned = task.plan(&parameters, &Default::default()).await.expect("a plan").tasks[0].layers[0].expected;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let result = run_to_end(&job).await.0;
    let layers = result.map_or_else(|error| error.layers, |result| result.layers);
    let failure = layers.iter().find_map(|l| l.failure.clone()).expect("a failure");
    assert_eq!((failure.owner, failure.kind, failure.retryable), (FailureOwner::Source, FailureKind::NotSupported, false));
    assert!(failure.message.contains("WebP") && failure.url.is_some(), "{failure}");
    let asked = bench.sandbox.requests().iter().filter(|r| r.path.contains("/xyz/")).count() as u64;
    assert!(planned.is_some_and(|planned| planned > 2 * asked), "{asked} of {planned:?} tiles were asked for");
}

#[tokio::test]
async fn an_export_that_the_service_may_refuse_is_passed_on_where_tiles_may_come_one_by_one() {
    let options = SandboxOptions { max_export_tiles: Some(1), ..SandboxOptions::default() };
    let bench = Bench::with(options, |_| offmap::arcgis::Credentials::none()).await;
    let task = OfflineMapTask::new(&bench.engine, map_of(&bench.sandbox, "World", "Streets"));
    for (direct, exporters) in [
        (DirectDownload::Never, ["tile-cache", "vector-tiles"]),
        (DirectDownload::WhenNotExportable, ["tile-download", "tile-download"]),
    ] {
        let mut parameters = parameters(direct);
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        let planned: Vec<&str> = plan.tasks.iter().map(|t| t.exporter.as_str()).collect();
        assert_eq!(planned, exporters, "{:?} {:?}", plan.skipped, plan.warnings);
        // A host that forbids it leaves the export as it was.
        parameters.direct_download_hosts.refuse.insert("localhost".to_owned(), "clause 7".to_owned());
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        assert!(plan.tasks.len() == 2 && plan.tasks.iter().all(|t| t.exporter != "tile-download"), "{:?}", plan.warnings);
    }
}

#[tokio::test]
async fn nothing_is_asked_of_a_host_that_forbids_it_to_learn_what_its_tiles_are() {
    let bench = Bench::new().await;
    let base = bench.sandbox.url();
    let mut hosts = DirectDownloadHosts::default();
    hosts.refuse.insert("localhost".to_owned(), "clause 7 of its terms".to_owned());
    // Neither says what comes by it.
    let template = format!("{base}/arcgis/rest/services/World/MapServer/tile/{{z}}/{{y}}/{{x}}");
    let before = bench.sandbox.requests().len();
    for url in [&template, &format!("{base}/ows?SERVICE=WMTS&REQUEST=GetCapabilities")] {
        let selection = Selection { hosts: Some(&hosts), ..Selection::all(Wanted::Tiles) };
        let read = lone_service::read(&bench.client, url, &selection, &ReadLimits::default()).await;
        let failure = read.expect_err("refused");
        assert!(failure.message.contains("clause 7 of its terms"), "{failure}");
    }
    let drawn = Selection { hosts: Some(&hosts), ..Selection::all(Wanted::Drawn) };
    let dynamic = format!("{base}/arcgis/rest/services/Dynamic/MapServer");
    let failure = lone_service::read(&bench.client, &dynamic, &drawn, &ReadLimits::default()).await.expect_err("refused");
    assert!(failure.message.contains("clause 7 of its terms"), "{failure}");
    assert_eq!(bench.sandbox.requests().len(), before, "{:?}", bench.sandbox.requests());
    hosts.allow.push("localhost".to_owned());
    let selection = Selection { hosts: Some(&hosts), ..Selection::all(Wanted::Tiles) };
    let lone = lone_service::read(&bench.client, &template, &selection, &ReadLimits::default()).await.expect("a map");
    assert!(lone.has_vector_tiles == Some(false) && bench.sandbox.requests().len() == before + 1);
}

#[tokio::test]
async fn a_tile_beyond_its_level_is_none_also_where_that_is_said_with_status_400() {
    let report =
        |code: &str| format!("<ExceptionReport><Exception exceptionCode=\"{code}\" locator=\"TILECOL\"/></ExceptionReport>");
    for (code, taken) in [("TileOutOfRange", true), ("InvalidParameterValue", false)] {
        let bench = Bench::new().await;
        bench
            .sandbox
            .fault(Fault { skip: 9, ..Fault::times("mapserver/tile/", 2, FaultAction::Status(400, report(code), None)) });
        let mut world = layer(&bench, "w", "/arcgis/rest/services/World/MapServer/tile/{level}/{row}/{col}", json!({}));
        world["subDomains"] = json!(["localhost"]);
        let task = OfflineMapTask::new(&bench.engine, map_with(vec![world]));
        let job = task.generate_offline_map(parameters(DirectDownload::Always), Default::default(), bench.destination());
        let result = run_to_end(&job).await.0;
        let layers = result.map_or_else(|error| error.layers, |result| result.layers);
        assert_eq!(layers[0].failure.is_none(), taken, "{code}: {:?}", layers[0]);
        if let Some(failure) = &layers[0].failure {
            assert!(format!("{failure} {:?}", failure.server_message).contains(code), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn hosts_of_a_template_are_judged_by_their_own_names() {
    let bench = Bench::new().await;
    let template = "https://{subDomain}.tile.openstreetmap.org/{level}/{col}/{row}.png";
    let web =
        json!({"id": "it", "title": "It", "layerType": "WebTiledLayer", "templateUrl": template, "subDomains": ["a", "b"]});
    let task = OfflineMapTask::new(&bench.engine, map_with(vec![web]));
    let mut parameters = parameters(DirectDownload::Always);
    for (allow, taken) in [("", false), ("a.tile.openstreetmap.org", false), ("b.tile.openstreetmap.org", true)] {
        parameters.direct_download_hosts.allow.extend((!allow.is_empty()).then(|| allow.to_owned()));
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        assert_eq!(plan.tasks.len() == 1, taken, "{allow}: {:?}", plan.skipped);
        assert!(taken || plan.skipped[0].reason == CapabilityReason::DirectDownloadForbidden, "{:?}", plan.skipped);
    }
}
