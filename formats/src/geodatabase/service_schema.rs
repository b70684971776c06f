//! What a layer of a feature service is, out of its description.
//!
//! Source: feature service reference §2.2.

use super::domains::{domain_of_json, subtypes_of_json};
use crate::features::{Field, FieldType, GeometryField, LayerSchema};
use crate::geometry::GeometryKind;
use offmap_model::SpatialReference;
use serde_json::Value as Json;
use std::sync::Arc;

/// The column of shapes where the description lists none.
const SHAPE: &str = "Shape";

/// A layer or table as its service describes it, and the fields of which a query gives no values.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSchema {
    /// What it is. Whether it has attachments is for who asks for them.
    pub schema: LayerSchema,
    /// Fields of bytes and rasters.
    pub left_out: Vec<String>,
}

/// The type of a field by ArcGIS's word for it.
pub(super) fn type_by_word(word: &str) -> Option<FieldType> {
    Some(match word {
        "esriFieldTypeSmallInteger" => FieldType::SmallInteger,
        "esriFieldTypeInteger" => FieldType::Integer,
        "esriFieldTypeBigInteger" | "esriFieldTypeOID" => FieldType::BigInteger,
        "esriFieldTypeSingle" => FieldType::Single,
        "esriFieldTypeDouble" => FieldType::Double,
        "esriFieldTypeString" => FieldType::Text,
        "esriFieldTypeDate" => FieldType::Date,
        "esriFieldTypeDateOnly" => FieldType::DateOnly,
        "esriFieldTypeTimeOnly" => FieldType::TimeOnly,
        "esriFieldTypeTimestampOffset" => FieldType::TimestampOffset,
        "esriFieldTypeGUID" => FieldType::Guid,
        "esriFieldTypeGlobalID" => FieldType::GlobalId,
        "esriFieldTypeBlob" | "esriFieldTypeRaster" => FieldType::Blob,
        "esriFieldTypeXML" => FieldType::Xml,
        _ => return None,
    })
}

/// The kind of a layer's shapes by ArcGIS's word; the error is the word of a kind that cannot be held.
fn kind_by_word(word: &str) -> Result<GeometryKind, String> {
    Ok(match word {
        "esriGeometryPoint" => GeometryKind::Point,
        "esriGeometryMultipoint" => GeometryKind::Multipoint,
        "esriGeometryPolyline" => GeometryKind::Line,
        "esriGeometryPolygon" => GeometryKind::Polygon,
        other => return Err(other.chars().take(100).collect()),
    })
}

fn text<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    json.get(key).and_then(Json::as_str).filter(|text| !text.is_empty())
}

fn field(json: &Json) -> Option<Field> {
    let name = text(json, "name")?.to_owned();
    // What is not known is kept as a text.
    let field_type = text(json, "type").and_then(type_by_word).unwrap_or(FieldType::Text);
    let length = json.get("length").and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok());
    Some(Field {
        alias: text(json, "alias").filter(|alias| *alias != name).map(str::to_owned),
        field_type,
        length: length.filter(|n| *n > 0 && field_type == FieldType::Text),
        is_nullable: json.get("nullable").and_then(Json::as_bool).unwrap_or(true),
        domain: json.get("domain").and_then(domain_of_json).map(Arc::new),
        name,
    })
}

