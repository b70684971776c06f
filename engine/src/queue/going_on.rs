//! Goes on with the jobs that an earlier engine left.

use super::entry::Entry;
use super::orchestrator::Orchestrator;
use crate::store::{JobRecord, Stop};
use std::sync::Arc;

impl Orchestrator {
    /// Writes what became of the jobs that were taken up, before anybody can list them, and ends those that were told to end.
    pub(crate) fn go_on_with(self: &Arc<Self>, changed: &[Arc<str>]) {
        let (begun, told) = {
            let mut table = self.lock();
            let begun: Vec<_> = changed.iter().map(|id| self.begin_save(&mut table, id, None, Vec::new())).collect();
            let told = |(id, entry): (&Arc<str>, &Entry)| Some((Arc::clone(id), entry.record.stop?));
            let told: Vec<(Arc<str>, Stop)> = table.entries.iter().filter_map(told).collect();
            let mut records: Vec<JobRecord> = Vec::new();
            for (id, stop) in told {
                table.take_for(&id, stop);
                records.extend(table.entries.get(&id).map(|e| e.record.clone()));
            }
            (begun, records)
        };
        if begun.is_empty() && told.is_empty() {
            return;
        }
        let this = Arc::clone(self);
        let work = async move {
            for begun in begun {
                if let Err(failure) = this.await_write(begun).await {
                    tracing::error!(%failure, "the states of jobs cannot be stored");
                }
            }
            let ends = told.iter().map(|record| this.clean_up_and_end(record));
            futures_util::future::join_all(ends).await;
        };
        self.resources.tracker.spawn_on(work, &self.resources.runtime);
    }
}
