//! One job: dormant until started, then planned, exported, packed, ended.

use crate::actor::job_supervisor::{JobEnd, JobSupervisor};
use crate::actor::shared::JobShared;
use crate::actor::task_run;
use crate::basemap;
use crate::board::{StatusBoard, StatusStream};
use crate::context::run_blocking;
use crate::engine::EngineInner;
use crate::exporter::PlanContext;
use crate::ledger::Ledger;
use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::model::overrides::GenerateOfflineMapParameterOverrides;
use crate::model::parameters::GenerateOfflineMapParameters;
use crate::model::plan::OfflineMapPlan;
use crate::model::result::{GenerateOfflineMapResult, JobError};
use crate::model::source::OfflineMapSource;
use crate::model::status::{ExportState, Progress, Subject, SubjectKind};
use crate::packager::ReferenceBasemap;
use crate::planner;
use crate::work_dir::WorkDir;
use actix::Actor as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

type JobResult = Result<GenerateOfflineMapResult, JobError>;

#[derive(Debug)]
pub(crate) struct JobInner {
    engine: Arc<EngineInner>,
    id: String,
    subject: Subject,
    source: Arc<OfflineMapSource>,
    parameters: GenerateOfflineMapParameters,
    overrides: GenerateOfflineMapParameterOverrides,
    destination: PathBuf,
    board: Arc<StatusBoard>,
    cancel: CancellationToken,
    result: watch::Sender<Option<JobResult>>,
    started: AtomicBool,
}

/// A job that takes one map offline. Cheap to clone; all clones are the same job.
///
/// Made dormant by [`OfflineMapTask::generate_offline_map`](crate::OfflineMapTask::generate_offline_map). Dropping all
/// handles does not stop a running job; [`GenerateOfflineMapJob::cancel`] does.
#[derive(Debug, Clone)]
pub struct GenerateOfflineMapJob {
    inner: Arc<JobInner>,
}

impl GenerateOfflineMapJob {
    pub(crate) fn new(
        engine: Arc<EngineInner>,
        source: Arc<OfflineMapSource>,
        parameters: GenerateOfflineMapParameters,
        overrides: GenerateOfflineMapParameterOverrides,
        destination: PathBuf,
    ) -> Self {
        // The job outlives a change of the current directory.
        let destination = std::path::absolute(&destination).unwrap_or(destination);
        let id = uuid::Uuid::new_v4().to_string();
        let title = source.item.as_ref().map(|i| i.title.clone()).filter(|t| !t.is_empty());
        let subject = Subject::new(SubjectKind::Job, &id, title.unwrap_or_else(|| "offline map".to_owned()));
        let board = StatusBoard::new(subject.clone(), Arc::clone(&engine.clock));
        let cancel = engine.root.child_token();
        let result = watch::Sender::new(None);
        let started = AtomicBool::new(false);
        let inner =
            JobInner { engine, id, subject, source, parameters, overrides, destination, board, cancel, result, started };
        Self { inner: Arc::new(inner) }
    }

    /// The job's id, a fresh UUID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Where the package will be.
    #[must_use]
    pub fn destination(&self) -> &Path {
        &self.inner.destination
    }

    /// Starts the job; does nothing if it was started before. Answers the same job, for chaining.
    pub fn start(&self) -> &Self {
        if !self.inner.started.swap(true, Ordering::AcqRel) {
            let inner = Arc::clone(&self.inner);
            let engine = Arc::clone(&inner.engine);
            engine.jobs.insert(inner.id.clone(), self.clone());
            engine.tracker.spawn_on(
                async move {
                    let work = inner.engine.runtime.spawn(drive(Arc::clone(&inner)));
                    let result = work.await.unwrap_or_else(|e| {
                        Err(JobError::from(crate::actor::exporter_actor::from_join_error(e, "the job")))
                    });
                    inner.end(result);
                },
                &engine.runtime,
            );
        }
        self
    }

    /// The job's story, from its start, for as many readers as wanted.
    #[must_use]
    pub fn status(&self) -> StatusStream {
        self.inner.board.subscribe()
    }

    /// Asks the job to stop: exporters cancel their server jobs and unregister their replicas, nothing is left at the
    /// destination. The end comes through [`GenerateOfflineMapJob::result`]. A dormant job will end as soon as it is started.
    pub fn cancel(&self) {
        self.inner.cancel.cancel();
    }

    /// Waits for the job's end. Waits for ever while the job is dormant.
    ///
    /// # Errors
    /// If no package was made.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; it may be asked again.
    pub async fn result(&self) -> JobResult {
        let mut end = self.inner.result.subscribe();
        // The sender lives in `self.inner`, so the wait ends only with a result.
        match end.wait_for(Option::is_some).await {
            Ok(result) => (*result).clone().unwrap_or_else(|| Err(Failure::internal("a job ended without a result").into())),
            Err(e) => Err(Failure::internal(e.to_string()).into()),
        }
    }
}

