//! What a host may do with a job. Which verb acts in which state is [`JobVerb::in_state`].

use super::entry::{Body, Entry, Known, apply, wait_for_turn};
use super::held::Held;
use super::orchestrator::Orchestrator;
use super::table::Table;
use crate::actor::from_join_error;
use crate::job::JobInner;
use crate::store::{JobRecord, Stop, Wishes, Write};
use offmap_model::{ExportState, Failure, FailureKind, FailureOwner, FailureStage, JobState, JobVerb, VerbEffect};
use std::sync::Arc;

/// What came of a verb at once.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It is done, or was done already.
    Done,
    /// It is said to who works for it, of that number, and ends by itself.
    Told(u64),
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

/// Of the jobs with a unique key one lives.
fn has_key(id: &str, key: &str, other: &str) -> Failure {
    let shown = key.escape_debug();
    let message = format!(
        "the job {id} cannot run again: its unique key `{shown}` is that of the job {other} now, which lives; wait for its end, or cancel it"
    );
    Failure::new(FailureOwner::Caller, FailureKind::InvalidParameter, FailureStage::Run, message)
}

/// Lets a living job stand still.
fn pause(entry: &mut Entry) {
    entry.record.state = JobState::Paused;
    (entry.record.waits_for, entry.record.due) = (None, None);
    if let Some(inner) = entry.live() {
        if entry.is_driven {
            inner.pause.set(true);
        }
        inner.event_log.state(&inner.subject, ExportState::Paused, None, None);
    }
}

/// Stops a living job.
fn stop(table: &mut Table, id: &str, stop: Stop) -> Reply {
    let Some(entry) = table.entries.get_mut(id) else { return Reply::Ended };
    if entry.is_driven {
        // One that nobody has told yet is told when it is made; who discards has the last word.
        let stop = entry.record.stop.map_or(stop, |before| before.max(stop));
        (entry.record.stop, entry.resumes) = (Some(stop), false);
        return Reply::Told(entry.drive);
    }
    if stop == Stop::Suspend {
        entry.record.state = JobState::Suspended;
        (entry.record.waits_for, entry.record.due) = (None, None);
        return Reply::Done;
    }
    let record = entry.record.clone();
    table.take_for(id, stop);
    Reply::CleansUp(record)
}

/// What a living job does when it is told a verb that acts. Answers what is left to do.
fn act(verb: JobVerb, table: &mut Table, id: &str, now: i64) -> Reply {
    let kind = match verb {
        JobVerb::Suspend => Stop::Suspend,
        JobVerb::Discard => Stop::Discard,
        JobVerb::Cancel => Stop::Cancel,
        JobVerb::Pause | JobVerb::Resume | JobVerb::Retry | JobVerb::Reprioritise => {
            let Some(entry) = table.entries.get_mut(id) else { return Reply::Ended };
            match verb {
                JobVerb::Pause => pause(entry),
                JobVerb::Reprioritise => {}
                _ => wait_for_turn(&mut entry.record, now),
            }
            return Reply::Done;
        }
    };
    stop(table, id, kind)
}

impl Orchestrator {
    /// Tells a job a verb: what follows at once has followed when this answers, and nothing of it is in the store yet.
    pub(crate) fn tell(self: &Arc<Self>, id: &str, verb: JobVerb, priority: Option<i32>) -> Result<Reply, Failure> {
        let now = self.now();
        let reply = {
            let mut table = self.lock();
            let Some(entry) = table.entries.get_mut(id) else { return Ok(Reply::Ended) };
            let state = entry.record.state;
            if state.is_terminal() {
                return Ok(Reply::Ended);
            }
            if verb == JobVerb::Resume && entry.record.stop == Some(Stop::Suspend) {
                // Its run ends; then it goes on.
                entry.resumes = true;
                return Ok(Reply::Told(entry.drive));
            }
            match verb.in_state(state) {
                VerbEffect::Refused => return Err(refused(verb, id, state)),
                VerbEffect::Nothing => return Ok(Reply::Done),
                VerbEffect::Acts => {}
            }
            table.unqueue(id);
            if let (Some(entry), Some(priority)) = (table.entries.get_mut(id), priority) {
                entry.record.priority = priority;
            }
            let reply = act(verb, &mut table, id, now);
            if let Some(entry) = table.entries.get_mut(id) {
                entry.record.updated = now;
                if entry.record.state == JobState::Paused {
                    table.free_slot(id, now);
                }
            }
            table.enqueue(id, now);
            if let Reply::Told(_) = reply {
                self.tell_driver(&mut table, id);
            }
            reply
        };
        self.announce(id);
        self.dispatch();
        Ok(reply)
    }

    /// Tells who works for a job how it is to end. That is on its way into the store before: it holds after the end of the process as well.
    fn tell_driver(self: &Arc<Self>, table: &mut Table, id: &str) {
        let begun = self.begin_save(table, id, None, Vec::new());
        if let Some(entry) = table.entries.get(id)
            && let (Some(inner), Some(stop)) = (entry.live(), entry.record.stop)
        {
            apply(&inner, stop);
        }
        let (this, id) = (Arc::clone(self), id.to_owned());
        let written = async move {
            let _ = this.save_surely(&id, begun).await;
        };
        self.resources.tracker.spawn_on(written, &self.resources.runtime);
    }

