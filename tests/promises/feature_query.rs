//! Services that give no replica: their rows come page by page, and are those that a replica of the same data has.

use crate::support::{Bench, files_below, run_to_end};
use offmap::exporters::feature_query::FeatureQueryExporter;
use offmap::formats::features::{Feature, FeatureReader as _, FieldType, Value};
use offmap::formats::geodatabase::Geodatabase;
use offmap::testing::exporter_conformance;
use offmap::{
    AreaOfInterest, DirectDownload, GenerateOfflineMapJob, GenerateOfflineMapParameterOverrides, GenerateOfflineMapResult,
    OfflineMapSource, OfflineMapTask, ReturnLayerAttachmentOption, WebMap, verify_deep,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Most of the world: more rows than a page has.
pub(crate) const AREA: &str = "-170,-60,170,75";

/// A map of the layers and tables of field work, as a service has them.
pub(crate) fn map(bench: &Bench, service: &str) -> OfflineMapSource {
    let url = |id: u32| format!("{}/arcgis/rest/services/{service}/FeatureServer/{id}", bench.sandbox.url());
    let layer = |id: &str, of: u32, clause: &str| {
        json!({"id": id, "title": id, "layerType": "ArcGISFeatureLayer", "url": url(of),
        "layerDefinition": {"definitionExpression": clause}})
    };
    let map = json!({
        "operationalLayers": [layer("places", 0, ""), layer("borders", 1, "LENGTH_KM > 50"), layer("countries", 2, "")],
        "tables": [{"id": "inspections", "title": "inspections", "url": url(5)},
            {"id": "measurements", "title": "measurements", "url": url(6)}],
        "spatialReference": {"wkid": 102_100, "latestWkid": 3857}, "version": "2.37"});
    OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
}

pub(crate) fn job(
    bench: &Bench,
    source: OfflineMapSource,
    overrides: GenerateOfflineMapParameterOverrides,
    to: &Path,
) -> GenerateOfflineMapJob {
    let task = OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(AreaOfInterest::from_numbers(AREA).expect("an area")).expect("parameters");
    parameters.direct_download = DirectDownload::WhenNotExportable;
    parameters.return_layer_attachment_option = ReturnLayerAttachmentOption::AllLayers;
    task.generate_offline_map(parameters, overrides, to)
}

/// Takes a map, and checks that its package is complete.
pub(crate) async fn take(bench: &Bench, source: OfflineMapSource, to: &Path) -> GenerateOfflineMapResult {
    let result = run_to_end(&job(bench, source, Default::default(), to)).await.0.expect("a package");
    assert!(!result.has_errors(), "{:#?}", result.layers);
    let found = verify_deep(&result.package).expect("verifies");
    assert!(found.ok && found.complete == Some(true), "{found:?}");
    result
}

/// A row as it is compared: its values by field, and the corners of its shape on a grid of a millimetre.
pub(crate) type Row = (BTreeMap<String, String>, Option<BTreeSet<[i64; 2]>>);

/// Rows by the layer's id in its service and their object ids.
pub(crate) type Rows = BTreeMap<(i64, i64), Row>;

/// Attachments by their ids: names with the object ids of their rows, and their bytes.
pub(crate) type Attached = BTreeMap<i64, (String, Vec<u8>)>;

fn geodatabases(package: &Path) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| path.extension().is_some_and(|e| e == "geodatabase");
    files_below(package).into_iter().filter(is_one).collect()
}

fn text(value: &Value) -> String {
    match value {
        // GUIDs are compared by what they stand for.
        Value::Text(text) => text.trim_matches(['{', '}']).to_uppercase(),
        other => format!("{other:?}"),
    }
}

