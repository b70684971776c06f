//! The half of a file or folder that is being written: whose it is, and who may go on with it.
//!
//! The sinks write beside the destination, under its name with `.new` behind it, and resume what they find there. They do not know of
//! which source it is. So a note lies beside, which says for what request and for which state of the source the half is; it is locked
//! by the process that writes. A half without a note that is the same is not used.

use offmap_disk::{atomic_file, safe_path};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Ends the name of the note.
pub(crate) const NOTE: &str = ".request";
/// What the sinks leave behind the name that ends with `.new`: the file itself, the journal of tiles, how far a sequence came, groups
/// of rows, and what SQLite notes of a transaction.
const LEFT: [&str; 6] = ["", ".tiles", ".progress", ".progress.new", ".parts", "-journal"];
/// Bytes of a note that are compared.
const LONGEST: u64 = 4 << 20;

/// The half of a file or folder, for as long as it is written.
#[derive(Debug)]
pub(crate) struct Half {
    note: File,
    to: PathBuf,
}

pub(crate) fn beside(to: &Path, more: &str) -> PathBuf {
    let mut name = atomic_file::beside(to).into_os_string();
    name.push(more);
    PathBuf::from(name)
}

pub(crate) fn known(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    safe_path::open_file(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Removes a file, a link itself, or a real folder with all that is in it.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    let removed = std::fs::symlink_metadata(path).and_then(|found| match found.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    });
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What the sinks may have left of a file.
pub(crate) fn left_of(to: &Path) -> [PathBuf; LEFT.len()] {
    LEFT.map(|more| beside(to, more))
}

/// Removes what the sinks left of a file.
pub(crate) fn remove_all(to: &Path) -> std::io::Result<()> {
    left_of(to).iter().try_for_each(|path| remove(path))
}

impl Half {
    /// Takes the half that an earlier process left for the same order; removes one of another order.
    ///
    /// # Errors
    /// If another process writes the same file, or the disk refuses.
    pub(crate) fn begin(to: &Path, order: &str) -> Result<Self, Failure> {
        let path = beside(to, NOTE);
        let failed = |e: std::io::Error| Failure::io(FailureStage::Package, format!("cannot write {}", path.display()), &e);
        // Read before it is locked: a lock keeps readers out on some systems. What is read is only used with the lock.
        let found = known(&path).ok();
        let mut note = safe_path::open_to_write(&path).map_err(failed)?;
        if note.try_lock().is_err() {
            let message = format!("{} is being written by another process", to.display());
            return Err(Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Plan, message));
        }
        if found.as_deref() != Some(order) {
            remove_all(to).map_err(failed)?;
            note.set_len(0).map_err(failed)?;
            note.rewind().and_then(|()| note.write_all(order.as_bytes())).and_then(|()| note.sync_all()).map_err(failed)?;
        }
        Ok(Self { note, to: to.to_owned() })
    }

    /// What is there is of no order from now on: the next call begins anew.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn forget_order(&self) -> std::io::Result<()> {
        self.note.set_len(0)?;
        self.note.sync_all()
    }

    /// Removes what there is of it, and its note.
    ///
    /// # Errors
    /// What the disk says; then its note stays.
    pub(crate) fn remove(self) -> std::io::Result<()> {
        remove_all(&self.to)?;
        let Self { note, to } = self;
        drop(note);
        std::fs::remove_file(beside(&to, NOTE))
    }

    /// Writes the file. Where that fails or is cancelled, what there is of it stays for the next call, or goes.
    ///
    /// # Errors
    /// What `work` says; that it was cancelled where it was.
    pub(crate) fn write<T>(
        self,
        keep: bool,
        cancel: &CancellationToken,
        work: impl FnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let done = work(&self);
        // What cannot be removed is not used by another order.
        if done.is_ok() || !keep && remove_all(&self.to).is_ok() {
            let Self { note, to } = self;
            drop(note);
            // Says nothing without the half that it was about.
            let _ = std::fs::remove_file(beside(&to, NOTE));
        }
        // A stream that was ended by a cancel fails with other words.
        done.map_err(|failure| if cancel.is_cancelled() { Failure::cancelled() } else { failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_used_for_the_same_order_alone_and_by_one_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("x.gpkg");
        let cancel = CancellationToken::new();
        let half = Half::begin(&to, "one").expect("begins");
        let failed = half.write(true, &cancel, |_| {
            std::fs::write(beside(&to, ""), "half").expect("writes");
            let refused = Half::begin(&to, "one").expect_err("locked");
            assert!(refused.message.contains("another process"), "{}", refused.message);
            Err::<(), _>(Failure::internal("an end"))
        });
        assert_eq!(failed.expect_err("failed").message, "an end");
        drop(Half::begin(&to, "one").expect("begins"));
        assert!(beside(&to, "").exists(), "kept for the same order");
        let half = Half::begin(&to, "two").expect("begins");
        assert!(!beside(&to, "").exists(), "of another order");
        cancel.cancel();
        let cancelled = half.write(false, &cancel, |_| {
            std::fs::write(beside(&to, "-journal"), "half").expect("writes");
            Err::<(), _>(Failure::internal("an end"))
        });
        assert!(cancelled.expect_err("cancelled").is_cancelled());
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }
}
