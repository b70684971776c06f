//! Text of services, files and maps, made safe for people to look at.

use std::fmt;

/// Text without a character that a terminal or log viewer obeys instead of showing: see [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(&'a str);

/// Shows text with every character that is no text escaped, as in `\u{1b}[2J`: control characters (C0, DEL, C1, line ends as
/// well), line and paragraph separators, and the marks that turn the direction of text.
///
/// For people only: JSON keeps text as it is. What is escaped once stays the same when it is escaped again.
///
/// ```
/// use offmap_model::text::printable;
///
/// assert_eq!(printable("Parks\u{1b}[2J\n").to_string(), "Parks\\u{1b}[2J\\n");
/// ```
///
/// Source: Unicode Technical Report 36, section 2.10 (bidirectional text) and ECMA-48 (control functions).
#[must_use]
pub fn printable(text: &str) -> Printable<'_> {
    Printable(text)
}

/// Whether a terminal may obey the character or a reader cannot see it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_unsafe(*c)) {
            let (safe, after) = rest.split_at(at);
            write!(f, "{safe}{}", c.escape_default())?;
            rest = after.get(c.len_utf8()..).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_text_is_not() {
        for text in ["Öffentliche Plätze, 東京 «a\\b» 🗺", "", "a b\u{a0}c"] {
            assert_eq!(printable(text).to_string(), text);
        }
        let hostile = "a\u{1b}[2J\u{9b}31m\u{7f}\r\n\t\0\u{202e}\u{2066}\u{2028}\u{feff}b";
        let shown = printable(hostile).to_string();
        assert_eq!(shown, "a\\u{1b}[2J\\u{9b}31m\\u{7f}\\r\\n\\t\\u{0}\\u{202e}\\u{2066}\\u{2028}\\u{feff}b");
        assert_eq!(printable(&shown).to_string(), shown, "escaped twice is escaped once");
    }
}
