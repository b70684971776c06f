//! What becomes of a job when its run ends: it has ended, or it stands still and another run goes on with it.

use super::orchestrator::{MESSAGES, Orchestrator, subject_of};
use super::prepare::to_discard;
use super::table::Stop;
use crate::job::{JobInner, JobResult, discard};
use crate::metrics;
use crate::store::JobRecord;
use offmap_arcgis::Session;
use offmap_model::{Failure, JobError, JobState, StatusMessage, WaitReason};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// What becomes of a job whose run has ended.
enum Verdict {
    End(JobState),
    Suspend,
    /// It is tried again at this time.
    Retry(i64),
    /// The engine ends, and the next one takes the job up.
    TakeUp,
}

impl Orchestrator {
    /// Ends a job that could not even begin, or was cancelled before.
    pub(super) async fn end_unprepared(&self, id: &str, failure: Failure) {
        // One whose line is on its way into the store would be outlived by it.
        self.until(id, |entry| entry.is_none_or(|e| e.is_stored)).await;
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

    /// Cancels jobs that nobody works for.
    pub(crate) async fn cancel_all(&self, jobs: Vec<Arc<str>>) {
        for id in jobs {
            self.end_unprepared(&id, Failure::cancelled()).await;
        }
        self.announce();
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
            metrics::job_ended(result, (record.order.submitted, now));
        }
        let outcome = match result {
            Ok(result) => serde_json::to_string(result),
            Err(error) => serde_json::to_string(error),
        };
        self.save_or_log(id, outcome.ok(), events).await;
        self.lock().remove(id);
    }

    /// Takes the end of a job's run.
    pub(super) async fn settle(
        self: &Arc<Self>,
        id: &Arc<str>,
        inner: &Arc<JobInner>,
        result: JobResult,
        recorder: JoinHandle<()>,
    ) {
        let mut result = inner.scrubbed(inner.in_time(result));
        let verdict = self.verdict(id, inner, &result);
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
                match self.rest(id, &rests, result.as_ref().err()) {
                    None => self.save_or_log(id, None, Vec::new()).await,
                    // It was cancelled while it came to rest.
                    Some(record) => drop(self.clean_up_and_end(&record).await),
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
        match entry.stop {
            Some(Stop::Suspend) if is_cancelled => return Verdict::Suspend,
            None if is_cancelled && table.is_closed && self.settings.data_dir.is_some() => return Verdict::TakeUp,
            _ if is_cancelled => return Verdict::End(JobState::Cancelled),
            _ => {}
        }
        let retry = entry.record.order.retry.wait_after(entry.record.attempts);
        match retry.filter(|_| error.failure.may_succeed_later() && entry.stop.is_none() && !inner.is_timed_out()) {
            Some(wait) => Verdict::Retry(self.now() + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2)),
            None => Verdict::End(JobState::Failed),
        }
    }

    /// Lets a job stand still whose run has ended, and which goes on with another run. Answers its record where it is to be cleaned up instead.
    fn rest(&self, id: &str, verdict: &Verdict, error: Option<&JobError>) -> Option<JobRecord> {
        let now = self.now();
        let mut table = self.lock();
        table.unqueue(id);
        table.free_slot(id, now);
        let entry = table.entries.get_mut(id)?;
        let stop = entry.stop.take();
        entry.store_body();
        let record = &mut entry.record;
        (record.updated, record.is_kept) = (now, true);
        match (verdict, stop) {
            (_, Some(Stop::Cancel | Stop::Discard)) => {
                entry.stop = stop;
                return Some(entry.record.clone());
            }
            (Verdict::Suspend, _) | (_, Some(Stop::Suspend)) => record.state = JobState::Suspended,
            // One that stands still goes on standing still.
            _ if record.state == JobState::Paused => {}
            (Verdict::Retry(at), None) => {
                (record.state, record.waits_for, record.not_before) =
                    (JobState::Waiting, Some(WaitReason::Retry), Some(*at));
                record.failure = error.map(|e| Box::new(e.failure.clone()));
            }
            (Verdict::TakeUp | Verdict::End(_), None) => record.state = JobState::Queued,
        }
        entry.is_driven = false;
        table.enqueue(id, now);
        None
    }

    /// Rolls back what an earlier run left, and ends the job as cancelled.
    pub(super) async fn clean_up_and_end(&self, record: &JobRecord) -> Result<(), Failure> {
        let cleaned = self.clean_up(record).await;
        if let Err(failure) = &cleaned {
            tracing::warn!(job = record.order.id, %failure, "what a job left cannot be cleaned up");
        }
        self.end_unprepared(&record.order.id, Failure::cancelled()).await;
        self.announce();
        cleaned
    }

    /// Rolls back on the services what a job left there, and removes its work.
    pub(super) async fn clean_up(&self, record: &JobRecord) -> Result<(), Failure> {
        if record.attempts == 0 && !record.is_kept {
            return Ok(());
        }
        let session = match &self.settings.provider {
            Some(provider) => provider.credentials(&record.order.tenant, &record.order.id).await?.map(Session::new),
            None => None,
        };
        let document = self.store.document(record.seq).await?;
        let inner = to_discard(&self.resources, record, &document, session)?;
        discard(&inner).await
    }
}
