//! Resuming a job that did not finish.
//!
//! A job is resumed from its ledger: a task that is finished is not run again, a server job that is noted is picked up, a partial
//! file is continued. Asked again is only whether the services' data changed since.

use crate::earlier::{self, Files};
use crate::exporter::{PlanContext, ServiceRequest};
use crate::job::JobInner;
use crate::ledger::Ledger;
use crate::ledger_file::refused;
use crate::packager::{EarlierPackage, ReferenceBasemap};
use crate::work_dir::{Leftover, WorkDir, bring_back};
use crate::{basemap, planner};
use offmap_disk::run_blocking;
use offmap_model::{ExportTask, Failure, FailureOwner, GenerateOfflineMapResult, OfflineMapPlan, OfflineMapSource};
use std::path::Path;
use std::sync::Arc;

/// All that a job needs to run.
pub(crate) struct PreparedJob {
    pub(crate) plan: OfflineMapPlan,
    pub(crate) basemap: Option<ReferenceBasemap>,
    pub(crate) work_dir: WorkDir,
    pub(crate) ledger: Ledger,
    /// The earlier package whose place the new one takes.
    pub(crate) replaces: Option<Arc<EarlierPackage>>,
    /// Indexes of tasks whose data changed on their service since.
    pub(crate) changed: Vec<usize>,
}

/// What is there of a job.
pub(crate) enum ResumeState {
    /// Its package.
    Finished(GenerateOfflineMapResult),
    /// Something to go on with.
    PreparedJob(Box<PreparedJob>),
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
                "the unfinished job for {shown} stopped before its ledger was complete; remove it with `offmap clean {shown}` and begin again"
            )))
        }
    }
}

/// The result of a job whose package is there already.
pub(crate) fn finished(destination: &Path, earlier: EarlierPackage) -> GenerateOfflineMapResult {
    GenerateOfflineMapResult {
        package: destination.to_owned(),
        bytes: earlier.bytes,
        layers: earlier.layers,
        warnings: Vec::new(),
    }
}

/// Finds what a job that was interrupted left.
pub(crate) async fn resumed(job: &JobInner, ctx: &PlanContext) -> Result<ResumeState, Failure> {
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::open(&destination)).await?;
    let ledger = job.open_ledger(&work_dir).await?;
    let lineage = ledger.lineage().await?;
    let (packager, destination, id) = (Arc::clone(&job.engine.packager), job.destination.clone(), job.id.clone());
    let (parameters, cancel) = (job.parameters.clone(), ctx.cancel.clone());
    let place = work_dir.path().to_owned();
    let is_done = move |earlier: &EarlierPackage| earlier.job == id;
    let (earlier, basemap) = run_blocking({
        let is_done = is_done.clone();
        move || {
            bring_back(&place, &destination, &lineage, &*packager)?;
            // The last thing before the end is the package's rename into place.
            let there = packager.read_package(&destination);
            if there.as_ref().is_ok_and(&is_done) {
                return Ok((there.ok(), None));
            }
            // A job that completes a package does not go on without it.
            let earlier = match &lineage.replaces {
                Some(replaces) => Some(there?).filter(|earlier| replaces.is_empty() || earlier.job == *replaces),
                None => None,
            };
            if lineage.replaces.is_some() && earlier.is_none() {
                let shown = destination.display();
                return Err(refused(format!("the package {shown} is not the one that the job began to complete")));
            }
            match &earlier {
                // What was changed since it was begun would be destroyed at its end.
                Some(earlier) => Files::read(earlier, &cancel)?.check_unchanged(&destination, earlier)?,
                None => packager.check_destination(&destination)?,
            }
            Ok((earlier, basemap::find(&parameters, &destination, &*packager)?))
        }
    })
    .await?;
    let replaces = match earlier {
        Some(earlier) if is_done(&earlier) => {
            drop(ledger);
            let earlier = judged(job, earlier, ctx).await?;
            run_blocking(move || work_dir.remove()).await?;
            return Ok(ResumeState::Finished(finished(&job.destination, earlier)));
        }
        earlier => earlier,
    };
    let damaged: Vec<(String, Failure)> = ledger.get("damaged").await?.unwrap_or_default();
    let replaces = replaces.map(|mut earlier| {
        earlier::mark(&mut earlier, &damaged);
        Arc::new(earlier)
    });
    let registry = &job.engine.registry;
    let known_plan = ledger.plan().await?;
    known_plan.iter().try_for_each(|plan| belongs(plan, &job.source))?;
    // A plan without tasks was made when no service could be reached; one of which nothing was begun yet may be wrong by now.
    let is_begun = ledger.is_begun().await?;
    if !is_begun {
        ledger.forget_plan().await?;
    }
    let (mut plan, known) = match known_plan.filter(|plan| is_begun && !plan.tasks.is_empty()) {
        Some(plan) => (plan, true),
        None => (planner::plan(registry, &job.source, &job.parameters, &job.overrides, ctx).await?, false),
    };
    let mut changed = Vec::new();
    if known {
        for (index, task) in planner::changed_since(registry, &job.source, &mut plan, ctx).await? {
            if let Some(place) = plan.tasks.get_mut(index) {
                *place = task;
                changed.push(index);
            }
        }
    }
    // The ledger learns of changed data when the old files are gone.
    if !known {
        ledger.put_plan(&plan, job.engine.clock.now_ms()).await?;
    }
    Ok(ResumeState::PreparedJob(Box::new(PreparedJob { plan, basemap, work_dir, ledger, replaces, changed })))
}

