//! What can go offline, and why not: every reason, and a map that has all of it.

use crate::support::{Bench, area, run_to_end};
use offmap::arcgis::ServiceCall;
use offmap::packager::{MobileMapPackage, verify};
use offmap::{CapabilityReason, ExportState, OfflineMapCapabilities, OfflineMapSource, OfflineMapTask, WebMap};
use offmap_sandbox::{AWKWARD_MAP, FULL_MAP, Fault, FaultAction};
use serde_json::{Value, json};

async fn of_map(bench: &Bench, map: Value) -> OfflineMapCapabilities {
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map")));
    let parameters = task.default_parameters(area()).expect("parameters");
    task.capabilities(&parameters).await.expect("capabilities")
}

fn reason(all: &OfflineMapCapabilities, id: &str) -> Option<CapabilityReason> {
    let mut every = all.layer_capabilities.iter().chain(&all.table_capabilities);
    let found = every.find(|c| c.id == id).unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(found.supports_offline, found.reason.is_none());
    assert!(found.supports_offline || found.failure.as_ref().is_some_and(|f| f.message.len() > 20), "{found:?}");
    found.reason
}

#[tokio::test]
async fn every_rule_that_a_feature_layer_breaks_is_told_by_its_reason() {
    use CapabilityReason as R;
    let bench = Bench::new().await;
    let task = bench.task(AWKWARD_MAP).await;
    let parameters = task.default_parameters(area()).expect("parameters");
    let all = task.capabilities(&parameters).await.expect("capabilities");
    for (id, expected) in [
        ("sound", None),
        ("no-global-ids", Some(R::GlobalIdMissing)),
        ("word-of-sql", Some(R::FieldNotSupported)),
        ("dashed-index", Some(R::IndexNotSupported)),
        ("join-view", Some(R::JoinView)),
        ("lost-key", Some(R::RelationshipKeyMissing)),
        ("lost-subtype", Some(R::SubtypeFieldMissing)),
        ("untracked-view", Some(R::EditorTrackingMissing)),
        ("own-features", Some(R::OwnershipBasedAccess)),
        ("no-sync", Some(R::SyncNotEnabled)),
    ] {
        assert_eq!(reason(&all, id), expected, "{id}");
    }
    assert!(all.has_errors());
}

#[tokio::test]
async fn services_and_addresses_that_cannot_be_used_are_told_by_their_reason() {
    use CapabilityReason as R;
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services", bench.sandbox.url());
    let layer = |id: &str, kind: &str, path: &str| json!({"id": id, "layerType": kind, "url": format!("{services}/{path}")});
    let map = json!({"operationalLayers": [
        layer("no-sync", "ArcGISFeatureLayer", "OnlineOnly/FeatureServer/0"),
        layer("no-layer", "ArcGISFeatureLayer", "Fieldwork/FeatureServer/77"),
        layer("no-service", "ArcGISFeatureLayer", "Nowhere/FeatureServer/0"),
        layer("queried", "ArcGISFeatureLayer", "World/MapServer/0"),
        {"id": "no-address", "layerType": "ArcGISFeatureLayer", "title": "Lost"},
        layer("stream", "ArcGISStreamLayer", "Vehicles/StreamServer"),
    ], "tables": [{"id": "table", "url": format!("{services}/World/MapServer/1")}]});
    let all = of_map(&bench, map).await;
    for (id, expected) in [
        ("no-sync", R::SyncNotEnabled),
        ("no-layer", R::LayerNotFound),
        ("no-service", R::ServiceNotUsable),
        ("queried", R::LayerTypeNotSupported),
        ("no-address", R::NoServiceAddress),
        ("stream", R::LayerTypeNotSupported),
        ("table", R::LayerTypeNotSupported),
    ] {
        assert_eq!(reason(&all, id), Some(expected), "{id}");
    }
    let words = |id: &str| {
        let every = all.layer_capabilities.iter().chain(&all.table_capabilities);
        every.filter(|c| c.id == id).find_map(|c| c.failure.clone()).map(|f| f.to_string()).expect("words")
    };
    assert!(words("queried").contains("a replica needs a feature service"), "{}", words("queried"));
    assert!(words("no-service").contains("Service not found."), "the service's own words: {}", words("no-service"));
    assert!(words("stream").contains("live stream"));
}

