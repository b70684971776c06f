//! How the state of a job gets into the store: in the order in which it was said, and what must not be lost until it is there.

use super::entry::{Entry, Rewrite};
use super::orchestrator::Orchestrator;
use super::table::Table;
use crate::store::{Write, no_job};
use offmap_model::{Failure, StatusMessage};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait until something is written again that the store did not take, at first and at the most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// A change that is on its way into the store, with what was pending of its job.
pub(super) struct Sent {
    id: Arc<str>,
    outcome: Option<Arc<str>>,
    /// The number of its last message.
    last: u64,
    written: Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>,
}

/// The same, unless there is nothing to write.
pub(super) type Begun = Result<Option<Sent>, Failure>;

impl Orchestrator {
    /// Sends how a job is to the store, after all changes before, with all that is pending of it. The answer comes when it is written.
    /// Nothing is sent of a job that is not in the table, or not in the store yet.
    pub(super) fn begin_save(
        &self,
        table: &mut Table,
        id: &str,
        outcome: Option<Arc<str>>,
        events: Vec<StatusMessage>,
    ) -> Begun {
        let Some(entry) = table.entries.get_mut(id) else { return Ok(None) };
        let pending = &mut entry.pending;
        pending.outcome = outcome.or_else(|| pending.outcome.take());
        pending.events.extend(events);
        if !entry.is_stored {
            return Ok(None);
        }
        let (record, outcome, events) = (entry.record.clone(), pending.outcome.clone(), pending.events.clone());
        let last = events.last().map_or(0, |m| m.seq);
        let written = Box::pin(self.store.begin_write(Write { record, outcome: outcome.clone(), events })?);
        Ok(Some(Sent { id: id.into(), outcome, last, written }))
    }

