//! One per job: the only one that knows the error policy, starts children as permits allow, and sums up.
//!
//! | what happened | `continueOnErrors` false | true (default) |
//! | --- | --- | --- |
//! | parameters or overrides invalid | refused before start | refused before start |
//! | layer cannot go offline | planning fails with that layer's reason | skipped, reason in the result |
//! | one layer fails (panic and silence count) | job failed with that failure; none started after, running ones cancelled | recorded; the package holds the rest |
//! | every layer fails | job failed | job failed: an empty package is no success |
//! | a package would be replaced by one that holds less, or nothing new came | job failed, the package stays as it is | the same |
//! | packager fails, host cancels | job failed or cancelled, destination untouched | the same |

use super::exporter_actor::ExporterActor;
use super::message::{ExportFinished, PackFinished};
use super::packager_actor::{PackagerActor, package_subject};
use super::shared::{CensusGuard, JobShared};
use super::task_run;
use crate::carried::{passing, stays_as_it_is};
use crate::packager::{EarlierPackage, PackRequest, Packed, Replacement, TaskArtifact};
use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, WrapFuture as _, fut::ActorFutureExt as _};
use offmap_model::{
    Artifact, CountUnit, ExportState, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact, LayerContents,
    LayerOutcome, Subject,
};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How a job ended, as its supervisor knows it.
#[derive(Debug)]
pub(crate) struct JobEnd {
    pub(crate) outcome: Result<Packed, Failure>,
    pub(crate) layers: Vec<LayerOutcome>,
    pub(crate) warnings: Vec<String>,
    /// Whether a package that was to be completed stays as it is, because nothing new came.
    pub(crate) unchanged: bool,
}

#[derive(Debug)]
pub(crate) struct JobSupervisor {
    shared: Arc<JobShared>,
    /// Index of the next task to start.
    next: usize,
    running: usize,
    waits_for_permit: bool,
    artifacts: Vec<TaskArtifact>,
    outcomes: HashMap<String, LayerOutcome>,
    /// The failure that stops the job under `continueOnErrors: false`.
    fatal: Option<Failure>,
    warnings: Vec<String>,
    packing: bool,
    unchanged: bool,
    end: Option<oneshot::Sender<JobEnd>>,
    _census: CensusGuard,
}

impl JobSupervisor {
    pub(crate) fn new(shared: Arc<JobShared>, end: oneshot::Sender<JobEnd>) -> Self {
        let census = shared.census.enter();
        let warnings = shared.plan.warnings.clone();
        Self {
            shared,
            next: 0,
            running: 0,
            waits_for_permit: false,
            artifacts: Vec::new(),
            outcomes: HashMap::new(),
            fatal: None,
            warnings,
            packing: false,
            unchanged: false,
            end: Some(end),
            _census: census,
        }
    }

