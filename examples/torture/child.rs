//! The child: takes a map offline, or resumes what an earlier child left, and prints its steps.

use crate::closed::{AREA, MAX_SCALE};
use crate::kinds::{Kind, mmpk_of};
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::packager::{MobileMapPackager, write_mmpk};
use offmap::{
    AreaOfInterest, DirectDownload, Engine, ExportState, GenerateOfflineMapJob, GenerateOfflineMapParameters, Leftover,
    OfflineMapSource, OfflineMapTask, StatusStream, SubjectKind, WebMap, run_blocking,
};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// The message of an exporter when it joins.
const JOINED: &str = "the parts on both sides of the dateline are joined";

/// Runs a job as a user would.
pub(crate) async fn child(portal_url: &str, kind: &Kind, out: &Path, first: bool) -> Result<(), Box<dyn Error>> {
    let options = ClientOptions { poll_interval: Duration::from_millis(20), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let completes = kind.completes && !first;
    println!("{}", if completes { "completing" } else { "planning" });
    let job = match left_over(&engine, out, completes).await? {
        Some(job) => job,
        None => {
            let source = portal::read_item(&client, portal_url, kind.item).await?;
            let task = OfflineMapTask::new(&engine, source);
            let mut parameters = task.default_parameters(AreaOfInterest::from_numbers(kind.area)?)?;
            parameters.max_scale = 10_000_000.0;
            task.generate_offline_map(parameters, Default::default(), out)
        }
    };
    if !completes {
        tokio::spawn(report(job.status()));
    }
    let result = job.start().result().await?;
    if result.has_errors() && !first {
        return Err(format!("layers are missing: {:?}", result.layers).into());
    }
    let mmpk = mmpk_of(out);
    if kind.zips && !mmpk.exists() {
        println!("zipping");
        let package = result.package.clone();
        run_blocking(move || write_mmpk(&package, &mmpk)).await?;
    } else if kind.zips {
        // Killed between the archive's rename and the end of its work directory: `offmap clean` removes what is left.
        for left in Leftover::find(&mmpk)?.iter().filter(|l| l.destination == mmpk) {
            left.remove(&MobileMapPackager)?;
        }
    }
    Ok(engine.shutdown().await?)
}

/// Takes a map of which nothing can be exported.
pub(crate) async fn closed_child(map: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let job = match left_over(&engine, out, false).await? {
        Some(job) => job,
        None => {
            let source = OfflineMapSource::from_web_map(WebMap::from_json(&std::fs::read_to_string(map)?)?);
            let mut parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers(AREA)?);
            parameters.max_scale = MAX_SCALE;
            parameters.direct_download = DirectDownload::WhenNotExportable;
            parameters.draw_tiles = true;
            OfflineMapTask::new(&engine, source).generate_offline_map(parameters, Default::default(), out)
        }
    };
    let result = job.start().result().await?;
    if !result.is_complete() {
        return Err(format!("something is missing: {:?}", result.layers).into());
    }
    Ok(engine.shutdown().await?)
}

/// The job that an earlier child left, or the one that completes its package; nothing where the map is exported from the beginning.
async fn left_over(engine: &Engine, out: &Path, completes: bool) -> Result<Option<GenerateOfflineMapJob>, Box<dyn Error>> {
    let left = Leftover::find(out)?;
    let unfinished = left.iter().any(|l| l.destination == out && l.can_resume);
    if unfinished || (!completes && out.exists()) {
        match GenerateOfflineMapJob::resume(engine, out).await {
            Ok(job) => return Ok(Some(job)),
            // Killed before there was a readable ledger: the job starts from the beginning.
            Err(failure) => eprintln!("not resumed: {failure}"),
        }
    }
    for left in left.iter().filter(|l| l.destination == out) {
        left.remove(&MobileMapPackager)?;
    }
    Ok(if completes { Some(GenerateOfflineMapJob::complete(engine, out).await?) } else { None })
}

/// Prints the steps of a job as they begin.
async fn report(mut status: StatusStream) {
    let mut joining = 0_u32;
    while let Some(message) = status.next().await {
        match (message.subject.kind, message.state) {
            _ if message.message.as_deref() == Some(JOINED) => {
                joining += 1;
                println!("joining");
            }
            (SubjectKind::Package, ExportState::Started) => println!("packing"),
            (SubjectKind::Layer, ExportState::Started) if joining == 0 => println!("exporting"),
            (SubjectKind::Layer, ExportState::Succeeded) if matches!(message.subject.id.as_str(), "world" | "streets") => {
                joining = joining.saturating_sub(1);
                if joining == 0 {
                    println!("exporting");
                }
            }
            _ => {}
        }
    }
}
