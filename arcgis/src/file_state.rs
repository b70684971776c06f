//! Whether parts of a file are of the same file.
//!
//! A 206 is joined only if its validator and the total length in its `Content-Range` are those of the first part. A weak `ETag`
//! says that the bytes may differ, so it is no evidence by itself (RFC 9110 §8.8.1, §15.3.7).

use offmap_model::failure::shortened;
use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use serde::{Deserialize, Serialize};

/// Bytes of the longest `ETag` that is kept.
const LONGEST_ETAG: usize = 1_000;
/// Bytes of what a server says that are shown.
const LONGEST_SHOWN: usize = 100;

/// What a server says in a header, as it goes into messages.
pub(crate) fn shown(said: &str) -> String {
    let start = said.get(..said.floor_char_boundary(LONGEST_SHOWN + 4)).unwrap_or_default();
    shortened(start.escape_debug().to_string(), LONGEST_SHOWN)
}

/// What a server says of the state that a file is in: its `ETag`, when it was modified, and its length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    etag: Option<String>,
    modified: Option<String>,
    /// Length of the complete file.
    pub(crate) total: Option<u64>,
}

impl FileState {
    pub(crate) fn of(headers: &HeaderMap, total: Option<u64>) -> Self {
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.trim().to_owned()).filter(|t| !t.is_empty());
        Self { etag: text(ETAG), modified: text(LAST_MODIFIED), total }
    }

    /// The `ETag`, unless it is too long to be kept.
    pub(crate) fn short_etag(&self) -> Option<String> {
        self.etag.clone().filter(|tag| tag.len() <= LONGEST_ETAG)
    }

    /// Bytes of the complete file, where they are known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// What makes sure that a server answers of this state or not at all (RFC 9110 §13.1.1, §13.1.4); `None` where it says nothing by
    /// which it could.
    pub(crate) fn condition(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, validator) = match (self.strong(), &self.modified) {
            (Some(tag), _) => (IF_MATCH, tag),
            (None, modified) => (IF_UNMODIFIED_SINCE, modified.as_ref()?),
        };
        Some((name, HeaderValue::from_str(validator).ok()?))
    }

    /// What another answer says otherwise of the file; `None` where it is of the same state as far as both say.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let shown = |said: &Option<String>| said.as_deref().map_or_else(|| "none".to_owned(), shown);
        if self.total != other.total {
            let bytes = |state: &Self| state.total.map_or_else(|| "unknown".to_owned(), |total| total.to_string());
            return Some(format!("it had {} bytes and has {}", bytes(self), bytes(other)));
        }
        if self.etag != other.etag {
            return Some(format!("its ETag was {} and is {}", shown(&self.etag), shown(&other.etag)));
        }
        let is_modified = self.etag.is_none() && self.modified != other.modified;
        is_modified.then(|| format!("it was modified {} and then {}", shown(&self.modified), shown(&other.modified)))
    }

    fn strong(&self) -> Option<&String> {
        self.etag.as_ref().filter(|tag| !tag.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("W/")))
    }

    /// The validator by which the server can tell that the file is still the same; `None` where there is none, or its length is not
    /// known.
    pub(crate) fn if_range(&self) -> Option<HeaderValue> {
        let validator = self.strong().or(self.modified.as_ref()).filter(|_| self.total.is_some())?;
        HeaderValue::from_str(validator).ok()
    }

    /// Whether two answers are of one state of the file.
    fn is_same(&self, other: &Self) -> bool {
        let is_validated = self.strong().is_some() || (self.modified.is_some() && self.modified == other.modified);
        is_validated && self.etag == other.etag && self.total.is_some() && self.total == other.total
    }

    /// Whether a 206 resumes at `from`, of this very file. `length` is what it says of its body.
    pub(crate) fn is_continued_by(&self, headers: &HeaderMap, length: Option<u64>, from: u64) -> bool {
        let Some((first, last, total)) = content_range(headers) else { return false };
        let is_complete = length.is_none_or(|length| length == last - first + 1);
        from > 0 && first == from && is_complete && self.is_same(&Self::of(headers, Some(total)))
    }
}

/// First byte, last byte and total length; nothing where any of them is missing or they make no sense.
pub(crate) fn content_range(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    let mut all = headers.get_all(CONTENT_RANGE).iter();
    let text = all.next().filter(|_| all.next().is_none())?.to_str().ok()?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, total) = rest.split_once('/').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    (first <= last && last < total).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_in_few_words_however_long_it_is() {
        let state = |etag: String| FileState { etag: Some(etag), total: Some(9), ..FileState::default() };
        let words = state("\u{1b}é".repeat(9_000)).difference(&state("b".repeat(300_000))).expect("differs");
        assert!(words.len() < 300 && !words.contains(char::is_control), "{words}");
        assert!(words.contains("its ETag was") && words.contains("bbb"), "{words}");
        assert_eq!(state("a".to_owned()).difference(&state("b".to_owned())).as_deref(), Some("its ETag was a and is b"));
    }

    #[test]
    fn a_content_range_is_read_completely_or_not_at_all() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(text).expect("a value"));
            content_range(&headers)
        };
        for text in ["bytes 5-9/10", "Bytes 5-9/10", " BYTES 5-9/10 "] {
            assert_eq!(read(text), Some((5, 9, 10)), "{text}");
        }
        for text in [
            "bytes 5-9",
            "bytes 5-9/*",
            "bytes */10",
            "bytes 5-9/10 and more",
            "bytes 5-10/10",
            "bytes 9-5/10",
            "bytes +5-9/10",
            "bytes -9/10",
            "items 5-9/10",
            "bytes=5-9/10",
            "bytes 5-9/18446744073709551616",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let mut twice = HeaderMap::new();
        twice.append(CONTENT_RANGE, HeaderValue::from_static("bytes 5-9/10"));
        twice.append(CONTENT_RANGE, HeaderValue::from_static("bytes 5-9/11"));
        assert_eq!(content_range(&twice), None);
    }
}
