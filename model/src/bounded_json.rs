//! JSON from others, read within a budget: what would take more memory than it may is refused before the memory is spent.
//!
//! A text of a few kilobytes can stand for gigabytes of values: two bytes of text are a list, nine an object of some hundred
//! bytes. So beside the bytes of the text its values are counted while it is read, by the memory that they take.
//!
//! The form of the text is read leniently, as [`crate::lenient`] says.

use crate::lenient::{NotJson, strict};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// What an object counts for beside its members: the first member makes a node of a tree of more than 600 bytes.
const OBJECT: usize = 8;
/// What a member of an object counts for beside its value.
const MEMBER: usize = 2;
/// Members that a list makes room for before they are read.
const ROOM: usize = 16;

/// How much JSON may be read.
///
/// A number, text, list or `null` counts for one value, an object for eight more, each member of an object for two more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonBudget {
    /// Longest text in bytes, decompressed.
    pub bytes: usize,
    /// Most values.
    pub values: usize,
}

/// Why a text was not read.
#[derive(Debug)]
pub enum Unread {
    /// It is longer than the budget allows.
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The budget's.
        most: usize,
    },
    /// It holds more values than the budget allows.
    TooMany {
        /// The budget's.
        most: usize,
    },
    /// It is not JSON.
    NotJson(NotJson),
}

impl Unread {
    /// Whether it is too much, rather than not JSON.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        !matches!(self, Self::NotJson(_))
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, most } => write!(f, "it has {bytes} bytes, expected at most {most}"),
            Self::TooMany { most } => write!(f, "it holds more than {most} values, expected at most that"),
            Self::NotJson(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unread {}

impl JsonBudget {
    /// Reads a text.
    ///
    /// # Errors
    /// If it is not JSON, or more than the budget allows.
    pub fn read(self, text: &[u8]) -> Result<Value, Unread> {
        let left = Cell::new(Some(self.values));
        self.deserialize(text, Counted { left: &left }, &left)
    }

    /// Hands the members of a list on, one by one: each may hold as many values as the budget says, the list as many members as
    /// its bytes allow. A text that is something else than a list is handed back as a whole.
    ///
    /// # Errors
    /// As [`JsonBudget::read`].
    pub fn each(self, text: &[u8], member: impl FnMut(Value)) -> Result<Option<Value>, Unread> {
        let left = Cell::new(Some(self.values));
        self.deserialize(text, EachMember { budget: self, left: &left, member }, &left)
    }

    fn deserialize<T>(
        self,
        text: &[u8],
        seed: impl for<'de> DeserializeSeed<'de, Value = T>,
        left: &Cell<Option<usize>>,
    ) -> Result<T, Unread> {
        if text.len() > self.bytes {
            return Err(Unread::TooLong { bytes: text.len(), most: self.bytes });
        }
        let strict = strict(text);
        let mut reader = serde_json::Deserializer::from_slice(&strict);
        let read = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        read.map_err(|error| match left.get() {
            None => Unread::TooMany { most: self.values },
            Some(_) => Unread::NotJson(NotJson::new(text, &error)),
        })
    }
}

/// Reads one value and takes what it counts for off the rest; `None` once there is no rest.
#[derive(Clone, Copy)]
struct Counted<'a> {
    left: &'a Cell<Option<usize>>,
}

impl Counted<'_> {
    fn take<E: serde::de::Error>(self, values: usize) -> Result<(), E> {
        let rest = self.left.get().and_then(|left| left.checked_sub(values));
        self.left.set(rest);
        rest.map(drop).ok_or_else(|| E::custom("too many values"))
    }
}

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.take(1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(members.size_hint().unwrap_or(0).min(ROOM));
        while let Some(member) = members.next_element_seed(self)? {
            list.push(member);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.take(OBJECT)?;
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            self.take(MEMBER)?;
            map.insert(key, members.next_value_seed(self)?);
        }
        Ok(Value::Object(map))
    }
}

struct EachMember<'a, F> {
    budget: JsonBudget,
    left: &'a Cell<Option<usize>>,
    member: F,
}

