//! The place of the package: checked before anything is spent, and taken by one rename.

use crate::earlier;
use crate::stage::failed;
use offmap_disk::{atomic_file, hash_file_until};
use offmap_engine::{REPLACED, Replacement};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, LayerOutcome};
use std::io::ErrorKind;
use std::path::Path;
use tokio_util::sync::CancellationToken;

fn not_usable(message: String) -> Failure {
    Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Plan, message)
}

/// Checks that a package can be made there: it is absent or an empty directory, in a directory that exists.
pub(crate) fn check(destination: &Path) -> Result<(), Failure> {
    let shown = destination.display();
    match std::fs::symlink_metadata(destination) {
        Ok(metadata) if metadata.is_symlink() => {
            return Err(not_usable(format!(
                "the destination {shown} is a link; name the directory that it leads to, or one that is absent"
            )));
        }
        Ok(metadata) if !metadata.is_dir() => {
            return Err(not_usable(format!("the destination {shown} is not a directory; name one that is absent or empty")));
        }
        Ok(_) => {
            let mut entries = std::fs::read_dir(destination)
                .map_err(|e| not_usable(format!("the destination {shown} cannot be read: {e}")))?;
            if entries.next().is_some() {
                return Err(not_usable(format!(
                    "the destination {shown} is not empty; name a directory that is absent or empty"
                )));
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(not_usable(format!("the destination {shown} cannot be used: {e}"))),
    }
    if destination.file_name().is_none() {
        return Err(not_usable(format!("the destination {shown} has no name; name a directory")));
    }
    let parent = destination.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.is_dir() {
        true => Ok(()),
        false => Err(not_usable(format!("the destination's parent {} is not a directory; make it first", parent.display()))),
    }
}

/// Checks right before the swap that the package that is there now loses nothing.
pub(crate) fn check_replaced(destination: &Path, layers: &[LayerOutcome]) -> Result<(), Failure> {
    match earlier::read(destination)?.replaced_by(layers) {
        Replacement::Loses(what) => {
            let shown = destination.display();
            let message = format!("the new package would hold less: {what}; the package {shown} stays as it is");
            Err(Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Package, message))
        }
        Replacement::Gains | Replacement::Same => Ok(()),
    }
}

/// Checks right before the swap that nobody changed the package that is there since it was made: its files may be gone, but none is
/// other than its manifest says, and none was added.
pub(crate) fn check_unchanged(destination: &Path, cancel: &CancellationToken) -> Result<(), Failure> {
    let earlier = earlier::read(destination)?;
    let mut changed = earlier.unlisted.first().cloned();
    for file in earlier.files.iter().filter(|f| f.path.symlink_metadata().is_ok()) {
        if hash_file_until(&file.path, cancel)? != (file.bytes, file.sha256.clone()) {
            changed = Some(file.path.clone());
        }
    }
    match changed {
        None => Ok(()),
        Some(file) => Err(not_usable(format!(
            "the package {} was changed while the new one was made ({}), so it stays as it is; save what was changed, or take the map \
             to another place",
            destination.display(),
            file.display()
        ))),
    }
}

/// Renames the staged package into place; one that it replaces goes aside.
pub(crate) fn put_in_place(staging: &Path, destination: &Path, replaces: bool) -> Result<(), Failure> {
    let old = staging.with_file_name(REPLACED);
    if replaces {
        std::fs::rename(destination, &old)
            .map_err(|e| failed(format!("cannot put the package at {} aside", destination.display()), &e))?;
    }
    // A rename onto an empty directory is one step; where the system refuses it, the empty directory goes first. A directory
    // that is not empty any more makes both fail and stays as it is.
    let renamed = std::fs::rename(staging, destination).or_else(|refused| match std::fs::remove_dir(destination) {
        Ok(()) => std::fs::rename(staging, destination),
        // What is worth reporting is why the package could not be put there.
        Err(_) => Err(refused),
    });
    if renamed.is_err() && replaces {
        // The old package goes back; if that fails too, resuming the job does it.
        let _ = std::fs::rename(&old, destination);
    }
    renamed.map_err(|e| failed(format!("cannot put the package in place at {}", destination.display()), &e))?;
    if let Some(parent) = destination.parent() {
        atomic_file::sync_dir(parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_cannot_be_put_in_place_says_what_the_rename_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let staging = dir.path().join("package");
        std::fs::create_dir(&staging).expect("makes");
        // A directory cannot be moved into itself; that nothing is there to be removed is not the reason.
        let failure = put_in_place(&staging, &staging.join("inside"), false).expect_err("refused");
        let own = std::fs::rename(&staging, staging.join("inside")).expect_err("refused");
        assert!(failure.message.ends_with(&own.to_string()), "{failure}: {own}");
        // An empty directory at the place is no obstacle.
        let place = dir.path().join("place");
        std::fs::create_dir(&place).expect("makes");
        assert_eq!(put_in_place(&staging, &place, false), Ok(()));
        assert!(place.is_dir() && !staging.exists());
    }
}
