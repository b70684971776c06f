//! Runs one exporter on the Tokio runtime and proves what it says.

use super::shared::{JobShared, TIDY_UP, TIDY_UP_CANCELLED};
use crate::context::ExportContext;
use crate::model::artifact::{Artifact, LayerArtifact};
use crate::model::budget::Missing;
use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::model::plan::{CountUnit, ExportTask};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs the task, keeps its end in the ledger, and hands on only what is proven.
pub(crate) async fn run(shared: Arc<JobShared>, index: usize) -> Result<Artifact, Failure> {
    let Some(task) = shared.plan.tasks.get(index) else {
        return Err(Failure::internal(format!("there is no task {index} in the plan")));
    };
    let ledger = shared.ledger.task(&task.id);
    if let Some(artifact) = finished_before(&shared, task).await? {
        return Ok(artifact);
    }
    ledger.set_state("started", None).await?;
    let outcome = export(&shared, task).await;
    let (state, words) = match &outcome {
        Ok(artifact) => ("finished", serde_json::to_string(artifact)),
        Err(failure) => ("failed", serde_json::to_string(failure)),
    };
    let words = words.map_err(|e| Failure::internal(e.to_string()))?;
    ledger.set_state(state, Some(words)).await?;
    outcome
}

/// What the task brought home before the job was interrupted, if that is still there.
async fn finished_before(shared: &Arc<JobShared>, task: &ExportTask) -> Result<Option<Artifact>, Failure> {
    let (state, outcome) = shared.ledger.task(&task.id).state().await?;
    let Some(artifact) =
        outcome.filter(|_| state == "finished").and_then(|text| serde_json::from_str::<Artifact>(&text).ok())
    else {
        return Ok(None);
    };
    let work_dir = task_dir(shared, task);
    for file in &artifact.files {
        let there = tokio::fs::metadata(work_dir.join(&file.path)).await;
        if !there.is_ok_and(|m| if file.is_folder { m.is_dir() } else { m.len() == file.bytes }) {
            shared.ledger.task(&task.id).reset().await?;
            return Ok(None);
        }
    }
    Ok(Some(artifact))
}

/// The private directory of a task.
pub(crate) fn task_dir(shared: &JobShared, task: &ExportTask) -> PathBuf {
    shared.work_dir.join("tasks").join(&task.id)
}

async fn export(shared: &Arc<JobShared>, task: &ExportTask) -> Result<Artifact, Failure> {
    let work_dir = task_dir(shared, task);
    tokio::fs::create_dir_all(&work_dir)
        .await
        .map_err(|e| Failure::io(FailureStage::Run, format!("cannot make the work directory {}", work_dir.display()), &e))?;
    let exporter = shared.registry.by_name(&task.exporter)?;
    let ctx = context(shared, task, shared.stop.child_token());
    let work = ctx.clone().scope(exporter.export(task, &ctx));
    let grace = async {
        ctx.cancelled().await;
        tokio::time::sleep(TIDY_UP).await;
    };
    let mut artifact = tokio::select! {
        biased;
        outcome = work => outcome?,
        () = grace => return Err(Failure::cancelled()),
    };
    prove(task, &ctx, &work_dir, &mut artifact).await?;
    Ok(artifact)
}

fn context(shared: &JobShared, task: &ExportTask, cancel: CancellationToken) -> ExportContext {
    ExportContext {
        task: task.id.clone(),
        subjects: ExportContext::subjects_of(task),
        work_dir: task_dir(shared, task),
        cancel,
        clock: Arc::clone(&shared.clock),
        ledger: shared.ledger.task(&task.id),
        board: Arc::clone(&shared.board),
        pause: Arc::clone(&shared.pause),
        keep: Arc::clone(&shared.keep),
        plan: Arc::clone(&shared.plan),
    }
}

/// Makes a task begin anew: what it left on its service is taken back, its files and notes are removed.
pub(crate) async fn begin_anew(shared: &Arc<JobShared>, task: &ExportTask) -> Result<(), Failure> {
    let exporter = shared.registry.by_name(&task.exporter)?;
    exporter.discard(task, &context(shared, task, CancellationToken::new())).await;
    shared.ledger.task(&task.id).reset().await?;
    let dir = task_dir(shared, task);
    match tokio::fs::remove_dir_all(&dir).await {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(FailureStage::Run, format!("cannot remove {}", dir.display()), &e))
        }
        _ => Ok(()),
    }
}

