//! The event log of one job: what happened, in order, and the latest progress of each subject.
//!
//! Every message has a number that is the same for every reader. Writers never wait for readers. Life-cycle messages are kept for every
//! reader; progress is overwritten by newer one, which has a number of its own: the numbers that a reader gets rise, and a number
//! that it does not get was progress that is out of date. A terminal state is
//! taken once per subject, and the job's is the last message of all: what has no end by then ends as the job does.
//!
//! Reports of progress are shown when there is something new to see: a hundredth of the whole further, or a second later. However
//! many tiles or pieces are reported, a reader gets some hundred messages; the last report is in the subject's terminal message.

use crate::shown_progress::{ALL_OF_A_PART, Known, Part};
use offmap_model::failure::{LONGEST_MESSAGE, shortened};
use offmap_model::{
    Clock, ExportState, Failure, LayerSnapshot, MessageSeverity, MessageSource, Progress, SecretRegistry, StatusMessage,
    Subject, SubjectKind,
};
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
    progress: HashMap<Subject, Known>,
    /// The subjects whose progress readers are shown, by its number.
    shown: BTreeMap<u64, Subject>,
    latest: Vec<Progress>,
    tasks: HashMap<String, Part>,
    /// The sum of what is done of them, and how many of them are estimated.
    done: u64,
    estimated: usize,
    parts: usize,
    /// Number of the last message.
    seq: u64,
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct EventLog {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    job: Subject,
    secrets: SecretRegistry,
    base: u64,
}

impl EventLog {
    /// A log whose numbers come after those of an earlier one.
    pub(crate) fn after(base: u64, job: Subject, clock: Arc<dyn Clock>, secrets: SecretRegistry) -> Arc<Self> {
        let inner = Mutex::new(Inner { seq: base, ..Inner::default() });
        Arc::new(Self { inner, changed: watch::Sender::new(base), clock, job, secrets, base })
    }

