//! Files that are written, ended early and gone on with, read by the library that others wrote.

use super::GeoParquetSink;
use super::metadata::geo;
use crate::features::{Feature, FeatureSink as _, Field, FieldType, GeometryField, LayerSchema, Value};
use crate::geometry::{Geometry, GeometryKind, wkb};
use offmap_model::SpatialReference;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field as Found, RowAccessor as _};
use serde_json::{Value as Json, json};
use std::path::Path;

fn layer() -> LayerSchema {
    let field = |name: &str, field_type| Field {
        name: name.into(),
        alias: None,
        field_type,
        length: None,
        is_nullable: true,
        domain: None,
    };
    let spatial_reference = SpatialReference::web_mercator();
    let geometry =
        GeometryField { name: "Shape".into(), kind: GeometryKind::Line, has_z: true, has_m: true, spatial_reference };
    let mut layer = LayerSchema::new("Ways", Some(geometry));
    layer.object_id_field = Some("id".into());
    layer.fields = vec![
        field("kind", FieldType::SmallInteger),
        field("bbox", FieldType::Text),
        field("seen", FieldType::Date),
        field("day", FieldType::DateOnly),
        field("big", FieldType::BigInteger),
        field("share", FieldType::Double),
        field("data", FieldType::Blob),
    ];
    layer
}

fn row(id: i64) -> Feature {
    let mut feature = Feature::with_fields(7);
    (feature.row_id, feature.object_id) = (id, Some(id));
    if id % 3 != 0 {
        feature.values = vec![
            Value::Integer(id % 7),
            Value::Text(format!("way {id} ü")),
            Value::Date(1_709_211_600_007 + id),
            Value::Date(86_400_000 * id),
            Value::Integer(9_007_199_254_740_993 + id),
            Value::Real(id as f64 / 8.0),
            Value::Blob(vec![0, id as u8]),
        ];
    }
    if id % 4 != 3 {
        let shape = feature.new_geometry(GeometryKind::Line, true, true);
        for at in 0..2 + id % 3 {
            shape.add_point([id as f64, at as f64], at as f64, 9.0);
        }
        shape.close_part();
    }
    feature
}

fn write(to: &Path, rows: i64, keep_every: i64) {
    let mut sink = GeoParquetSink::create(to).expect("begins");
    sink.begin_layer(&layer()).expect("begins");
    for id in 1..=rows {
        sink.put_feature(&row(id)).expect("puts");
        if id % keep_every == 0 {
            sink.keep().expect("keeps");
        }
    }
    assert_eq!(sink.put_relationships(&[]).expect("knows"), ["the measures of layer `Ways`"]);
    sink.finish_file().expect("completes");
}

#[test]
fn every_value_and_shape_is_read_again_and_the_words_are_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("x.parquet");
    write(&to, 50, 20);
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing beside");
    let reader = SerializedFileReader::new(std::fs::File::open(&to).expect("opens")).expect("reads");
    let metadata = reader.metadata();
    assert_eq!(
        metadata.row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).collect::<Vec<_>>(),
        [20, 20, 10]
    );
    let words = metadata
        .file_metadata()
        .key_value_metadata()
        .and_then(|all| all.iter().find(|kv| kv.key == "geo"))
        .and_then(|kv| kv.value.as_deref());
    let words: Json = serde_json::from_str(words.expect("is there")).expect("JSON");
    assert_eq!((&words["version"], &words["primary_column"]), (&json!("1.1.0"), &json!("Shape")));
    let column = &words["columns"]["Shape"];
    assert_eq!((&column["encoding"], &column["geometry_types"]), (&json!("WKB"), &json!(["MultiLineString Z"])));
    assert_eq!(
        (&column["bbox"], &column["covering"]["bbox"]["ymax"]),
        (&json!([1.0, 0.0, 50.0, 3.0]), &json!(["bbox_", "ymax"]))
    );
    assert_eq!(column["crs"]["id"]["code"], 3857);
    let mut shape = Geometry::default();
    for (id, found) in (1_i64..).zip(reader.get_row_iter(None).expect("rows")) {
        let found = found.expect("a row");
        let expected = row(id);
        assert_eq!(found.get_long(0).ok(), Some(id));
        let all: Vec<Found> = found.get_column_iter().map(|(_, value)| value.clone()).collect();
        if id % 3 == 0 {
            assert!(all[1..8].iter().all(|value| *value == Found::Null), "{id}: {all:?}");
        } else {
            assert_eq!((&all[1], &all[2]), (&Found::Short((id % 7) as i16), &Found::Str(format!("way {id} ü"))));
            assert_eq!((&all[3], &all[4]), (&Found::TimestampMillis(1_709_211_600_007 + id), &Found::Date(id as i32)));
            assert_eq!((&all[5], &all[6]), (&Found::Long(9_007_199_254_740_993 + id), &Found::Double(id as f64 / 8.0)));
            assert_eq!(all[7], Found::Bytes(vec![0, id as u8].into()));
        }
        let Some(geometry) = expected.geometry() else {
            assert_eq!((&all[8], &all[9]), (&Found::Null, &Found::Null));
            continue;
        };
        let Found::Bytes(bytes) = &all[8] else { panic!("{all:?}") };
        wkb::read(bytes.data(), &mut shape).expect("a shape");
        assert_eq!((shape.xy(), shape.z(), shape.has_m()), (geometry.xy(), geometry.z(), false));
        let Found::Group(corners) = &all[9] else { panic!("{all:?}") };
        let corners = [0, 1, 2, 3].map(|at| corners.get_double(at).expect("a number"));
        assert_eq!(Some(corners), geometry.extent());
    }
}

