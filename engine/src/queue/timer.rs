//! Does what is to be done at a time: jobs go on, and ended ones go.

use super::orchestrator::Orchestrator;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Runs until the engine is gone.
async fn run(weak: Weak<Orchestrator>) {
    loop {
        let Some(this) = weak.upgrade() else { return };
        let (wake, clock) = (Arc::clone(&this.wake), Arc::clone(&this.resources.clock));
        let woken = wake.notified();
        let now = clock.now_ms();
        let due = {
            let mut table = this.lock();
            if table.is_closed {
                return;
            }
            table.due(now)
        };
        if !due.is_empty() {
            if let Err(failure) = this.save_all(&due).await {
                tracing::error!(%failure, "the states of jobs cannot be stored");
            }
            this.show_counts();
            this.dispatch();
            continue;
        }
        // Whoever gave a turn away wakes this.
        this.dispatch();
        // It says when the next one is to go, and wakes this.
        this.retain_if_due();
        let retention = this.next_retention().filter(|at| *at > now);
        let next = [this.lock().next_timer(), retention].into_iter().flatten().min();
        drop(this);
        match next.and_then(|at| u64::try_from(at - now).ok()) {
            None => woken.await,
            Some(wait) => {
                tokio::select! {
                    () = clock.sleep(Duration::from_millis(wait)) => {}
                    () = woken => {}
                }
            }
        }
    }
}

impl Orchestrator {
    /// Begins to look at the clock, and removes what was to go while there was no engine.
    pub(crate) fn watch_time(self: &Arc<Self>) {
        self.retain_soon();
        self.resources.runtime.spawn(run(Arc::downgrade(self)));
    }
}
