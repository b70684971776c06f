//! What a host may do with a job. Which verb acts in which state is [`JobVerb::in_state`].

use super::orchestrator::Orchestrator;
use super::table::{Body, Entry, Stop, apply};
use crate::job::JobInner;
use crate::store::{JobRecord, Write};
use offmap_model::{ExportState, Failure, FailureKind, FailureOwner, FailureStage, JobState, JobVerb, VerbEffect};
use std::sync::Arc;

/// What came of a verb at once.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It is done, or was done already.
    Done,
    /// It is said to the run, which ends by itself.
    Told,
    /// What an earlier run left is to be rolled back first.
    CleansUp(JobRecord),
    /// The job has ended: what is to be done concerns the store.
    Ended,
}

fn refused(verb: JobVerb, id: &str, state: JobState) -> Failure {
    let way_out = match (verb, state) {
        (JobVerb::Resume, _) => "retry it",
        (JobVerb::Retry, JobState::Paused | JobState::Suspended) => "resume it",
        (JobVerb::Pause, JobState::Suspended) => "it stands still already; resume it first",
        _ => "it has ended",
    };
    let message = format!("the job {id} is {}, so that `{}` does nothing: {way_out}", state.name(), verb.name());
    Failure::new(FailureOwner::Caller, FailureKind::InvalidParameter, FailureStage::Run, message)
}

/// What a living job does when it is told a verb that acts. Answers what is left to do.
fn act(verb: JobVerb, entry: &mut Entry) -> Reply {
    use JobState as S;
    let live = entry.live().filter(|_| entry.is_driven);
    match (verb, live) {
        (JobVerb::Pause, live) => {
            entry.record.state = S::Paused;
            (entry.record.waits_for, entry.record.not_before) = (None, None);
            if let Some(inner) = live {
                inner.pause.set(true);
            }
            if let Some(inner) = entry.live() {
                inner.event_log.state(&inner.subject, ExportState::Paused, None, None);
            }
            Reply::Done
        }
        (JobVerb::Resume | JobVerb::Retry, _) => {
            entry.record.state = S::Queued;
            (entry.record.waits_for, entry.record.not_before) = (None, None);
            Reply::Done
        }
        (JobVerb::Cancel | JobVerb::Suspend | JobVerb::Discard, live) => {
            let stop = match verb {
                JobVerb::Suspend => Stop::Suspend,
                JobVerb::Discard => Stop::Discard,
                _ => Stop::Cancel,
            };
            if entry.is_driven {
                // One that nobody has told yet is told when it is made; who discards has the last word.
                let stop = entry.stop.map_or(stop, |before| before.max(stop));
                entry.stop = Some(stop);
                live.iter().for_each(|inner| apply(inner, stop));
                return Reply::Told;
            }
            if stop == Stop::Suspend {
                entry.record.state = S::Suspended;
                (entry.record.waits_for, entry.record.not_before) = (None, None);
                return Reply::Done;
            }
            (entry.is_driven, entry.stop) = (true, Some(stop));
            Reply::CleansUp(entry.record.clone())
        }
        (JobVerb::Reprioritise, _) => Reply::Done,
    }
}

impl Orchestrator {
    /// Tells a job a verb: what follows at once has followed when this answers, and nothing of it is in the store yet.
    pub(crate) fn tell(self: &Arc<Self>, id: &str, verb: JobVerb, priority: Option<i32>) -> Result<Reply, Failure> {
        let now = self.now();
        let reply = {
            let mut table = self.lock();
            let Some(entry) = table.entries.get(id) else { return Ok(Reply::Ended) };
            let state = entry.record.state;
            if state.is_terminal() {
                return Ok(Reply::Ended);
            }
            match verb.in_state(state) {
                VerbEffect::Refused => return Err(refused(verb, id, state)),
                VerbEffect::Nothing => return Ok(Reply::Done),
                VerbEffect::Acts => {}
            }
            table.unqueue(id);
            let Some(entry) = table.entries.get_mut(id) else { return Ok(Reply::Ended) };
            if let Some(priority) = priority {
                entry.record.priority = priority;
            }
            let reply = act(verb, entry);
            entry.record.updated = now;
            if entry.record.state == JobState::Paused {
                table.free_slot(id, now);
            }
            table.enqueue(id, now);
            reply
        };
        self.announce();
        self.dispatch();
        Ok(reply)
    }

