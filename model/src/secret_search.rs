//! Looking for secrets in texts: the forms in which they come back, and how many of them can be looked for.

use crate::layer_secrets::{LONGEST_SECRET, MOST_SECRET_BYTES, MOST_SECRETS, SHORTEST_SECRET};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What is encoded in a part of a url (RFC 3986, all but `unreserved`).
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is encoded where the delimiters of a query may stand as they are.
const QUERY: &AsciiSet = &PART
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/')
    .remove(b'?');

/// A text as it stands in XML and HTML, in an attribute as well.
fn in_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The forms in which a secret comes back: as it is, in a url, in JSON, in XML.
fn forms(secret: &str) -> Vec<String> {
    let json = Value::from(secret).to_string();
    let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json).to_owned();
    let query = utf8_percent_encode(secret, QUERY).to_string();
    let mut all = vec![
        secret.to_owned(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        utf8_percent_encode(secret, PART).to_string(),
        in_xml(&query),
        query,
        json.replace('/', "\\/"),
        json,
        secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        in_xml(secret),
    ];
    all.sort_unstable();
    all.dedup();
    all
}

/// What of a secret is looked for: without the space around it, its first [`LONGEST_SECRET`] bytes. `None` where that is shorter than
/// [`SHORTEST_SECRET`].
pub(crate) fn sought_of(secret: &str) -> Option<&str> {
    let secret = secret.trim();
    let head = secret.get(..secret.floor_char_boundary(LONGEST_SECRET)).unwrap_or(secret);
    (head.chars().count() >= SHORTEST_SECRET).then_some(head)
}

/// Bytes of all the forms of a secret.
pub(crate) fn bytes_of_forms(secret: &str) -> usize {
    forms(secret).iter().map(String::len).sum()
}

fn builder(kind: AhoCorasickKind) -> AhoCorasickBuilder {
    let mut builder = AhoCorasick::builder();
    builder.match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(true).kind(Some(kind));
    builder
}

/// Finds secrets in every form and any letter case, of two at one place the longer one. `None` where there are none.
///
/// The searcher takes some 15 bytes for each byte of the forms ([`MOST_SECRET_BYTES`]); one that is a table would take 4 KiB.
pub(crate) fn searcher<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<AhoCorasick> {
    let patterns: Vec<String> = secrets.into_iter().flat_map(forms).collect();
    if patterns.is_empty() {
        return None;
    }
    builder(AhoCorasickKind::ContiguousNFA)
        .build(patterns)
        .inspect_err(|error| tracing::error!(%error, "secrets cannot be looked for"))
        .ok()
}

/// What is left of the room for the secrets of one map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SearchRoom {
    secrets: usize,
    bytes: usize,
}

impl Default for SearchRoom {
    fn default() -> Self {
        Self { secrets: MOST_SECRETS, bytes: MOST_SECRET_BYTES }
    }
}

impl SearchRoom {
    /// Whether there was room for one more; it is taken.
    pub(crate) fn has_taken(&mut self, secret: &str) -> bool {
        let left = (self.secrets.checked_sub(1), self.bytes.checked_sub(bytes_of_forms(secret)));
        let (Some(secrets), Some(bytes)) = left else { return false };
        (self.secrets, self.bytes) = (secrets, bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret of its own whose forms all differ.
    fn secret(seed: usize, length: usize) -> String {
        let letter = |i: usize| char::from(b"abcdeABCDE0123456789&/\"+ <>!"[(i * 7 + i * i * seed + seed / (i + 1)) % 28]);
        format!("{seed}-").chars().chain((0..length).map(letter)).take(length).collect()
    }

    #[test]
    fn as_many_secrets_as_there_is_room_for_are_looked_for_in_little_memory() {
        for length in [16, 100, LONGEST_SECRET] {
            let mut room = SearchRoom::default();
            let known: Vec<String> = (0..).map(|i| secret(i, length)).take_while(|s| room.has_taken(s)).collect();
            assert!(room.secrets == 0 || room.bytes < 9 * 6 * length, "{room:?} is left");
            let searcher = searcher(known.iter().map(String::as_str)).expect("a searcher");
            assert_eq!(searcher.kind(), AhoCorasickKind::ContiguousNFA);
            // It is made by way of another, which goes again.
            let before =
                builder(AhoCorasickKind::NoncontiguousNFA).build(known.iter().flat_map(|s| forms(s))).expect("builds");
            let memory = (before.memory_usage(), searcher.memory_usage());
            assert!(memory.0 < 48 << 20 && memory.1 < 16 << 20, "{memory:?} bytes for {} secrets of {length}", known.len());
            for secret in &known {
                assert!(searcher.is_match(secret.as_str()));
            }
        }
    }

    #[test]
    fn a_secret_is_found_in_its_forms() {
        let searcher = searcher(["a&b c=<\"1/"]).expect("a searcher");
        for text in [
            "a&b c=<\"1/",
            "a%26b+c%3D%3C%221%2F",
            "A%26b%20c%3d%3c%221%2f",
            "a&b%20c=%3C%221/",
            "a&amp;b%20c=%3C%221/",
            r#"a&b c=<\"1\/"#,
            "a&amp;b c=&lt;\"1/",
            "a&amp;b c=&lt;&quot;1/",
        ] {
            assert_eq!(searcher.find(text).map(|m| m.range()), Some(0..text.len()), "{text}");
        }
    }
}
