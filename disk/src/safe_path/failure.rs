//! Failures out of what is refused.

use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::io::{Error, ErrorKind};

/// A failure out of what these functions refuse: damage where something else than plain files was found, else the disk's.
#[must_use]
pub fn judged(what: &str, error: &Error) -> Failure {
    if error.kind() == ErrorKind::InvalidData {
        return Failure::new(FailureOwner::Caller, FailureKind::Corrupt, FailureStage::Check, format!("{what}: {error}"));
    }
    Failure::io(FailureStage::Check, what, error)
}
