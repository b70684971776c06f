//! Many jobs at once; one JSON line at the end.
//!
//! ```text
//! cargo run --release --example load_test -- --jobs 1000 --layers 10 --dir /dev/shm
//!     [--layers-per-service 1] [--latency-ms 0] [--failure-rate 0.05] [--seed 1]
//!     [--concurrent-jobs 16] [--concurrent-exports 8] [--sandbox]
//! ```
//!
//! Scripted layers measure the engine alone: planning, ledger, actors, packages. Layers of one service are one task. With `--sandbox`
//! every job is a real map from an ArcGIS server in the same process. The maps are read before the clock starts.
//!
//! | key | meaning |
//! | --- | --- |
//! | `jobs`, `layersPerJob`, `layersPerService`, `seed` | what was asked for |
//! | `packages` | jobs that ended with a package |
//! | `failedLayers` | layers that are missing in packages though they were wanted |
//! | `seconds` | from the first submit to the last end |
//! | `jobsPerSecond` | `jobs` / `seconds` |
//! | `perLayerMicros` | `seconds` / layers of all jobs, in microseconds |
//! | `submitToRunningMs` | from a job's submit until it has had its turn, its plan is made, and its layers are named |
//! | `submitToProgressMs` | from a job's submit to its first progress |
//! | `submitToEndMs` | from a job's submit to its result |
//! | `queueDepth` | jobs that are submitted and not running yet: `max`, and `mean` over the whole time |
//! | `peakActors` | the most actors that lived at once |
//! | `leakedActors`, `leakedJobs` | what the engine still counts after its shutdown |
//! | `leakedThreads` | threads of the engine that live after its end (Linux only, else null) |
//! | `leakedDescriptors` | file descriptors that are open after the end and were not before the engine (Linux only, else null) |
//! | `peakRssMib` | the most memory that the process had (Linux only, else null) |
//!
//! Times have the percentiles `p50`, `p95` and `p99`, and `max`. The exit code is not 0 where something leaked.

