//! The jobs of an engine: their table, and their store.

use super::prepare::after_gap;
use super::settings::Settings;
use super::table::{Body, Entry, Stop, Table};
use crate::event_log::EventLog;
use crate::metrics;
use crate::resources::EngineResources;
use crate::store::{Found, JobRecord, JobStore, Write};
use offmap_model::{
    ExportState, Failure, FailureKind, FailureOwner, FailureStage, JobError, JobState, StatusMessage, Subject, SubjectKind,
    WaitReason,
};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Messages that are written at a time.
pub(super) const MESSAGES: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Orchestrator {
    pub(crate) resources: Arc<EngineResources>,
    pub(crate) settings: Settings,
    pub(super) store: JobStore,
    table: Mutex<Table>,
    /// Rises with every change of a job.
    pub(super) changed: watch::Sender<u64>,
    /// Tells the timer that there may be an earlier one.
    pub(super) wake: Arc<Notify>,
    /// Whether jobs that ended long ago are being removed.
    pub(super) is_retaining: AtomicBool,
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.wake.notify_waiters();
    }
}

impl Orchestrator {
    pub(crate) fn new(resources: Arc<EngineResources>, settings: Settings, store: JobStore, found: Found) -> Arc<Self> {
        let mut table = Table::after(found.last);
        let now = resources.clock.now_ms();
        for mut record in found.living {
            if record.state == JobState::Running || record.waits_for == Some(WaitReason::Credentials) {
                record.state = JobState::Queued;
                (record.waits_for, record.not_before) = (None, None);
            }
            let mut entry = Entry::new(record, Body::Stored(None));
            entry.is_stored = true;
            let id = table.insert(entry);
            table.enqueue(&id, now);
        }
        Arc::new(Self {
            resources,
            settings,
            store,
            table: Mutex::new(table),
            changed: watch::Sender::new(0),
            wake: Arc::default(),
            is_retaining: AtomicBool::new(false),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> i64 {
        self.resources.clock.now_ms()
    }

    /// Tells whoever waits that a job changed.
    pub(super) fn announce(&self) {
        let (queued, running) = self.counts();
        metrics::jobs(queued, running);
        self.changed.send_modify(|n| *n += 1);
        self.wake.notify_one();
    }

    /// Whether the engine has ended, and nobody works for the job any more.
    pub(super) fn is_over(&self, id: &str) -> bool {
        let table = self.lock();
        table.is_closed && table.entries.get(id).is_none_or(|e| !e.is_driven)
    }

    /// Tells whoever waits for the end of a job that the engine has ended before.
    pub(crate) fn tell_waiting(&self) {
        for inner in self.lock().entries.values().filter(|e| !e.is_driven).filter_map(Entry::live) {
            let error = JobError { can_resume: true, ..Failure::cancelled().into() };
            inner.result.send_replace(Some(Err(error)));
        }
        self.announce();
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

    /// Waits until a job is as is wished.
    pub(crate) async fn until(&self, id: &str, wished: impl Fn(Option<&Entry>) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            {
                let table = self.lock();
                let entry = table.entries.get(id);
                // After the end of the engine nobody changes it any more.
                if wished(entry) || (table.is_closed && entry.is_some_and(|e| !e.is_driven)) {
                    return;
                }
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes how a job is into the store, after all changes before.
    pub(super) async fn save(&self, id: &str, outcome: Option<String>, events: Vec<StatusMessage>) -> Result<(), Failure> {
        let written = {
            // Changes arrive in the store in their order.
            let table = self.lock();
            let Some(record) = table.entries.get(id).filter(|e| e.is_stored).map(|e| e.record.clone()) else {
                return Ok(());
            };
            self.store.begin_write(Write { record, outcome, events })?
        };
        written.await
    }

    /// The same where nobody can be told of a failure.
    pub(super) async fn save_or_log(&self, id: &str, outcome: Option<String>, events: Vec<StatusMessage>) {
        if let Err(failure) = self.save(id, outcome, events).await {
            tracing::error!(job = id, %failure, "the state of a job cannot be stored");
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

    /// The log of a job of which nothing is in memory.
    pub(super) fn log_of(&self, record: &JobRecord, last_event: u64) -> Arc<EventLog> {
        let (clock, secrets) = (Arc::clone(&self.resources.clock), self.resources.secrets.clone());
        EventLog::after(after_gap(last_event), subject_of(record), clock, secrets)
    }

    /// A message on a job of which nothing is in memory.
    pub(super) async fn message_of(
        &self,
        record: &JobRecord,
        state: ExportState,
        words: Option<String>,
    ) -> Vec<StatusMessage> {
        let last = self.store.last_event(record.seq).await.unwrap_or(0);
        let log = self.log_of(record, last);
        log.state(&subject_of(record), state, words, None);
        log.kept_after(0, MESSAGES)
    }

    /// Begins nothing more; answers the jobs that nobody works for. Those that run keep what they have where another engine takes them up.
    pub(crate) fn close(&self) -> Vec<Arc<str>> {
        let mut table = self.lock();
        table.is_closed = true;
        if self.settings.data_dir.is_some() {
            let goes_on = |e: &&Entry| e.stop.is_none_or(|stop| stop == Stop::Suspend);
            table.entries.values().filter(goes_on).filter_map(Entry::live).for_each(|i| i.keep.keep_unless_cancelled());
        }
        table.entries.iter().filter(|(_, e)| !e.is_driven && e.is_stored).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// The log of a living job, where it is in memory; `None` for one that lives no more.
    pub(super) fn log_of_living(&self, id: &str) -> Option<Option<Arc<EventLog>>> {
        let table = self.lock();
        let entry = table.entries.get(id)?;
        Some(entry.live().map(|inner| Arc::clone(&inner.event_log)))
    }
}

pub(super) fn subject_of(record: &JobRecord) -> Subject {
    Subject::new(SubjectKind::Job, record.order.id.as_str(), record.order.title.as_str())
}
