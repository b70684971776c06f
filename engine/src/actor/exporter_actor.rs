//! One per task: holds the running exporter and reports its end, whatever that is.

use super::join_error::from_join_error;
use super::message::ExportFinished;
use crate::census::CensusGuard;
use crate::export::{self, JobShared};
use crate::permits::ExportPermit;
use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Recipient, WrapFuture as _, fut::ActorFutureExt as _};
use offmap_model::{Artifact, Failure};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct ExporterActor {
    pub(crate) shared: Arc<JobShared>,
    pub(crate) task: usize,
    pub(crate) supervisor: Recipient<ExportFinished>,
    pub(crate) reported: bool,
    pub(crate) permit: Arc<ExportPermit>,
    pub(crate) _census: CensusGuard,
}

impl Drop for ExporterActor {
    fn drop(&mut self) {
        // Clones of the exporter's context may outlive it.
        self.permit.end();
    }
}

impl ExporterActor {
    fn report(&mut self, outcome: Result<Artifact, Failure>) {
        if !std::mem::replace(&mut self.reported, true) {
            // One report per child: `do_send` is not bounded by the mailbox, and must not be lost.
            self.supervisor.do_send(ExportFinished { task: self.task, outcome });
        }
    }
}

impl Actor for ExporterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let work = self.shared.runtime.spawn(export::run(Arc::clone(&self.shared), self.task, Arc::clone(&self.permit)));
        let exporter = self.shared.plan.tasks.get(self.task).map(|t| t.exporter.clone()).unwrap_or_default();
        ctx.spawn(work.into_actor(self).map(move |ended, actor, ctx| {
            actor.report(ended.unwrap_or_else(|e| Err(from_join_error(e, &exporter))));
            ctx.stop();
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.report(Err(Failure::internal("an exporter's actor ended without a word")));
    }
}
