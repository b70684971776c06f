//! JSON read within a budget: what would take more memory than it may is refused before the memory is spent.

use super::lenient::{NotJson, strict};
use super::values::Values;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;

/// How much JSON may be read.
///
/// A number, text, list or `null` counts for one value, an object for seven more, each member of an object for two more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonBudget {
    /// Longest text in bytes, decompressed.
    pub bytes: usize,
    /// Most values.
    pub values: usize,
}

/// Why a text was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// It is longer than the budget allows.
    #[error("it has {bytes} bytes, expected at most {most}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The budget's.
        most: usize,
    },
    /// It holds more values than the budget allows.
    #[error("it holds more than {most} values, expected at most that")]
    TooMany {
        /// The budget's.
        most: usize,
    },
    /// It is not JSON.
    #[error(transparent)]
    NotJson(#[from] NotJson),
}

impl Unread {
    /// Whether it is too much, rather than not JSON.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        !matches!(self, Self::NotJson(_))
    }
}

impl JsonBudget {
    /// Reads a text.
    ///
    /// # Errors
    /// If it is not JSON, or more than the budget allows.
    pub fn read(self, text: &[u8]) -> Result<Value, Unread> {
        self.deserialize(text, |text| Values::of(text).all, PhantomData::<Value>)
    }

    /// Hands the members of a list on, one by one: each may hold as many values as the budget says, the list as many members as
    /// its bytes allow. An object or `null` is handed back as a whole.
    ///
    /// # Errors
    /// As [`JsonBudget::read`]; also if it is neither.
    pub fn each(self, text: &[u8], member: impl FnMut(Value)) -> Result<Option<Value>, Unread> {
        let is_list = |text: &[u8]| text.trim_ascii_start().starts_with(b"[");
        let is_list = is_list(&strict(text));
        let count = |text: &[u8]| {
            let values = Values::of(text);
            if is_list { values.largest_member } else { values.all }
        };
        self.deserialize(text, count, EachMember { member })
    }

    /// Reads a text by what makes something of it as it comes, and bounds by itself what it keeps: its values are not counted.
    ///
    /// # Errors
    /// If it is longer than the budget allows, is not JSON, or the seed refuses it.
    pub fn stream<T>(self, text: &[u8], seed: impl for<'de> DeserializeSeed<'de, Value = T>) -> Result<T, Unread> {
        self.deserialize(text, |_| 0, seed)
    }

    fn deserialize<T>(
        self,
        text: &[u8],
        count: impl Fn(&[u8]) -> usize,
        seed: impl for<'de> DeserializeSeed<'de, Value = T>,
    ) -> Result<T, Unread> {
        if text.len() > self.bytes {
            return Err(Unread::TooLong { bytes: text.len(), most: self.bytes });
        }
        let strict = strict(text);
        // What begins otherwise is a single value, or no JSON.
        let holds_values = strict.trim_ascii_start().first().is_some_and(|b| b"[{".contains(b));
        if holds_values && count(&strict) > self.values {
            return Err(Unread::TooMany { most: self.values });
        }
        let mut reader = serde_json::Deserializer::from_slice(&strict);
        let read = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        read.map_err(|error| NotJson::new(text, &error).into())
    }
}

struct EachMember<F> {
    member: F,
}

impl<'de, F: FnMut(Value)> DeserializeSeed<'de> for EachMember<F> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Value)> Visitor<'de> for EachMember<F> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut members: A) -> Result<Option<Value>, A::Error> {
        while let Some(member) = members.next_element()? {
            (self.member)(member);
        }
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Option<Value>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(members)).map(Some)
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(Some(Value::Null))
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
