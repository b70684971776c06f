//! Rows out of JSON.
//!
//! Source: feature service reference §5.1.

use super::fit::Raw;
use super::row_reader::{ReadRows, RowReader, Shapes, Wrong};
use super::stored::StoredShape;
use offmap_formats::geometry::GeometryKind;
use offmap_model::{Failure, number};
use serde_json::{Map, Value};

/// Members of a shape with arcs in it.
const CURVES: [&str; 2] = ["curvePaths", "curveRings"];

/// The attribute of a field: by its name, else by the name without its letter case.
pub(super) fn attribute<'a>(attributes: &'a Map<String, Value>, name: &str) -> &'a Value {
    let other = || attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    attributes.get(name).or_else(other).unwrap_or(&Value::Null)
}

fn raw(value: &Value) -> Raw<'_> {
    match value {
        Value::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map_or(Raw::Null, Raw::Real), Raw::Integer),
        Value::String(text) => Raw::Text(text),
        Value::Bool(flag) => Raw::Integer(i64::from(*flag)),
        _ => Raw::Null,
    }
}

/// A coordinate; NaN where it is written as `"NaN"` or null.
fn coordinate(value: Option<&Value>) -> f64 {
    value.and_then(|v| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok())).unwrap_or(f64::NAN)
}

/// Adds a point of a list: x, y, then z, then m.
fn add_listed(point: &Value, (has_z, has_m): (bool, bool), shapes: &Shapes, shape: &mut StoredShape) {
    let at = |k: usize| coordinate(point.get(k));
    // Lists without a word of heights have as many numbers as they have.
    let (z, m) = match (has_z, has_m) {
        (true, true) => (at(2), at(3)),
        (true, false) => (at(2), f64::NAN),
        (false, true) => (f64::NAN, at(2)),
        (false, false) => (f64::NAN, f64::NAN),
    };
    // One that is no number is kept as such: the shape cannot be written, and its row can.
    shape.add([at(0), at(1)], shapes.has_z.then_some(z), shapes.has_m.then_some(m));
}

/// The shape of a feature; none for a point without coordinates.
fn shape(json: &Value, shapes: &Shapes) -> Result<Option<StoredShape>, Wrong> {
    if CURVES.iter().any(|key| json.get(*key).is_some()) {
        return Err("its shape has true curves, which were not asked for (returnTrueCurves=false)".to_owned());
    }
    let mut shape = StoredShape::default();
    let list = match shapes.kind {
        GeometryKind::Point => {
            let (x, y) = (coordinate(json.get("x")), coordinate(json.get("y")));
            if json.get("x").is_none() {
                return Err("its shape is no point".to_owned());
            }
            if x.is_nan() || y.is_nan() {
                return Ok(None);
            }
            let (z, m) = (coordinate(json.get("z")), coordinate(json.get("m")));
            shape.add([x, y], shapes.has_z.then_some(z), shapes.has_m.then_some(m));
            shape.close_part();
            return Ok(Some(shape));
        }
        GeometryKind::Multipoint => "points",
        GeometryKind::Line => "paths",
        GeometryKind::Polygon => "rings",
    };
    let Some(parts) = json.get(list).and_then(Value::as_array) else {
        return Err(format!("its shape has no `{list}`"));
    };
    // Where neither is said, it is as the layer says.
    let said = |key: &str| json.get(key).and_then(Value::as_bool);
    let has = match (said("hasZ"), said("hasM")) {
        (None, None) => (shapes.has_z, shapes.has_m),
        (z, m) => (z.unwrap_or(false), m.unwrap_or(false)),
    };
    if shapes.kind == GeometryKind::Multipoint {
        parts.iter().for_each(|point| add_listed(point, has, shapes, &mut shape));
        shape.close_part();
        return Ok(Some(shape));
    }
    for part in parts {
        for point in part.as_array().into_iter().flatten() {
            add_listed(point, has, shapes, &mut shape);
        }
        shape.close_part();
    }
    Ok(Some(shape))
}

