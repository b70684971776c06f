//! Filters of styles as QGIS expressions.

use super::expression::{name, text};
use serde_json::Value;

/// The condition of a filter, both in the old form and as an expression; none where it has no counterpart.
pub(crate) fn condition(filter: &Value) -> Option<String> {
    let parts = match filter {
        Value::Null => return Some(String::new()),
        Value::Bool(holds) => return Some(if *holds { "TRUE" } else { "FALSE" }.to_owned()),
        other => other.as_array()?,
    };
    let (operator, rest) = parts.split_first()?;
    let many = |word: &str| {
        let all: Option<Vec<String>> = rest.iter().map(condition).collect();
        Some(all?.iter().filter(|part| !part.is_empty()).map(|part| format!("({part})")).collect::<Vec<_>>().join(word))
    };
    let first = rest.first();
    match operator.as_str()? {
        "all" => many(" AND "),
        "any" => many(" OR "),
        "none" => many(" OR ").map(|any| format!("NOT ({any})")),
        "!" => condition(first?).map(|inner| format!("NOT ({inner})")),
        "has" => Some(format!("{} IS NOT NULL", field(first?)?)),
        "!has" => Some(format!("{} IS NULL", field(first?)?)),
        "in" => among(rest, "IN"),
        "!in" => among(rest, "NOT IN"),
        "match" => matched(rest),
        sign @ ("==" | "!=" | "<" | "<=" | ">" | ">=") => {
            let sign = match sign {
                "==" => "=",
                "!=" => "<>",
                other => other,
            };
            Some(format!("{} {sign} {}", field(first?)?, value(rest.get(1)?)?))
        }
        _ => None,
    }
}

/// A field by its name or by `["get", name]`; the kind of geometry has a name of its own.
fn field(of: &Value) -> Option<String> {
    match of {
        Value::String(key) if key == "$type" => Some("_geom_type".to_owned()),
        Value::String(key) => Some(name(key)),
        Value::Array(parts) => match (parts.first()?.as_str()?, parts.get(1)) {
            ("get", Some(Value::String(key))) => Some(name(key)),
            ("geometry-type", None) => Some("_geom_type".to_owned()),
            ("to-string" | "to-number" | "string" | "number", Some(inner @ Value::Array(_))) => field(inner),
            _ => None,
        },
        _ => None,
    }
}

fn value(of: &Value) -> Option<String> {
    match of {
        Value::String(of) => Some(text(of)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(holds) => Some(if *holds { "TRUE" } else { "FALSE" }.to_owned()),
        Value::Array(parts) if parts.first()?.as_str() == Some("literal") => value(parts.get(1)?),
        _ => None,
    }
}

fn listed(values: &[Value]) -> Option<String> {
    let all: Option<Vec<String>> = values.iter().map(value).collect();
    Some(all?.join(", ")).filter(|list| !list.is_empty())
}

fn among(rest: &[Value], word: &str) -> Option<String> {
    let (of, values) = rest.split_first()?;
    let listed = match values {
        [Value::Array(parts)] if parts.first()?.as_str() == Some("literal") => listed(parts.get(1)?.as_array()?)?,
        values => listed(values)?,
    };
    Some(format!("{} {word} ({listed})", field(of)?))
}

/// `["match", input, values, true, false]`.
fn matched(rest: &[Value]) -> Option<String> {
    let [of, values, Value::Bool(then), Value::Bool(otherwise)] = rest else { return None };
    let listed = match values {
        Value::Array(values) => listed(values)?,
        one => value(one)?,
    };
    let word = if *then && !*otherwise { "IN" } else { "NOT IN" };
    (then != otherwise).then(|| field(of).map(|field| format!("{field} {word} ({listed})")))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_filters_are_read() {
        for (filter, expected) in [
            (json!(["all", ["==", "kind", "a'b"], [">=", "rank", 2]]), "(\"kind\" = 'a''b') AND (\"rank\" >= 2)"),
            (json!(["==", "$type", "Polygon"]), "_geom_type = 'Polygon'"),
            (json!(["!in", "k", 1, 2]), "\"k\" NOT IN (1, 2)"),
            (json!(["==", ["get", "k"], true]), "\"k\" = TRUE"),
            (json!(["in", ["get", "k"], ["literal", ["a"]]]), "\"k\" IN ('a')"),
            (json!(["match", ["get", "k"], ["a", "b"], true, false]), "\"k\" IN ('a', 'b')"),
            (json!(["!", ["has", "k"]]), "NOT (\"k\" IS NOT NULL)"),
            (Value::Null, ""),
        ] {
            assert_eq!(condition(&filter).as_deref(), Some(expected), "{filter}");
        }
        assert_eq!(condition(&json!(["within", {}])), None);
    }
}
