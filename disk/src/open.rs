//! Opens files and directories without following a link and without waiting for a pipe. What is opened is what was asked for, also
//! where something else takes its place meanwhile.

use crate::kinds::unexpected;
use crate::path::invalid;
use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io::Result;
use std::path::{Path, PathBuf};

/// Options that follow no link and wait for nobody.
#[must_use]
pub fn careful() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.follow(FollowSymlinks::No).nonblock(true);
    options
}

/// Opens a name in a directory; it must be a regular file, else it is refused. `shown` is its name in messages.
pub(crate) fn open_regular_in(dir: &Dir, name: &Path, shown: impl Display, options: &OpenOptions) -> Result<File> {
    if let Ok(metadata) = dir.symlink_metadata(name)
        && !metadata.is_file()
    {
        return Err(unexpected(shown, metadata.file_type(), "a regular file"));
    }
    open_seen(dir, name, shown, options)
}

/// The same of a name that was seen to be a regular file.
pub(crate) fn open_seen(dir: &Dir, name: &Path, shown: impl Display, options: &OpenOptions) -> Result<File> {
    let file = dir.open_with(name, options)?;
    // Whatever took the name's place since.
    let kind = file.metadata()?.file_type();
    match kind.is_file() {
        true => Ok(file.into_std()),
        false => Err(unexpected(shown, kind, "a regular file")),
    }
}

/// Splits a path into a handle of its parent directory and its last name.
pub(crate) fn parent_of(path: &Path) -> Result<(Dir, &OsStr)> {
    let name = path.file_name().ok_or_else(|| invalid(format!("{} has no name", path.display())))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((Dir::open_ambient_dir(parent, ambient_authority())?, name))
}

/// Opens a directory that is no link itself.
///
/// # Errors
/// If it is not there, cannot be read, or is something else.
pub fn open_dir(path: &Path) -> Result<Dir> {
    let (parent, name) = parent_of(path)?;
    open_dir_in(&parent, name, || path.display().to_string())
}

/// Opens a directory in another one that is no link itself. What stands there in place of it is named.
fn open_dir_in(dir: &Dir, name: impl AsRef<Path>, shown: impl FnOnce() -> String) -> Result<Dir> {
    let name = name.as_ref();
    dir.open_dir_nofollow(name).map_err(|e| match dir.symlink_metadata(name) {
        Ok(metadata) if !metadata.is_dir() => unexpected(shown(), metadata.file_type(), "a directory"),
        _ => e,
    })
}

/// The directory that holds the last part of a path below `root`, reached through real directories only, and that part; no directory
/// where it is `root` itself. The path was checked.
pub(crate) fn descend<'a>(
    root: &Dir,
    relative: &'a Path,
    shown: impl Fn(&Path) -> String,
) -> Result<(Option<Dir>, &'a OsStr)> {
    let name = relative.file_name().ok_or_else(|| invalid(format!("{} has no name", shown(relative))))?;
    let (mut at, mut path): (Option<Dir>, _) = (None, PathBuf::new());
    for part in relative.parent().into_iter().flat_map(Path::components) {
        let dir = at.as_ref().unwrap_or(root);
        path.push(part);
        at = Some(open_dir_in(dir, part, || shown(&path))?);
    }
    Ok((at, name))
}
