//! Runs a job, from its permit to its package.

use super::prepared::{PreparedJob, ResumeState, begin};
use super::state::{JobInner, JobResult, StartMode};
use super::{complete, resume};
use crate::actor::{JobEnd, JobSupervisor};
use crate::export::{JobShared, begin_anew, begin_changed, make_dirs, rollback_all};
use crate::exporter::PlanContext;
use crate::ledger::TaskState;
use crate::{basemap, disk_space};
use actix::Actor as _;
use offmap_disk::run_blocking;
use offmap_model::{
    ExportState, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapResult, JobError, MessageSeverity,
    MessageSource, Subject,
};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::Instrument as _;

/// The whole job. Runs on the host's runtime.
pub(crate) async fn run(job: Arc<JobInner>) -> JobResult {
    let span = tracing::info_span!("job", job = job.id);
    // Boxed: what is instrumented is moved.
    Box::pin(whole(job)).instrument(span).await
}

async fn whole(job: Arc<JobInner>) -> JobResult {
    let engine = &job.engine;
    job.event_log.state(&job.subject, ExportState::Started, None, None);
    tokio::select! {
        biased;
        () = job.cancel.cancelled() => return Err(Failure::cancelled().into()),
        () = job.pause.passed() => {}
    }
    let document = job.document()?;
    let ctx = PlanContext::new(job.cancel.clone(), Arc::clone(&engine.clock), job.secrets.clone(), job.session.clone());
    let found = match job.start_mode {
        StartMode::Fresh => begin(&job, &document, &ctx).await?,
        StartMode::Resumed => resume::resumed(&job, &ctx).await?,
        StartMode::Completing => complete::completing(&job, &document, &ctx).await?,
        StartMode::Finished => resume::finished_before(&job, &ctx).await?,
    };
    let prepared = match found {
        ResumeState::Finished(result) => return Ok(result),
        ResumeState::PreparedJob(prepared) => *prepared,
    };
    let PreparedJob { mut plan, basemap, work_dir, ledger, replaces, changed } = prepared;
    plan.warnings.extend(basemap.as_ref().and_then(|b| basemap::uncovered(b, &job.parameters.area_of_interest)));
    let closing = ledger.clone();
    let result = match check_space(work_dir.path(), plan.bytes()).await {
        Ok(warning) => {
            plan.warnings.extend(warning);
            let shared = JobShared { basemap, document, replaces, ..job.shared(plan, ledger, work_dir.path()) };
            export_and_pack(&job, &Arc::new(shared), &changed).await
        }
        Err(failure) => Err(JobError { can_resume: job.keeps_after(&failure), ..failure.into() }),
    };
    // What was decided is done, whatever is said of the work since: it may be rolled back already.
    if result.as_ref().is_err_and(|error| error.can_resume) {
        // Who opens the directory next finds its ledger closed.
        closing.close().await;
        return result;
    }
    closing.close_to_remove().await;
    // A finished job leaves nothing beside its package. Removing can take long, so it is done off the async threads.
    if let Err(failure) = run_blocking(move || work_dir.remove()).await {
        tracing::warn!(%failure, "the job's work directory could not be removed");
    }
    result
}

async fn check_space(work_dir: &Path, needed: offmap_model::ByteRange) -> Result<Option<String>, Failure> {
    let place = work_dir.to_owned();
    run_blocking(move || disk_space::check(&place, needed)).await
}

/// Runs all tasks, then the packager. A failure says whether the work is kept; it is decided here, once.
async fn export_and_pack(job: &JobInner, shared: &Arc<JobShared>, changed: &[usize]) -> JobResult {
    let ended = match supervised(job, shared, changed).await {
        Ok(ended) => ended,
        Err(failure) => JobEnd { outcome: Err(failure), layers: Vec::new(), warnings: Vec::new(), unchanged: false },
    };
    let JobEnd { outcome, layers, warnings, unchanged } = ended;
    let can_resume = outcome.as_ref().is_err_and(|failure| job.keeps_after(failure));
    // What was made on services for a package that nobody will make.
    if unchanged || (outcome.is_err() && !can_resume) {
        rollback_all(shared).await;
    }
    match outcome {
        Ok(packed) => Ok(GenerateOfflineMapResult { package: packed.path, bytes: packed.bytes, layers, warnings }),
        Err(failure) => Err(JobError { can_resume, failure, layers }),
    }
}

/// Says what is to be done, and has it done.
async fn supervised(job: &JobInner, shared: &Arc<JobShared>, changed: &[usize]) -> Result<JobEnd, Failure> {
    for warning in &shared.plan.warnings {
        job.event_log.note(&job.subject, warning.clone(), MessageSeverity::Warning, MessageSource::Client);
    }
    shared.event_log.set_parts(shared.plan.tasks.len() + 1);
    match job.start_mode {
        StartMode::Resumed => begin_again(job, shared, changed).await?,
        StartMode::Fresh => {
            let dirs = Arc::clone(shared);
            run_blocking(move || make_dirs(&dirs)).await?;
        }
        StartMode::Completing | StartMode::Finished => {}
    }
    for layer in shared.plan.tasks.iter().flat_map(|task| &task.layers) {
        let subject = Subject::layer(layer.is_table, &layer.id, &layer.title);
        job.event_log.state(&subject, ExportState::NotStarted, None, None);
    }
    supervise(job, shared).await
}

/// Starts the job's supervisor and waits for its end.
async fn supervise(job: &JobInner, shared: &Arc<JobShared>) -> Result<JobEnd, Failure> {
    let (sender, end) = oneshot::channel();
    let supervised = Arc::clone(shared);
    job.engine.actors.spawn(move || {
        JobSupervisor::new(supervised, sender).start();
    })?;
    end.await.map_err(|_| {
        // Children that still run are told to stop; the supervisor is gone and nobody else would.
        shared.stop.cancel();
        Failure::new(
            FailureOwner::Engine,
            FailureKind::Panicked,
            FailureStage::Run,
            "the job's supervisor ended without a word; this is a bug in offmap",
        )
    })
}

/// Tasks of a job that is resumed begin anew where their data changed, or where they failed of themselves.
async fn begin_again(job: &JobInner, shared: &Arc<JobShared>, changed: &[usize]) -> Result<(), Failure> {
    let changed: HashSet<usize> = changed.iter().copied().collect();
    for (index, task) in shared.plan.tasks.iter().enumerate() {
        let state = shared.ledger.task(&task.id).state().await?;
        if !changed.contains(&index) {
            if begins_anew(&state) {
                begin_anew(shared, task).await?;
            }
            continue;
        }
        if state != TaskState::Planned {
            let words = format!("the data of \"{}\" changed since; they are fetched again", task.title);
            job.event_log.note(&job.subject, words, MessageSeverity::Warning, MessageSource::Client);
        }
        begin_changed(shared, task).await?;
    }
    Ok(())
}

/// Whether a task that failed begins anew when its job is resumed. One that was interrupted, by the network or the disk as well, is
/// resumed where it stopped: what runs on its service and half a file are as good as before.
fn begins_anew(state: &TaskState) -> bool {
    match state {
        TaskState::Failed(Some(failure)) => {
            !failure.is_cancelled() && !matches!(failure.owner, FailureOwner::Storage | FailureOwner::Network)
        }
        _ => false,
    }
}
