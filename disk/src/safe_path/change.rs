//! Makes and removes what is below a directory, and nothing outside of it.

use super::names::check_relative;
use crate::kinds::unexpected;
use crate::open::{descend, open_dir};
use cap_fs_ext::DirExt as _;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Makes directories below `root`, one after another; what stands there already must be real directories.
///
/// # Errors
/// If the path is not plain, something else stands there, or it cannot be made.
pub fn make_dirs(root: &Path, relative: &Path) -> Result<PathBuf> {
    check_relative(relative)?;
    let mut dir = Dir::open_ambient_dir(root, ambient_authority())?;
    let mut path = root.to_owned();
    for component in relative.components() {
        path.push(component);
        make_in(&dir, component.as_ref(), || path.display().to_string())?;
        dir = dir.open_dir_nofollow(component)?;
    }
    Ok(path)
}

/// Makes a directory below `root`, and directories in it by their names, which must be plain; what stands there already must be real
/// directories.
///
/// # Errors
/// As [`make_dirs`].
pub fn make_each<'a>(root: &Path, relative: &Path, names: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let path = make_dirs(root, relative)?;
    let dir = open_dir(&path)?;
    for name in names {
        check_relative(name)?;
        make_in(&dir, name, || path.join(name).display().to_string())?;
    }
    Ok(())
}

/// Makes a directory in another one, unless a real one stands there.
fn make_in(dir: &Dir, name: &Path, shown: impl FnOnce() -> String) -> Result<()> {
    match dir.create_dir(name) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let kind = dir.symlink_metadata(name)?.file_type();
            if kind.is_dir() { Ok(()) } else { Err(unexpected(shown(), kind, "a directory")) }
        }
        made => made,
    }
}

/// Removes a file or directory with all that is in it, below `root`; nothing outside is touched. What is not there is fine.
///
/// # Errors
/// If the path is not plain, leads through a link, or it cannot be removed.
pub fn remove_tree(root: &Path, relative: &Path) -> Result<()> {
    remove_all_but(root, relative, &[])
}

/// Removes all that is in a directory below `root` but some files and folders in it, named by their paths below the directory; without
/// such names the directory itself as well. A directory that is not there is fine.
///
/// # Errors
/// As [`remove_tree`].
pub fn remove_all_but(root: &Path, relative: &Path, but: &[PathBuf]) -> Result<()> {
    check_relative(relative)?;
    let removed = open_dir(root).and_then(|top| {
        let (dir, name) = descend(&top, relative, |path| root.join(path).display().to_string())?;
        remove_but(dir.as_ref().unwrap_or(&top), Path::new(name), but)
    });
    match removed {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn remove_but(parent: &Dir, name: &Path, but: &[PathBuf]) -> Result<()> {
    let is_dir = match parent.symlink_metadata(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?.is_dir(),
    };
    if but.is_empty() || !is_dir {
        return remove_in(parent, name, is_dir);
    }
    let dir = parent.open_dir_nofollow(name)?;
    // What stays, by its first part: many names are looked up once each.
    let mut stays: HashMap<&OsStr, Vec<PathBuf>> = HashMap::new();
    for path in but {
        let mut parts = path.components();
        if let Some(first) = parts.next() {
            stays.entry(first.as_os_str()).or_default().push(parts.as_path().to_owned());
        }
    }
    for entry in dir.entries()? {
        let name = entry?.file_name();
        let inside = stays.get(name.as_os_str()).map(Vec::as_slice).unwrap_or_default();
        if inside.iter().any(|path| path.as_os_str().is_empty()) {
            continue;
        }
        remove_but(&dir, Path::new(&name), inside)?;
    }
    Ok(())
}

/// Removes a name in a directory: a link itself, never what it leads to.
///
/// # Errors
/// What the disk says; a name that is not there is fine.
pub fn remove_in(dir: &Dir, name: &Path, is_dir: bool) -> Result<()> {
    match if is_dir { dir.remove_dir_all(name) } else { dir.remove_file_or_symlink(name) } {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
