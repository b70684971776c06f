//! What SQLite says, as failures.

use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::ErrorCode;
use std::path::Path;

/// A failure of the file that is written.
pub(super) fn write_failure(path: &Path, what: impl std::fmt::Display, error: &rusqlite::Error) -> Failure {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => FailureKind::StorageFull,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => FailureKind::Corrupt,
        _ => FailureKind::Io,
    };
    let owner = if kind == FailureKind::Corrupt { FailureOwner::Source } else { FailureOwner::Storage };
    let name = path.file_name().unwrap_or_default().display();
    let message = format!("cannot write {what} into the GeoPackage {name}: {}", error.to_string().escape_debug());
    Failure::new(owner, kind, FailureStage::Package, message)
}
