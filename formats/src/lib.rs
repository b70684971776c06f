//! Files that others wrote, read within limits: a directory without following links, an archive whose structure was checked, a
//! JSON document whose memory is bounded, a style of vector tiles with the fonts and sprites that it needs. And the form of JSON and
//! of its numbers as other programs write them, files and answers.
//!
//! Knows no package, service or job. Errors are [`std::io::Error`]s whose text says what was found; the caller names the file.

pub mod archive;
pub mod archive_file;
pub mod folder;
pub mod glyphs;
pub mod json;
pub mod lenient;
pub mod number;
pub mod path;
pub mod style;

/// Files of a directory, or entries of an archive, that are read; more are refused.
pub const MAX_FILES: usize = 500_000;

fn invalid(message: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message.into())
}
