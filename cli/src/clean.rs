//! `offmap clean`.

use crate::access;
use crate::arguments::Clean;
use crate::interrupt::or_interrupted;
use crate::job_secrets;
use crate::stop::Stop;
use crate::terminal::{self, Tone, note, out, size};
use offmap::arcgis::ArcGisClient;
use offmap::arcgis::portal::ReadLimits;
use offmap::packager::MobileMapPackager;
use offmap::{Failure, GenerateOfflineMapJob, Leftover};
use serde_json::json;
use std::time::Duration;

pub(crate) async fn run(arguments: &Clean) -> Result<u8, Stop> {
    let client = access::client(&arguments.access, None)?;
    let mut all: Vec<Leftover> = Vec::new();
    for place in &arguments.places {
        all.extend(Leftover::find(place)?);
    }
    all.dedup();
    if all.is_empty() && !arguments.json {
        out!("nothing is left of unfinished jobs");
    }
    let mut stops = Vec::new();
    let mut told = Vec::new();
    for left in &all {
        let (path, out) = (left.path.display(), left.destination.display());
        let (mut is_removed, mut failure) = (false, None);
        let words = if left.in_use {
            format!("in use   {path} ({}): a job for {out} is running", size(left.bytes))
        } else if arguments.dry_run {
            let way = if left.can_resume { format!("; `offmap resume {out}` resumes it") } else { String::new() };
            format!("left     {path} ({}){way}", size(left.bytes))
        } else {
            match remove(left, &client).await {
                Ok(()) => {
                    is_removed = true;
                    format!("removed  {path} ({})", size(left.bytes))
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
            told.push(json!({"path": left.path, "destination": left.destination, "bytes": left.bytes, "inUse": left.in_use,
                "canResume": left.can_resume, "removed": is_removed, "failure": failure}));
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
    match left.path.exists() {
        true => Ok(left.remove(&MobileMapPackager)?),
        false => Ok(()),
    }
}

async fn roll_back(left: &Leftover, client: &ArcGisClient) -> Result<(), Failure> {
    let engine = offmap::with_defaults(client)?.start()?;
    let job = GenerateOfflineMapJob::resume(&engine, &left.destination).await?;
    let limits = ReadLimits { time: Some(MAP_READ), ..ReadLimits::default() };
    let job = job_secrets::supply(job, client, None, &limits).await?;
    job.discard().await
}
