//! One job: dormant until started, then planned, exported, packed, ended.

use crate::actor::job_supervisor::{JobEnd, JobSupervisor};
use crate::actor::shared::JobShared;
use crate::actor::task_run;
use crate::engine::{Engine, EngineInner};
use crate::event_log::{EventLog, StatusStream};
use crate::exporter::PlanContext;
use crate::keep::Keep;
use crate::ledger::Ledger;
use crate::packager::{EarlierPackage, ReferenceBasemap};
use crate::pause::Pause;
use crate::resume::{self, PreparedJob, ResumeState};
use crate::work_dir::{WorkDir, plain_destination};
use crate::{basemap, complete, discard, planner, room};
use actix::Actor as _;
use offmap_disk::run_blocking;
use offmap_model::{
    ExportState, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapParameterOverrides,
    GenerateOfflineMapParameters, GenerateOfflineMapResult, JobError, LayerOutcome, MessageSeverity, MessageSource,
    OfflineMapPlan, OfflineMapSource, SecretRegistry, Subject, SubjectKind, WebMap,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

type JobResult = Result<GenerateOfflineMapResult, JobError>;

/// How a job begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartMode {
    /// With nothing.
    Fresh,
    /// With what an interrupted one left.
    Resumed,
    /// With a package that lacks layers.
    Completing,
    /// With a whole package: only its work directory was not removed yet.
    Finished,
}

#[derive(Debug)]
pub(crate) struct JobInner {
    pub(crate) engine: Arc<EngineInner>,
    pub(crate) id: String,
    subject: Subject,
    pub(crate) source: Arc<OfflineMapSource>,
    /// What is taken out of everything that is written or shown.
    pub(crate) secrets: SecretRegistry,
    pub(crate) parameters: GenerateOfflineMapParameters,
    pub(crate) overrides: GenerateOfflineMapParameterOverrides,
    pub(crate) destination: PathBuf,
    start_mode: StartMode,
    event_log: Arc<EventLog>,
    cancel: CancellationToken,
    result: watch::Sender<Option<JobResult>>,
    started: AtomicBool,
    pause: Arc<Pause>,
    keep: Arc<Keep>,
    /// Longest time from start to end in milliseconds; 0 for no limit.
    time_limit: AtomicU64,
    /// What of it was spent before the start, in milliseconds.
    time_spent: AtomicU64,
    timed_out: AtomicBool,
}

/// A job as JSON, to be made again in another process.
#[derive(Deserialize)]
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

/// The same to be written, without a copy of the map.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobDocumentView<'a> {
    format: &'a str,
    version: u32,
    id: &'a str,
    source: &'a OfflineMapSource,
    parameters: &'a GenerateOfflineMapParameters,
    overrides: &'a GenerateOfflineMapParameterOverrides,
    destination: &'a Path,
}

