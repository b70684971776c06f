//! The one walk through a directory that others may write to: links are not followed on any level.

use cap_fs_ext::DirExt as _;
use cap_std::fs::{Dir, FileType};
use std::ffi::OsString;
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Something that was found, and where.
pub(crate) struct Found<'a> {
    /// The directory that it is in.
    pub(crate) dir: &'a Dir,
    /// Its name there.
    pub(crate) name: OsString,
    /// Its path below the directory where the walk began.
    pub(crate) path: PathBuf,
    /// How many directories lie between.
    pub(crate) depth: usize,
    pub(crate) kind: FileType,
    /// Bytes of a file.
    pub(crate) bytes: u64,
}

/// How the walk continues.
pub(crate) enum Next {
    /// With what is in it, if it is a directory.
    Continue,
    /// Behind it.
    Skip,
    /// Not at all.
    Stop,
}

/// Whether a thing may vanish during the walk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vanished {
    /// It is passed over: somebody at work removes things meanwhile.
    Ignored,
    /// It is an error.
    Failed,
}

/// Shows everything below a directory: a directory before what is in it, otherwise in no order. What a link leads to is not shown.
pub(crate) fn walk(root: &Dir, vanished: Vanished, mut visit: impl FnMut(&Found<'_>) -> Result<Next>) -> Result<()> {
    within(root, Path::new(""), 0, vanished, &mut visit).map(drop)
}

/// Answers whether the walk continues.
fn within(
    dir: &Dir,
    path: &Path,
    depth: usize,
    vanished: Vanished,
    visit: &mut impl FnMut(&Found<'_>) -> Result<Next>,
) -> Result<bool> {
    let is_gone = |e: &std::io::Error| vanished == Vanished::Ignored && e.kind() == ErrorKind::NotFound;
    for entry in dir.entries()? {
        let name = entry?.file_name();
        // Of the thing itself, not of what it points to.
        let metadata = match dir.symlink_metadata(&name) {
            Err(e) if is_gone(&e) => continue,
            metadata => metadata?,
        };
        let kind = metadata.file_type();
        let found = Found { dir, path: path.join(&name), name, depth, kind, bytes: metadata.len() };
        match visit(&found)? {
            Next::Continue if kind.is_dir() => {}
            Next::Continue | Next::Skip => continue,
            Next::Stop => return Ok(false),
        }
        let below = match dir.open_dir_nofollow(&found.name) {
            Err(e) if is_gone(&e) => continue,
            below => below?,
        };
        if !within(&below, &found.path, depth + 1, vanished, visit)? {
            return Ok(false);
        }
    }
    Ok(true)
}
