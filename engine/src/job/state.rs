//! The state of a job: what it is made with, and how far it is.

use super::document::{JOB_FORMAT, JobDocumentView};
use crate::event_log::EventLog;
use crate::export::JobShared;
use crate::keep::Keep;
use crate::ledger::Ledger;
use crate::pause::Pause;
use crate::plan::PlanInputs;
use crate::resources::{EngineResources, take_out_repeated};
use crate::work_dir::WorkDir;
use offmap_arcgis::Session;
use offmap_model::{
    Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters,
    GenerateOfflineMapResult, JobError, LayerOutcome, OfflineMapPlan, OfflineMapSource, SecretRegistry, Subject,
    SubjectKind,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How a job ended.
pub(crate) type JobResult = Result<GenerateOfflineMapResult, JobError>;

/// The tenant of jobs for which none was named.
pub(crate) const NO_TENANT: &str = "";

/// What an engine gives to a job.
#[derive(Debug, Clone)]
pub(crate) struct JobHost {
    pub(crate) resources: Arc<EngineResources>,
    /// Whose the job is.
    pub(crate) tenant: Arc<str>,
    /// Who asks the services; `None` where that is whoever the exporters' client works for.
    pub(crate) session: Option<Session>,
    /// The number after which its messages begin.
    pub(crate) first_event: u64,
}

impl JobHost {
    /// For a job of nobody in particular.
    pub(crate) fn new(resources: Arc<EngineResources>, session: Option<Session>) -> Self {
        Self { resources, tenant: NO_TENANT.into(), session, first_event: 0 }
    }
}

/// How a job begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartMode {
    /// With nothing.
    Fresh,
    /// With what an interrupted one left.
    Resumed,
    /// With an incomplete package.
    Completing,
    /// With a complete package: only its work directory was not removed yet.
    Finished,
}

#[derive(Debug)]
pub(crate) struct JobInner {
    pub(crate) engine: Arc<EngineResources>,
    pub(crate) tenant: Arc<str>,
    /// Of its run: its work and its package name it. The subject has the job's own.
    pub(crate) id: String,
    pub(crate) subject: Subject,
    pub(crate) source: Arc<OfflineMapSource>,
    /// What is taken out of everything that is written or shown.
    pub(crate) secrets: SecretRegistry,
    /// Who asks the services, where the job has credentials of its own.
    pub(crate) session: Option<Session>,
    pub(crate) parameters: GenerateOfflineMapParameters,
    pub(crate) overrides: GenerateOfflineMapParameterOverrides,
    pub(crate) destination: PathBuf,
    pub(crate) start_mode: StartMode,
    pub(crate) event_log: Arc<EventLog>,
    pub(crate) cancel: CancellationToken,
    pub(crate) result: watch::Sender<Option<JobResult>>,
    pub(crate) started: AtomicBool,
    pub(crate) pause: Arc<Pause>,
    pub(crate) keep: Arc<Keep>,
    /// Whether a package at the destination is replaced.
    pub(crate) overwrites: AtomicBool,
    /// Longest time from start to end in milliseconds; 0 for no limit.
    pub(crate) time_limit: AtomicU64,
    /// What of it was spent before the start, in milliseconds.
    pub(crate) time_spent: AtomicU64,
    timed_out: AtomicBool,
    /// Whether its credentials are those that the host's provider answered: where they are refused it waits for others.
    pub(crate) asks_host: bool,
}

impl JobInner {
    /// The map may be large: it is shared, not copied.
    pub(crate) fn new(
        host: JobHost,
        id: String,
        mut source: Arc<OfflineMapSource>,
        (mut parameters, overrides): (GenerateOfflineMapParameters, GenerateOfflineMapParameterOverrides),
        destination: PathBuf,
        start_mode: StartMode,
    ) -> Self {
        let JobHost { resources: engine, tenant, session, first_event } = host;
        let secrets = engine.secrets_of(&source);
        if take_out_repeated(&secrets, &mut source) {
            parameters.item_info.as_mut().into_iter().for_each(|info| secrets.scrub_item_info(info));
        }
        session.iter().for_each(|session| secrets.include(session.secrets()));
        // It is in every message and in the store.
        let subject = Subject::new(SubjectKind::Job, &id, secrets.scrubbed(source.map_title().to_owned()));
        let event_log = EventLog::after(first_event, subject.clone(), Arc::clone(&engine.clock), secrets.clone());
        let cancel = engine.root.child_token();
        let keep = match start_mode {
            StartMode::Resumed => Keep::resumed(),
            _ => Keep::default(),
        };
        Self {
            engine,
            tenant,
            id,
            subject,
            source,
            secrets,
            session,
            parameters,
            overrides,
            destination,
            start_mode,
            event_log,
            cancel,
            result: watch::Sender::new(None),
            started: AtomicBool::new(false),
            pause: Arc::default(),
            keep: Arc::new(keep),
            overwrites: AtomicBool::new(false),
            time_limit: AtomicU64::new(0),
            time_spent: AtomicU64::new(0),
            timed_out: AtomicBool::new(false),
            asks_host: false,
        }
    }

