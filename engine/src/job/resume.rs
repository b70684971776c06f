//! Resuming a job that did not finish.
//!
//! A job is resumed from its ledger: a task that is finished is not run again, a server job that is noted is picked up, a partial
//! file is continued. Asked again is only whether the services' data changed since.

use super::prepared::{PreparedJob, ResumeState, finished};
use super::state::JobInner;
use crate::basemap;
use crate::earlier::{self, PackageFiles};
use crate::export::remove_dirs;
use crate::exporter::PlanContext;
use crate::ledger::{Ledger, Lineage, refused};
use crate::packager::{EarlierPackage, ReferenceBasemap};
use crate::plan::{changed_since, plan};
use crate::work_dir::{Leftover, WorkDir, bring_back};
use offmap_disk::run_blocking;
use offmap_model::{Failure, OfflineMapPlan, OfflineMapSource};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The document of the unfinished job for a destination.
pub(crate) async fn document_of(destination: &Path) -> Result<String, Failure> {
    let place = destination.to_owned();
    let work_dir = run_blocking(move || WorkDir::open(&place)).await?;
    let ledger = Ledger::open_locked(&work_dir.ledger(), Some(work_dir.lock())).await?;
    let document = ledger.get::<String>("document").await;
    ledger.close().await;
    match document? {
        Some(document) => Ok(document),
        None => {
            let shown = destination.display();
            Err(Failure::invalid_parameter(format!(
                "the unfinished job for {shown} stopped before its ledger was complete; remove it with `offmap clean {shown}` and begin again"
            )))
        }
    }
}

/// Finds what a job that was interrupted left.
pub(super) async fn resumed(job: &JobInner, ctx: &PlanContext) -> Result<ResumeState, Failure> {
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::open(&destination)).await?;
    let find = async |ledger: &Ledger| {
        let (earlier, basemap) = at_destination(job, &work_dir, ledger.lineage().await?, ctx).await?;
        match earlier {
            Some(earlier) if earlier.job == job.id => Ok(Found::Package(Box::new(earlier))),
            earlier => {
                let replaces = replaced(ledger, earlier).await?;
                let (plan, changed) = plan_again(job, (&work_dir, ledger), ctx).await?;
                Ok(Found::Work(Box::new(Unfinished { plan, changed, replaces, basemap })))
            }
        }
    };
    let (ledger, found) = job.with_ledger(&work_dir, find).await?;
    match found {
        Found::Package(earlier) => {
            ledger.close().await;
            let earlier = judged(job, *earlier, ctx).await?;
            run_blocking(move || work_dir.remove()).await?;
            Ok(ResumeState::Finished(finished(&job.destination, earlier)))
        }
        Found::Work(unfinished) => {
            let Unfinished { plan, changed, replaces, basemap } = *unfinished;
            Ok(ResumeState::PreparedJob(Box::new(PreparedJob { plan, basemap, work_dir, ledger, replaces, changed })))
        }
    }
}

/// What a job left: its package, or work.
enum Found {
    Package(Box<EarlierPackage>),
    Work(Box<Unfinished>),
}

/// What is still to be done, as a [`PreparedJob`] has it.
struct Unfinished {
    plan: OfflineMapPlan,
    changed: Vec<usize>,
    replaces: Option<Arc<EarlierPackage>>,
    basemap: Option<ReferenceBasemap>,
}

/// The package that is replaced, as the ledger knows it.
async fn replaced(ledger: &Ledger, earlier: Option<EarlierPackage>) -> Result<Option<Arc<EarlierPackage>>, Failure> {
    let damaged: Vec<(String, Failure)> = ledger.get("damaged").await?.unwrap_or_default();
    let is_overwritten = ledger.get("overwrites").await?.unwrap_or(false);
    Ok(earlier.map(|mut earlier| {
        earlier.is_overwritten = is_overwritten;
        earlier::mark(&mut earlier, &damaged);
        Arc::new(earlier)
    }))
}