    /// The same, and all of it has followed and is in the store when this answers.
    pub(crate) async fn tell_and_wait(
        self: &Arc<Self>,
        id: &str,
        verb: JobVerb,
        priority: Option<i32>,
    ) -> Result<(), Failure> {
        match self.tell(id, verb, priority)? {
            Reply::Done => self.save(id, None, Vec::new()).await,
            Reply::Told => {
                self.until(id, |entry| entry.is_none_or(|e| !e.is_driven)).await;
                if verb == JobVerb::Discard && !self.lock().entries.contains_key(id) {
                    // It may have failed by itself before it was told, and have kept its work.
                    return self.tell_ended(id, verb).await;
                }
                self.save(id, None, Vec::new()).await
            }
            Reply::CleansUp(record) => self.clean_up_and_end(&record).await,
            Reply::Ended => self.tell_ended(id, verb).await,
        }
    }

    /// A verb on a job that has ended.
    async fn tell_ended(self: &Arc<Self>, id: &str, verb: JobVerb) -> Result<(), Failure> {
        // Its last change is on its way into the store.
        self.until(id, |entry| entry.is_none()).await;
        let record = self.known(id).await?;
        match (verb, verb.in_state(record.state)) {
            (_, VerbEffect::Refused) => Err(refused(verb, id, record.state)),
            (JobVerb::Retry, VerbEffect::Acts) => self.again(record).await,
            (JobVerb::Discard, VerbEffect::Acts) => {
                self.clean_up(&record).await?;
                let record = JobRecord { is_kept: false, updated: self.now(), ..record };
                self.store.begin_write(Write { record, outcome: None, events: Vec::new() })?.await
            }
            _ => Ok(()),
        }
    }

    /// Lets an ended job wait for its turn once more.
    async fn again(self: &Arc<Self>, mut record: JobRecord) -> Result<(), Failure> {
        if record.state == JobState::SucceededWithErrors {
            Arc::make_mut(&mut record.order).completes = true;
            record.attempts = 0;
        }
        (record.state, record.ended, record.updated) = (JobState::Queued, None, self.now());
        (record.failure, record.bytes, record.spent) = (None, None, 0);
        let events = self.message_of(&record, ExportState::NotStarted, Some("is tried again".to_owned())).await;
        let id = record.order.id.clone();
        {
            let mut table = self.lock();
            if table.entries.contains_key(id.as_str()) {
                // Somebody else was faster.
                return Ok(());
            }
            self.check_room(&table)?;
            let mut entry = Entry::new(record, Body::Stored(None));
            entry.is_stored = true;
            table.insert(entry);
        }
        self.save(&id, None, events).await?;
        let now = self.now();
        self.lock().enqueue(&id, now);
        self.announce();
        self.dispatch();
        Ok(())
    }

    /// Asks for the credentials of a tenant's jobs again that wait for them.
    pub(crate) async fn credentials_changed(self: &Arc<Self>, tenant: &str) -> Result<(), Failure> {
        let waiting = self.lock().without_credentials(tenant);
        for id in waiting {
            self.tell_and_wait(&id, JobVerb::Resume, None).await?;
        }
        Ok(())
    }

    /// Lets a job go on that stands still.
    pub(super) fn go_on(self: &Arc<Self>, inner: &JobInner) {
        if self.lock().entries.get(inner.id.as_str()).is_some_and(|e| e.record.state == JobState::Paused) {
            match self.tell(&inner.id, JobVerb::Resume, None) {
                Ok(_) => Arc::clone(self).save_later(&inner.id),
                Err(failure) => tracing::warn!(%failure, "a job cannot go on"),
            }
        }
    }

    /// Tells a job a verb at once, and does what follows some time soon. One that refuses it stays as it is.
    pub(crate) fn tell_soon(self: &Arc<Self>, id: &str, verb: JobVerb) {
        match self.tell(id, verb, None) {
            Ok(Reply::Done) => Arc::clone(self).save_later(id),
            Ok(Reply::CleansUp(record)) => {
                let this = Arc::clone(self);
                self.resources
                    .tracker
                    .spawn_on(async move { drop(this.clean_up_and_end(&record).await) }, &self.resources.runtime);
            }
            Ok(Reply::Told | Reply::Ended) => {}
            Err(failure) => tracing::debug!(job = id, %failure, "a job stays as it is"),
        }
    }

    /// Writes a job's state some time soon.
    pub(crate) fn save_later(self: Arc<Self>, id: &str) {
        let (id, runtime) = (id.to_owned(), self.resources.runtime.clone());
        runtime.spawn(async move { self.save_or_log(&id, None, Vec::new()).await });
    }
}
