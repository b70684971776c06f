//! Whether the destination may be written.

use super::manifest::{MANIFEST, Manifest};
use offmap_disk::{hash_file_until, safe_path};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

fn refused(message: String) -> Failure {
    Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Plan, message)
}

/// Checks that a folder can be made there: it is absent or an empty directory, in a directory that exists. One that was made here and
/// is as it was made may be there where it is overwritten. Blocks.
///
/// # Errors
/// If something else is there, or it was cancelled.
pub fn check_folder(to: &Path, overwrite: bool, cancel: &CancellationToken) -> Result<(), Failure> {
    let shown = to.display();
    if to.file_name().is_none() {
        return Err(refused(format!("{shown} has no name; name a directory")));
    }
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(refused(format!("{} is not a directory; make it first", parent.display())));
    }
    match std::fs::symlink_metadata(to) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(refused(format!("{shown} cannot be used: {e}"))),
        Ok(found) if found.is_symlink() => {
            return Err(refused(format!("{shown} is a link; name the directory that it leads to, or one that is absent")));
        }
        Ok(found) if !found.is_dir() => {
            return Err(refused(format!("{shown} is not a directory; name one that is absent or empty")));
        }
        Ok(_) => {}
    }
    let mut entries = std::fs::read_dir(to).map_err(|e| refused(format!("{shown} cannot be read: {e}")))?;
    if entries.next().is_none() {
        return Ok(());
    }
    match overwrite {
        true => check_unchanged_folder(to, cancel),
        false => Err(refused(format!("{shown} is not empty; name a directory that is absent or empty, or overwrite it"))),
    }
}

/// Checks that a folder is one that was made here, with every file as its manifest says and no other file.
pub(super) fn check_unchanged_folder(folder: &Path, cancel: &CancellationToken) -> Result<(), Failure> {
    let kept = |why: String| {
        let way = "save what was changed and remove it, or name another directory";
        refused(format!("{} is not overwritten: {why}; {way}", folder.display()))
    };
    let manifest = Manifest::of_folder(folder).map_err(|why| kept(format!("it is no open folder of offmap ({why})")))?;
    let there = safe_path::files_below(folder).map_err(|e| kept(e.to_string()))?;
    let there: HashSet<PathBuf> = there.into_iter().collect();
    let listed: HashSet<&Path> = manifest.files.iter().map(|file| Path::new(&file.path)).collect();
    let changed = |path: &Path| kept(format!("it was changed since it was made ({})", path.display()));
    if let Some(other) = there.iter().filter(|path| *path != Path::new(MANIFEST) && !listed.contains(path.as_path())).min() {
        return Err(changed(other));
    }
    for file in &manifest.files {
        let path = Path::new(&file.path);
        // What is gone is nothing that could be lost.
        if there.contains(path) && hash_file_until(&folder.join(path), cancel)? != (file.bytes, file.sha256.clone()) {
            return Err(changed(path));
        }
    }
    Ok(())
}

/// Refuses a folder within the package, and one that holds it: neither stays what it is.
pub(super) fn check_apart(from: &Path, to: &Path) -> Result<(), Failure> {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let to_real = real(to).or_else(|| Some(real(parent)?.join(to.file_name()?)));
    let (Some(from_real), Some(to_real)) = (real(from), to_real) else { return Ok(()) };
    if to_real.starts_with(&from_real) || from_real.starts_with(&to_real) {
        let (from, to) = (from.display(), to.display());
        return Err(refused(format!("{to} would lie in the package {from}, or the package in it; name another directory")));
    }
    Ok(())
}