impl JobInner {
    fn end(&self, result: JobResult) {
        let (state, failure) = match &result {
            Ok(_) => (ExportState::Succeeded, None),
            Err(e) if e.failure.is_cancelled() => (ExportState::Cancelled, None),
            Err(e) => (ExportState::Failed, Some(e.failure.clone())),
        };
        if result.is_ok() {
            self.board.progress(&self.subject, Progress::percent(100));
        }
        self.engine.jobs.remove(&self.id);
        self.board.state(&self.subject, state, None, failure);
        self.result.send_replace(Some(result));
    }
}

/// The whole job, from permit to package. Runs on the host's runtime.
async fn drive(job: Arc<JobInner>) -> JobResult {
    let engine = &job.engine;
    job.board.state(&job.subject, ExportState::Started, None, None);
    let _permit = tokio::select! {
        biased;
        () = job.cancel.cancelled() => return Err(Failure::cancelled().into()),
        permit = engine.job_permits.acquire() => permit.map_err(|e| Failure::internal(e.to_string()))?,
    };
    let (parameters, packager) = (job.parameters.clone(), Arc::clone(&engine.packager));
    let destination = job.destination.clone();
    let basemap = run_blocking(move || {
        packager.check_destination(&destination)?;
        basemap::find(&parameters, &destination, &*packager)
    })
    .await?;
    let ctx = PlanContext { cancel: job.cancel.clone(), clock: Arc::clone(&engine.clock) };
    let mut plan = planner::plan(&engine.registry, &job.source, &job.parameters, &job.overrides, &ctx).await?;
    plan.warnings.extend(basemap.as_ref().and_then(|b| basemap::uncovered(b, &job.parameters.area_of_interest)));
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::make(&destination)).await?;
    let result = run(&job, plan, basemap, work_dir.path()).await;
    // A finished job leaves nothing beside its package. Removing can take long, so it is done off the async threads.
    if let Err(failure) = run_blocking(move || work_dir.remove()).await {
        tracing::warn!(%failure, "the job's work directory could not be removed");
    }
    result
}

async fn run(job: &Arc<JobInner>, plan: OfflineMapPlan, basemap: Option<ReferenceBasemap>, work_dir: &Path) -> JobResult {
    let engine = &job.engine;
    let ledger = Ledger::open(&work_dir.join("ledger.sqlite")).await?;
    ledger.put("id", &job.id).await?;
    ledger.put("source", &*job.source).await?;
    ledger.put("overrides", &job.overrides).await?;
    ledger.put("destination", &job.destination).await?;
    ledger.put_plan(&plan, engine.clock.now_ms()).await?;
    for warning in &plan.warnings {
        job.board.note(&job.subject, warning.clone());
    }
    let shared = Arc::new(JobShared {
        job: job.id.clone(),
        source: Arc::clone(&job.source),
        plan: Arc::new(plan),
        basemap,
        registry: engine.registry.clone(),
        packager: Arc::clone(&engine.packager),
        ledger,
        board: Arc::clone(&job.board),
        clock: Arc::clone(&engine.clock),
        cancel: job.cancel.clone(),
        stop: job.cancel.child_token(),
        runtime: engine.runtime.clone(),
        permits: Arc::clone(&engine.export_permits),
        census: Arc::clone(&engine.census),
        work_dir: work_dir.to_owned(),
        destination: job.destination.clone(),
    });
    shared.board.set_parts(shared.plan.tasks.len() + 1);
    for task in &shared.plan.tasks {
        for layer in &task.layers {
            let subject = Subject::layer(layer.is_table, &layer.id, &layer.title);
            job.board.state(&subject, ExportState::NotStarted, None, None);
        }
    }
    let (sender, end) = oneshot::channel();
    let supervised = Arc::clone(&shared);
    engine.actors.spawn(move || {
        JobSupervisor::new(supervised, sender).start();
    })?;
    let JobEnd { outcome, layers, warnings } = end.await.map_err(|_| {
        // Children that still run are told to stop; the supervisor is gone and nobody else would.
        shared.stop.cancel();
        Failure::new(
            FailureOwner::Engine,
            FailureKind::Panicked,
            FailureStage::Run,
            "the job's supervisor ended without a word; this is a bug in offmap",
        )
    })?;
    if outcome.is_err() {
        task_run::discard_all(&shared).await;
    }
    for layer in &layers {
        shared.ledger.put_layer(layer).await?;
    }
    match outcome {
        Ok(packed) => Ok(GenerateOfflineMapResult { package: packed.path, bytes: packed.bytes, layers, warnings }),
        Err(failure) => Err(JobError { failure, layers }),
    }
}
