//! Ends jobs whose time is over.

use super::orchestrator::Orchestrator;
use crate::job::JobInner;
use offmap_model::Failure;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is known of the time of a job.
struct Left {
    is_running: bool,
    ms: u64,
}

impl Orchestrator {
    /// Ends a job when its time is over, if it has a limit: that of an order counts while the job runs, that of a handle from its start on.
    pub(super) fn watch_limit(self: &Arc<Self>, id: &Arc<str>, inner: &Arc<JobInner>) {
        let limit = inner.time_limit.load(Ordering::Acquire);
        if limit == 0 {
            return;
        }
        let (this, inner, id) = (Arc::clone(self), Arc::clone(inner), Arc::clone(id));
        let counts_waits = self.lock().entries.get(&id).is_none_or(|e| e.record.order.wishes.counts_waits);
        self.resources.runtime.spawn(async move {
            let mut result = inner.result.subscribe();
            let ended = async { drop(result.wait_for(Option::is_some).await) };
            let over = async {
                match counts_waits {
                    true => inner.time_passes().await,
                    false => this.running_time_passes(&id, &inner, limit).await,
                }
            };
            let is_over = tokio::select! {
                biased;
                () = ended => false,
                () = over => true,
            };
            if is_over {
                // Its time may be over before the store has it.
                this.until(&id, |entry| entry.is_none_or(|e| e.is_stored)).await;
            }
            // One that runs was told by its own clock.
            let taken = {
                let mut table = this.lock();
                let is_taken = is_over && table.take_idle(&id);
                table.entries.get(&id).filter(|_| is_taken).map(|e| e.record.is_kept)
            };
            if let Some(is_kept) = taken {
                this.end_unprepared(&id, Failure::cancelled(), is_kept).await;
                this.announce(&id);
            }
        });
    }

    fn time_left(&self, id: &str, limit: u64) -> Option<Left> {
        let now = self.now();
        let table = self.lock();
        let entry = table.entries.get(id)?;
        Some(Left { is_running: entry.has_slot, ms: limit.saturating_sub(entry.ran(now)) })
    }

    /// Ends when a job has run so long, and was told to stop. One that stands still uses no time.
    async fn running_time_passes(&self, id: &str, inner: &JobInner, limit: u64) {
        loop {
            let Some(left) = self.time_left(id, limit) else { return std::future::pending().await };
            let is_other = |e: Option<&super::entry::Entry>| e.is_none_or(|e| e.has_slot != left.is_running);
            if !left.is_running {
                self.until(id, is_other).await;
                if self.lock().is_closed {
                    return std::future::pending().await;
                }
                continue;
            }
            if left.ms == 0 {
                return inner.end_by_time();
            }
            tokio::select! {
                biased;
                () = self.until(id, is_other) => {}
                () = inner.engine.clock.sleep(Duration::from_millis(left.ms)) => {}
            }
        }
    }
}
