//! Why a layer stays behind: what was found, what is there instead, and a way out that works.

use crate::support::{Bench, area, files_below, holds, run_to_end};
use offmap::testing::FaultAction;
use offmap::{
    CapabilityReason, ExportState, FailureKind, FailureOwner, GenerateOfflineMapParameters, LayerCapability,
    OfflineMapSource, OfflineMapTask, PortalItem, WebMap,
};
use offmap_sandbox::Fault;
use serde_json::{Value, json};
use std::collections::HashMap;

const ODD_URLS: &str = include_str!("../cases/webmap-odd-addresses.json");

/// What is said of each layer, by id.
async fn capabilities(bench: &Bench, map: Value) -> HashMap<String, LayerCapability> {
    let map = WebMap::from_value(map).expect("a map");
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
    let found = task.capabilities(&GenerateOfflineMapParameters::new(area())).await.expect("capabilities");
    found.layer_capabilities.into_iter().chain(found.table_capabilities).map(|c| (c.id.clone(), c)).collect()
}

#[tokio::test]
async fn layers_with_odd_urls_are_exported_and_each_that_is_not_names_what_is_there_instead() {
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services", bench.sandbox.url());
    let map = WebMap::from_json(&ODD_URLS.replace("$SERVICES", &services)).expect("a map");
    let mut parameters = GenerateOfflineMapParameters::new(area());
    parameters.max_scale = 10_000_000.0;
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    job.keep_unfinished();
    let (result, messages) = run_to_end(&job).await;
    let result = result.expect("a package");
    for id in ["slash", "double", "token", "case"] {
        let layer = result.layers.iter().find(|l| l.id == id).expect("an outcome");
        assert_eq!(layer.state, ExportState::Succeeded, "{layer:?}");
        assert!(layer.contents.got > 0 && Some(layer.contents.got) == layer.contents.planned, "{layer:?}");
    }
    let there = "0 `Places`, 1 `Borders`, 2 `Countries`, 3 `Routes`, 9 `Boundaries` (Group Layer)";
    for (id, kind, words) in [
        (
            "root",
            FailureKind::NotFound,
            format!("names the service {services}/Assets/FeatureServer, expected one of its layers; it has {there}"),
        ),
        (
            "gone",
            FailureKind::NotFound,
            format!("Assets/FeatureServer has no layer 28; it has {there}; correct the url in the map"),
        ),
        (
            "group",
            FailureKind::NotSupported,
            "is a group layer without rows of its own; put its layers in the map instead: 1 `Borders`, 2 `Countries`"
                .to_owned(),
        ),
        ("wms", FailureKind::NotSupported, "its server draws pictures on request (OGC) and exports no tiles".to_owned()),
        ("osm", FailureKind::NotSupported, "its tiles cannot be exported".to_owned()),
    ] {
        let layer = result.layers.iter().find(|l| l.id == id).expect("an outcome");
        let failure = layer.failure.as_ref().expect("a reason");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, kind), "{failure}");
        assert!(failure.message.contains(&words), "{id}: {failure}");
        assert!(!failure.may_succeed_later(), "another try does not help: {failure}");
    }
    // The author's word that is not known.
    let warning = "`applicationProperties.offline.editableLayers.download` is \"everythingNew\", expected one of";
    assert!(
        result.warnings.iter().any(|w| w.contains(warning) && w.ends_with("the default holds: featuresAndAttachments")),
        "{:?}",
        result.warnings
    );
    // The token is nowhere.
    let mut files = files_below(bench.dir.path());
    assert!(files.len() > 3);
    files.retain(|file| holds(&std::fs::read(file).expect("reads"), "NOT-TO-BE-KEPT"));
    assert!(files.is_empty(), "{files:?}");
    let told = format!("{messages:?} {result:?} {:?} {}", bench.sandbox.requests(), job.to_json().expect("JSON"));
    assert!(!told.contains("NOT-TO-BE-KEPT"));
}