/// The rows of a package by the layer's id in its service and their object ids, and the attachments as bytes.
pub(crate) fn contents(package: &Path) -> (Rows, Attached) {
    let (mut rows, mut attached) = (Rows::new(), Attached::new());
    for path in geodatabases(package) {
        let file = Geodatabase::open(&path, &CancellationToken::new()).expect("opens");
        assert!(file.refused_layers().is_empty(), "every layer is read");
        for (place, layer) in file.layers().iter().enumerate() {
            let id = layer.item_id.expect("an id");
            let names: Vec<String> = layer.fields.iter().map(|f| f.name.clone()).collect();
            let taken = |feature: &Feature| {
                let values = names.iter().cloned().zip(feature.values.iter().map(text)).collect();
                let millimetres = |n: f64| (n * 1000.0).round() as i64;
                let shape = feature.geometry().map(|g| g.xy().iter().map(|p| p.map(millimetres)).collect());
                let before = rows.insert((id, feature.object_id.expect("an id")), (values, shape));
                assert!(before.is_none(), "no row comes twice");
                Ok(())
            };
            let mut taken = taken;
            file.read_features(place, None, &mut taken).expect("reads");
            let mut take = |attachment: &offmap::formats::features::Attachment, bytes: &mut dyn std::io::Read| {
                let mut all = Vec::new();
                bytes.read_to_end(&mut all).expect("reads");
                attached.insert(attachment.id, (format!("{} {:?}", attachment.name, attachment.object_id), all));
                Ok(())
            };
            if layer.has_attachments {
                file.read_attachments(place, None, &mut take).expect("reads");
            }
        }
    }
    (rows, attached)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_values_shapes_and_attachments_are_those_of_a_replica_however_a_service_is_asked() {
    let bench = Bench::new().await;
    let replica = take(&bench, map(&bench, "Fieldwork"), &bench.dir.path().join("replica")).await;
    let (expected, photos) = contents(&replica.package);
    let of_layer = |id: i64| expected.keys().filter(|(layer, _)| *layer == id).count();
    assert!(of_layer(0) > 200 && of_layer(2) > 100 && of_layer(5) > 300 && of_layer(6) > 100 && photos.len() > 60);
    for service in ["OpenData", "OpenDataPbf", "OpenDataOrdered", "OpenDataOld", "OpenDataCut", "OpenDataShortLists"] {
        let result = take(&bench, map(&bench, service), &bench.dir.path().join(service)).await;
        let (rows, attached) = contents(&result.package);
        assert_eq!(rows.len(), expected.len(), "{service}");
        for (key, row) in &expected {
            assert_eq!(rows.get(key), Some(row), "{service}, row {key:?}");
        }
        assert!(attached == photos, "{service}: {} attachments of {}", attached.len(), photos.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_is_asked_by_the_best_way_that_it_has() {
    let bench = Bench::new().await;
    for (service, offset, range, format) in [
        ("OpenData", true, false, "json"),
        ("OpenDataPbf", true, false, "pbf"),
        ("OpenDataOrdered", false, true, "json"),
        ("OpenDataOld", false, false, "json"),
    ] {
        let before = bench.sandbox.requests().len();
        take(&bench, map(&bench, service), &bench.dir.path().join(service)).await;
        let requests = bench.sandbox.requests();
        let pages: Vec<_> = requests[before..].iter().filter(|r| r.parameters.contains_key("returntruecurves")).collect();
        assert!(pages.len() >= 12, "{service}: {} pages", pages.len());
        // Related tables are asked for by lists in any case.
        let pages: Vec<_> = pages.iter().filter(|r| !r.path.contains("/5/") && !r.path.contains("/6/")).collect();
        let has = |key: &str| pages.iter().any(|r| r.parameters.contains_key(key));
        assert_eq!(has("resultoffset"), offset, "{service}");
        let is_range = |clause: &String| clause.contains("OBJECTID >= ");
        assert_eq!(pages.iter().filter_map(|r| r.parameters.get("where")).any(is_range), range, "{service}");
        assert_eq!(has("objectids"), !offset && !range, "{service}");
        assert!(pages.iter().all(|r| r.parameters.get("f").is_some_and(|f| f == format)), "{service}");
        // Each row once: five pages of places, as many as their count needs.
        let places = pages.iter().filter(|r| r.path.to_lowercase().contains("/0/query")).count();
        assert_eq!(places, 5, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_another_name_in_no_order_and_values_of_other_types_come_as_they_are() {
    let bench = Bench::new().await;
    let plain = take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("plain")).await;
    let sloppy = take(&bench, map(&bench, "OpenDataSloppy"), &bench.dir.path().join("sloppy")).await;
    let (expected, (rows, _)) = (contents(&plain.package).0, contents(&sloppy.package));
    assert_eq!(rows.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let mut numbers = 0;
    for ((layer, id), (values, shape)) in &rows {
        let (as_expected, same_shape) = &expected[&(*layer, *id)];
        assert_eq!(shape, same_shape);
        for (name, value) in values {
            let is_number = name == "NAME" && value.parse::<usize>().is_ok();
            numbers += usize::from(is_number);
            assert!(is_number || value == &as_expected[name], "{layer} {id} {name}: {value} {}", as_expected[name]);
        }
    }
    assert!(numbers > 20, "numbers in a column of texts: {numbers}");
    let path = &geodatabases(&sloppy.package)[0];
    let file = Geodatabase::open(path, &CancellationToken::new()).expect("opens");
    let places = file.layers().iter().find(|l| l.item_id == Some(0)).expect("places");
    assert_eq!(places.object_id_field.as_deref(), Some("FID"));
    let kind = places.fields.iter().find(|f| f.name == "KIND").expect("a field");
    assert_eq!(kind.field_type, FieldType::Integer, "numbers that are written as texts are numbers");
    assert_eq!(kind.domain.as_ref().map(|d| d.name.as_str()), Some("KIND_values"));
    assert!(file.relationships().iter().any(|r| r.origin_key == "GlobalID" && r.destination_key == "PLACE_ID"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_of_exporters() {
    let bench = Bench::new().await;
    let source = map(&bench, "OpenData");
    let task = OfflineMapTask::new(&bench.engine, source.clone());
    let mut parameters = task.default_parameters(AreaOfInterest::from_numbers(AREA).expect("an area")).expect("parameters");
    parameters.direct_download = DirectDownload::WhenNotExportable;
    let kept = exporter_conformance(FeatureQueryExporter::new(bench.client.clone()), source, parameters).await;
    assert_eq!(kept, Ok(()));
}
