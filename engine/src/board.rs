//! The status board of one job: an ordered log of what happened, and the latest progress of each subject.
//!
//! Writers never wait for readers. Life-cycle messages are kept for every reader; progress is overwritten. A terminal state is
//! taken once per subject, and the job's is the last message of all.

use crate::clock::Clock;
use crate::model::failure::{Failure, LONGEST_MESSAGE, shortened};
use crate::model::status::{ExportState, MessageSeverity, MessageSource, Progress, StatusMessage, Subject, SubjectKind};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Notes kept per job; older ones stay, later ones are dropped, so that a chatty service cannot fill the memory.
const MAX_NOTES: usize = 1000;

#[derive(Debug, Default)]
struct Inner {
    log: Vec<StatusMessage>,
    notes: usize,
    states: HashMap<Subject, ExportState>,
    progress: BTreeMap<Subject, (u64, Progress)>,
    tasks: HashMap<String, f64>,
    parts: usize,
    version: u64,
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct StatusBoard {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    job: Subject,
}

impl StatusBoard {
    pub(crate) fn new(job: Subject, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), changed: watch::Sender::new(0), clock, job })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held leaves plain data behind; the job goes on.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.version += 1;
        let version = inner.version;
        drop(inner);
        self.changed.send_replace(version);
    }

    /// Says in how many parts the job's own progress is counted: its tasks, and the package.
    pub(crate) fn set_parts(&self, parts: usize) {
        self.lock().parts = parts;
    }

    /// Takes a new state of a subject. A state after a terminal one is dropped; after the job's own end everything is.
    pub(crate) fn state(&self, subject: &Subject, state: ExportState, message: Option<String>, failure: Option<Failure>) {
        let mut inner = self.lock();
        if inner.closed || inner.states.get(subject).is_some_and(|s| s.is_terminal() || *s == state) {
            return;
        }
        inner.states.insert(subject.clone(), state);
        let progress = inner.progress.get(subject).map(|(_, p)| *p);
        inner.closed = subject.kind == SubjectKind::Job && state.is_terminal();
        let time = self.clock.now_ms();
        let severity = match (&failure, state) {
            (None, _) => MessageSeverity::Info,
            (Some(_), ExportState::Failed) => MessageSeverity::Error,
            (Some(_), _) => MessageSeverity::Warning,
        };
        let subject = subject.clone();
        inner.log.push(StatusMessage { time, subject, state, progress, message, severity, failure, ..blank(&self.job) });
        self.announce(inner);
    }

    /// Takes a note on a subject that is not at its end.
    pub(crate) fn note(&self, subject: &Subject, message: String, severity: MessageSeverity, source: MessageSource) {
        let mut inner = self.lock();
        let state = inner.states.get(subject).copied().unwrap_or(ExportState::NotStarted);
        if inner.closed || state.is_terminal() || inner.notes >= MAX_NOTES {
            return;
        }
        inner.notes += 1;
        let time = self.clock.now_ms();
        let (subject, message) = (subject.clone(), Some(shortened(message, LONGEST_MESSAGE)));
        inner.log.push(StatusMessage { time, subject, state, message, severity, source, ..blank(&self.job) });
        self.announce(inner);
    }

    /// Takes progress of a subject; one that falls behind is dropped.
    pub(crate) fn progress(&self, subject: &Subject, progress: Progress) {
        let mut inner = self.lock();
        if inner.closed || inner.states.get(subject).is_some_and(|s| s.is_terminal()) {
            return;
        }
        let version = inner.version + 1;
        match inner.progress.get(subject) {
            Some((_, old)) if *old == progress => return,
            Some((_, old)) if old.completed > progress.completed => return,
            _ => {}
        }
        inner.progress.insert(subject.clone(), (version, progress));
        self.announce(inner);
    }

    /// Takes how much of a part of the job (a task, or the package) is done, from 0 to 1, into the job's own per cent.
    pub(crate) fn part_done(&self, part: &str, fraction: f64) {
        let percent = {
            let mut inner = self.lock();
            let known = inner.tasks.entry(part.to_owned()).or_default();
            *known = known.max(fraction);
            let parts = inner.parts.max(1) as f64;
            (inner.tasks.values().sum::<f64>() / parts * 100.0).clamp(0.0, 100.0) as u64
        };
        self.progress(&self.job, Progress::percent(percent));
    }

    /// A new reader, from the first message on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> StatusStream {
        StatusStream { board: Arc::clone(self), changed: self.changed.subscribe(), at: 0, seen: 0, seq: 0 }
    }
}

