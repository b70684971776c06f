//! Columns of tables that are written: their declarations with the checks of real files, and the values in them.
//!
//! Source: mobile map package reference B.2, B.4. No file shows how days, times and moments with an offset are declared, so they are
//! written as the dates and texts that every reader knows.

use crate::feature_writing::Bound;
use crate::features::{Field, FieldType, Value, date_text};
use crate::foreign_sqlite::quoted;
use rusqlite::Statement;
use rusqlite::types::ValueRef;

/// The Julian day of 1970-01-01, and milliseconds of a day.
const EPOCH: f64 = 2_440_587.5;
const DAY: f64 = 86_400_000.0;
/// Characters of a text whose length is not limited, as the system tables declare it.
pub(super) const UNLIMITED: u32 = 100_000_000;

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Text(u32),
    Date,
    Guid,
    GlobalId,
    Blob,
    Xml,
}

/// A column that is written.
#[derive(Debug, Clone)]
pub(super) struct NewColumn {
    pub(super) name: String,
    pub(super) alias: String,
    pub(super) stored: Stored,
    pub(super) is_nullable: bool,
    pub(super) domain: Option<String>,
}

impl Stored {
    pub(super) fn of(field: &Field) -> Self {
        match field.field_type {
            FieldType::SmallInteger => Self::Int16,
            FieldType::Integer => Self::Int32,
            FieldType::BigInteger => Self::Int64,
            FieldType::Single => Self::Float32,
            FieldType::Double => Self::Float64,
            FieldType::Text => Self::Text(field.length.unwrap_or(UNLIMITED)),
            FieldType::TimeOnly | FieldType::TimestampOffset => Self::Text(255),
            FieldType::Date | FieldType::DateOnly => Self::Date,
            FieldType::Guid => Self::Guid,
            FieldType::GlobalId => Self::GlobalId,
            FieldType::Blob => Self::Blob,
            FieldType::Xml => Self::Xml,
        }
    }

