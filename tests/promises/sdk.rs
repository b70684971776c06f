//! True to the SDK: what its reference says of parameters, overrides and capabilities, fact by fact.

use crate::support::{Bench, area, run_to_end};
use offmap::exporters::geodatabase::GenerateGeodatabaseParameters;
use offmap::packager::MobileMapPackage;
use offmap::{
    Failure, FailureOwner, GenerateOfflineMapParameterOverrides as Overrides, GenerateOfflineMapParameters, OfflineMapPlan,
    OfflineMapSource, OfflineMapTask, OnlineOnlyServicesOption, WebMap,
};
use offmap_sandbox::{FIELD_MAP, FULL_MAP, Sandbox};
use serde_json::{Value, json};

const GEODATABASE: &str = "generateGeodatabaseParameters";
const TILES: &str = "exportTileCacheParameters";
const VECTOR: &str = "exportVectorTilesParameters";

fn services(sandbox: &Sandbox) -> String {
    format!("{}/arcgis/rest/services", sandbox.url())
}

fn task_of(bench: &Bench, map: Value) -> OfflineMapTask {
    OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map")))
}

fn layer(bench: &Bench, id: &str, kind: &str, path: &str) -> Value {
    json!({"id": id, "title": id, "layerType": kind, "url": format!("{}/{path}", services(&bench.sandbox))})
}

fn small(task: &OfflineMapTask) -> GenerateOfflineMapParameters {
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    parameters
}

async fn plan(task: &OfflineMapTask) -> OfflineMapPlan {
    task.plan(&small(task), &Overrides::default()).await.expect("a plan")
}

/// The template of a task's overrides as JSON.
async fn template(task: &OfflineMapTask) -> Value {
    serde_json::to_value(Overrides::from_plan(&plan(task).await)).expect("JSON")
}

fn entry<'a>(overrides: &'a mut Value, kind: &str, service: &str) -> &'a mut Value {
    let all = overrides[kind].as_object_mut().unwrap_or_else(|| panic!("no {kind}"));
    all.iter_mut().find(|(url, _)| url.ends_with(service)).map(|(_, v)| v).unwrap_or_else(|| panic!("no {service}"))
}

async fn planned(task: &OfflineMapTask, overrides: &Value) -> Result<OfflineMapPlan, Failure> {
    task.plan(&small(task), &Overrides::from_json(&overrides.to_string())?).await
}

async fn refused(task: &OfflineMapTask, overrides: &Value) -> String {
    let failure = planned(task, overrides).await.expect_err("refused");
    assert_eq!(failure.owner, FailureOwner::Caller, "{failure}");
    failure.message
}

/// `syncDataOptions` of the replica that a service was asked for.
fn bits_sent(bench: &Bench, service: &str) -> Option<u64> {
    let path = format!("/{service}/FeatureServer/createReplica");
    let sent = bench.sandbox.requests().into_iter().rfind(|r| r.path.ends_with(&path)).expect("a replica");
    let options: Value = serde_json::from_str(sent.parameters.get("replicaoptions")?).expect("JSON");
    options["syncDataOptions"].as_u64()
}

/// `(layer id, query option, include related)` of a service's options.
fn options_of(plan: &OfflineMapPlan) -> Vec<(u64, String, bool)> {
    let list = plan.tasks[0].parameters["layerOptions"].as_array().cloned().unwrap_or_default();
    let one = |o: &Value| {
        let option = o["queryOption"].as_str().expect("an option").to_owned();
        (o["layerId"].as_u64().expect("an id"), option, o["includeRelated"].as_bool().expect("a flag"))
    };
    list.iter().map(one).collect()
}

// Annotations and dimensions.

fn drafting(bench: &Bench, service: &str, offline: Value) -> Value {
    json!({"operationalLayers": [
        layer(bench, "labels", "ArcGISAnnotationLayer", &format!("{service}/FeatureServer/0")),
        layer(bench, "measures", "ArcGISDimensionLayer", &format!("{service}/FeatureServer/1")),
        layer(bench, "ground", "ArcGISFeatureLayer", &format!("{service}/FeatureServer/2")),
    ], "applicationProperties": {"offline": offline}})
}