    /// Starts the next task when a permit is free; packs when all are in.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.packing || self.waits_for_permit {
            return;
        }
        let stopped = self.shared.stop.is_cancelled();
        if self.next < self.shared.plan.tasks.len() && !stopped {
            self.waits_for_permit = true;
            let (permits, stop) = (Arc::clone(&self.shared.permits), self.shared.stop.clone());
            let pause = Arc::clone(&self.shared.pause);
            let free = async move {
                loop {
                    pause.passed().await;
                    let permit = Arc::clone(&permits).acquire_owned().await;
                    // A paused job holds no permit that another job could use.
                    if !pause.is_closed() {
                        return permit;
                    }
                }
            };
            let permit = async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => None,
                    permit = free => permit.ok(),
                }
            };
            ctx.spawn(permit.into_actor(self).map(|permit, actor, ctx| {
                actor.waits_for_permit = false;
                if let Some(permit) = permit {
                    actor.start_child(permit, ctx);
                }
                actor.go_on(ctx);
            }));
        } else if self.running == 0 {
            self.all_in(ctx);
        }
    }

    fn start_child(&mut self, permit: tokio::sync::OwnedSemaphorePermit, ctx: &mut Context<Self>) {
        let Some(task) = self.shared.plan.tasks.get(self.next) else { return };
        for layer in &task.layers {
            let subject = Subject::layer(layer.is_table, &layer.id, &layer.title);
            self.shared.event_log.state(&subject, ExportState::Started, None, None);
        }
        ExporterActor {
            shared: Arc::clone(&self.shared),
            task: self.next,
            supervisor: ctx.address(),
            told: false,
            _permit: permit,
            _census: self.shared.census.enter(),
        }
        .start();
        self.next += 1;
        self.running += 1;
    }

    /// Keeps the outcome of every layer of a task and says its terminal word.
    fn keep(&mut self, index: usize, outcome: Result<Artifact, Failure>) {
        let plan = Arc::clone(&self.shared.plan);
        let Some(task) = plan.tasks.get(index) else { return };
        let is_over = !outcome.as_ref().is_err_and(Failure::is_cancelled);
        let (artifact, whole) = match outcome {
            Ok(artifact) => (Some(artifact), None),
            Err(failure) => (None, Some(failure)),
        };
        let of_layer = artifact.iter().flat_map(|a| a.layers.iter().rev()).map(|l| (l.id.as_str(), l));
        let of_layer: HashMap<&str, &LayerArtifact> = of_layer.collect();
        for layer in &task.layers {
            let got = of_layer.get(layer.id.as_str()).copied();
            let contents = got.map(|g| g.contents.clone()).unwrap_or_default();
            let file = got.and_then(|g| artifact.as_ref()?.files.get(g.file?));
            let failure = whole.clone().or_else(|| got.and_then(|g| g.failure.clone())).map(|mut f| {
                f.layer = Some(layer.id.clone());
                f
            });
            let state = ExportState::ended(failure.as_ref());
            if let Some(f) = failure.as_ref().filter(|f| !f.is_cancelled()) {
                tracing::warn!(layer = %layer.title, failure = %f, "layer failed");
                if f.owner == FailureOwner::Storage && self.fatal.is_none() {
                    // A full disk is not a layer's: the job ends, and can go on when there is room.
                    self.shared.keep.keep();
                    self.fatal = Some(f.clone());
                    self.shared.stop.cancel();
                }
                if self.shared.plan.parameters.stops_at(&layer.id) && self.fatal.is_none() {
                    self.fatal = Some(f.clone());
                    self.shared.stop.cancel();
                }
            }
            self.tell(LayerOutcome {
                id: layer.id.clone(),
                title: layer.title.clone(),
                is_table: layer.is_table,
                state,
                contents: LayerContents { planned: contents.planned.or(layer.expected), ..contents },
                count_unit: task.count_unit,
                bytes: file.map_or(0, |f| f.bytes),
                failure,
            });
        }
        if let Some(artifact) = artifact {
            self.warnings.extend(artifact.warnings.iter().cloned());
            crate::planner::shorten(&mut self.warnings);
            let work_dir = task_run::task_dir(&self.shared, task);
            self.artifacts.push(TaskArtifact { task: task.id.clone(), work_dir, artifact });
        }
        if is_over {
            self.shared.event_log.part_done(&task.id, 1.0, true);
        }
    }

    fn tell(&mut self, outcome: LayerOutcome) {
        let subject = Subject::layer(outcome.is_table, &outcome.id, &outcome.title);
        self.shared.event_log.state(&subject, outcome.state, None, outcome.failure.clone());
        self.outcomes.insert(outcome.id.clone(), outcome);
    }

    /// Everything has ended: sum up, then pack or give up.
    fn all_in(&mut self, ctx: &mut Context<Self>) {
        for index in self.next..self.shared.plan.tasks.len() {
            self.keep(index, Err(Failure::cancelled()));
        }
        self.next = self.shared.plan.tasks.len();
        let shared = Arc::clone(&self.shared);
        let idle = |id: &str, title: &str, is_table: bool, state, failure: Option<Failure>| LayerOutcome {
            id: id.to_owned(),
            title: title.to_owned(),
            is_table,
            state,
            contents: LayerContents::default(),
            count_unit: CountUnit::Items,
            bytes: 0,
            failure,
        };
        for s in &shared.plan.skipped {
            self.tell(idle(&s.id, &s.title, s.is_table, ExportState::Skipped, s.failure.clone()));
        }
        for e in &shared.plan.embedded {
            self.tell(idle(&e.id, &e.title, false, ExportState::Succeeded, None));
        }
        let layers = self.layers();
        let failure = if shared.cancel.is_cancelled() {
            Some(Failure::cancelled())
        } else if let Some(fatal) = self.fatal.take() {
            Some(fatal)
        } else if !layers.iter().any(|l| l.state == ExportState::Succeeded) {
            Some(nothing_left(&layers))
        } else {
            None
        };
        if let Some(failure) = failure {
            self.finish(Err(failure), ctx);
            return;
        }
        self.packing = true;
        shared.event_log.state(&package_subject(&shared), ExportState::Started, None, None);
        if let Some(earlier) = &shared.replaces
            && let Some(outcome) = self.judge(earlier, &layers)
        {
            self.finish(outcome, ctx);
            return;
        }
        let request = PackRequest {
            job: shared.job.clone(),
            document: shared.document.clone(),
            replaces: shared.replaces.is_some(),
            secrets: shared.secrets.clone(),
            source: Arc::clone(&shared.source),
            plan: Arc::clone(&shared.plan),
            basemap: shared.basemap.clone(),
            containers: shared.containers.clone(),
            contents: shared.read_contents(),
            artifacts: std::mem::take(&mut self.artifacts),
            layers,
            staging_dir: shared.work_dir.join("package"),
            destination: shared.destination.clone(),
            created: shared.clock.now_ms(),
        };
        PackagerActor {
            shared: Arc::clone(&shared),
            request: Some(request),
            supervisor: ctx.address(),
            told: false,
            _census: shared.census.enter(),
        }
        .start();
    }

    /// Judges what is to take the place of an earlier package; answers how the job ends where that package stays.
    fn judge(&mut self, earlier: &EarlierPackage, layers: &[LayerOutcome]) -> Option<Result<Packed, Failure>> {
        let package = &self.shared.destination;
        match earlier.replaced_by(layers) {
            Replacement::Gains => None,
            Replacement::Loses(what) => {
                let message = format!("the new package would hold less: {what}");
                let failure = Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Package, message);
                Some(Err(stays_as_it_is(failure, package)))
            }
            Replacement::Same => match passing(layers.iter().filter_map(|l| l.failure.as_ref())) {
                Some(failure) => Some(Err(stays_as_it_is(failure.clone(), package))),
                None => {
                    self.unchanged = true;
                    self.warnings.push("nothing that is missing could be fetched; the package stays as it is".to_owned());
                    let files = earlier.files.len() as u64;
                    Some(Ok(Packed { path: package.clone(), bytes: earlier.bytes, files }))
                }
            },
        }
    }

    /// Outcomes in the order of the map.
    fn layers(&self) -> Vec<LayerOutcome> {
        self.shared.source.web_map.layers().iter().filter_map(|l| self.outcomes.get(&l.id).cloned()).collect()
    }

    fn finish(&mut self, outcome: Result<Packed, Failure>, ctx: &mut Context<Self>) {
        let (state, failure) = match &outcome {
            Ok(_) => (ExportState::Succeeded, None),
            Err(f) if f.is_cancelled() => (ExportState::Cancelled, None),
            Err(f) => (ExportState::Failed, Some(f.clone())),
        };
        self.shared.event_log.state(&package_subject(&self.shared), state, None, failure);
        if let Some(end) = self.end.take() {
            let warnings = std::mem::take(&mut self.warnings);
            // The job's driver may have been dropped with its engine.
            let _ = end.send(JobEnd { outcome, layers: self.layers(), warnings, unchanged: self.unchanged });
        }
        ctx.stop();
    }
}

/// Every layer failed = the job failed, with the first layer's failure.
fn nothing_left(layers: &[LayerOutcome]) -> Failure {
    let first = layers.iter().find_map(|l| l.failure.clone());
    match first {
        Some(mut failure) => {
            failure.message = format!("no layer could be taken offline; the first: {}", failure.message);
            failure
        }
        None => {
            Failure::invalid_parameter("the map has nothing to take offline: it has no layers, or all of them were left out")
        }
    }
}

impl Actor for JobSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.go_on(ctx);
    }
}

impl Handler<ExportFinished> for JobSupervisor {
    type Result = ();

    fn handle(&mut self, message: ExportFinished, ctx: &mut Self::Context) {
        self.running = self.running.saturating_sub(1);
        self.keep(message.task, message.outcome);
        self.go_on(ctx);
    }
}

impl Handler<PackFinished> for JobSupervisor {
    type Result = ();

    fn handle(&mut self, message: PackFinished, ctx: &mut Self::Context) {
        if message.0.is_ok() {
            self.shared.event_log.part_done("package", 1.0, true);
        }
        // A job that was cancelled while its package was put in place is done, not cancelled: the package is there.
        self.finish(message.0, ctx);
    }
}
