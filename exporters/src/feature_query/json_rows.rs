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
fn attribute<'a>(attributes: &'a Map<String, Value>, name: &str) -> &'a Value {
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
fn add_listed(point: &Value, (has_z, has_m): (bool, bool), shapes: &Shapes, shape: &mut StoredShape) -> Result<(), Wrong> {
    let at = |k: usize| coordinate(point.get(k));
    let xy = [at(0), at(1)];
    if xy.iter().any(|n| !n.is_finite()) {
        return Err(format!("a point of its shape has the coordinates {point}"));
    }
    // Lists without a word of heights have as many numbers as they have.
    let (z, m) = match (has_z, has_m) {
        (true, true) => (at(2), at(3)),
        (true, false) => (at(2), f64::NAN),
        (false, true) => (f64::NAN, at(2)),
        (false, false) => (f64::NAN, f64::NAN),
    };
    shape.add(xy, shapes.has_z.then_some(z), shapes.has_m.then_some(m));
    Ok(())
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
            if !x.is_finite() || !y.is_finite() {
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
        parts.iter().try_for_each(|point| add_listed(point, has, shapes, &mut shape))?;
        shape.close_part();
        return Ok(Some(shape));
    }
    for part in parts {
        for point in part.as_array().into_iter().flatten() {
            add_listed(point, has, shapes, &mut shape)?;
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
