//! Gives the folder its name.

use super::check;
use super::request::FolderRequest;
use super::staging::{Staging, failed};
use crate::half::{Half, remove};
use offmap_disk::atomic_file;
use offmap_model::Failure;
use std::io::Result as IoResult;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Puts the staged folder at its destination. An older folder that is overwritten is there until the new one is.
pub(super) fn put(
    staging: &Staging,
    half: &Half,
    request: &FolderRequest,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let (from, to) = (staging.root(), request.to.as_path());
    let cannot = |e: &std::io::Error| match cancel.is_cancelled() {
        true => Failure::cancelled(),
        false => failed(format!("cannot put the folder in place at {}", to.display()), e),
    };
    atomic_file::sync_tree(from, cancel).map_err(|e| cannot(&e))?;
    // Once more: whatever was done there meanwhile.
    check::check_folder(to, request.overwrite, cancel)?;
    if cancel.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let is_replaced = std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
    if is_replaced {
        // What lies beside it from now on may be the old folder.
        half.forget_order().and_then(|()| exchange(from, to)).map_err(|e| cannot(&e))?;
        // A rest of the old folder that cannot be removed is used by nobody.
        let _ = remove(from);
    } else {
        // A rename onto an empty directory is one step; where the system refuses it, the empty directory goes first.
        let renamed = std::fs::rename(from, to).or_else(|refused| match std::fs::remove_dir(to) {
            Ok(()) => std::fs::rename(from, to),
            Err(_) => Err(refused),
        });
        renamed.map_err(|e| cannot(&e))?;
    }
    atomic_file::sync_dir(to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    Ok(())
}

/// Two folders take each other's names in one step, where the system can do that.
fn exchange(new: &Path, old: &Path) -> IoResult<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use std::io::ErrorKind;
        match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).map_err(std::io::Error::from) {
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
            exchanged => return exchanged,
        }
    }
    // In two steps; the old folder goes back where the second one fails.
    let aside = atomic_file::beside(new);
    remove(&aside)?;
    std::fs::rename(old, &aside)?;
    match std::fs::rename(new, old) {
        Ok(()) => remove(&aside),
        Err(e) => std::fs::rename(&aside, old).and(Err(e)),
    }
}
