//! Why the program ends without success, and its exit codes.

use crate::known_secrets;
use offmap::{Failure, FailureKind, FailureOwner};

/// Exit code of what was done and is incomplete.
pub(crate) const INCOMPLETE: u8 = 3;

/// Why the program ends without success.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) code: u8,
    pub(crate) message: String,
    /// What it is for programs; one without is the caller's.
    failure: Option<Box<Failure>>,
}

impl Stop {
    /// What the caller has to change in the call.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), failure: None }
    }

    /// The reason as programs read it.
    pub(crate) fn failure(&self) -> Failure {
        let failure = self.failure.as_deref().cloned();
        known_secrets::without(failure.unwrap_or_else(|| Failure::invalid_parameter(self.message.clone())))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let code = match failure.owner {
            _ if failure.is_cancelled() => 130,
            // A job that ran into its time limit was used rightly.
            FailureOwner::Caller if failure.kind != FailureKind::TimedOut => 2,
            _ => 1,
        };
        Self { code, message: failure.to_string(), failure: Some(Box::new(failure)) }
    }
}
