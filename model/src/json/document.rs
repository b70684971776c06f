//! JSON documents of packages and files: how much memory one may need is estimated from its bytes, before anything is built.

use super::lenient::{NotJson, strict};
use super::values::Values;
use serde::de::DeserializeOwned;

/// Estimated bytes of a value once it is read.
const VALUE: u64 = 58;
/// Estimated bytes of an object beside its values: the first member makes a node of a tree.
const OBJECT: u64 = 128;

/// Reads a document unless it would need more than `memory` bytes.
///
/// # Errors
/// In words: that it needs more, or what is wrong with it.
pub fn read<T: DeserializeOwned>(bytes: &[u8], memory: u64) -> Result<T, String> {
    let needed = memory_of(bytes);
    if needed > memory {
        return Err(format!("it would need about {} MiB of memory, expected at most {} MiB", needed >> 20, memory >> 20));
    }
    serde_json::from_slice(&strict(bytes)).map_err(|e| match e.is_data() {
        true => format!("it is not the JSON that was expected: {e}"),
        false => format!("it is not JSON: {}", NotJson::new(bytes, &e)),
    })
}

/// About how many bytes of memory the values of a document need. A text that is no JSON is counted as well.
#[must_use]
pub fn memory_of(bytes: &[u8]) -> u64 {
    let values = Values::of(bytes);
    let objects = OBJECT.saturating_mul(values.objects as u64);
    VALUE.saturating_mul(values.all as u64).saturating_add(objects).saturating_add(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_document_of_another_program_is_read_and_one_that_is_no_json_is_refused_with_its_place() {
        let document: Value = read(b"\xef\xbb\xbf{\"scale\": NaN}", 1 << 20).expect("reads");
        assert_eq!(document, serde_json::json!({"scale": null}));
        let refused = read::<Value>(b"{\n\"a\": \x01}", 1 << 20).expect_err("no JSON");
        assert!(refused.starts_with("it is not JSON: line 2, column 6 has `\\x01}`"), "{refused}");
    }

    #[test]
    fn a_document_of_very_many_values_is_refused_before_it_is_built() {
        let many = format!("[{}0]", "0,".repeat(1 << 20));
        let refused = read::<Value>(many.as_bytes(), 32 << 20).expect_err("2 MiB of text, 40 MiB of values");
        assert!(refused.contains("expected at most 32 MiB"), "{refused}");
        read::<Value>(many.as_bytes(), 64 << 20).expect("within the limit");
        let objects = format!("[{}0]", "{\"\":0},".repeat(1 << 16));
        assert!(memory_of(objects.as_bytes()) > 47 << 20);
        // Marks inside of strings are text.
        let text = serde_json::json!(["{[,:\\\"".repeat(1 << 20)]).to_string();
        assert!(memory_of(text.as_bytes()) < text.len() as u64 + 1024);
    }
}
