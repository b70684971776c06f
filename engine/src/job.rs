//! One job: dormant until started, then planned, exported, packed, ended.

use crate::actor::job_supervisor::{JobEnd, JobSupervisor};
use crate::actor::shared::JobShared;
use crate::actor::task_run;
use crate::basemap;
use crate::board::{StatusBoard, StatusStream};
use crate::context::run_blocking;
use crate::engine::{Engine, EngineInner};
use crate::exporter::PlanContext;
use crate::ledger::Ledger;
use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::model::overrides::GenerateOfflineMapParameterOverrides;
use crate::model::parameters::GenerateOfflineMapParameters;
use crate::model::plan::OfflineMapPlan;
use crate::model::result::{GenerateOfflineMapResult, JobError};
use crate::model::source::OfflineMapSource;
use crate::model::status::{ExportState, MessageSeverity, MessageSource, Progress, Subject, SubjectKind};
use crate::packager::ReferenceBasemap;
use crate::pause::Pause;
use crate::planner;
use crate::work_dir::WorkDir;
use actix::Actor as _;
use serde::{Deserialize, Serialize};
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
    pause: Arc<Pause>,
}

/// A job as JSON, to be made again in another process.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JobDocument {
    /// `offmap-job`.
    format: String,
    version: u32,
    id: String,
    source: OfflineMapSource,
    parameters: GenerateOfflineMapParameters,
    overrides: GenerateOfflineMapParameterOverrides,
    destination: PathBuf,
}

/// Name and version of the JSON of jobs.
const JOB_FORMAT: (&str, u32) = ("offmap-job", 1);

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
        Self::with_id(engine, uuid::Uuid::new_v4().to_string(), source, parameters, overrides, destination)
    }

    fn with_id(
        engine: Arc<EngineInner>,
        id: String,
        source: Arc<OfflineMapSource>,
        parameters: GenerateOfflineMapParameters,
        overrides: GenerateOfflineMapParameterOverrides,
        destination: PathBuf,
    ) -> Self {
        let title = source.item.as_ref().map(|i| i.title.clone()).filter(|t| !t.is_empty());
        let subject = Subject::new(SubjectKind::Job, &id, title.unwrap_or_else(|| "offline map".to_owned()));
        let board = StatusBoard::new(subject.clone(), Arc::clone(&engine.clock));
        let cancel = engine.root.child_token();
        let result = watch::Sender::new(None);
        let started = AtomicBool::new(false);
        let pause = Arc::default();
        let inner = JobInner {
            engine,
            id,
            subject,
            source,
            parameters,
            overrides,
            destination,
            board,
            cancel,
            result,
            started,
            pause,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The job as JSON: map, parameters, overrides, destination. Credentials are not in it.
    ///
    /// # Errors
    /// If it cannot be written.
    #[doc(alias = "toJson")]
    pub fn to_json(&self) -> Result<String, Failure> {
        let job = &self.inner;
        let document = JobDocument {
            format: JOB_FORMAT.0.to_owned(),
            version: JOB_FORMAT.1,
            id: job.id.clone(),
            source: (*job.source).clone(),
            parameters: job.parameters.clone(),
            overrides: job.overrides.clone(),
            destination: job.destination.clone(),
        };
        serde_json::to_string(&document).map_err(|e| Failure::internal(format!("the job cannot be written as JSON: {e}")))
    }

    /// A dormant job of an engine, with the same id, out of [`GenerateOfflineMapJob::to_json`].
    ///
    /// # Errors
    /// If the text is not a job of a version that is known.
    #[doc(alias = "fromJson")]
    pub fn from_json(engine: &Engine, text: &str) -> Result<Self, Failure> {
        let refused = |words: String| Failure::invalid_parameter(format!("the job cannot be used: {words}"));
        let job: JobDocument = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
        if (job.format.as_str(), job.version) != JOB_FORMAT {
            let (format, version) = JOB_FORMAT;
            return Err(refused(format!(
                "it is `{}` version {}, expected `{format}` version {version}",
                job.format, job.version
            )));
        }
        job.parameters.check()?;
        let engine = Arc::clone(engine.inner());
        Ok(Self::with_id(engine, job.id, Arc::new(job.source), job.parameters, job.overrides, job.destination))
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

    /// Starts the job, or lets a paused one go on; does nothing to one that runs. Answers the same job, for chaining.
    pub fn start(&self) -> &Self {
        if self.inner.pause.is_closed() {
            if self.inner.started.load(Ordering::Acquire) {
                // Said before the first thing that follows from it.
                self.inner.board.state(&self.inner.subject, ExportState::Started, None, None);
            }
            self.inner.pause.set(false);
        }
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

    /// Lets the job stand still: what runs on a service goes on there, a file that is on its way comes to its end, and nothing new
    /// is begun or asked until [`GenerateOfflineMapJob::start`]. A paused job can be cancelled.
    pub fn pause(&self) {
        if self.inner.pause.set(true) && self.inner.started.load(Ordering::Acquire) {
            self.inner.board.state(&self.inner.subject, ExportState::Paused, None, None);
        }
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
    tokio::select! {
        biased;
        () = job.cancel.cancelled() => return Err(Failure::cancelled().into()),
        () = job.pause.passed() => {}
    }
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
        job.board.note(&job.subject, warning.clone(), MessageSeverity::Warning, MessageSource::Client);
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
        pause: Arc::clone(&job.pause),
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