    /// The number after which its messages begin.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held leaves plain data behind; the job goes on.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, inner: MutexGuard<'_, Inner>) {
        let seq = inner.seq;
        drop(inner);
        self.changed.send_replace(seq);
    }

    /// Sets in how many parts the job's own progress is counted: its tasks, and the package.
    pub(crate) fn set_parts(&self, parts: usize) {
        self.lock().parts = parts;
    }

    /// Takes a new state of a subject. A state after a terminal one is dropped; after the job's own end everything is.
    pub(crate) fn state(&self, subject: &Subject, state: ExportState, message: Option<String>, failure: Option<Failure>) {
        let message = message.map(|m| self.secrets.scrubbed(m));
        let failure = failure.map(|f| self.secrets.failure(f));
        let mut inner = self.lock();
        if inner.closed || inner.states.get(subject).is_some_and(|s| s.is_terminal() || *s == state) {
            return;
        }
        if subject.kind == SubjectKind::Job && state.is_terminal() {
            let is_open = |s: &Subject, state: &ExportState| s.kind != SubjectKind::Job && !state.is_terminal();
            let mut open: Vec<Subject> =
                inner.states.iter().filter(|(s, state)| is_open(s, state)).map(|(s, _)| s.clone()).collect();
            open.sort();
            // Nothing succeeded that did not say so.
            let end = if state == ExportState::Cancelled { state } else { ExportState::Failed };
            for left in open {
                let failure = failure.clone().filter(|_| end == ExportState::Failed);
                self.push(&mut inner, &left, end, None, failure);
            }
            inner.closed = true;
        }
        self.push(&mut inner, subject, state, message, failure);
        self.announce(inner);
    }

    /// Takes the end of a subject: with a failure, or without one. That of a cancelled one is no news.
    pub(crate) fn ended(&self, subject: &Subject, failure: Option<&Failure>) {
        let shown = failure.filter(|f| !f.is_cancelled()).cloned();
        self.state(subject, ExportState::ended(failure), None, shown);
    }

    /// Writes a state into the log, with the latest progress of its subject.
    fn push(
        &self,
        inner: &mut Inner,
        subject: &Subject,
        state: ExportState,
        message: Option<String>,
        failure: Option<Failure>,
    ) {
        inner.states.insert(subject.clone(), state);
        if state == ExportState::Succeeded && matches!(subject.kind, SubjectKind::Job | SubjectKind::Package) {
            // Not before: with this message all is done.
            let all = Progress::percent(100);
            inner.latest.push(all);
            let at_its_end = Known { latest: inner.latest.len() - 1, shown: all, shown_at: 0, seq: 0 };
            // A reader that did not see it yet would see its end twice.
            if let Some(before) = inner.progress.insert(subject.clone(), at_its_end) {
                inner.shown.remove(&before.seq);
            }
        }
        let latest = &inner.latest;
        let progress = inner.progress.get_mut(subject).map(|known| {
            let mut last = latest.get(known.latest).copied().unwrap_or(known.shown);
            if state == ExportState::Succeeded && !last.precise {
                // Now it is known how much it was.
                last = Progress { required: last.completed, precise: true, ..last };
            }
            known.shown = last;
            (last, known.seq)
        });
        // What is at its end has its last progress in its terminal message.
        if let Some((_, seq)) = progress.filter(|_| state.is_terminal()) {
            inner.shown.remove(&seq);
        }
        let progress = progress.map(|(latest, _)| latest);
        let time = self.clock.now_ms();
        let severity = match (&failure, state) {
            (None, _) => MessageSeverity::Info,
            (Some(_), ExportState::Failed) => MessageSeverity::Error,
            (Some(_), _) => MessageSeverity::Warning,
        };
        inner.seq += 1;
        let (seq, subject) = (inner.seq, subject.clone());
        inner.log.push(StatusMessage {
            seq,
            time,
            subject,
            state,
            progress,
            message,
            severity,
            failure,
            ..blank(&self.job)
        });
    }

    /// Ends the log of a job that has not ended: it stands still, and another log goes on with it.
    pub(crate) fn rest(&self, words: String) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        inner.closed = true;
        self.push(&mut inner, &self.job, ExportState::NotStarted, Some(words), None);
        self.announce(inner);
    }

    /// The kept messages after a number, so many at the most.
    pub(crate) fn kept_after(&self, after: u64, most: usize) -> Vec<StatusMessage> {
        let inner = self.lock();
        let from = inner.log.partition_point(|m| m.seq <= after);
        inner.log.iter().skip(from).take(most).cloned().collect()
    }

    /// The same while more messages may follow; `None` from the end on, whose messages are written with what it came to.
    pub(crate) fn kept_while_open(&self, after: u64, most: usize) -> Option<Vec<StatusMessage>> {
        let inner = self.lock();
        if inner.closed {
            return None;
        }
        let from = inner.log.partition_point(|m| m.seq <= after);
        Some(inner.log.iter().skip(from).take(most).cloned().collect())
    }

    /// Whether no message follows.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Tells of every change: the number of the last message.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How far the job is, and each layer and table with its state.
    pub(crate) fn overview(&self) -> (Option<Progress>, Vec<LayerSnapshot>) {
        let inner = self.lock();
        let progress = |subject: &Subject| {
            let known = inner.progress.get(subject)?;
            Some(inner.latest.get(known.latest).copied().unwrap_or(known.shown))
        };
        let layers = inner.states.iter().filter(|(s, _)| matches!(s.kind, SubjectKind::Layer | SubjectKind::Table));
        let mut layers: Vec<LayerSnapshot> = layers
            .map(|(s, state)| {
                LayerSnapshot::new(s.id.clone(), s.title.clone(), s.kind == SubjectKind::Table, *state, progress(s))
            })
            .collect();
        layers.sort_by(|a, b| a.id.cmp(&b.id));
        (progress(&self.job), layers)
    }

    /// Takes a note on a subject that is not at its end.
    pub(crate) fn note(&self, subject: &Subject, message: String, severity: MessageSeverity, source: MessageSource) {
        let message = self.secrets.scrubbed(message);
        let mut inner = self.lock();
        let state = inner.states.get(subject).copied().unwrap_or(ExportState::NotStarted);
        if inner.closed || state.is_terminal() || inner.notes >= MAX_NOTES {
            return;
        }
        inner.notes += 1;
        let time = self.clock.now_ms();
        let (subject, message) = (subject.clone(), Some(shortened(message, LONGEST_MESSAGE)));
        inner.seq += 1;
        let seq = inner.seq;
        inner.log.push(StatusMessage { seq, time, subject, state, message, severity, source, ..blank(&self.job) });
        self.announce(inner);
    }

    /// Takes progress of a subject; one that falls behind is dropped. More than what was to be done is not done. Answers whether it
    /// was taken.
    pub(crate) fn progress(&self, subject: &Subject, progress: Progress) -> bool {
        self.progress_of(std::slice::from_ref(subject), progress)
    }

    /// Takes progress of subjects that are always reported together, such as the layers of a task: a report that shows nothing new costs
    /// the same however many they are.
    pub(crate) fn progress_of(&self, subjects: &[Subject], progress: Progress) -> bool {
        let progress = Progress { required: progress.required.max(progress.completed), ..progress };
        let now = self.clock.now_ms();
        let mut guard = self.lock();
        let inner = &mut *guard;
        let is_open = |s: &&Subject| !inner.states.get(*s).is_some_and(|state| state.is_terminal());
        let Some(first) = subjects.iter().find(is_open).filter(|_| !inner.closed) else { return false };
        let slot = match inner.progress.get(first).map(|known| (known, known.latest)) {
            Some((known, slot)) => {
                let Some(latest) = inner.latest.get_mut(slot) else { return false };
                if *latest == progress || latest.completed > progress.completed {
                    return false;
                }
                *latest = progress;
                if !known.is_news(progress, now) {
                    return true;
                }
                slot
            }
            None => {
                inner.latest.push(progress);
                inner.latest.len() - 1
            }
        };
        for subject in subjects.iter().filter(is_open) {
            // Each is news by itself.
            inner.seq += 1;
            let known = Known { latest: slot, shown: progress, shown_at: now, seq: inner.seq };
            // One clone of a subject is in both.
            let of = match inner.progress.get_mut(subject) {
                Some(before) => inner.shown.remove(&std::mem::replace(before, known).seq),
                None => {
                    inner.progress.insert(subject.clone(), known);
                    None
                }
            };
            inner.shown.insert(known.seq, of.unwrap_or_else(|| subject.clone()));
        }
        self.announce(guard);
        true
    }

    /// Takes how much of a part of the job (a task, or the package) is done into the job's own per cent. The last hundredth is the
    /// job's end.
    pub(crate) fn part_done(&self, part: &str, fraction: f64, precise: bool) {
        let progress = {
            let mut guard = self.lock();
            let inner = &mut *guard;
            let done = (fraction.clamp(0.0, 1.0) * ALL_OF_A_PART as f64).round() as u64;
            let before = inner.tasks.get(part).copied().unwrap_or(Part { done: 0, precise: true });
            let after = Part { done: before.done.max(done), precise };
            match inner.tasks.get_mut(part) {
                Some(known) => *known = after,
                None => drop(inner.tasks.insert(part.to_owned(), after)),
            }
            inner.done = inner.done - before.done + after.done;
            inner.estimated = inner.estimated + usize::from(!precise) - usize::from(!before.precise);
            let percent = inner.done / (inner.parts.max(1) as u64 * (ALL_OF_A_PART / 100));
            Progress { precise: inner.estimated == 0, ..Progress::percent(percent.min(99)) }
        };
        self.progress(&self.job, progress);
    }

    /// What a reader of the messages up to a number reads next: `Some(None)` at the end, `None` when there is nothing new yet.
    pub(crate) fn next_after(&self, seen: u64) -> Option<Option<StatusMessage>> {
        let inner = self.lock();
        let kept = inner.log.get(inner.log.partition_point(|m| m.seq <= seen));
        let before = kept.map_or(u64::MAX, |m| m.seq);
        let news = inner.shown.range(seen + 1..).next().filter(|(seq, _)| **seq < before && !inner.closed);
        if let Some((subject, known)) = news.and_then(|(_, subject)| Some((subject, inner.progress.get(subject)?))) {
            let state = inner.states.get(subject).copied().unwrap_or(ExportState::Started);
            let message = StatusMessage { state, progress: Some(known.shown), ..blank(subject) };
            return Some(Some(StatusMessage { seq: known.seq, time: known.shown_at, ..message }));
        }
        match kept {
            Some(message) => Some(Some(message.clone())),
            None if inner.closed => Some(None),
            None => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::SystemClock;

    fn layer(id: &str) -> Subject {
        Subject::layer(false, id, id)
    }

    #[tokio::test]
    async fn a_reader_that_comes_late_sees_the_end_of_the_package_once() {
        let job = Subject::new(SubjectKind::Job, "j", "j");
        let package = Subject::new(SubjectKind::Package, "package", "p");
        let event_log = EventLog::after(0, job.clone(), Arc::new(SystemClock), SecretRegistry::default());
        let mut stream = event_log.reader();
        assert!(event_log.progress(&job, Progress::percent(40)) && event_log.progress(&package, Progress::percent(50)));
        event_log.state(&package, ExportState::Succeeded, None, None);
        let mut seen = Vec::new();
        while let Some(Some(message)) = stream.try_next() {
            seen.push((message.subject.kind, message.state, message.seq));
        }
        let (started, ended) = (ExportState::Started, ExportState::Succeeded);
        assert_eq!(seen, [(SubjectKind::Job, started, 1), (SubjectKind::Package, ended, 3)]);
        event_log.state(&job, ExportState::Succeeded, None, None);
        let last = stream.next().await.expect("its end");
        assert_eq!((last.subject.kind, last.seq, stream.next().await), (SubjectKind::Job, 4, None));
    }

    #[tokio::test]
    async fn layers_that_are_reported_together_are_shown_each_and_end_with_the_last_report() {
        let job = Subject::new(SubjectKind::Job, "j", "j");
        let event_log = EventLog::after(0, job, Arc::new(SystemClock), SecretRegistry::default());
        let mut stream = event_log.reader();
        let layers = [layer("a"), layer("b"), layer("c")];
        let bytes = |completed| Progress::bytes(completed, Some(10_000));
        event_log.state(&layers[0], ExportState::Failed, None, None);
        assert!(event_log.progress_of(&layers, bytes(5_000)));
        assert!(event_log.progress_of(&layers, bytes(5_001)), "it is taken, and no news");
        assert!(!event_log.progress_of(&layers, bytes(4_000)) && !event_log.progress_of(&layers, bytes(5_001)));
        let mut shown = Vec::new();
        for _ in 0..3 {
            let message = stream.next().await.expect("a message");
            shown.push((message.subject.id, message.progress.map(|p| p.completed)));
        }
        let expected = [("a", None), ("b", Some(5_000)), ("c", Some(5_000))];
        assert_eq!(shown, expected.map(|(id, completed)| (id.to_owned(), completed)));
        event_log.state(&layers[1], ExportState::Succeeded, None, None);
        let last = stream.next().await.expect("its end");
        assert_eq!((last.subject.id.as_str(), last.progress), ("b", Some(bytes(5_001))));
        assert!(!event_log.progress_of(&[], bytes(1)), "nobody to report on");
    }

    #[test]
    fn the_per_cent_of_a_job_is_the_sum_of_its_parts_however_often_they_are_reported() {
        let job = Subject::new(SubjectKind::Job, "j", "j");
        let event_log = EventLog::after(0, job.clone(), Arc::new(SystemClock), SecretRegistry::default());
        event_log.set_parts(10);
        let percent = || {
            let inner = event_log.lock();
            let known = inner.progress.get(&job).expect("a report");
            inner.latest[known.latest]
        };
        for step in 0..=1000 {
            for part in ["a", "b", "c"] {
                event_log.part_done(part, f64::from(step) / 1000.0, part != "c");
            }
        }
        assert_eq!((percent().completed, percent().precise), (30, false));
        event_log.part_done("c", 0.5, true);
        assert_eq!((percent().completed, event_log.lock().estimated), (30, 0), "what is done stays done");
    }

    #[tokio::test]
    async fn a_subject_ends_once_and_the_job_ends_last() {
        let job = Subject::new(SubjectKind::Job, "j", "j");
        let event_log = EventLog::after(0, job.clone(), Arc::new(SystemClock), SecretRegistry::default());
        let mut stream = event_log.reader();
        event_log.state(&layer("a"), ExportState::Started, None, None);
        event_log.progress(&layer("a"), Progress::percent(50));
        event_log.progress(&layer("a"), Progress::percent(40));
        event_log.progress(&layer("b"), Progress::percent(10));
        event_log.state(&layer("a"), ExportState::Succeeded, None, None);
        event_log.state(&layer("a"), ExportState::Failed, None, None);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(stream.next().await.expect("a message"));
        }
        event_log.state(&job, ExportState::Succeeded, None, None);
        event_log.state(&layer("b"), ExportState::Succeeded, None, None);
        while let Some(message) = stream.next().await {
            all.push(message);
        }
        let words: Vec<_> = all.iter().map(|m| (m.seq, m.subject.id.as_str(), m.state)).collect();
        use ExportState::{Started, Succeeded};
        assert_eq!(words, [(1, "a", Started), (3, "b", Started), (4, "a", Succeeded), (5, "j", Succeeded)]);
        assert_eq!(all[2].progress.map(|p| p.completed), Some(50));
    }

    #[tokio::test]
    async fn what_has_no_end_ends_with_the_job() {
        let job = Subject::new(SubjectKind::Job, "j", "j");
        for (end, expected) in [
            (ExportState::Failed, ExportState::Failed),
            (ExportState::Succeeded, ExportState::Failed),
            (ExportState::Cancelled, ExportState::Cancelled),
        ] {
            let event_log = EventLog::after(0, job.clone(), Arc::new(SystemClock), SecretRegistry::default());
            event_log.state(&layer("a"), ExportState::NotStarted, None, None);
            event_log.state(&layer("b"), ExportState::Succeeded, None, None);
            event_log.state(&layer("c"), ExportState::Started, None, None);
            event_log.state(&job, end, None, None);
            let mut stream = event_log.reader();
            let mut ends = Vec::new();
            while let Some(message) = stream.next().await {
                ends.extend(message.state.is_terminal().then_some((message.subject.id, message.state)));
            }
            let words: Vec<_> = ends.iter().map(|(id, state)| (id.as_str(), *state)).collect();
            assert_eq!(words, [("b", ExportState::Succeeded), ("a", expected), ("c", expected), ("j", end)]);
        }
    }

    #[tokio::test]
    async fn reports_are_shown_by_hundredths_and_by_seconds() {
        let clock = Arc::new(Hands(std::sync::atomic::AtomicI64::new(0)));
        let job = Subject::new(SubjectKind::Job, "j", "j");
        let event_log = EventLog::after(0, job, Arc::clone(&clock) as Arc<dyn Clock>, SecretRegistry::default());
        let mut stream = event_log.reader();
        let mut shown = |completed: u64, seconds: i64| {
            clock.0.fetch_add(seconds * 1000, std::sync::atomic::Ordering::AcqRel);
            event_log.progress(&layer("a"), Progress::bytes(completed, Some(10_000)));
            stream.try_next().flatten().and_then(|m| m.progress).map(|p| p.completed)
        };
        assert_eq!(shown(1, 0), Some(1));
        assert_eq!(shown(99, 0), None);
        assert_eq!(shown(101, 0), Some(101));
        assert_eq!(shown(102, 1), Some(102), "a slow one is seen to move");
        assert_eq!(shown(50, 5), None, "never falls");
        assert_eq!(shown(9_990, 0), Some(9_990));
        assert_eq!(shown(10_000, 0), Some(10_000), "all of it is always shown");
    }

    /// A clock that a test moves.
    #[derive(Debug)]
    struct Hands(std::sync::atomic::AtomicI64);

    #[async_trait::async_trait]
    impl Clock for Hands {
        fn now_ms(&self) -> i64 {
            self.0.load(std::sync::atomic::Ordering::Acquire)
        }

        async fn sleep(&self, _: std::time::Duration) {}
    }
}
