//! What is known of a job that has not ended.

use crate::job::{JobInner, JobResult};
use crate::store::{JobRecord, Stop};
use offmap_arcgis::Session;
use offmap_model::{JobState, OfflineMapSource, SecretRegistry, StatusMessage, WaitReason};
use std::sync::Arc;
use tokio::sync::watch;

/// Tells a running job how to end.
pub(super) fn apply(inner: &JobInner, stop: Stop) {
    match stop {
        Stop::Suspend => inner.keep.keep_unless_cancelled(),
        Stop::Discard => inner.keep.discard(),
        Stop::Cancel => inner.keep.cancelled(),
    }
    inner.cancel.cancel();
}

/// How a job stands still that nobody runs any more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stands {
    /// Until somebody resumes it.
    Suspended,
    /// Until this time, or until the host has what it waits for.
    Waits(WaitReason, Option<i64>),
    /// For its turn.
    Queued,
}

/// What a job needs that is in no file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Its map, where that carries secrets.
    pub(crate) source: Option<Arc<OfflineMapSource>>,
    /// Who asks the services for it, where its handle said so.
    pub(crate) session: Option<Session>,
    /// What is taken out of its words, where that is more than what the engine knows.
    pub(crate) secrets: Option<SecretRegistry>,
}

impl Known {
    pub(crate) fn of(inner: &JobInner) -> Self {
        let has_secrets = inner.source.web_map.secret_texts().next().is_some();
        let session = inner.session.clone().filter(|_| !inner.asks_host);
        Self {
            secrets: (has_secrets || session.is_some()).then(|| inner.secrets.clone()),
            source: has_secrets.then(|| Arc::clone(&inner.source)),
            session,
        }
    }
}

/// What is in memory of a job.
#[derive(Debug)]
pub(crate) enum Body {
    /// Its record, and what is in no file.
    Stored(Known),
    /// All of it.
    Live(Arc<JobInner>),
}

/// Whether somebody writes a job once more that the store did not take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Rewrite {
    #[default]
    Nobody,
    /// Somebody is about to, with all that is pending then.
    Asked,
    /// Somebody does.
    Writing,
}

/// What is to be written of a job together with its record, until the store has it.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// How it ended, as JSON.
    pub(crate) outcome: Option<Arc<str>>,
    pub(crate) events: Vec<StatusMessage>,
    pub(crate) rewrite: Rewrite,
}

impl Pending {
    /// The store has this outcome, and the messages up to a number.
    pub(crate) fn drop_written(&mut self, outcome: Option<&Arc<str>>, last: u64) {
        self.events.retain(|m| m.seq > last);
        // A write that was answered late may be one of the run before.
        if let (Some(pending), Some(outcome)) = (&self.outcome, outcome)
            && Arc::ptr_eq(pending, outcome)
        {
            self.outcome = None;
        }
    }
}

/// A job that has not ended.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: JobRecord,
    pub(crate) body: Body,
    /// Whether the store has it; only then it may be begun.
    pub(crate) is_stored: bool,
    /// Whether somebody works for it: it runs, stands still in memory, or is being ended.
    pub(crate) is_driven: bool,
    /// Which time that is: who waits for its end is not kept by the next one.
    pub(crate) drive: u64,
    /// Whether it is one of those that run.
    pub(crate) has_slot: bool,
    /// Whether it goes on by itself when it is suspended: somebody resumed it meanwhile.
    pub(crate) resumes: bool,
    /// What it waits for, as it was said last: a job that asks every minute says it once.
    pub(crate) said: Option<String>,
    /// Whether the host has other credentials for its tenant since it was begun.
    pub(crate) hears_of_credentials: bool,
    /// How it ended, where the store did not take that yet.
    pub(crate) unsaved: Option<Arc<JobResult>>,
    pub(crate) pending: Pending,
    /// Rises with each change, for who waits for one.
    news: watch::Sender<u64>,
}

impl Entry {
    pub(crate) fn new(record: JobRecord, body: Body) -> Self {
        Self {
            record,
            body,
            is_stored: false,
            is_driven: false,
            drive: 0,
            has_slot: false,
            resumes: false,
            said: None,
            hears_of_credentials: false,
            unsaved: None,
            pending: Pending::default(),
            news: watch::Sender::new(0),
        }
    }

    /// Tells who waits that it changed.
    pub(crate) fn touch(&self) {
        self.news.send_modify(|n| *n += 1);
    }

    /// Tells of each change from now on, and ends when the job is in the table no more.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// How long it has run, in milliseconds.
    pub(crate) fn ran(&self, now: i64) -> u64 {
        let since = self.record.started.filter(|_| self.has_slot).map_or(0, |started| now.saturating_sub(started));
        self.record.spent.saturating_add(u64::try_from(since).unwrap_or(0))
    }

    pub(crate) fn live(&self) -> Option<Arc<JobInner>> {
        match &self.body {
            Body::Live(inner) => Some(Arc::clone(inner)),
            Body::Stored(_) => None,
        }
    }

    /// Nothing but the record is needed any more, and what is in no file.
    pub(crate) fn store_body(&mut self) {
        if let Body::Live(inner) = &self.body {
            self.body = Body::Stored(Known::of(inner));
        }
    }

    /// Who asks the services for it, where its handle said so.
    pub(crate) fn own_session(&self) -> Option<Session> {
        match &self.body {
            Body::Live(inner) => Known::of(inner).session,
            Body::Stored(known) => known.session.clone(),
        }
    }

    /// Whether a cancel keeps the work, as its host said.
    pub(crate) fn keeps_cancelled(&self) -> bool {
        self.record.stop == Some(Stop::Cancel)
            && match &self.body {
                Body::Live(inner) => {
                    inner.keep.cancelled();
                    inner.keep.is_kept()
                }
                Body::Stored(_) => self.record.order.wishes.keeps,
            }
    }
}

/// Lets a job wait for its turn: at once, but not before its order's time.
pub(super) fn wait_for_turn(record: &mut JobRecord, now: i64) {
    (record.state, record.crashes) = (JobState::Queued, 0);
    (record.waits_for, record.due) = (None, record.order.not_before.filter(|time| *time > now));
}
