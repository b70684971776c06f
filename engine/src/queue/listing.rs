//! How the jobs of an engine are seen: one, many, and how one ended.

use super::entry::Entry;
use super::events::JobEvents;
use super::orchestrator::Orchestrator;
use crate::job::JobResult;
use crate::store::{JobRecord, ended, no_job};
use offmap_model::{Failure, JobError, JobFilter, JobPage, JobSnapshot, JobState};
use std::sync::Arc;

/// A living job as it is.
fn seen(entry: &Entry, position: Option<u64>) -> JobSnapshot {
    let (mut progress, mut layers) = (None, Vec::new());
    if let Some(inner) = entry.live() {
        (progress, layers) = inner.event_log.overview();
    }
    let mut snapshot = entry.record.snapshot(layers);
    (snapshot.progress, snapshot.queue_position) = (progress, position);
    snapshot
}

impl Orchestrator {
    /// The record of a job in the store.
    pub(super) async fn known(&self, id: &str) -> Result<JobRecord, Failure> {
        self.store.record(id).await?.ok_or_else(|| no_job(id))
    }

    /// A job as it is.
    pub(crate) async fn snapshot(&self, id: &str) -> Result<JobSnapshot, Failure> {
        // The last change of one that has just ended is on its way into the store.
        self.until(id, |entry| entry.is_none_or(|e| !e.record.state.is_terminal() || e.unsaved.is_some())).await;
        {
            let table = self.lock();
            if let Some(entry) = table.entries.get(id) {
                return Ok(match &entry.unsaved {
                    Some(result) => ended(&entry.record, Some(result)),
                    None => seen(entry, table.before(&entry.record)),
                });
            }
        }
        let record = self.known(id).await?;
        self.store.ended_job(&record).await
    }

    /// Jobs, the latest first.
    pub(crate) async fn list(&self, filter: &JobFilter, after: Option<u64>, most: u32) -> Result<JobPage, Failure> {
        // What was said before is written before.
        let mut page = self.store.page(filter, after, most).await?;
        let queued = page.jobs.iter().filter(|job| job.state == JobState::Queued).map(|job| job.id.as_str());
        let positions = self.lock().positions(queued);
        for job in page.jobs.iter_mut().filter(|job| job.state == JobState::Queued) {
            job.queue_position = positions.get(job.id.as_str()).copied();
        }
        Ok(page)
    }

    /// The messages of a job after a number.
    pub(crate) async fn events(self: &Arc<Self>, id: &str, after: u64) -> Result<JobEvents, Failure> {
        let living = self.lock().entries.get(id).map(|e| e.record.seq);
        let seq = match living {
            Some(seq) => seq,
            None => self.known(id).await?.seq,
        };
        Ok(JobEvents::new(Arc::clone(self), id.to_owned(), seq, after))
    }

    /// Waits for the end of a job; answers how it ended.
    pub(crate) async fn ended(&self, id: &str) -> JobResult {
        self.until(id, |entry| entry.is_none_or(|e| e.unsaved.is_some())).await;
        if let Some(entry) = self.lock().entries.get(id) {
            // Else the engine has ended; the next one goes on with the job.
            let goes_on = || Err(JobError { can_resume: true, ..Failure::cancelled().into() });
            return entry.unsaved.as_deref().cloned().unwrap_or_else(goes_on);
        }
        let record = self.known(id).await?;
        let cut = || Failure::internal(format!("the job {id} has no end"));
        self.store.outcome(record.seq).await?.ok_or_else(cut)?
    }

    /// The package of a job is the host's from now on: no retention removes it.
    pub(crate) async fn take_over(self: &Arc<Self>, id: &str) -> Result<(), Failure> {
        loop {
            self.until(id, |entry| entry.is_none_or(|e| e.is_stored)).await;
            let begun = {
                let mut table = self.lock();
                match table.entries.get_mut(id).filter(|e| !e.record.state.is_terminal()) {
                    Some(entry) if !entry.is_stored => {
                        return Err(Failure::internal("the engine is shut down; make a new one"));
                    }
                    // Under one lock: what is said of it is written before the job can be forgotten.
                    Some(entry) => {
                        Arc::make_mut(&mut entry.record.order).is_owned = false;
                        Some(self.begin_save(&mut table, id, None, Vec::new()))
                    }
                    // The end of a job that ends is on its way without this.
                    None => None,
                }
            };
            if let Some(begun) = begun {
                return self.await_write(begun).await.map(drop);
            }
            if let Some(held) = self.hold(id).await? {
                let record = self.known(held.id()).await?;
                return self.store.hand_over(record.seq).await;
            }
        }
    }
}
