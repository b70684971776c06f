//! What becomes of a task of the runtime that did not come back.

use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use tokio::task::JoinError;

/// A panic as a failure, with the panic's text. `who` names what panicked.
pub(crate) fn from_join_error(error: JoinError, who: &str) -> Failure {
    let words = match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
        }
        Err(_) => return Failure::internal(format!("the runtime dropped `{who}` while it worked")),
    };
    let message = format!("`{who}` panicked: {words}");
    Failure::new(FailureOwner::Engine, FailureKind::Panicked, FailureStage::Run, message)
}
