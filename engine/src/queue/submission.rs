//! How orders come into the queue.

use super::entry::{Body, Entry, Known};
use super::orchestrator::{Orchestrator, subject_of};
use crate::job::{JobInner, StartMode};
use crate::store::{JobRecord, OrderFacts, Wishes};
use offmap_disk::run_blocking;
use offmap_model::{ExportState, Failure, JobState, RetryPolicy};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What an order is besides its map.
#[derive(Debug, Default)]
pub(crate) struct Submission {
    pub(crate) tenant: Arc<str>,
    pub(crate) priority: i32,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) unique_key: Option<String>,
    pub(crate) not_before: Option<i64>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) retry: RetryPolicy,
    pub(crate) is_owned: bool,
    pub(crate) wishes: Wishes,
}

/// What was said to the handle of a job before its start.
fn said_to(inner: &JobInner) -> Submission {
    let limit = Some(inner.time_limit.load(Ordering::Acquire)).filter(|limit| *limit > 0);
    let wishes = Wishes {
        overwrites: inner.overwrites.load(Ordering::Acquire),
        keeps: inner.keep.is_kept(),
        counts_waits: limit.is_some(),
        spent_before: inner.time_spent.load(Ordering::Acquire),
        has_session: inner.session.is_some(),
    };
    let (tenant, time_limit) = (Arc::clone(&inner.tenant), limit.map(Duration::from_millis));
    Submission { tenant, time_limit, wishes, ..Submission::default() }
}

/// The document of a job, as the store keeps it: no secret of its map is in it.
fn document_of(inner: &JobInner) -> Result<String, Failure> {
    if inner.destination.to_str().is_none() {
        let shown = inner.destination.display();
        return Err(Failure::invalid_parameter(format!(
            "the destination {shown} is not UTF-8, so that it cannot be written down; name another one"
        )));
    }
    inner.document()
}

fn record_of(inner: &JobInner, order: Submission, seq: i64, now: i64) -> JobRecord {
    let facts = OrderFacts {
        id: inner.id.clone(),
        tenant: order.tenant,
        title: inner.subject.title.clone(),
        labels: order.labels,
        unique_key: order.unique_key,
        destination: inner.destination.clone(),
        is_owned: order.is_owned,
        completes: inner.start_mode == StartMode::Completing,
        retry: order.retry,
        time_limit: order.time_limit,
        not_before: order.not_before,
        wishes: order.wishes,
        submitted: now,
    };
    JobRecord {
        seq,
        order: Arc::new(facts),
        priority: order.priority,
        state: JobState::Queued,
        waits_for: None,
        due: order.not_before,
        started: None,
        ended: None,
        updated: now,
        run: 1,
        attempts: 0,
        spent: 0,
        is_kept: inner.start_mode == StartMode::Resumed,
        bytes: None,
        failure: None,
        log: 0,
        stop: None,
        crashes: 0,
    }
}

impl Orchestrator {
    /// Takes an order; answers the id of its job, or of the one that lives with its unique key. It is in the store when this answers.
    pub(crate) async fn submit(self: &Arc<Self>, inner: JobInner, order: Submission) -> Result<String, Failure> {
        let document = document_of(&inner)?;
        // A map without secrets is read again when it is its turn.
        let known = Known::of(&inner);
        let record = record_of(&inner, order, 0, self.now());
        let key = record.order.key();
        let mut is_checked = record.order.is_owned;
        let id = loop {
            let living = {
                let mut table = self.lock();
                match key.as_ref().and_then(|key| table.with_key(key)) {
                    Some(id) => Some(id),
                    None if !is_checked => None,
                    None => {
                        let seq = self.admit(&mut table)?;
                        break table.insert(Entry::new(JobRecord { seq, ..record }, Body::Stored(known)));
                    }
                }
            };
            let Some(living) = living else {
                // As its run does, but told to who can name another one.
                let (packager, destination) = (Arc::clone(&self.resources.packager), record.order.destination.clone());
                run_blocking(move || packager.check_destination(&destination)).await?;
                is_checked = true;
                continue;
            };
            // One that the store refuses lives no more.
            self.until(&living, |entry| entry.is_none_or(|e| e.is_stored)).await;
            let table = self.lock();
            if table.entries.get(&living).is_some_and(|e| e.is_stored && !e.record.state.is_terminal()) {
                return Ok(living.to_string());
            }
            // The engine may have ended meanwhile.
            self.check_room(&table)?;
        };
        self.store_added(&id, document).await?;
        Ok(id.to_string())
    }

    /// Starts a job that is in the hands of a host, or lets it go on.
    pub(crate) fn start(self: &Arc<Self>, inner: &Arc<JobInner>) {
        if inner.started.swap(true, Ordering::AcqRel) {
            self.go_on(inner);
            return;
        }
        inner.pause.set(false);
        let added = {
            let mut table = self.lock();
            let id = inner.id.as_str();
            let admitted = match table.entries.contains_key(id) {
                true => Err(Failure::invalid_parameter(format!("the job {id} runs already; wait for its end"))),
                false => self.admit(&mut table),
            };
            // Known from now on, so that it can be paused and cancelled.
            admitted.map(|seq| {
                let record = record_of(inner, said_to(inner), seq, self.now());
                table.insert(Entry::new(record, Body::Live(Arc::clone(inner))))
            })
        };
        let (this, inner) = (Arc::clone(self), Arc::clone(inner));
        let add = async move {
            let added = match added {
                Ok(id) => {
                    this.watch_limit(&id, &inner);
                    match document_of(&inner) {
                        Ok(document) => this.store_added(&id, document).await,
                        refused => this.taken(&id, refused.map(drop)),
                    }
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = added {
                let result = inner.scrubbed(Err(failure.into()));
                inner.tell_end(&result);
                inner.result.send_replace(Some(result));
            }
        };
        self.resources.tracker.spawn_on(add, &self.resources.runtime);
    }

    /// A job that is in the hands of a host keeps its work from now on, also over the end of the process.
    pub(crate) fn keep_work_of(self: &Arc<Self>, inner: &JobInner) {
        if let Some(entry) = self.lock().entries.get_mut(inner.id.as_str()) {
            Arc::make_mut(&mut entry.record.order).wishes.keeps = true;
        }
        self.save_later(&inner.id);
    }

    /// Writes a job of the table into the store, and lets it wait for its turn. One that the store refuses is in the table no more.
    async fn store_added(self: &Arc<Self>, id: &Arc<str>, document: String) -> Result<(), Failure> {
        let (record, live, secrets) = match self.lock().entries.get(id) {
            Some(entry) => (entry.record.clone(), entry.live(), self.secrets_for(&entry.body)),
            None => return Err(Failure::internal("a job is not in its table")),
        };
        let log = live.map_or_else(|| self.log_of(&record, secrets), |inner| Arc::clone(&inner.event_log));
        log.state(&subject_of(&record), ExportState::NotStarted, None, None);
        let inserted = self.store.insert(record, document, log.kept_after(0, usize::MAX)).await;
        self.taken(id, inserted)
    }
}