/// What is at the destination: the package of the job itself, or the one that it replaces. A package that was being replaced is put
/// back first.
async fn at_destination(
    job: &JobInner,
    work_dir: &WorkDir,
    lineage: Lineage,
    ctx: &PlanContext,
) -> Result<(Option<EarlierPackage>, Option<ReferenceBasemap>), Failure> {
    let (packager, destination, id) = (Arc::clone(&job.engine.packager), job.destination.clone(), job.id.clone());
    let (parameters, cancel) = (job.parameters.clone(), ctx.cancel.clone());
    let place = work_dir.path().to_owned();
    run_blocking(move || {
        bring_back(&place, &destination, &lineage, &*packager)?;
        // The last thing before the end is the package's rename into place.
        let there = packager.read_package(&destination);
        if there.as_ref().is_ok_and(|earlier| earlier.job == id) {
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
            Some(earlier) => PackageFiles::read(earlier, &cancel)?.check_unchanged(&destination, earlier)?,
            None => packager.check_destination(&destination)?,
        }
        Ok((earlier, basemap::find(&parameters, &destination, &*packager)?))
    })
    .await
}

/// The plan of the ledger, and the indexes of tasks whose data changed since; else a new one.
async fn plan_again(
    job: &JobInner,
    (work_dir, ledger): (&WorkDir, &Ledger),
    ctx: &PlanContext,
) -> Result<(OfflineMapPlan, Vec<usize>), Failure> {
    let known = ledger.plan().await?;
    known.iter().try_for_each(|plan| belongs(plan, &job.source))?;
    // A plan without tasks was made when no service could be reached; one of which nothing was begun yet may be wrong by now.
    let is_begun = ledger.is_begun().await?;
    if !is_begun {
        // What was made before anything was noted belongs to tasks that may be others now.
        let place = work_dir.path().to_owned();
        run_blocking(move || remove_dirs(&place)).await?;
        ledger.forget_plan().await?;
    }
    let Some(mut plan) = known.filter(|plan| is_begun && !plan.tasks.is_empty()) else {
        let plan = plan(job.plan_inputs(), None, ctx).await?;
        ledger.put_plan(&plan, job.engine.clock.now_ms()).await?;
        return Ok((plan, Vec::new()));
    };
    // The ledger learns of changed data when the old files are gone.
    let mut changed = Vec::new();
    for (index, task) in changed_since(&job.engine.registry, &job.source, &mut plan, ctx).await? {
        if let Some(place) = plan.tasks.get_mut(index) {
            *place = task;
            changed.push(index);
        }
    }
    Ok((plan, changed))
}

/// The package as it is: what its job called succeeded is judged by what is in its files. Nothing is called complete that verifying it
/// would not.
async fn judged(job: &JobInner, mut earlier: EarlierPackage, ctx: &PlanContext) -> Result<EarlierPackage, Failure> {
    let (package, containers, cancel) = (job.destination.clone(), job.engine.containers.clone(), ctx.cancel.clone());
    run_blocking(move || {
        let judged = earlier::judge(&mut earlier, &containers, &cancel)?;
        judged.files.check_complete(&package, &earlier)?;
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

/// The plan of a ledger must be one of the job's own map.
fn belongs(plan: &OfflineMapPlan, source: &OfflineMapSource) -> Result<(), Failure> {
    let layers: HashSet<&str> = source.web_map.layers().iter().map(|l| l.id.as_str()).collect();
    let mut named = plan.tasks.iter().flat_map(|t| t.layers.iter().map(|l| &l.id)).chain(plan.skipped.iter().map(|s| &s.id));
    match named.find(|id| !layers.contains(id.as_str())) {
        None => Ok(()),
        Some(id) => {
            let shown: String = id.chars().take(80).flat_map(char::escape_default).collect();
            Err(refused(format!("its plan names the layer `{shown}`, which is not in the job's map")))
        }
    }
}
