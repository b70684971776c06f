//! Features that lie in a map: a part of a feature collection, as ArcGIS writes features in JSON.

use offmap_formats::features::{
    Feature, FeatureReader, Field, FieldType, GeometryField, LayerSchema, Relationship, TakeAttachment, TakeFeature,
    Value as FieldValue,
};
use offmap_formats::geometry::{Geometry, GeometryKind};
use offmap_model::{Failure, SpatialReference};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// A feature set with its layer.
#[derive(Debug)]
pub(super) struct FeatureSet {
    layers: Vec<LayerSchema>,
    features: Vec<Value>,
}

/// A feature set that several may read.
pub(super) struct SharedSet(pub(super) Arc<FeatureSet>);

fn field_type(name: &str) -> FieldType {
    match name {
        "esriFieldTypeSmallInteger" => FieldType::SmallInteger,
        "esriFieldTypeInteger" => FieldType::Integer,
        "esriFieldTypeBigInteger" => FieldType::BigInteger,
        "esriFieldTypeSingle" => FieldType::Single,
        "esriFieldTypeDouble" => FieldType::Double,
        "esriFieldTypeDate" => FieldType::Date,
        "esriFieldTypeGUID" => FieldType::Guid,
        "esriFieldTypeGlobalID" => FieldType::GlobalId,
        _ => FieldType::Text,
    }
}

