//! JSON as other programs write it, made strict before it is read; and the place where a text is not JSON at all.
//!
//! A byte order mark before the text is dropped. The bare words `NaN`, `Infinity` and `-Infinity`, which JSON does not have and some
//! servers write for missing numbers, are read as `null`. A text that is JSON already stays as it is, byte for byte; so do strings
//! that hold these words. One pass over the bytes, and at most one copy of them.

use std::borrow::Cow;
use std::ops::Range;

/// UTF-8's byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Bare words that stand for no number.
const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
/// What is read in their place.
const NULL: &[u8] = b"null";
/// Bytes that are shown of what is not JSON.
const SHOWN: usize = 16;

/// The text as strict JSON has it.
#[must_use]
pub fn strict(text: &[u8]) -> Cow<'_, [u8]> {
    let text = without_mark(text);
    let mut words = BareWords { text, at: 0 }.peekable();
    if words.peek().is_none() {
        return Cow::Borrowed(text);
    }
    // A word and the mark behind it take at least four bytes and become five.
    let mut out = Vec::with_capacity(text.len() + text.len() / 4 + 1);
    let mut copied = 0;
    for word in words {
        out.extend_from_slice(text.get(copied..word.start).unwrap_or_default());
        out.extend_from_slice(NULL);
        copied = word.end;
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The places of bare words outside of strings.
struct BareWords<'a> {
    text: &'a [u8],
    at: usize,
}

impl BareWords<'_> {
    /// The end of a word that begins here and stands alone.
    fn word_here(&self) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        let word = WORDS.into_iter().find(|word| rest.starts_with(word))?;
        let before = self.at.checked_sub(1).and_then(|at| self.text.get(at));
        let after = rest.get(word.len());
        let alone = before.is_none_or(|b| b.is_ascii_whitespace() || b"[:,".contains(b))
            && after.is_none_or(|b| b.is_ascii_whitespace() || b"]},".contains(b));
        alone.then(|| self.at + word.len())
    }

    /// Goes behind a string that begins here.
    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            self.at += match byte {
                b'"' => break,
                b'\\' => 2,
                _ => 1,
            };
        }
    }
}

