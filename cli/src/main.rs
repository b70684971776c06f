//! `offmap`: takes a web map offline, says what can go offline, plans it, verifies and shows packages.
//!
//! Exit codes: 0 complete, 3 done but something is missing (of `check`: cannot go offline), 1 failed and nothing left at the
//! destination (of `verify`: damaged), 2 wrong usage, 4 of `verify`: no manifest says whether anything is missing, 130 cancelled by
//! Ctrl-C. Secrets come from the environment, and from where `offmap login` keeps them.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod access;
mod access_arguments;
mod arguments;
mod ask;
mod chosen_portal;
mod clean;
mod convert;
mod convert_arguments;
mod convert_progress;
mod direct;
mod documents;
mod draw;
mod fetch;
mod fetch_arguments;
mod fetch_package;
mod help;
mod inputs;
mod interrupt;
mod job_arguments;
mod job_run;
mod job_secrets;
mod jobs;
mod keyring;
mod known_secrets;
mod left_files;
mod log;
mod login;
mod login_arguments;
mod login_client;
mod login_directory;
mod login_end;
mod login_store;
mod open_folder;
mod packages;
mod plan_text;
mod progress;
mod progress_style;
mod report;
mod settings;
mod settle;
mod setup;
mod stop;
mod take;
mod terminal;

use arguments::{Arguments, Command};
use clap::Parser as _;
use std::path::Path;
use std::process::ExitCode;
use stop::Stop;
use terminal::{Tone, note, note_behind};

fn main() -> ExitCode {
    let wrong_filter = log::begin();
    let Arguments { command, settings } = Arguments::parse();
    if let Some(wrong) = wrong_filter {
        note!(Tone::Lacking => "note: {wrong}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            note!(Tone::Bad => "offmap: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(command, settings.as_deref()));
    // A blocking step that has not ended by now is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            note_behind(Tone::Bad, "offmap: ", &stop.message);
            if let Some(whose) = stop.whose() {
                note_behind(Tone::Plain, "        ", &whose);
            }
            ExitCode::from(stop.code)
        }
    }
}

async fn run(mut command: Command, settings: Option<&Path>) -> Result<u8, Stop> {
    interrupt::listen();
    let settled = settle::settle(&mut command, settings);
    match &command {
        Command::Take(arguments) => take::or_told(settled, &arguments.run)?,
        Command::Resume(arguments) => take::or_told(settled, &arguments.run)?,
        Command::Fetch(arguments) => take::or_told(settled, &fetch::wishes(arguments))?,
        _ => settled?,
    }
    match command {
        Command::Take(arguments) => take::run(*arguments).await,
        Command::Resume(arguments) => take::resume(*arguments).await,
        Command::Fetch(arguments) => fetch::run(*arguments).await,
        Command::Clean(arguments) => clean::run(&arguments).await,
        Command::Check(arguments) => ask::check(*arguments).await,
        Command::Plan(arguments) => ask::plan(*arguments).await,
        Command::Verify(arguments) => packages::verify(&arguments).await,
        Command::Show(arguments) => packages::show(&arguments),
        Command::Convert(arguments) => convert::run(*arguments).await,
        Command::Jobs(arguments) => jobs::list(&arguments).await,
        Command::Status(arguments) => jobs::status(&arguments).await,
        Command::Login(arguments) => login::run(&arguments).await,
        Command::Logout(arguments) => login_end::logout(&arguments).await,
        Command::Whoami(arguments) => login_end::whoami(&arguments).await,
        Command::Completions(arguments) => documents::completions(&arguments),
        Command::Man(arguments) => documents::man(&arguments),
    }
}
