//! Columns of feature and attribute tables.
//!
//! Source: OGC 12-128r19, table 1 (types) and requirement 5.

use super::ddl::quoted;
use crate::feature_writing::Bound;
use crate::features::{Field, FieldType, LayerSchema, Value, date_text};
use crate::geometry::GeometryKind;
use rusqlite::Statement;
use rusqlite::types::ValueRef;

/// The type of a field's column.
fn declared(field: &Field) -> String {
    match field.field_type {
        FieldType::SmallInteger => "SMALLINT".to_owned(),
        FieldType::Integer => "MEDIUMINT".to_owned(),
        FieldType::BigInteger => "INTEGER".to_owned(),
        FieldType::Single => "FLOAT".to_owned(),
        FieldType::Double => "DOUBLE".to_owned(),
        FieldType::Date => "DATETIME".to_owned(),
        FieldType::DateOnly => "DATE".to_owned(),
        FieldType::Guid | FieldType::GlobalId => "TEXT(38)".to_owned(),
        FieldType::Blob => "BLOB".to_owned(),
        FieldType::Text => field.length.map_or_else(|| "TEXT".to_owned(), |length| format!("TEXT({length})")),
        FieldType::TimeOnly | FieldType::TimestampOffset | FieldType::Xml => "TEXT".to_owned(),
    }
}

/// The type that a declaration says, and the length of its texts; `None` for one that table 1 has not.
pub(super) fn type_of(declaration: &str) -> Option<(FieldType, Option<u32>)> {
    let upper = declaration.trim().to_ascii_uppercase();
    let (base, size) = upper.split_once('(').unwrap_or((&upper, ""));
    let length = size.trim_end_matches(')').trim().parse().ok();
    let found = match base.trim() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" => FieldType::SmallInteger,
        "MEDIUMINT" => FieldType::Integer,
        "INT" | "INTEGER" => FieldType::BigInteger,
        "FLOAT" => FieldType::Single,
        "DOUBLE" | "REAL" => FieldType::Double,
        "TEXT" => FieldType::Text,
        "BLOB" => FieldType::Blob,
        "DATE" => FieldType::DateOnly,
        "DATETIME" => FieldType::Date,
        _ => return None,
    };
    Some((found, length.filter(|n| *n > 0)))
}

/// The type of a layer's shapes. Lines and polygons are always the multi type, as a layer of ArcGIS holds both.
pub(super) fn geometry_type(kind: GeometryKind) -> &'static str {
    match kind {
        GeometryKind::Point => "POINT",
        GeometryKind::Multipoint => "MULTIPOINT",
        GeometryKind::Line => "MULTILINESTRING",
        GeometryKind::Polygon => "MULTIPOLYGON",
    }
}

/// The kind of a layer's shapes; `None` for a type that may be of many kinds, or one with curves.
pub(super) fn kind_of(geometry_type: &str) -> Option<GeometryKind> {
    Some(match geometry_type.to_ascii_uppercase().as_str() {
        "POINT" => GeometryKind::Point,
        "MULTIPOINT" => GeometryKind::Multipoint,
        "LINESTRING" | "MULTILINESTRING" => GeometryKind::Line,
        "POLYGON" | "MULTIPOLYGON" => GeometryKind::Polygon,
        _ => return None,
    })
}

/// The name of the primary key: that of the object ids, or `fid`.
pub(super) fn key_name(layer: &LayerSchema) -> String {
    if let Some(name) = &layer.object_id_field {
        return name.clone();
    }
    let geometry = layer.geometry.as_ref().map(|g| g.name.as_str());
    let taken =
        |name: &str| layer.fields.iter().map(|f| f.name.as_str()).chain(geometry).any(|f| f.eq_ignore_ascii_case(name));
    let mut name = "fid".to_owned();
    while taken(&name) {
        name.push('_');
    }
    name
}

/// The statement that makes a layer's table, and the one that adds a row: key, shape, fields.
pub(super) fn table_sql(layer: &LayerSchema) -> (String, String) {
    let key = quoted(&key_name(layer));
    let mut columns = vec![format!("{key} INTEGER PRIMARY KEY NOT NULL")];
    let mut names = vec![key];
    if let Some(geometry) = &layer.geometry {
        columns.push(format!("{} {}", quoted(&geometry.name), geometry_type(geometry.kind)));
        names.push(quoted(&geometry.name));
    }
    for field in &layer.fields {
        let not_null = if field.is_nullable { "" } else { " NOT NULL" };
        columns.push(format!("{} {}{not_null}", quoted(&field.name), declared(field)));
        names.push(quoted(&field.name));
    }
    let (table, marks) = (quoted(&layer.name), vec!["?"; names.len()].join(","));
    let create = format!("CREATE TABLE {table} ({})", columns.join(", "));
    (create, format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", ")))
}

/// Binds the value of a field; `text` is used to write dates. False where the value cannot be held.
pub(super) fn bind(
    statement: &mut Statement<'_>,
    place: usize,
    (value, field): (&Value, &Field),
    text: &mut String,
) -> rusqlite::Result<bool> {
    let bound = match value {
        Value::Null => ValueRef::Null,
        Value::Integer(n) => ValueRef::Integer(*n),
        Value::Real(n) => ValueRef::Real(*n),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
        Value::Date(ms) => {
            if !date_text(*ms, field.field_type == FieldType::DateOnly, text) {
                return Ok(false);
            }
            ValueRef::Text(text.as_bytes())
        }
    };
    statement.raw_bind_parameter(place, Bound(bound))?;
    Ok(true)
}
