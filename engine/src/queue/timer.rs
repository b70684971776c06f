//! Lets jobs go on whose time has come.

use super::orchestrator::Orchestrator;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Runs until the engine is gone.
pub(super) async fn run(weak: Weak<Orchestrator>) {
    loop {
        let Some(this) = weak.upgrade() else { return };
        let (wake, clock) = (Arc::clone(&this.wake), Arc::clone(&this.resources.clock));
        let woken = wake.notified();
        let now = clock.now_ms();
        let due = this.lock().due(now);
        for id in &due {
            this.save_or_log(id, None, Vec::new()).await;
        }
        if !due.is_empty() {
            this.announce();
            this.dispatch();
            continue;
        }
        let next = this.lock().next_timer();
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
    /// Begins to look at the clock.
    pub(crate) fn watch_time(self: &Arc<Self>) {
        self.resources.runtime.spawn(run(Arc::downgrade(self)));
    }
}
