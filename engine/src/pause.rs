//! Lets a job stand still: nothing new is begun until it goes on.

use tokio::sync::watch;

/// A gate that everything new passes.
#[derive(Debug)]
pub(crate) struct Pause(watch::Sender<bool>);

impl Default for Pause {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Pause {
    /// Closes or opens the gate; answers whether that changed anything.
    pub(crate) fn set(&self, paused: bool) -> bool {
        self.0.send_if_modified(|now| std::mem::replace(now, paused) != paused)
    }

    /// Whether the gate is closed.
    pub(crate) fn is_closed(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the gate is open.
    pub(crate) async fn passed(&self) {
        let mut gate = self.0.subscribe();
        // The sender lives as long as `self`, so the wait ends only when the gate opens.
        let _ = gate.wait_for(|paused| !*paused).await;
    }
}
