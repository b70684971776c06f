//! The state of a job: what it is made with, and how far it is.

use super::document::{JOB_FORMAT, JobDocumentView};
use crate::event_log::EventLog;
use crate::export::JobShared;
use crate::keep::Keep;
use crate::ledger::Ledger;
use crate::pause::Pause;
use crate::plan::PlanInputs;
use crate::resources::EngineResources;
use crate::work_dir::WorkDir;
use dashmap::DashMap;
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

/// The jobs of an engine that were started and have not ended, by id.
#[derive(Debug, Default)]
pub(crate) struct RunningJobs(pub(crate) DashMap<String, Arc<JobState>>);

/// What an engine gives to each of its jobs.
#[derive(Debug, Clone)]
pub(crate) struct JobHost {
    pub(crate) resources: Arc<EngineResources>,
    pub(crate) running: Arc<RunningJobs>,
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
pub(crate) struct JobState {
    pub(crate) engine: Arc<EngineResources>,
    /// The jobs that were started and have not ended; this one is among them then.
    pub(super) running: Arc<RunningJobs>,
    pub(crate) id: String,
    pub(super) subject: Subject,
    pub(crate) source: Arc<OfflineMapSource>,
    /// What is taken out of everything that is written or shown.
    pub(crate) secrets: SecretRegistry,
    pub(crate) parameters: GenerateOfflineMapParameters,
    pub(crate) overrides: GenerateOfflineMapParameterOverrides,
    pub(crate) destination: PathBuf,
    pub(super) start_mode: StartMode,
    pub(super) event_log: Arc<EventLog>,
    pub(super) cancel: CancellationToken,
    pub(super) result: watch::Sender<Option<JobResult>>,
    pub(super) started: AtomicBool,
    pub(super) pause: Arc<Pause>,
    pub(super) keep: Arc<Keep>,
    /// Whether a package at the destination is replaced.
    pub(super) overwrites: AtomicBool,
    /// Longest time from start to end in milliseconds; 0 for no limit.
    pub(super) time_limit: AtomicU64,
    /// What of it was spent before the start, in milliseconds.
    pub(super) time_spent: AtomicU64,
    timed_out: AtomicBool,
}

impl JobState {
    /// The map may be large: it is shared, not copied.
    pub(crate) fn new(
        host: JobHost,
        id: String,
        source: Arc<OfflineMapSource>,
        (parameters, overrides): (GenerateOfflineMapParameters, GenerateOfflineMapParameterOverrides),
        destination: PathBuf,
        start_mode: StartMode,
    ) -> Self {
        let JobHost { resources: engine, running } = host;
        let title = source.item.as_ref().map(|i| i.title.clone()).filter(|t| !t.is_empty());
        let subject = Subject::new(SubjectKind::Job, &id, title.unwrap_or_else(|| "offline map".to_owned()));
        let secrets = engine.secrets_of(&source);
        let event_log = EventLog::new(subject.clone(), Arc::clone(&engine.clock), secrets.clone());
        let cancel = engine.root.child_token();
        let keep = match start_mode {
            StartMode::Resumed => Keep::resumed(),
            _ => Keep::default(),
        };
        Self {
            engine,
            running,
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
            keep: Arc::new(keep),
            overwrites: AtomicBool::new(false),
            time_limit: AtomicU64::new(0),
            time_spent: AtomicU64::new(0),
            timed_out: AtomicBool::new(false),
        }
    }

    /// What the job is made with.
    pub(crate) fn host(&self) -> JobHost {
        JobHost { resources: Arc::clone(&self.engine), running: Arc::clone(&self.running) }
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

    pub(super) fn document(&self) -> Result<String, Failure> {
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
    pub(super) async fn time_passes(&self) {
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
    pub(super) fn in_time(&self, mut result: JobResult) -> JobResult {
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

    pub(super) fn end(&self, result: JobResult) {
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
        self.running.0.remove(&self.id);
        self.event_log.ended(&self.subject, result.as_ref().err().map(|e| &e.failure));
        self.result.send_replace(Some(result));
    }
}
