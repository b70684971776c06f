//! `offmap`: takes a web map offline, says what can go offline, plans it, verifies and shows packages.
//!
//! Exit codes: 0 complete, 3 done but something is missing (of `check`: cannot go offline), 1 failed and nothing left at the
//! destination (of `verify`: damaged), 2 wrong usage, 130 cancelled by Ctrl-C. Secrets come from the environment, and from
//! where `offmap login` keeps them.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod access;
mod arguments;
mod ask;
mod clean;
mod inputs;
mod interrupt;
mod job_secrets;
mod keyring;
mod known_secrets;
mod login;
mod login_arguments;
mod login_client;
mod login_directory;
mod login_end;
mod login_store;
mod packages;
mod progress;
mod setup;
mod stop;
mod take;
mod terminal;

use arguments::{Arguments, Command};
use clap::Parser as _;
use std::process::ExitCode;
use stop::Stop;
use terminal::note;

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
    interrupt::listen();
    match command {
        Command::Take(arguments) => take::run(*arguments).await,
        Command::Resume(arguments) => take::resume(*arguments).await,
        Command::Clean(arguments) => clean::run(&arguments).await,
        Command::Check(arguments) => ask::check(*arguments).await,
        Command::Plan(arguments) => ask::plan(*arguments).await,
        Command::Verify(arguments) => packages::verify(&arguments).await,
        Command::Show(arguments) => packages::show(&arguments),
        Command::Login(arguments) => login::run(&arguments).await,
        Command::Logout(arguments) => login_end::logout(&arguments).await,
        Command::Whoami(arguments) => login_end::whoami(&arguments).await,
    }
}
