//! A SQLite file that is written beside its destination, and renamed when it is complete.

use offmap_disk::atomic_file;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};

/// Statements that are kept ready.
const STATEMENTS: usize = 32;
/// A commit survives the end of the process, and a cut of power as well, up to the last of all.
const PRAGMAS: &str = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;
     PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = OFF;";

/// How a file is opened to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewFile {
    /// Anew: what an earlier process left of it goes.
    Anew,
    /// What an earlier process left of it, else anew.
    Resumed,
}

impl NewFile {
    /// Opens the file that will be called `to`, of a format.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn connect(self, to: &Path, format: &str) -> Result<Connection, Failure> {
        let new = atomic_file::beside(&std::path::absolute(to).unwrap_or_else(|_| to.to_owned()));
        let is_there = std::fs::symlink_metadata(&new).is_ok_and(|found| found.is_file());
        let mut flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        if self == Self::Anew || !is_there {
            remove_rest(&new)?;
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let failed = |e: rusqlite::Error| write_failure(to, format, "the first tables", &e);
        let connection = Connection::open_with_flags(&new, flags).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(PRAGMAS).map_err(failed)?;
        Ok(connection)
    }
}

fn remove_rest(new: &Path) -> Result<(), Failure> {
    for rest in [new.to_owned(), journal(new)] {
        match std::fs::remove_file(&rest) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io(FailureStage::Package, format!("cannot remove {}", rest.display()), &e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where SQLite notes what a transaction changed.
fn journal(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-journal");
    path.with_file_name(name)
}

/// Closes a file that is complete, and gives it its name.
pub(crate) fn put_in_place(connection: Connection, to: &Path, format: &str) -> Result<(), Failure> {
    connection.flush_prepared_statement_cache();
    connection.close().map_err(|(_, e)| write_failure(to, format, "the end of the file", &e))?;
    let failed = |e| Failure::io(FailureStage::Package, format!("cannot put {} in place", to.display()), &e);
    atomic_file::put(&atomic_file::beside(to), to).map_err(failed)
}

/// What SQLite says of a file of some format that is written.
pub(crate) fn write_failure(path: &Path, format: &str, what: impl std::fmt::Display, error: &rusqlite::Error) -> Failure {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => FailureKind::StorageFull,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => FailureKind::Corrupt,
        _ => FailureKind::Io,
    };
    let owner = if kind == FailureKind::Corrupt { FailureOwner::Source } else { FailureOwner::Storage };
    let name = path.file_name().unwrap_or_default().display();
    let message = format!("cannot write {what} into the {format} {name}: {}", error.to_string().escape_debug());
    Failure::new(owner, kind, FailureStage::Package, message)
}