#[tokio::test]
async fn tiled_services_that_cannot_export_are_told_by_their_reason() {
    use CapabilityReason as R;
    for (kind, path, change, expected) in [
        ("ArcGISTiledMapServiceLayer", "World/MapServer", json!({"exportTilesAllowed": false}), R::ExportTilesNotAllowed),
        ("ArcGISTiledMapServiceLayer", "World/MapServer", json!({"singleFusedMapCache": false}), R::NotTiled),
        ("VectorTileLayer", "Streets/VectorTileServer", json!({"exportTilesAllowed": false}), R::ExportTilesNotAllowed),
    ] {
        let bench = Bench::new().await;
        let url = format!("{}/arcgis/rest/services/{path}", bench.sandbox.url());
        let mut described = bench.client.json(&ServiceCall::get(&url).expect("a url")).await.expect("a description");
        described.as_object_mut().expect("an object").extend(change.as_object().cloned().expect("an object"));
        bench.sandbox.fault(Fault::always(&path.to_lowercase(), FaultAction::Body(described)));
        let all = of_map(&bench, json!({"operationalLayers": [{"id": "t", "layerType": kind, "url": url}]})).await;
        assert_eq!(reason(&all, "t"), Some(expected));
    }
    let bench = Bench::new().await;
    let url = format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url());
    let mut described = bench.client.json(&ServiceCall::get(&url).expect("a url")).await.expect("a description");
    described["tileInfo"]["spatialReference"] = json!({"wkt": "PROJCS[\"Works grid\"]"});
    bench.sandbox.fault(Fault::always("world/mapserver", FaultAction::Body(described)));
    let tiled = json!({"id": "t", "layerType": "ArcGISTiledMapServiceLayer", "url": url});
    let all = of_map(&bench, json!({"operationalLayers": [tiled]})).await;
    assert_eq!(reason(&all, "t"), Some(R::SpatialReferenceNotSupported));
    bench.sandbox.heal();
    let style = format!("{}/portal/sharing/rest/content/items/x/resources/styles/root.json", bench.sandbox.url());
    let two = json!({"version": 8, "layers": [], "sources": {"a": {"type": "vector", "url": format!("{url}/../../Streets/VectorTileServer")},
        "b": {"type": "vector", "url": format!("{url}/../../Other/VectorTileServer")}}});
    bench.sandbox.fault(Fault::always("styles/root.json", FaultAction::Body(two)));
    let all =
        of_map(&bench, json!({"operationalLayers": [{"id": "v", "layerType": "VectorTileLayer", "styleUrl": style}]})).await;
    assert_eq!(reason(&all, "v"), Some(R::MultipleSources));
}

#[tokio::test]
async fn a_range_of_scales_without_a_level_is_told_with_the_layer_s_own_range() {
    let bench = Bench::new().await;
    let url = format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url());
    let map = json!({"operationalLayers": [{"id": "t", "layerType": "ArcGISTiledMapServiceLayer", "url": url}]});
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map")));
    let mut parameters = task.default_parameters(area()).expect("parameters");
    (parameters.min_scale, parameters.max_scale) = (2000.0, 1000.0);
    let all = task.capabilities(&parameters).await.expect("capabilities");
    assert_eq!(reason(&all, "t"), Some(CapabilityReason::NoLevelInRange));
    let words = all.layer_capabilities[0].failure.as_ref().map(ToString::to_string).expect("words");
    assert!(words.contains("1:591657528 to 1:1155581"), "{words}");
}

/// Every member of a value, by its pointer.
fn at<'a>(map: &'a Value, pointer: &str) -> &'a Value {
    map.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {map:#}"))
}

#[tokio::test]
async fn a_map_that_has_all_of_it_is_checked_planned_and_taken() {
    let bench = Bench::new().await;
    let task = bench.task(FULL_MAP).await;
    let parameters = task.default_parameters(area()).expect("parameters");
    let all = task.capabilities(&parameters).await.expect("capabilities");
    let offline: Vec<_> = all.layer_capabilities.iter().filter(|c| c.supports_offline).map(|c| c.id.as_str()).collect();
    assert_eq!(offline, ["world", "towns", "capitals", "countries", "sorts", "borders", "kept-online", "streets", "sketch"]);
    assert!(all.table_capabilities.iter().all(|c| c.supports_offline) && all.has_errors());
    let job = bench.job(FULL_MAP, |_| {}).await;
    let result = run_to_end(&job).await.0.expect("a package");
    let missing: Vec<_> = result.layer_errors().map(|l| l.id.as_str()).collect();
    assert_eq!(missing, ["dynamic", "online", "queried", "wms", "ogc"]);
    let others = result.layers.iter().filter(|l| !l.is_error());
    assert!(others.clone().all(|l| l.state == ExportState::Succeeded), "{:?}", others.collect::<Vec<_>>());
    assert!(verify(&result.package).expect("verifies").ok);
    let replicas = bench.sandbox.requests().iter().filter(|r| r.path.ends_with("createReplica")).count();
    assert_eq!(replicas, 2, "one for each service, however it is written and wherever its layers stand");
}

