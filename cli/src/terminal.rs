//! The one way to stdout and stderr: what people read is escaped here and has no secret in it, JSON goes as it is.

use crate::known_secrets::scrubbed;
use offmap::printable;
use serde_json::Value;
use std::io::{self, Write};

/// Writes a line for people to stdout.
macro_rules! out {
    ($($words:tt)*) => { $crate::terminal::line(&mut ::std::io::stdout().lock(), &format!($($words)*)) };
}

/// Writes a line for people to stderr.
macro_rules! note {
    ($($words:tt)*) => { $crate::terminal::line(&mut ::std::io::stderr().lock(), &format!($($words)*)) };
}

pub(crate) use {note, out};

/// One line: titles, file names and words of services may hold what a terminal obeys, so all of it is escaped.
pub(crate) fn line(to: &mut impl Write, words: &str) {
    // A reader that went away is no reason to stop the work.
    let _ = writeln!(to, "{}", printable(&scrubbed(words))).and_then(|()| to.flush());
}

/// One JSON object a line on stdout.
pub(crate) fn json_line(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// JSON on several lines on stdout.
pub(crate) fn json(value: &Value) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{value:#}").and_then(|()| out.flush());
}

/// Stderr for the log: an event is written at once and ends with a line end; every other control character in it is escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let words = String::from_utf8_lossy(event);
        let mut to = io::stderr().lock();
        writeln!(to, "{}", printable(&scrubbed(words.strip_suffix('\n').unwrap_or(&words))))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
