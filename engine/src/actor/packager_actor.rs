//! One per job that has something to pack: holds the running packager and reports its end.

use super::join_error::from_join_error;
use super::message::PackFinished;
use crate::census::CensusGuard;
use crate::export::{JobShared, to_the_end};
use crate::metrics;
use crate::packager::{PackRequest, Packed};
use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Recipient, WrapFuture as _, fut::ActorFutureExt as _};
use offmap_model::{Failure, FailureKind, FailureOwner, Progress};
use std::sync::Arc;
use tracing::Instrument as _;

#[derive(Debug)]
pub(crate) struct PackagerActor {
    pub(crate) shared: Arc<JobShared>,
    pub(crate) request: Option<PackRequest>,
    pub(crate) supervisor: Recipient<PackFinished>,
    pub(crate) reported: bool,
    pub(crate) _census: CensusGuard,
}

impl PackagerActor {
    fn report(&mut self, outcome: Result<Packed, Failure>) {
        if !std::mem::replace(&mut self.reported, true) {
            self.supervisor.do_send(PackFinished(outcome));
        }
    }
}

async fn measured(shared: Arc<JobShared>, request: PackRequest) -> Result<Packed, Failure> {
    let (clock, from) = (Arc::clone(&shared.clock), shared.clock.now_ms());
    let span = tracing::info_span!(parent: &shared.span, "package");
    let packed = pack(shared, request).instrument(span).await;
    metrics::package_ended(packed.as_ref().map(|p| p.bytes), (from, clock.now_ms()));
    packed
}

async fn pack(shared: Arc<JobShared>, request: PackRequest) -> Result<Packed, Failure> {
    let event_log = Arc::clone(&shared.event_log);
    let subject = shared.package_subject();
    let report = Arc::new(move |done: u64, all: u64| {
        // The last hundredth is the package at its place, whatever the packager counts.
        let fraction = (done as f64 / all.max(1) as f64).min(0.99);
        event_log.progress(&subject, Progress::percent((fraction * 100.0) as u64));
        event_log.part_done("package", fraction, true);
    });
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => return Err(Failure::cancelled()),
        () = shared.pause.passed() => {}
    }
    let token = shared.stop.child_token();
    let packed = to_the_end(&shared.stop, token.clone(), shared.packager.pack(request, report, token)).await;
    if let Err(failure) = &packed
        && failure.kind == FailureKind::Corrupt
    {
        distrust(&shared, failure).await;
    }
    packed
}

/// The task of a layer whose data were found damaged in the package is begun anew when the job is resumed: its files were good once, and
/// what finds that out again may not look as deep.
async fn distrust(shared: &JobShared, failure: &Failure) {
    let Some(layer) = &failure.layer else { return };
    let of_layer = shared.plan.tasks.iter().filter(|t| !t.carried && t.layers.iter().any(|l| l.id == *layer));
    for task in of_layer {
        // What a task failed with that was not the disk's is not relied on.
        let failure = Failure { owner: FailureOwner::Source, ..failure.clone() };
        if let Err(failure) = shared.ledger.task(&task.id).end(Err(&failure)).await {
            tracing::warn!(%failure, task = %task.id, "the task cannot be marked in the ledger");
        }
    }
}

impl Actor for PackagerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(request) = self.request.take() else {
            ctx.stop();
            return;
        };
        let work = self.shared.runtime.spawn(measured(Arc::clone(&self.shared), request));
        ctx.spawn(work.into_actor(self).map(|ended, actor, ctx| {
            actor.report(ended.unwrap_or_else(|e| Err(from_join_error(e, "packager"))));
            ctx.stop();
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.report(Err(Failure::internal("the packager's actor ended without a word")));
    }
}
