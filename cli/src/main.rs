//! `offmap`: takes a web map offline, says what can go offline, plans it, verifies and shows packages.
//!
//! Exit codes: 0 complete, 3 done but something is missing (of `check`: cannot go offline), 1 failed and nothing left at the
//! destination (of `verify`: damaged), 2 wrong usage, 130 cancelled by Ctrl-C. Secrets come from the environment only.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod ask;
mod clean;
mod interrupt;
mod packages;
mod progress;
mod secrets;
mod setup;
mod take;
mod terminal;

use arguments::{Arguments, Command};
use clap::Parser as _;
use offmap::{Failure, FailureKind, FailureOwner};
use std::process::ExitCode;
use terminal::note;

/// Exit code of what was done and lacks something.
pub(crate) const INCOMPLETE: u8 = 3;

/// Why the program ends without success.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) code: u8,
    pub(crate) message: String,
    /// What it is for programs; one without is the caller's.
    failure: Option<Box<Failure>>,
}

impl Stop {
    /// What the caller has to change in the call.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), failure: None }
    }

    /// The reason as programs read it.
    pub(crate) fn failure(&self) -> Failure {
        let failure = self.failure.as_deref().cloned();
        secrets::without(failure.unwrap_or_else(|| Failure::invalid_parameter(self.message.clone())))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let code = match failure.owner {
            _ if failure.is_cancelled() => 130,
            // A job that ran into its time limit was used rightly.
            FailureOwner::Caller if failure.kind != FailureKind::TimedOut => 2,
            _ => 1,
        };
        Self { code, message: failure.to_string(), failure: Some(Box::new(failure)) }
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("OFFMAP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| terminal::Log).init();
    let command = Arguments::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            note!("offmap: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(command));
    // A blocking step that has not ended by now is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            note!("offmap: {}", stop.message);
            ExitCode::from(stop.code)
        }
    }
}

async fn run(command: Command) -> Result<u8, Stop> {
    match command {
        Command::Take(arguments) => take::run(*arguments).await,
        Command::Resume(arguments) => take::resume(*arguments).await,
        Command::Clean(arguments) => clean::run(&arguments).await,
        Command::Check(arguments) => ask::check(*arguments).await,
        Command::Plan(arguments) => ask::plan(*arguments).await,
        Command::Verify(arguments) => packages::verify(&arguments).await,
        Command::Show(arguments) => packages::show(&arguments),
    }
}