    /// The same, and all of it has followed and is in the store when this answers. It follows as well where nobody waits for that.
    pub(crate) async fn tell_and_wait(
        self: &Arc<Self>,
        id: &str,
        verb: JobVerb,
        priority: Option<i32>,
    ) -> Result<(), Failure> {
        let reply = self.tell(id, verb, priority)?;
        let (this, id) = (Arc::clone(self), id.to_owned());
        let following = async move { this.follow(&id, (verb, priority), reply).await };
        let followed = self.resources.tracker.spawn_on(following, &self.resources.runtime).await;
        followed.unwrap_or_else(|e| Err(from_join_error(e, "what follows of a verb")))
    }

    async fn follow(
        self: &Arc<Self>,
        id: &str,
        (verb, priority): (JobVerb, Option<i32>),
        mut reply: Reply,
    ) -> Result<(), Failure> {
        loop {
            match reply {
                Reply::Done => return self.when_stored(id).await,
                Reply::Told(drive) => {
                    self.until(id, |entry| entry.is_none_or(|e| !e.is_driven || e.drive != drive)).await;
                    if !matches!(verb, JobVerb::Cancel | JobVerb::Discard) {
                        return self.save(id).await;
                    }
                    return match self.hold(id).await? {
                        // It may have failed by itself before it was told, and have kept its work.
                        Some(held) => self.discard_ended(&held).await,
                        // Somebody runs it again.
                        None => Ok(()),
                    };
                }
                Reply::CleansUp(record) => return self.clean_up_and_end(&record).await,
                Reply::Ended => match self.hold(id).await? {
                    Some(held) => return self.tell_ended(&held, verb).await,
                    // Somebody runs it again.
                    None => reply = self.tell(id, verb, priority)?,
                },
            }
        }
    }

    /// A verb on a job that has ended.
    async fn tell_ended(self: &Arc<Self>, held: &Held, verb: JobVerb) -> Result<(), Failure> {
        let record = self.known(held.id()).await?;
        if !record.state.is_terminal() {
            let message = format!(
                "the store says that the job {} lives, and the engine does not have it; start the engine anew",
                held.id()
            );
            return Err(Failure::internal(message));
        }
        match (verb, verb.in_state(record.state)) {
            (_, VerbEffect::Refused) => Err(refused(verb, held.id(), record.state)),
            (JobVerb::Retry, VerbEffect::Acts) => self.again(held, record).await,
            (JobVerb::Discard, VerbEffect::Acts) => self.discard_ended(held).await,
            _ => Ok(()),
        }
    }

    /// Rolls back and removes what an ended job keeps.
    async fn discard_ended(&self, held: &Held) -> Result<(), Failure> {
        let Some(record) = self.store.record(held.id()).await?.filter(|r| r.is_kept || !r.state.has_package()) else {
            return Ok(());
        };
        self.clean_up(&record).await?;
        if record.is_kept { self.store.forget_work(record.seq, self.now()).await } else { Ok(()) }
    }

    /// Lets an ended job wait for its turn once more.
    async fn again(self: &Arc<Self>, held: &Held, mut record: JobRecord) -> Result<(), Failure> {
        let now = self.now();
        let order = Arc::make_mut(&mut record.order);
        // What its handle said of its time is over.
        order.wishes = Wishes { counts_waits: false, ..order.wishes };
        if record.state == JobState::SucceededWithErrors {
            order.completes = true;
            // The package that is there is none of this run.
            (record.run, record.attempts) = (record.run + 1, 0);
        }
        (record.ended, record.updated, record.failure, record.bytes, record.spent) = (None, now, None, None, 0);
        wait_for_turn(&mut record, now);
        let events = self.message_of(&mut record, ExportState::NotStarted, "is tried again".to_owned());
        let written = {
            let mut table = self.lock();
            if table.entries.contains_key(held.id()) {
                // Its handle was faster.
                return Ok(());
            }
            self.check_room(&table)?;
            if let Some(key) = record.order.key()
                && let Some(other) = table.with_key(&key)
            {
                return Err(has_key(held.id(), &key.1, &other));
            }
            let write = Write { record: record.clone(), outcome: None, events };
            let written = self.store.begin_write(write)?;
            table.insert(Entry::new(record, Body::Stored(Known::default())));
            written
        };
        let written = written.await;
        self.taken(held.id(), written)
    }

    /// Asks for the credentials of a tenant's jobs again that wait for them.
    pub(crate) async fn credentials_changed(self: &Arc<Self>, tenant: &str) -> Result<(), Failure> {
        let waiting = self.lock().without_credentials(tenant);
        for id in &waiting {
            // One that has ended or was paused meanwhile needs none.
            let _ = self.tell(id, JobVerb::Retry, None);
        }
        self.save_all(&waiting).await
    }

    /// Lets a job go on that stands still.
    pub(super) fn go_on(self: &Arc<Self>, inner: &JobInner) {
        if self.lock().entries.get(inner.id.as_str()).is_some_and(|e| e.record.state == JobState::Paused) {
            match self.tell(&inner.id, JobVerb::Resume, None) {
                Ok(_) => self.save_later(&inner.id),
                Err(failure) => tracing::warn!(%failure, "a job cannot go on"),
            }
        }
    }

    /// Tells a job a verb at once, and does what follows some time soon. One that refuses it stays as it is.
    pub(crate) fn tell_soon(self: &Arc<Self>, id: &str, verb: JobVerb) {
        match self.tell(id, verb, None) {
            Ok(Reply::Done) => self.save_later(id),
            Ok(Reply::CleansUp(record)) => {
                let this = Arc::clone(self);
                self.resources
                    .tracker
                    .spawn_on(async move { drop(this.clean_up_and_end(&record).await) }, &self.resources.runtime);
            }
            Ok(Reply::Told(_) | Reply::Ended) => {}
            Err(failure) => tracing::debug!(job = id, %failure, "a job stays as it is"),
        }
    }
}
