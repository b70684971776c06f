//! Whatever JSON comes: an answer or a failure, never a panic.

use offmap::{
    AreaOfInterest, Engine, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, OfflineMapSource,
    OfflineMapTask, WebMap,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::OnceLock;

/// Words that mean something somewhere, so that random documents get past the first check.
const WORDS: [&str; 30] = [
    "areaOfInterest",
    "rings",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "spatialReference",
    "wkid",
    "minScale",
    "maxScale",
    "itemInfo",
    "thumbnail",
    "operationalLayers",
    "baseMap",
    "baseMapLayers",
    "tables",
    "layers",
    "id",
    "url",
    "layerType",
    "layerDefinition",
    "definitionExpression",
    "featureCollection",
    "applicationProperties",
    "offline",
    "connectedOnlineLayers",
    "generateGeodatabaseParameters",
    "onlineLayers",
    "title",
    "customParameters",
];
/// Values of the same kind.
const TEXTS: [&str; 10] = [
    "",
    "GroupLayer",
    "ArcGISFeatureLayer",
    "VectorTileLayer",
    "https://h/rest/services/S/FeatureServer/0",
    "http://",
    "allLayers",
    "../..",
    "data:image/png;base64,AAAA",
    "\u{0}",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(TEXTS.to_vec()).prop_map(Value::from),
        prop::collection::vec(any::<char>(), 0..8).prop_map(|c| Value::from(c.into_iter().collect::<String>())),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let key = prop::sample::select(WORDS.to_vec());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

/// All places of a document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| pointers(v, &format!("{at}/{k}"), all)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), all)),
        _ => {}
    }
}

/// A good document with something else in one place.
fn broken(good: &Value, place: prop::sample::Index, other: Value) -> Value {
    let mut all = Vec::new();
    pointers(good, "", &mut all);
    let mut value = good.clone();
    if let Some(slot) = value.pointer_mut(place.get(&all).as_str()) {
        *slot = other;
    }
    value
}

fn good_parameters() -> Value {
    let area = AreaOfInterest::from_numbers("175,-22,-170,-10").expect("an area");
    let mut parameters = serde_json::to_value(GenerateOfflineMapParameters::new(area)).expect("JSON");
    parameters["itemInfo"] = json!({"title": "T", "tags": ["a"]});
    parameters
}

fn good_map() -> Value {
    json!({"operationalLayers": [{"layerType": "GroupLayer", "layers": [{"id": "a", "layerType": "ArcGISFeatureLayer",
            "url": "http://localhost:1/rest/services/S/FeatureServer/0", "layerDefinition": {"definitionExpression": "A = 1"}}]},
            {"id": "f", "featureCollection": {"layers": []}}],
        "baseMap": {"baseMapLayers": [{"id": "b", "layerType": "Other", "url": "x"}]}, "tables": [{"id": "t", "url": "y"}],
        "spatialReference": {"wkid": 102100}, "applicationProperties": {"offline": {"editableLayers": {"download": "none"},
            "connectedOnlineLayers": [{"id": "a"}], "tables": [{"includeRows": false}]}}})
}

fn good_overrides() -> Value {
    json!({"generateGeodatabaseParameters": {"http://localhost:1/rest/services/S/FeatureServer": {"layerOptions": [{"layerId": 0}]}},
        "onlineLayers": ["a"], "onlineTables": []})
}

/// A task without exporters: planning is all reading, nothing is asked.
fn plan(map: &Value, parameters: &Value, overrides: &Value) {
    static ENGINE: OnceLock<(tokio::runtime::Runtime, Engine)> = OnceLock::new();
    let (runtime, engine) = ENGINE.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let engine = {
            let _entered = runtime.enter();
            Engine::builder(offmap::packager::MobileMapPackager).start().expect("starts")
        };
        (runtime, engine)
    });
    let Ok(map) = WebMap::from_value(map.clone()) else { return };
    let parameters = GenerateOfflineMapParameters::from_json(&parameters.to_string());
    let overrides = GenerateOfflineMapParameterOverrides::from_json(&overrides.to_string());
    let task = OfflineMapTask::new(engine, OfflineMapSource::from_web_map(map));
    if let (Ok(parameters), Ok(overrides)) = (parameters, overrides) {
        let planned = runtime.block_on(task.plan(&parameters, &overrides));
        if let Ok(plan) = planned {
            serde_json::to_string(&plan).expect("a plan is JSON");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_json_is_no_panic_in_parameters_overrides_maps_and_areas(json in any_json()) {
        let text = json.to_string();
        let _ = GenerateOfflineMapParameters::from_json(&text);
        let _ = GenerateOfflineMapParameterOverrides::from_json(&text);
        if let Ok(area) = AreaOfInterest::from_json(&text) {
            prop_assert!(area.check().is_ok());
            prop_assert!(!area.parts().is_empty());
        }
        plan(&json, &good_parameters(), &good_overrides());
    }

    #[test]
    fn a_good_document_with_one_random_place_is_no_panic(place: prop::sample::Index, which in 0..3, other in any_json()) {
        let (mut map, mut parameters, mut overrides) = (good_map(), good_parameters(), good_overrides());
        match which {
            0 => map = broken(&map, place, other),
            1 => parameters = broken(&parameters, place, other),
            _ => overrides = broken(&overrides, place, other),
        }
        plan(&map, &parameters, &overrides);
        let _ = AreaOfInterest::from_json(&parameters["areaOfInterest"].to_string());
    }
}