/// A message on a subject that says nothing yet.
fn blank(subject: &Subject) -> StatusMessage {
    StatusMessage {
        seq: 0,
        time: 0,
        subject: subject.clone(),
        state: ExportState::NotStarted,
        progress: None,
        message: None,
        severity: MessageSeverity::Info,
        source: MessageSource::Client,
        failure: None,
    }
}

/// The story of a job, from its start, in order.
///
/// Life-cycle messages are never lost; progress is the latest at the time of reading. `seq` rises by one. The job's own
/// terminal message is the last, then [`StatusStream::next`] answers `None`. A slow reader delays nobody.
#[derive(Debug)]
pub struct StatusStream {
    board: Arc<StatusBoard>,
    changed: watch::Receiver<u64>,
    at: usize,
    seen: u64,
    seq: u64,
}

impl StatusStream {
    /// The next message, or `None` after the job's end.
    ///
    /// # Cancel safety
    /// No message is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<StatusMessage> {
        loop {
            self.changed.mark_unchanged();
            match self.try_next() {
                Some(Some(message)) => return Some(message),
                Some(None) => return None,
                None => {}
            }
            // The board outlives the stream, so the sender is there.
            self.changed.changed().await.ok()?;
        }
    }

    /// `Some(None)` at the end, `None` when there is nothing new yet.
    fn try_next(&mut self) -> Option<Option<StatusMessage>> {
        let inner = self.board.lock();
        if let Some(message) = inner.log.get(self.at).cloned() {
            drop(inner);
            self.at += 1;
            return Some(Some(self.numbered(message)));
        }
        if inner.closed {
            return Some(None);
        }
        // Oldest news first; a subject at its end has its last progress in its terminal message.
        let news = inner
            .progress
            .iter()
            .filter(|(subject, (version, _))| {
                *version > self.seen && !inner.states.get(*subject).is_some_and(|s| s.is_terminal())
            })
            .min_by_key(|(_, (version, _))| *version)
            .map(|(subject, (version, progress))| (subject.clone(), *version, *progress));
        let (subject, version, progress) = news?;
        let state = inner.states.get(&subject).copied().unwrap_or(ExportState::Started);
        drop(inner);
        self.seen = version;
        let time = self.board.clock.now_ms();
        let message = StatusMessage { time, state, progress: Some(progress), ..blank(&subject) };
        Some(Some(self.numbered(message)))
    }

    fn numbered(&mut self, message: StatusMessage) -> StatusMessage {
        self.seq += 1;
        StatusMessage { seq: self.seq, ..message }
    }

    /// The same as a [`Stream`](futures_util::Stream), for combinators and server-sent events.
    pub fn into_stream(self) -> impl futures_util::Stream<Item = StatusMessage> + Send {
        futures_util::stream::unfold(self, |mut stream| async move {
            let message = stream.next().await?;
            Some((message, stream))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn layer(id: &str) -> Subject {
        Subject::layer(false, id, id)
    }

    #[tokio::test]
    async fn a_subject_ends_once_and_the_job_ends_last() {
        let job = Subject::new(SubjectKind::Job, "j", "j");
        let board = StatusBoard::new(job.clone(), Arc::new(SystemClock));
        let mut stream = board.subscribe();
        board.state(&layer("a"), ExportState::Started, None, None);
        board.progress(&layer("a"), Progress::percent(50));
        board.progress(&layer("a"), Progress::percent(40));
        board.progress(&layer("b"), Progress::percent(10));
        board.state(&layer("a"), ExportState::Succeeded, None, None);
        board.state(&layer("a"), ExportState::Failed, None, None);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(stream.next().await.expect("a message"));
        }
        board.state(&job, ExportState::Succeeded, None, None);
        board.state(&layer("b"), ExportState::Succeeded, None, None);
        while let Some(message) = stream.next().await {
            all.push(message);
        }
        let words: Vec<_> = all.iter().map(|m| (m.seq, m.subject.id.as_str(), m.state)).collect();
        use ExportState::{Started, Succeeded};
        assert_eq!(words, [(1, "a", Started), (2, "a", Succeeded), (3, "b", Started), (4, "j", Succeeded)]);
        assert_eq!(all[1].progress.map(|p| p.completed), Some(50));
    }
}
