//! `offmap take` and `offmap resume`.

use crate::arguments::{ProgressStyle, Resume, RunArguments, Take};
use crate::interrupt::{CANCELLED, on_ctrl_c};
use crate::terminal::{self, note, out};
use crate::{INCOMPLETE, Stop, progress, secrets, setup};
use offmap::exporters::portal::ReadLimits;
use offmap::packager::{MobileMapPackager, write_mmpk};
use offmap::{
    Engine, Failure, FailureKind, FailureOwner, GenerateOfflineMapJob, GenerateOfflineMapResult, JobError, LayerNoteKind,
    LayerOutcome, Packager as _, run_blocking,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) async fn run(arguments: Take) -> Result<u8, Stop> {
    MobileMapPackager.check_destination(&std::path::absolute(&arguments.out).unwrap_or_else(|_| arguments.out.clone()))?;
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk)?;
    }
    let began = Instant::now();
    let setup = setup::prepare(&arguments.map, &read_limits(&arguments.run)).await?;
    let job = setup.task.generate_offline_map(setup.parameters, setup.overrides, &arguments.out);
    job.count_time(began.elapsed());
    run_job(&setup.engine, job, &arguments.out, &arguments.run).await
}

/// `offmap resume`.
pub(crate) async fn resume(arguments: Resume) -> Result<u8, Stop> {
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk)?;
    }
    let began = Instant::now();
    let client = setup::client(&arguments.access, arguments.web_map.as_deref())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let job = match arguments.failed_only {
        true => GenerateOfflineMapJob::complete(&engine, &arguments.out).await?,
        false => GenerateOfflineMapJob::resume(&engine, &arguments.out).await?,
    };
    let limits = read_limits(&arguments.run);
    let job = secrets::supply(job, &client, arguments.web_map.as_deref(), &limits).await?;
    job.count_time(began.elapsed());
    run_job(&engine, job, &arguments.out, &arguments.run).await
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
    // Watched to the end: what follows the job can be ended by a second Ctrl-C, too.
    let watched = job.clone();
    tokio::spawn(on_ctrl_c(move || watched.cancel()));
    let mut outcome = job.start().result().await;
    // The last message of the stream is the job's end; what follows on the terminal comes after it.
    let _ = shown.await;
    let mut zipped = None;
    if let (Ok(result), Some(mmpk)) = (&outcome, wishes.mmpk.clone()) {
        let package = result.package.clone();
        match run_blocking(move || write_mmpk(&package, &mmpk).map(|bytes| (mmpk, bytes))).await {
            Ok(done) => zipped = Some(done),
            Err(mut failure) => {
                // What is whole is not thrown away because its archive could not be written.
                let package = result.package.display();
                failure.message =
                    format!("the package is whole at {package}, only its archive is missing: {}", failure.message);
                outcome = Err(JobError { can_resume: false, failure, layers: result.layers.clone() });
            }
        }
    }
    if let Err(failure) = engine.shutdown().await {
        note!("offmap: {failure}");
    }
    if wishes.progress == ProgressStyle::Json {
        terminal::json_line(&json!({"result": result_json(&outcome)}));
    }
    let out = out.display();
    match outcome {
        Ok(result) => {
            if wishes.progress != ProgressStyle::Json {
                tell(&result);
                if let Some((path, bytes)) = zipped {
                    out!("zipped   {} ({bytes} bytes)", path.display());
                }
                if result.has_errors() {
                    out!("missing  go on with: offmap resume --failed-only {out}");
                }
            }
            Ok(if result.is_complete() { 0 } else { INCOMPLETE })
        }
        Err(error) => {
            if error.can_resume {
                note!("offmap: what came home is kept; go on with: offmap resume {out}");
            }
            if error.failure.is_cancelled() {
                note!("offmap: cancelled; nothing is left at {out}");
                return Ok(CANCELLED);
            }
            tell_layers(&error.layers);
            Err(error.failure.into())
        }
    }
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
    json!({"id": layer.id, "title": layer.title, "state": layer.state, "planned": layer.planned, "got": layer.got,
        "bytes": layer.bytes, "lacking": layer.lacking(), "notes": layer.notes, "failure": layer.failure})
}

fn result_json(outcome: &Result<GenerateOfflineMapResult, JobError>) -> Value {
    let (package, complete, layers, failure) = match outcome {
        Ok(r) => (Some(&r.package), r.is_complete(), &r.layers, None),
        Err(e) => (None, false, &e.layers, Some(&e.failure)),
    };
    let can_resume = outcome.as_ref().is_err_and(|e| e.can_resume);
    json!({"package": package, "complete": complete, "canResume": can_resume, "layers": layers.iter().map(layer_json).collect::<Vec<_>>(), "failure": failure})
}

fn tell(result: &GenerateOfflineMapResult) {
    tell_layers(&result.layers);
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
        FailureOwner::Caller => "change the call",
        FailureOwner::Source => "ask the owner of the service",
        FailureOwner::Network => "try again when the network is back",
        FailureOwner::Limit => "ask for less: fewer levels, a smaller area",
        FailureOwner::Credentials => "check user, token and sharing",
        FailureOwner::Storage => "make room on the disk",
        FailureOwner::Engine => "report it: this is a fault of the program",
    }
}

fn tell_layers(layers: &[LayerOutcome]) {
    for layer in layers {
        let planned = layer.planned.map_or_else(|| "?".to_owned(), |p| p.to_string());
        out!(
            "{:<9} {:<30} {:>9} of {:>9} {:>12} bytes",
            progress::state_word(layer.state),
            layer.title,
            layer.got,
            planned,
            layer.bytes
        );
        for words in layer.lacking() {
            out!("          lacks: {words}");
        }
        for note in layer.notes.iter().filter(|n| n.kind != LayerNoteKind::Missing) {
            out!("          {}: {}", note.kind.words(), note.message);
        }
        if let Some(failure) = layer.failure.as_ref().filter(|f| !f.is_cancelled()) {
            out!("          {failure}");
            out!("          whose: {:?}; what to do: {}", failure.owner, way_out(failure));
        }
    }
}
