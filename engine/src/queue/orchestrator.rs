//! Runs the jobs of an engine: which begins, with what, and what becomes of it at its end.

use super::prepare::{after_gap, prepare};
use super::settings::Settings;
use super::table::{Begin, Body, Entry, Stop, Table};
use crate::actor::from_join_error;
use crate::event_log::EventLog;
use crate::job::{JobInner, JobResult, run};
use crate::resources::EngineResources;
use crate::store::{Found, JobRecord, JobStore, Write};
use offmap_arcgis::Session;
use offmap_model::{
    ExportState, Failure, FailureKind, FailureOwner, FailureStage, JobError, JobState, JobVerb, StatusMessage, Subject,
    SubjectKind, WaitReason,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Messages that are written at a time.
const MESSAGES: usize = 256;

/// How long a job that waits for credentials waits until it asks again by itself, in milliseconds.
const ASK_AGAIN_MS: i64 = 60_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Orchestrator {
    pub(crate) resources: Arc<EngineResources>,
    pub(crate) settings: Settings,
    pub(super) store: JobStore,
    table: Mutex<Table>,
    /// Held while a change is read and sent to the store, so that changes arrive in their order.
    order: tokio::sync::Mutex<()>,
    /// Rises with every change of a job.
    pub(super) changed: watch::Sender<u64>,
    /// Tells the timer that there may be an earlier one.
    pub(super) wake: Arc<Notify>,
    /// Whether jobs that ended long ago are being removed.
    pub(super) is_retaining: AtomicBool,
}

/// What becomes of a job whose run has ended.
enum Verdict {
    End(JobState),
    Suspend,
    /// It is tried again at this time.
    Retry(i64),
    /// The engine ends, and the next one takes the job up.
    TakeUp,
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
            order: tokio::sync::Mutex::default(),
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
        self.changed.send_modify(|n| *n += 1);
        self.wake.notify_one();
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
            if wished(self.lock().entries.get(id)) {
                return;
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes how a job is into the store, after all changes before.
    pub(super) async fn save(&self, id: &str, outcome: Option<String>, events: Vec<StatusMessage>) -> Result<(), Failure> {
        let written = {
            let _order = self.order.lock().await;
            let record = self.lock().entries.get(id).filter(|e| e.is_stored).map(|e| e.record.clone());
            let Some(record) = record else { return Ok(()) };
            self.store.begin_write(Write { record, outcome, events }).await?
        };
        written.await
    }

    /// The same where nobody can be told of a failure.
    pub(super) async fn save_or_log(&self, id: &str, outcome: Option<String>, events: Vec<StatusMessage>) {
        if let Err(failure) = self.save(id, outcome, events).await {
            tracing::error!(job = id, %failure, "the state of a job cannot be stored");
        }
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

    /// Begins what may run.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        loop {
            let (most, per_tenant, now) = (self.settings.running, self.settings.running_per_tenant, self.now());
            let next = self.lock().begin_next(most, per_tenant, now);
            let this = Arc::clone(self);
            match next {
                None => return,
                Some(Begin::GoOn(id, inner)) => {
                    // Said before the first thing that follows from it.
                    inner.event_log.state(&inner.subject, ExportState::Started, None, None);
                    inner.pause.set(false);
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
        self.retain().await;
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
            inner.keep.keep();
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
            if entry.record.state == JobState::Paused {
                inner.pause.set(true);
            }
        }
        drop(table);
        self.watch_limit(&inner);
        Ok(Some(inner))
    }

    async fn wait_for_credentials(&self, id: &str) {
        let now = self.now();
        let record = {
            let mut table = self.lock();
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

    /// Ends a job that could not even begin, or was cancelled before.
    pub(super) async fn end_unprepared(&self, id: &str, failure: Failure) {
        let known = self.lock().entries.get(id).map(|e| (e.record.clone(), e.live()));
        let Some((record, live)) = known else { return };
        let (log, result) = match &live {
            Some(inner) => (Arc::clone(&inner.event_log), inner.scrubbed(inner.in_time(Err(failure.into())))),
            None => {
                let failure = self.resources.secrets.failure(failure);
                (self.log_of(&record, self.store.last_event(record.seq).await.unwrap_or(0)), Err(failure.into()))
            }
        };
        let failure = result.as_ref().err().map(|e| &e.failure);
        log.ended(&subject_of(&record), failure);
        let state = if failure.is_some_and(Failure::is_cancelled) { JobState::Cancelled } else { JobState::Failed };
        self.end(id, state, &result, log.kept_after(0, MESSAGES)).await;
        if let Some(inner) = live {
            inner.result.send_replace(Some(result));
        }
    }

    /// Begins nothing more; answers the jobs that nobody works for. Those that run keep what they have where another engine takes them up.
    pub(crate) fn close(&self) -> Vec<Arc<str>> {
        let mut table = self.lock();
        table.is_closed = true;
        if self.settings.data_dir.is_some() {
            table.entries.values().filter_map(Entry::live).for_each(|inner| inner.keep.keep());
        }
        table.entries.iter().filter(|(_, e)| !e.is_driven && e.is_stored).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Cancels jobs that nobody works for.
    pub(crate) async fn cancel_all(&self, jobs: Vec<Arc<str>>) {
        for id in jobs {
            self.end_unprepared(&id, Failure::cancelled()).await;
        }
        self.announce();
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
            if is_over && let Err(failure) = this.tell_and_wait(&inner.id, JobVerb::Cancel, None).await {
                tracing::debug!(job = inner.id, %failure, "the job ended with its time");
            }
        });
    }

    /// Takes the end of a job: in the table, then in the store; then it is in the store only.
    pub(super) async fn end(&self, id: &str, state: JobState, result: &JobResult, events: Vec<StatusMessage>) {
        let now = self.now();
        {
            let mut table = self.lock();
            table.unqueue(id);
            table.free_slot(id, now);
            let Some(entry) = table.entries.get_mut(id) else { return };
            let record = &mut entry.record;
            (record.state, record.waits_for, record.not_before) = (state, None, None);
            (record.ended, record.updated) = (Some(now), now);
            record.bytes = result.as_ref().ok().map(|r| r.bytes);
            record.is_kept = result.as_ref().err().is_some_and(|e| e.can_resume);
            record.failure = result.as_ref().err().map(|e| Box::new(e.failure.clone()));
        }
        let outcome = match result {
            Ok(result) => serde_json::to_string(result),
            Err(error) => serde_json::to_string(error),
        };
        self.save_or_log(id, outcome.ok(), events).await;
        self.lock().remove(id);
    }

    /// Takes the end of a job's run.
    async fn settle(self: &Arc<Self>, id: &Arc<str>, inner: &Arc<JobInner>, result: JobResult, recorder: JoinHandle<()>) {
        let mut result = inner.scrubbed(inner.in_time(result));
        let verdict = self.verdict(id, &result);
        let words = match &verdict {
            Verdict::End(_) => None,
            Verdict::Suspend => Some("suspended".to_owned()),
            Verdict::TakeUp => Some("interrupted by the end of the engine".to_owned()),
            Verdict::Retry(_) => {
                let failure = result.as_ref().err().map(|e| e.failure.to_string()).unwrap_or_default();
                Some(format!("it is tried again: {failure}"))
            }
        };
        match words {
            None => inner.tell_end(&result),
            Some(words) => inner.event_log.rest(words),
        }
        // The recorder ends when all is written.
        if recorder.await.is_err() {
            tracing::error!(job = %id, "the messages of a job cannot be stored");
        }
        match verdict {
            Verdict::End(state) => self.end(id, state, &result, Vec::new()).await,
            rests => {
                if let Err(error) = &mut result {
                    error.can_resume = true;
                }
                self.rest(id, &rests, result.as_ref().err());
                self.save_or_log(id, None, Vec::new()).await;
            }
        }
        inner.result.send_replace(Some(result));
    }

    fn verdict(&self, id: &str, result: &JobResult) -> Verdict {
        let table = self.lock();
        let error = match result {
            Ok(result) if result.has_errors() => return Verdict::End(JobState::SucceededWithErrors),
            Ok(_) => return Verdict::End(JobState::Succeeded),
            Err(error) => error,
        };
        let Some(entry) = table.entries.get(id) else { return Verdict::End(JobState::Failed) };
        let is_cancelled = error.failure.is_cancelled();
        match entry.stop {
            Some(Stop::Suspend) if is_cancelled => return Verdict::Suspend,
            None if is_cancelled && table.is_closed && self.settings.data_dir.is_some() => return Verdict::TakeUp,
            _ if is_cancelled => return Verdict::End(JobState::Cancelled),
            _ => {}
        }
        let retry = entry.record.order.retry.wait_after(entry.record.attempts);
        match retry.filter(|_| error.failure.may_succeed_later() && entry.stop.is_none()) {
            Some(wait) => Verdict::Retry(self.now() + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2)),
            None => Verdict::End(JobState::Failed),
        }
    }

    /// Lets a job stand still whose run has ended, and which goes on with another run.
    fn rest(&self, id: &str, verdict: &Verdict, error: Option<&JobError>) {
        let now = self.now();
        let mut table = self.lock();
        table.free_slot(id, now);
        let Some(entry) = table.entries.get_mut(id) else { return };
        (entry.is_driven, entry.stop) = (false, None);
        entry.store_body();
        let record = &mut entry.record;
        (record.updated, record.is_kept) = (now, true);
        match verdict {
            Verdict::Suspend => record.state = JobState::Suspended,
            Verdict::Retry(at) => {
                (record.state, record.waits_for, record.not_before) =
                    (JobState::Waiting, Some(WaitReason::Retry), Some(*at));
                record.failure = error.map(|e| Box::new(e.failure.clone()));
            }
            Verdict::TakeUp | Verdict::End(_) => record.state = JobState::Queued,
        }
        table.enqueue(id, now);
    }
}

/// Tells a running job how to end.
pub(super) fn apply(inner: &JobInner, stop: Stop) {
    match stop {
        Stop::Suspend => inner.keep.keep(),
        Stop::Discard => inner.keep.discard(),
        Stop::Cancel => {}
    }
    inner.cancel.cancel();
}

pub(super) fn subject_of(record: &JobRecord) -> Subject {
    Subject::new(SubjectKind::Job, record.order.id.as_str(), record.order.title.as_str())
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
