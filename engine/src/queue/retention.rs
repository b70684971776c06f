//! Lets jobs go that ended long ago: at the start of the engine, when a job ends, and when the time of one is over.

use super::orchestrator::Orchestrator;
use super::retaining::signed;
use super::settings::Retention;
use crate::data_dir::packages_in;
use crate::store::JobRecord;
use offmap_disk::{run_blocking, safe_path};
use offmap_model::Failure;
use std::path::Path;
use std::sync::Arc;

/// How long until it is tried again to remove what could not be removed, in milliseconds.
const TRY_AGAIN_MS: i64 = 3_600_000;

/// Somebody removes jobs. Who comes to no end, by a panic, leaves the way free for the next one.
struct Running {
    orchestrator: Arc<Orchestrator>,
    has_ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.orchestrator.retaining().is_running = false;
        }
    }
}

impl Orchestrator {
    /// When the time of the next ended job is over.
    pub(super) fn next_retention(&self) -> Option<i64> {
        let retaining = self.retaining();
        retaining.next.filter(|_| !retaining.is_running)
    }

    /// The same, unless there is nothing to remove.
    pub(super) fn retain_if_due(self: &Arc<Self>) {
        let now = self.now();
        let is_due = {
            let retaining = self.retaining();
            let are_many = self.settings.retention.most.is_some_and(|most| retaining.ended > most);
            are_many || retaining.next.is_some_and(|next| next <= now)
        };
        if is_due {
            self.retain_soon();
        }
    }

    /// Removes what the retention lets go, some time soon.
    pub(crate) fn retain_soon(self: &Arc<Self>) {
        let Retention { longest, most } = self.settings.retention;
        if longest.is_none() && most.is_none() {
            return;
        }
        {
            let mut retaining = self.retaining();
            retaining.is_asked = true;
            if std::mem::replace(&mut retaining.is_running, true) {
                return;
            }
        }
        let running = Running { orchestrator: Arc::clone(self), has_ended: false };
        let work = async move {
            let mut running = running;
            running.orchestrator.remove_outlived().await;
            running.has_ended = true;
        };
        self.resources.tracker.spawn_on(work, &self.resources.runtime);
    }

    async fn remove_outlived(self: &Arc<Self>) {
        loop {
            {
                let mut retaining = self.retaining();
                if !std::mem::take(&mut retaining.is_asked) || self.is_closed() {
                    // Who asks from now on begins anew.
                    retaining.is_running = false;
                    break;
                }
                retaining.next = None;
            }
            let next = match self.apply_retention().await {
                Ok(next) => next,
                Err(failure) => {
                    tracing::warn!(%failure, "ended jobs cannot be listed");
                    Some(self.now().saturating_add(TRY_AGAIN_MS))
                }
            };
            let mut retaining = self.retaining();
            retaining.next = [retaining.next, next].into_iter().flatten().min();
        }
        // The timer did not look at the time of the next one meanwhile.
        self.wake.notify_one();
    }

    /// Removes what the retention lets go; answers when the next one is to go. A package that cannot be removed keeps its job.
    async fn apply_retention(self: &Arc<Self>) -> Result<Option<i64>, Failure> {
        let Retention { longest, most } = self.settings.retention;
        let before = longest.map(|l| self.now().saturating_sub(signed(l)));
        let (mut after, mut kept) = (0, false);
        loop {
            let outlived = self.store.outlived(before, most, after).await?;
            let Some(last) = outlived.last() else { break };
            after = last.seq;
            for record in outlived {
                if self.is_closed() {
                    return Ok(None);
                }
                match self.let_go(&record).await {
                    Ok(is_done) => kept |= !is_done,
                    Err(failure) => {
                        kept = true;
                        tracing::warn!(job = record.order.id, %failure, "an ended job cannot be removed");
                    }
                }
            }
        }
        // One that ends from now on is counted once more at the most.
        self.retaining().ended = 0;
        let ended = self.store.count_ended().await?;
        // Those that are kept are no reason to look again with each end.
        self.retaining().ended += most.filter(|_| kept).map_or(ended, |most| ended.min(most));
        let first = match longest {
            Some(longest) => self.store.first_ended().await?.map(|ended| ended.saturating_add(signed(longest))),
            None => None,
        };
        let again = self.now().saturating_add(TRY_AGAIN_MS);
        Ok(if kept { Some(first.map_or(again, |first| first.max(again))) } else { first })
    }

