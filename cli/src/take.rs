//! `offmap take` and `offmap resume`.

use crate::access;
use crate::arguments::{ProgressStyle, Resume, RunArguments, Take};
use crate::interrupt::{CANCELLED, on_ctrl_c};
use crate::job_secrets;
use crate::progress;
use crate::setup;
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, note, out};
use offmap::arcgis::portal::ReadLimits;
use offmap::packager::{MobileMapPackager, write_mmpk_until};
use offmap::{
    Engine, Failure, FailureKind, FailureOwner, GenerateOfflineMapJob, GenerateOfflineMapResult, JobError, LayerNoteKind,
    LayerOutcome, Packager as _, run_blocking,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub(crate) async fn run(arguments: Take) -> Result<u8, Stop> {
    let (engine, job) = or_told(begin(&arguments).await, &arguments.run)?;
    run_job(&engine, job, &arguments.out, &arguments.run).await
}

async fn begin(arguments: &Take) -> Result<(Engine, GenerateOfflineMapJob), Stop> {
    MobileMapPackager.check_destination(&std::path::absolute(&arguments.out).unwrap_or_else(|_| arguments.out.clone()))?;
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk)?;
    }
    let began = Instant::now();
    let setup = setup::prepare(&arguments.map, &read_limits(&arguments.run)).await?;
    let job = setup.task.generate_offline_map(setup.parameters, setup.overrides, &arguments.out);
    job.count_time(began.elapsed());
    Ok((setup.engine, job))
}

/// `offmap resume`.
pub(crate) async fn resume(arguments: Resume) -> Result<u8, Stop> {
    let (engine, job) = or_told(begin_again(&arguments).await, &arguments.run)?;
    run_job(&engine, job, &arguments.out, &arguments.run).await
}

async fn begin_again(arguments: &Resume) -> Result<(Engine, GenerateOfflineMapJob), Stop> {
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk)?;
    }
    let began = Instant::now();
    let client = access::client(&arguments.access, arguments.web_map.as_deref())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let job = match arguments.failed_only {
        true => GenerateOfflineMapJob::complete(&engine, &arguments.out).await?,
        false => GenerateOfflineMapJob::resume(&engine, &arguments.out).await?,
    };
    let limits = read_limits(&arguments.run);
    let job = job_secrets::supply(job, &client, arguments.web_map.as_deref(), &limits).await?;
    job.count_time(began.elapsed());
    Ok((engine, job))
}

/// Programs read a result in every end, also of a job that could not begin.
fn or_told<T>(begun: Result<T, Stop>, wishes: &RunArguments) -> Result<T, Stop> {
    begun.inspect_err(|stop| {
        if wishes.progress == ProgressStyle::Json {
            let outcome = Err(JobError { can_resume: false, failure: stop.failure(), layers: Vec::new() });
            terminal::json_line(&json!({"result": result_json(&outcome, None)}));
        }
    })
}

/// The time of the job counts from the first byte of its map.
fn read_limits(wishes: &RunArguments) -> ReadLimits {
    ReadLimits { time: wishes.time_limit.map(Duration::from_secs), ..ReadLimits::default() }
}

async fn run_job(engine: &Engine, job: GenerateOfflineMapJob, out: &Path, wishes: &RunArguments) -> Result<u8, Stop> {
    if wishes.keep {
        job.keep_unfinished();
    }
    if let Some(seconds) = wishes.time_limit {
        job.limit_time(Duration::from_secs(seconds));
    }
    let shown = tokio::spawn(progress::show(job.status(), wishes.progress));
    // Watched to the end: what follows the job is ended by Ctrl-C, too.
    let (watched, cancel) = (job.clone(), CancellationToken::new());
    let cancelled = cancel.clone();
    tokio::spawn(on_ctrl_c(move || {
        watched.cancel();
        cancelled.cancel();
    }));
    let outcome = job.start().result().await;
    // The last message of the stream is the job's end; what follows on the terminal comes after it.
    let _ = shown.await;
    let zipped = match (&outcome, &wishes.mmpk) {
        (Ok(result), Some(mmpk)) => Some(zip(&result.package, mmpk, cancel).await),
        _ => None,
    };
    if let Err(failure) = engine.shutdown().await {
        note!("offmap: {failure}");
    }
    let is_json = wishes.progress == ProgressStyle::Json;
    if is_json {
        terminal::json_line(&json!({"result": result_json(&outcome, zipped.as_ref())}));
    }
    match outcome {
        Ok(result) => {
            if !is_json {
                report_package(&result, zipped.as_ref(), out);
            }
            match zipped {
                Some(Err(failure)) => Err(failure.into()),
                _ => Ok(if result.is_complete() { 0 } else { INCOMPLETE }),
            }
        }
        Err(error) => report_error(error, is_json, out),
    }
}

/// Reports a package for people: its layers, its archive, and how it can be completed.
fn report_package(result: &GenerateOfflineMapResult, zipped: Option<&Zipped>, out: &Path) {
    tell(result);
    if let Some(Ok((path, bytes))) = zipped {
        out!("zipped   {} ({bytes} bytes)", path.display());
    }
    let mut failures = result.layers.iter().filter(|l| l.is_error()).filter_map(|l| l.failure.as_ref());
    if failures.any(Failure::may_succeed_later) {
        out!("missing  complete it with: offmap resume --failed-only {}", out.display());
    }
}

