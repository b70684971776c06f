//! Why a package that was to be completed stays as it is.

use offmap_model::{Failure, FailureOwner};
use std::path::Path;

/// The warning where nothing new came.
pub(crate) const UNCHANGED: &str = "nothing that is missing could be fetched; the package stays as it is";

/// The failure of those that may be gone the next time: credentials or the network.
pub(crate) fn passing<'a>(failures: impl Iterator<Item = &'a Failure>) -> Option<&'a Failure> {
    let mut failures: Vec<&Failure> = failures.collect();
    failures.retain(|f| matches!(f.owner, FailureOwner::Credentials | FailureOwner::Network));
    failures.sort_by_key(|f| f.owner != FailureOwner::Credentials);
    failures.first().copied()
}

/// Adds what became of the package, and the way out.
pub(crate) fn stays_as_it_is(mut failure: Failure, package: &Path) -> Failure {
    if failure.is_cancelled() {
        return failure;
    }
    let way = match failure.owner {
        FailureOwner::Credentials => "; give credentials that may read the missing layers, then complete it again",
        FailureOwner::Network => "; complete it again when the services answer",
        _ => "",
    };
    failure.message =
        format!("{}; nothing was replaced, the package {} stays as it is{way}", failure.message, package.display());
    failure
}
