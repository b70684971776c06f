//! Names and paths that come out of ledgers and packages, which anybody may have written.
//!
//! | rule | function |
//! | --- | --- |
//! | a name is one plain component | [`check_name`] |
//! | a path is relative and made of plain components | [`check_relative`] |
//! | what is read is a regular file, reached through real directories only | [`file()`], [`open_file`] |
//! | a folder holds regular files and real directories only | [`folder`], [`check_tree`] |
//! | what is made or removed below a directory stays below it | [`make_dirs`], [`make_each`], [`remove_tree`], [`remove_all_but`] |
//!
//! A symbolic link, FIFO, socket or device is never followed, opened or waited for: it is refused by name, with the kind
//! [`ErrorKind::InvalidData`](std::io::ErrorKind::InvalidData). Everything here blocks.

mod change;
mod failure;
mod link;
mod names;
mod open;
#[cfg(all(test, unix))]
mod tests;
mod tree;

pub use crate::open::{careful, open_dir};
pub use change::{make_dirs, make_each, remove_all_but, remove_in, remove_tree};
pub use failure::judged;
pub use link::{link_or_copy, link_or_copy_until};
pub use names::{DEEPEST, LONGEST_NAME, LONGEST_PATH, check_name, check_relative};
pub use open::{links, open_file, open_in, open_to_write};
pub use tree::{MOST_ENTRIES, Tree, check_tree, file, files_below, folder, plain_files_below, size_of};
