//! Runs jobs: begins what is next, with what it needs, and hands on what its run came to.

use super::ending::{ASK_AGAIN_MS, is_held_by_others};
use super::entry::{Body, Known, Stands, apply};
use super::orchestrator::Orchestrator;
use super::prepare::{Left, Made, Supplied, left_of, needs_secrets, prepare};
use super::table::Begin;
use crate::event_log::EventLog;
use crate::job::{JobDocument, JobInner, JobResult, StartMode, discard, document_of, run};
use crate::store::{JobRecord, JobStore};
use offmap_model::{
    Clock, ExportState, Failure, FailureKind, FailureOwner, FailureStage, JobError, JobState, MessageSeverity,
    MessageSource, WaitReason,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Messages that are written at a time.
const MESSAGES: usize = 256;

/// How long to wait until messages are written again that the store did not take, unless others come before.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What a job waits for that is not begun.
#[derive(Debug)]
struct Wait(WaitReason, String);

impl Orchestrator {
    /// Begins what may run.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        loop {
            let (most, per_tenant, now) = (self.settings.running, self.settings.running_per_tenant, self.now());
            let next = self.lock().begin_next(most, per_tenant, now);
            match next {
                None => return,
                Some(Begin::GoOn(id)) => self.save_later(&id),
                Some(Begin::Drive(id)) => {
                    self.resources.tracker.spawn_on(Arc::clone(self).drive(id), &self.resources.runtime);
                }
            }
            self.show_counts();
        }
    }

    /// Lets a job wait for its turn that the store has from now on; or forgets it, where the store refused it.
    pub(super) fn taken(self: &Arc<Self>, id: &str, written: Result<(), Failure>) -> Result<(), Failure> {
        {
            let mut table = self.lock();
            match (&written, table.entries.get_mut(id)) {
                (Ok(()), Some(entry)) => {
                    entry.is_stored = true;
                    entry.touch();
                    let now = self.now();
                    table.enqueue(id, now);
                }
                _ => drop(table.remove(id)),
            }
        }
        self.show_counts();
        self.dispatch();
        written
    }

    /// Runs a job to the end of its run.
    async fn drive(self: Arc<Self>, id: Arc<str>) {
        let unwinds = Unwinds { orchestrator: Arc::clone(&self), id: Arc::clone(&id) };
        self.driven(&id).await;
        drop(unwinds);
        self.announce(&id);
        self.dispatch();
        self.retain_if_due();
    }

    async fn driven(self: &Arc<Self>, id: &Arc<str>) {
        // Written before anything is spent: what it leaves is looked for by its attempts.
        let prepared = match self.save(id).await {
            Ok(()) => self.prepared(id).await,
            Err(failure) => Ok(Err(Wait(WaitReason::Retry, failure.to_string()))),
        };
        match prepared {
            Ok(Ok(inner)) => {
                let (store, seq, log) = (self.store.clone(), self.seq_of(id), Arc::clone(&inner.event_log));
                let clock = Arc::clone(&self.resources.clock);
                let recorder = self.resources.runtime.spawn(record(store, seq, log, clock));
                let result = work(&inner).await;
                self.settle(id, &inner, result, recorder).await;
            }
            Ok(Err(Wait(reason, words))) => self.put_off(id, reason, words).await,
            // It was not the job that failed: its work is as good as before.
            Err(failure) if failure.owner == FailureOwner::Storage || is_held_by_others(&failure) => {
                self.put_off(id, WaitReason::Retry, failure.to_string()).await;
            }
            Err(failure) => {
                let is_kept = self.leaves_work(id).await;
                self.end_unprepared(id, failure, is_kept).await;
            }
        }
    }

    /// Whether an earlier run of a job that cannot be made left work. What cannot be looked at counts as work.
    async fn leaves_work(&self, id: &str) -> bool {
        let Some(record) = self.lock().entries.get(id).map(|e| e.record.clone()) else { return false };
        if record.attempts <= 1 && !record.is_kept {
            return false;
        }
        !matches!(left_of(&record).await, Ok(Left::Nothing | Left::Others))
    }

    fn seq_of(&self, id: &str) -> i64 {
        self.lock().entries.get(id).map_or(0, |e| e.record.seq)
    }

    /// A job, made of what the store has of it and the host says.
    async fn made(self: Arc<Self>, record: JobRecord, known: Known) -> Result<Made, Failure> {
        let session = match self.unless_stopped(&record, self.session_of(&record, known.session.as_ref())).await {
            Ok(session) => session,
            Err(failure) => return Ok(Made::Waits(failure)),
        };
        let mut document = JobDocument::read(&self.store.document(record.seq).await?)?;
        if needs_secrets(&document.source, known.source.as_ref()) {
            match self.unless_stopped(&record, self.map_of(&record)).await {
                Ok(Some(map)) => document.source.web_map.supply_secrets(&map),
                // Its layers say what they lack.
                Ok(None) => {}
                Err(failure) => return Ok(Made::Waits(failure)),
            }
        }
        let asks_host = known.session.is_none() && self.settings.provider.is_some();
        let supplied = Supplied { session, asks_host, known: known.source };
        Ok(Made::Job(Box::new(prepare(&self.resources, &record, document, supplied).await?)))
    }

    /// The job in memory, made of the store where it is not; or what it waits for.
    async fn prepared(self: &Arc<Self>, id: &Arc<str>) -> Result<Result<Arc<JobInner>, Wait>, Failure> {
        let (record, known) = {
            let table = self.lock();
            let Some(entry) = table.entries.get(id) else { return Err(Failure::internal("a job is not in its table")) };
            match &entry.body {
                Body::Live(inner) => return Ok(Ok(Arc::clone(inner))),
                Body::Stored(known) => (entry.record.clone(), known.clone()),
            }
        };
        let made = Arc::clone(self).made(record, known);
        let inner = match self.resources.guarded("the preparation of the job", made).await?? {
            Made::Job(inner) => inner,
            Made::Waits(failure) => {
                tracing::warn!(job = %id, %failure, "the job waits for what its host does not give it now");
                return Ok(Err(Wait(WaitReason::Credentials, "waits for credentials".to_owned())));
            }
        };
        inner.started.store(true, Ordering::Release);
        let inner: Arc<JobInner> = inner.into();
        let waits_for_turn = {
            let mut table = self.lock();
            let keeps = table.is_closed && self.settings.data_dir.is_some();
            if let Some(entry) = table.entries.get_mut(id) {
                (entry.body, entry.said) = (Body::Live(Arc::clone(&inner)), None);
                match entry.record.stop {
                    // What was said while it was made.
                    Some(stop) => apply(&inner, stop),
                    // The next engine goes on with what is there.
                    None if keeps => inner.keep.keep_unless_cancelled(),
                    None => {}
                }
                // It begins when it has its turn.
                if !entry.has_slot {
                    inner.pause.set(true);
                }
            }
            table.waits_no_more(id, self.now())
        };
        if waits_for_turn {
            self.dispatch();
        }
        // Readers of its messages go on with its log.
        self.announce(id);
        self.watch_limit(id, &inner);
        Ok(Ok(inner))
    }

    /// Lets a job wait that was not begun; or does with it what was said meanwhile.
    async fn put_off(self: &Arc<Self>, id: &str, reason: WaitReason, words: String) {
        let now = self.now();
        let stands = Stands::Waits(reason, Some(now.saturating_add(ASK_AGAIN_MS)));
        let (cleans, begun) = {
            let mut table = self.lock();
            let Some(entry) = table.stand_still(id, stands, false, now) else { return };
            let waits = entry.record.state == JobState::Waiting;
            let events = if waits && entry.said.as_ref() != Some(&words) {
                let events = match entry.live() {
                    // One that is in memory goes on with its own log.
                    Some(inner) => {
                        let (severity, source) = (MessageSeverity::Warning, MessageSource::Client);
                        inner.event_log.note(&inner.subject, words.clone(), severity, source);
                        Vec::new()
                    }
                    None => self.message_of(&mut entry.record, ExportState::NotStarted, words.clone()),
                };
                entry.said = Some(words);
                events
            } else {
                Vec::new()
            };
            let cleans = entry.is_driven.then(|| entry.record.clone());
            let begun = self.begin_save(&mut table, id, None, events);
            table.enqueue(id, now);
            (cleans, begun)
        };
        self.save_surely(id, begun).await;
        if let Some(record) = cleans {
            drop(self.clean_up_and_end(&record).await);
        }
    }
}

