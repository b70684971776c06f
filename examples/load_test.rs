//! Many jobs at once; one JSON line at the end.
//!
//! ```text
//! cargo run --release --example load_test -- --jobs 1000 --layers 10 [--latency-ms 5] [--failure-rate 0.05] [--seed 1] [--sandbox]
//! ```
//!
//! Scripted layers measure the engine alone: planning, ledger, actors, packages. With `--sandbox` every job is a real map from
//! an ArcGIS server in the same process.

use clap::Parser;
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::testing::{Act, Script, ScriptedExporter, scripted_map};
use offmap::{AreaOfInterest, Engine, OfflineMapSource, OfflineMapTask};
use offmap_sandbox::{FIELD_MAP, Sandbox, SandboxOptions};
use serde_json::json;
use std::error::Error;
use std::time::{Duration, Instant};

#[derive(Debug, Parser)]
struct Arguments {
    /// Jobs in all; all are submitted at once.
    #[arg(long, default_value_t = 100)]
    jobs: usize,
    /// Scripted layers of a job.
    #[arg(long, default_value_t = 10)]
    layers: usize,
    /// Milliseconds that a scripted layer takes.
    #[arg(long, default_value_t = 4)]
    latency_ms: u64,
    /// Share of scripted layers that fail, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    failure_rate: f64,
    /// Which layers fail.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Jobs that run at a time.
    #[arg(long, default_value_t = offmap::DEFAULT_CONCURRENT_JOBS)]
    concurrent_jobs: usize,
    /// Take a real map from the sandbox instead of scripted layers.
    #[arg(long)]
    sandbox: bool,
}

/// A number from 0 to 1 for a layer; the same for the same seed (splitmix64).
fn chance(seed: u64, job: usize, layer: usize) -> f64 {
    let mut n = seed.wrapping_add((job as u64) << 20).wrapping_add(layer as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((n ^ (n >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn scripted(arguments: &Arguments, job: usize) -> OfflineMapSource {
    let names: Vec<String> = (0..arguments.layers).map(|i| format!("layer{i}")).collect();
    let script = |layer: usize| {
        let fails = chance(arguments.seed, job, layer) < arguments.failure_rate;
        Script { act: if fails { Act::Fail } else { Act::Succeed }, items: 10, delay_ms: arguments.latency_ms }
    };
    OfflineMapSource::from_web_map(scripted_map(names.iter().enumerate().map(|(i, name)| (name.as_str(), script(i)))))
}

/// The value below which `share` of the sorted values lie, in milliseconds.
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(0.0, |d| (d.as_secs_f64() * 1e5).round() / 100.0)
}

/// The most memory that this process had, in MiB (`VmHWM`; Linux only).
fn peak_rss_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|k| k / 1024)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let sandbox = if arguments.sandbox { Some(Sandbox::start(SandboxOptions::default()).await?) } else { None };
    let options = ClientOptions { poll_interval: Duration::from_millis(50), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let engine: Engine =
        offmap::with_defaults(&client)?.exporter(ScriptedExporter)?.concurrent_jobs(arguments.concurrent_jobs).start()?;
    let real = match &sandbox {
        Some(sandbox) => Some(portal::read_item(&client, &sandbox.portal_url(), FIELD_MAP).await?),
        None => None,
    };
    let area = AreaOfInterest::from_numbers("2,43,20,52")?;
    let home = tempfile::tempdir()?;
    let began = Instant::now();
    let mut running = Vec::new();
    for i in 0..arguments.jobs {
        let source = real.clone().unwrap_or_else(|| scripted(&arguments, i));
        let task = OfflineMapTask::new(&engine, source);
        let mut parameters = task.default_parameters(area.clone())?;
        parameters.max_scale = 20_000_000.0;
        let job = task.generate_offline_map(parameters, Default::default(), home.path().join(i.to_string()));
        running.push(tokio::spawn(async move {
            let submitted = Instant::now();
            let mut status = job.status();
            job.start();
            status.next().await;
            let first = submitted.elapsed();
            let result = job.result().await;
            let missing = result.as_ref().map_or(0, |r| r.layers.iter().filter(|l| l.is_error()).count());
            // The package was the point; its space is not.
            let _ = tokio::fs::remove_dir_all(job.destination()).await;
            (submitted.elapsed(), first, result.is_ok(), missing)
        }));
    }
    let (mut ends, mut firsts, mut packages, mut missing) = (Vec::new(), Vec::new(), 0, 0);
    for job in running {
        let (end, first, ok, lost) = job.await?;
        ends.push(end);
        firsts.push(first);
        packages += usize::from(ok);
        missing += lost;
    }
    let took = began.elapsed();
    ends.sort();
    firsts.sort();
    engine.shutdown().await?;
    let stats = engine.stats();
    let p =
        |all: &[Duration]| json!({"p50": percentile(all, 0.5), "p95": percentile(all, 0.95), "p99": percentile(all, 0.99)});
    println!(
        "{}",
        json!({"jobs": arguments.jobs, "layersPerJob": real.map_or(arguments.layers, |r| r.web_map.layers().len()),
            "packages": packages, "failedLayers": missing, "seconds": took.as_secs_f64(),
            "jobsPerSecond": arguments.jobs as f64 / took.as_secs_f64(), "submitToEndMs": p(&ends), "firstStatusMs": p(&firsts),
            "peakActors": stats.peak_actors, "leakedActors": stats.actors, "leakedJobs": stats.jobs, "peakRssMib": peak_rss_mib(),
            "seed": arguments.seed})
    );
    if stats.actors > 0 || stats.jobs > 0 {
        return Err("actors or jobs are left".into());
    }
    Ok(())
}
