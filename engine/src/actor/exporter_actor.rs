//! One per task: holds the running exporter and reports its end, whatever that is.

use super::job_supervisor::JobSupervisor;
use super::message::ExportFinished;
use super::shared::{CensusGuard, JobShared};
use super::task_run;
use actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Context, WrapFuture as _, fut::ActorFutureExt as _};
use offmap_model::{Artifact, Failure, FailureKind, FailureOwner, FailureStage};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinError;

#[derive(Debug)]
pub(crate) struct ExporterActor {
    pub(crate) shared: Arc<JobShared>,
    pub(crate) task: usize,
    pub(crate) supervisor: Addr<JobSupervisor>,
    pub(crate) told: bool,
    pub(crate) _permit: OwnedSemaphorePermit,
    pub(crate) _census: CensusGuard,
}

impl ExporterActor {
    fn tell(&mut self, outcome: Result<Artifact, Failure>) {
        if !std::mem::replace(&mut self.told, true) {
            // One report per child: `do_send` is not bounded by the mailbox, and must not be lost.
            self.supervisor.do_send(ExportFinished { task: self.task, outcome });
        }
    }
}

impl Actor for ExporterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let work = self.shared.runtime.spawn(task_run::run(Arc::clone(&self.shared), self.task));
        let exporter = self.shared.plan.tasks.get(self.task).map(|t| t.exporter.clone()).unwrap_or_default();
        ctx.spawn(work.into_actor(self).map(move |ended, actor, ctx| {
            actor.tell(ended.unwrap_or_else(|e| Err(from_join_error(e, &exporter))));
            ctx.stop();
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.tell(Err(Failure::internal("an exporter's actor ended without a word")));
    }
}

/// A plug-in's panic is a failure of its layers, with the panic's text.
pub(crate) fn from_join_error(error: JoinError, who: &str) -> Failure {
    let words = match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
        }
        Err(_) => return Failure::internal(format!("the runtime dropped `{who}` while it worked")),
    };
    let message = format!("`{who}` panicked: {words}");
    Failure::new(FailureOwner::Engine, FailureKind::Panicked, FailureStage::Run, message)
}