#[tokio::test]
async fn two_map_layers_on_one_service_layer_both_go_offline_and_keep_their_own_filters_and_symbols() {
    let bench = Bench::new().await;
    let job = bench.job(FULL_MAP, |p| p.include_basemap = false).await;
    let before = serde_json::to_value(&bench.task(FULL_MAP).await.source().web_map).expect("JSON");
    run_to_end(&job).await.0.expect("a package");
    let request = bench
        .sandbox
        .requests()
        .into_iter()
        .find(|r| r.path.to_lowercase().ends_with("fieldwork/featureserver/createreplica"));
    let request = request.expect("a replica");
    let queries: Value = serde_json::from_str(&request.parameters["layerqueries"]).expect("JSON");
    assert_eq!(queries["0"]["where"], "(KIND = 0) OR (KIND = 2)");
    assert_eq!(request.parameters["layers"].split(',').filter(|id| *id == "0").count(), 1, "one replica layer");
    let package = MobileMapPackage::open(&bench.destination()).expect("opens");
    let map = serde_json::to_value(&package.maps()[0].map).expect("JSON");
    let (towns, capitals) = ("/operationalLayers/0/layers/0", "/operationalLayers/0/layers/1/layers/0");
    assert_eq!(at(&map, &format!("{towns}/layerDefinition/definitionExpression")), "KIND = 0");
    assert_eq!(at(&map, &format!("{capitals}/layerDefinition/definitionExpression")), "KIND = 2");
    assert_eq!(at(&map, &format!("{towns}/path")), at(&map, &format!("{capitals}/path")));
    let drawing = format!("{towns}/layerDefinition/drawingInfo");
    assert_eq!(at(&map, &drawing), at(&before, &drawing), "overridden advanced symbols survive");
    let sorts = map["operationalLayers"].as_array().and_then(|l| l.iter().find(|l| l["id"] == "sorts")).expect("the group");
    assert_eq!(sorts["layers"].as_array().map(Vec::len), Some(2), "the drawn parts of a subtype group stay");
    assert!(sorts["path"].as_str().is_some_and(|p| p.contains("itemId=1")), "{sorts}");
    assert_eq!(at(&map, "/utilityNetworks"), at(&before, "/utilityNetworks"));
}

#[tokio::test]
async fn maps_of_every_version_are_read_with_their_oddities() {
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services", bench.sandbox.url());
    // No layerType, no visibility, other letters: a map as the first viewers wrote it.
    let old = |version: Value| {
        let mut map = json!({
            "operationalLayers": [
                {"id": "places_1", "url": format!("{services}/fieldwork/featureserver/0/"), "mode": 1},
                {"id": "tiles_2", "url": services.replace("http:", "HTTP:") + "/World/MapServer?token="},
                {"id": "image_3", "url": format!("{services}/Hills/ImageServer")},
            ],
            "baseMap": {"title": "B", "baseMapLayers": [{"id": "v", "type": "VectorTileLayer", "url": format!("{services}/Streets/VectorTileServer")}]},
        });
        if !version.is_null() {
            map["version"] = version;
        }
        map
    };
    let versions = (0..=37).map(|minor| json!(format!("2.{minor}"))).chain([json!("3.0"), json!(2.1), Value::Null]);
    for version in versions {
        let map = WebMap::from_value(old(version.clone())).expect("reads");
        let kinds: Vec<String> = map.layers().iter().map(|l| l.layer_type.to_string()).collect();
        let expected = ["VectorTileLayer", "ArcGISFeatureLayer", "ArcGISTiledMapServiceLayer", "ArcGISImageServiceLayer"];
        assert_eq!(kinds, expected, "{version}");
    }
    let all = of_map(&bench, old(json!("2.0"))).await;
    assert_eq!((reason(&all, "places_1"), reason(&all, "tiles_2"), reason(&all, "v")), (None, None, None));
    assert_eq!(reason(&all, "image_3"), Some(CapabilityReason::ServiceNotUsable));
}
