//! What a job runs with, and how it begins with nothing.

use super::state::JobInner;
use crate::basemap;
use crate::earlier::PackageFiles;
use crate::exporter::PlanContext;
use crate::ledger::Ledger;
use crate::packager::{EarlierPackage, Packager, ReferenceBasemap};
use crate::plan::plan;
use crate::work_dir::WorkDir;
use offmap_disk::run_blocking;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapResult, OfflineMapPlan};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

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
    /// Something to run.
    PreparedJob(Box<PreparedJob>),
}

/// Begins with nothing: checks the destination, plans, and makes the work directory.
pub(super) async fn begin(job: &JobInner, document: &str, ctx: &PlanContext) -> Result<ResumeState, Failure> {
    let engine = &job.engine;
    let (parameters, packager) = (job.parameters.clone(), Arc::clone(&engine.packager));
    let (destination, cancel) = (job.destination.clone(), ctx.cancel.clone());
    let overwrites = job.overwrites.load(Ordering::Acquire);
    let (replaces, basemap) = run_blocking(move || {
        let free = packager.check_destination(&destination);
        let replaces = match free {
            Err(_) if overwrites => Some(overwritten(&destination, &*packager, &cancel)?),
            free => free.map(|()| None)?,
        };
        Ok((replaces, basemap::find(&parameters, &destination, &*packager)?))
    })
    .await?;
    let plan = plan(job.plan_inputs(), None, ctx).await?;
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::make(&destination)).await?;
    let written = async |ledger: &Ledger| {
        if let Some(earlier) = &replaces {
            ledger.put("replaces", &earlier.job).await?;
            ledger.put("overwrites", &true).await?;
        }
        // In one transaction, as a rule.
        let (document, plan) = (ledger.put("document", &document), ledger.put_plan(&plan, engine.clock.now_ms()));
        tokio::try_join!(document, plan).map(drop)
    };
    let ledger = match job.with_ledger(&work_dir, written).await {
        Ok((ledger, ())) => ledger,
        Err(failure) => return Err(released(work_dir, failure).await),
    };
    Ok(ResumeState::PreparedJob(Box::new(PreparedJob {
        plan,
        basemap,
        work_dir,
        ledger,
        replaces: replaces.map(Arc::new),
        changed: Vec::new(),
    })))
}

/// The package at a destination that is to be overwritten: one of this packager's, and as it was made.
fn overwritten(destination: &Path, packager: &dyn Packager, cancel: &CancellationToken) -> Result<EarlierPackage, Failure> {
    let read = packager.read_package(destination).map_err(|failure| {
        let shown = destination.display();
        let message = format!(
            "the destination {shown} is not overwritten, only a package that was made here is: {}; name a directory that is absent or \
             empty",
            failure.message
        );
        Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Plan, message)
    });
    let earlier = EarlierPackage { is_overwritten: true, ..read? };
    PackageFiles::read(&earlier, cancel)?.check_unchanged(destination, &earlier)?;
    Ok(earlier)
}

/// The result of a job whose package is there already.
pub(super) fn finished(destination: &Path, earlier: EarlierPackage) -> GenerateOfflineMapResult {
    GenerateOfflineMapResult {
        package: destination.to_owned(),
        bytes: earlier.bytes,
        layers: earlier.layers,
        warnings: Vec::new(),
    }
}

/// Removes the work directory of a job that could not even begin, and hands the reason on.
pub(super) async fn released(work_dir: WorkDir, failure: Failure) -> Failure {
    if let Err(left) = run_blocking(move || work_dir.remove()).await {
        tracing::warn!(failure = %left, "the job's work directory could not be removed");
    }
    failure
}