/// Runs a job on the host's runtime; a panic is its failure.
async fn work(inner: &Arc<JobInner>) -> JobResult {
    let ended = inner.engine.guarded("the job", run(Arc::clone(inner))).await;
    let mut result = ended.unwrap_or_else(|failure| Err(JobError::from(failure)));
    if let Err(error) = &mut result
        && inner.start_mode == StartMode::Resumed
        && !error.can_resume
    {
        let (job, mut judged) = (Arc::clone(inner), error.clone());
        let after = async move {
            with_earlier_work(&job, &mut judged).await;
            judged
        };
        match inner.engine.guarded("the clean-up of the job", after).await {
            Ok(judged) => *error = judged,
            Err(panic) => {
                error.can_resume = true;
                super::ending::say_left(&mut error.failure, &panic);
            }
        }
    }
    result
}

/// Ends a job whose driver panicked, so that its slot is free and whoever waits for it hears of it.
struct Unwinds {
    orchestrator: Arc<Orchestrator>,
    id: Arc<str>,
}

impl Drop for Unwinds {
    fn drop(&mut self) {
        // A runtime that ends drops its tasks as well: then the next engine takes the job up.
        if !std::thread::panicking() {
            return;
        }
        let (this, id) = (Arc::clone(&self.orchestrator), Arc::clone(&self.id));
        let work = async move {
            let message = "the engine panicked while it drove the job; this is a bug in offmap";
            let failure = Failure::new(FailureOwner::Engine, FailureKind::Panicked, FailureStage::Run, message);
            if this.lock().entries.get(&id).is_some_and(|e| !e.record.state.is_terminal()) {
                this.end_unprepared(&id, failure, true).await;
            }
            this.announce(&id);
            this.dispatch();
        };
        let resources = &self.orchestrator.resources;
        resources.tracker.spawn_on(work, &resources.runtime);
    }
}

