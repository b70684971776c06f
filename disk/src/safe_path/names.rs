//! Names and relative paths that may be used below a directory.

use crate::path::invalid;
use std::io::Result;
use std::path::{Component, Path};

/// Longest name of a file or directory, in bytes.
pub const LONGEST_NAME: usize = 255;
/// Longest relative path, in bytes.
pub const LONGEST_PATH: usize = 4096;
/// Deepest nesting of directories below a root.
pub const DEEPEST: usize = 64;

/// Checks that a name is one plain component: no separators, no `..`, no leading dot, no control characters, at most
/// [`LONGEST_NAME`] bytes.
///
/// # Errors
/// If it is not; the message has the name and what is wrong with it.
pub fn check_name(name: &str) -> Result<()> {
    let what = if name.is_empty() {
        "is empty"
    } else if name.len() > LONGEST_NAME {
        "is too long"
    } else if name.starts_with('.') {
        "begins with a dot"
    } else if name.contains(['/', '\\', ':']) {
        "has a separator in it"
    } else if name.chars().any(char::is_control) {
        "has a control character in it"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
    Err(invalid(format!("the name `{shown}` {what}; expected a plain name of 1 to {LONGEST_NAME} bytes")))
}

/// Checks that a path is relative and made of plain components ([`check_name`]) only.
///
/// # Errors
/// If it is not; the message has the path and what is wrong with it.
pub fn check_relative(path: &Path) -> Result<()> {
    let shown = || path.to_string_lossy().chars().take(200).flat_map(char::escape_default).collect::<String>();
    let mut depth = 0;
    for component in path.components() {
        let Component::Normal(name) = component else {
            return Err(invalid(format!("the path `{}` leads out of its directory; expected a relative path", shown())));
        };
        let name = name.to_str().ok_or_else(|| invalid(format!("the path `{}` is not UTF-8", shown())))?;
        check_name(name)?;
        depth += 1;
    }
    if depth == 0 || depth > DEEPEST || path.as_os_str().len() > LONGEST_PATH {
        return Err(invalid(format!("the path `{}` has {depth} parts, expected 1 to {DEEPEST}", shown())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    #[test]
    fn a_name_is_one_plain_component() {
        for good in ["000-scripted", "a b", "Tür", "x.tpkx", &"n".repeat(255)] {
            check_name(good).expect(good);
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "/etc", "a\\b", "C:", "a\0b", "a\nb", "\u{1b}[2J", &"n".repeat(256)] {
            let error = check_name(bad).expect_err(bad);
            assert!(error.kind() == ErrorKind::InvalidData && !error.to_string().contains('\u{1b}'), "{error}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "./a", "a/.b", &"a/".repeat(65)] {
            check_relative(Path::new(bad)).expect_err(bad);
        }
        check_relative(Path::new("p13/a.geodatabase")).expect("plain");
    }
}