impl Iterator for BareWords<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while let Some(byte) = self.text.get(self.at) {
            let start = self.at;
            match byte {
                b'"' => self.skip_string(),
                b'N' | b'I' | b'-' => {
                    if let Some(end) = self.word_here() {
                        self.at = end;
                        return Some(start..end);
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        None
    }
}

/// Where and why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", place(*.line, *.column, found))]
#[non_exhaustive]
pub struct NotJson {
    /// The line, from 1.
    pub line: usize,
    /// The byte of the line, from 1; a byte order mark is not counted.
    pub column: usize,
    /// The bytes there, escaped; empty where the text ends. A text that does not begin like an object or a list is not quoted
    /// beyond its first wrong byte: it may be anything, and anybody's.
    pub found: String,
    /// What the reader says.
    pub why: String,
}

impl NotJson {
    /// Finds the place of a reader's error; `text` is what [`strict`] was given.
    #[must_use]
    pub fn new(text: &[u8], error: &serde_json::Error) -> Self {
        let text = without_mark(text);
        let at = match error.is_eof() {
            true => text.len(),
            false => original_offset(text, offset_of(&strict(text), error.line(), error.column())).min(text.len()),
        };
        // The reader sees at the end of a string what is wrong inside of it.
        let at = std::str::from_utf8(text).err().map_or(at, |e| e.valid_up_to().min(at));
        let before = text.get(..at).unwrap_or_default();
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let begins = text.trim_ascii_start().first();
        let shown = if begins.is_some_and(|b| b"{[".contains(b)) { SHOWN } else { 1 };
        let rest = text.get(at..).unwrap_or_default();
        let message = error.to_string();
        let why = message.rsplit_once(" at line ").map_or(message.as_str(), |(why, _)| why).to_owned();
        Self {
            line: 1 + before.iter().filter(|b| **b == b'\n').count(),
            column: 1 + at - line_start,
            found: rest.get(..shown.min(rest.len())).unwrap_or_default().escape_ascii().to_string(),
            why,
        }
    }
}

fn place(line: usize, column: usize, found: &str) -> String {
    match found {
        "" => format!("it ends at line {line}, column {column}"),
        found => format!("line {line}, column {column} has `{found}`"),
    }
}

/// The byte that a line and column of the reader mean.
fn offset_of(text: &[u8], line: usize, column: usize) -> usize {
    let ends = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    let start = match line {
        0 | 1 => 0,
        _ => ends.into_iter().nth(line - 2).unwrap_or(text.len()),
    };
    // Column 0 is the end of the line before.
    (start + column).saturating_sub(1)
}

/// The place in a text of a place in its strict form.
fn original_offset(text: &[u8], place: usize) -> usize {
    let (mut copied, mut strict_at) = (0, 0);
    for word in (BareWords { text, at: 0 }) {
        let begins = strict_at + (word.start - copied);
        if place < begins {
            break;
        }
        if place < begins + NULL.len() {
            return word.start;
        }
        (copied, strict_at) = (word.end, begins + NULL.len());
    }
    copied + place.saturating_sub(strict_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(text: &[u8]) -> Result<Value, NotJson> {
        serde_json::from_slice(&strict(text)).map_err(|e| NotJson::new(text, &e))
    }

    #[test]
    fn a_mark_and_bare_words_are_read_and_strings_stay() {
        let text = b"\xef\xbb\xbf{\"a\": NaN, \"b\":-Infinity,\"NaN\":[NaN,Infinity , -1],\"c\":\" NaN, \\\" NaN \\\\\"}";
        let expected = json!({"a": null, "b": null, "NaN": [null, null, -1], "c": " NaN, \" NaN \\"});
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(b"NaN"), Ok(Value::Null));
        for same in [&b"{\"a\": \"NaN\"}"[..], b"[-1, \"x\\\\\"]", b"", b"\"NaN", b"\"\\"] {
            assert!(matches!(strict(same), Cow::Borrowed(kept) if kept == same), "{}", same.escape_ascii());
        }
    }

    #[test]
    fn words_that_do_not_stand_alone_are_no_numbers_and_their_place_is_told() {
        for (text, line, column, found) in [
            (&b"{\"a\": NaNs}"[..], 1, 7, "NaNs}"),
            (b"{\"a\": NaN,\n \"b\": -NaN}", 2, 8, "NaN}"),
            (b"[NaN, NaN, Infinity, x]", 1, 22, "x]"),
            (b"{NaN: 1}", 1, 2, "NaN: 1}"),
            (b"{\"a\": \"\xff\xfe\"}", 1, 8, "\\xff\\xfe\\\"}"),
            (b"{\"a\": \"b\nc\"}", 1, 9, "\\nc\\\"}"),
            (b"\xef\xbb\xbf{\"a\" 1}", 1, 6, "1}"),
            (b"[1, 2", 1, 6, ""),
            (b"secret words", 1, 1, "s"),
        ] {
            let place = read(text).expect_err("no JSON");
            let told = (place.line, place.column, place.found.as_str());
            assert_eq!(told, (line, column, found), "{}: {place}", text.escape_ascii());
        }
    }

    #[test]
    fn a_text_of_bare_words_alone_takes_no_more_than_its_copy() {
        let many = format!("[{}NaN]", "NaN,".repeat(1 << 16));
        let Cow::Owned(copy) = strict(many.as_bytes()) else { panic!("it was copied") };
        assert!(copy.capacity() <= many.len() + many.len() / 4 + 1, "{}", copy.capacity());
        assert_eq!(read(many.as_bytes()).expect("reads").as_array().map(Vec::len), Some((1 << 16) + 1));
    }
}
