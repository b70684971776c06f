//! Features as a service sends them.
//!
//! Source: feature service reference §5.2.

use offmap_model::json::{JsonBudget, Unread};
use serde_json::Value;

/// Reads the features of answers. Blocks: it runs off the async threads where an answer is large.
pub trait ReadFeatures: Send + Sync + 'static {
    /// What it makes of the features of an answer.
    type Features: Send + 'static;

    /// Reads the text of an object with `features`, which may be an error instead; hands back the members beside them that tell one.
    ///
    /// # Errors
    /// If the text is not JSON, or longer than the budget allows. Its values are not counted: it must bound by itself what it keeps.
    fn read_json(&self, budget: JsonBudget, text: &[u8]) -> Result<(Self::Features, Value), Unread>;

    /// Reads a `FeatureCollectionPBuffer`.
    fn read_pbf(&self, bytes: &[u8]) -> Self::Features;
}

/// Whether a body is a `FeatureCollectionPBuffer`: it begins with its version or with its result; JSON and pages do not.
pub(crate) fn is_pbf(bytes: &[u8]) -> bool {
    const VERSION: u8 = 0x0a;
    const RESULT: u8 = 0x12;
    match bytes.first() {
        Some(&RESULT) => true,
        // It is a line feed as well.
        Some(&VERSION) => !matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[' | b'<')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_pbf;

    #[test]
    fn a_collection_is_told_from_json_and_pages() {
        assert!(is_pbf(b"\x12\x02\x0a\x00") && is_pbf(b"\x0a\x010\x12\x00"));
        for other in [&b""[..], b"{}", b"\n{\"error\": {}}", b"\n\n<html>", b"\xef\xbb\xbf{}", b"[1]"] {
            assert!(!is_pbf(other), "{other:?}");
        }
    }
}
