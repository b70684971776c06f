//! The jobs that have not ended, and which of them is next. Plain data under one lock; nothing here waits.

use super::entry::{Body, Entry, Stands, wait_for_turn};
use super::fair_queue::FairQueue;
use crate::store::{JobRecord, Stop};
use offmap_model::{ExportState, JobState, WaitReason};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::watch;

/// What is to be done for a job that is next.
#[derive(Debug)]
pub(crate) enum Begin {
    /// It begins.
    Drive(Arc<str>),
    /// It stood still and goes on.
    GoOn(Arc<str>),
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: HashMap<Arc<str>, Entry>,
    queue: FairQueue,
    /// When jobs go on by themselves.
    timers: BTreeSet<(i64, Arc<str>)>,
    /// Jobs by tenant and unique key.
    unique: HashMap<(Arc<str>, String), Arc<str>>,
    pub(crate) running: usize,
    pub(crate) last_seq: i64,
    /// How often somebody began to work for a job.
    drives: u64,
    /// Ended jobs that are in somebody's hands, who retries, discards or removes them. Who comes later waits until that one is dropped.
    pub(crate) held: HashMap<Arc<str>, watch::Sender<u64>>,
    /// Nothing more is begun.
    pub(crate) is_closed: bool,
}

impl Table {
    /// An empty one, behind so many jobs.
    pub(crate) fn after(last_seq: i64) -> Self {
        Self { last_seq, ..Self::default() }
    }

    /// Adds a job. It has its unique key unless another living one has it.
    pub(crate) fn insert(&mut self, entry: Entry) -> Arc<str> {
        let id: Arc<str> = entry.record.order.id.as_str().into();
        if let Some(key) = entry.record.order.key()
            && self.with_key(&key).is_none()
        {
            self.unique.insert(key, Arc::clone(&id));
        }
        self.entries.insert(Arc::clone(&id), entry);
        id
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Entry> {
        self.unqueue(id);
        let entry = self.entries.remove(id)?;
        self.free_slot_of(&entry);
        if let Some(key) = entry.record.order.key()
            && self.unique.get(&key).is_some_and(|of| **of == *id)
        {
            self.unique.remove(&key);
        }
        Some(entry)
    }

    /// Lets a job wait for its turn, or for its time.
    pub(crate) fn enqueue(&mut self, id: &str, now: i64) {
        let Some((id, entry)) = self.entries.get_key_value(id) else { return };
        if entry.record.stop.is_some() {
            // It is being ended: by its run, or by whoever cleans up.
            return;
        }
        let record = &entry.record;
        match record.due {
            // One that waits goes on by its timer, also where its time is over already.
            Some(time) if time > now || record.state == JobState::Waiting => {
                self.timers.insert((time, Arc::clone(id)));
            }
            _ if record.state == JobState::Queued && entry.is_stored => {
                self.queue.push(&record.order.tenant, record.priority, record.seq, Arc::clone(id));
            }
            _ => {}
        }
    }

    /// Takes a job out of what waits.
    pub(crate) fn unqueue(&mut self, id: &str) {
        let Some((id, entry)) = self.entries.get_key_value(id) else { return };
        let record = &entry.record;
        self.queue.remove(&record.order.tenant, record.priority, record.seq);
        if let Some(time) = record.due {
            self.timers.remove(&(time, Arc::clone(id)));
        }
    }

    /// The next job, which runs from now on.
    pub(crate) fn begin_next(&mut self, most: usize, per_tenant: usize, now: i64) -> Option<Begin> {
        if self.is_closed || self.running >= most {
            return None;
        }
        let id = self.queue.next(per_tenant)?;
        let entry = self.entries.get_mut(&id)?;
        self.running += 1;
        entry.has_slot = true;
        entry.record.state = JobState::Running;
        entry.record.due = None;
        (entry.record.started, entry.record.updated) = (Some(now), now);
        if entry.is_driven {
            // One that is still being made finds its turn when it is made.
            if let Body::Live(inner) = &entry.body {
                // Said before the first thing that follows from it.
                inner.event_log.state(&inner.subject, ExportState::Started, None, None);
                inner.pause.set(false);
            }
            entry.touch();
            return Some(Begin::GoOn(id));
        }
        // One that could not be begun may have been paused meanwhile.
        if let Body::Live(inner) = &entry.body {
            inner.pause.set(false);
        }
        entry.hears_of_credentials = false;
        self.drives += 1;
        (entry.is_driven, entry.drive) = (true, self.drives);
        entry.record.attempts += 1;
        entry.record.begin_log();
        entry.touch();
        Some(Begin::Drive(id))
    }

    /// Takes a job that nobody works for out of what waits, so that it can be ended; answers whether there is one.
    pub(crate) fn take_idle(&mut self, id: &str) -> bool {
        if self.entries.get(id).is_none_or(|e| e.is_driven || !e.is_stored || e.record.state.is_terminal()) {
            return false;
        }
        self.unqueue(id);
        self.take_for(id, Stop::Cancel);
        true
    }

    /// Takes a job into the hands of who ends it.
    pub(crate) fn take_for(&mut self, id: &str, stop: Stop) {
        if let Some(entry) = self.entries.get_mut(id) {
            self.drives += 1;
            (entry.is_driven, entry.drive, entry.record.stop) = (true, self.drives, Some(stop));
        }
    }

    fn free_slot_of(&mut self, entry: &Entry) {
        if entry.has_slot {
            self.running -= 1;
            self.queue.ended(&entry.record.order.tenant);
        }
    }

    /// A job that stands still holds nothing that another could use.
    pub(crate) fn free_slot(&mut self, id: &str, now: i64) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let ran = entry.ran(now);
        if std::mem::take(&mut entry.has_slot) {
            entry.record.spent = ran;
            let tenant = Arc::clone(&entry.record.order.tenant);
            self.running -= 1;
            self.queue.ended(&tenant);
        }
    }

