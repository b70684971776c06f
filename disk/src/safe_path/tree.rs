//! What is below a directory: regular files and real directories, and nothing else.

use super::names::{DEEPEST, check_relative};
use crate::kinds::{name_of, unexpected};
use crate::open::{descend, open_dir};
use crate::path::invalid;
use crate::walk::{Found, Next, Vanished, walk};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use std::io::Result;
use std::path::{Path, PathBuf};

/// Most files and directories below a root.
pub const MOST_ENTRIES: u64 = 1_000_000;

/// What is at a path below `root`, reached through real directories only.
pub(super) fn look(root: &Path, relative: &Path) -> Result<(PathBuf, Metadata)> {
    check_relative(relative)?;
    let top = open_dir(root)?;
    let (dir, name) = descend(&top, relative, |path| root.join(path).display().to_string())?;
    Ok((root.join(relative), dir.as_ref().unwrap_or(&top).symlink_metadata(name)?))
}

/// A regular file below `root`, reached through real directories only.
///
/// # Errors
/// If the path is not plain, or leads to something else, or nothing is there.
pub fn file(root: &Path, relative: &Path) -> Result<(PathBuf, Metadata)> {
    let (path, metadata) = look(root, relative)?;
    match metadata.is_file() {
        true => Ok((path, metadata)),
        false => Err(unexpected(path.display(), metadata.file_type(), "a regular file")),
    }
}

/// A real directory below `root`, reached through real directories only, in which is nothing but regular files and real
/// directories.
///
/// # Errors
/// If the path is not plain, or leads to something else, or something else is in it.
pub fn folder(root: &Path, relative: &Path) -> Result<PathBuf> {
    let (path, metadata) = look(root, relative)?;
    if !metadata.is_dir() {
        return Err(unexpected(path.display(), metadata.file_type(), "a directory"));
    }
    check_tree(&path)?;
    Ok(path)
}

/// What is below a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tree {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Checks that there is nothing but regular files and real directories below a directory, at most [`DEEPEST`] deep and
/// [`MOST_ENTRIES`] in number.
///
/// # Errors
/// If there is; the message names it.
pub fn check_tree(dir: &Path) -> Result<Tree> {
    let (tree, odd) = survey(dir, |_| {})?;
    odd.map_or(Ok(tree), |what| Err(invalid(what)))
}

/// All regular files below a directory, as paths below it, in no order.
///
/// # Errors
/// As [`check_tree`].
pub fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let (files, odd) = plain_files_below(dir)?;
    odd.map_or(Ok(files), |what| Err(invalid(what)))
}

/// The same, with the first thing that does not belong there instead of a refusal.
///
/// # Errors
/// If a directory cannot be read.
pub fn plain_files_below(dir: &Path) -> Result<(Vec<PathBuf>, Option<String>)> {
    let mut files = Vec::new();
    let (_, odd) = survey(dir, |found| files.push(found.path.clone()))?;
    Ok((files, odd))
}

/// Bytes of all regular files below a directory; what cannot be read, links and all beyond the limits count nothing.
#[must_use]
pub fn size_of(dir: &Path) -> u64 {
    survey(dir, |_| {}).map_or(0, |(tree, _)| tree.bytes)
}

/// Walks a tree and shows each file; answers the first thing that does not belong into one. A job that runs removes things
/// meanwhile.
fn survey(root: &Path, mut show: impl FnMut(&Found<'_>)) -> Result<(Tree, Option<String>)> {
    let mut tree = Tree::default();
    let (mut odd, mut entries) = (None, 0_u64);
    walk(&Dir::open_ambient_dir(root, ambient_authority())?, Vanished::Ignored, |found| {
        entries += 1;
        let path = || root.join(&found.path);
        if entries > MOST_ENTRIES || found.depth >= DEEPEST {
            let what = format!("{} holds more than {MOST_ENTRIES} entries or {DEEPEST} levels", path().display());
            odd.get_or_insert(what);
            return Ok(Next::Stop);
        }
        if found.kind.is_file() {
            tree.files += 1;
            tree.bytes = tree.bytes.saturating_add(found.bytes);
            show(found);
        } else if !found.kind.is_dir() {
            odd.get_or_insert_with(|| {
                format!("{} is {}, expected a regular file or directory", path().display(), name_of(found.kind))
            });
        }
        Ok(Next::Continue)
    })?;
    Ok((tree, odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_end_is_not_walked_to_its_end() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("a/".repeat(200))).expect("makes");
        assert!(check_tree(dir.path()).is_err_and(|e| e.to_string().contains("64 levels")));
        assert_eq!(size_of(dir.path()), 0);
    }
}
