//! Going on with a job that did not come to its end, and completing a package that lacks layers.
//!
//! A job goes on from its ledger: a task that is finished is not run again, a server job that is noted is picked up, half a file
//! goes on. Asked again is only whether the services' data changed since. A package is completed by a new job that takes what
//! came home from the old one and fetches the rest.

use crate::basemap;
use crate::context::run_blocking;
use crate::exporter::{PlanContext, ServiceRequest};
use crate::job::JobInner;
use crate::ledger::Ledger;
use crate::model::artifact::{Artifact, ArtifactFile, LayerArtifact};
use crate::model::failure::{Failure, FailureOwner, FailureStage};
use crate::model::plan::{ExportTask, OfflineMapPlan};
use crate::model::result::GenerateOfflineMapResult;
use crate::model::status::ExportState;
use crate::packager::{EarlierPackage, ReferenceBasemap};
use crate::planner;
use crate::work_dir::{Leftover, WorkDir, bring_back};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All that a job needs to run.
pub(crate) struct Begun {
    pub(crate) plan: OfflineMapPlan,
    pub(crate) basemap: Option<ReferenceBasemap>,
    pub(crate) work_dir: WorkDir,
    pub(crate) ledger: Ledger,
    /// Whether the package takes the place of an earlier one.
    pub(crate) replaces: bool,
    /// Indexes of tasks whose data changed on their service since.
    pub(crate) changed: Vec<usize>,
}

/// What is there of a job.
pub(crate) enum Found {
    /// Its package.
    Finished(GenerateOfflineMapResult),
    /// Something to go on with.
    Begun(Box<Begun>),
}

/// The document of the unfinished job for a destination.
pub(crate) async fn document_of(destination: &Path) -> Result<String, Failure> {
    let place = destination.to_owned();
    let work_dir = run_blocking(move || WorkDir::open(&place)).await?;
    let ledger = Ledger::open(&work_dir.ledger()).await?;
    match ledger.get::<String>("document").await? {
        Some(document) => Ok(document),
        None => {
            let shown = destination.display();
            Err(Failure::invalid_parameter(format!(
                "the unfinished job for {shown} stopped before its ledger was complete; remove it with `offmap clean {shown}` and take the map anew"
            )))
        }
    }
}

fn finished(destination: &Path, earlier: EarlierPackage) -> GenerateOfflineMapResult {
    GenerateOfflineMapResult {
        package: destination.to_owned(),
        bytes: earlier.bytes,
        layers: earlier.layers,
        warnings: Vec::new(),
    }
}

/// Finds what a job that was interrupted left.
pub(crate) async fn resumed(job: &JobInner, ctx: &PlanContext) -> Result<Found, Failure> {
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::open(&destination)).await?;
    let ledger = Ledger::open(&work_dir.ledger()).await?;
    let replaces = ledger.get::<bool>("replaces").await?.unwrap_or(false);
    let (packager, destination, id) = (Arc::clone(&job.engine.packager), job.destination.clone(), job.id.clone());
    let parameters = job.parameters.clone();
    let place = work_dir.path().to_owned();
    let (earlier, basemap) = run_blocking(move || {
        bring_back(&place, &destination)?;
        // The last thing before the end is the package's rename into place.
        if let Some(earlier) = packager.read_package(&destination).ok().filter(|earlier| earlier.job == id) {
            return Ok((Some(earlier), None));
        }
        if !replaces {
            packager.check_destination(&destination)?;
        }
        Ok((None, basemap::find(&parameters, &destination, &*packager)?))
    })
    .await?;
    if let Some(earlier) = earlier {
        drop(ledger);
        run_blocking(move || work_dir.remove()).await?;
        return Ok(Found::Finished(finished(&job.destination, earlier)));
    }
    let registry = &job.engine.registry;
    // A plan without tasks was made when no service could be reached.
    let (mut plan, known) = match ledger.get::<OfflineMapPlan>("plan").await?.filter(|plan| !plan.tasks.is_empty()) {
        Some(plan) => (plan, true),
        None => (planner::plan(registry, &job.source, &job.parameters, &job.overrides, ctx).await?, false),
    };
    let mut changed = Vec::new();
    if known {
        for (index, task) in planner::changed_since(registry, &job.source, &plan, ctx).await? {
            if let Some(place) = plan.tasks.get_mut(index) {
                *place = task;
                changed.push(index);
            }
        }
    }
    if !known || !changed.is_empty() {
        ledger.put_plan(&plan, job.engine.clock.now_ms()).await?;
    }
    Ok(Found::Begun(Box::new(Begun { plan, basemap, work_dir, ledger, replaces, changed })))
}

/// The result of a job whose package is there; what it left beside is removed.
pub(crate) async fn finished_before(job: &JobInner) -> Result<Found, Failure> {
    let (packager, destination) = (Arc::clone(&job.engine.packager), job.destination.clone());
    let earlier = run_blocking(move || {
        let earlier = packager.read_package(&destination)?;
        for left in Leftover::find(&destination)?.iter().filter(|l| l.destination == destination && !l.can_resume) {
            left.remove()?;
        }
        Ok(earlier)
    })
    .await?;
    Ok(Found::Finished(finished(&job.destination, earlier)))
}

