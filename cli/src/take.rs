//! `offmap take` and `offmap resume`.

use crate::arguments::{ProgressStyle, Resume, RunArguments, Take};
use crate::{Stop, progress, setup};
use offmap::exporters::portal::ReadLimits;
use offmap::packager::{MobileMapPackager, write_mmpk};
use offmap::{
    Engine, Failure, FailureKind, FailureOwner, GenerateOfflineMapJob, GenerateOfflineMapResult, JobError, LayerOutcome,
    Packager as _, run_blocking,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Exit code of a package that lacks layers.
const WITH_ERRORS: u8 = 3;
/// Exit code after Ctrl-C.
const CANCELLED: u8 = 130;

pub(crate) async fn run(arguments: Take) -> Result<u8, Stop> {
    MobileMapPackager.check_destination(&std::path::absolute(&arguments.out).unwrap_or_else(|_| arguments.out.clone()))?;
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk)?;
    }
    let limit = arguments.run.time_limit.map(Duration::from_secs);
    let began = Instant::now();
    let setup = setup::prepare(&arguments.map, &ReadLimits { time: limit, ..ReadLimits::default() }).await?;
    let job = setup.task.generate_offline_map(setup.parameters, setup.overrides, &arguments.out);
    job.count_time(began.elapsed());
    run_job(&setup.engine, job, &arguments.out, &arguments.run).await
}

/// `offmap resume`.
pub(crate) async fn resume(arguments: Resume) -> Result<u8, Stop> {
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk)?;
    }
    let client = setup::client(&arguments.access)?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let job = match arguments.failed_only {
        true => GenerateOfflineMapJob::complete(&engine, &arguments.out).await?,
        false => GenerateOfflineMapJob::resume(&engine, &arguments.out).await?,
    };
    run_job(&engine, job, &arguments.out, &arguments.run).await
}

async fn run_job(engine: &Engine, job: GenerateOfflineMapJob, out: &Path, wishes: &RunArguments) -> Result<u8, Stop> {
    if wishes.keep {
        job.keep_unfinished();
    }
    if let Some(seconds) = wishes.time_limit {
        job.limit_time(Duration::from_secs(seconds));
    }
    let shown = tokio::spawn(progress::show(job.status(), wishes.progress));
    let watch = tokio::spawn(cancel_on_ctrl_c(job.clone()));
    let mut outcome = job.start().result().await;
    // The last message of the stream is the job's end; what follows on the terminal comes after it.
    let _ = shown.await;
    watch.abort();
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
        eprintln!("offmap: {failure}");
    }
    if wishes.progress == ProgressStyle::Json {
        progress::json_line(&json!({"result": result_json(&outcome)}));
    }
    let out = out.display();
    match outcome {
        Ok(result) => {
            if wishes.progress != ProgressStyle::Json {
                tell(&result);
                if let Some((path, bytes)) = zipped {
                    println!("zipped   {} ({bytes} bytes)", path.display());
                }
                if result.has_errors() {
                    println!("missing  go on with: offmap resume --failed-only {out}");
                }
            }
            Ok(if result.has_errors() { WITH_ERRORS } else { 0 })
        }
        Err(error) => {
            if error.can_resume {
                eprintln!("offmap: what came home is kept; go on with: offmap resume {out}");
            }
            if error.failure.is_cancelled() {
                eprintln!("offmap: cancelled; nothing is left at {out}");
                return Ok(CANCELLED);
            }
            tell_layers(&error.layers);
            Err(error.failure.into())
        }
    }
}

fn check_mmpk(path: &Path) -> Result<(), Stop> {
    if path.exists() {
        return Err(Stop::usage(format!("{} exists already; name a file that does not", path.display())));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.is_dir() {
        true => Ok(()),
        false => Err(Stop::usage(format!("{} is not a directory; make it first", parent.display()))),
    }
}

/// The first Ctrl-C cancels cleanly, the second ends the program at once.
async fn cancel_on_ctrl_c(job: GenerateOfflineMapJob) {
    if tokio::signal::ctrl_c().await.is_ok() {
        job.cancel();
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(i32::from(CANCELLED));
    }
}

fn layer_json(layer: &LayerOutcome) -> Value {
    json!({"id": layer.id, "title": layer.title, "state": layer.state, "planned": layer.planned, "got": layer.got,
        "bytes": layer.bytes, "failure": layer.failure})
}

fn result_json(outcome: &Result<GenerateOfflineMapResult, JobError>) -> Value {
    let (package, complete, layers, failure) = match outcome {
        Ok(r) => (Some(&r.package), !r.has_errors(), &r.layers, None),
        Err(e) => (None, false, &e.layers, Some(&e.failure)),
    };
    let can_resume = outcome.as_ref().is_err_and(|e| e.can_resume);
    json!({"package": package, "complete": complete, "canResume": can_resume, "layers": layers.iter().map(layer_json).collect::<Vec<_>>(), "failure": failure})
}

fn tell(result: &GenerateOfflineMapResult) {
    tell_layers(&result.layers);
    for warning in &result.warnings {
        eprintln!("note: {warning}");
    }
    println!("package  {} ({} bytes)", result.package.display(), result.bytes);
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
        println!(
            "{:<9} {:<30} {:>9} of {:>9} {:>12} bytes",
            progress::state_word(layer.state),
            layer.title,
            layer.got,
            planned,
            layer.bytes
        );
        if let Some(failure) = layer.failure.as_ref().filter(|f| !f.is_cancelled()) {
            println!("          {failure}");
            println!("          whose: {:?}; what to do: {}", failure.owner, way_out(failure));
        }
    }
}
