//! Runs one exporter on the Tokio runtime and verifies what it answers.

use super::finished::finished_before;
use super::grace::to_the_end;
use super::job_shared::{JobShared, TASKS};
use super::{contents, verify};
use crate::context::ExportContext;
use crate::metrics;
use crate::permits::ExportPermit;
use offmap_disk::{run_blocking, safe_path};
use offmap_model::{Artifact, ExportTask, Failure, FailureKind, FailureOwner, FailureStage};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Runs the task, notes its end in the ledger, and hands on only what is verified.
pub(crate) async fn run(shared: Arc<JobShared>, index: usize, permit: Arc<ExportPermit>) -> Result<Artifact, Failure> {
    let Some(task) = shared.plan.tasks.get(index) else {
        return Err(Failure::internal(format!("there is no task {index} in the plan")));
    };
    let (id, exporter, layers) = (task.id.as_str(), task.exporter.as_str(), task.layers.len());
    let span = tracing::info_span!(parent: &shared.span, "task", task = id, exporter, layers);
    run_task(&shared, (index, task), permit).instrument(span).await
}

async fn run_task(
    shared: &Arc<JobShared>,
    (index, task): (usize, &ExportTask),
    permit: Arc<ExportPermit>,
) -> Result<Artifact, Failure> {
    let ledger = shared.ledger.task(&task.id);
    let begins = !task.carried && (shared.is_fresh || start_planned(shared, index).await?);
    if !begins {
        if let Some(artifact) = finished_before(shared, task).await? {
            return Ok(artifact);
        }
        if task.carried {
            let message = format!("what was carried over of \"{}\" is not there any more", task.title);
            return Err(Failure::new(FailureOwner::Caller, FailureKind::Corrupt, FailureStage::Check, message));
        }
        ledger.start().await?;
        let again = Arc::clone(shared);
        run_blocking(move || make_dir(&again, index)).await?;
    }
    let from = shared.clock.now_ms();
    let ended = export(shared, (index, task), permit).await?;
    if let Ok(exporter) = shared.registry.by_name(&task.exporter) {
        metrics::export_ended(exporter.name(), ended.as_ref().err(), (from, shared.clock.now_ms()));
    }
    match ended {
        Ok(artifact) => Ok(artifact),
        Err(failure) => {
            let failure = shared.secrets.failure(failure);
            ledger.end(Err(&failure)).await?;
            Err(failure)
        }
    }
}

/// Notes that a task is begun, if nothing was done for it yet, and makes its directory; answers whether that is so.
async fn start_planned(shared: &Arc<JobShared>, index: usize) -> Result<bool, Failure> {
    let shared = Arc::clone(shared);
    run_blocking(move || {
        let Some(task) = shared.plan.tasks.get(index) else { return Ok(false) };
        let is_planned = shared.ledger.task(&task.id).start_planned()?;
        if is_planned {
            make_dir(&shared, index)?;
        }
        Ok(is_planned)
    })
    .await
}

/// Makes the directories of all tasks of a job that begins with nothing, in one step. Blocks.
pub(crate) fn make_dirs(shared: &JobShared) -> Result<(), Failure> {
    let root = &shared.work_dir;
    let names = shared.plan.tasks.iter().map(|task| Path::new(&task.id));
    let made = safe_path::make_each(root, Path::new(TASKS), names);
    made.map_err(|e| safe_path::judged(&format!("cannot make the tasks' directories in {}", root.display()), &e))
}

/// Removes the directories of all tasks, of which nothing was noted. Blocks.
pub(crate) fn remove_dirs(work_dir: &Path) -> Result<(), Failure> {
    let removed = safe_path::remove_tree(work_dir, Path::new(TASKS));
    removed.map_err(|e| safe_path::judged(&format!("cannot empty {}", work_dir.display()), &e))
}

fn make_dir(shared: &JobShared, index: usize) -> Result<(), Failure> {
    let Some(task) = shared.plan.tasks.get(index) else { return Ok(()) };
    let root = &shared.work_dir;
    let made = safe_path::make_dirs(root, &JobShared::task_dir_below(task));
    let what = || format!("cannot make the task's directory in {}", root.display());
    made.map(drop).map_err(|e| safe_path::judged(&what(), &e))
}

/// Runs the exporter; the inner failure is the task's, the outer one is the ledger's.
async fn export(
    shared: &Arc<JobShared>,
    (index, task): (usize, &ExportTask),
    permit: Arc<ExportPermit>,
) -> Result<Result<Artifact, Failure>, Failure> {
    let artifact = match artifact_of(shared, task, permit).await {
        Ok(artifact) => artifact,
        Err(failure) => return Ok(Err(failure)),
    };
    let (judge, cancel) = (Arc::clone(shared), shared.stop.child_token());
    let ended = run_blocking(move || {
        let artifact = match judged(&judge, index, artifact, &cancel) {
            Ok(artifact) => judge.secrets.artifact(artifact),
            Err(failure) => return Ok(Err(failure)),
        };
        let Some(task) = judge.plan.tasks.get(index) else { return Ok(Ok(artifact)) };
        Ok(match judge.ledger.task(&task.id).end_finished(&artifact)? {
            None => Ok(artifact),
            Some(unit) => Err(verify::unfinished(task, unit)),
        })
    });
    ended.await
}

async fn artifact_of(shared: &Arc<JobShared>, task: &ExportTask, permit: Arc<ExportPermit>) -> Result<Artifact, Failure> {
    let exporter = shared.registry.by_name(&task.exporter)?;
    let ctx = shared.context(task, shared.stop.child_token());
    let ctx = ExportContext { permit: Some(permit), ..ctx };
    if let Some(failure) = ctx.secrets.missing_failure(&task.title) {
        return Err(failure);
    }
    to_the_end(&shared.stop, ctx.cancel_token().clone(), exporter.export(task, &ctx)).await
}

/// What an export made, verified against the plan and by what is in it. Blocks.
fn judged(
    shared: &JobShared,
    index: usize,
    mut artifact: Artifact,
    cancel: &CancellationToken,
) -> Result<Artifact, Failure> {
    let Some(task) = shared.plan.tasks.get(index) else { return Err(Failure::internal("the task is not in the plan")) };
    let work_dir = shared.task_dir(task);
    verify::verify(task, &shared.plan.parameters, &work_dir, &mut artifact)?;
    shared.remember_contents(contents::judge(task, &shared.containers, &work_dir, &mut artifact, cancel)?);
    Ok(artifact)
}