    /// Lets a job stand still that was driven until now, as it was told meanwhile or else as `stands` says. One that is cancelled or
    /// discarded stays driven: it is to be cleaned up. It is neither written nor queued yet.
    pub(crate) fn stand_still(&mut self, id: &str, stands: Stands, was_try: bool, now: i64) -> Option<&mut Entry> {
        self.unqueue(id);
        self.free_slot(id, now);
        let entry = self.entries.get_mut(id)?;
        let record = &mut entry.record;
        record.updated = now;
        if !was_try {
            record.attempts = record.attempts.saturating_sub(1);
        }
        record.crashes = 0;
        match (stands, record.stop) {
            (_, Some(Stop::Cancel | Stop::Discard)) => return Some(entry),
            (Stands::Suspended, _) | (_, Some(Stop::Suspend)) if std::mem::take(&mut entry.resumes) => {
                wait_for_turn(record, now);
            }
            (Stands::Suspended, _) | (_, Some(Stop::Suspend)) => {
                record.state = JobState::Suspended;
                (record.waits_for, record.due) = (None, None);
            }
            // One that stands still goes on standing still.
            _ if record.state == JobState::Paused => {}
            // As does one that was resumed before it began.
            (Stands::Waits(..), None) if record.state == JobState::Queued && !was_try => {}
            // What the host has for it now it had not when it was asked.
            (Stands::Waits(WaitReason::Credentials, _), None) if entry.hears_of_credentials => wait_for_turn(record, now),
            (Stands::Waits(reason, at), None) => {
                (record.state, record.waits_for, record.due) = (JobState::Waiting, Some(reason), at);
            }
            (Stands::Queued, None) => wait_for_turn(record, now),
        }
        (entry.record.stop, entry.is_driven) = (None, false);
        Some(entry)
    }

    /// A job whose host does not answer gives its turn to others.
    pub(crate) fn waits_for_host(&mut self, id: &str, now: i64) {
        if self.entries.get(id).is_some_and(|e| e.record.state == JobState::Running && e.record.stop.is_none()) {
            self.free_slot(id, now);
            if let Some(entry) = self.entries.get_mut(id) {
                (entry.record.state, entry.record.waits_for) = (JobState::Waiting, Some(WaitReason::Credentials));
                entry.record.updated = now;
            }
        }
    }

    /// A job that gave its turn away while it waited for its host waits for the next one; answers whether it does.
    pub(crate) fn waits_no_more(&mut self, id: &str, now: i64) -> bool {
        let Some(entry) = self.entries.get_mut(id).filter(|e| e.record.state == JobState::Waiting) else { return false };
        wait_for_turn(&mut entry.record, now);
        entry.record.updated = now;
        self.enqueue(id, now);
        true
    }

    /// When the first timer is due.
    pub(crate) fn next_timer(&self) -> Option<i64> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Lets the jobs go on whose time has come; answers them.
    pub(crate) fn due(&mut self, now: i64) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        while self.timers.first().is_some_and(|(time, _)| *time <= now) {
            let Some((_, id)) = self.timers.pop_first() else { break };
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.record.due = None;
                entry.touch();
                if entry.record.state == JobState::Waiting {
                    (entry.record.state, entry.record.waits_for) = (JobState::Queued, None);
                    entry.record.updated = now;
                }
                self.enqueue(&id, now);
                due.push(id);
            }
        }
        due
    }

    /// The living job with a unique key.
    pub(crate) fn with_key(&self, key: &(Arc<str>, String)) -> Option<Arc<str>> {
        let id = self.unique.get(key)?;
        self.entries.get(id).filter(|e| !e.record.state.is_terminal()).map(|_| Arc::clone(id))
    }

    /// Jobs that wait for their turn or their time.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.timers.len()
    }

    /// Jobs of the same tenant that are before one that waits for its turn; `None` for one that waits for something else.
    pub(crate) fn before(&self, record: &JobRecord) -> Option<u64> {
        self.queue.before(&record.order.tenant, record.priority, record.seq)
    }

    /// The same for many jobs, in one pass over what waits of their tenants.
    pub(crate) fn positions<'a>(&self, ids: impl Iterator<Item = &'a str>) -> HashMap<Arc<str>, u64> {
        let mut wanted: HashMap<Arc<str>, HashSet<&str>> = HashMap::new();
        for id in ids {
            if let Some(entry) = self.entries.get(id) {
                wanted.entry(Arc::clone(&entry.record.order.tenant)).or_default().insert(id);
            }
        }
        let of = |(tenant, ids): (Arc<str>, HashSet<&str>)| self.queue.places(&tenant, |id| ids.contains(id));
        wanted.into_iter().flat_map(of).collect()
    }

    /// The jobs of a tenant that wait for credentials. Those that run with the old ones hear of it.
    pub(crate) fn without_credentials(&mut self, tenant: &str) -> Vec<Arc<str>> {
        for entry in self.entries.values_mut().filter(|e| e.is_driven && *e.record.order.tenant == *tenant) {
            entry.hears_of_credentials = true;
        }
        let waits = |e: &Entry| e.record.waits_for == Some(WaitReason::Credentials) && *e.record.order.tenant == *tenant;
        self.entries.iter().filter(|(_, e)| waits(e)).map(|(id, _)| Arc::clone(id)).collect()
    }
}
