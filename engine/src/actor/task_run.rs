//! Runs one exporter on the Tokio runtime and proves what it says.

use super::contents;
use super::shared::{CANCEL_GRACE, CANCELLED_ROLLBACK_LIMIT, JobShared};
use crate::context::ExportContext;
use crate::ledger::{UnitRecord, UnitResult};
use offmap_disk::{hash_file_until, hash_result_until, run_blocking, safe_path};
use offmap_model::{
    Artifact, ArtifactFile, CountUnit, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact,
    LayerContents, Missing,
};
use std::collections::{HashMap, HashSet};
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
    if task.carried {
        let message = format!("what was carried over of \"{}\" is not there any more", task.title);
        return Err(Failure::new(FailureOwner::Caller, FailureKind::Corrupt, FailureStage::Check, message));
    }
    ledger.set_state("started", None).await?;
    let secrets = &shared.secrets;
    let outcome = export(&shared, task).await.map(|a| secrets.artifact(a)).map_err(|f| secrets.failure(f));
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
    let (root, id) = (shared.work_dir.clone(), task.id.clone());
    let (units, results) = (shared.ledger.task(&task.id).units().await?, shared.ledger.task(&task.id).results().await?);
    let cancel = shared.stop.clone();
    let (artifact, there) = run_blocking(move || {
        let there = is_there(&root, &id, &artifact, (&units, &results), &cancel);
        Ok((artifact, there))
    })
    .await?;
    if shared.stop.is_cancelled() {
        // Nothing was found out.
        return Err(Failure::cancelled());
    }
    match there {
        Ok(()) => Ok(Some(artifact)),
        // What nobody who works here would leave is damage, and not something to fetch again in silence.
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Err(safe_path::judged(&format!("what came home of \"{}\" is not usable", task.title), &e))
        }
        Err(e) if task.carried => {
            let message = format!("what was carried over of \"{}\" is not there any more", task.title);
            Err(Failure::io(FailureStage::Run, message, &e))
        }
        // What is there and different is not taken for a file that came home; what it belongs to on the service is taken back.
        Err(_) => {
            begin_anew(shared, task).await?;
            Ok(None)
        }
    }
}

