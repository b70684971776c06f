//! Many jobs at once; one JSON object at the end.
//!
//! ```text
//! cargo run --release --example load_test -- --jobs 1000 --layers 10 --latency-ms 0 --dir /dev/shm
//!     [--layers-per-service 1] [--failure-rate 0.05] [--seed 1] [--tenants 4] [--priorities 3]
//!     [--concurrent-jobs 16] [--concurrent-exports 8] [--queue-bound 100] [--durable] [--hold] [--sandbox]
//! cargo run --release --example load_test -- --jobs 1 --layers 10000 --latency-ms 0 --dir /dev/shm
//! ```
//!
//! Every job is an order to `Engine::submit`, whose messages somebody reads until its first progress. Scripted layers measure the engine
//! alone: planning, queue, ledger, actors, packages. Layers of one service are one task. With `--sandbox` every job is a real map from an
//! ArcGIS server in the same process. With `--durable` the queue is in a data directory. A queue that is full is asked again until it
//! takes the job.
//!
//! | key | meaning |
//! | --- | --- |
//! | `jobs`, `layersPerJob`, `layersPerService`, `tenants`, `priorities`, `seed`, `isDurable` | what was asked for |
//! | `packages` | jobs that ended with a package |
//! | `failedLayers` | layers that are missing in packages though they were wanted |
//! | `refusedSubmits` | answers that the queue was full |
//! | `submitSeconds` | until the last job was taken |
//! | `seconds` | from the first submit to the last end |
//! | `jobsPerSecond` | `jobs` / `seconds` |
//! | `perLayerMicros` | `seconds` / layers of all jobs, in microseconds |
//! | `submitToRunningMs` | from a job's submit until it has its turn |
//! | `submitToProgressMs` | from a job's submit to its first progress |
//! | `submitToEndMs` | from a job's submit to its result |
//! | `queueDepthJobs` | jobs that wait for their turn: `max`, `mean` over the whole time, and pairs of milliseconds and jobs |
//! | `peakActors` | the most actors that lived at once |
//! | `leakedActors`, `leakedJobs`, `leakedExports` | what the engine still counts after its shutdown; exports hold permits |
//! | `leakedTasks` | tasks of the runtime that live after the end of the engine |
//! | `leakedThreads` | threads of the engine that live after its end (Linux only, else null) |
//! | `leakedDescriptors` | file descriptors that are open after the end and were not before the engine (Linux only, else null) |
//! | `leakedEntries` | what lies beside the packages, and what is left of the engine's temporary files |
//! | `emptyRssKib`, `queuedRssKib` | with `--hold`: memory before the first submit, and when all jobs are queued (Linux only, else null) |
//! | `peakRssKib` | the most memory that the process had (Linux only, else null) |
//!
//! Times have the percentiles `p50`, `p95` and `p99`, and `max`. The exit code is not 0 where something leaked.

mod arguments;
mod machine;
mod times;

use arguments::Arguments;
use machine::{Entries, Held, peak_rss_kib, rss_kib};
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::testing::{Act, Script, ScriptedExporter, scripted_map_of};
use offmap::{
    AreaOfInterest, Engine, EngineStats, ExportState, FailureKind, Job, OfflineMapSource, OfflineMapTask, Order, SubjectKind,
};
use offmap_sandbox::{FIELD_MAP, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};
use times::{Depth, LOOK, percentiles, rounded};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long a queue that is full is left alone.
const FULL: Duration = Duration::from_millis(1);
/// How long jobs may take to be queued or running.
const SETTLING: Duration = Duration::from_secs(60);

fn engine(arguments: &Arguments, client: &ArcGisClient, home: &Path) -> Fallible<Engine> {
    let builder = offmap::with_defaults(client)?.exporter(ScriptedExporter)?;
    let builder = builder.concurrent_jobs(usize::try_from(arguments.concurrent_jobs)?);
    let builder = builder.max_queued_jobs(usize::try_from(arguments.queue_bound)?);
    let builder = builder.concurrent_exports(usize::try_from(arguments.concurrent_exports)?);
    let builder = if arguments.durable { builder.data_dir(home.join("data")) } else { builder };
    Ok(builder.start()?)
}