    /// Removes an ended job with its package and the work that it keeps. One that somebody does something with stays; this answers
    /// `false` then.
    async fn let_go(self: &Arc<Self>, record: &JobRecord) -> Result<bool, Failure> {
        let Some(held) = self.try_hold(&record.order.id) else { return Ok(false) };
        // It may have been another one until it was held.
        let now = self.store.record(held.id()).await?;
        let is_same = |now: &JobRecord| {
            (now.seq, now.updated, now.order.is_owned) == (record.seq, record.updated, record.order.is_owned)
                && now.state.is_terminal()
        };
        if !now.as_ref().is_some_and(is_same) {
            // Who changed it said when it is looked at again.
            return Ok(true);
        }
        // Nobody would know any more of what it left on the services.
        if record.is_kept {
            self.cleaned_up(record).await?;
        }
        if let Some(name) = record.order.destination.file_name().filter(|_| record.order.is_owned)
            && let Some(data_dir) = self.settings.data_dir.clone()
            && record.order.destination.parent() == Some(&packages_in(&data_dir))
        {
            let name = name.to_owned();
            run_blocking(move || {
                let root = packages_in(&data_dir);
                match safe_path::remove_tree(&root, Path::new(&name)) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        Err(safe_path::judged("cannot remove a package", &e))
                    }
                    _ => Ok(()),
                }
            })
            .await?;
        }
        self.store.remove(record).await.map(|_| true)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use crate::testing::{Act, PlainPackager, Script, ScriptedExporter, scripted_map};
    use crate::{Engine, Order};
    use offmap_model::{AreaOfInterest, GenerateOfflineMapParameters, JobState, OfflineMapSource};
    use std::time::Duration;

    #[tokio::test]
    async fn an_ended_job_is_in_one_hand_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let builder = Engine::builder(PlainPackager).exporter(ScriptedExporter).expect("registers");
        let engine = builder.data_dir(dir.path()).start().expect("starts");
        let area = AreaOfInterest::from_numbers("7,46,8,47").expect("an area");
        let layers = [("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Fail))];
        let order =
            Order::new(OfflineMapSource::from_web_map(scripted_map(layers)), GenerateOfflineMapParameters::new(area));
        let job = engine.submit(order).await.expect("is taken");
        let package = job.result().await.expect("a package").package;
        let orchestrator = engine.orchestrator();
        let held = orchestrator.hold(job.id()).await.expect("is stored").expect("has ended");
        let record = orchestrator.known(job.id()).await.expect("is there");
        let again = job.clone();
        let retry = tokio::spawn(async move { again.retry().await });
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!retry.is_finished(), "somebody else has it");
        assert!(!orchestrator.let_go(&record).await.expect("stays"));
        assert!(package.is_dir());
        drop(held);
        retry.await.expect("no panic").expect("runs again");
        orchestrator.let_go(&record).await.expect("stays");
        // This packager completes nothing, so that the retry fails; the package stays as it is.
        job.result().await.expect_err("cannot be completed");
        assert_eq!(job.snapshot().await.expect("it stays").state, JobState::Failed);
        orchestrator.let_go(&record).await.expect("stays");
        assert!(package.is_dir(), "it changed since");
        job.take_over().await.expect("is the host's");
        let record = orchestrator.known(job.id()).await.expect("is there");
        orchestrator.let_go(&record).await.expect("goes");
        job.snapshot().await.expect_err("it is gone");
        assert!(package.is_dir(), "it is the host's");
        engine.shutdown().await.expect("shuts down");
    }
}
