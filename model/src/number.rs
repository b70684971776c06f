//! Numbers as other programs write them: whole numbers as floats (`4326.0`), numbers as text (`"2000"`).
//!
//! The one rule of every typed number that comes from outside. What is no whole number where one is expected is refused by name: the
//! field, what was found, what was expected.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// Characters that are shown of what was found.
const SHOWN: usize = 60;

/// A number that JSON of others may hold.
pub trait JsonNumber: Sized {
    /// Reads it; `None` if it is something else.
    fn from_json(value: &Value) -> Option<Self>;

    /// What is expected, in words.
    fn expected() -> String;
}

/// Reads a number; `None` if it is none of its kind.
#[must_use]
pub fn read<T: JsonNumber>(value: &Value) -> Option<T> {
    T::from_json(value)
}

/// Reads a member of an object. One that is not there, `null` or a blank text is `None`.
///
/// # Errors
/// If it is something else than such a number.
pub fn member<T: JsonNumber>(object: &Value, field: &str) -> Result<Option<T>, NotANumber> {
    object.get(field).map_or(Ok(None), |value| named::<Option<T>>(value, field))
}

/// Reads a value that has a name.
///
/// # Errors
/// If it is something else than such a number, or there is none and there must be one.
pub fn named<T: JsonNumber>(value: &Value, field: &str) -> Result<T, NotANumber> {
    T::from_json(value).ok_or_else(|| NotANumber::new::<T>(field, value))
}

/// For `number_fields`.
///
/// # Errors
/// As [`named`].
pub fn deserialize<'de, T: JsonNumber, D: Deserializer<'de>>(deserializer: D, field: &str) -> Result<T, D::Error> {
    named(&Value::deserialize(deserializer)?, field).map_err(D::Error::custom)
}

/// Makes functions for serde's `deserialize_with` that know the name of their field.
#[macro_export]
macro_rules! number_fields {
    ($($function:ident: $kind:ty = $field:literal),+ $(,)?) => {
        $(fn $function<'de, D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<$kind, D::Error> {
            $crate::number::deserialize(deserializer, $field)
        })+
    };
}

/// A number was expected and something else was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, expected {expected}")]
pub struct NotANumber {
    field: String,
    found: String,
    expected: String,
}

impl NotANumber {
    fn new<T: JsonNumber>(field: &str, value: &Value) -> Self {
        let text = match value {
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::String(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
            other => other.to_string(),
        };
        Self { field: field.to_owned(), found: text, expected: T::expected() }
    }
}

/// The whole number of a value, whatever its form.
fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => {
            let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            exact.or_else(|| whole_float(number.as_f64()?))
        }
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole_float(text.parse().ok()?))
        }
        _ => None,
    }
}

fn whole_float(number: f64) -> Option<i128> {
    // Larger floats are beyond every kind of whole number that is read.
    (number.fract() == 0.0 && number.abs() < 1e20).then_some(number as i128)
}

macro_rules! whole_numbers {
    ($($kind:ty),+) => {
        $(impl JsonNumber for $kind {
            fn from_json(value: &Value) -> Option<Self> {
                whole(value).and_then(|number| number.try_into().ok())
            }

            fn expected() -> String {
                format!("a whole number from {} to {}", Self::MIN, Self::MAX)
            }
        })+
    };
}
whole_numbers!(i32, i64, u32, u64, usize);

impl JsonNumber for f64 {
    fn from_json(value: &Value) -> Option<Self> {
        let number: Option<f64> = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|n| n.is_finite())
    }

    fn expected() -> String {
        "a number".to_owned()
    }
}

impl<T: JsonNumber> JsonNumber for Option<T> {
    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            Value::String(text) if text.trim().is_empty() => Some(None),
            value => T::from_json(value).map(Some),
        }
    }

    fn expected() -> String {
        T::expected()
    }
}

impl<T: JsonNumber> JsonNumber for Vec<T> {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_json).collect()
    }

    fn expected() -> String {
        format!("a list, each member {}", T::expected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_are_read_in_every_form_and_nothing_else_is() {
        for (value, number) in [
            (json!(256), Some(256)),
            (json!(256.0), Some(256)),
            (json!("256"), Some(256)),
            (json!(" 256.0 "), Some(256)),
            (json!(-0.0), Some(0)),
            (json!(4_294_967_295_u32), Some(u32::MAX)),
            (json!(256.5), None),
            (json!("256.5"), None),
            (json!(-1), None),
            (json!(4_294_967_296_u64), None),
            (json!(1e300), None),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!("0x10"), None),
            (json!(""), None),
            (json!(true), None),
            (json!(null), None),
            (json!([256]), None),
        ] {
            assert_eq!(read::<u32>(&value), number, "{value}");
        }
        assert_eq!(read::<u64>(&json!(u64::MAX)), Some(u64::MAX));
        assert_eq!(read::<i64>(&json!("1700000000000.0")), Some(1_700_000_000_000));
        assert_eq!(read::<i64>(&json!(i64::MIN)), Some(i64::MIN));
        assert_eq!(read::<f64>(&json!("11.2")), Some(11.2));
        assert_eq!(read::<f64>(&json!("Infinity")), None);
    }

    #[test]
    fn what_is_no_whole_number_is_named_with_its_field_and_what_was_expected() {
        let refused = |value: Value| member::<u32>(&json!({"rows": value}), "rows").expect_err("refused").to_string();
        assert_eq!(refused(json!(256.5)), "`rows` is 256.5, expected a whole number from 0 to 4294967295");
        assert_eq!(refused(json!("many\u{1b}")), "`rows` is \"many\\u{1b}\", expected a whole number from 0 to 4294967295");
        assert!(refused(json!("x".repeat(10_000))).len() < 200);
        for nothing in [json!({}), json!({"rows": null}), json!({"rows": " "})] {
            assert_eq!(member::<u32>(&nothing, "rows"), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn fields_of_a_structure_are_named() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Level {
            #[serde(deserialize_with = "level")]
            level: u32,
            #[serde(default, deserialize_with = "ids")]
            ids: Vec<u32>,
            #[serde(default, deserialize_with = "end")]
            end: Option<i64>,
        }
        number_fields! { level: u32 = "level", ids: Vec<u32> = "ids", end: Option<i64> = "end" }
        let read = |value: Value| serde_json::from_value::<Level>(value).map_err(|e| e.to_string());
        assert_eq!(read(json!({"level": "3", "ids": [1.0]})), Ok(Level { level: 3, ids: vec![1], end: None }));
        let refused = read(json!({"level": 3.5})).expect_err("refused");
        assert!(refused.starts_with("`level` is 3.5, expected a whole number"), "{refused}");
        assert!(read(json!({"level": 1, "end": 0.5})).is_err_and(|e| e.contains("`end` is 0.5")));
    }
}
