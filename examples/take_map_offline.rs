//! Takes a whole web map offline: starts an ArcGIS server of its own on loopback, asks its portal for a map, and leaves a
//! mobile map package on disk.
//!
//! ```text
//! cargo run --example take_map_offline [-- --out DIR] [--mmpk FILE] [--area XMIN,YMIN,XMAX,YMAX]
//! ```

use clap::Parser;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::packager::{MobileMapPackage, verify, write_mmpk};
use offmap::{AreaOfInterest, ExportState, GenerateOfflineMapParameterOverrides, OfflineMapTask, SubjectKind};
use offmap_sandbox::{FIELD_MAP, Sandbox, SandboxOptions};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
struct Arguments {
    /// Directory of the package; what an earlier run left at the default place is replaced.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Zip the package to this file as well.
    #[arg(long)]
    mmpk: Option<PathBuf>,
    /// Area in degrees.
    #[arg(long, default_value = "2,43,20,52", allow_hyphen_values = true)]
    area: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let out = match arguments.out {
        Some(out) => out,
        None => {
            let home = PathBuf::from("target/take_map_offline");
            std::fs::create_dir_all(&home)?;
            let out = home.join("package");
            if out.exists() {
                std::fs::remove_dir_all(&out)?;
            }
            out
        }
    };

    // A server to take a map from. In a service of yours this is your portal.
    let sandbox = Sandbox::start(SandboxOptions::default()).await?;
    println!("portal  {}", sandbox.portal_url());

    let options = ClientOptions { poll_interval: Duration::from_millis(100), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let source = offmap::arcgis::portal::read_item(&client, &sandbox.portal_url(), FIELD_MAP).await?;
    let task = OfflineMapTask::new(&engine, source);
    let parameters = task.default_parameters(AreaOfInterest::from_numbers(&arguments.area)?)?;
    let overrides = GenerateOfflineMapParameterOverrides::default();

    let plan = task.plan(&parameters, &overrides).await?;
    println!("\nplan");
    for task in &plan.tasks {
        let tiles: u64 = task.levels.iter().map(|l| l.tiles).sum();
        let what = if tiles > 0 { format!("up to {tiles} tiles on {} levels", task.levels.len()) } else { String::new() };
        println!("  {:<13} {:<12} {what}", task.exporter, task.title);
        for layer in task.layers.iter().filter(|_| tiles == 0) {
            let rows = layer.expected.map_or_else(|| "related rows".to_owned(), |n| format!("{n} rows"));
            println!("                {:<22} {rows}", layer.title);
        }
    }

    let job = task.generate_offline_map(parameters, overrides, &out);
    let mut status = job.status();
    job.start();
    println!("\njob");
    while let Some(message) = status.next().await {
        let progress = message.progress.map(|p| format!("{}/{} {:?}", p.completed, p.required, p.unit)).unwrap_or_default();
        let words = message.message.or_else(|| message.failure.map(|f| f.to_string())).unwrap_or_default();
        let quiet = message.subject.kind == SubjectKind::Job && message.state == ExportState::Started;
        if !quiet {
            println!(
                "  {:<18} {:<10} {progress} {words}",
                message.subject.title,
                format!("{:?}", message.state).to_lowercase()
            );
        }
    }
    let result = job.result().await?;
    engine.shutdown().await?;

    let package = MobileMapPackage::open(&result.package)?;
    println!("\npackage {} ({} bytes)", result.package.display(), result.bytes);
    for layer in package.maps().iter().flat_map(|m| &m.layers) {
        let data = layer.data.as_ref().map_or_else(|| "online".to_owned(), |d| d.path.clone());
        let got = result.layers.iter().find(|l| l.id == layer.id).map_or(0, |l| l.contents.got);
        println!("  {:<14} {got:>6}  {data}", layer.title);
    }
    let verification = verify(&result.package)?;
    println!(
        "verified: {} files, {} bytes, complete: {}",
        verification.files,
        verification.bytes,
        verification.complete == Some(true)
    );
    if let Some(mmpk) = &arguments.mmpk {
        println!("zipped: {} ({} bytes)", mmpk.display(), write_mmpk(&result.package, mmpk)?);
    }
    if !verification.ok || result.has_errors() {
        return Err("the package is not complete".into());
    }
    Ok(())
}