    /// What the job is made with.
    pub(crate) fn host(&self) -> JobHost {
        JobHost {
            resources: Arc::clone(&self.engine),
            tenant: Arc::clone(&self.tenant),
            session: self.session.clone(),
            first_event: self.event_log.base(),
        }
    }

    /// What a plan of its map is made of.
    pub(super) fn plan_inputs(&self) -> PlanInputs<'_> {
        PlanInputs {
            registry: &self.engine.registry,
            source: &self.source,
            parameters: &self.parameters,
            overrides: &self.overrides,
        }
    }

    /// The job's ledger, into which none of its secrets is written.
    async fn open_ledger(&self, work_dir: &WorkDir) -> Result<Ledger, Failure> {
        Ok(Ledger::open_locked(&work_dir.ledger(), Some(work_dir.lock())).await?.without(self.secrets.clone()))
    }

    /// The job's ledger when something was done with it; where that failed it is closed again.
    pub(super) async fn with_ledger<T>(
        &self,
        work_dir: &WorkDir,
        work: impl AsyncFnOnce(&Ledger) -> Result<T, Failure>,
    ) -> Result<(Ledger, T), Failure> {
        let ledger = self.open_ledger(work_dir).await?;
        match work(&ledger).await {
            Ok(done) => Ok((ledger, done)),
            Err(failure) => {
                ledger.close().await;
                Err(failure)
            }
        }
    }

    /// What its tasks share, for a plan in a work directory.
    pub(crate) fn shared(&self, plan: OfflineMapPlan, ledger: Ledger, work_dir: &Path) -> JobShared {
        let engine = &self.engine;
        JobShared {
            job: self.id.clone(),
            tenant: Arc::clone(&self.tenant),
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
            is_fresh: self.start_mode == StartMode::Fresh,
            replaces: None,
            secrets: self.secrets.clone(),
            session: self.session.clone(),
            stop: self.cancel.child_token(),
            runtime: engine.runtime.clone(),
            permits: Arc::clone(&engine.export_permits),
            census: Arc::clone(&engine.census),
            work_dir: work_dir.to_owned(),
            destination: self.destination.clone(),
            layers: Default::default(),
            span: tracing::Span::current(),
        }
    }

    pub(crate) fn document(&self) -> Result<String, Failure> {
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
    pub(crate) async fn time_passes(&self) {
        match self.time_limit.load(Ordering::Acquire) {
            0 => std::future::pending().await,
            limit => {
                let left = limit.saturating_sub(self.time_spent.load(Ordering::Acquire));
                self.engine.clock.sleep(Duration::from_millis(left)).await;
            }
        }
        self.end_by_time();
    }

    /// Whether the job waits for other credentials after a failure, instead of a try with the same ones.
    pub(crate) fn waits_for_credentials(&self, failure: &Failure) -> bool {
        self.asks_host && failure.owner == FailureOwner::Credentials
    }

    /// Decides whether the work stays after a failure of the job. Who asks does what this says: it may be another answer later.
    pub(super) fn keeps_after(&self, failure: &Failure) -> bool {
        self.keep.job_failed(failure);
        if self.waits_for_credentials(failure) {
            self.keep.keep_unless_cancelled();
        }
        self.keep.is_kept()
    }

    /// Stops the job, since its time is over. It keeps what it has.
    pub(crate) fn end_by_time(&self) {
        self.timed_out.store(true, Ordering::Release);
        self.keep.keep();
        self.cancel.cancel();
    }

    /// Whether its time is over.
    pub(crate) fn is_timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Acquire)
    }

    /// A job that was stopped by its time limit has failed; nobody cancelled it.
    pub(crate) fn in_time(&self, mut result: JobResult) -> JobResult {
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

    /// The result as it may be shown.
    pub(crate) fn scrubbed(&self, result: JobResult) -> JobResult {
        let scrub = |layers: &mut Vec<LayerOutcome>| {
            for layer in layers {
                layer.failure = layer.failure.take().map(|f| self.secrets.failure(f));
            }
        };
        match result {
            Ok(mut result) => {
                scrub(&mut result.layers);
                result.warnings = result.warnings.into_iter().map(|w| self.secrets.scrubbed(w)).collect();
                Ok(result)
            }
            Err(mut error) => {
                scrub(&mut error.layers);
                error.failure = self.secrets.failure(error.failure);
                Err(error)
            }
        }
    }

    /// Says how the job ended, as its last message.
    pub(crate) fn tell_end(&self, result: &JobResult) {
        self.event_log.ended(&self.subject, result.as_ref().err().map(|e| &e.failure));
    }
}