/// Reports why there is no package, and what is left.
fn report_error(error: JobError, is_json: bool, out: &Path) -> Result<u8, Stop> {
    let shown = out.display();
    if error.can_resume {
        note!("offmap: what was downloaded is kept; resume with: offmap resume {shown}");
    }
    if error.failure.is_cancelled() {
        match out.exists() {
            true => note!("offmap: cancelled; {shown} stays as it was"),
            false => note!("offmap: cancelled; nothing is left at {shown}"),
        }
        return Ok(CANCELLED);
    }
    tell_layers(&error.layers, is_json);
    Err(error.failure.into())
}

/// The archive of a package and its bytes, or why it was not written.
type Zipped = Result<(PathBuf, u64), Failure>;

/// Zips the package; one that is there is not thrown away because its archive could not be written.
async fn zip(package: &Path, mmpk: &Path, cancel: CancellationToken) -> Zipped {
    let (from, to) = (package.to_owned(), mmpk.to_owned());
    let written = run_blocking(move || write_mmpk_until(&from, &to, &cancel)).await;
    let written = written.map_err(|mut failure| {
        let (package, mmpk) = (package.display(), mmpk.display());
        failure.message =
            format!("the package is at {package}, only its archive {mmpk} was not written: {}", failure.message);
        failure
    });
    Ok((mmpk.to_owned(), written?))
}

fn check_mmpk(path: &Path) -> Result<(), Stop> {
    // A link that points nowhere is there as well.
    if path.symlink_metadata().is_ok() {
        return Err(Stop::usage(format!("{} exists already; name a file that does not", path.display())));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.is_dir() {
        true => Ok(()),
        false => Err(Stop::usage(format!("{} is not a directory; make it first", parent.display()))),
    }
}

fn layer_json(layer: &LayerOutcome) -> Value {
    json!({"id": layer.id, "title": layer.title, "state": layer.state, "planned": layer.contents.planned, "got": layer.contents.got,
        "bytes": layer.bytes, "lacking": layer.missing(), "notes": layer.contents.notes, "failure": layer.failure})
}

fn result_json(outcome: &Result<GenerateOfflineMapResult, JobError>, zipped: Option<&Zipped>) -> Value {
    let (package, complete, layers, warnings, failure) = match outcome {
        Ok(r) => (Some(&r.package), r.is_complete(), &r.layers, r.warnings.as_slice(), None),
        Err(e) => (None, false, &e.layers, [].as_slice(), Some(&e.failure)),
    };
    let failure = failure.or(zipped.and_then(|z| z.as_ref().err()));
    let mmpk = zipped.and_then(|z| z.as_ref().ok()).map(|(path, bytes)| json!({"path": path, "bytes": bytes}));
    let can_resume = outcome.as_ref().is_err_and(|e| e.can_resume);
    json!({"package": package, "complete": complete, "canResume": can_resume, "mmpk": mmpk, "warnings": warnings,
        "layers": layers.iter().map(layer_json).collect::<Vec<_>>(), "failure": failure})
}

fn tell(result: &GenerateOfflineMapResult) {
    tell_layers(&result.layers, false);
    for warning in &result.warnings {
        note!("note: {warning}");
    }
    out!("package  {} ({} bytes)", result.package.display(), result.bytes);
}

/// What a failure's owner can do about it.
fn way_out(failure: &Failure) -> &'static str {
    match failure.owner {
        FailureOwner::Source if failure.kind == FailureKind::NotSupported => {
            "keep it online (onlineOnlyServicesOption), or leave it out"
        }
        FailureOwner::Source if failure.kind == FailureKind::NotFound && !failure.may_succeed_later() => {
            "correct its url in the map, or leave it out"
        }
        FailureOwner::Caller => "change the call",
        FailureOwner::Source => "ask the owner of the service",
        FailureOwner::Network => "try again when the network is back",
        FailureOwner::Limit => "ask for less: fewer levels, a smaller area",
        FailureOwner::Credentials => "check user, token and sharing",
        FailureOwner::Storage => "make room on the disk",
        FailureOwner::Engine => "report it: this is a fault of the program",
    }
}

/// The layers in a table: on stdout, or on stderr where programs read stdout.
fn tell_layers(layers: &[LayerOutcome], to_stderr: bool) {
    let line = |words: String| if to_stderr { note!("{words}") } else { out!("{words}") };
    for layer in layers {
        let planned = layer.contents.planned.map_or_else(|| "?".to_owned(), |p| p.to_string());
        line(format!(
            "{:<9} {:<30} {:>9} of {:>9} {:>12} bytes",
            progress::state_word(layer.state),
            layer.title,
            layer.contents.got,
            planned,
            layer.bytes
        ));
        for words in layer.missing() {
            line(format!("          missing: {words}"));
        }
        for note in layer.contents.notes.iter().filter(|n| n.kind != LayerNoteKind::Missing) {
            line(format!("          {}: {}", note.kind.words(), note.message));
        }
        if let Some(failure) = layer.failure.as_ref().filter(|f| !f.is_cancelled()) {
            line(format!("          {failure}"));
            line(format!("          whose: {:?}; what to do: {}", failure.owner, way_out(failure)));
        }
    }
}
