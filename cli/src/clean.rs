//! `offmap clean`.

use crate::access;
use crate::arguments::Clean;
use crate::fetch_package::{Claim, destination_of};
use crate::interrupt::or_interrupted;
use crate::job_secrets;
use crate::left_files::LeftFile;
use crate::stop::Stop;
use crate::terminal::{self, Tone, note, out, size};
use offmap::arcgis::ArcGisClient;
use offmap::arcgis::portal::ReadLimits;
use offmap::packager::MobileMapPackager;
use offmap::{Failure, GenerateOfflineMapJob, Leftover, run_blocking};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Something that was left.
enum Left {
    Job(Leftover),
    File(LeftFile),
}

/// What is told of it.
struct Told<'a> {
    path: &'a Path,
    destination: &'a Path,
    bytes: u64,
    in_use: bool,
    can_resume: bool,
}

/// All that was left in some places, once each.
fn find(places: &[PathBuf]) -> Result<Vec<Left>, Failure> {
    let (mut jobs, mut files): (Vec<Leftover>, Vec<LeftFile>) = (Vec::new(), Vec::new());
    for place in places {
        jobs.extend(Leftover::find(place)?);
        files.extend(LeftFile::find(place));
    }
    jobs.dedup();
    files.dedup();
    // What a job goes on with is told by the job.
    files.retain(|file| !jobs.iter().any(|job| job.destination == file.path()));
    Ok(jobs.into_iter().map(Left::Job).chain(files.into_iter().map(Left::File)).collect())
}

impl Left {
    fn told(&self) -> Told<'_> {
        match self {
            Self::Job(job) => Told {
                path: &job.path,
                destination: &job.destination,
                bytes: job.bytes,
                in_use: job.in_use,
                can_resume: job.can_resume,
            },
            Self::File(file) => Told {
                path: file.path(),
                destination: file.destination(),
                bytes: file.bytes(),
                in_use: file.in_use(),
                // By its own command, and not by `resume`.
                can_resume: false,
            },
        }
    }

    /// Who works on it.
    fn work(&self, out: &str) -> String {
        match self {
            Self::Job(_) => format!("a job for {out}"),
            Self::File(_) => format!("the command that writes {out}"),
        }
    }

    /// How it is of use.
    fn way_on(&self, out: &str) -> String {
        match self {
            Self::Job(job) if job.can_resume => format!("; `offmap resume {out}` resumes it"),
            Self::Job(_) => String::new(),
            Self::File(_) => format!("; the same command that was to write {out} goes on with it"),
        }
    }

    async fn remove(&self, client: &ArcGisClient) -> Result<(), Stop> {
        match self {
            Self::Job(job) => remove(job, client).await,
            Self::File(file) => {
                let file = file.clone();
                Ok(run_blocking(move || file.remove()).await?)
            }
        }
    }
}

pub(crate) async fn run(arguments: &Clean) -> Result<u8, Stop> {
    let client = access::client(&arguments.access, None)?;
    let all = find(&arguments.places)?;
    if all.is_empty() && !arguments.json {
        out!("nothing is left of unfinished jobs");
    }
    let mut stops = Vec::new();
    let mut told = Vec::new();
    for left in &all {
        let Told { path, destination, bytes, in_use, can_resume } = left.told();
        let (path, out, bytes) = (path.display(), destination.display(), size(bytes));
        let (mut is_removed, mut failure) = (false, None);
        let words = if in_use {
            format!("in use   {path} ({bytes}): {} is running", left.work(&out.to_string()))
        } else if arguments.dry_run {
            format!("left     {path} ({bytes}){}", left.way_on(&out.to_string()))
        } else {
            match left.remove(&client).await {
                Ok(()) => {
                    is_removed = true;
                    format!("removed  {path} ({bytes})")
                }
                // One that cannot be removed does not keep the others.
                Err(stop) => {
                    failure = Some(stop.failure());
                    stops.push(stop);
                    String::new()
                }
            }
        };
        let is_cancelled = failure.as_ref().is_some_and(Failure::is_cancelled);
        if arguments.json {
            let Told { path, bytes, .. } = left.told();
            told.push(json!({"path": path, "destination": destination, "bytes": bytes, "inUse": in_use,
                "canResume": can_resume, "removed": is_removed, "failure": failure}));
        } else if !words.is_empty() {
            out!("{words}");
        }
        if is_cancelled {
            break;
        }
    }
    if arguments.json {
        terminal::json(&json!({"leftovers": told}));
    }
    let last = stops.pop();
    stops.iter().for_each(|stop| note!(Tone::Bad => "offmap: {}", stop.message));
    last.map_or(Ok(0), Err)
}

/// How long the map of a job may be read again, whose layers have secrets that are written nowhere.
const MAP_READ: Duration = Duration::from_secs(20);

/// Rolls back what a job began on services, and removes what it left here. Services that are out of reach keep nobody from cleaning
/// up here.
async fn remove(left: &Leftover, client: &ArcGisClient) -> Result<(), Stop> {
    // A fetch that begins meanwhile has it or waits for its end; the lock of one that was killed goes with its job.
    let claim = match destination_of(&left.destination) {
        Some(_) => {
            let package = left.destination.clone();
            Some(run_blocking(move || Claim::take(&package)).await?)
        }
        None => None,
    };
    let removed = remove_job(left, client).await;
    run_blocking(move || {
        drop(claim);
        Ok(())
    })
    .await?;
    removed
}

async fn remove_job(left: &Leftover, client: &ArcGisClient) -> Result<(), Stop> {
    // Who had it before may have come to its end.
    if !left.path.exists() {
        return Ok(());
    }
    if left.can_resume {
        match or_interrupted(Box::pin(roll_back(left, client))).await {
            Ok(()) => {}
            Err(stop) if stop.failure().is_cancelled() => return Err(stop),
            Err(stop) => {
                let shown = left.destination.display();
                note!(Tone::Lacking => "note: whether the job for {shown} left anything on services is not known: {}", stop.message);
            }
        }
    }
    if left.path.exists() {
        left.remove(&MobileMapPackager)?;
    }
    Ok(())
}

async fn roll_back(left: &Leftover, client: &ArcGisClient) -> Result<(), Failure> {
    let engine = offmap::with_defaults(client)?.start()?;
    let job = GenerateOfflineMapJob::resume(&engine, &left.destination).await?;
    let limits = ReadLimits { time: Some(MAP_READ), ..ReadLimits::default() };
    let job = job_secrets::supply(job, client, None, &limits).await?;
    job.discard().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap::arcgis::{ClientOptions, Credentials};

    #[tokio::test]
    async fn a_job_that_a_fetch_has_claimed_meanwhile_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = dir.path().join("a.gpkg.fetch-01234567");
        let path = dir.path().join("job");
        std::fs::create_dir(&path).expect("makes");
        std::fs::write(path.join("lock"), "").expect("writes");
        // As it was found, before the fetch began.
        let left =
            Leftover { path: path.clone(), destination: destination.clone(), bytes: 0, can_resume: false, in_use: false };
        let client = ArcGisClient::new(ClientOptions::default(), Credentials::none()).expect("a client");
        let claim = Claim::take(&destination).expect("takes");
        let stop = remove(&left, &client).await.expect_err("refused");
        assert!(stop.message.contains("another offmap works with"), "{}", stop.message);
        assert!(path.exists(), "nothing of it is removed");
        drop(claim);
        remove(&left, &client).await.expect("removes");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0, "the job and its lock");
    }
}