#[tokio::test]
async fn a_layer_of_an_unknown_type_without_fields_and_a_service_without_layers_are_named() {
    let bench = Bench::new().await;
    let url = format!("{}/arcgis/rest/services/Assets/FeatureServer", bench.sandbox.url());
    let layer = |id: u32| json!({"id": format!("{id}"), "title": "Odd", "layerType": "ArcGISFeatureLayer", "url": format!("{url}/{id}")});
    let mosaic = json!({"id": 0, "name": "Pictures", "type": "Mosaic Layer", "capabilities": "Query,Sync"});
    bench.sandbox.fault(Fault::always_at("/assets/featureserver/0", FaultAction::Body(mosaic)));
    let all = capabilities(&bench, json!({"operationalLayers": [layer(0), layer(1)]})).await;
    assert!(all["1"].supports_offline, "{:?}", all["1"]);
    assert_eq!(all["0"].reason, Some(CapabilityReason::LayerTypeNotSupported));
    let words = all["0"].failure.as_ref().expect("a reason").to_string();
    assert!(
        words.contains("is of the type `Mosaic Layer` and has no fields; expected is one of Feature Layer, Table"),
        "{words}"
    );
    bench.sandbox.heal();
    let bare =
        json!({"currentVersion": 11.2, "capabilities": "Query,Sync", "syncEnabled": true, "layers": [], "tables": []});
    bench.sandbox.fault(Fault::always_at("/assets/featureserver", FaultAction::Body(bare)));
    let all = capabilities(&bench, json!({"operationalLayers": [layer(1)]})).await;
    assert_eq!(all["1"].reason, Some(CapabilityReason::LayerNotFound));
    let words = all["1"].failure.as_ref().expect("a reason").to_string();
    assert!(words.contains("has no layer 1; it has none that it lists"), "{words}");
}

#[tokio::test]
async fn urls_that_cannot_be_asked_and_kinds_that_are_not_known_are_named() {
    let bench = Bench::new().await;
    let map = json!({"operationalLayers": [
        {"id": "ftp", "layerType": "ArcGISFeatureLayer", "url": "ftp://files.example/roads?token=NOT-TO-BE-KEPT"},
        {"id": "item", "layerType": "ArcGISFeatureLayer", "type": "Feature Collection", "itemId": "c0ffee"},
        {"id": "kind", "layerType": "HologramLayer", "url": "https://h.example/x"},
    ]});
    let all = capabilities(&bench, map).await;
    for (at, reason, words) in [
        ("ftp", CapabilityReason::NoServiceAddress, "its url `ftp://files.example/roads` is not an http or https url"),
        ("item", CapabilityReason::LayerTypeNotSupported, "portal item c0ffee (a feature collection)"),
        (
            "kind",
            CapabilityReason::LayerTypeNotSupported,
            "kind of layer `HologramLayer` is not known; supported are ArcGISFeatureLayer",
        ),
    ] {
        assert_eq!(all[at].reason, Some(reason), "{:?}", all[at]);
        let found = all[at].failure.as_ref().expect("a reason").to_string();
        assert!(found.contains(words) && !found.contains("NOT-TO-BE-KEPT"), "{found}");
    }
    assert!(bench.sandbox.requests().is_empty(), "nobody is asked");
}

#[tokio::test]
async fn an_item_that_is_no_web_map_is_named_with_what_to_do_with_it() {
    for (kind, words) in [
        (
            "Compact Tile Package",
            "is a Compact Tile Package, expected a Web Map; download it, and name the file as referenceBasemapFilename",
        ),
        ("Vector Tile Package", "referenceBasemapFilename"),
        ("Feature Service", "add it to a web map, and give the id of that"),
        ("Feature Collection", "add it to a web map"),
        ("Mobile Map Package", "it is an offline map already"),
        ("Web Mapping Application", "give the id of the web map that it shows"),
    ] {
        let map = WebMap::from_value(json!({"operationalLayers": []})).expect("a map");
        let item = PortalItem { id: "abc".into(), title: "T".into(), item_type: kind.into(), ..PortalItem::default() };
        let source = OfflineMapSource { item: Some(item), ..OfflineMapSource::from_web_map(map) };
        let failure = source.check().expect_err("refused");
        assert_eq!(failure.owner, FailureOwner::Caller);
        assert!(failure.message.contains(words), "{failure}");
    }
    for (json, words) in [
        (json!({"currentVersion": 11, "capabilities": "Query", "layers": []}), "description of a service"),
        (json!({"version": 8, "sources": {}, "layers": []}), "vector tile style"),
        (json!({"type": "FeatureCollection", "features": []}), "--area"),
    ] {
        let failure = WebMap::from_value(json).expect_err("refused");
        assert!(failure.message.contains("not a web map") && failure.message.contains(words), "{failure}");
    }
}