impl<'de, F: FnMut(Value)> DeserializeSeed<'de> for EachMember<'_, F> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Value)> Visitor<'de> for EachMember<'_, F> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut members: A) -> Result<Option<Value>, A::Error> {
        while let Some(member) = members.next_element_seed(Counted { left: self.left })? {
            (self.member)(member);
            self.left.set(Some(self.budget.values));
        }
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Option<Value>, A::Error> {
        Counted { left: self.left }.visit_map(members).map(Some)
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(Some(Value::Null))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Option<Value>, E> {
        Err(E::custom("neither a list nor an object"))
    }
}

/// Bytes of a value as JSON, without the text being made.
#[must_use]
pub fn json_bytes(value: &impl serde::Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BUDGET: JsonBudget = JsonBudget { bytes: 1000, values: 20 };

    #[test]
    fn what_is_within_the_budget_is_read_as_serde_json_reads_it() {
        let budget = JsonBudget { values: 100, ..BUDGET };
        for text in [
            r#"{"a":[1,-2,3.5,1e300,"x\u00e9\n",null,true],"b":{"c":{}},"d":18446744073709551615,"a":2}"#,
            "[]",
            " 7 ",
            "\"text\"",
        ] {
            let plain: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(budget.read(text.as_bytes()).expect("reads"), plain, "{text}");
        }
        for text in ["", "{", "[1,]", "{} {}", "<html>", "\"\\ud800\"", "nul"] {
            assert!(matches!(budget.read(text.as_bytes()), Err(Unread::NotJson(_))), "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_and_bare_words_for_numbers_are_read() {
        let text = b"\xef\xbb\xbf{\"a\": NaN, \"b\": \"NaN\"}";
        let expected = json!({"a": null, "b": "NaN"});
        assert_eq!(BUDGET.read(text).expect("reads"), expected);
        assert_eq!(BUDGET.each(text, |_| {}).expect("reads"), Some(expected));
        let mut members = Vec::new();
        BUDGET.each(b"[1, -Infinity]", |member| members.push(member)).expect("reads");
        assert_eq!(members, [json!(1), Value::Null]);
        let refused = BUDGET.read(b"{\"a\": NaN,\n \"b\": no}").expect_err("no JSON").to_string();
        assert!(refused.starts_with("line 2, column 8 has `o}`"), "{refused}");
    }

    #[test]
    fn values_are_counted_by_the_memory_that_they_take() {
        let list = |n: usize| json!(vec![0; n]).to_string();
        assert!(BUDGET.read(list(19).as_bytes()).is_ok());
        assert!(matches!(BUDGET.read(list(20).as_bytes()), Err(Unread::TooMany { most: 20 })));
        assert!(matches!(BUDGET.read(br#"[{"a":1},{"a":1}]"#), Err(Unread::TooMany { .. })));
        assert!(matches!(BUDGET.read(&[b' '; 1001]), Err(Unread::TooLong { bytes: 1001, most: 1000 })));
        // The same member again and again is counted each time.
        let same = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(6));
        assert!(matches!(BUDGET.read(same.as_bytes()), Err(Unread::TooMany { .. })));
        let deep = "[".repeat(500);
        assert!(BUDGET.read(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_long_list_is_read_member_by_member() {
        let text = json!(vec![json!({"a": 1}); 50]).to_string();
        let mut seen = 0;
        assert_eq!(BUDGET.each(text.as_bytes(), |_| seen += 1).expect("reads"), None);
        assert_eq!(seen, 50);
        let whole = BUDGET.each(br#"{"error":1}"#, |_| {}).expect("reads");
        assert_eq!(whole, Some(json!({"error": 1})));
        let one = format!("[[{}0]]", "0,".repeat(30));
        assert!(matches!(BUDGET.each(one.as_bytes(), |_| {}), Err(Unread::TooMany { .. })));
        assert!(matches!(BUDGET.each(b"<", |_| {}), Err(Unread::NotJson(_))));
    }

    #[test]
    fn bytes_are_counted_without_the_text() {
        let value = json!({"a": [1, "x"], "b": null});
        assert_eq!(json_bytes(&value), value.to_string().len());
    }
}