impl JobDocument {
    fn read(text: &str) -> Result<Self, Failure> {
        let refused = |words: String| Failure::invalid_parameter(format!("the job cannot be used: {words}"));
        let job: Self = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
        if (job.format.as_str(), job.version) != JOB_FORMAT {
            let (format, version) = JOB_FORMAT;
            return Err(refused(format!(
                "it is `{}` version {}, expected `{format}` version {version}",
                job.format, job.version
            )));
        }
        job.parameters.check()?;
        job.source.check_urls()?;
        Ok(job)
    }
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
        let destination = plain_destination(&destination);
        let wishes = (parameters, overrides);
        Self::of_map(engine, uuid::Uuid::new_v4().to_string(), source, wishes, destination, StartMode::Fresh)
    }

    fn of(engine: Arc<EngineInner>, document: JobDocument, start_mode: StartMode) -> Self {
        let JobDocument { id, source, parameters, overrides, destination, .. } = document;
        Self::of_map(engine, id, Arc::new(source), (parameters, overrides), destination, start_mode)
    }

    /// The map may be large: it is shared, not copied.
    fn of_map(
        engine: Arc<EngineInner>,
        id: String,
        source: Arc<OfflineMapSource>,
        (parameters, overrides): (GenerateOfflineMapParameters, GenerateOfflineMapParameterOverrides),
        destination: PathBuf,
        start_mode: StartMode,
    ) -> Self {
        let title = source.item.as_ref().map(|i| i.title.clone()).filter(|t| !t.is_empty());
        let subject = Subject::new(SubjectKind::Job, &id, title.unwrap_or_else(|| "offline map".to_owned()));
        let secrets = engine.secrets_of(&source);
        let event_log = EventLog::new(subject.clone(), Arc::clone(&engine.clock), secrets.clone());
        let cancel = engine.root.child_token();
        let inner = JobInner {
            engine,
            id,
            subject,
            source,
            secrets,
            parameters,
            overrides,
            destination,
            start_mode,
            event_log,
            cancel,
            result: watch::Sender::new(None),
            started: AtomicBool::new(false),
            pause: Arc::default(),
            keep: Arc::default(),
            time_limit: AtomicU64::new(0),
            time_spent: AtomicU64::new(0),
            timed_out: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The job for a destination that did not come to its end: after a crash, `kill -9`, a power cut, a full disk, or
    /// [`GenerateOfflineMapJob::cancel_and_keep`]. A job whose package is there already ends at once with it. It goes on where it stopped; what is done is not done again, a server job that
    /// still runs is picked up, half a file goes on. Credentials are the engine's: they are not in the ledger. offmap's own.
    ///
    /// # Errors
    /// If there is no unfinished job, or a living job holds it (the message tells which process).
    pub async fn resume(engine: &Engine, destination: impl Into<PathBuf>) -> Result<Self, Failure> {
        let destination = plain_destination(&destination.into());
        let (text, start_mode) = match resume::document_of(&destination).await {
            Ok(text) => (text, StartMode::Resumed),
            Err(failure) if failure.kind == FailureKind::NotFound => {
                let (packager, place) = (Arc::clone(&engine.inner().packager), destination.clone());
                match run_blocking(move || packager.read_package(&place)).await {
                    Ok(earlier) => (earlier.document, StartMode::Finished),
                    // What is there instead and cannot be read says why.
                    Err(unreadable) if destination.exists() => {
                        return Err(Failure { message: format!("{}; {}", failure.message, unreadable.message), ..failure });
                    }
                    Err(_) => return Err(failure),
                }
            }
            Err(failure) => return Err(failure),
        };
        let mut document = JobDocument::read(&text)?;
        // The whole may have been moved, but not to the name of another one.
        if start_mode == StartMode::Resumed && document.destination.file_name() != destination.file_name() {
            let (own, shown) = (document.destination.display(), destination.display());
            return Err(Failure::new(
                FailureOwner::Caller,
                FailureKind::Corrupt,
                FailureStage::Read,
                format!(
                    "the unfinished job beside {shown} is one for {own}; remove it with `offmap clean {shown}`, or give it its name back"
                ),
            ));
        }
        document.destination = destination;
        Ok(Self::of(Arc::clone(engine.inner()), document, start_mode))
    }

    /// A new job that completes a package that was written with layer errors: what succeeded is carried over without asking its
    /// services, only what failed is fetched, then the new package takes the place of the old one. A package without errors stays as
    /// it is, and so does one for which nothing new could be fetched: it is never replaced by one that holds less. offmap's own.
    ///
    /// # Errors
    /// If the package was not made by offmap, or does not say by which job.
    pub async fn complete(engine: &Engine, package: impl Into<PathBuf>) -> Result<Self, Failure> {
        let package = plain_destination(&package.into());
        let (packager, place) = (Arc::clone(&engine.inner().packager), package.clone());
        let earlier = run_blocking(move || packager.read_package(&place)).await?;
        let mut document = JobDocument::read(&earlier.document)?;
        document.id = uuid::Uuid::new_v4().to_string();
        document.destination = package;
        Ok(Self::of(Arc::clone(engine.inner()), document, StartMode::Completing))
    }

    /// The job as JSON: map, parameters, overrides, destination. Credentials are not in it.
    ///
    /// # Errors
    /// If it cannot be written.
    #[doc(alias = "toJson")]
    pub fn to_json(&self) -> Result<String, Failure> {
        self.inner.document()
    }

    /// A dormant job of an engine, with the same id, out of [`GenerateOfflineMapJob::to_json`].
    ///
    /// # Errors
    /// If the text is not a job of a version that is known.
    #[doc(alias = "fromJson")]
    pub fn from_json(engine: &Engine, text: &str) -> Result<Self, Failure> {
        Ok(Self::of(Arc::clone(engine.inner()), JobDocument::read(text)?, StartMode::Fresh))
    }

    /// Titles of the layers that need secrets of the map (`customParameters`, keys in urls), which are in no document: a job that
    /// is made of one fails these layers unless [`GenerateOfflineMapJob::with_secrets_of`] supplies them. offmap's own.
    #[must_use]
    pub fn layers_without_secrets(&self) -> Vec<String> {
        match self.inner.start_mode {
            StartMode::Finished => Vec::new(),
            _ => self.inner.source.web_map.layers_without_secrets(),
        }
    }

    /// The portal and the item that the map was read from, where it has one. offmap's own.
    #[must_use]
    pub fn portal_item(&self) -> Option<(&str, &str)> {
        let source = &self.inner.source;
        Some((source.portal_url.as_deref()?, source.item.as_ref().map(|i| i.id.as_str())?))
    }

    /// The same dormant job with the secrets that are missing taken from its map, read again. To be called before anything else
    /// is said of the job. A layer is known by its id and the origin of its url. offmap's own.
    #[must_use]
    pub fn with_secrets_of(self, map: &WebMap) -> Self {
        let inner = &self.inner;
        let mut source = (*inner.source).clone();
        source.web_map.supply_secrets(map);
        let wishes = (inner.parameters.clone(), inner.overrides.clone());
        let (engine, id, destination) = (Arc::clone(&inner.engine), inner.id.clone(), inner.destination.clone());
        Self::of_map(engine, id, Arc::new(source), wishes, destination, inner.start_mode)
    }

    /// The map that is taken offline, as it is online.
    #[doc(alias = "onlineMap")]
    #[must_use]
    pub fn online_map(&self) -> &WebMap {
        &self.inner.source.web_map
    }

    /// The parameters that the job was made with.
    #[must_use]
    pub fn parameters(&self) -> &GenerateOfflineMapParameters {
        &self.inner.parameters
    }

    /// The overrides that the job was made with.
    #[doc(alias = "parameterOverrides")]
    #[must_use]
    pub fn parameter_overrides(&self) -> &GenerateOfflineMapParameterOverrides {
        &self.inner.overrides
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
                self.inner.event_log.state(&self.inner.subject, ExportState::Started, None, None);
            }
            self.inner.pause.set(false);
        }
        if !self.inner.started.swap(true, Ordering::AcqRel) {
            let inner = Arc::clone(&self.inner);
            let engine = Arc::clone(&inner.engine);
            engine.jobs.insert(inner.id.clone(), self.clone());
            engine.tracker.spawn_on(
                async move {
                    let mut work = inner.engine.runtime.spawn(drive(Arc::clone(&inner)));
                    let ended = tokio::select! {
                        biased;
                        ended = &mut work => ended,
                        () = inner.time_passes() => work.await,
                    };
                    let result = ended.unwrap_or_else(|e| {
                        Err(JobError::from(crate::actor::exporter_actor::from_join_error(e, "the job")))
                    });
                    inner.end(inner.in_time(result));
                },
                &engine.runtime,
            );
        }
        self
    }

    /// The job's story, from its start, for as many readers as wanted.
    #[must_use]
    pub fn status(&self) -> StatusStream {
        self.inner.event_log.subscribe()
    }

    /// Lets the job stand still: what runs on a service goes on there, a file that is on its way comes to its end, and nothing new
    /// is begun or asked until [`GenerateOfflineMapJob::start`]. A paused job can be cancelled.
    pub fn pause(&self) {
        if self.inner.pause.set(true) && self.inner.started.load(Ordering::Acquire) {
            self.inner.event_log.state(&self.inner.subject, ExportState::Paused, None, None);
        }
    }

    /// Asks the job to stop: exporters cancel their server jobs and unregister their replicas, nothing is left at the
    /// destination. The end comes through [`GenerateOfflineMapJob::result`]. A dormant job will end as soon as it is started.
    pub fn cancel(&self) {
        self.inner.cancel.cancel();
    }

    /// Like [`GenerateOfflineMapJob::cancel`], but what was brought home and begun is kept beside the destination, so that
    /// [`GenerateOfflineMapJob::resume`] goes on with it.
    pub fn cancel_and_keep(&self) {
        self.keep_unfinished();
        self.cancel();
    }

    /// Like [`GenerateOfflineMapJob::cancel`], and nothing is kept, also where a cancel that keeps was said before: what was begun on
    /// services is taken back, and what was brought home is removed. After the job's end, and for a job of another process
    /// ([`GenerateOfflineMapJob::resume`]), see [`GenerateOfflineMapJob::discard`].
    pub fn cancel_and_discard(&self) {
        self.inner.keep.discard();
        self.cancel();
    }

    /// Cancels the job if it runs, waits for its end, and removes what it or an earlier run of it kept: replicas that were registered
    /// are unregistered, jobs on servers are cancelled, the work directory goes. A package that is at the destination stays.
    /// offmap's own.
    ///
    /// # Errors
    /// If another job holds the work, or it cannot be removed. What a service does not let go is logged.
    ///
    /// # Cancel safety
    /// May be called again.
    pub async fn discard(&self) -> Result<(), Failure> {
        self.cancel_and_discard();
        if self.inner.started.load(Ordering::Acquire) {
            // How it ended does not matter: a package stays, and all else is removed.
            let _ = self.result().await;
        }
        discard::discard(&self.inner).await
    }

    /// Keeps the work beside the destination if the job fails or is cancelled, so that [`GenerateOfflineMapJob::resume`] goes on with it. A full or
    /// broken disk keeps it in any case.
    pub fn keep_unfinished(&self) {
        self.inner.keep.keep();
    }

    /// Ends the job as failed when it runs longer than this by the engine's clock, pauses and the wait for a turn counted in. What came
    /// home is kept, so that [`GenerateOfflineMapJob::resume`] goes on with it. To be said before the start.
    pub fn limit_time(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        self.inner.time_limit.store(limit, Ordering::Release);
    }

    /// Counts what was spent before the job was made, such as on the reading of its map, against the time that it may run. To be said
    /// before the start.
    pub fn count_time(&self, spent: Duration) {
        self.inner.time_spent.store(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
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
    /// The job's ledger, into which none of its secrets is written.
    pub(crate) async fn open_ledger(&self, work_dir: &WorkDir) -> Result<Ledger, Failure> {
        Ok(Ledger::open(&work_dir.ledger()).await?.without(self.secrets.clone()))
    }

    /// What its tasks share, for a plan in a work directory.
    pub(crate) fn shared(&self, plan: OfflineMapPlan, ledger: Ledger, work_dir: &Path) -> JobShared {
        let engine = &self.engine;
        JobShared {
            job: self.id.clone(),
            source: Arc::clone(&self.source),
            plan: Arc::new(plan),
            basemap: None,
            registry: engine.registry.clone(),
            packager: Arc::clone(&engine.packager),
            containers: engine.containers.clone(),
            contents: Default::default(),
            ledger,
            event_log: Arc::clone(&self.event_log),
            clock: Arc::clone(&engine.clock),
            cancel: self.cancel.clone(),
            pause: Arc::clone(&self.pause),
            keep: Arc::clone(&self.keep),
            document: String::new(),
            replaces: None,
            secrets: self.secrets.clone(),
            stop: self.cancel.child_token(),
            runtime: engine.runtime.clone(),
            permits: Arc::clone(&engine.export_permits),
            census: Arc::clone(&engine.census),
            work_dir: work_dir.to_owned(),
            destination: self.destination.clone(),
        }
    }

    fn document(&self) -> Result<String, Failure> {
        let (format, version) = JOB_FORMAT;
        let document = JobDocumentView {
            format,
            version,
            id: &self.id,
            source: &self.source,
            parameters: &self.parameters,
            overrides: &self.overrides,
            destination: &self.destination,
        };
        let failed = |e: serde_json::Error| Failure::internal(format!("the job cannot be written as JSON: {e}"));
        self.secrets.json_of(&document).map_err(failed)
    }

    /// Ends when the job's time is over and the job was told to stop; never where it has no limit.
    async fn time_passes(&self) {
        match self.time_limit.load(Ordering::Acquire) {
            0 => std::future::pending().await,
            limit => {
                let left = limit.saturating_sub(self.time_spent.load(Ordering::Acquire));
                self.engine.clock.sleep(Duration::from_millis(left)).await;
            }
        }
        self.timed_out.store(true, Ordering::Release);
        self.keep.keep();
        self.cancel.cancel();
    }

    /// A job that was stopped by its time limit has failed; nobody cancelled it.
    fn in_time(&self, mut result: JobResult) -> JobResult {
        if let Err(error) = &mut result
            && error.failure.is_cancelled()
            && self.timed_out.load(Ordering::Acquire)
        {
            let seconds = self.time_limit.load(Ordering::Acquire) as f64 / 1000.0;
            let way = if error.can_resume { "let it go on, or raise the limit" } else { "raise the limit" };
            let message = format!("the job had not ended after its time limit of {seconds} seconds; {way}");
            error.failure = Failure::new(FailureOwner::Caller, FailureKind::TimedOut, FailureStage::Run, message);
        }
        result
    }

    fn keeps_work(&self) -> bool {
        self.keep.is_kept()
    }

    fn end(&self, result: JobResult) {
        let scrubbed = |layers: &mut Vec<LayerOutcome>| {
            for layer in layers {
                layer.failure = layer.failure.take().map(|f| self.secrets.failure(f));
            }
        };
        let result = match result {
            Ok(mut result) => {
                scrubbed(&mut result.layers);
                result.warnings = result.warnings.into_iter().map(|w| self.secrets.scrubbed(w)).collect();
                Ok(result)
            }
            Err(mut error) => {
                scrubbed(&mut error.layers);
                error.failure = self.secrets.failure(error.failure);
                Err(error)
            }
        };
        let (state, failure) = match &result {
            Ok(_) => (ExportState::Succeeded, None),
            Err(e) if e.failure.is_cancelled() => (ExportState::Cancelled, None),
            Err(e) => (ExportState::Failed, Some(e.failure.clone())),
        };
        self.engine.jobs.remove(&self.id);
        self.event_log.state(&self.subject, state, None, failure);
        self.result.send_replace(Some(result));
    }
}

/// The whole job, from permit to package. Runs on the host's runtime.
async fn drive(job: Arc<JobInner>) -> JobResult {
    let engine = &job.engine;
    job.event_log.state(&job.subject, ExportState::Started, None, None);
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
    let document = job.document()?;
    let ctx = PlanContext { cancel: job.cancel.clone(), clock: Arc::clone(&engine.clock), secrets: job.secrets.clone() };
    let found = match job.start_mode {
        StartMode::Fresh => begin(&job, &document, &ctx).await?,
        StartMode::Resumed => resume::resumed(&job, &ctx).await?,
        StartMode::Completing => complete::completing(&job, &document, &ctx).await?,
        StartMode::Finished => resume::finished_before(&job, &ctx).await?,
    };
    let prepared = match found {
        ResumeState::Finished(result) => return Ok(result),
        ResumeState::PreparedJob(prepared) => *prepared,
    };
    let PreparedJob { mut plan, basemap, work_dir, ledger, replaces, changed } = prepared;
    plan.warnings.extend(basemap.as_ref().and_then(|b| basemap::uncovered(b, &job.parameters.area_of_interest)));
    let run = Run { plan, basemap, ledger, replaces, changed, document };
    let mut result = run_all(&job, run, work_dir.path()).await;
    // What was kept once goes only by success or by the caller's word, whatever ends the job.
    if result.as_ref().is_err_and(|e| job.start_mode == StartMode::Resumed && !e.failure.is_cancelled()) {
        job.keep.keep();
    }
    if let Err(error) = &mut result
        && job.keeps_work()
    {
        error.can_resume = true;
        return result;
    }
    // A finished job leaves nothing beside its package. Removing can take long, so it is done off the async threads.
    if let Err(failure) = run_blocking(move || work_dir.remove()).await {
        tracing::warn!(%failure, "the job's work directory could not be removed");
    }
    result
}

/// Begins with nothing: looks at the destination, plans, and makes the work directory.
async fn begin(job: &JobInner, document: &str, ctx: &PlanContext) -> Result<ResumeState, Failure> {
    let engine = &job.engine;
    let (parameters, packager) = (job.parameters.clone(), Arc::clone(&engine.packager));
    let destination = job.destination.clone();
    let basemap = run_blocking(move || {
        packager.check_destination(&destination)?;
        basemap::find(&parameters, &destination, &*packager)
    })
    .await?;
    let plan = planner::plan(&engine.registry, &job.source, &job.parameters, &job.overrides, ctx).await?;
    let destination = job.destination.clone();
    let work_dir = run_blocking(move || WorkDir::make(&destination)).await?;
    let written = async {
        let ledger = job.open_ledger(&work_dir).await?;
        ledger.put("document", &document).await?;
        ledger.put_plan(&plan, engine.clock.now_ms()).await?;
        Ok(ledger)
    };
    let ledger = match written.await {
        Ok(ledger) => ledger,
        Err(failure) => return Err(resume::released(work_dir, failure).await),
    };
    Ok(ResumeState::PreparedJob(Box::new(PreparedJob {
        plan,
        basemap,
        work_dir,
        ledger,
        replaces: None,
        changed: Vec::new(),
    })))
}

/// What one run of a job begins with.
struct Run {
    plan: OfflineMapPlan,
    basemap: Option<ReferenceBasemap>,
    ledger: Ledger,
    replaces: Option<Arc<EarlierPackage>>,
    changed: Vec<usize>,
    document: String,
}

async fn run_all(job: &Arc<JobInner>, run: Run, work_dir: &Path) -> JobResult {
    let engine = &job.engine;
    let Run { mut plan, basemap, ledger, replaces, changed, document } = run;
    let (place, needed) = (work_dir.to_owned(), plan.bytes());
    match run_blocking(move || room::look(&place, needed)).await {
        Ok(warning) => plan.warnings.extend(warning),
        Err(failure) => {
            // The plan is kept: when there is room, the job goes on with it.
            job.keep.keep();
            return Err(failure.into());
        }
    }
    for warning in &plan.warnings {
        job.event_log.note(&job.subject, warning.clone(), MessageSeverity::Warning, MessageSource::Client);
    }
    let shared = JobShared { basemap, document, replaces, ..job.shared(plan, ledger, work_dir) };
    let shared = Arc::new(shared);
    shared.event_log.set_parts(shared.plan.tasks.len() + 1);
    if job.start_mode == StartMode::Resumed {
        for (index, task) in shared.plan.tasks.iter().enumerate() {
            let (state, outcome) = shared.ledger.task(&task.id).state().await?;
            let is_changed = changed.contains(&index);
            if is_changed && state != "planned" {
                let words = format!("the data of \"{}\" changed since; they are fetched again", task.title);
                job.event_log.note(&job.subject, words, MessageSeverity::Warning, MessageSource::Client);
            }
            if is_changed {
                task_run::begin_changed(&shared, task).await?;
            } else if resume::begins_anew(&state, outcome.as_deref()) {
                task_run::begin_anew(&shared, task).await?;
            }
        }
    }
    for task in &shared.plan.tasks {
        for layer in &task.layers {
            let subject = Subject::layer(layer.is_table, &layer.id, &layer.title);
            job.event_log.state(&subject, ExportState::NotStarted, None, None);
        }
    }
    let (sender, end) = oneshot::channel();
    let supervised = Arc::clone(&shared);
    engine.actors.spawn(move || {
        JobSupervisor::new(supervised, sender).start();
    })?;
    let JobEnd { outcome, layers, warnings, unchanged } = end.await.map_err(|_| {
        // Children that still run are told to stop; the supervisor is gone and nobody else would.
        shared.stop.cancel();
        Failure::new(
            FailureOwner::Engine,
            FailureKind::Panicked,
            FailureStage::Run,
            "the job's supervisor ended without a word; this is a bug in offmap",
        )
    })?;
    if let Err(failure) = &outcome {
        // What was brought home is not lost because the disk is full, and what was kept once goes only by success or by a word.
        let was_kept = job.start_mode == StartMode::Resumed && !failure.is_cancelled();
        if failure.owner == FailureOwner::Storage || was_kept {
            job.keep.keep();
        }
        if !job.keeps_work() {
            task_run::rollback_all(&shared).await;
        }
    }
    if unchanged {
        // What was made on services for a package that nobody will make.
        task_run::rollback_all(&shared).await;
    }
    match outcome {
        Ok(packed) => Ok(GenerateOfflineMapResult { package: packed.path, bytes: packed.bytes, layers, warnings }),
        Err(failure) => Err(JobError { can_resume: false, failure, layers }),
    }
}
