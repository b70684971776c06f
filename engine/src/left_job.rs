//! A job that did not finish, as what it left beside its destination tells.

use crate::job::JobDocument;
use crate::ledger::{Ledger, TaskState, UnitState};
use crate::work_dir::{Leftover, WorkDir};
use offmap_disk::run_blocking;
use offmap_model::{ExportState, ExportTask, Failure, JobSnapshot, JobState, LayerSnapshot, Progress};

impl Leftover {
    /// The job as its ledger tells it: `suspended` with its layers, or `running` without them while a process holds it. Its progress counts
    /// units of work.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    pub async fn left_job(&self) -> Result<JobSnapshot, Failure> {
        let title = self.destination.file_name().unwrap_or_default().to_string_lossy();
        let state = if self.in_use { JobState::Running } else { JobState::Suspended };
        let mut job = JobSnapshot::new("", "", &title, state, self.destination.clone(), 0);
        (job.is_kept, job.bytes) = (true, None);
        if self.in_use || !self.can_resume {
            job.is_kept = self.can_resume;
            return Ok(job);
        }
        let destination = self.destination.clone();
        let work_dir = run_blocking(move || WorkDir::open(&destination)).await?;
        let ledger = Ledger::open(&work_dir.ledger()).await?;
        if let Some(document) = ledger.get::<String>("document").await? {
            let document = JobDocument::read(&document)?;
            job.id = document.id;
            if let Some(item) = document.source.item {
                job.title = item.title;
            }
        }
        let Some(plan) = ledger.plan().await? else { return Ok(job) };
        let (mut done, mut all) = (0, 0);
        for task in &plan.tasks {
            let (layers, finished) = layers_of(&ledger, task).await?;
            (done, all) = (done + finished, all + task.units.len());
            job.layers.extend(layers);
        }
        for skipped in plan.skipped {
            let mut layer = LayerSnapshot::new(skipped.id, skipped.title, skipped.is_table, ExportState::Skipped, None);
            layer.failure = skipped.failure;
            job.layers.push(layer);
        }
        job.layers.sort_by(|a, b| a.id.cmp(&b.id));
        job.progress = Some(percent(done, all));
        Ok(job)
    }
}

fn percent(done: usize, all: usize) -> Progress {
    Progress::percent((done * 100 / all.max(1)) as u64)
}

/// The layers of a task, and how many of its units are finished.
async fn layers_of(ledger: &Ledger, task: &ExportTask) -> Result<(Vec<LayerSnapshot>, usize), Failure> {
    let own = ledger.task(&task.id);
    let (state, failure) = match own.state().await? {
        TaskState::Planned => (ExportState::NotStarted, None),
        TaskState::Started => (ExportState::Started, None),
        TaskState::Finished(_) => (ExportState::Succeeded, None),
        TaskState::Failed(failure) => (ExportState::Failed, failure),
    };
    let finished = own.units().await?.iter().filter(|unit| unit.state == UnitState::Finished).count();
    let progress = Some(percent(finished, task.units.len()));
    let layer = |layer: &offmap_model::TaskLayer| {
        let mut seen = LayerSnapshot::new(layer.id.clone(), layer.title.clone(), layer.is_table, state, progress);
        seen.failure.clone_from(&failure);
        seen
    };
    Ok((task.layers.iter().map(layer).collect(), finished))
}