/// Reads the description of a layer or table. `object_id_field` is its field of object ids, `spatial_reference` that of the shapes that
/// will come.
///
/// ```
/// use offmap_formats::geodatabase::schema_of_service;
/// use offmap_model::SpatialReference;
///
/// let layer = serde_json::json!({"name": "Trees", "geometryType": "esriGeometryPoint", "fields": [
///     {"name": "FID", "type": "esriFieldTypeOID"}, {"name": "HEIGHT", "type": "esriFieldTypeDouble", "alias": "Height"}]});
/// let found = schema_of_service(&layer, "FID", SpatialReference::wgs84())?;
/// assert_eq!((found.schema.fields.len(), found.schema.fields[0].name.as_str()), (1, "HEIGHT"));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// Why it cannot be held: the kind of its shapes.
pub fn schema_of_service(
    layer: &Json,
    object_id_field: &str,
    spatial_reference: SpatialReference,
) -> Result<ServiceSchema, String> {
    let none = Vec::new();
    let listed = layer.get("fields").and_then(Json::as_array).unwrap_or(&none);
    let is = |field: &Json, word: &str| text(field, "type") == Some(word);
    let shape = listed.iter().find(|f| is(f, "esriFieldTypeGeometry")).and_then(|f| text(f, "name")).unwrap_or(SHAPE);
    let flag = |key: &str| layer.get(key).and_then(Json::as_bool).unwrap_or(false);
    let geometry = match text(layer, "geometryType").filter(|word| *word != "esriGeometryNull") {
        Some(word) if text(layer, "type") != Some("Table") => Some(GeometryField {
            name: shape.to_owned(),
            kind: kind_by_word(word)?,
            has_z: flag("hasZ"),
            has_m: flag("hasM"),
            spatial_reference,
        }),
        _ => None,
    };
    let mut schema = LayerSchema::new(text(layer, "name").unwrap_or("Layer"), geometry);
    schema.description = text(layer, "description").unwrap_or_default().to_owned();
    schema.object_id_field = Some(object_id_field.to_owned());
    schema.subtypes = subtypes_of_json(layer);
    let mut left_out = Vec::new();
    for json in listed {
        let is_key = text(json, "name").is_some_and(|name| name.eq_ignore_ascii_case(object_id_field));
        if is_key || is(json, "esriFieldTypeGeometry") {
            continue;
        }
        match field(json) {
            Some(field) if field.field_type == FieldType::Blob => left_out.push(field.name),
            field => schema.fields.extend(field),
        }
    }
    Ok(ServiceSchema { schema, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::DomainRule;
    use serde_json::json;

    #[test]
    fn a_description_is_read_with_what_real_ones_have() {
        let layer = json!({"name": "Sites", "type": "Feature Layer", "geometryType": "esriGeometryPolyline", "hasZ": true,
            "subtypeField": "SORT", "subtypes": [{"code": 2, "name": "Path", "domains": {"KIND": {"type": "codedValue", "name": "Kinds"}}}],
            "typeIdField": "", "types": [],
            "fields": [{"name": "ROW", "type": "esriFieldTypeInteger"}, {"name": "the_geom", "type": "esriFieldTypeGeometry"},
                {"name": "SORT", "type": "esriFieldTypeInteger", "nullable": false},
                {"name": "KIND", "type": "esriFieldTypeString", "length": 8000, "alias": "Kind", "domain": {"type": "codedValue",
                    "name": "Kinds", "codedValues": [{"name": "A", "code": "a"}, {"name": "A", "code": "b"}]}},
                {"name": "PHOTO", "type": "esriFieldTypeBlob"}, {"name": "NEW", "type": "esriFieldTypeOfTomorrow"}]});
        let ServiceSchema { schema, left_out } =
            schema_of_service(&layer, "row", SpatialReference::web_mercator()).expect("reads");
        let names: Vec<_> = schema.fields.iter().map(|f| (f.name.as_str(), f.field_type, f.is_nullable)).collect();
        let expected =
            [("SORT", FieldType::Integer, false), ("KIND", FieldType::Text, true), ("NEW", FieldType::Text, true)];
        assert_eq!((names.as_slice(), left_out.as_slice()), (&expected[..], &["PHOTO".to_owned()][..]));
        let Some(DomainRule::Coded(codes)) = schema.fields[1].domain.as_ref().map(|d| &d.rule) else { panic!("codes") };
        assert_eq!(codes.len(), 2);
        assert_eq!(schema.subtypes.map(|s| (s.field, s.subtypes[0].code)), Some(("SORT".to_owned(), 2)));
        let shape = schema.geometry.expect("shapes");
        assert_eq!((shape.name.as_str(), shape.kind, shape.has_z), ("the_geom", GeometryKind::Line, true));
        let table = json!({"name": "T", "type": "Table", "geometryType": "esriGeometryPoint", "fields": []});
        assert!(schema_of_service(&table, "ID", SpatialReference::wgs84()).expect("reads").schema.geometry.is_none());
        let solid = json!({"geometryType": "esriGeometryMultiPatch"});
        assert_eq!(schema_of_service(&solid, "ID", SpatialReference::wgs84()), Err("esriGeometryMultiPatch".to_owned()));
    }
}