    /// ArcGIS's name of the type.
    pub(super) fn esri_type(self) -> &'static str {
        match self {
            Self::Int16 => "esriFieldTypeSmallInteger",
            Self::Int32 => "esriFieldTypeInteger",
            Self::Int64 => "esriFieldTypeBigInteger",
            Self::Float32 => "esriFieldTypeSingle",
            Self::Float64 => "esriFieldTypeDouble",
            Self::Text(_) => "esriFieldTypeString",
            Self::Date => "esriFieldTypeDate",
            Self::Guid => "esriFieldTypeGUID",
            Self::GlobalId => "esriFieldTypeGlobalID",
            Self::Blob => "esriFieldTypeBlob",
            Self::Xml => "esriFieldTypeXML",
        }
    }

    /// `sde_type`, `column_size` and `decimal_digits` of `GDB_ColumnRegistry`.
    pub(super) fn registered(self) -> (i64, Option<i64>, Option<i64>) {
        match self {
            Self::Int16 => (1, Some(0), None),
            Self::Int32 => (2, Some(0), None),
            Self::Int64 => (11, Some(0), None),
            Self::Float32 => (3, Some(0), Some(0)),
            Self::Float64 => (4, Some(0), Some(0)),
            Self::Text(UNLIMITED..) => (13, None, None),
            Self::Text(length) => (5, Some(i64::from(length)), None),
            Self::Date => (7, Some(0), None),
            Self::Guid | Self::GlobalId => (12, Some(38), None),
            Self::Blob => (6, None, None),
            Self::Xml => (10, None, None),
        }
    }

    /// Its declaration in `CREATE TABLE`, with the checks that real files have.
    fn declaration(self, name: &str, is_nullable: bool) -> String {
        let n = quoted(name);
        let is = |kind: &str| match is_nullable {
            true => format!("(typeof({n}) = '{kind}' or typeof({n}) = 'null')"),
            false => format!("typeof({n}) = '{kind}'"),
        };
        let whole =
            |word: &str, min: i64, max: i64| format!("{word} check({} and {n} >= {min} and {n} <= {max})", is("integer"));
        let declared = match self {
            Self::Int16 => whole("int16", i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::Int32 => whole("int32", i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::Int64 => format!("int64 check({})", is("integer")),
            Self::Float32 => format!("float32 check({})", is("real")),
            Self::Float64 => format!("float64 check({})", is("real")),
            Self::Text(length) => format!("text({length}) check({} and not length({n}) > {length})", is("text")),
            Self::Date => format!("realdate check({} and {n} >= 0.0)", is("real")),
            Self::Guid | Self::GlobalId => format!("uuidtext check({} and length({n}) = 38)", is("text")),
            Self::Blob => format!("blob check({})", is("blob")),
            Self::Xml => format!("xmltext check({})", is("text")),
        };
        format!("{n} {declared}{}", if is_nullable { "" } else { " not null" })
    }
}

impl NewColumn {
    pub(super) fn declaration(&self) -> String {
        self.stored.declaration(&self.name, self.is_nullable)
    }
}

/// The declaration of a column of shapes.
pub(super) fn shape_declaration(name: &str) -> String {
    let n = quoted(name);
    format!(
        "{n} geometryblob check((typeof({n}) = 'blob' and length({n}) >= 18 and cast(hex(substr({n},1,1)) as integer) = 64) or typeof({n}) = 'null')"
    )
}

/// A GUID as it is stored: 38 characters, those that are already as they are.
pub(super) fn stored_guid(text: &str) -> Option<String> {
    if text.chars().count() == 38 {
        return Some(text.to_owned());
    }
    uuid::Uuid::try_parse(text.trim()).ok().map(|guid| format!("{:X}", guid.braced()))
}

fn julian_day(ms: i64) -> f64 {
    ms as f64 / DAY + EPOCH
}

/// Whether a column of dates holds a moment, in milliseconds since 1970: none before the year -4712, where Julian days begin.
///
/// ```
/// use offmap_formats::geodatabase::holds_date;
///
/// assert!(holds_date(-1) && !holds_date(-300_000_000_000_000));
/// ```
#[must_use]
pub fn holds_date(ms: i64) -> bool {
    julian_day(ms) >= 0.0
}

/// Binds a value; the error is why the column cannot hold it.
pub(super) fn bind(
    statement: &mut Statement<'_>,
    place: usize,
    (value, stored): (&Value, Stored),
    text: &mut String,
) -> rusqlite::Result<Result<(), &'static str>> {
    let bound = match (value, stored) {
        (Value::Null, _) => ValueRef::Null,
        (Value::Integer(n), Stored::Int16 | Stored::Int32 | Stored::Int64) => ValueRef::Integer(*n),
        // Doubles hold every number that a field of numbers may have.
        (Value::Integer(n), Stored::Float32 | Stored::Float64) => ValueRef::Real(*n as f64),
        (Value::Real(n), Stored::Float32 | Stored::Float64) => ValueRef::Real(*n),
        (Value::Text(found), Stored::Text(_) | Stored::Xml) => ValueRef::Text(found.as_bytes()),
        (Value::Blob(bytes), Stored::Blob) => ValueRef::Blob(bytes),
        (Value::Date(ms), Stored::Date) => match holds_date(*ms) {
            true => ValueRef::Real(julian_day(*ms)),
            false => return Ok(Err("is a date before the year -4712")),
        },
        (Value::Text(found), Stored::Guid | Stored::GlobalId) => match stored_guid(found) {
            Some(guid) => {
                *text = guid;
                ValueRef::Text(text.as_bytes())
            }
            None => return Ok(Err("is no GUID")),
        },
        (Value::Integer(_) | Value::Real(_), Stored::Text(_)) => {
            *text = if let Value::Integer(n) = value { n.to_string() } else { shortest(value) };
            ValueRef::Text(text.as_bytes())
        }
        (Value::Date(ms), Stored::Text(_)) if date_text(*ms, false, text) => ValueRef::Text(text.as_bytes()),
        _ => return Ok(Err("is not of the field's type")),
    };
    statement.raw_bind_parameter(place, Bound(bound))?;
    Ok(Ok(()))
}

fn shortest(value: &Value) -> String {
    if let Value::Real(n) = value { n.to_string() } else { String::new() }
}
