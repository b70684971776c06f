//! The thread that owns the actix system.

use offmap_model::Failure;
use std::sync::mpsc;

/// A handle to the system. No actix type leaves the actors' modules.
#[derive(Debug)]
pub(crate) struct Actors {
    system: actix::System,
    arbiter: actix::ArbiterHandle,
}

impl Actors {
    pub(crate) fn start() -> Result<(Self, std::thread::JoinHandle<()>), Failure> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("offmap-actors".to_owned())
            .spawn(move || {
                let runner = actix::System::new();
                let actors = Self { system: actix::System::current(), arbiter: actix::Arbiter::current() };
                if sender.send(actors).is_ok()
                    && let Err(error) = runner.run()
                {
                    tracing::error!(%error, "the actor system ended with an error");
                }
            })
            .map_err(|e| Failure::internal(format!("cannot start the actor thread: {e}")))?;
        let actors = receiver.recv().map_err(|e| Failure::internal(format!("the actor thread did not start: {e}")))?;
        Ok((actors, thread))
    }

    /// Runs a closure on the actor thread, to start an actor there.
    pub(crate) fn spawn(&self, start: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        if self.arbiter.spawn_fn(start) {
            return Ok(());
        }
        Err(Failure::internal("the engine is shut down; make a new one"))
    }

    /// Ends the system and its thread.
    pub(crate) fn stop(&self) {
        self.system.stop();
    }
}
