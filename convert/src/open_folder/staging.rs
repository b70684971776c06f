//! The folder while it is made: beside its destination, under a name that nothing trusts.

use crate::half::remove;
use offmap_disk::{atomic_file, safe_path};
use offmap_model::{Failure, FailureStage};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// What is no part of the folder: files out of an archive, and notes for a call that goes on.
const WORK: &str = "work";

/// A failure of the disk while the folder is made.
pub(super) fn failed(what: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Package, what, error)
}

/// The staged folder.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
}

impl Staging {
    /// Begins it, or goes on with what is there.
    pub(super) fn begin(to: &Path) -> Result<Self, Failure> {
        let root = atomic_file::beside(&std::path::absolute(to).unwrap_or_else(|_| to.to_owned()));
        let cannot = |e: std::io::Error| failed(format!("cannot make {}", root.display()), &e);
        match std::fs::create_dir(&root) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                // Whatever lies there must be files in real folders; else it is not what an earlier call left.
                let is_plain = std::fs::symlink_metadata(&root).is_ok_and(|found| found.is_dir())
                    && safe_path::check_tree(&root).is_ok();
                if !is_plain {
                    remove(&root).and_then(|()| std::fs::create_dir(&root)).map_err(cannot)?;
                }
            }
            made => made.map_err(cannot)?,
        }
        Ok(Self { root })
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file of the folder is, in a directory that is made.
    pub(super) fn path_to(&self, name: &str) -> Result<PathBuf, Failure> {
        let cannot = |e: std::io::Error| safe_path::judged(&format!("cannot make `{name}` in the folder"), &e);
        let relative = Path::new(name);
        safe_path::check_relative(relative).map_err(cannot)?;
        if let Some(parent) = relative.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            safe_path::make_dirs(&self.root, parent).map_err(cannot)?;
        }
        Ok(self.root.join(relative))
    }

    /// Where something is that does not stay.
    pub(super) fn work_path(&self, name: &str) -> Result<PathBuf, Failure> {
        self.path_to(&format!("{WORK}/{name}"))
    }

    /// Writes a small file of the folder, whole or not at all.
    pub(super) fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path_to(name)?;
        let cannot = |e: &std::io::Error| failed(format!("cannot write {}", path.display()), e);
        atomic_file::write(&path, cannot, |file| file.write_all(bytes).map_err(|e| cannot(&e)))
    }

    /// Writes one of very many small files: the whole folder is brought to the disk at its end.
    pub(super) fn write_piece(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path_to(name)?;
        let written = safe_path::open_to_write(&path).and_then(|mut file| {
            file.set_len(0)?;
            file.write_all(bytes)
        });
        written.map_err(|e| failed(format!("cannot write {}", path.display()), &e))
    }

    /// Removes what does not stay.
    pub(super) fn end_work(&self) -> Result<(), Failure> {
        remove(&self.root.join(WORK)).map_err(|e| failed("cannot remove what was needed meanwhile", &e))
    }
}
