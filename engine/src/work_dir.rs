//! A job's private directory beside its destination: on the same file system, so that the package can be renamed into place.

use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// `<parent>/.<name>.offmap`, locked while the job lives.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    _lock: File,
}

/// The work directory that belongs to a destination.
pub(crate) fn path_for(destination: &Path) -> Result<PathBuf, Failure> {
    let name = destination.file_name().ok_or_else(|| {
        Failure::invalid_parameter(format!("the destination {} has no name; name a directory", destination.display()))
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".offmap");
    Ok(destination.with_file_name(hidden))
}

impl WorkDir {
    /// Makes and locks the directory. What a dead job left there is removed.
    pub(crate) fn make(destination: &Path) -> Result<Self, Failure> {
        let path = path_for(destination)?;
        let failed = |e: &std::io::Error| {
            Failure::io(FailureStage::Run, format!("cannot use the work directory {}", path.display()), e)
        };
        std::fs::create_dir_all(&path).map_err(|e| failed(&e))?;
        let lock = File::create(path.join("lock")).map_err(|e| failed(&e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another job is writing to {}; wait for its end", destination.display());
                return Err(Failure::new(
                    FailureOwner::Caller,
                    FailureKind::DestinationNotUsable,
                    FailureStage::Run,
                    message,
                ));
            }
            Err(TryLockError::Error(e)) => return Err(failed(&e)),
        }
        for entry in std::fs::read_dir(&path).map_err(|e| failed(&e))? {
            let entry = entry.map_err(|e| failed(&e))?;
            if entry.file_name() == "lock" {
                continue;
            }
            let left = entry.path();
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            if is_dir { std::fs::remove_dir_all(left) } else { std::fs::remove_file(left) }.map_err(|e| failed(&e))?;
        }
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn remove(self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.path)
            .map_err(|e| Failure::io(FailureStage::Run, format!("cannot remove {}", self.path.display()), &e))
    }
}
