//! Runs jobs: begins what is next, with what it needs, and hands on what its run came to.

use super::orchestrator::{MESSAGES, Orchestrator, subject_of};
use super::prepare::prepare;
use super::table::{Begin, Body, Stop, apply};
use crate::actor::from_join_error;
use crate::event_log::EventLog;
use crate::job::{JobInner, JobResult, run};
use crate::store::JobStore;
use offmap_arcgis::Session;
use offmap_model::{ExportState, Failure, JobError, JobState, WaitReason};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a job that waits for credentials waits until it asks again by itself, in milliseconds.
const ASK_AGAIN_MS: i64 = 60_000;

impl Orchestrator {
    /// Begins what may run.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        loop {
            let (most, per_tenant, now) = (self.settings.running, self.settings.running_per_tenant, self.now());
            let next = self.lock().begin_next(most, per_tenant, now);
            let this = Arc::clone(self);
            match next {
                None => return,
                Some(Begin::GoOn(id)) => {
                    self.resources.runtime.spawn(async move { this.save_or_log(&id, None, Vec::new()).await });
                }
                Some(Begin::Drive(id)) => {
                    self.resources.tracker.spawn_on(this.drive(id), &self.resources.runtime);
                }
            }
            self.announce();
        }
    }

    /// Runs a job to the end of its run.
    async fn drive(self: Arc<Self>, id: Arc<str>) {
        self.save_or_log(&id, None, Vec::new()).await;
        match self.prepared(&id).await {
            Ok(Some(inner)) => {
                let recorder =
                    self.resources.runtime.spawn(record(self.store.clone(), self.seq_of(&id), Arc::clone(&inner.event_log)));
                let result = work(&inner).await;
                self.settle(&id, &inner, result, recorder).await;
            }
            Ok(None) => self.wait_for_credentials(&id).await,
            Err(failure) => self.end_unprepared(&id, failure).await,
        }
        self.announce();
        self.dispatch();
        self.apply_retention().await;
    }

    fn seq_of(&self, id: &str) -> i64 {
        self.lock().entries.get(id).map_or(0, |e| e.record.seq)
    }

    /// The job in memory, made of the store where it is not; `None` where the host has no credentials for it.
    async fn prepared(self: &Arc<Self>, id: &Arc<str>) -> Result<Option<Arc<JobInner>>, Failure> {
        let (record, known) = {
            let table = self.lock();
            let Some(entry) = table.entries.get(id) else { return Err(Failure::internal("a job is not in its table")) };
            match &entry.body {
                Body::Live(inner) => return Ok(Some(Arc::clone(inner))),
                Body::Stored(known) => (entry.record.clone(), known.clone()),
            }
        };
        let provider = self.settings.provider.as_ref();
        let session = match provider {
            None => None,
            Some(provider) => match provider.credentials(&record.order.tenant, id).await {
                Ok(Some(credentials)) => Some(Session::new(credentials)),
                Ok(None) => return Ok(None),
                Err(failure) => {
                    tracing::warn!(job = %id, %failure, "the credentials of a job cannot be had");
                    return Ok(None);
                }
            },
        };
        let (document, last_event) = (self.store.document(record.seq).await?, self.store.last_event(record.seq).await?);
        let inner = prepare(&self.resources, &record, &document, known, (provider, session), last_event).await?;
        if let Some(limit) = record.order.time_limit {
            inner.time_limit.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Release);
            inner.time_spent.store(record.spent, Ordering::Release);
        }
        if record.order.retry.wait_after(record.attempts).is_some() {
            inner.keep.keep_unless_cancelled();
        }
        inner.started.store(true, Ordering::Release);
        let inner = Arc::new(inner);
        let mut table = self.lock();
        if let Some(entry) = table.entries.get_mut(id) {
            entry.body = Body::Live(Arc::clone(&inner));
            // What was said while it was made.
            if let Some(stop) = entry.stop {
                apply(&inner, stop);
            }
            // It begins when it has its turn.
            if !entry.has_slot {
                inner.pause.set(true);
            }
        }
        drop(table);
        // Readers of its messages go on with its log.
        self.announce();
        self.watch_limit(&inner);
        Ok(Some(inner))
    }

    async fn wait_for_credentials(&self, id: &str) {
        let now = self.now();
        let record = {
            let mut table = self.lock();
            table.unqueue(id);
            table.free_slot(id, now);
            let Some(entry) = table.entries.get_mut(id) else { return };
            entry.is_driven = false;
            let record = &mut entry.record;
            // It has not begun.
            record.attempts -= 1;
            let stopped = entry.stop.take();
            match stopped {
                Some(Stop::Suspend) => record.state = JobState::Suspended,
                Some(_) => record.state = JobState::Cancelled,
                None if record.state == JobState::Running => {
                    (record.state, record.waits_for) = (JobState::Waiting, Some(WaitReason::Credentials));
                    record.not_before = Some(now + ASK_AGAIN_MS);
                }
                None => {}
            }
            record.updated = now;
            let record = record.clone();
            table.enqueue(id, now);
            record
        };
        if record.state == JobState::Cancelled {
            return self.end_unprepared(id, Failure::cancelled()).await;
        }
        let words = (record.state == JobState::Waiting).then(|| "waits for credentials".to_owned());
        let events = self.message_of(&record, ExportState::NotStarted, words).await;
        self.save_or_log(id, None, events).await;
    }

    /// Ends a job when its time is over, if it has a limit.
    pub(super) fn watch_limit(self: &Arc<Self>, inner: &Arc<JobInner>) {
        if inner.time_limit.load(Ordering::Acquire) == 0 {
            return;
        }
        let (this, inner) = (Arc::clone(self), Arc::clone(inner));
        self.resources.runtime.spawn(async move {
            let mut result = inner.result.subscribe();
            let ended = async { drop(result.wait_for(Option::is_some).await) };
            let is_over = tokio::select! {
                biased;
                () = ended => false,
                () = inner.time_passes() => true,
            };
            // One that runs was told by its own clock.
            if is_over && this.lock().take_idle(&inner.id) {
                this.end_unprepared(&inner.id, Failure::cancelled()).await;
                this.announce();
            }
        });
    }

    /// Writes a job of the table into the store, and lets it wait for its turn. One that the store refuses is in the table no more.
    pub(super) async fn store_added(self: &Arc<Self>, id: &Arc<str>, document: String) -> Result<(), Failure> {
        let (record, live) = match self.lock().entries.get(id) {
            Some(entry) => (entry.record.clone(), entry.live()),
            None => return Err(Failure::internal("a job is not in its table")),
        };
        let log = live.map_or_else(|| self.log_of(&record, 0), |inner| Arc::clone(&inner.event_log));
        log.state(&subject_of(&record), ExportState::NotStarted, None, None);
        let inserted = self.store.insert(record, document, log.kept_after(0, MESSAGES)).await;
        let (now, mut is_changed) = (self.now(), false);
        {
            let mut table = self.lock();
            match (&inserted, table.entries.get_mut(id)) {
                (Ok(()), Some(entry)) => {
                    entry.is_stored = true;
                    is_changed = entry.record.state != JobState::Queued;
                    table.enqueue(id, now);
                }
                _ => drop(table.remove(id)),
            }
        }
        self.announce();
        self.dispatch();
        if is_changed {
            // By a verb that came meanwhile.
            self.save_or_log(id, None, Vec::new()).await;
        }
        inserted
    }
}

/// Runs a job on the host's runtime; a panic is its failure.
async fn work(inner: &Arc<JobInner>) -> JobResult {
    let ended = inner.engine.runtime.spawn(run(Arc::clone(inner))).await;
    ended.unwrap_or_else(|e| Err(JobError::from(from_join_error(e, "the job"))))
}

/// Writes the kept messages of a job into the store as they come, until its log is closed.
async fn record(store: JobStore, seq: i64, log: Arc<EventLog>) {
    let (mut changes, mut written) = (log.changes(), log.base());
    loop {
        changes.mark_unchanged();
        let is_closed = log.is_closed();
        let messages = log.kept_after(written, MESSAGES);
        if let Some(last) = messages.last() {
            written = last.seq;
            if let Err(failure) = store.add_events(seq, messages).await {
                tracing::error!(%failure, "messages of a job cannot be stored");
                return;
            }
        } else if is_closed || changes.changed().await.is_err() {
            return;
        }
    }
}