/// Lets the exporters take back what they left on the services of a job that made no package.
pub(crate) async fn discard_all(shared: &Arc<JobShared>) {
    let work = shared.plan.tasks.iter().filter_map(|task| {
        let exporter = shared.registry.by_name(&task.exporter).ok()?;
        let ctx = context(shared, task, CancellationToken::new());
        Some(async move { exporter.discard(task, &ctx).await })
    });
    // A cancel is quiet within a second; a job that failed may take its time.
    let limit = if shared.cancel.is_cancelled() { TIDY_UP_CANCELLED } else { TIDY_UP };
    if tokio::time::timeout(limit, futures_util::future::join_all(work)).await.is_err() {
        tracing::warn!("what was left on the services could not be taken back in time");
    }
}

/// "Done" means planned = got, proven: every unit finished, every layer told, every file there, zero only if zero was planned.
async fn prove(task: &ExportTask, ctx: &ExportContext, work_dir: &Path, artifact: &mut Artifact) -> Result<(), Failure> {
    if let Some(unit) = ctx.units().await?.into_iter().find(|u| u.state != "finished") {
        return Err(incomplete(format!("unit `{}` of \"{}\" was planned and is {}", unit.id, task.title, unit.state))
            .for_unit(unit.id));
    }
    for file in &mut artifact.files {
        let plain = file.path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let metadata = tokio::fs::symlink_metadata(work_dir.join(&file.path)).await.ok();
        let there = metadata.filter(|m| plain && if file.is_folder { m.is_dir() } else { m.is_file() });
        let Some(metadata) = there else {
            return Err(Failure::internal(format!(
                "exporter `{}` names {}, which is not a file or folder in its work directory",
                task.exporter,
                file.path.display()
            )));
        };
        file.bytes = if file.is_folder { 0 } else { metadata.len() };
    }
    let mut place_of: HashMap<String, usize> = HashMap::new();
    for (at, layer) in artifact.layers.iter().enumerate() {
        place_of.entry(layer.id.clone()).or_insert(at);
    }
    for layer in &task.layers {
        let Some(got) = place_of.get(&layer.id).and_then(|at| artifact.layers.get_mut(*at)) else {
            let failure = incomplete(format!("nothing came home for layer \"{}\"", layer.title)).for_layer(&layer.id);
            artifact.layers.push(LayerArtifact {
                id: layer.id.clone(),
                planned: layer.expected,
                failure: Some(failure),
                ..LayerArtifact::default()
            });
            continue;
        };
        if got.failure.is_some() {
            continue;
        }
        let short = match got.planned {
            Some(planned) if layer.exact => planned != got.got,
            Some(planned) => got.got == 0 && planned > 0,
            None => got.got == 0,
        };
        if short || got.file.is_none_or(|f| f >= artifact.files.len()) {
            let planned = got.planned.map_or_else(|| "an unknown number".to_owned(), |p| p.to_string());
            let message = format!("layer \"{}\": {planned} planned, {} came home", layer.title, got.got);
            got.failure = Some(incomplete(message).for_layer(&layer.id));
            continue;
        }
        let budget = ctx.error_budget(&layer.id);
        if task.count_unit == CountUnit::Tiles && got.missing_tiles.is_none() && budget.missing_tiles.is_some() {
            got.missing_tiles = got.planned.and_then(|planned| Missing::of(planned, got.got));
        }
        let tiles = got.missing_tiles.as_ref().filter(|_| budget.missing_tiles.is_some());
        for (what, missing, judged) in [
            ("tiles", tiles, tiles.map(|m| budget.judge_tiles(&layer.title, m))),
            (
                "attachments",
                got.missing_attachments.as_ref(),
                got.missing_attachments.as_ref().map(|m| budget.judge_attachments(&layer.title, m)),
            ),
        ] {
            match (missing, judged) {
                (Some(missing), Some(Ok(()))) if missing.count > 0 => {
                    artifact.warnings.push(format!(
                        "layer \"{}\": {}; its error budget allows that",
                        layer.title,
                        missing.words(what)
                    ));
                }
                (_, Some(Err(failure))) => got.failure = Some(failure.for_layer(&layer.id)),
                _ => {}
            }
        }
    }
    Ok(())
}

fn incomplete(message: String) -> Failure {
    Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message)
}
