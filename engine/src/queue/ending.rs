//! What becomes of a job when its run ends: it has ended, or it stands still and another run goes on with it.
//!
//! The end of a job, what it came to and the last messages of its log are written in one step, so that a process that is killed leaves a
//! job that lives with an open log, or one that has ended in every respect. It is told when it is written.

use super::entry::{Body, Entry, Stands};
use super::orchestrator::{Orchestrator, subject_of};
use super::prepare::{Left, left_of, remove_leftover, to_discard};
use super::saving::Begun;
use crate::job::{JobInner, JobResult, discard};
use crate::metrics;
use crate::store::{JobRecord, Stop};
use offmap_model::{Failure, FailureKind, FailureOwner, JobError, JobState, SecretRegistry, StatusMessage, WaitReason};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// What becomes of a job whose run has ended.
enum Verdict {
    End(JobState),
    Suspend,
    /// It waits: it is tried again at this time, or when the host has other credentials.
    Wait(WaitReason, Option<i64>),
    /// The engine ends, and the next one takes the job up.
    TakeUp,
}

/// How long until a job asks again by itself that waits for credentials, or was not begun for another reason, in milliseconds.
pub(super) const ASK_AGAIN_MS: i64 = 60_000;

/// Whether somebody else has the work of a job in hands now.
pub(super) fn is_held_by_others(failure: &Failure) -> bool {
    failure.kind == FailureKind::DestinationNotUsable && failure.retryable
}

/// Adds to the failure of a job that what it left could not be cleaned up.
pub(super) fn say_left(failure: &mut Failure, why: &Failure) {
    let message = &failure.message;
    failure.message = format!("{message}; what it left is kept, since it cannot be cleaned up: {}", why.message);
}

impl Orchestrator {
    /// What is taken out of the words on a job.
    pub(super) fn secrets_for(&self, body: &Body) -> SecretRegistry {
        match body {
            Body::Live(inner) => inner.secrets.clone(),
            Body::Stored(known) => known.secrets.clone().unwrap_or_else(|| self.resources.secrets.clone()),
        }
    }

    /// Ends a job that could not even begin, or was cancelled before; its work may be kept.
    pub(super) async fn end_unprepared(self: &Arc<Self>, id: &str, failure: Failure, is_kept: bool) {
        // One whose line is on its way into the store would be outlived by it.
        self.until(id, |entry| entry.is_none_or(|e| e.is_stored)).await;
        let known = self.lock().entries.get_mut(id).map(|entry| {
            if entry.live().is_none() {
                entry.record.begin_log();
            }
            (entry.record.clone(), entry.live(), self.secrets_for(&entry.body))
        });
        let Some((record, live, secrets)) = known else { return };
        let result: JobResult = Err(JobError { can_resume: is_kept, ..secrets.failure(failure).into() });
        let (log, result) = match &live {
            Some(inner) => (Arc::clone(&inner.event_log), inner.in_time(result)),
            None => (self.log_of(&record, secrets), result),
        };
        let failure = result.as_ref().err().map(|e| &e.failure);
        log.ended(&subject_of(&record), failure);
        let state = if failure.is_some_and(Failure::is_cancelled) { JobState::Cancelled } else { JobState::Failed };
        self.end(id, state, &result, log.kept_after(0, usize::MAX)).await;
        if let Some(inner) = live {
            inner.result.send_replace(Some(result));
        }
    }

    /// Cancels jobs that nobody works for.
    pub(crate) async fn cancel_all(self: &Arc<Self>, jobs: Vec<Arc<str>>) {
        let taken: Vec<JobRecord> = {
            let mut table = self.lock();
            let mut take =
                |id: &Arc<str>| table.take_idle(id).then(|| table.entries.get(id).map(|e| e.record.clone())).flatten();
            jobs.iter().filter_map(&mut take).collect()
        };
        // At once, so that the store writes them together.
        let ends = taken.iter().map(|record| self.clean_up_and_end(record));
        futures_util::future::join_all(ends).await;
    }

