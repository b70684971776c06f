//! Columns of a layer's table: their declarations and values.

use crate::data::Row;
use rusqlite::types::Value as Sql;
use serde_json::Value;

/// Milliseconds of a day, and the Julian day of 1970-01-01.
const DAY: f64 = 86_400_000.0;
const EPOCH: f64 = 2_440_587.5;

/// Declaration, `sde_type` and size of a field.
pub(crate) fn column(name: &str, kind: &str, length: u32) -> (String, i32, u32) {
    let range = |word: &str, low: i64, high: i64| {
        format!(
            "{word} check((typeof({name}) = 'integer' or typeof({name}) = 'null') and {name} >= {low} and {name} <= {high})"
        )
    };
    match kind {
        "esriFieldTypeInteger" => (range("int32", i64::from(i32::MIN), i64::from(i32::MAX)), 2, 0),
        "esriFieldTypeDouble" => (format!("float64 check(typeof({name}) = 'real' or typeof({name}) = 'null')"), 4, 0),
        "esriFieldTypeDate" => (
            format!(
                "realdate check((typeof({name}) = 'real' or typeof({name}) = 'null') and ({name} is null or {name} >= 0.0))"
            ),
            7,
            0,
        ),
        "esriFieldTypeGUID" => {
            let check = format!("(typeof({name}) = 'text' and length({name}) in (36, 38)) or typeof({name}) = 'null'");
            (format!("uuidtext check({check})"), 12, 38)
        }
        _ => {
            let check = format!("(typeof({name}) = 'text' or typeof({name}) = 'null') and not length({name}) > {length}");
            (format!("text({length}) check({check})"), 5, length)
        }
    }
}

/// A GUID as the replica spells it.
pub(crate) fn guid(text: &str, bare: bool) -> String {
    if bare { text.trim_matches(['{', '}']).to_lowercase() } else { text.to_owned() }
}

pub(crate) fn value(row: &Row, name: &str, kind: &str, bare_guids: bool) -> Sql {
    match (row.attributes.get(name), kind) {
        (Some(Value::Number(n)), "esriFieldTypeDate") => Sql::Real(n.as_f64().unwrap_or(0.0) / DAY + EPOCH),
        (Some(Value::Number(n)), "esriFieldTypeDouble") => Sql::Real(n.as_f64().unwrap_or(0.0)),
        (Some(Value::Number(n)), _) => Sql::Integer(n.as_i64().unwrap_or(0)),
        (Some(Value::String(text)), "esriFieldTypeGUID" | "esriFieldTypeGlobalID") => Sql::Text(guid(text, bare_guids)),
        (Some(Value::String(text)), _) => Sql::Text(text.clone()),
        _ => Sql::Null,
    }
}