#[tokio::test]
async fn annotations_and_dimensions_are_asked_for_where_they_are_offered() {
    let bench = Bench::new().await;
    let task = task_of(&bench, drafting(&bench, "Drafting", Value::Null));
    let job = task.generate_offline_map(small(&task), Overrides::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert_eq!(bits_sent(&bench, "Drafting"), Some(1 | 2 | 4 | 8 | 32));
    // Both are parameters of their own, true by default.
    let mut overrides = template(&task).await;
    let given = entry(&mut overrides, GEODATABASE, "Drafting/FeatureServer");
    assert_eq!((&given["syncAnnotations"], &given["syncDimensions"]), (&json!(true), &json!(true)));
    assert_eq!(given["syncContingentValues"], json!(true));
    (given["syncAnnotations"], given["syncDimensions"]) = (json!(false), json!(false));
    given["layerOptions"].as_array_mut().expect("options").retain(|o| o["layerId"] == 2);
    std::fs::remove_dir_all(bench.destination()).expect("removes");
    let overrides = Overrides::from_json(&overrides.to_string()).expect("reads");
    let job = task.generate_offline_map(small(&task), overrides, bench.destination());
    run_to_end(&job).await.0.expect("a package");
    assert_eq!(bits_sent(&bench, "Drafting"), Some(4 | 8));
}

#[tokio::test]
async fn annotation_and_dimension_layers_are_not_supported_where_their_bit_is_not_offered() {
    let bench = Bench::new().await;
    let task = task_of(&bench, drafting(&bench, "PlainDrafting", Value::Null));
    let all = task.capabilities(&small(&task)).await.expect("capabilities");
    let of = |id: &str| all.layer_capabilities.iter().find(|c| c.id == id).expect("a layer").clone();
    for (id, word) in [("labels", "annotation"), ("measures", "dimension")] {
        let found = of(id);
        assert!(!found.supports_offline, "{id}");
        let words = found.failure.expect("a reason").message;
        assert!(words.contains(word) && words.contains("supportedSyncDataOptions"), "{words}");
        assert_eq!(serde_json::to_value(found.reason).expect("JSON"), "syncDataOptionsNotOffered");
    }
    assert!(of("ground").supports_offline, "their sibling goes offline");
}

// The author's bits.

#[tokio::test]
async fn the_author_s_sync_data_options_add_to_the_defaults() {
    let bench = Bench::new().await;
    // 144 is the utility network's, which this service does not offer; the defaults stay.
    let task = task_of(&bench, drafting(&bench, "Drafting", json!({"syncDataOptions": 144})));
    let job = task.generate_offline_map(small(&task), Overrides::default(), bench.destination());
    run_to_end(&job).await.0.expect("a package");
    assert_eq!(bits_sent(&bench, "Drafting"), Some(1 | 2 | 4 | 8 | 32));
}

// Include means include.

fn online_map(bench: &Bench) -> Value {
    json!({
        "operationalLayers": [
            layer(bench, "ground", "ArcGISFeatureLayer", "Reference/FeatureServer/3"),
            layer(bench, "no-sync", "ArcGISFeatureLayer", "OnlineOnly/FeatureServer/0"),
            layer(bench, "lost-key", "ArcGISFeatureLayer", "Awkward/FeatureServer/5"),
            {"id": "web-tiles", "title": "Web tiles", "layerType": "WebTiledLayer", "templateUrl": "https://tiles.example/{level}/{col}/{row}.png",
                "copyright": "somebody"},
            {"id": "media", "title": "Media", "layerType": "MediaLayer", "mediaType": "image", "url": "https://media.example/a.png",
                "georeference": {"kept": true}},
            {"id": "bing", "title": "Bing", "layerType": "BingMapsAerial", "bingLogo": "kept"},
        ],
        "baseMap": {"title": "B", "baseMapLayers": [
            {"id": "osm", "title": "OSM", "type": "OpenStreetMap", "layerType": "OpenStreetMap"},
            layer(bench, "no-export", "ArcGISTiledMapServiceLayer", "NoExport/MapServer"),
            layer(bench, "world", "ArcGISTiledMapServiceLayer", "World/MapServer"),
        ]},
        "applicationProperties": {"offline": {"connectedOnlineLayers": [{"id": "ground"}, {"id": "world"}]}},
    })
}

#[tokio::test]
async fn include_keeps_every_layer_that_cannot_be_taken_with_all_it_had() {
    let bench = Bench::new().await;
    let map = online_map(&bench);
    let task = task_of(&bench, map.clone());
    let mut parameters = small(&task);
    parameters.online_only_services_option = OnlineOnlyServicesOption::Include;
    let job = task.generate_offline_map(parameters, Overrides::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let written = serde_json::to_value(&package.maps()[0].map).expect("JSON");
    for (list, at) in [("/operationalLayers", 1..6), ("/baseMap/baseMapLayers", 0..2)] {
        let (before, after) = (map.pointer(list).expect("a list"), written.pointer(list).expect("a list"));
        assert_eq!(before.as_array().map(Vec::len), after.as_array().map(Vec::len), "{after:#}");
        for i in at {
            assert_eq!(before[i], after[i], "as it was in the web map");
        }
    }
    assert!(written["baseMap"]["baseMapLayers"][2]["path"].is_string());
}

#[tokio::test]
async fn exclude_names_a_layer_without_address_by_its_kind() {
    let bench = Bench::new().await;
    let task = task_of(&bench, online_map(&bench));
    let all = task.capabilities(&small(&task)).await.expect("capabilities");
    for id in ["osm", "bing", "web-tiles", "media"] {
        let found = all.layer_capabilities.iter().find(|c| c.id == id).expect("a layer");
        assert_eq!(serde_json::to_value(found.reason).expect("JSON"), "layerTypeNotSupported", "{id}");
    }
}

#[tokio::test]
async fn check_lists_every_layer_and_whether_it_remains_online() {
    let bench = Bench::new().await;
    let task = task_of(&bench, online_map(&bench));
    let mut parameters = small(&task);
    parameters.online_only_services_option = OnlineOnlyServicesOption::UseAuthoredSettings;
    let all = task.capabilities(&parameters).await.expect("capabilities");
    assert_eq!(all.layer_capabilities.len(), 9, "every layer of the map");
    let online: Vec<_> = all.layer_capabilities.iter().filter(|c| c.remains_online).map(|c| c.id.as_str()).collect();
    assert_eq!(online, ["world", "ground"], "the author's");
    parameters.online_only_services_option = OnlineOnlyServicesOption::Include;
    let all = task.capabilities(&parameters).await.expect("capabilities");
    assert_eq!(all.layer_capabilities.iter().filter(|c| c.remains_online).count(), 7);
    assert_eq!(all.layer_capabilities.iter().filter(|c| c.supports_offline).count(), 2);
    parameters.include_basemap = false;
    let all = task.capabilities(&parameters).await.expect("capabilities");
    assert_eq!(all.layer_capabilities.len(), 9, "left out is listed, too");
}

// Metadata and pairs.

#[test]
fn attachment_options_follow_each_other_and_explicit_pairs_are_judged() {
    let read = |rest: &str| {
        let area = r#""areaOfInterest":{"xmin":5,"ymin":45,"xmax":10,"ymax":48,"spatialReference":{"wkid":4326}}"#;
        GenerateOfflineMapParameters::from_json(&format!("{{{area}{rest}}}"))
    };
    let alone = read(r#","returnLayerAttachmentOption":"none""#).expect("the direction follows");
    assert_eq!(serde_json::to_value(alone.attachment_sync_direction).expect("JSON"), "upload");
    let both = read(r#","returnLayerAttachmentOption":"none","attachmentSyncDirection":"bidirectional""#);
    assert!(both.expect_err("refused").message.contains("not `bidirectional`"));
}

// Geodatabase overrides.

#[tokio::test]
async fn the_direction_of_an_override_follows_its_attachments_and_contradictions_are_refused() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    let mut parameters = small(&task);
    parameters.include_basemap = false;
    let mut overrides = template(&task).await;
    overrides.as_object_mut().expect("an object").retain(|key, _| key == GEODATABASE);
    let service = "Fieldwork/FeatureServer";
    for (attachments, sent) in [(true, "bidirectional"), (false, "none")] {
        let given = entry(&mut overrides, GEODATABASE, service);
        given["returnAttachments"] = json!(attachments);
        given.as_object_mut().expect("an object").remove("attachmentSyncDirection");
        let read = Overrides::from_json(&overrides.to_string()).expect("reads");
        let job = task.generate_offline_map(parameters.clone(), read, bench.destination());
        run_to_end(&job).await.0.expect("a package");
        std::fs::remove_dir_all(bench.destination()).expect("removes");
        let path = format!("/{service}/createReplica");
        let last = bench.sandbox.requests().into_iter().rfind(|r| r.path.ends_with(&path)).expect("a replica");
        assert_eq!(last.parameters["attachmentssyncdirection"], sent);
    }
    for (attachments, direction, valid) in [
        (true, "none", false),
        (true, "upload", true),
        (true, "bidirectional", true),
        (false, "none", true),
        (false, "upload", true),
        (false, "bidirectional", false),
    ] {
        let given = entry(&mut overrides, GEODATABASE, service);
        (given["returnAttachments"], given["attachmentSyncDirection"]) = (json!(attachments), json!(direction));
        if valid {
            planned(&task, &overrides).await.expect("a plan");
        } else {
            let words = refused(&task, &overrides).await;
            assert!(words.contains("attachmentSyncDirection") && words.contains(&format!("`{direction}`")), "{words}");
        }
    }
}

// Tile overrides and areas.

#[tokio::test]
async fn a_null_area_of_a_tile_override_is_the_full_extent_and_quality_is_a_double() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    let mut overrides = template(&task).await;
    overrides.as_object_mut().expect("an object").remove(GEODATABASE);
    let given = entry(&mut overrides, TILES, "World/MapServer");
    (given["areaOfInterest"], given["levelIds"]) = (Value::Null, json!([0, 1, 2]));
    given["compressionQuality"] = json!(82.5);
    let given = entry(&mut overrides, VECTOR, "Streets/VectorTileServer");
    (given["areaOfInterest"], given["maxLevel"]) = (Value::Null, json!(1));
    let found = planned(&task, &overrides).await.expect("a plan");
    let tiles = |name: &str| {
        let task = found.tasks.iter().find(|t| t.exporter == name).expect("a task");
        task.levels.iter().map(|l| l.tiles).collect::<Vec<_>>()
    };
    assert_eq!((tiles("tile-cache"), tiles("vector-tiles")), (vec![1, 4, 16], vec![1, 4]));
    let job = task.generate_offline_map(
        small(&task),
        Overrides::from_json(&overrides.to_string()).expect("reads"),
        bench.destination(),
    );
    let result = run_to_end(&job).await.0.expect("a package");
    let got = |id: &str| result.layers.iter().find(|l| l.id == id).map(|l| l.contents.got);
    assert_eq!(got("world"), Some(21));
    let sent = bench.sandbox.requests().into_iter().find(|r| r.path.ends_with("MapServer/exportTiles")).expect("an export");
    assert_eq!(sent.parameters["compressionquality"], "82.5");
    // Without a word of the area nothing is guessed.
    entry(&mut overrides, TILES, "World/MapServer").as_object_mut().expect("an object").remove("areaOfInterest");
    assert!(refused(&task, &overrides).await.contains("areaOfInterest"));
}

#[test]
fn areas_with_z_or_m_are_taken_as_their_x_and_y_and_curves_are_refused_by_that_word() {
    let flat = json!({"rings": [[[5.0, 45.0], [5.0, 48.0], [10.0, 48.0], [5.0, 45.0]]], "spatialReference": {"wkid": 4326}});
    let flat: offmap::AreaOfInterest = serde_json::from_value(flat).expect("reads");
    for ring in [
        json!([[5.0, 45.0, 7.0], [5.0, 48.0, 7.0], [10.0, 48.0, 7.0], [5.0, 45.0, 7.0]]),
        json!([[5.0, 45.0, 7.0, null], [5.0, 48.0, null, 1.0], [10.0, 48.0, 7.0, 1.0], [5.0, 45.0, 7.0, 1.0]]),
        json!([[5.0, 45.0, "NaN"], [5.0, 48.0], [10.0, 48.0], [5.0, 45.0]]),
    ] {
        let area = json!({"hasZ": true, "hasM": true, "rings": [ring], "spatialReference": {"wkid": 4326}});
        assert_eq!(offmap::AreaOfInterest::from_json(&area.to_string()).as_ref(), Ok(&flat));
        let parameters = json!({"areaOfInterest": area}).to_string();
        let read = GenerateOfflineMapParameters::from_json(&parameters).expect("reads");
        assert_eq!(read.area_of_interest, flat, "in the parameters alike");
    }
    let curved = json!({"curveRings": [[[5, 45], {"a": [[5, 45], [6, 46], 0, 1]}]], "spatialReference": {"wkid": 4326}});
    let words = offmap::AreaOfInterest::from_json(&curved.to_string()).expect_err("refused").message;
    assert!(words.contains("curve"), "{words}");
    let words = GenerateOfflineMapParameters::from_json(&json!({"areaOfInterest": curved}).to_string());
    assert!(words.expect_err("refused").message.contains("curve"));
}

// The row filter.

fn table(bench: &Bench, id: u32) -> Value {
    json!({"id": format!("t{id}"), "title": "T", "url": format!("{}/Surveys/FeatureServer/{id}", services(&bench.sandbox))})
}

#[tokio::test]
async fn a_table_related_to_itself_or_in_a_circle_or_with_an_origin_outside_the_map_gets_its_rows() {
    let bench = Bench::new().await;
    let all = |id: u64| (id, "all".to_owned(), false);
    let related = |id: u64| (id, "none".to_owned(), true);
    let sites = layer(&bench, "sites", "ArcGISFeatureLayer", "Surveys/FeatureServer/0");
    let others = layer(&bench, "others", "ArcGISFeatureLayer", "Surveys/FeatureServer/5");
    let filter = (0, "useFilter".to_owned(), false);
    for (layers, tables, expected) in [
        // Itself, and what hangs below it.
        (vec![], vec![table(&bench, 1)], vec![all(1)]),
        (vec![], vec![table(&bench, 1), table(&bench, 6)], vec![all(1), related(6)]),
        // A circle: nothing selects a first row.
        (vec![], vec![table(&bench, 2), table(&bench, 3)], vec![all(2), all(3)]),
        // Two origins, one of which is not in the map; then both.
        (vec![sites.clone()], vec![table(&bench, 4)], vec![filter.clone(), all(4)]),
        (
            vec![sites.clone(), others],
            vec![table(&bench, 4)],
            vec![filter.clone(), (5, "useFilter".into(), false), related(4)],
        ),
        // A table under operationalLayers is no candidate of the filter.
        (
            vec![sites, layer(&bench, "visits", "ArcGISFeatureLayer", "Surveys/FeatureServer/4")],
            vec![],
            vec![filter, all(4)],
        ),
    ] {
        let task = task_of(&bench, json!({"operationalLayers": layers, "tables": tables}));
        assert_eq!(options_of(&plan(&task).await), expected);
    }
    let map = json!({"operationalLayers": [layer(&bench, "visits", "ArcGISFeatureLayer", "Surveys/FeatureServer/4")],
        "tables": [table(&bench, 1), table(&bench, 2), table(&bench, 3), table(&bench, 6)]});
    let task = task_of(&bench, map);
    let job = task.generate_offline_map(small(&task), Overrides::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let got: Vec<u64> = result.layers.iter().map(|l| l.contents.got).collect();
    assert_eq!(got, [6, 6, 6, 6, 5]);
}

// The cache of an image service.

#[tokio::test]
async fn the_cache_of_an_image_service_is_a_tiled_layer_in_the_package() {
    let bench = Bench::new().await;
    let map = json!({"operationalLayers": [layer(&bench, "relief", "ArcGISImageServiceLayer", "Relief/ImageServer")],
        "baseMap": {"title": "B", "baseMapLayers": [layer(&bench, "shade", "ArcGISTiledImageServiceLayer", "Relief/ImageServer")]}});
    let task = task_of(&bench, map);
    let job = task.generate_offline_map(small(&task), Overrides::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let written = serde_json::to_value(&package.maps()[0].map).expect("JSON");
    for pointer in ["/operationalLayers/0", "/baseMap/baseMapLayers/0"] {
        let layer = written.pointer(pointer).expect("a layer");
        assert_eq!(layer["layerType"], "ArcGISTiledMapServiceLayer", "{layer}");
        assert!(layer["path"].is_string());
    }
    let manifest = serde_json::to_value(package.manifest().expect("a manifest").expect("a good one")).expect("JSON");
    let online: Vec<_> = manifest["layers"].as_array().expect("layers").iter().map(|l| l["layerType"].clone()).collect();
    assert_eq!(online, ["ArcGISTiledImageServiceLayer", "ArcGISImageServiceLayer"], "the online type is kept");
}

// Keys of vector tiled layers.

#[tokio::test]
async fn the_key_of_a_vector_tiled_layer_with_a_service_url_is_that_url() {
    let bench = Bench::new().await;
    let service = format!("{}/Streets/VectorTileServer", services(&bench.sandbox));
    let style = format!(
        "{}/portal/sharing/rest/content/items/{}/resources/styles/root.json",
        bench.sandbox.url(),
        offmap_sandbox::STYLE_ITEM
    );
    let vector = |id: &str, style: Option<&str>| json!({"id": id, "title": id, "layerType": "VectorTileLayer", "url": service, "styleUrl": style});
    let own = format!("{service}/resources/styles/root.json");
    let map = json!({"baseMap": {"title": "B", "baseMapLayers": [
        vector("plain", None), vector("styled", Some(&style)), vector("own", Some(&own))]}});
    let task = task_of(&bench, map);
    let found = plan(&task).await;
    let keys: Vec<_> = found.tasks.iter().map(|t| (t.key.service_url.clone(), t.layers.len())).collect();
    assert_eq!(keys, [(service.clone(), 3)], "one service, one key, one package");
    let job = task.generate_offline_map(small(&task), Overrides::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert_eq!(bench.sandbox.requests().iter().filter(|r| r.path.ends_with("VectorTileServer/exportTiles")).count(), 1);
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let written = serde_json::to_value(&package.maps()[0].map).expect("JSON");
    let layers = written["baseMap"]["baseMapLayers"].as_array().cloned().expect("layers");
    assert_eq!(layers[0]["path"], layers[1]["path"]);
    let with_style: Vec<_> = layers.iter().map(|l| l["itemPath"].is_string()).collect();
    assert_eq!(with_style, [false, true, false], "the service's own style is in its package");
    assert!(offmap::verify_deep(&result.package).expect("verifies").ok);
}

// Author's settings with unknown words.

#[tokio::test]
async fn an_unknown_word_of_the_author_s_settings_is_a_warning_with_the_default_in_its_place() {
    let bench = Bench::new().await;
    let places = layer(&bench, "p", "ArcGISFeatureLayer", "Fieldwork/FeatureServer/0");
    for (offline, named) in [
        (
            json!({"editableLayers": {"download": "everythingNew", "sync": "uploadFeaturesAndAttachments"},
            "readonlyLayers": {"downloadAttachments": true}}),
            "editableLayers.download",
        ),
        (json!({"editableLayers": {"download": "featuers", "sync": "uploadFeaturesAndAttachments"}}), "featuers"),
        (
            json!({"editableLayers": {"sync": "uploadFeaturesAndAttachments"}, "readonlyLayers": {"downloadAttachments": "maybe"}}),
            "maybe",
        ),
        (json!({"editableLayers": {"sync": "uploadFeaturesAndAttachments"}, "syncDataOptions": "all"}), "syncDataOptions"),
        (
            json!({"editableLayers": {"sync": "uploadFeaturesAndAttachments"}, "connectedOnlineLayers": 7}),
            "connectedOnlineLayers",
        ),
        (
            json!({"editableLayers": {"sync": "uploadFeaturesAndAttachments"}, "tables": {"includeRows": "no"}}),
            "tables.includeRows",
        ),
    ] {
        let task = task_of(&bench, json!({"operationalLayers": [places], "applicationProperties": {"offline": offline}}));
        let parameters = task.default_parameters(area()).expect("the default stands in its place");
        assert_eq!(
            serde_json::to_value(&parameters).expect("JSON")["returnLayerAttachmentOption"],
            "allLayers",
            "{offline}"
        );
        let direction = serde_json::to_value(parameters.attachment_sync_direction).expect("JSON");
        assert_eq!(direction, "upload", "what is known is kept: {offline}");
        let found = task.plan(&parameters, &Overrides::default()).await.expect("a plan");
        assert!(found.warnings.iter().any(|w| w.contains(named) && w.contains("default")), "{:?}", found.warnings);
    }
}

// Export twins and the reduced fonts.

#[test]
fn esri_s_export_hosts_are_known_also_to_a_map_that_came_as_a_file() {
    let source = OfflineMapSource::from_web_map(WebMap::from_json(r#"{"operationalLayers":[]}"#).expect("a map"));
    let pairs: Vec<(&str, &str)> = source.export_hosts.iter().map(|h| (bare(&h.source), bare(&h.export))).collect();
    assert_eq!(
        pairs,
        [
            ("services.arcgisonline.com", "tiledbasemaps.arcgis.com"),
            ("basemaps-api.arcgis.com", "basemaps.arcgis.com"),
            ("ibasemaps-api.arcgis.com", "tiledbasemaps.arcgis.com"),
        ]
    );
}

fn bare(text: &str) -> &str {
    text.trim_start_matches("https://").trim_end_matches('/')
}

#[tokio::test]
async fn a_portal_without_a_list_of_export_hosts_leaves_the_documented_ones() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    assert!(task.source().export_hosts.iter().any(|h| bare(&h.source) == "services.arcgisonline.com"));
}

#[tokio::test]
async fn the_reduced_fonts_are_a_choice_of_a_service_s_own_override() {
    let bench = Bench::new().await;
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    source.reduced_fonts_services.push(offmap::ReducedFontsService {
        service_url: format!("{}/Streets/VectorTileServer", services(&bench.sandbox)),
        reduced_fonts_url: format!("{}/StreetsReduced/VectorTileServer", services(&bench.sandbox)),
    });
    let task = OfflineMapTask::new(&bench.engine, source);
    let mut overrides = template(&task).await;
    overrides.as_object_mut().expect("an object").retain(|key, _| key == VECTOR);
    let given = entry(&mut overrides, VECTOR, "Streets/VectorTileServer");
    assert_eq!(given["esriVectorTilesDownloadOption"], "useOriginalService");
    given["esriVectorTilesDownloadOption"] = json!("useReducedFontsService");
    given["maxLevel"] = json!(1);
    let read = Overrides::from_json(&overrides.to_string()).expect("reads");
    let mut parameters = small(&task);
    parameters.include_basemap = false;
    let job = task.generate_offline_map(parameters, read, bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let sent = bench.sandbox.requests();
    let exports: Vec<_> =
        sent.iter().filter(|r| r.path.ends_with("VectorTileServer/exportTiles")).map(|r| r.path.as_str()).collect();
    assert_eq!(exports.len(), 1);
    assert!(exports[0].ends_with("/StreetsReduced/VectorTileServer/exportTiles"), "{exports:?}");
    // The default of its own is -1: every level.
    let bare = entry(&mut overrides, VECTOR, "Streets/VectorTileServer").as_object_mut().expect("an object");
    bare.remove("maxLevel");
    let found = planned(&task, &overrides).await.expect("a plan");
    assert_eq!(found.tasks.iter().find(|t| t.exporter == "vector-tiles").map(|t| t.levels.len()), Some(9));
}

#[test]
fn the_bare_parameters_of_a_geodatabase_have_the_sdk_s_defaults() {
    let bare = json!({"extent": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "spatialReference": {"wkid": 4326}}, "layerOptions": []});
    let bare: GenerateGeodatabaseParameters = serde_json::from_value(bare).expect("reads");
    let json = serde_json::to_value(bare).expect("JSON");
    for (key, value) in [
        ("returnAttachments", json!(false)),
        ("syncModel", json!("layer")),
        ("syncAnnotations", json!(true)),
        ("syncDimensions", json!(true)),
        ("syncContingentValues", json!(true)),
        ("syncAttributeRules", json!(true)),
        ("utilityNetworkSyncMode", json!("none")),
        ("outSpatialReference", Value::Null),
    ] {
        assert_eq!(json[key], value, "{key}");
    }
}

#[tokio::test]
async fn every_layer_of_a_full_map_that_remains_online_is_listed_once() {
    let bench = Bench::new().await;
    let task = bench.task(FULL_MAP).await;
    let mut parameters = small(&task);
    parameters.online_only_services_option = OnlineOnlyServicesOption::UseAuthoredSettings;
    let all = task.capabilities(&parameters).await.expect("capabilities");
    let mut ids: Vec<_> = all.layer_capabilities.iter().map(|c| c.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), task.source().web_map.layers().iter().filter(|l| !l.is_table()).count());
}

#[tokio::test]
async fn a_job_tells_its_map_parameters_and_overrides() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    let parameters = small(&task);
    let overrides = Overrides::from_json(&template(&task).await.to_string()).expect("reads");
    let job = task.generate_offline_map(parameters.clone(), overrides.clone(), bench.destination());
    assert_eq!(job.online_map(), &task.source().web_map);
    assert_eq!((job.parameters(), job.parameter_overrides()), (&parameters, &overrides));
    let text = job.to_json().expect("JSON");
    let again = offmap::GenerateOfflineMapJob::from_json(&bench.engine, &text).expect("reads");
    assert_eq!((again.parameters(), again.parameter_overrides()), (&parameters, &overrides));
}

#[tokio::test]
async fn the_near_limit_of_a_vector_tiled_layer_narrows_its_levels() {
    let bench = Bench::new().await;
    let mut streets = layer(&bench, "streets", "VectorTileLayer", "Streets/VectorTileServer");
    streets["maxScale"] = json!(20_000_000.0);
    let task = task_of(&bench, json!({"operationalLayers": [streets]}));
    let parameters = task.default_parameters(area()).expect("parameters");
    let found = task.plan(&parameters, &Overrides::default()).await.expect("a plan");
    // Level 4 of the scheme is 1:18,489,298.
    assert_eq!(found.tasks[0].parameters["maxLevel"], json!(4));
}

#[tokio::test]
async fn the_map_s_capabilities_make_a_layer_read_only() {
    let bench = Bench::new().await;
    let mut places = layer(&bench, "places", "ArcGISFeatureLayer", "Fieldwork/FeatureServer/0");
    for (capabilities, option) in [(None, "none"), (Some("Query,Sync"), "useFilter"), (Some("Query,Update"), "none")] {
        places["capabilities"] = json!(capabilities);
        let task = task_of(&bench, json!({"operationalLayers": [places]}));
        let mut parameters = small(&task);
        parameters.return_schema_only_for_editable_layers = true;
        let found = task.plan(&parameters, &Overrides::default()).await.expect("a plan");
        assert_eq!(options_of(&found)[0].1, option, "{capabilities:?}");
    }
}
