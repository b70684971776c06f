//! `offmap take` and `offmap resume`.

use crate::access;
use crate::arguments::{ProgressStyle, Resume, RunArguments, Take};
use crate::interrupt::or_interrupted;
use crate::job_run;
use crate::job_secrets;
use crate::open_folder;
use crate::report::{Opened, Zipped, report_error, report_package, result_json};
use crate::setup;
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, note};
use offmap::arcgis::portal::ReadLimits;
use offmap::packager::{MobileMapPackager, check_overwritten_mmpk, overwrite_mmpk_until, write_mmpk_until};
use offmap::{Engine, GenerateOfflineMapJob, JobError, Packager as _, run_blocking};
use offmap_convert::open_folder::{FolderRequest, check_folder};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub(crate) async fn run(arguments: Take) -> Result<u8, Stop> {
    let (engine, job) = or_told(begin(&arguments).await, &arguments.run)?;
    run_job(&engine, job, (&arguments.out, arguments.overwrite), &arguments.run).await
}

async fn begin(arguments: &Take) -> Result<(Engine, GenerateOfflineMapJob), Stop> {
    if !arguments.overwrite {
        MobileMapPackager
            .check_destination(&std::path::absolute(&arguments.out).unwrap_or_else(|_| arguments.out.clone()))?;
    }
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk, arguments.overwrite).await?;
    }
    check_open(&arguments.run, &arguments.out, arguments.overwrite).await?;
    let began = Instant::now();
    let setup = setup::prepare(&arguments.map, &arguments.access, &read_limits(&arguments.run)).await?;
    let job = setup.task.generate_offline_map(setup.parameters, setup.overrides, &arguments.out);
    if arguments.overwrite {
        job.overwrite();
    }
    job.count_time(began.elapsed());
    Ok((setup.engine, job))
}

/// `offmap resume`.
pub(crate) async fn resume(arguments: Resume) -> Result<u8, Stop> {
    let (engine, job) = or_told(begin_again(&arguments).await, &arguments.run)?;
    run_job(&engine, job, (&arguments.out, false), &arguments.run).await
}

async fn begin_again(arguments: &Resume) -> Result<(Engine, GenerateOfflineMapJob), Stop> {
    if let Some(mmpk) = &arguments.run.mmpk {
        check_mmpk(mmpk, false).await?;
    }
    check_open(&arguments.run, &arguments.out, false).await?;
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
pub(crate) fn or_told<T>(begun: Result<T, Stop>, wishes: &RunArguments) -> Result<T, Stop> {
    begun.inspect_err(|stop| {
        if wishes.style() == ProgressStyle::Json {
            let outcome = Err(JobError { can_resume: false, failure: stop.failure(), layers: Vec::new() });
            terminal::json_line(&json!({"result": result_json(&outcome, None, None)}));
        }
    })
}

/// The time of the job counts from the first byte of its map.
pub(crate) fn read_limits(wishes: &RunArguments) -> ReadLimits {
    ReadLimits { time: wishes.time_limit.map(Duration::from_secs), ..ReadLimits::default() }
}

async fn run_job(
    engine: &Engine,
    job: GenerateOfflineMapJob,
    (out, overwrites): (&Path, bool),
    wishes: &RunArguments,
) -> Result<u8, Stop> {
    let (outcome, cancel) = job_run::run(job, wishes).await;
    let zipped = match (&outcome, &wishes.mmpk) {
        (Ok(result), Some(mmpk)) => Some(zip(&result.package, (mmpk, overwrites), cancel.clone()).await),
        _ => None,
    };
    let opened = match (&outcome, &wishes.open) {
        (Ok(result), Some(to)) => Some(open(&result.package, (to, overwrites), wishes, cancel).await),
        _ => None,
    };
    if let Err(failure) = engine.shutdown().await {
        note!("offmap: {failure}");
    }
    let is_json = wishes.style() == ProgressStyle::Json;
    if is_json {
        terminal::json_line(&json!({"result": result_json(&outcome, zipped.as_ref(), opened.as_ref())}));
    }
    match outcome {
        Ok(result) => {
            if !is_json {
                report_package(&result, zipped.as_ref(), opened.as_ref(), out);
            }
            match (zipped, opened) {
                (Some(Err(failure)), _) | (_, Some(Err(failure))) => Err(failure.into()),
                (_, opened) => {
                    let is_complete = result.is_complete() && opened.is_none_or(|o| o.is_ok_and(|f| f.left_out.is_empty()));
                    Ok(if is_complete { 0 } else { INCOMPLETE })
                }
            }
        }
        Err(error) => report_error(error, is_json, out),
    }
}

/// Zips the package; one that is there is not thrown away because its archive could not be written.
async fn zip(package: &Path, (mmpk, overwrites): (&Path, bool), cancel: CancellationToken) -> Zipped {
    let (from, to) = (package.to_owned(), mmpk.to_owned());
    let written = run_blocking(move || match overwrites {
        true => overwrite_mmpk_until(&from, &to, &cancel),
        false => write_mmpk_until(&from, &to, &cancel),
    })
    .await;
    let written = written.map_err(|mut failure| {
        let (package, mmpk) = (package.display(), mmpk.display());
        failure.message =
            format!("the package is at {package}, only its archive {mmpk} was not written: {}", failure.message);
        failure
    });
    Ok((mmpk.to_owned(), written?))
}

/// Makes the folder of a package; the package stays as it is where that fails.
async fn open(package: &Path, (to, overwrites): (&Path, bool), wishes: &RunArguments, cancel: CancellationToken) -> Opened {
    let mut request = FolderRequest::new(package, to);
    (request.overwrite, request.keep) = (overwrites, wishes.keep == Some(true));
    open_folder::make(request, wishes.progress, cancel).await.map_err(|mut failure| {
        let (package, to) = (package.display(), to.display());
        failure.message = format!(
            "the package is whole and at {package}, only its open folder {to} was not made (offmap convert {package} {to} --to open \
             makes it): {}",
            failure.message
        );
        failure
    })
}

/// Before anything is spent: whether the folder can be made.
async fn check_open(wishes: &RunArguments, out: &Path, overwrites: bool) -> Result<(), Stop> {
    let Some(to) = wishes.open.clone() else { return Ok(()) };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (folder, package) = (absolute(&to), absolute(out));
    if folder.starts_with(&package) || package.starts_with(&folder) {
        let (to, out) = (to.display(), out.display());
        return Err(Stop::usage(format!(
            "{to} would lie in the package {out}, or the package in it; name another directory"
        )));
    }
    or_interrupted(run_blocking(move || check_folder(&to, overwrites, &CancellationToken::new()))).await
}

async fn check_mmpk(path: &Path, overwrites: bool) -> Result<(), Stop> {
    if overwrites {
        let archive = path.to_owned();
        or_interrupted(run_blocking(move || check_overwritten_mmpk(&archive, &CancellationToken::new()))).await?;
    // A link that points nowhere is there as well.
    } else if path.symlink_metadata().is_ok() {
        return Err(Stop::usage(format!("{} exists already; name a file that does not", path.display())));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.is_dir() {
        true => Ok(()),
        false => Err(Stop::usage(format!("{} is not a directory; make it first", parent.display()))),
    }
}