    /// Takes the end of a job: in the table, then in the store; then it is in the store only.
    pub(super) async fn end(self: &Arc<Self>, id: &str, state: JobState, result: &JobResult, events: Vec<StatusMessage>) {
        let now = self.now();
        let outcome = match result {
            Ok(result) => serde_json::to_string(result),
            Err(error) => serde_json::to_string(error),
        };
        // Plain data always becomes JSON.
        let outcome = Some(outcome.unwrap_or_default().into());
        let begun = {
            let mut table = self.lock();
            table.unqueue(id);
            table.free_slot(id, now);
            let Some(entry) = table.entries.get_mut(id) else { return };
            let record = &mut entry.record;
            (record.state, record.waits_for, record.due) = (state, None, None);
            (record.stop, record.crashes) = (None, 0);
            (record.ended, record.updated) = (Some(now), now);
            record.bytes = result.as_ref().ok().map(|r| r.bytes);
            record.is_kept = result.as_ref().err().is_some_and(|e| e.can_resume);
            record.failure = result.as_ref().err().map(|e| Box::new(e.failure.clone()));
            metrics::job_ended(result, (record.order.submitted, now));
            self.begin_save(&mut table, id, outcome, events)
        };
        if self.save_surely(id, begun).await {
            self.forget(id);
        } else if let Some(entry) = self.lock().entries.get_mut(id) {
            // Who waits for it is not kept by a disk that is full.
            (entry.unsaved, entry.is_driven) = (Some(Arc::new(result.clone())), false);
        }
        self.retaining().take_end(now, self.settings.retention.longest);
        self.wake.notify_one();
    }

    /// Takes the end of a job's run.
    pub(super) async fn settle(
        self: &Arc<Self>,
        id: &Arc<str>,
        inner: &Arc<JobInner>,
        result: JobResult,
        recorder: JoinHandle<u64>,
    ) {
        let mut result = inner.scrubbed(inner.in_time(result));
        let verdict = self.verdict(id, inner, &result);
        let words = match &verdict {
            Verdict::End(_) => None,
            Verdict::Suspend => Some("suspended".to_owned()),
            Verdict::TakeUp => Some("interrupted by the end of the engine".to_owned()),
            Verdict::Wait(reason, _) => {
                let failure = result.as_ref().err().map(|e| e.failure.to_string()).unwrap_or_default();
                Some(match reason {
                    WaitReason::Credentials => format!("waits for other credentials: {failure}"),
                    _ => format!("it is tried again: {failure}"),
                })
            }
        };
        match words {
            None => inner.tell_end(&result),
            Some(words) => inner.event_log.rest(words),
        }
        // The recorder leaves the last messages to be written with what follows.
        let written = recorder.await.unwrap_or_else(|error| {
            tracing::error!(job = %id, %error, "the messages of a job were not stored while it ran");
            inner.event_log.base()
        });
        let last = inner.event_log.kept_after(written, usize::MAX);
        match verdict {
            Verdict::End(state) => self.end(id, state, &result, last).await,
            rests => {
                if let Err(error) = &mut result {
                    error.can_resume = true;
                }
                let (cleans, begun) = self.rest(id, &rests, result.as_ref().err(), last);
                self.save_surely(id, begun).await;
                if let Some(record) = cleans {
                    // It was cancelled while it came to rest.
                    drop(self.clean_up_and_end(&record).await);
                }
            }
        }
        inner.result.send_replace(Some(result));
    }

    fn verdict(&self, id: &str, inner: &JobInner, result: &JobResult) -> Verdict {
        let table = self.lock();
        let error = match result {
            Ok(result) if result.has_errors() => return Verdict::End(JobState::SucceededWithErrors),
            Ok(_) => return Verdict::End(JobState::Succeeded),
            Err(error) => error,
        };
        let Some(entry) = table.entries.get(id) else { return Verdict::End(JobState::Failed) };
        let is_cancelled = error.failure.is_cancelled();
        match entry.record.stop {
            Some(Stop::Suspend) if is_cancelled => return Verdict::Suspend,
            None if is_cancelled && table.is_closed && self.settings.data_dir.is_some() => return Verdict::TakeUp,
            _ if is_cancelled => return Verdict::End(JobState::Cancelled),
            _ => {}
        }
        let goes_on = entry.record.stop.is_none() && !inner.is_timed_out();
        if error.failure.owner == FailureOwner::Credentials {
            // Never the same credentials by itself: a service may lock the account.
            let waits = goes_on && inner.waits_for_credentials(&error.failure);
            return if waits { Verdict::Wait(WaitReason::Credentials, None) } else { Verdict::End(JobState::Failed) };
        }
        if goes_on && is_held_by_others(&error.failure) && (entry.record.attempts > 1 || entry.record.is_kept) {
            // Its work is as good as before.
            return Verdict::Wait(WaitReason::Retry, Some(self.now().saturating_add(ASK_AGAIN_MS)));
        }
        let retry = entry.record.order.retry.wait_after(entry.record.attempts);
        match retry.filter(|_| error.failure.may_succeed_later() && goes_on) {
            Some(wait) => {
                let at = self.now().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
                let is_throttled = error.failure.kind == FailureKind::Throttled;
                let reason = if is_throttled { WaitReason::ThrottledHost } else { WaitReason::Retry };
                Verdict::Wait(reason, Some(at))
            }
            None => Verdict::End(JobState::Failed),
        }
    }