impl RowReader {
    /// Reads an object with `features`.
    pub(super) fn read_json(&self, answer: &Value) -> Result<ReadRows, Failure> {
        let Some(features) = answer.get("features").and_then(Value::as_array) else {
            return Err(self.invalid("there is no `features` in the answer"));
        };
        let reference = answer.get("spatialReference").and_then(|json| serde_json::from_value(json.clone()).ok());
        self.check_reference(reference.as_ref())?;
        let mut read = self.begin(features.len());
        let flag = |json: &Value| json.get("exceededTransferLimit").and_then(Value::as_bool);
        read.has_more = flag(answer).or_else(|| flag(answer.get("properties")?)).unwrap_or(false);
        for feature in features {
            let Some(attributes) = feature.get("attributes").and_then(Value::as_object) else {
                return Err(self.invalid("a feature has no `attributes`"));
            };
            let found = attribute(attributes, &self.object_id_field);
            let Some(id) = number::read::<i64>(found) else {
                return Err(
                    self.invalid(format!("a feature has no object id in `{}`, it has {found}", self.object_id_field))
                );
            };
            let shape = match (&self.shapes, feature.get("geometry").filter(|json| !json.is_null())) {
                (Some(shapes), Some(json)) => {
                    shape(json, shapes).map_err(|wrong| self.invalid(format!("feature {id}: {wrong}")))?
                }
                _ => None,
            };
            let values = self.fields.iter().map(|field| raw(attribute(attributes, &field.name)));
            read.add(id, &self.fields, values, shape);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::left_out::LeftOut;
    use super::super::row_reader::ReadRows;
    use super::super::stored::{StoredRow, fill};
    use super::*;
    use offmap_formats::features::{Feature, Field, FieldType, Value as FieldValue};
    use offmap_model::SpatialReference;
    use prost::Message as _;
    use serde_json::json;

    fn field(name: &str, field_type: FieldType) -> Field {
        Field { name: name.to_owned(), alias: None, field_type, length: None, is_nullable: true, domain: None }
    }

    fn reader(kind: GeometryKind, has_z: bool, has_m: bool) -> RowReader {
        RowReader {
            url: "https://h/S/FeatureServer/0".to_owned(),
            object_id_field: "FID".to_owned(),
            fields: vec![
                field("NAME", FieldType::Text),
                field("SEEN", FieldType::Date),
                field("BIG", FieldType::BigInteger),
            ],
            shapes: Some(Shapes { kind, has_z, has_m, spatial_reference: SpatialReference::web_mercator() }),
        }
    }

    fn features(read: ReadRows, reader: &RowReader) -> Vec<Feature> {
        let types: Vec<FieldType> = reader.fields.iter().map(|f| f.field_type).collect();
        let shapes = reader.shapes.as_ref().map(|s| (s.kind, s.has_z, s.has_m));
        let feature = |(id, bytes): (i64, Vec<u8>)| {
            let mut feature = Feature::default();
            let row = StoredRow::decode_length_delimited(bytes.as_slice()).expect("a row");
            fill(row, &types, shapes, &mut feature, &mut LeftOut::default());
            assert_eq!(feature.object_id, Some(id));
            feature
        };
        read.rows.into_iter().map(feature).collect()
    }

    fn one(kind: GeometryKind, has_z: bool, has_m: bool, geometry: Value) -> Result<Feature, Failure> {
        let reader = reader(kind, has_z, has_m);
        let read = reader.read_json(&json!({"features": [{"attributes": {"FID": 1}, "geometry": geometry}]}))?;
        Ok(features(read, &reader).remove(0))
    }

    #[test]
    fn attributes_come_by_name_whatever_form_ids_and_values_have() {
        let reader = reader(GeometryKind::Point, false, false);
        let answer = json!({"exceededTransferLimit": true, "spatialReference": {"wkid": 102_100, "latestWkid": 3857}, "features": [
            {"attributes": {"FID": 6_442_450_944_i64, "name": 7, "SEEN": -86_400_000, "BIG": "9007199254740993"},
             "geometry": {"x": 1.5, "y": -2}},
            {"attributes": {"FID": "6.4579816E7", "NAME": null, "BIG": i64::MAX}},
            {"attributes": {"FID": 3.0, "NAME": "x"}, "geometry": null},
            {"attributes": {"FID": 4}, "geometry": {"x": "NaN", "y": "NaN"}}]});
        let read = reader.read_json(&answer).expect("reads");
        assert!(read.has_more);
        let all = features(read, &reader);
        let ids: Vec<_> = all.iter().filter_map(|f| f.object_id).collect();
        assert_eq!(ids, [6_442_450_944, 64_579_816, 3, 4]);
        let first =
            [FieldValue::Text("7".to_owned()), FieldValue::Date(-86_400_000), FieldValue::Integer(9_007_199_254_740_993)];
        assert_eq!(all[0].values, first);
        assert_eq!(all[1].values[2], FieldValue::Integer(i64::MAX));
        assert_eq!(all[0].geometry().map(|g| g.xy()), Some(&[[1.5, -2.0]][..]));
        assert!(all[1..].iter().all(|f| f.geometry().is_none()), "no shape, a null one, and a point without coordinates");
    }

    #[test]
    fn heights_and_measures_stand_where_the_shape_says() {
        let paths = json!([[[0, 1, 2, 3], [4, 5, 6, 7]], [], [[8, 9, 10, "NaN"]]]);
        let line = one(GeometryKind::Line, true, true, json!({"hasZ": true, "hasM": true, "paths": paths})).expect("reads");
        let shape = line.geometry().expect("a shape");
        assert_eq!((shape.z(), &shape.m()[..2], shape.m()[2].is_nan()), (&[2.0, 6.0, 10.0][..], &[3.0, 7.0][..], true));
        assert!(shape.part_ranges().eq([0..2, 2..3]));
        let measured = json!({"hasM": true, "points": [[0, 1, 5]]});
        let points = one(GeometryKind::Multipoint, true, true, measured).expect("reads");
        let shape = points.geometry().expect("a shape");
        assert!(shape.z()[0].is_nan() && shape.m() == [5.0]);
        let flat = one(GeometryKind::Point, false, false, json!({"x": 1, "y": 2, "z": 3, "m": 4})).expect("reads");
        assert_eq!(flat.geometry().map(|g| (g.has_z(), g.has_m())), Some((false, false)));
        // A ring that is open is closed, and an empty polygon is no missing one.
        let rings = json!({"rings": [[[0, 0], [0, 9], [9, 9]]]});
        let polygon = one(GeometryKind::Polygon, false, false, rings).expect("reads");
        assert_eq!(polygon.geometry().map(|g| g.xy().len()), Some(4));
        // A coordinate that is none costs its shape when it is written, and no row.
        let line = one(GeometryKind::Line, false, false, json!({"paths": [[[0, null], [1, 1]]]})).expect("reads");
        assert!(line.geometry().is_some_and(|g| g.xy()[0][1].is_nan() && g.xy()[1] == [1.0, 1.0]));
        let empty = one(GeometryKind::Polygon, false, false, json!({"rings": []})).expect("reads");
        assert!(empty.geometry().is_some_and(|g| g.has_no_points()));
    }

    #[test]
    fn what_cannot_be_held_names_its_feature() {
        let curve = json!({"curveRings": [[[0, 0], {"c": [[1, 1], [2, 0]]}]]});
        for (kind, geometry, words) in [
            (GeometryKind::Polygon, curve, "feature 1: its shape has true curves"),
            (GeometryKind::Polygon, json!({"x": 1, "y": 2}), "has no `rings`"),
            (GeometryKind::Point, json!({"rings": []}), "is no point"),
        ] {
            let failure = one(kind, false, false, geometry).expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
        }
        let reader = reader(GeometryKind::Point, false, false);
        for (answer, words) in [
            (json!({}), "no `features`"),
            (json!({"features": [{"attributes": {"OBJECTID": 1}}]}), "no object id in `FID`"),
            (json!({"features": [], "spatialReference": {"wkid": 4326}}), "were asked for in"),
        ] {
            let failure = reader.read_json(&answer).expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
        }
    }
}
