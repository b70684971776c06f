//! Ended jobs in the hands of somebody.

use super::orchestrator::Orchestrator;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::sync::Arc;
use tokio::sync::watch;

/// An ended job that nobody else retries, discards or removes until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    orchestrator: Arc<Orchestrator>,
    id: Arc<str>,
}

impl Held {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Who waits for it is woken by the drop of its sender.
        self.orchestrator.lock().held.remove(&self.id);
    }
}

fn not_stored(id: &str) -> Failure {
    let message = format!(
        "the job {id} has ended, but its end cannot be written into the engine's store of jobs now; it is tried again, see the log"
    );
    Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Run, message).retryable()
}

impl Orchestrator {
    /// Takes an ended job into one's hands, as soon as nobody else has it; `None` where it lives. Whether there is such a job says the
    /// store.
    ///
    /// # Errors
    /// If its end is not in the store.
    pub(super) async fn hold(self: &Arc<Self>, id: &str) -> Result<Option<Held>, Failure> {
        loop {
            // Under one lock with what is looked at: a change in between would wake nobody.
            let mut change = {
                let mut table = self.lock();
                match table.entries.get(id) {
                    Some(entry) if entry.unsaved.is_some() => return Err(not_stored(id)),
                    Some(entry) if !entry.record.state.is_terminal() => return Ok(None),
                    Some(entry) => entry.news(),
                    None => match table.held.get(id) {
                        Some(held) => held.subscribe(),
                        None => return Ok(self.hold_now(&mut table, id)),
                    },
                }
            };
            // An error says that it is there no more.
            let _ = change.changed().await;
        }
    }

    /// The same where nobody is to be waited for.
    pub(super) fn try_hold(self: &Arc<Self>, id: &str) -> Option<Held> {
        self.hold_now(&mut self.lock(), id)
    }

    fn hold_now(self: &Arc<Self>, table: &mut super::table::Table, id: &str) -> Option<Held> {
        if table.entries.contains_key(id) || table.held.contains_key(id) {
            return None;
        }
        let id: Arc<str> = id.into();
        table.held.insert(Arc::clone(&id), watch::Sender::new(0));
        Some(Held { orchestrator: Arc::clone(self), id })
    }
}