    /// Lets a job stand still whose run has ended, and which goes on with another run; its last messages are on their way into the store
    /// before that may begin. Answers its record where it is to be cleaned up instead.
    fn rest(
        &self,
        id: &str,
        verdict: &Verdict,
        error: Option<&JobError>,
        last: Vec<StatusMessage>,
    ) -> (Option<JobRecord>, Begun) {
        let stands = match verdict {
            Verdict::Suspend => Stands::Suspended,
            Verdict::Wait(reason, at) => Stands::Waits(*reason, *at),
            Verdict::TakeUp | Verdict::End(_) => Stands::Queued,
        };
        // An interruption is no try.
        let was_try = matches!(verdict, Verdict::Wait(WaitReason::Retry | WaitReason::ThrottledHost, _));
        let now = self.now();
        let mut table = self.lock();
        let Some(entry) = table.stand_still(id, stands, was_try, now) else { return (None, Ok(None)) };
        entry.store_body();
        entry.record.is_kept = true;
        if entry.record.state == JobState::Waiting {
            entry.record.failure = error.map(|e| Box::new(e.failure.clone()));
        }
        let cleans = entry.is_driven.then(|| entry.record.clone());
        let begun = self.begin_save(&mut table, id, None, last);
        table.enqueue(id, now);
        (cleans, begun)
    }

    /// Rolls back what an earlier run left, and ends the job as cancelled. Where that cannot be done, the job has ended as well: it keeps
    /// its work, says so, and can be discarded later.
    pub(super) async fn clean_up_and_end(self: &Arc<Self>, record: &JobRecord) -> Result<(), Failure> {
        let id = record.order.id.as_str();
        if record.attempts > 0 || record.is_kept {
            // What was told holds after the end of the process as well.
            if let Err(failure) = self.save(id).await {
                tracing::error!(job = id, %failure, "what a job was told cannot be stored");
            }
        }
        if self.lock().entries.get(id).is_some_and(Entry::keeps_cancelled) {
            self.end_unprepared(id, Failure::cancelled(), record.is_kept).await;
            self.announce(id);
            return Ok(());
        }
        let cleaned = self.cleaned_up(record).await;
        let mut failure = Failure::cancelled();
        if let Err(why) = &cleaned {
            tracing::warn!(job = record.order.id, failure = %why, "what a job left cannot be cleaned up");
            say_left(&mut failure, why);
        }
        self.end_unprepared(&record.order.id, failure, cleaned.is_err()).await;
        self.announce(&record.order.id);
        cleaned
    }

    /// The same as [`Self::clean_up`]. It asks the host and its exporters, whose panic ends no more than this.
    pub(super) async fn cleaned_up(self: &Arc<Self>, record: &JobRecord) -> Result<(), Failure> {
        let (this, of) = (Arc::clone(self), record.clone());
        self.resources.guarded("the clean-up of the job", async move { this.clean_up(&of).await }).await?
    }

    /// Rolls back on the services what a job left there, and removes its work.
    ///
    /// # Errors
    /// If it cannot: also where the host has no credentials for the job now, since a service lets go only what its own user made. Then
    /// nothing is removed, and the message names the way out.
    pub(super) async fn clean_up(&self, record: &JobRecord) -> Result<(), Failure> {
        if record.attempts == 0 && !record.is_kept {
            return Ok(());
        }
        match left_of(record).await? {
            Left::Nothing | Left::Others => return Ok(()),
            Left::Incomplete => return remove_leftover(&self.resources, &record.order.destination).await,
            Left::Own => {}
        }
        let own = self.lock().entries.get(record.order.id.as_str()).and_then(Entry::own_session);
        let session = self.session_of(record, own.as_ref()).await.map_err(|failure| {
            let message = format!("{}: supply the credentials, then discard the job {}", failure.message, record.order.id);
            Failure { message, ..failure }
        })?;
        let document = self.store.document(record.seq).await?;
        let inner = to_discard(&self.resources, record, &document, session)?;
        discard(&inner).await
    }
}
