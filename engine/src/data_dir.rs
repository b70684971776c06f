//! The data directory of an engine: its store of jobs and the packages whose place it chooses. One engine at a time has it.

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
        let lock = safe_path::open_to_write(&path.join(LOCK)).map_err(|e| failed(&path, &e))?;
        let is_ours = lock.metadata().is_ok_and(|m| links(&m) == 1);
        let refused = |words: &str| {
            let message = format!("cannot use the data directory {}: {words}", path.display());
            Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Run, message)
        };
        if !is_ours {
            return Err(refused("its file `lock` has more than one name; remove it"));
        }
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(refused("another engine has it; end that one, or give this one a directory of its own"))
            }
            Err(TryLockError::Error(e)) => Err(failed(&path, &e)),
        }
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
