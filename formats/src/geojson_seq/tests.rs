//! Sequences that are written, ended early and gone on with.

use super::GeoJsonSequenceSink;
use crate::features::{CopyOptions, Feature, FeatureSink, GeometryField, LayerSchema, copy_features};
use crate::geodatabase::Geodatabase;
use crate::geodatabase::feature_tests::made;
use crate::geometry::GeometryKind;
use offmap_model::{FailureKind, SpatialReference};
use serde_json::{Value as Json, json};
use std::path::Path;
use tokio_util::sync::CancellationToken;

fn features(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).expect("reads");
    let mut texts = text.split('\u{1e}');
    assert_eq!(texts.next(), Some(""), "each text begins with the separator");
    texts.map(|t| serde_json::from_str(t.strip_suffix('\n').expect("a line feed")).expect("JSON")).collect()
}

#[test]
fn a_geodatabase_becomes_features_in_degrees() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("x.geodatabase");
    made(&from);
    let reader = Geodatabase::open(&from, &CancellationToken::new()).expect("opens");
    let to = dir.path().join("x.geojsons");
    let mut sink = GeoJsonSequenceSink::create(&to).expect("a sink");
    let copied = copy_features(&reader, &mut sink, &CopyOptions::default()).expect("copies");
    sink.finish_file().expect("finishes");
    assert_eq!(copied.left_out, ["2 attachments", "relationship `SiteVisits`"]);
    let all = features(&to);
    assert_eq!(all.len(), 6);
    let expected = json!({"type": "Feature", "id": 7, "layer": "Sites", "geometry": {"type": "Point", "coordinates": [7.0, 46.5]},
        "properties": {"GlobalID": "{A}", "Kind": 1, "State": "u", "Height": 12.0, "Seen": "1970-01-01T00:00:00.000Z",
            "Day": "2024-02-29", "Big": 9_007_199_254_740_993_i64}});
    assert_eq!(all[0], expected);
    assert_eq!((&all[1]["geometry"], &all[3]["properties"]), (&Json::Null, &json!({"SiteID": "{A}", "Note": "wet"})));
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 2, "nothing beside");
}

fn layer(spatial_reference: SpatialReference) -> LayerSchema {
    let geometry =
        GeometryField { name: "s".into(), kind: GeometryKind::Polygon, has_z: true, has_m: false, spatial_reference };
    LayerSchema::new("p", Some(geometry))
}

fn put(sink: &mut GeoJsonSequenceSink, rows: std::ops::Range<i64>) {
    let mut feature = Feature::with_fields(0);
    for row in rows {
        feature.row_id = row;
        let shape = feature.new_geometry(GeometryKind::Polygon, true, false);
        // Clockwise, as Esri's outer rings are, and a hole that runs the same way.
        for (low, high) in [(0.0, 900_000.0), (300_000.0, 600_000.0)] {
            for at in [[low, low], [low, high], [high, high], [high, low]] {
                shape.add_point(at, row as f64, 0.0);
            }
            shape.close_part();
        }
        sink.put_feature(&feature).expect("puts");
    }
}

#[test]
fn web_mercator_is_projected_rings_are_turned_and_a_sequence_goes_on_where_it_was_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("x.geojsons");
    let mut sink = GeoJsonSequenceSink::create(&to).expect("a sink");
    sink.begin_layer(&layer(SpatialReference::web_mercator())).expect("begins");
    put(&mut sink, 0..3);
    sink.keep().expect("keeps");
    put(&mut sink, 3..9);
    drop(sink);
    assert!(!to.exists());
    let mut sink = GeoJsonSequenceSink::resume(&to).expect("a sink");
    let there = sink.begin_layer(&layer(SpatialReference::web_mercator())).expect("begins").0;
    assert_eq!((there.after, there.rows), (Some(2), 3));
    put(&mut sink, 3..5);
    sink.finish_file().expect("finishes");
    let all = features(&to);
    assert_eq!(all.len(), 5);
    let rings = all[4]["geometry"]["coordinates"][0].as_array().expect("a polygon");
    let area = |ring: &Json| {
        let number = |at: &Json, n: usize| at[n].as_f64().expect("a number");
        let points: Vec<[f64; 2]> =
            ring.as_array().expect("a ring").iter().map(|at| [number(at, 0), number(at, 1)]).collect();
        assert_eq!(points.first(), points.last());
        offmap_model::geometry::signed_area(&points)
    };
    assert_eq!(rings.len(), 2);
    assert!(area(&rings[0]) > 60.0 && area(&rings[1]) < 0.0, "{} {}", area(&rings[0]), area(&rings[1]));
    assert_eq!(rings[0][2], json!([8.084_837_557, 8.058_140_546, 4.0]));
}

#[test]
fn another_spatial_reference_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sink = GeoJsonSequenceSink::create(&dir.path().join("x")).expect("a sink");
    let failure = sink.begin_layer(&layer(SpatialReference::from_wkid(2056))).expect_err("refused");
    assert!(failure.kind == FailureKind::NotSupported && failure.message.contains("wkid 2056"), "{failure}");
}