/// Begins a job that completes the package at its destination.
pub(crate) async fn completing(job: &JobInner, document: &str, ctx: &PlanContext) -> Result<Found, Failure> {
    let (packager, destination) = (Arc::clone(&job.engine.packager), job.destination.clone());
    let parameters = job.parameters.clone();
    let (earlier, basemap) = run_blocking(move || {
        let earlier = packager.read_package(&destination)?;
        Ok((earlier, basemap::find(&parameters, &destination, &*packager)?))
    })
    .await?;
    if !earlier.layers.iter().any(|l| l.is_error()) {
        return Ok(Found::Finished(finished(&job.destination, earlier)));
    }
    let plan = planner::plan(&job.engine.registry, &job.source, &job.parameters, &job.overrides, ctx).await?;
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::make(&destination)).await?;
    let now = job.engine.clock.now_ms();
    let begun = match reuse(&work_dir, document, &plan, &earlier, now).await {
        Ok(ledger) => Begun { plan, basemap, work_dir, ledger, replaces: true, changed: Vec::new() },
        Err(failure) => return Err(given_up(work_dir, failure).await),
    };
    Ok(Found::Begun(Box::new(begun)))
}

/// Removes the work directory of a job that could not even begin, and hands the reason on.
pub(crate) async fn given_up(work_dir: WorkDir, failure: Failure) -> Failure {
    if let Err(left) = run_blocking(move || work_dir.remove()).await {
        tracing::warn!(failure = %left, "the job's work directory could not be removed");
    }
    failure
}

/// Writes the ledger of a job that completes a package: what is in the package is finished already.
async fn reuse(
    work_dir: &WorkDir,
    document: &str,
    plan: &OfflineMapPlan,
    earlier: &EarlierPackage,
    now: i64,
) -> Result<Ledger, Failure> {
    let ledger = Ledger::open(&work_dir.ledger()).await?;
    ledger.put("document", &document).await?;
    ledger.put("replaces", &true).await?;
    ledger.put_plan(plan, now).await?;
    for task in &plan.tasks {
        let dir = work_dir.path().join("tasks").join(&task.id);
        let Some((artifact, links)) = reused(task, earlier, &dir) else { continue };
        let artifact = run_blocking(move || link_all(&dir, &links).and_then(|()| measured(&dir, artifact))).await?;
        let of_task = ledger.task(&task.id);
        for unit in &task.units {
            of_task.finish(&unit.id, 0, None, now).await?;
        }
        let text = serde_json::to_string(&artifact).map_err(|e| Failure::internal(e.to_string()))?;
        of_task.set_state("finished", Some(text)).await?;
    }
    Ok(ledger)
}

type Links = Vec<(PathBuf, PathBuf)>;

/// The artifact of a task all of whose layers are in the earlier package, and which files it takes from there.
fn reused(task: &ExportTask, earlier: &EarlierPackage, dir: &Path) -> Option<(Artifact, Links)> {
    let mut artifact = Artifact::default();
    let mut links: Links = Vec::new();
    for layer in &task.layers {
        let outcome = earlier.layers.iter().find(|l| l.id == layer.id && l.state == ExportState::Succeeded)?;
        let data = earlier.data.iter().find(|d| d.id == layer.id)?;
        let mut place = |from: &Path, is_folder: bool| {
            if let Some(index) = links.iter().position(|(known, _)| known == from) {
                return index;
            }
            let extension = from.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            let name = format!("earlier-{}", links.len());
            links.push((from.to_owned(), dir.join(&name)));
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
            planned: outcome.planned,
            got: outcome.got,
            attachments: outcome.attachments,
            missing_tiles: outcome.missing_tiles.clone(),
            missing_attachments: outcome.missing_attachments.clone(),
            notes: outcome.notes.clone(),
            failure: None,
        });
    }
    Some((artifact, links))
}

fn link_all(dir: &Path, links: &Links) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)
        .map_err(|e| Failure::io(FailureStage::Run, format!("cannot make the work directory {}", dir.display()), &e))?;
    links.iter().try_for_each(|(from, to)| link_or_copy(from, to))
}

fn measured(dir: &Path, mut artifact: Artifact) -> Result<Artifact, Failure> {
    for file in artifact.files.iter_mut().filter(|f| !f.is_folder) {
        let path = dir.join(&file.path);
        let metadata = std::fs::metadata(&path)
            .map_err(|e| Failure::io(FailureStage::Run, format!("cannot read {}", path.display()), &e))?;
        file.bytes = metadata.len();
    }
    Ok(artifact)
}

/// Makes a file or folder appear at another place of the same file system too: a hard link, or a copy where there are none.
///
/// Blocks.
///
/// # Errors
/// If it cannot be read or written.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |e: &std::io::Error| {
        Failure::io(FailureStage::Package, format!("cannot bring {} to {}", from.display(), to.display()), e)
    };
    if !from.is_dir() {
        return match std::fs::hard_link(from, to) {
            Ok(()) => Ok(()),
            Err(_) => std::fs::copy(from, to).map(drop).map_err(|e| failed(&e)),
        };
    }
    std::fs::create_dir_all(to).map_err(|e| failed(&e))?;
    for entry in std::fs::read_dir(from).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        link_or_copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Whether a task that failed begins anew when its job goes on: an interrupted one goes on where it stopped.
pub(crate) fn begins_anew(state: &str, outcome: Option<&str>) -> bool {
    let failure = outcome.filter(|_| state == "failed").and_then(|text| serde_json::from_str::<Failure>(text).ok());
    failure.is_some_and(|f| !f.is_cancelled() && f.owner != FailureOwner::Storage)
}

/// The layers of a task as they are asked for.
pub(crate) fn request_of(
    task: &ExportTask,
    source: &Arc<crate::model::source::OfflineMapSource>,
    plan: &OfflineMapPlan,
) -> ServiceRequest {
    let layers = source.web_map.layers().into_iter().filter(|l| task.layers.iter().any(|t| t.id == l.id));
    ServiceRequest {
        service_url: task.key.service_url.clone(),
        layers: layers.collect(),
        source: Arc::clone(source),
        parameters: Arc::new(plan.parameters.clone()),
    }
}
