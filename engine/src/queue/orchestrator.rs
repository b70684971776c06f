//! The jobs of an engine: their table, and their store.

use super::entry::Entry;
use super::retaining::Retaining;
use super::settings::Settings;
use super::table::Table;
use super::taken_up::take_up;
use crate::event_log::EventLog;
use crate::metrics;
use crate::resources::EngineResources;
use crate::store::{Found, JobRecord, JobStore, Stop};
use offmap_model::{
    ExportState, Failure, FailureKind, FailureOwner, FailureStage, JobError, SecretRegistry, StatusMessage, Subject,
    SubjectKind,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// See the module.
#[derive(Debug)]
pub(crate) struct Orchestrator {
    pub(crate) resources: Arc<EngineResources>,
    pub(crate) settings: Settings,
    pub(super) store: JobStore,
    table: Mutex<Table>,
    /// Tells the timer that there may be an earlier one.
    pub(super) wake: Arc<Notify>,
    pub(super) retaining: Mutex<Retaining>,
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.wake.notify_waiters();
    }
}

impl Orchestrator {
    /// The jobs that were found, and which of them are others now than in the store.
    pub(crate) fn new(
        resources: Arc<EngineResources>,
        settings: Settings,
        store: JobStore,
        found: Found,
    ) -> (Arc<Self>, Vec<Arc<str>>) {
        let mut table = Table::after(found.last);
        let changed = take_up(&mut table, found.living, resources.clock.now_ms());
        let (table, wake) = (Mutex::new(table), Arc::default());
        (Arc::new(Self { resources, settings, store, table, wake, retaining: Mutex::default() }), changed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn retaining(&self) -> MutexGuard<'_, Retaining> {
        self.retaining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> i64 {
        self.resources.clock.now_ms()
    }

    /// Tells whoever waits for it that a job changed.
    pub(super) fn announce(&self, id: &str) {
        if let Some(entry) = self.lock().entries.get(id) {
            entry.touch();
        }
        self.show_counts();
    }

    /// Shows how many jobs there are, and lets the timer look at them.
    pub(super) fn show_counts(&self) {
        let (queued, running) = self.counts();
        metrics::jobs(queued, running);
        self.wake.notify_one();
    }

    /// Whether the engine has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Whether the engine has ended, and nobody works for the job any more.
    pub(super) fn is_over(&self, id: &str) -> bool {
        let table = self.lock();
        table.is_closed && table.entries.get(id).is_none_or(|e| !e.is_driven)
    }

    /// Tells whoever waits for a job that the engine has ended before.
    pub(crate) fn tell_waiting(&self) {
        let table = self.lock();
        for entry in table.entries.values() {
            if let Some(inner) = entry.live().filter(|_| !entry.is_driven && !entry.record.state.is_terminal()) {
                let error = JobError { can_resume: true, ..Failure::cancelled().into() };
                inner.result.send_replace(Some(Err(error)));
            }
            entry.touch();
        }
    }

    /// Gives the data directory back: the store is closed when this answers, and its lock is free.
    pub(crate) async fn close_store(&self) {
        if self.settings.data_dir.is_some() {
            self.store.close_file().await;
            drop(self.settings.data.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Jobs that have not ended.
    pub(crate) fn living(&self) -> usize {
        self.lock().entries.values().filter(|e| !e.record.state.is_terminal()).count()
    }

    /// Jobs that wait for their turn or their time, and jobs that run.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let table = self.lock();
        (table.waiting(), table.running)
    }

    /// Waits until a job is as is wished. It wakes with the changes of this job only.
    pub(crate) async fn until(&self, id: &str, wished: impl Fn(Option<&Entry>) -> bool) {
        loop {
            let mut news = {
                let table = self.lock();
                let entry = table.entries.get(id);
                match entry {
                    // After the end of the engine nobody changes it any more.
                    Some(e) if !wished(entry) && (e.is_driven || !table.is_closed) => e.news(),
                    _ => return,
                }
            };
            // An error says that it is in the table no more.
            let _ = news.changed().await;
        }
    }

    /// Gives a job its number.
    ///
    /// # Errors
    /// As [`Self::check_room`].
    pub(super) fn admit(&self, table: &mut Table) -> Result<i64, Failure> {
        self.check_room(table)?;
        table.last_seq += 1;
        Ok(table.last_seq)
    }

    /// Refuses a job where there are as many as there may be, or the engine ends.
    pub(super) fn check_room(&self, table: &Table) -> Result<(), Failure> {
        if table.is_closed {
            return Err(Failure::internal("the engine is shut down; make a new one"));
        }
        let (jobs, most) = (table.entries.len(), self.settings.most_jobs);
        if jobs >= most {
            let message = format!(
                "the engine's queue is full: it has {jobs} jobs, expected at most {most}; submit the job again later"
            );
            let (owner, kind) = (FailureOwner::Limit, FailureKind::LimitExceeded);
            return Err(Failure::new(owner, kind, FailureStage::Submit, message).retryable());
        }
        Ok(())
    }

    /// The present log of a job of which nothing is in memory.
    pub(super) fn log_of(&self, record: &JobRecord, secrets: SecretRegistry) -> Arc<EventLog> {
        EventLog::after(record.log_base(), subject_of(record), Arc::clone(&self.resources.clock), secrets)
    }

    /// A message on a job of which nothing is in memory, in a log of its own.
    pub(super) fn message_of(&self, record: &mut JobRecord, state: ExportState, words: String) -> Vec<StatusMessage> {
        record.begin_log();
        let log = self.log_of(record, self.resources.secrets.clone());
        log.state(&subject_of(record), state, Some(words), None);
        log.kept_after(0, usize::MAX)
    }

    /// Begins nothing more; answers the jobs that nobody works for. Those that run keep what they have where another engine takes them up.
    pub(crate) fn close(&self) -> Vec<Arc<str>> {
        let mut table = self.lock();
        table.is_closed = true;
        if self.settings.data_dir.is_some() {
            let goes_on = |e: &&Entry| e.record.stop.is_none_or(|stop| stop == Stop::Suspend);
            table.entries.values().filter(goes_on).filter_map(Entry::live).for_each(|i| i.keep.keep_unless_cancelled());
        }
        let is_idle = |e: &Entry| !e.is_driven && e.is_stored && !e.record.state.is_terminal();
        table.entries.iter().filter(|(_, e)| is_idle(e)).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// The log of a living job, where it is in memory, and what tells of its changes; `None` for one that lives no more.
    pub(super) fn log_of_living(&self, id: &str) -> Option<(Option<Arc<EventLog>>, watch::Receiver<u64>)> {
        let table = self.lock();
        let entry = table.entries.get(id)?;
        Some((entry.live().map(|inner| Arc::clone(&inner.event_log)), entry.news()))
    }
}

pub(super) fn subject_of(record: &JobRecord) -> Subject {
    Subject::new(SubjectKind::Job, record.order.id.as_str(), record.order.title.as_str())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use crate::testing::{Act, PlainPackager, Script, ScriptedExporter, VirtualClock, scripted_map};
    use crate::{Engine, Order};
    use offmap_model::{AreaOfInterest, ExportState, GenerateOfflineMapParameters, JobState, OfflineMapSource};
    use std::time::Duration;

    #[tokio::test]
    async fn an_end_that_the_store_does_not_take_is_told_and_written_later_with_its_messages() {
        let builder = Engine::builder(PlainPackager).exporter(ScriptedExporter).expect("registers");
        let engine = builder.clock(VirtualClock::default()).start().expect("starts");
        let dir = tempfile::tempdir().expect("a directory");
        let area = AreaOfInterest::from_numbers("7,46,8,47").expect("an area");
        let map = OfflineMapSource::from_web_map(scripted_map([("a", Script::of(Act::Hang))]));
        let order = Order::new(map, GenerateOfflineMapParameters::new(area)).destination(dir.path().join("p"));
        let job = engine.submit(order).await.expect("is taken");
        let mut events = job.events(0).await.expect("events");
        while events.next().await.expect("reads").expect("a message").state != ExportState::Started {}
        let store = &engine.orchestrator().store;
        store.execute("ALTER TABLE job RENAME TO away").await.expect("renames");
        let failure = job.cancel().await.expect_err("its end is not written");
        assert!(failure.retryable && failure.message.contains("has ended"), "{failure}");
        assert!(job.result().await.expect_err("is cancelled").failure.is_cancelled());
        assert_eq!(job.snapshot().await.expect("a job").state, JobState::Cancelled);
        store.execute("ALTER TABLE away RENAME TO job").await.expect("renames");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while store.record(job.id()).await.expect("reads").is_none_or(|r| r.state != JobState::Cancelled) {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        let mut last = None;
        while let Some(message) = events.next().await.expect("reads") {
            last = Some(message.state);
        }
        assert_eq!(last, Some(ExportState::Cancelled));
        job.retry().await.expect("runs again");
        engine.shutdown().await.expect("shuts down");
    }
}