/// What an earlier run left stays or goes by the rule of all work, also where this run ended before it opened it.
async fn with_earlier_work(inner: &Arc<JobInner>, error: &mut JobError) {
    inner.keep.job_failed(&error.failure);
    if inner.keep.is_kept() {
        let there = document_of(&inner.destination).await;
        error.can_resume = there.map_or_else(|failure| failure.kind != FailureKind::NotFound, |_| true);
    } else if let Err(failure) = discard(inner).await {
        tracing::warn!(job = inner.id, %failure, "what an earlier run left cannot be cleaned up");
        error.can_resume = true;
        super::ending::say_left(&mut error.failure, &failure);
    }
}

/// Writes the kept messages of a job into the store as they come, until its log is closed. Answers the number of the last one that is
/// written: the end is not among them, since it is written in one step with what the job came to.
async fn record(store: JobStore, seq: i64, log: Arc<EventLog>, clock: Arc<dyn Clock>) -> u64 {
    let (mut changes, mut written) = (log.changes(), log.base());
    loop {
        changes.mark_unchanged();
        let Some(messages) = log.kept_while_open(written, MESSAGES) else { return written };
        if let Some(last) = messages.last().map(|m| m.seq) {
            match store.add_events(seq, messages).await {
                Ok(()) => written = last,
                Err(failure) => {
                    tracing::error!(%failure, "messages of a job cannot be stored; it is tried again");
                    tokio::select! {
                        // The log is closed, or has another message.
                        _ = changes.changed() => {}
                        () = clock.sleep(WRITE_AGAIN) => {}
                    }
                }
            }
        } else if changes.changed().await.is_err() {
            return written;
        }
    }
}
