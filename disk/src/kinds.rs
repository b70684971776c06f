//! What things of a directory are called that are not what was expected.

use crate::path::invalid;
use cap_fs_ext::FileTypeExt as _;
use cap_std::fs::FileType;
use std::fmt::Display;
use std::io::Error;

/// What a thing is that is not what was expected.
pub(crate) fn name_of(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a link"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a file"
    } else {
        "no regular file"
    }
}

/// A thing that is refused for what it is.
pub(crate) fn unexpected(shown: impl Display, kind: FileType, expected: &str) -> Error {
    invalid(format!("{shown} is {}, expected {expected}", name_of(kind)))
}
