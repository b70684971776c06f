//! Verifies a package down to every row and tile, with the readers of the built-in exporters.

use crate::Failure;
use crate::packager::{self, Verification};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Verifies a package as [`packager::verify_deep`] does, with the readers of the built-in exporters.
///
/// ```no_run
/// let found = offmap::verify_deep("alps.mmpk".as_ref())?;
/// assert!(found.ok, "{:?}", found.problems);
/// # Ok::<_, offmap::Failure>(())
/// ```
///
/// # Errors
/// As [`packager::verify_deep`].
pub fn verify_deep(path: &Path) -> Result<Verification, Failure> {
    verify_deep_until(path, &CancellationToken::new())
}

/// Verifies a package as [`verify_deep`] does, until `cancel` is cancelled.
///
/// # Errors
/// As [`verify_deep`]; also if it was cancelled.
pub fn verify_deep_until(path: &Path, cancel: &CancellationToken) -> Result<Verification, Failure> {
    packager::verify_deep_until(path, &crate::exporters::containers(), cancel)
}