#[test]
fn spatial_references_are_said_where_they_can_be() {
    let said = |wkid| {
        let spatial_reference = SpatialReference::from_wkid(wkid);
        let field =
            GeometryField { name: "s".into(), kind: GeometryKind::Point, has_z: false, has_m: false, spatial_reference };
        geo(&field, "bbox", false, None)["columns"]["s"].clone()
    };
    let degrees = said(4326);
    assert!(degrees.get("crs").is_none() && degrees["geometry_types"] == json!([]), "{degrees}");
    assert_eq!(said(2056).get("crs"), Some(&Json::Null));
    for (wkid, zone, longitude, northing) in
        [(32_632, "32N", 9.0, 0.0), (32_601, "1N", -177.0, 0.0), (32_756, "56S", 153.0, 1e7)]
    {
        let crs = said(wkid)["crs"].clone();
        assert_eq!((&crs["name"], &crs["id"]["code"]), (&json!(format!("WGS 84 / UTM zone {zone}")), &json!(wkid)));
        let parameter = |at: usize| crs["conversion"]["parameters"][at]["value"].as_f64();
        assert_eq!((parameter(1), parameter(4)), (Some(longitude), Some(northing)), "{crs}");
    }
}

#[test]
fn a_sink_that_ended_early_goes_on_and_makes_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (whole, half) = (dir.path().join("whole.parquet"), dir.path().join("half.parquet"));
    write(&whole, 50, 20);
    let mut sink = GeoParquetSink::create(&half).expect("begins");
    sink.begin_layer(&layer()).expect("begins");
    (1..=20).for_each(|id| sink.put_feature(&row(id)).expect("puts"));
    sink.keep().expect("keeps");
    (21..=33).for_each(|id| sink.put_feature(&row(id)).expect("puts"));
    drop(sink);
    assert!(!half.exists());
    let mut sink = GeoParquetSink::resume(&half).expect("goes on");
    let (features, _) = sink.begin_layer(&layer()).expect("begins");
    assert_eq!((features.after, features.rows), (Some(20), 20));
    for id in 21..=50 {
        sink.put_feature(&row(id)).expect("puts");
        if id == 40 {
            sink.keep().expect("keeps");
        }
    }
    sink.finish_file().expect("completes");
    assert!(std::fs::read(&whole).expect("reads") == std::fs::read(&half).expect("reads"));
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 2, "nothing beside");
}

#[test]
fn a_row_that_cannot_be_held_is_named_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("x.parquet");
    let mut sink = GeoParquetSink::create(&to).expect("begins");
    sink.begin_layer(&layer()).expect("begins");
    sink.put_feature(&row(1)).expect("puts");
    let mut bad = row(2);
    bad.values[6] = Value::Text("no bytes".into());
    let failure = sink.put_feature(&bad).expect_err("refused");
    assert!(failure.message.contains("feature 2 of layer `Ways`") && failure.message.contains("`data`"), "{failure}");
    let mut large = row(2);
    large.values[0] = Value::Integer(40_000);
    assert!(sink.put_feature(&large).is_err());
    sink.put_feature(&row(4)).expect("puts");
    let second = sink.begin_layer(&LayerSchema::new("Others", None)).expect_err("refused");
    assert!(second.message.contains("holds one layer") && second.message.contains("`Others`"), "{second}");
    sink.finish_file().expect("completes");
    let reader = SerializedFileReader::new(std::fs::File::open(&to).expect("opens")).expect("reads");
    let ids: Vec<i64> =
        reader.get_row_iter(None).expect("rows").map(|row| row.and_then(|row| row.get_long(0)).expect("an id")).collect();
    assert_eq!(ids, [1, 4]);
}
