//! How orders come into the queue.

use super::orchestrator::Orchestrator;
use super::table::{Body, Entry};
use crate::job::{JobInner, StartMode};
use crate::store::{JobRecord, OrderFacts};
use offmap_model::{Failure, JobState, RetryPolicy};
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
        submitted: now,
    };
    JobRecord {
        seq,
        order: Arc::new(facts),
        priority: order.priority,
        state: JobState::Queued,
        waits_for: None,
        not_before: order.not_before,
        started: None,
        ended: None,
        updated: now,
        attempts: 0,
        spent: 0,
        is_kept: inner.start_mode == StartMode::Resumed,
        bytes: None,
        failure: None,
    }
}

impl Orchestrator {
    /// Takes an order; answers the id of its job, or of the one that lives with its unique key.
    pub(crate) async fn submit(self: &Arc<Self>, inner: JobInner, order: Submission) -> Result<String, Failure> {
        let document = inner.document()?;
        // A map without secrets is read again when it is its turn.
        let has_secrets = inner.source.web_map.secret_texts().next().is_some();
        let body = Body::Stored(has_secrets.then(|| Arc::clone(&inner.source)));
        if let Some(id) = self.with_key(&order).await {
            return Ok(id);
        }
        let id = {
            let mut table = self.lock();
            if let Some(key) = &order.unique_key
                && let Some(id) = table.with_key(&(Arc::clone(&order.tenant), key.clone()))
            {
                // Somebody was faster.
                return Ok(id.to_string());
            }
            let seq = self.admit(&mut table)?;
            let entry = Entry::new(record_of(&inner, order, seq, self.now()), body);
            table.insert(entry)
        };
        self.store_added(&id, document).await?;
        Ok(id.to_string())
    }

    /// The job that lives with an order's unique key. It is in the store when this answers.
    async fn with_key(&self, order: &Submission) -> Option<String> {
        let key = (Arc::clone(&order.tenant), order.unique_key.clone()?);
        let id = self.lock().with_key(&key)?;
        self.until(&id, |entry| entry.is_none_or(|e| e.is_stored)).await;
        self.lock().with_key(&key).map(|id| id.to_string())
    }

    /// Starts a job that is in the hands of a host, or lets it go on.
    pub(crate) fn start(self: &Arc<Self>, inner: &Arc<JobInner>) {
        if inner.started.swap(true, Ordering::AcqRel) {
            self.go_on(inner);
            return;
        }
        inner.pause.set(false);
        let admitted = {
            let mut table = self.lock();
            let id = inner.id.as_str();
            match table.entries.contains_key(id) {
                true => Err(Failure::invalid_parameter(format!("the job {id} runs already; wait for its end"))),
                false => self.admit(&mut table),
            }
        };
        let (this, inner) = (Arc::clone(self), Arc::clone(inner));
        let order = Submission { tenant: Arc::clone(&inner.tenant), ..Submission::default() };
        let entry = admitted.map(|seq| {
            let entry = Entry::new(record_of(&inner, order, seq, self.now()), Body::Live(Arc::clone(&inner)));
            // Known from now on, so that it can be paused and cancelled.
            self.lock().insert(entry)
        });
        let add = async move {
            this.watch_limit(&inner);
            let added = match entry.map(|id| (id, inner.document())) {
                Ok((id, Ok(document))) => this.store_added(&id, document).await,
                Ok((id, Err(failure))) => {
                    this.lock().remove(&id);
                    Err(failure)
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = added {
                let result = inner.scrubbed(Err(failure.into()));
                inner.tell_end(&result);
                this.announce();
                inner.result.send_replace(Some(result));
            }
        };
        self.resources.tracker.spawn_on(add, &self.resources.runtime);
    }
}
