//! Which paths may stand in a package, an archive or a manifest.

use std::borrow::Cow;

/// Components that a path may have.
pub const MAX_DEPTH: usize = 32;
/// Bytes that a path may have.
pub const MAX_BYTES: usize = 1024;

/// Checks a path of a file inside a package: plain names between single forward slashes, the same on every system. The error
/// says what is wrong with it.
///
/// # Errors
/// If it is empty, absolute, has a drive letter, `.`, `..`, an empty component, a backslash or a control character, is longer
/// than [`MAX_BYTES`] or deeper than [`MAX_DEPTH`].
pub fn check(path: &str) -> Result<(), &'static str> {
    let drive = |p: &str| matches!(p.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if path.is_empty() {
        return Err("its name is empty");
    }
    if path.len() > MAX_BYTES {
        return Err("its name is longer than 1024 bytes");
    }
    if path.starts_with('/') || drive(path) {
        return Err("its name is an absolute path");
    }
    if path.contains('\\') {
        return Err("its name has a backslash");
    }
    if path.chars().any(char::is_control) {
        return Err("its name has a control character");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("its name has an empty component, `.` or `..`");
    }
    if path.split('/').count() > MAX_DEPTH {
        return Err("it lies deeper than 32 directories");
    }
    Ok(())
}

/// A name that failed the check, short and without control characters, for messages.
#[must_use]
pub fn shown(path: &str) -> Cow<'_, str> {
    if path.chars().count() <= 200 && !path.chars().any(char::is_control) {
        return Cow::Borrowed(path);
    }
    let short: String = path.chars().take(200).flat_map(char::escape_debug).collect();
    Cow::Owned(short)
}

/// An error that says what is wrong with a file.
pub fn invalid(message: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_paths_of_a_package() {
        for good in ["package.info", "p13/a b.geodatabase", "p13/x/fonts/Arial Unicode MS Regular/0-255.pbf", "ü/..a/b..c"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let (long, deep) = ("a".repeat(1025), ["a"; 33].join("/"));
        for bad in [
            "",
            "/",
            "/etc/x",
            "//srv/x",
            "C:\\x",
            "C:/x",
            "c:x",
            "\\\\srv\\x",
            "a\\..\\b",
            "a/../b",
            "..",
            "./a",
            "a//b",
            "a/",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            &long,
            &deep,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