/// A number from 0 to 1 for a layer; the same for the same seed (splitmix64).
fn chance(seed: u64, job: u64, layer: u64) -> f64 {
    let mut n = seed.wrapping_add(job << 20).wrapping_add(layer).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((n ^ (n >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn scripted(arguments: &Arguments, job: u64) -> OfflineMapSource {
    let per_service = arguments.layers_per_service();
    let name = |i: u64| (format!("service{}", i / per_service), format!("layer{i}"));
    let names: Vec<(String, String)> = (0..arguments.layers).map(name).collect();
    let script = |layer: u64| {
        let fails = chance(arguments.seed, job, layer) < arguments.failure_rate;
        Script { act: if fails { Act::Fail } else { Act::Succeed }, items: 10, delay_ms: arguments.latency_ms }
    };
    let layers = names.iter().zip(0..).map(|((service, id), i)| (service.as_str(), id.as_str(), script(i)));
    OfflineMapSource::from_web_map(scripted_map_of(layers))
}

/// The order of a job.
fn order(engine: &Engine, arguments: &Arguments, real: Option<&OfflineMapSource>, job: u64, dir: &Path) -> Fallible<Order> {
    let source = real.cloned().unwrap_or_else(|| scripted(arguments, job));
    let task = OfflineMapTask::new(engine, source);
    let mut parameters = task.default_parameters(AreaOfInterest::from_numbers("2,43,20,52")?)?;
    parameters.max_scale = 20_000_000.0;
    let order = Order::new(task.source().clone(), parameters).destination(dir.join(job.to_string()));
    let priority = i32::try_from(job % arguments.priorities)?;
    Ok(order.tenant(format!("tenant{}", job % arguments.tenants)).priority(priority))
}

/// Submits an order until the queue takes it; answers also how often it was full.
async fn submit(engine: &Engine, order: Order, may_be_full: bool) -> Fallible<(Job, u64)> {
    if !may_be_full {
        return Ok((engine.submit(order).await?, 0));
    }
    let mut refused = 0;
    loop {
        // A copy of the map is what a host pays that keeps it for the next try.
        match engine.submit(order.clone()).await {
            Ok(job) => return Ok((job, refused)),
            Err(failure) if failure.kind == FailureKind::LimitExceeded && failure.retryable => refused += 1,
            Err(failure) => return Err(failure.into()),
        }
        tokio::time::sleep(FULL).await;
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

/// Follows a job to its end.
async fn follow(job: Job, submitted: Instant) -> Fallible<Ended> {
    let (mut running, mut progress) = (None, None);
    let mut events = job.events(0).await?;
    while let Some(message) = events.next().await? {
        if running.is_none() && message.subject.kind == SubjectKind::Job && message.state == ExportState::Started {
            running = Some(submitted.elapsed());
        }
        if message.progress.is_some() {
            progress = Some(submitted.elapsed());
            break;
        }
    }
    drop(events);
    let result = job.result().await;
    let missing = result.as_ref().map_or(0, |r| r.layers.iter().filter(|l| l.is_error()).count());
    Ok(Ended { running, progress, end: submitted.elapsed(), has_package: result.is_ok(), missing })
}

/// Jobs that run and do nothing, as many as may run: all others wait.
struct Hold(Vec<Job>);

impl Hold {
    async fn new(engine: &Engine, arguments: &Arguments, dir: &Path) -> Fallible<Self> {
        let script = Script { act: Act::Hang, ..Script::default() };
        let mut jobs = Vec::new();
        for i in 0..arguments.concurrent_jobs {
            let source = OfflineMapSource::from_web_map(scripted_map_of([("hangs", "hangs", script)]));
            let parameters = OfflineMapTask::new(engine, source.clone())
                .default_parameters(AreaOfInterest::from_numbers("2,43,20,52")?)?;
            jobs.push(engine.submit(Order::new(source, parameters).destination(dir.join(format!("hold{i}")))).await?);
        }
        let until = Instant::now() + SETTLING;
        while engine.stats().running < jobs.len() {
            if Instant::now() > until {
                return Err("the jobs that hold the others do not run".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self(jobs))
    }

    async fn release(self) -> Fallible<()> {
        futures_util::future::try_join_all(self.0.iter().map(Job::cancel)).await?;
        Ok(())
    }
}

/// What a run measured.
struct Run {
    ended: Vec<Ended>,
    refused: u64,
    submitting: Duration,
    took: Duration,
    depth: Depth,
    /// Memory before the first submit, and when all jobs are queued.
    rss: Option<(Option<u64>, Option<u64>)>,
}

/// Submits all jobs at once and follows them to their ends.
async fn run(engine: &Engine, arguments: &Arguments, real: Option<&OfflineMapSource>, dir: &Path) -> Fallible<Run> {
    let hold = if arguments.hold { Some(Hold::new(engine, arguments, dir).await?) } else { None };
    // Making the maps is not measured; with `--hold`, their memory is not either.
    let made = if arguments.hold { 0 } else { arguments.jobs };
    let made: Vec<Order> = (0..made).map(|i| order(engine, arguments, real, i, dir)).collect::<Fallible<_>>()?;
    let may_be_full = arguments.queue_bound < arguments.jobs;
    let (mut made, empty) = (made.into_iter(), rss_kib());
    let mut began = Instant::now();
    let (stop, depth) = watched(engine.clone());
    let (mut held, mut followed, mut refused) = (Vec::new(), Vec::<JoinHandle<Fallible<Ended>>>::new(), 0);
    for i in 0..arguments.jobs {
        let order = made.next().map_or_else(|| order(engine, arguments, real, i, dir), Ok)?;
        let submitted = Instant::now();
        let (job, times) = submit(engine, order, may_be_full).await?;
        refused += times;
        match &hold {
            Some(_) => held.push(job),
            None => followed.push(tokio::spawn(follow(job, submitted))),
        }
    }
    let submitting = began.elapsed();
    let rss = hold.is_some().then(|| (empty, rss_kib()));
    if let Some(hold) = hold {
        // The clock starts when they may run.
        began = Instant::now();
        followed.extend(held.into_iter().map(|job| tokio::spawn(follow(job, began))));
        hold.release().await?;
    }
    let mut ended = Vec::new();
    for job in followed {
        ended.push(job.await??);
    }
    let took = began.elapsed();
    drop(stop);
    Ok(Run { ended, refused, submitting, took, depth: depth.await?, rss })
}

/// Looks at the queue again and again until the sender is dropped.
fn watched(engine: Engine) -> (oneshot::Sender<()>, JoinHandle<Depth>) {
    let (stop, mut stopped) = oneshot::channel();
    let watching = tokio::spawn(async move {
        let mut depth = Depth::new();
        loop {
            depth.look(engine.stats().queued);
            tokio::select! {
                _ = &mut stopped => return depth,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
    (stop, watching)
}

/// What is left after the end of the engine.
struct Leaks {
    stats: EngineStats,
    held: Held,
    entries: usize,
}

impl Leaks {
    fn are_none(&self) -> bool {
        let EngineStats { actors, jobs, exports, .. } = self.stats;
        actors + jobs + exports + self.entries == 0 && self.held.is_nothing()
    }
}

fn report(arguments: &Arguments, layers: usize, run: &Run, leaks: &Leaks) -> Value {
    let (jobs, seconds, ended) = (arguments.jobs as f64, run.took.as_secs_f64(), &run.ended);
    let (empty, queued) = run.rss.unwrap_or_default();
    json!({"jobs": arguments.jobs, "layersPerJob": layers, "layersPerService": arguments.layers_per_service(),
        "tenants": arguments.tenants, "priorities": arguments.priorities, "seed": arguments.seed, "isDurable": arguments.durable,
        "packages": ended.iter().filter(|e| e.has_package).count(),
        "failedLayers": ended.iter().map(|e| e.missing).sum::<usize>(), "refusedSubmits": run.refused,
        "submitSeconds": run.submitting.as_secs_f64(), "seconds": seconds, "jobsPerSecond": rounded(jobs / seconds),
        "perLayerMicros": rounded(seconds * 1e6 / (jobs * layers.max(1) as f64)),
        "submitToRunningMs": percentiles(ended.iter().filter_map(|e| e.running)),
        "submitToProgressMs": percentiles(ended.iter().filter_map(|e| e.progress)),
        "submitToEndMs": percentiles(ended.iter().map(|e| e.end)), "queueDepthJobs": run.depth.report(),
        "peakActors": leaks.stats.peak_actors, "leakedActors": leaks.stats.actors, "leakedJobs": leaks.stats.jobs,
        "leakedExports": leaks.stats.exports, "leakedTasks": leaks.held.tasks, "leakedThreads": leaks.held.threads,
        "leakedDescriptors": leaks.held.descriptors, "leakedEntries": leaks.entries, "emptyRssKib": empty,
        "queuedRssKib": queued, "peakRssKib": peak_rss_kib()})
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let arguments = Arguments::read();
    let home = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let packages = home.path().join("packages");
    std::fs::create_dir(&packages)?;
    let (held, entries) = (Held::now(), Entries::in_and_beside(&packages));
    let sandbox = if arguments.sandbox { Some(Sandbox::start(SandboxOptions::default()).await?) } else { None };
    let options = ClientOptions { poll_interval: Duration::from_millis(50), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let engine = engine(&arguments, &client, home.path())?;
    let real = match &sandbox {
        Some(sandbox) => Some(portal::read_item(&client, &sandbox.portal_url(), FIELD_MAP).await?),
        None => None,
    };
    let layers = real.as_ref().map_or(usize::try_from(arguments.layers)?, |s| s.web_map.layers().len());
    let run = run(&engine, &arguments, real.as_ref(), &packages).await?;
    engine.shutdown().await?;
    let stats = engine.stats();
    drop((engine, client, sandbox, real));
    let held = Held::leaked_since(held).await;
    let is_package = |path: &Path| path.strip_prefix(&packages).is_ok_and(|name| !name.to_string_lossy().starts_with('.'));
    let entries = Entries::in_and_beside(&packages).more_than(&entries, |path| is_package(path) || path == home.path());
    let leaks = Leaks { stats, held, entries };
    println!("{}", report(&arguments, layers, &run, &leaks));
    if leaks.are_none() { Ok(()) } else { Err("something is left: see the keys leaked…".into()) }
}
