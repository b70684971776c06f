//! offmap: the service as a map of its own, a package of it that is verified, and its data in the format that is asked for.

use crate::{Outcome, peak_rss_mib};
use offmap::arcgis::lone_service::{self, Selection, Wanted};
use offmap::arcgis::portal::ReadLimits;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::packager::MobileMapPackage;
use offmap::{DirectDownload, Engine, GenerateOfflineMapJob, GenerateOfflineMapParameters, OfflineMapTask};
use offmap_convert::files::{self, Content, Request};
use serde_json::json;
use std::path::Path;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Makes the file; where `resumes`, with what an earlier process left of it.
pub(crate) async fn run(url: &str, to: &Path, resumes: bool) -> Outcome<()> {
    let package = to.with_extension("package");
    let began = Instant::now();
    let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let left = if resumes { GenerateOfflineMapJob::resume(&engine, &package).await.ok() } else { None };
    let job = match left {
        Some(job) => job,
        None => new_job(&client, &engine, url, to, &package).await?,
    };
    let result = job.start().result().await?;
    engine.shutdown().await?;
    if !result.is_complete() {
        return Err(format!("the package is not complete: {:?}", result.layers).into());
    }
    let download_ms = began.elapsed().as_millis();
    let got: u64 = result.layers.iter().map(|l| l.contents.got).sum();
    let (from, request_to) = (package.clone(), to.to_owned());
    let bytes = tokio::task::spawn_blocking(move || {
        let opened = MobileMapPackage::open(&from)?;
        let manifest = opened.manifest().and_then(Result::ok).ok_or("there is no manifest")?;
        let file = manifest.layers.iter().find_map(|l| l.file.as_deref()).ok_or("there is no file")?;
        let converted = files::convert(&Request::new(from.join(file), request_to), &|_| {}, &CancellationToken::new())?;
        Outcome::Ok(converted.bytes)
    })
    .await??;
    let ms = began.elapsed().as_millis();
    std::fs::remove_dir_all(&package)?;
    println!("{}", json!({"ms": ms, "downloadMs": download_ms, "got": got, "bytes": bytes, "peakRssMib": peak_rss_mib()}));
    Ok(())
}

async fn new_job(
    client: &ArcGisClient,
    engine: &Engine,
    url: &str,
    to: &Path,
    package: &Path,
) -> Outcome<GenerateOfflineMapJob> {
    let wanted = match files::content_of(to)? {
        Content::Tiles => Wanted::Tiles,
        Content::Features => Wanted::Features,
    };
    let lone = lone_service::read(client, url, &Selection::all(wanted), &ReadLimits::default()).await?;
    let mut parameters = GenerateOfflineMapParameters::new(lone.extent.ok_or("the service has no extent")?);
    parameters.direct_download = DirectDownload::Always;
    let task = OfflineMapTask::new(engine, lone.source);
    Ok(task.generate_offline_map(parameters, Default::default(), package))
}
