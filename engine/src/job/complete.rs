//! Completing a package that is incomplete.
//!
//! 0. A package that was changed since it was made, such as a replica that was edited in the field, is not touched.
//! 1. Every layer that succeeded is carried over from the earlier package, whether its service answers or not: its file is verified
//!    by the earlier manifest's hash and by what is in it, and linked into the new job's work directory. One that is gone or damaged
//!    inside has failed.
//! 2. Only what failed is planned and fetched; a layer of a service of which others succeeded is a task of its own.
//! 3. The new package takes the earlier one's place only if it holds all of it and more. Else the earlier one stays as it is, byte
//!    for byte.

use super::prepared::{PreparedJob, ResumeState, finished, released};
use super::state::JobInner;
use crate::basemap;
use crate::earlier::{self, Judged, UNCHANGED, passing, stays_as_it_is};
use crate::export::JobShared;
use crate::exporter::PlanContext;
use crate::ledger::Ledger;
use crate::packager::EarlierPackage;
use crate::plan::{Carried, plan};
use crate::work_dir::WorkDir;
use offmap_disk::{link_or_copy_until, run_blocking, safe_path};
use offmap_model::{
    Artifact, ArtifactFile, ExportTask, Failure, FailureStage, GenerateOfflineMapResult, LayerArtifact, LayerOutcome,
    OfflineMapPlan,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Begins a job that completes the package at its destination.
pub(super) async fn completing(job: &JobInner, document: &str, ctx: &PlanContext) -> Result<ResumeState, Failure> {
    let (packager, destination) = (Arc::clone(&job.engine.packager), job.destination.clone());
    let parameters = job.parameters.clone();
    let (earlier, basemap) = run_blocking(move || {
        let earlier = packager.read_package(&destination)?;
        Ok((earlier, basemap::find(&parameters, &destination, &*packager)?))
    })
    .await?;
    let package = job.destination.clone();
    let (containers, cancel) = (job.engine.containers.clone(), ctx.cancel.clone());
    let (earlier, verified, damaged) = run_blocking(move || {
        let mut earlier = earlier;
        let Judged { files, good, failed } = earlier::judge(&mut earlier, &containers, &cancel)?;
        files.check_unchanged(&package, &earlier)?;
        files.check_complete(&package, &earlier)?;
        Ok((earlier, good, failed))
    })
    .await?;
    if !earlier.layers.iter().any(LayerOutcome::is_error) {
        return Ok(ResumeState::Finished(finished(&job.destination, earlier)));
    }
    let carried = Carried { earlier: &earlier, verified: &verified };
    let planned = plan(job.plan_inputs(), Some(&carried), ctx).await;
    let plan = planned.map_err(|failure| stays_as_it_is(failure, &job.destination))?;
    if plan.tasks.iter().all(|t| t.carried) {
        let failures: Vec<Failure> = plan.skipped.iter().filter_map(|s| s.failure.clone()).collect();
        if let Some(failure) = passing(failures.iter()) {
            return Err(stays_as_it_is(failure.clone(), &job.destination));
        }
        return Ok(ResumeState::Finished(unchanged(&job.destination, earlier)));
    }
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::make(&destination)).await?;
    let write =
        async |ledger: &Ledger| carry_over(job, (&work_dir, ledger), document, &plan, (&earlier, &damaged), ctx).await;
    match job.with_ledger(&work_dir, write).await {
        Ok((ledger, ())) => {
            let replaces = Some(Arc::new(earlier));
            Ok(ResumeState::PreparedJob(Box::new(PreparedJob {
                plan,
                basemap,
                work_dir,
                ledger,
                replaces,
                changed: Vec::new(),
            })))
        }
        Err(failure) => Err(released(work_dir, failure).await),
    }
}

/// The result of a job that could fetch nothing new.
fn unchanged(package: &Path, earlier: EarlierPackage) -> GenerateOfflineMapResult {
    let mut result = finished(package, earlier);
    result.warnings.push(UNCHANGED.to_owned());
    result
}

/// Writes the ledger of a job that completes a package: what is carried over is finished already. The document is written last, so
/// that a job that was interrupted before is not resumed with half of it.
async fn carry_over(
    job: &JobInner,
    (work_dir, ledger): (&WorkDir, &Ledger),
    document: &str,
    plan: &OfflineMapPlan,
    (earlier, damaged): (&EarlierPackage, &[(String, Failure)]),
    ctx: &PlanContext,
) -> Result<(), Failure> {
    ledger.put("replaces", &earlier.job).await?;
    ledger.put("damaged", &damaged).await?;
    ledger.put_plan(plan, job.engine.clock.now_ms()).await?;
    for task in plan.tasks.iter().filter(|t| t.carried) {
        let root = work_dir.path().to_owned();
        let (artifact, from) = artifact_of(task, earlier)?;
        let relative = JobShared::task_dir_below(task);
        let cancel = ctx.cancel.clone();
        let artifact = run_blocking(move || link_all(&root, &relative, artifact, &from, &cancel)).await?;
        ledger.task(&task.id).end(Ok(&artifact)).await?;
    }
    ledger.put("document", &document).await
}

/// The artifact of a task that is carried over, and where its files are in the earlier package.
fn artifact_of(task: &ExportTask, earlier: &EarlierPackage) -> Result<(Artifact, Vec<PathBuf>), Failure> {
    let mut artifact = Artifact::default();
    let mut from: Vec<PathBuf> = Vec::new();
    for layer in &task.layers {
        let outcome = earlier.layers.iter().find(|l| l.id == layer.id);
        let data = earlier.data.iter().find(|d| d.id == layer.id);
        let (Some(outcome), Some(data)) = (outcome, data) else {
            return Err(Failure::internal(format!("layer `{}` is not in the package", layer.id)));
        };
        let mut place = |path: &Path, is_folder: bool| {
            if let Some(index) = from.iter().position(|known| known == path) {
                return index;
            }
            let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            let name = format!("earlier-{}", from.len());
            from.push(path.to_owned());
            artifact.files.push(match is_folder {
                true => ArtifactFile::folder(name),
                false => ArtifactFile::file(name, extension),
            });
            artifact.files.len() - 1
        };
        let file = Some(place(&data.file, false));
        let resources = data.resources.as_deref().map(|folder| place(folder, true));
        artifact.layers.push(LayerArtifact {
            id: layer.id.clone(),
            file,
            item_id: data.item_id,
            resources,
            contents: outcome.contents.clone(),
            failure: None,
        });
    }
    Ok((artifact, from))
}

/// Links the files of a task into its directory and measures them.
fn link_all(
    root: &Path,
    relative: &Path,
    mut artifact: Artifact,
    from: &[PathBuf],
    cancel: &CancellationToken,
) -> Result<Artifact, Failure> {
    let made = safe_path::make_dirs(root, relative);
    let dir = made.map_err(|e| safe_path::judged("cannot make the directory of what is carried over", &e))?;
    for (from, file) in from.iter().zip(&mut artifact.files) {
        let to = dir.join(&file.path);
        link_or_copy_until(from, &to, cancel)?;
        if !file.is_folder {
            let metadata = std::fs::symlink_metadata(&to)
                .map_err(|e| Failure::io(FailureStage::Run, format!("cannot read {}", to.display()), &e))?;
            file.bytes = metadata.len();
        }
    }
    Ok(artifact)
}