/// The package as it is: what its job called succeeded is judged by what is in its files. Nothing is called complete that verifying it
/// would not.
async fn judged(job: &JobInner, mut earlier: EarlierPackage, ctx: &PlanContext) -> Result<EarlierPackage, Failure> {
    let (package, containers, cancel) = (job.destination.clone(), job.engine.containers.clone(), ctx.cancel.clone());
    run_blocking(move || {
        let judged = earlier::judge(&mut earlier, &containers, &cancel)?;
        judged.files.check_whole(&package, &earlier)?;
        Ok(earlier)
    })
    .await
}

/// The result of a job whose package is there; what it left beside is removed.
pub(crate) async fn finished_before(job: &JobInner, ctx: &PlanContext) -> Result<ResumeState, Failure> {
    let (packager, destination) = (Arc::clone(&job.engine.packager), job.destination.clone());
    let earlier = run_blocking(move || {
        let earlier = packager.read_package(&destination)?;
        for left in Leftover::find(&destination)?.iter().filter(|l| l.destination == destination && !l.can_resume) {
            left.remove(&*packager)?;
        }
        Ok(earlier)
    })
    .await?;
    Ok(ResumeState::Finished(finished(&job.destination, judged(job, earlier, ctx).await?)))
}

/// Removes the work directory of a job that could not even begin, and hands the reason on.
pub(crate) async fn released(work_dir: WorkDir, failure: Failure) -> Failure {
    if let Err(left) = run_blocking(move || work_dir.remove()).await {
        tracing::warn!(failure = %left, "the job's work directory could not be removed");
    }
    failure
}

/// The plan of a ledger must be one of the job's own map.
fn belongs(plan: &OfflineMapPlan, source: &OfflineMapSource) -> Result<(), Failure> {
    let layers = source.web_map.layers();
    let mut named = plan.tasks.iter().flat_map(|t| t.layers.iter().map(|l| &l.id)).chain(plan.skipped.iter().map(|s| &s.id));
    match named.find(|id| !layers.iter().any(|l| l.id == **id)) {
        None => Ok(()),
        Some(id) => {
            let shown: String = id.chars().take(80).flat_map(char::escape_default).collect();
            Err(refused(format!("its plan names the layer `{shown}`, which is not in the job's map")))
        }
    }
}

/// Whether a task that failed begins anew when its job is resumed. One that was interrupted, by the network or the disk as well, is
/// resumed where it stopped: what runs on its service and half a file are as good as before.
pub(crate) fn begins_anew(state: &str, outcome: Option<&str>) -> bool {
    let failure = outcome.filter(|_| state == "failed").and_then(|text| serde_json::from_str::<Failure>(text).ok());
    failure.is_some_and(|f| !f.is_cancelled() && !matches!(f.owner, FailureOwner::Storage | FailureOwner::Network))
}

/// The layers of a task as they are asked for.
pub(crate) fn request_of(task: &ExportTask, source: &Arc<OfflineMapSource>, plan: &OfflineMapPlan) -> ServiceRequest {
    let layers = source.web_map.layers().into_iter().filter(|l| task.layers.iter().any(|t| t.id == l.id));
    ServiceRequest {
        service_url: task.key.service_url.clone(),
        layers: layers.collect(),
        source: Arc::clone(source),
        parameters: Arc::new(plan.parameters.clone()),
        networks: crate::networks::of_task(task, source),
    }
}
