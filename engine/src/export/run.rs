//! Runs one exporter on the Tokio runtime and verifies what it answers.

use super::finished::finished_before;
use super::job_shared::{CANCEL_GRACE, JobShared};
use super::{contents, verify};
use offmap_disk::{run_blocking, safe_path};
use offmap_model::{Artifact, ExportTask, Failure, FailureKind, FailureOwner, FailureStage};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs the task, notes its end in the ledger, and hands on only what is verified.
pub(crate) async fn run(shared: Arc<JobShared>, index: usize) -> Result<Artifact, Failure> {
    let Some(task) = shared.plan.tasks.get(index) else {
        return Err(Failure::internal(format!("there is no task {index} in the plan")));
    };
    let ledger = shared.ledger.task(&task.id);
    if task.carried || !ledger.start_planned().await? {
        if let Some(artifact) = finished_before(&shared, task).await? {
            return Ok(artifact);
        }
        if task.carried {
            let message = format!("what was carried over of \"{}\" is not there any more", task.title);
            return Err(Failure::new(FailureOwner::Caller, FailureKind::Corrupt, FailureStage::Check, message));
        }
        ledger.start().await?;
    }
    let secrets = &shared.secrets;
    let failure = match export(&shared, index, task).await.map(|a| secrets.artifact(a)) {
        Ok(artifact) => match ledger.end_finished(&artifact).await? {
            None => return Ok(artifact),
            Some(unit) => verify::unfinished(task, unit),
        },
        Err(failure) => failure,
    };
    let failure = secrets.failure(failure);
    ledger.end(Err(&failure)).await?;
    Err(failure)
}

async fn export(shared: &Arc<JobShared>, index: usize, task: &ExportTask) -> Result<Artifact, Failure> {
    let (root, relative) = (shared.work_dir.clone(), JobShared::task_dir_below(task));
    run_blocking(move || {
        safe_path::make_dirs(&root, &relative)
            .map_err(|e| safe_path::judged(&format!("cannot make the task's directory in {}", root.display()), &e))
    })
    .await?;
    let exporter = shared.registry.by_name(&task.exporter)?;
    let ctx = shared.context(task, shared.stop.child_token());
    if let Some(failure) = ctx.secrets.missing_failure(&task.title) {
        return Err(failure);
    }
    let work = exporter.export(task, &ctx);
    let grace = async {
        ctx.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let artifact = tokio::select! {
        biased;
        outcome = work => outcome?,
        () = grace => return Err(Failure::cancelled()),
    };
    let (judge, cancel) = (Arc::clone(shared), ctx.cancel.clone());
    run_blocking(move || judged(&judge, index, artifact, &cancel)).await
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