    /// Waits until a change is in the store; answers whether there was one.
    pub(super) async fn await_write(&self, begun: Begun) -> Result<bool, Failure> {
        let Some(Sent { id, outcome, last, written }) = begun? else { return Ok(false) };
        written.await?;
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            entry.pending.drop_written(outcome.as_ref(), last);
        }
        Ok(true)
    }

    /// Writes how a job is into the store.
    ///
    /// # Errors
    /// If it cannot be written, and for a job that the store does not have.
    pub(super) async fn save(&self, id: &str) -> Result<(), Failure> {
        let begun = self.begin_save(&mut self.lock(), id, None, Vec::new());
        if self.await_write(begun).await? {
            return Ok(());
        }
        // One that has ended meanwhile was written with all that was said to it; one that the store refused was not.
        self.store.record(id).await?.map(drop).ok_or_else(|| no_job(id))
    }

    /// Writes a living job as it is, as soon as the store has it.
    pub(super) async fn when_stored(&self, id: &str) -> Result<(), Failure> {
        self.until(id, |entry| entry.is_none_or(|e| e.is_stored)).await;
        self.save(id).await
    }

    /// Writes a job's state some time soon.
    pub(crate) fn save_later(self: &Arc<Self>, id: &str) {
        let (this, id) = (Arc::clone(self), id.to_owned());
        let work = async move {
            if let Err(failure) = this.when_stored(&id).await {
                tracing::error!(job = id, %failure, "the state of a job cannot be stored");
            }
        };
        self.resources.tracker.spawn_on(work, &self.resources.runtime);
    }

    /// Writes how some jobs are, in one step.
    pub(super) async fn save_all(&self, ids: &[Arc<str>]) -> Result<(), Failure> {
        let begun: Vec<Begun> = {
            let mut table = self.lock();
            ids.iter().map(|id| self.begin_save(&mut table, id, None, Vec::new())).collect()
        };
        // All are on their way, whatever becomes of the first one.
        for begun in begun {
            self.await_write(begun).await?;
        }
        Ok(())
    }

    /// Waits for what must not be lost, such as an end, and is on its way into the store: where the store does not take it, this answers
    /// `false`, and it is tried again until the store does or the engine ends.
    pub(super) async fn save_surely(self: &Arc<Self>, id: &str, begun: Begun) -> bool {
        let Err(failure) = self.await_write(begun).await else { return true };
        tracing::error!(job = id, %failure, "the state of a job cannot be stored; it is tried again");
        let before = {
            let mut table = self.lock();
            table.entries.get_mut(id).map(|e| std::mem::replace(&mut e.pending.rewrite, Rewrite::Asked))
        };
        // One at a time: it writes all that is pending.
        if before == Some(Rewrite::Nobody) {
            self.resources.tracker.spawn_on(Arc::clone(self).save_again(id.into()), &self.resources.runtime);
        }
        false
    }

    async fn save_again(self: Arc<Self>, id: Arc<str>) {
        let mut wait = FIRST_WAIT;
        loop {
            let is_last = tokio::select! {
                biased;
                () = self.resources.root.cancelled() => true,
                () = self.resources.clock.sleep(wait) => false,
            };
            let begun = {
                let mut table = self.lock();
                let Some(entry) = table.entries.get_mut(&id) else { return };
                entry.pending.rewrite = Rewrite::Writing;
                self.begin_save(&mut table, &id, None, Vec::new())
            };
            match self.await_write(begun).await {
                Ok(_) if self.is_rewritten(&id) => return self.forget(&id),
                Ok(_) => wait = FIRST_WAIT,
                Err(failure) if is_last => {
                    tracing::error!(job = %id, %failure, "the state of a job is not stored");
                    return;
                }
                Err(_) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
    }

    /// Whether nothing else was refused by the store meanwhile; then nobody writes the job again any more.
    fn is_rewritten(&self, id: &str) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(id) else { return true };
        let is_done = entry.pending.rewrite != Rewrite::Asked;
        if is_done {
            entry.pending.rewrite = Rewrite::Nobody;
        }
        is_done
    }

    /// Takes a job out of the table that has ended, when the store has all of it.
    pub(super) fn forget(&self, id: &str) {
        let mut table = self.lock();
        let is_written = |e: &Entry| e.pending.outcome.is_none() && e.pending.events.is_empty();
        if table.entries.get(id).is_some_and(|e| e.record.state.is_terminal() && is_written(e)) {
            table.remove(id);
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use crate::testing::{Act, PlainPackager, Script, ScriptedExporter, VirtualClock, scripted_map};
    use crate::{Engine, Job, Order};
    use offmap_model::{AreaOfInterest, ExportState, GenerateOfflineMapParameters, JobState, OfflineMapSource};
    use std::path::Path;
    use std::time::Duration;

    fn order() -> Order {
        let area = AreaOfInterest::from_numbers("7,46,8,47").expect("an area");
        let map = OfflineMapSource::from_web_map(scripted_map([("a", Script::of(Act::Hang))]));
        Order::new(map, GenerateOfflineMapParameters::new(area))
    }

    async fn running(data: &Path) -> (Engine, Job) {
        let builder = Engine::builder(PlainPackager).exporter(ScriptedExporter).expect("registers");
        let engine = builder.clock(VirtualClock::default()).data_dir(data).concurrent_jobs(1).start().expect("starts");
        let job = engine.submit(order()).await.expect("is taken");
        let mut events = job.events(0).await.expect("events");
        while events.next().await.expect("reads").expect("a message").state != ExportState::Started {}
        (engine, job)
    }

    async fn eventually(what: &str, holds: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(tokio::time::Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn the_end_of_a_job_is_not_lost_behind_an_earlier_change_that_the_store_did_not_take() {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, job) = running(dir.path()).await;
        let orchestrator = engine.orchestrator();
        let store = &orchestrator.store;
        store.execute("ALTER TABLE job RENAME TO away").await.expect("renames");
        job.suspend().await.expect_err("is not written");
        assert_eq!(job.snapshot().await.expect("a job").state, JobState::Suspended);
        // What it left, if anything, cannot be rolled back without its document; it has ended all the same.
        drop(job.cancel().await);
        job.discard().await.expect_err("its end is not written");
        assert_eq!(job.snapshot().await.expect("a job").state, JobState::Cancelled);
        store.execute("ALTER TABLE away RENAME TO job").await.expect("renames");
        eventually("it is written", || orchestrator.lock().entries.is_empty()).await;
        let record = store.record(job.id()).await.expect("reads").expect("is there");
        assert_eq!(record.state, JobState::Cancelled);
        let outcome = store.outcome(record.seq).await.expect("reads").expect("it has an end");
        assert!(outcome.expect_err("is cancelled").failure.is_cancelled());
        let events = store.events(record.seq, 0).await.expect("reads");
        assert!(events.iter().any(|m| m.message.as_deref() == Some("suspended")), "{events:?}");
        assert_eq!(events.last().map(|m| m.state), Some(ExportState::Cancelled));
        engine.shutdown().await.expect("shuts down");
    }

    #[tokio::test]
    async fn messages_that_the_store_did_not_take_are_written_while_the_job_runs_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, job) = running(dir.path()).await;
        let store = &engine.orchestrator().store;
        store.execute("ALTER TABLE event RENAME TO away").await.expect("renames");
        job.pause().await.expect("pauses");
        // The write of its message was refused before this is answered.
        store.execute("ALTER TABLE away RENAME TO event").await.expect("renames");
        job.resume().await.expect("goes on");
        let seq = store.record(job.id()).await.expect("reads").expect("is there").seq;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !store.events(seq, 0).await.expect("reads").iter().any(|m| m.state == ExportState::Paused) {
            assert!(tokio::time::Instant::now() < deadline, "the message is in the store");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(job.snapshot().await.expect("a job").state, JobState::Running);
        engine.shutdown().await.expect("shuts down");
    }

    #[tokio::test]
    async fn a_package_that_is_taken_over_while_its_job_ends_is_the_hosts() {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, _) = running(dir.path()).await;
        // One that was not begun ends without a look into the store.
        let job = engine.submit(order()).await.expect("is taken");
        let orchestrator = engine.orchestrator();
        let stopped = orchestrator.store.stop_until_dropped();
        let ending = job.clone();
        let ending = tokio::spawn(async move { ending.cancel().await });
        let ends = |e: &crate::queue::entry::Entry| e.record.state.is_terminal();
        eventually("it ends", || orchestrator.lock().entries.get(job.id()).is_some_and(ends)).await;
        let taking = job.clone();
        let taking = tokio::spawn(async move { taking.take_over().await });
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(!taking.is_finished(), "nothing of it is written yet");
        drop(stopped);
        ending.await.expect("no panic").expect("is cancelled");
        taking.await.expect("no panic").expect("is the host's");
        let record = orchestrator.known(job.id()).await.expect("is there");
        assert_eq!((record.state, record.order.is_owned), (JobState::Cancelled, false));
        engine.shutdown().await.expect("shuts down");
    }

    #[tokio::test]
    async fn a_verb_on_a_job_that_the_store_has_and_the_engine_has_not_is_no_success() {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, job) = running(dir.path()).await;
        job.cancel().await.expect("is cancelled");
        engine.orchestrator().store.execute("UPDATE job SET state = 'queued'").await.expect("writes");
        let failure = job.cancel().await.expect_err("nothing is cancelled");
        assert!(failure.message.contains(job.id()), "{failure}");
        engine.orchestrator().save("none").await.expect_err("there is no such job");
        engine.shutdown().await.expect("shuts down");
    }
}