/// Whether the files of an artifact are there with the sizes that the ledger knows and, where a unit's hash is known, with its bytes.
fn is_there(
    root: &Path,
    task: &str,
    artifact: &Artifact,
    (units, results): (&[UnitRecord], &[UnitResult]),
    cancel: &CancellationToken,
) -> std::io::Result<()> {
    let lacks_file = |l: &LayerArtifact| l.failure.is_none() && l.file.is_none_or(|file| file >= artifact.files.len());
    if let Some(layer) = artifact.layers.iter().find(|l| lacks_file(l)) {
        let message = format!("layer `{}` is said to be there and has no file", layer.id);
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
    }
    for file in &artifact.files {
        safe_path::check_relative(&file.path)?;
        let task_dir = Path::new("tasks").join(task);
        let relative = task_dir.join(&file.path);
        let known_here = results.iter().find(|r| r.path == file.path);
        if file.is_folder {
            safe_path::folder(root, &relative)?;
            if known_here.is_some_and(|result| !holds(root, &task_dir, result, cancel)) {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        } else {
            let (path, metadata) = safe_path::file(root, &relative)?;
            if metadata.len() != file.bytes {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let known: Vec<&str> =
                units.iter().filter(|u| u.bytes == Some(file.bytes)).filter_map(|u| u.sha256.as_deref()).collect();
            let holds = |sha256: &str| known.contains(&sha256);
            if !known.is_empty() && !hash_file_until(&path, cancel).is_ok_and(|(_, sha256)| holds(&sha256)) {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(())
}

/// The private directory of a task.
pub(crate) fn task_dir(shared: &JobShared, task: &ExportTask) -> PathBuf {
    shared.work_dir.join("tasks").join(&task.id)
}

async fn export(shared: &Arc<JobShared>, task: &ExportTask) -> Result<Artifact, Failure> {
    let work_dir = task_dir(shared, task);
    let (root, relative) = (shared.work_dir.clone(), Path::new("tasks").join(&task.id));
    run_blocking(move || {
        safe_path::make_dirs(&root, &relative)
            .map_err(|e| safe_path::judged(&format!("cannot make the task's directory in {}", root.display()), &e))
    })
    .await?;
    let exporter = shared.registry.by_name(&task.exporter)?;
    let ctx = context(shared, task, shared.stop.child_token());
    if let Some(failure) = ctx.secrets.missing_failure(&task.title) {
        return Err(failure);
    }
    let work = exporter.export(task, &ctx);
    let grace = async {
        ctx.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let mut artifact = tokio::select! {
        biased;
        outcome = work => outcome?,
        () = grace => return Err(Failure::cancelled()),
    };
    verify(task, &ctx, &work_dir, &mut artifact).await?;
    shared.remember_contents(contents::judge(task, &ctx, &shared.containers, &work_dir, &mut artifact).await?);
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
        event_log: Arc::clone(&shared.event_log),
        pause: Arc::clone(&shared.pause),
        keep: Arc::clone(&shared.keep),
        plan: Arc::clone(&shared.plan),
        secrets: shared.secrets_of(task),
        known_secrets: shared.secrets.clone(),
        more_follows: false,
    }
}

/// What of a task is not fetched again when it begins anew.
#[derive(Default)]
struct Held {
    /// Finished units whose results are there with the bytes that the ledger knows, and the units that they came out of.
    units: HashSet<String>,
    /// Those results, below the task's directory.
    paths: Vec<PathBuf>,
}

async fn held(shared: &Arc<JobShared>, task: &ExportTask) -> Result<Held, Failure> {
    let results = shared.ledger.task(&task.id).results().await?;
    let planned: HashSet<String> = task.units.iter().map(|u| u.id.clone()).collect();
    let (root, relative) = (shared.work_dir.clone(), Path::new("tasks").join(&task.id));
    let cancel = shared.stop.clone();
    run_blocking(move || {
        let mut held = Held::default();
        for result in results.into_iter().filter(|r| planned.contains(&r.unit.id)) {
            // What could not be looked at to the end is not thrown away for it; it is looked at again before it is used.
            if holds(&root, &relative, &result, &cancel) || cancel.is_cancelled() {
                held.units.extend([result.unit.id].into_iter().chain(result.of));
                held.paths.push(result.path);
            }
        }
        Ok(held)
    })
    .await
}

/// Whether the result of a unit is there with the bytes that the ledger knows.
fn holds(root: &Path, task_dir: &Path, result: &UnitResult, cancel: &CancellationToken) -> bool {
    let is_plain = safe_path::check_relative(&result.path).is_ok();
    let relative = task_dir.join(&result.path);
    let path = match is_plain {
        true => safe_path::file(root, &relative).map(|(path, _)| path).or_else(|_| safe_path::folder(root, &relative)),
        false => return false,
    };
    path.is_ok_and(|path| hash_result_until(&path, cancel).is_ok_and(|(_, sha256)| result.unit.sha256 == Some(sha256)))
}

/// Makes a task that failed begin anew: finished units whose results hold stay; what else it left on its service is taken back, its
/// other files and notes are removed.
pub(crate) async fn begin_anew(shared: &Arc<JobShared>, task: &ExportTask) -> Result<(), Failure> {
    if task.carried {
        return Ok(());
    }
    let held = held(shared, task).await?;
    throw_away(shared, task, &held).await?;
    shared.ledger.task(&task.id).reset(&held.units).await
}

/// Makes a task whose data changed begin anew, as it is planned now. Until its old files are gone the ledger says what they are: the
/// job may end at any point and finds the change again.
pub(crate) async fn begin_changed(shared: &Arc<JobShared>, task: &ExportTask) -> Result<(), Failure> {
    throw_away(shared, task, &Held::default()).await?;
    let Some(mut plan) = shared.ledger.plan().await? else {
        return Err(Failure::internal("a job that is resumed has no plan in its ledger"));
    };
    if let Some(place) = plan.tasks.iter_mut().find(|t| t.id == task.id) {
        *place = task.clone();
    }
    shared.ledger.replace_task(&plan, task, shared.clock.now_ms()).await
}

/// Takes back what a task left on its service, and removes its files: before the ledger forgets them, since a file under its final
/// name is trusted.
async fn throw_away(shared: &Arc<JobShared>, task: &ExportTask, but: &Held) -> Result<(), Failure> {
    let exporter = shared.registry.by_name(&task.exporter)?;
    let ctx = context(shared, task, CancellationToken::new());
    // What belongs to a unit that stays is not to be taken back.
    let ctx = ExportContext { ledger: ctx.ledger.clone().hiding(but.units.clone()), ..ctx };
    exporter.rollback(task, &ctx).await;
    let (root, relative, paths) = (shared.work_dir.clone(), Path::new("tasks").join(&task.id), but.paths.clone());
    run_blocking(move || {
        let removed = match paths.is_empty() {
            true => safe_path::remove_tree(&root, &relative),
            false => safe_path::remove_all_but(&root, &relative, &paths),
        };
        removed.map_err(|e| safe_path::judged(&format!("cannot empty the task's directory in {}", root.display()), &e))
    })
    .await
}

/// Lets the exporters take back what they left on the services of a job that made no package.
pub(crate) async fn rollback_all(shared: &Arc<JobShared>) {
    let work = shared.plan.tasks.iter().filter(|t| !t.carried).filter_map(|task| {
        let exporter = shared.registry.by_name(&task.exporter).ok()?;
        let ctx = context(shared, task, CancellationToken::new());
        Some(async move { exporter.rollback(task, &ctx).await })
    });
    // A cancel is quiet within a second; a job that failed may take its time.
    let limit = if shared.cancel.is_cancelled() { CANCELLED_ROLLBACK_LIMIT } else { CANCEL_GRACE };
    if tokio::time::timeout(limit, futures_util::future::join_all(work)).await.is_err() {
        tracing::warn!("what was left on the services could not be taken back in time");
    }
}

/// "Done" means planned = got, proven: every unit finished, every layer told, every file there, zero only if zero was planned.
async fn verify(task: &ExportTask, ctx: &ExportContext, work_dir: &Path, artifact: &mut Artifact) -> Result<(), Failure> {
    if let Some(unit) = ctx.units().await?.into_iter().find(|u| u.state != "finished") {
        return Err(incomplete(format!("unit `{}` of \"{}\" was planned and is {}", unit.id, task.title, unit.state))
            .for_unit(unit.id));
    }
    let (root, files) = (work_dir.to_owned(), artifact.files.clone());
    let measured = run_blocking(move || Ok(files.iter().map(|f| bytes_of(&root, f)).collect::<Vec<_>>())).await?;
    for (file, bytes) in artifact.files.iter_mut().zip(measured) {
        file.bytes = bytes.map_err(|e| {
            Failure::internal(format!(
                "exporter `{}` names {}, which is not a file or folder in its work directory: {e}",
                task.exporter,
                file.path.display()
            ))
        })?;
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
                contents: LayerContents { planned: layer.expected, ..LayerContents::default() },
                failure: Some(failure),
                ..LayerArtifact::default()
            });
            continue;
        };
        if got.failure.is_some() {
            continue;
        }
        let short = match got.contents.planned {
            Some(planned) if layer.exact => planned != got.contents.got,
            Some(planned) => got.contents.got == 0 && planned > 0,
            None => got.contents.got == 0,
        };
        if short || got.file.is_none_or(|f| f >= artifact.files.len()) {
            let planned = got.contents.planned.map_or_else(|| "an unknown number".to_owned(), |p| p.to_string());
            let message = format!("layer \"{}\": {planned} planned, {} came home", layer.title, got.contents.got);
            got.failure = Some(incomplete(message).for_layer(&layer.id));
            continue;
        }
        let budget = ctx.error_budget(&layer.id);
        if task.count_unit == CountUnit::Tiles && got.contents.missing_tiles.is_none() && budget.missing_tiles.is_some() {
            got.contents.missing_tiles =
                got.contents.planned.and_then(|planned| Missing::between(planned, got.contents.got));
        }
        let tiles = got.contents.missing_tiles.as_ref().filter(|_| budget.missing_tiles.is_some());
        for (what, missing, judged) in [
            ("tiles", tiles, tiles.map(|m| budget.judge_tiles(&layer.title, m))),
            (
                "attachments",
                got.contents.missing_attachments.as_ref(),
                got.contents.missing_attachments.as_ref().map(|m| budget.judge_attachments(&layer.title, m)),
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

/// Size of a file of an artifact; a folder has none.
fn bytes_of(root: &Path, file: &ArtifactFile) -> std::io::Result<u64> {
    match file.is_folder {
        true => safe_path::folder(root, &file.path).map(|_| 0),
        false => safe_path::file(root, &file.path).map(|(_, metadata)| metadata.len()),
    }
}

fn incomplete(message: String) -> Failure {
    Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message)
}
