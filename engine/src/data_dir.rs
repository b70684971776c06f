//! The data directory of an engine: its store of jobs and the packages whose place it chooses. One engine at a time has it.

use crate::holder::{read_holder, write_holder};
use offmap_disk::safe_path::{self, links};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

const STORE: &str = "jobs.sqlite";
const LOCK: &str = "lock";
const PACKAGES: &str = "packages";

/// A data directory that is locked until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    safe_path::judged(&format!("cannot use the data directory {}", path.display()), error)
}

fn refused(path: &Path, kind: FailureKind, words: &str) -> Failure {
    let message = format!("cannot use the data directory {}: {words}", path.display());
    Failure::new(FailureOwner::Caller, kind, FailureStage::Run, message)
}

impl DataDir {
    /// Makes or opens a directory and locks it. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path).map_err(|e| failed(path, &e))?;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        builder.create(path.join(PACKAGES)).map_err(|e| failed(&path, &e))?;
        Self::lock_at(path)
    }

    /// Locks a directory that is there. Blocks.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path).map_err(|e| failed(path, &e))?;
        match path.join(STORE).is_file() {
            true => Self::lock_at(path),
            false => {
                Err(refused(&path, FailureKind::NotFound, "there is no `jobs.sqlite` in it, so it is none of an engine"))
            }
        }
    }

    fn lock_at(path: PathBuf) -> Result<Self, Failure> {
        let not_usable = |words: &str| refused(&path, FailureKind::DestinationNotUsable, words);
        let mut lock = safe_path::open_to_write(&path.join(LOCK)).map_err(|e| failed(&path, &e))?;
        if lock.metadata().is_ok_and(|m| links(&m) != 1) {
            return Err(not_usable("its file `lock` has more than one name; remove it"));
        }
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = safe_path::open_file(&path.join(LOCK)).map(|mut lock| read_holder(&mut lock)).unwrap_or_default();
                return Err(not_usable(&format!(
                    "another engine{who} has it; ask its host, end it, or take another directory"
                )));
            }
            Err(TryLockError::Error(e)) => return Err(failed(&path, &e)),
        }
        write_holder(&mut lock).map_err(|e| failed(&path, &e))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }
}

/// Where the packages are whose place the engine chooses.
pub(crate) fn packages_in(data_dir: &Path) -> PathBuf {
    data_dir.join(PACKAGES)
}
