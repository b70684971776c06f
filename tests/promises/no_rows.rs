//! Services that have no rows yet, or say nothing of their extent: their layers come empty, and no area lies outside them.

use crate::support::{Bench, area, run_to_end};
use offmap::arcgis::ServiceCall;
use offmap::testing::FaultAction;
use offmap::{AreaOfInterest, GenerateOfflineMapParameters, OfflineMapSource, OfflineMapTask, WebMap, verify_deep};
use offmap_sandbox::Fault;
use serde_json::{Value, json};

fn map_of(bench: &Bench, service: &str, layers: &[u32], tables: &[u32]) -> WebMap {
    let url = |id: &u32| format!("{}/arcgis/rest/services/{service}/FeatureServer/{id}", bench.sandbox.url());
    let layers: Vec<Value> = layers
        .iter()
        .map(|id| json!({"id": format!("layer-{id}"), "layerType": "ArcGISFeatureLayer", "url": url(id)}))
        .collect();
    let tables: Vec<Value> = tables.iter().map(|id| json!({"id": format!("table-{id}"), "url": url(id)})).collect();
    WebMap::from_value(json!({"operationalLayers": layers, "tables": tables, "spatialReference": {"wkid": 102_100}}))
        .expect("a map")
}

/// The description of a service with another extent; `None` takes it away.
async fn with_extent(bench: &Bench, service: &str, extent: Option<Value>) {
    let url = format!("{}/arcgis/rest/services/{service}/FeatureServer", bench.sandbox.url());
    bench.sandbox.heal();
    let mut description = bench.client.json(&ServiceCall::get(&url).expect("a call")).await.expect("answers");
    let members = description.as_object_mut().expect("an object");
    for key in ["fullExtent", "initialExtent"] {
        match &extent {
            Some(extent) => members.insert(key.to_owned(), extent.clone()),
            None => members.remove(key),
        };
    }
    let path = format!("/arcgis/rest/services/{service}/featureserver").to_ascii_lowercase();
    bench.sandbox.fault(Fault::always_at(&path, FaultAction::Body(description)));
}

fn box_of(xmin: f64, ymin: f64, xmax: f64, ymax: f64) -> Value {
    json!({"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax, "spatialReference": {"wkid": 102_100, "latestWkid": 3857}})
}

/// San Francisco, where templates of new services lie.
fn far_away() -> Value {
    box_of(-13_630_000.0, 4_540_000.0, -13_620_000.0, 4_550_000.0)
}

#[tokio::test]
async fn layers_of_a_service_without_rows_come_as_empty_layers_whatever_it_says_of_its_extent() {
    let bench = Bench::new().await;
    let words = json!({"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN", "spatialReference": {"wkid": 102_100}});
    for (what, extent) in [
        ("words for numbers", Some(words)),
        ("null", Some(Value::Null)),
        ("nothing", None),
        ("nulls", Some(json!({"xmin": null, "ymin": null, "xmax": null, "ymax": null}))),
        ("a point", Some(box_of(0.0, 0.0, 0.0, 0.0))),
        ("inverted", Some(box_of(1.0, 1.0, -1.0, -1.0))),
        ("an extent elsewhere", Some(far_away())),
    ] {
        with_extent(&bench, "Empty", extent).await;
        let map = map_of(&bench, "Empty", &[0, 2], &[5]);
        let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
        let parameters = GenerateOfflineMapParameters::new(area());
        let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
        let result = run_to_end(&job).await.0.unwrap_or_else(|e| panic!("{what}: {}", e.failure));
        assert!(!result.has_errors(), "{what}: {:?}", result.layers);
        for id in ["layer-0", "layer-2"] {
            let layer = result.layers.iter().find(|l| l.id == id).expect("an outcome");
            assert_eq!((layer.contents.planned, layer.contents.got), (Some(0), 0), "{what}: {layer:?}");
        }
        let found = verify_deep(&result.package).expect("verifies");
        assert!(found.ok && found.complete == Some(true), "{what}: {found:?}");
        std::fs::remove_dir_all(&result.package).expect("removes");
    }
}

#[tokio::test]
async fn an_area_far_from_the_rows_of_every_service_is_still_called_outside() {
    let bench = Bench::new().await;
    with_extent(&bench, "Reference", Some(far_away())).await;
    let map = map_of(&bench, "Reference", &[0, 3], &[]);
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
    let pacific = AreaOfInterest::from_numbers("-150,-40,-149,-39").expect("an area");
    let failure = task.plan(&GenerateOfflineMapParameters::new(pacific), &Default::default()).await.expect_err("outside");
    assert!(failure.message.contains("outside every service"), "{failure}");
}

#[tokio::test]
async fn an_extent_that_goes_on_beyond_the_dateline_has_two_sides() {
    let bench = Bench::new().await;
    // 175 to 188 degrees east; the area is at 181 to 182, where no country is.
    let extent = box_of(19_480_911.0, -5_000_000.0, 20_928_064.0, -1_000_000.0);
    with_extent(&bench, "Reference", Some(extent)).await;
    let map = map_of(&bench, "Reference", &[0, 3], &[]);
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
    let area = AreaOfInterest::from_numbers("-179,-40,-178,-39").expect("an area");
    let plan = task.plan(&GenerateOfflineMapParameters::new(area), &Default::default()).await.expect("not outside");
    assert!(plan.tasks[0].layers.iter().all(|l| l.expected == Some(0)), "{:?}", plan.tasks[0].layers);
}

#[tokio::test]
async fn a_tiled_service_without_an_extent_is_counted_by_the_area_alone() {
    let bench = Bench::new().await;
    let url = format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url());
    let whole = bench.client.json(&ServiceCall::get(&url).expect("a call")).await.expect("answers");
    let mut planned = Vec::new();
    for extent in [whole["fullExtent"].clone(), Value::Null, box_of(0.0, 0.0, 0.0, 0.0), json!({"xmin": "NaN"})] {
        bench.sandbox.heal();
        let mut description = whole.clone();
        description["fullExtent"] = extent;
        bench.sandbox.fault(Fault::always_at("/arcgis/rest/services/world/mapserver", FaultAction::Body(description)));
        let map = json!({"operationalLayers": [], "baseMap": {"baseMapLayers": [
            {"id": "world", "layerType": "ArcGISTiledMapServiceLayer", "url": url}]}, "spatialReference": {"wkid": 102_100}});
        let map = WebMap::from_value(map).expect("a map");
        let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map));
        let plan = task.plan(&GenerateOfflineMapParameters::new(area()), &Default::default()).await.expect("a plan");
        planned.push(plan.tasks.first().and_then(|t| t.layers.first()?.expected));
    }
    assert!(planned[0].is_some_and(|n| n > 10), "{planned:?}");
    assert!(planned.iter().all(|n| *n == planned[0]), "{planned:?}");
}
