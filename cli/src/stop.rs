//! Why the program ends without success, and its exit codes.

use crate::known_secrets;
use offmap::{Failure, FailureKind, FailureOwner, FailureStage};

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

    /// Whose the failure is and what to do, unless the message of a wrong call says it.
    pub(crate) fn whose(&self) -> Option<String> {
        self.failure.as_deref().filter(|f| f.owner != FailureOwner::Caller).map(whose)
    }

    /// The reason as programs read it.
    pub(crate) fn failure(&self) -> Failure {
        let failure = self.failure.as_deref().cloned();
        known_secrets::without(failure.unwrap_or_else(|| Failure::invalid_parameter(self.message.clone())))
    }
}

/// Whose a failure is, and what its owner can do about it.
pub(crate) fn whose(failure: &Failure) -> String {
    format!("whose: {:?}; what to do: {}", failure.owner, way_out(failure))
}

/// Whether the same may succeed another time.
pub(crate) fn may_help(failure: &Failure) -> bool {
    failure.may_succeed_later() || may_be_stopped(failure)
}

/// Whether a service says that it is not there, as one says that was stopped: it may be there again.
fn may_be_stopped(failure: &Failure) -> bool {
    failure.kind == FailureKind::NotFound && failure.stage != FailureStage::Read && failure.status.is_some()
}

fn way_out(failure: &Failure) -> &'static str {
    match failure.owner {
        FailureOwner::Source if failure.kind == FailureKind::NotSupported => {
            "keep it online (onlineOnlyServicesOption), or leave it out"
        }
        FailureOwner::Source if failure.kind == FailureKind::NotFound && failure.stage == FailureStage::Read => {
            "correct the id or url of the map, or sign in as somebody with whom it is shared"
        }
        FailureOwner::Source if may_be_stopped(failure) => {
            "wait until the service runs again if it was stopped, else correct its url in the map, or leave it out"
        }
        FailureOwner::Source if failure.kind == FailureKind::NotFound && !failure.may_succeed_later() => {
            "correct its url in the map, or leave it out"
        }
        FailureOwner::Caller => "change the call",
        FailureOwner::Source => "ask the owner of the service",
        FailureOwner::Network => "try again when the network is back",
        FailureOwner::Limit => "ask for less: fewer levels, a smaller area",
        FailureOwner::Credentials => "check user, token and sharing",
        FailureOwner::Storage => "make room on the disk",
        FailureOwner::Engine => "report it: this is a fault of the program",
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
