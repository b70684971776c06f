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
use super::outcomes::Outcomes;
use super::packager_actor::PackagerActor;
use crate::census::CensusGuard;
use crate::earlier::{UNCHANGED, passing, stays_as_it_is};
use crate::export::JobShared;
use crate::packager::{EarlierPackage, PackRequest, Packed, Replacement};
use crate::permits::{ExportPermit, Permit};
use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, WrapFuture as _, fut::ActorFutureExt as _};
use offmap_model::{ExportState, Failure, FailureKind, FailureOwner, FailureStage, LayerOutcome, Subject};
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
    outcomes: Outcomes,
    packing: bool,
    unchanged: bool,
    end: Option<oneshot::Sender<JobEnd>>,
    _census: CensusGuard,
}

impl JobSupervisor {
    pub(crate) fn new(shared: Arc<JobShared>, end: oneshot::Sender<JobEnd>) -> Self {
        let census = shared.census.enter();
        let outcomes = Outcomes::new(shared.plan.warnings.clone());
        Self {
            shared,
            next: 0,
            running: 0,
            waits_for_permit: false,
            outcomes,
            packing: false,
            unchanged: false,
            end: Some(end),
            _census: census,
        }
    }

    /// Starts the next task when a permit is free; packs when all are in.
    fn start_next(&mut self, ctx: &mut Context<Self>) {
        if self.packing || self.waits_for_permit {
            return;
        }
        let stopped = self.shared.stop.is_cancelled();
        if let Some(task) = self.shared.plan.tasks.get(self.next).filter(|_| !stopped) {
            self.waits_for_permit = true;
            let key = self.shared.permit_key(task);
            let (permits, stop) = (Arc::clone(&self.shared.permits), self.shared.stop.clone());
            let pause = Arc::clone(&self.shared.pause);
            let free = async move {
                loop {
                    pause.passed().await;
                    let permit = permits.acquire(key.clone()).await;
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
                    permit = free => Some(permit),
                }
            };
            ctx.spawn(permit.into_actor(self).map(|permit, actor, ctx| {
                actor.waits_for_permit = false;
                if let Some(permit) = permit {
                    actor.start_child(permit, ctx);
                }
                actor.start_next(ctx);
            }));
        } else if self.running == 0 {
            self.all_ended(ctx);
        }
    }

    fn start_child(&mut self, permit: Permit, ctx: &mut Context<Self>) {
        let Some(task) = self.shared.plan.tasks.get(self.next) else { return };
        for layer in &task.layers {
            let subject = Subject::layer(layer.is_table, &layer.id, &layer.title);
            self.shared.event_log.state(&subject, ExportState::Started, None, None);
        }
        ExporterActor {
            shared: Arc::clone(&self.shared),
            task: self.next,
            supervisor: ctx.address().recipient(),
            reported: false,
            permit: Arc::new(ExportPermit::new(permit)),
            _census: self.shared.census.enter(),
        }
        .start();
        self.next += 1;
        self.running += 1;
    }

    /// Everything has ended: sum up, then pack or give up.
    fn all_ended(&mut self, ctx: &mut Context<Self>) {
        let shared = Arc::clone(&self.shared);
        for index in self.next..shared.plan.tasks.len() {
            self.outcomes.task_ended(&shared, index, Err(Failure::cancelled()));
        }
        self.next = shared.plan.tasks.len();
        self.outcomes.idle_layers(&shared);
        let layers = self.outcomes.in_order(&shared);
        if let Some(failure) = self.outcomes.failure(&shared, &layers) {
            self.finish(Err(failure), ctx);
            return;
        }
        self.packing = true;
        shared.event_log.state(&shared.package_subject(), ExportState::Started, None, None);
        if let Some(earlier) = &shared.replaces
            && let Some(outcome) = self.judge(earlier, &layers)
        {
            self.finish(outcome, ctx);
            return;
        }
        PackagerActor {
            request: Some(self.request(layers)),
            supervisor: ctx.address().recipient(),
            reported: false,
            _census: shared.census.enter(),
            shared,
        }
        .start();
    }

    fn request(&mut self, layers: Vec<LayerOutcome>) -> PackRequest {
        let shared = &self.shared;
        PackRequest {
            job: shared.job.clone(),
            document: shared.document.clone(),
            replaces: shared.replaces.is_some(),
            overwrites: shared.replaces.as_ref().is_some_and(|earlier| earlier.is_overwritten),
            secrets: shared.secrets.clone(),
            source: Arc::clone(&shared.source),
            plan: Arc::clone(&shared.plan),
            basemap: shared.basemap.clone(),
            containers: shared.containers.clone(),
            contents: shared.read_contents(),
            artifacts: std::mem::take(&mut self.outcomes.artifacts),
            layers,
            staging_dir: shared.work_dir.join("package"),
            destination: shared.destination.clone(),
            created: shared.clock.now_ms(),
        }
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
                    self.outcomes.warnings.push(UNCHANGED.to_owned());
                    let files = earlier.files.len() as u64;
                    Some(Ok(Packed { path: package.clone(), bytes: earlier.bytes, files }))
                }
            },
        }
    }

    fn finish(&mut self, outcome: Result<Packed, Failure>, ctx: &mut Context<Self>) {
        self.shared.event_log.ended(&self.shared.package_subject(), outcome.as_ref().err());
        if let Some(end) = self.end.take() {
            let warnings = std::mem::take(&mut self.outcomes.warnings);
            // The job's driver may have been dropped with its engine.
            let _ = end.send(JobEnd {
                outcome,
                layers: self.outcomes.in_order(&self.shared),
                warnings,
                unchanged: self.unchanged,
            });
        }
        ctx.stop();
    }
}

impl Actor for JobSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_next(ctx);
    }
}

impl Handler<ExportFinished> for JobSupervisor {
    type Result = ();

    fn handle(&mut self, message: ExportFinished, ctx: &mut Self::Context) {
        self.running = self.running.saturating_sub(1);
        self.outcomes.task_ended(&self.shared, message.task, message.outcome);
        self.start_next(ctx);
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