fn geometry_kind(name: &str) -> Option<GeometryKind> {
    Some(match name {
        "esriGeometryPoint" => GeometryKind::Point,
        "esriGeometryMultipoint" => GeometryKind::Multipoint,
        "esriGeometryPolyline" => GeometryKind::Line,
        "esriGeometryPolygon" => GeometryKind::Polygon,
        _ => return None,
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The fields, and the name of that with the object ids.
fn fields(definition: &Value) -> (Vec<Field>, Option<String>) {
    let (mut fields, mut id, mut seen) = (Vec::new(), None, HashSet::new());
    for field in definition.get("fields").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = text(field, "name").filter(|name| seen.insert(name.to_lowercase())) else { continue };
        match text(field, "type").unwrap_or_default() {
            "esriFieldTypeOID" => id = Some(name.to_owned()),
            "esriFieldTypeGeometry" => {}
            kind => fields.push(Field {
                name: name.to_owned(),
                alias: text(field, "alias").filter(|alias| *alias != name).map(str::to_owned),
                field_type: field_type(kind),
                length: None,
                is_nullable: true,
                domain: None,
            }),
        }
    }
    (fields, id)
}

/// Whether every feature has an object id of its own.
fn are_numbered(features: &[Value], id: &str) -> bool {
    let mut seen = HashSet::new();
    let number = |feature: &Value| feature.get("attributes")?.get(id)?.as_i64();
    features.iter().all(|feature| number(feature).is_some_and(|id| seen.insert(id)))
}

impl FeatureSet {
    /// Reads a part of a feature collection; `of_map` is the spatial reference of its map.
    ///
    /// # Errors
    /// In words, if it is of no kind that can be read.
    pub(super) fn read(part: &Value, of_map: Option<&Value>, key: String, title: String) -> Result<Self, String> {
        let (set, none) = (part.get("featureSet").unwrap_or(&Value::Null), Value::Null);
        let definition = part.get("layerDefinition").unwrap_or(&none);
        let features = set.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
        let (fields, id) = fields(definition);
        let name = text(set, "geometryType").or(text(definition, "geometryType"));
        let geometry = match name {
            None => None,
            Some(name) => {
                let kind = geometry_kind(name)
                    .ok_or_else(|| format!("its shapes are of the type {name}, which is not converted"))?;
                let taken = |name: &str| fields.iter().any(|field| field.name.eq_ignore_ascii_case(name));
                let mut name = "shape".to_owned();
                while taken(&name) || id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(&name)) {
                    name.push('_');
                }
                let of_extent = definition.get("extent").and_then(|extent| extent.get("spatialReference"));
                let found = [set.get("spatialReference"), definition.get("spatialReference"), of_extent, of_map];
                let read = |value: &Value| serde_json::from_value::<SpatialReference>(value.clone()).ok();
                let found = found.into_iter().flatten().filter(|value| value.is_object()).find_map(read);
                let spatial_reference = found.unwrap_or_else(SpatialReference::web_mercator);
                Some(GeometryField { name, kind, has_z: false, has_m: false, spatial_reference })
            }
        };
        let mut layer = LayerSchema::new(key, geometry);
        layer.title = title;
        layer.fields = fields;
        layer.object_id_field = id.filter(|id| are_numbered(&features, id));
        Ok(Self { layers: vec![layer], features })
    }

    /// What tells it from others of its map.
    pub(super) fn key(&self) -> &str {
        self.layers.first().map_or("", |layer| &layer.name)
    }

    /// The name of its layer for people.
    pub(super) fn title(&self) -> &str {
        self.layers.first().map_or("", |layer| &layer.title)
    }

    fn fill(&self, layer: &LayerSchema, found: &Value, feature: &mut Feature) {
        let attributes = found.get("attributes").unwrap_or(&Value::Null);
        let id = layer.object_id_field.as_ref().and_then(|name| attributes.get(name)?.as_i64());
        feature.object_id = id;
        for (field, value) in layer.fields.iter().zip(&mut feature.values) {
            set_value(attributes.get(&field.name).unwrap_or(&Value::Null), field.field_type, value);
        }
        let Some(geometry) = &layer.geometry else { return };
        let shape = feature.new_geometry(geometry.kind, false, false);
        if !add_shape(found.get("geometry").unwrap_or(&Value::Null), geometry.kind, shape) {
            feature.drop_geometry();
        }
    }
}

fn set_value(found: &Value, kind: FieldType, value: &mut FieldValue) {
    *value = match (found, kind) {
        (Value::Number(number), FieldType::Date) => number.as_i64().map_or(FieldValue::Null, FieldValue::Date),
        (Value::Number(number), FieldType::Text) => FieldValue::Text(number.to_string()),
        (Value::Number(number), _) => match number.as_i64() {
            Some(whole) if !matches!(kind, FieldType::Single | FieldType::Double) => FieldValue::Integer(whole),
            _ => number.as_f64().map_or(FieldValue::Null, FieldValue::Real),
        },
        (Value::String(text), _) => FieldValue::Text(text.clone()),
        (Value::Bool(flag), _) => FieldValue::Integer(i64::from(*flag)),
        _ => FieldValue::Null,
    };
}

fn point(at: &Value) -> Option<[f64; 2]> {
    let of = |key: usize, name: &str| at.get(key).or_else(|| at.get(name)).and_then(Value::as_f64);
    Some([of(0, "x")?, of(1, "y")?])
}

/// Adds what a shape consists of; false where it cannot be read.
fn add_shape(found: &Value, kind: GeometryKind, shape: &mut Geometry) -> bool {
    let list = |key: &str| found.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut add = |points: &[Value]| {
        let points: Option<Vec<[f64; 2]>> = points.iter().map(point).collect();
        let Some(points) = points.filter(|points| !points.is_empty()) else { return false };
        points.into_iter().for_each(|at| shape.add_point(at, 0.0, 0.0));
        shape.close_part();
        true
    };
    let parts = |key: &str| list(key).iter().filter_map(Value::as_array);
    match kind {
        GeometryKind::Point => add(std::slice::from_ref(found)),
        GeometryKind::Multipoint => add(list("points")),
        GeometryKind::Line => parts("paths").all(|part| add(part)) && !list("paths").is_empty(),
        GeometryKind::Polygon => parts("rings").all(|part| add(part)) && !list("rings").is_empty(),
    }
}

impl FeatureReader for SharedSet {
    fn layers(&self) -> &[LayerSchema] {
        &self.0.layers
    }

    fn relationships(&self) -> &[Relationship] {
        &[]
    }

    fn read_features(&self, layer: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let Some(schema) = self.0.layers.get(layer) else { return Ok(0) };
        let mut feature = Feature::with_fields(schema.fields.len());
        let mut count = 0;
        for (row, found) in (1_i64..).zip(&self.0.features).filter(|(row, _)| after.is_none_or(|after| *row > after)) {
            feature.row_id = row;
            self.0.fill(schema, found, &mut feature);
            take(&feature)?;
            count += 1;
        }
        Ok(count)
    }

    fn read_attachments(&self, _: usize, _: Option<i64>, _: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn features_of_a_map_are_read_with_their_values_and_shapes() {
        let part = json!({"layerDefinition": {"geometryType": "esriGeometryPolygon", "fields": [
                {"name": "FID", "type": "esriFieldTypeOID"}, {"name": "Shape", "type": "esriFieldTypeString", "alias": "The shape"},
                {"name": "SHAPE", "type": "esriFieldTypeString"}, {"name": "seen", "type": "esriFieldTypeDate"}]},
            "featureSet": {"features": [
                {"attributes": {"FID": 7, "Shape": "round", "seen": 86_400_000}, "geometry": {"rings": [[[0, 0], [0, 9], [9, 9], [0, 0]]]}},
                {"attributes": {"FID": 8, "Shape": 3}, "geometry": {"rings": [["x"]]}}]}});
        let set = FeatureSet::read(&part, Some(&json!({"wkid": 2056})), "map#0".into(), "A sketch".into()).expect("reads");
        assert_eq!((set.key(), set.title()), ("map#0", "A sketch"));
        let reader = SharedSet(Arc::new(set));
        let layer = reader.layers()[0].clone();
        assert_eq!(
            layer.geometry.as_ref().map(|g| (g.name.as_str(), g.spatial_reference.id())),
            Some(("shape_", Some(2056)))
        );
        let mut rows = Vec::new();
        let mut take = |feature: &Feature| {
            rows.push((feature.object_id, feature.values.clone(), feature.geometry().and_then(Geometry::extent)));
            Ok(())
        };
        assert_eq!(reader.read_features(0, None, &mut take).expect("reads"), 2);
        let round = vec![FieldValue::Text("round".into()), FieldValue::Date(86_400_000)];
        assert_eq!(rows[0], (Some(7), round, Some([0.0, 0.0, 9.0, 9.0])));
        assert_eq!(rows[1], (Some(8), vec![FieldValue::Text("3".into()), FieldValue::Null], None));
        let odd = json!({"featureSet": {"geometryType": "esriGeometryMultiPatch"}});
        let why = FeatureSet::read(&odd, None, String::new(), String::new()).expect_err("refused");
        assert!(why.contains("esriGeometryMultiPatch"), "{why}");
    }
}