use clap::Parser;
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::testing::{Act, Script, ScriptedExporter, scripted_map_of};
use offmap::{AreaOfInterest, Engine, GenerateOfflineMapJob, OfflineMapSource, OfflineMapTask, SubjectKind};
use offmap_sandbox::{FIELD_MAP, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Layers of one web map.
const MOST_LAYERS: u64 = 10_000;
/// Services of one web map.
const MOST_SERVICES: u64 = 1_000;
/// How long the system may take to close what the engine let go.
const CLOSING: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
#[command(about = "Runs many jobs at once and prints one JSON line", disable_help_subcommand = true)]
struct Arguments {
    /// Jobs in all; all are submitted at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    jobs: u64,
    /// Scripted layers of a job.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MOST_LAYERS))]
    layers: u64,
    /// Layers of a service; layers of one service are one task.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST_LAYERS))]
    layers_per_service: u64,
    /// Milliseconds that a scripted layer takes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    latency_ms: u64,
    /// Share of scripted layers that fail, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    failure_rate: f64,
    /// Which layers fail.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Jobs that run at a time.
    #[arg(long, default_value_t = offmap::DEFAULT_CONCURRENT_JOBS as u64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    concurrent_jobs: u64,
    /// Exports that run at a time in the whole engine.
    #[arg(long, default_value_t = offmap::DEFAULT_CONCURRENT_EXPORTS as u64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    concurrent_exports: u64,
    /// Directory for the packages; it must exist. [default: that for temporary files]
    #[arg(long, value_parser = directory)]
    dir: Option<PathBuf>,
    /// Take a real map from the sandbox instead of scripted layers.
    #[arg(long, conflicts_with_all = ["layers", "layers_per_service", "latency_ms", "failure_rate", "seed"])]
    sandbox: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() { Ok(path) } else { Err("it is not a directory; make it first".to_owned()) }
}

impl Arguments {
    /// The command line, with what only several options together make wrong refused.
    fn read() -> Self {
        let arguments = Self::parse();
        let services = arguments.layers.div_ceil(arguments.layers_per_service);
        if services > MOST_SERVICES {
            let least = arguments.layers.div_ceil(MOST_SERVICES);
            let message = format!(
                "{} layers with {} per service are {services} services, expected at most {MOST_SERVICES}; \
                 give --layers-per-service {least} or more\n",
                arguments.layers, arguments.layers_per_service
            );
            <Self as clap::CommandFactory>::command().error(clap::error::ErrorKind::ValueValidation, message).exit();
        }
        arguments
    }

    fn engine(&self, client: &ArcGisClient) -> Result<Engine, Box<dyn Error>> {
        let builder = offmap::with_defaults(client)?.exporter(ScriptedExporter)?;
        let builder = builder.concurrent_jobs(usize::try_from(self.concurrent_jobs)?);
        Ok(builder.concurrent_exports(usize::try_from(self.concurrent_exports)?).start()?)
    }
}

/// A number from 0 to 1 for a layer; the same for the same seed (splitmix64).
fn chance(seed: u64, job: u64, layer: u64) -> f64 {
    let mut n = seed.wrapping_add(job << 20).wrapping_add(layer).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((n ^ (n >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn scripted(arguments: &Arguments, job: u64) -> OfflineMapSource {
    let name = |i: u64| (format!("service{}", i / arguments.layers_per_service), format!("layer{i}"));
    let names: Vec<(String, String)> = (0..arguments.layers).map(name).collect();
    let script = |layer: u64| {
        let fails = chance(arguments.seed, job, layer) < arguments.failure_rate;
        Script { act: if fails { Act::Fail } else { Act::Succeed }, items: 10, delay_ms: arguments.latency_ms }
    };
    let layers = names.iter().zip(0..).map(|((service, id), i)| (service.as_str(), id.as_str(), script(i)));
    OfflineMapSource::from_web_map(scripted_map_of(layers))
}

/// Jobs that are submitted and not running yet, over time.
#[derive(Debug)]
struct Queue {
    since: Instant,
    depth: u64,
    max: u64,
    /// The depth times the seconds that it lasted, summed up.
    area: f64,
}

impl Queue {
    fn change(queue: &Mutex<Self>, by: i64) {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        queue.area += queue.depth as f64 * (now - queue.since).as_secs_f64();
        queue.since = now;
        queue.depth = queue.depth.saturating_add_signed(by);
        queue.max = queue.max.max(queue.depth);
    }

    fn report(queue: &Mutex<Self>, took: Duration) -> Value {
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"max": queue.max, "mean": rounded(queue.area / took.as_secs_f64())})
    }
}

/// When a job got how far after its submit, and what came of it.
struct Ended {
    running: Option<Duration>,
    progress: Option<Duration>,
    end: Duration,
    has_package: bool,
    missing: usize,
}

/// Submits a job. What an order has beside its map belongs here: tenant, priority, unique key; and what a full queue answers.
fn submit(engine: &Engine, source: OfflineMapSource, to: PathBuf) -> Result<GenerateOfflineMapJob, Box<dyn Error>> {
    let task = OfflineMapTask::new(engine, source);
    let mut parameters = task.default_parameters(AreaOfInterest::from_numbers("2,43,20,52")?)?;
    parameters.max_scale = 20_000_000.0;
    Ok(task.generate_offline_map(parameters, Default::default(), to))
}

/// Starts a job and follows it to its end.
async fn follow(job: GenerateOfflineMapJob, queue: Arc<Mutex<Queue>>) -> Ended {
    let submitted = Instant::now();
    let mut status = job.status();
    job.start();
    let (mut running, mut progress) = (None, None);
    while let Some(message) = status.next().await {
        if running.is_none() && matches!(message.subject.kind, SubjectKind::Layer | SubjectKind::Table) {
            running = Some(submitted.elapsed());
            Queue::change(&queue, -1);
        }
        if message.progress.is_some() {
            progress = Some(submitted.elapsed());
            break;
        }
    }
    drop(status);
    let result = job.result().await;
    let end = submitted.elapsed();
    if running.is_none() {
        Queue::change(&queue, -1);
    }
    let missing = result.as_ref().map_or(0, |r| r.layers.iter().filter(|l| l.is_error()).count());
    Ended { running, progress, end, has_package: result.is_ok(), missing }
}

/// Submits all jobs at once and follows them to their ends.
async fn run(
    engine: &Engine,
    sources: Vec<OfflineMapSource>,
    dir: &Path,
) -> Result<(Vec<Ended>, Value, f64), Box<dyn Error>> {
    let began = Instant::now();
    let queue = Arc::new(Mutex::new(Queue { since: began, depth: 0, max: 0, area: 0.0 }));
    let mut followed = Vec::new();
    for (source, i) in sources.into_iter().zip(0_u64..) {
        let job = submit(engine, source, dir.join(i.to_string()))?;
        Queue::change(&queue, 1);
        followed.push(tokio::spawn(follow(job, Arc::clone(&queue))));
    }
    let mut ended = Vec::new();
    for job in followed {
        ended.push(job.await?);
    }
    let took = began.elapsed();
    // Removed are the packages with their directory, when the clock has stopped.
    Ok((ended, Queue::report(&queue, took), took.as_secs_f64()))
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Percentiles of times, in milliseconds.
fn percentiles(times: impl Iterator<Item = Duration>) -> Value {
    let mut sorted: Vec<Duration> = times.collect();
    sorted.sort_unstable();
    let at = |share: f64| {
        let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(at).map(|d| rounded(d.as_secs_f64() * 1e3))
    };
    json!({"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0)})
}

/// The most memory that this process had, in MiB (`VmHWM`; Linux only).
fn peak_rss_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|k| k / 1024)
}

/// Threads of the engine; those of the host's runtime are not its own.
fn threads() -> Option<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let is_own = |name: &String| name.starts_with("offmap-");
    Some(tasks.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("comm")).ok()).filter(is_own).count())
}

fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// How many more there are than before, once that does not change for the better any more.
async fn leaked(before: Option<usize>, count: fn() -> Option<usize>) -> Option<usize> {
    let until = Instant::now() + CLOSING;
    loop {
        let more = count()?.saturating_sub(before?);
        if more == 0 || Instant::now() >= until {
            return Some(more);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read();
    let home = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let before = (threads(), descriptors());
    let sandbox = if arguments.sandbox { Some(Sandbox::start(SandboxOptions::default()).await?) } else { None };
    let options = ClientOptions { poll_interval: Duration::from_millis(50), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let engine = arguments.engine(&client)?;
    let real = match &sandbox {
        Some(sandbox) => Some(portal::read_item(&client, &sandbox.portal_url(), FIELD_MAP).await?),
        None => None,
    };
    let sources: Vec<OfflineMapSource> =
        (0..arguments.jobs).map(|i| real.clone().unwrap_or_else(|| scripted(&arguments, i))).collect();
    let layers = sources.first().map_or(0, |s| s.web_map.layers().len());
    let (ended, queue, seconds) = run(&engine, sources, home.path()).await?;
    engine.shutdown().await?;
    let stats = engine.stats();
    drop((engine, client, sandbox, real));
    let threads = leaked(before.0, threads).await;
    let descriptors = leaked(before.1, descriptors).await;
    let jobs = arguments.jobs as f64;
    println!(
        "{}",
        json!({"jobs": arguments.jobs, "layersPerJob": layers, "layersPerService": arguments.layers_per_service,
            "packages": ended.iter().filter(|e| e.has_package).count(),
            "failedLayers": ended.iter().map(|e| e.missing).sum::<usize>(), "seconds": seconds,
            "jobsPerSecond": rounded(jobs / seconds), "perLayerMicros": rounded(seconds * 1e6 / (jobs * layers.max(1) as f64)),
            "submitToRunningMs": percentiles(ended.iter().filter_map(|e| e.running)),
            "submitToProgressMs": percentiles(ended.iter().filter_map(|e| e.progress)),
            "submitToEndMs": percentiles(ended.iter().map(|e| e.end)), "queueDepth": queue,
            "peakActors": stats.peak_actors, "leakedActors": stats.actors, "leakedJobs": stats.jobs, "leakedThreads": threads,
            "leakedDescriptors": descriptors, "peakRssMib": peak_rss_mib(), "seed": arguments.seed})
    );
    if stats.actors > 0 || stats.jobs > 0 || threads > Some(0) || descriptors > Some(0) {
        return Err("something is left: see the keys leaked…".into());
    }
    Ok(())
}
