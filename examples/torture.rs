//! Kills jobs again and again and lets them go on, until their packages are there; then compares each package with that of a job
//! that was left in peace.
//!
//! A child process takes a map from a sandbox in this process. At seeded random moments it is killed (`SIGKILL`), then another child
//! resumes the job. The kinds of jobs take turns: maps of services in both dialects, one across the dateline whose tile packages are
//! joined, one that is zipped, and one that completes a package that lacks a layer. Half of the kills of the kinds with a short step
//! of their own are aimed at it. Counted are kills by the step into which they fell, bytes that were fetched twice, and jobs and
//! replicas on the server.
//!
//! ```text
//! cargo run --release --example torture -- --kills 200 --seed 1
//! ```

use clap::Parser;
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::packager::{MobileMapPackage, MobileMapPackager, verify, write_mmpk};
use offmap::{
    AreaOfInterest, Engine, ExportState, GenerateOfflineMapJob, Leftover, OfflineMapTask, StatusStream, SubjectKind,
    run_blocking,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault, LoggedRequest, Sandbox, SandboxOptions};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

/// An area on land, and one on both sides of the dateline.
const ALPS: &str = "2,43,20,52";
const FIJI: &str = "175,-22,-170,-10";
/// What an exporter says when it joins.
const JOINED: &str = "the parts on both sides of the dateline are joined";

/// A kind of job.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    item: &'static str,
    area: &'static str,
    /// Whether the package is zipped.
    zips: bool,
    /// Whether a package is there that lacks a layer, which the job completes.
    completes: bool,
    /// The step at which half of the kills are aimed, and all once the package is there; and how many microseconds it may take.
    aim: Option<(&'static str, u64)>,
    /// Microseconds within which the other kills fall.
    within: u64,
    /// Jobs on the server that it takes.
    services: u64,
}

const PLAIN: Kind = Kind {
    name: "field",
    item: FIELD_MAP,
    area: ALPS,
    zips: false,
    completes: false,
    aim: None,
    within: 450_000,
    services: 4,
};
const KINDS: [Kind; 5] = [
    PLAIN,
    Kind { name: "hosted", item: HOSTED_MAP, ..PLAIN },
    Kind { name: "dateline", area: FIJI, aim: Some(("joining", 15_000)), services: 6, ..PLAIN },
    Kind { name: "zipped", zips: true, aim: Some(("zipping", 5_000)), ..PLAIN },
    Kind { name: "completed", completes: true, within: 200_000, services: 1, ..PLAIN },
];

#[derive(Debug, Parser)]
struct Arguments {
    /// Kills in all; as many jobs as that takes.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Seed of the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For the child: the sandbox's portal.
    #[arg(long, hide = true)]
    portal: Option<String>,
    /// For the child: the kind of its job, by number.
    #[arg(long, hide = true, default_value_t = 0)]
    kind: usize,
    /// For the child: the destination.
    #[arg(long, hide = true)]
    out: Option<PathBuf>,
    /// For the child: makes the package that will be completed.
    #[arg(long, hide = true)]
    first: bool,
}

/// A small generator of numbers (SplitMix64), so that a seed gives the same moments everywhere.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

/// The child: takes the map, or resumes what an earlier child left, as a user would.
async fn child(portal_url: &str, kind: &Kind, out: &Path, first: bool) -> Result<(), Box<dyn Error>> {
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
        tokio::spawn(tell(job.status()));
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

/// The job that an earlier child left, or the one that completes its package; nothing where the map is to be taken from the start.
async fn left_over(engine: &Engine, out: &Path, completes: bool) -> Result<Option<GenerateOfflineMapJob>, Box<dyn Error>> {
    let left = Leftover::find(out)?;
    let unfinished = left.iter().any(|l| l.destination == out && l.can_resume);
    if unfinished || (!completes && out.exists()) {
        match GenerateOfflineMapJob::resume(engine, out).await {
            Ok(job) => return Ok(Some(job)),
            // Killed before there was a ledger worth the name: the job begins anew, as a user would let it.
            Err(failure) => eprintln!("not resumed: {failure}"),
        }
    }
    for left in left.iter().filter(|l| l.destination == out) {
        left.remove(&MobileMapPackager)?;
    }
    Ok(if completes { Some(GenerateOfflineMapJob::complete(engine, out).await?) } else { None })
}

/// Prints the steps of a job as they begin.
async fn tell(mut status: StatusStream) {
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

fn mmpk_of(out: &Path) -> PathBuf {
    out.with_extension("mmpk")
}

/// A child, and what it says of its steps.
struct Running {
    child: Child,
    steps: Receiver<String>,
    reader: JoinHandle<()>,
}

impl Running {
    fn spawn(sandbox: &Sandbox, kind: usize, out: &Path, first: bool) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--portal", &sandbox.portal_url(), "--kind", &kind.to_string(), "--out"]).arg(out);
        if first {
            command.arg("--first");
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let (sender, steps) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The parent may not listen any more.
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, steps, reader })
    }

    /// Waits until a step begins or the child ends; answers the last step.
    fn wait_for(&self, step: &str) -> String {
        let mut last = String::new();
        while let Ok(next) = self.steps.recv() {
            last = next;
            if last == step {
                break;
            }
        }
        last
    }

    /// Kills it if it still runs; answers the step in which it was.
    fn kill(mut self, mut last: String) -> Result<Option<String>, Box<dyn Error>> {
        if self.child.try_wait()?.is_some() {
            self.end()?;
            return Ok(None);
        }
        self.child.kill()?;
        self.child.wait()?;
        self.reader.join().map_err(|_| "a reader panicked")?;
        last = self.steps.try_iter().last().unwrap_or(last);
        Ok(Some(if last.is_empty() { "starting".to_owned() } else { last }))
    }

    fn end(mut self) -> Result<(), Box<dyn Error>> {
        let status = self.child.wait()?;
        self.reader.join().map_err(|_| "a reader panicked")?;
        if status.success() { Ok(()) } else { Err(format!("the job ended with {status}").into()) }
    }
}

/// What is kept of files: on their way, or complete.
#[derive(Debug, Default)]
struct Kept {
    parts: HashMap<PathBuf, u64>,
    complete: Vec<PathBuf>,
}

impl Kept {
    fn of(out: &Path) -> Self {
        let mut kept = Self::default();
        let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut todo = vec![out.with_file_name(format!(".{name}.offmap")).join("tasks")];
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
                let path = entry.path();
                if path.is_dir() {
                    todo.push(path);
                } else if path.extension().is_some_and(|e| e == "part") {
                    kept.parts.insert(path, entry.metadata().map_or(0, |m| m.len()));
                } else if ["package", "package.part1", "package.part2", "replica.geodatabase"]
                    .iter()
                    .any(|n| path.ends_with(n))
                {
                    kept.complete.push(path);
                }
            }
        }
        kept
    }

    fn parts_of<'a>(&'a self, exporter: &'a str) -> impl Iterator<Item = u64> + 'a {
        self.parts.iter().filter(move |(path, _)| path.to_string_lossy().contains(exporter)).map(|(_, bytes)| *bytes)
    }

    /// Whether all files of an exporter that were asked for so far are complete.
    fn has_all(&self, exporter: &str, asked: usize) -> bool {
        let complete: Vec<_> = self.complete.iter().filter(|p| p.to_string_lossy().contains(exporter)).collect();
        complete.iter().any(|p| p.ends_with("package")) || (asked > 0 && complete.len() >= asked)
    }
}

/// A digest of what a package holds, without the ids that every job makes anew.
fn content(package: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let opened = MobileMapPackage::open(package)?;
    let mut all = BTreeMap::new();
    for layer in opened.maps().iter().flat_map(|m| &m.layers) {
        let Some(data) = &layer.data else { continue };
        let path = package.join(&data.path);
        let mut digest = Sha256::new();
        if data.path.ends_with(".geodatabase") {
            let connection = Connection::open(&path)?;
            let sql = "SELECT DatasetName FROM GDB_ServiceItems WHERE ItemId = ?1";
            let table: String = connection.query_row(sql, [data.item_id], |r| r.get(0))?;
            let table = table.trim_start_matches("main.").to_owned();
            let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    digest.update(format!("{:?};", row.get_ref(column)?));
                }
            }
        } else {
            let mut zip = zip::ZipArchive::new(File::open(&path)?)?;
            let mut names: Vec<String> = Vec::new();
            for name in zip.file_names() {
                names.push(name?.into_owned());
            }
            names.sort();
            for name in names.iter().filter(|n| n.ends_with(".bundle") || n.ends_with("tilemap/root.json")) {
                digest.update(name);
                let mut bytes = Vec::new();
                zip.by_name(name)?.read_to_end(&mut bytes)?;
                digest.update(&bytes);
            }
        }
        all.insert(layer.id.clone(), offmap::hex(digest.finalize()));
    }
    let manifest = opened.manifest().ok_or("no manifest")??;
    for layer in &manifest.layers {
        let verification = json!({"state": layer.state, "planned": layer.contents.planned, "got": layer.contents.got, "attachments": layer.contents.attachments});
        all.insert(format!("proof of {}", layer.id), verification.to_string());
    }
    Ok(all)
}

/// What happened on the server and to the files of jobs.
#[derive(Debug, Default)]
struct Count {
    kills: u32,
    kills_in: BTreeMap<String, u32>,
    resumed_files: u64,
    fetched_twice: u64,
    finished_again: u64,
    fetched: u64,
    submissions: u64,
    services: u64,
}

/// Reads the requests of one job as they come.
struct Watch<'a> {
    sandbox: &'a Sandbox,
    at: usize,
    before: Kept,
    known: Vec<(&'static str, String)>,
}

impl<'a> Watch<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        Self { sandbox, at: sandbox.requests().len(), before: Kept::default(), known: Vec::new() }
    }

    fn look(&mut self, count: &mut Count) {
        let requests: Vec<LoggedRequest> = self.sandbox.requests().into_iter().skip(self.at).collect();
        self.at += requests.len();
        let asked_before = self.known.clone();
        for request in requests {
            if request.path.ends_with("createReplica") || request.path.ends_with("exportTiles") {
                count.submissions += 1;
            }
            let endings = [(".geodatabase", "geodatabase"), (".tpkx", "tile-cache"), (".vtpk", "vector-tiles")];
            let Some((_, exporter)) = endings.iter().find(|(ending, _)| request.path.ends_with(ending)) else { continue };
            let was_asked = asked_before.iter().any(|(_, path)| *path == request.path);
            let asked = asked_before.iter().filter(|(kind, _)| kind == exporter).count();
            if was_asked && self.before.has_all(exporter, asked) {
                count.finished_again += 1;
            }
            let start =
                request.range.as_deref().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok());
            match start {
                Some(start) => {
                    count.resumed_files += 1;
                    // A range begins where the part file ended, else bytes that were here come again.
                    let nearest = self.before.parts_of(exporter).filter(|kept| *kept >= start).min().unwrap_or(start);
                    count.fetched_twice += nearest - start;
                }
                None if was_asked => count.fetched_twice += self.before.parts_of(exporter).max().unwrap_or(0),
                None => {}
            }
            if !self.known.iter().any(|(_, path)| *path == request.path) {
                self.known.push((exporter, request.path));
            }
        }
    }
}

/// One job from its first child to its package.
fn one_job(sandbox: &Sandbox, number: usize, out: &Path, random: &mut Seeded, kills: u32) -> Result<Count, Box<dyn Error>> {
    let kind = KINDS.get(number).ok_or("no such kind")?;
    let mut count = Count { services: kind.services, ..Count::default() };
    if kind.completes {
        let failed = FaultAction::Job(JobFault::Failed("no licence".to_owned()));
        sandbox.fault_first(Fault::always("reference/featureserver/createreplica", failed));
        Running::spawn(sandbox, number, out, true)?.end()?;
        slow(sandbox);
    }
    let mut watch = Watch::new(sandbox);
    while count.kills < kills {
        let running = Running::spawn(sandbox, number, out, false)?;
        let aim = kind.aim.filter(|_| random.below(2) == 0 || out.exists());
        let last = aim.map(|(step, _)| running.wait_for(step)).unwrap_or_default();
        let pause = random.below(aim.map_or(kind.within, |(_, micros)| micros));
        std::thread::sleep(Duration::from_micros(pause));
        let Some(step) = running.kill(last)? else {
            watch.look(&mut count);
            return finish(kind, out, count);
        };
        count.kills += 1;
        *count.kills_in.entry(step).or_default() += 1;
        watch.look(&mut count);
        watch.before = Kept::of(out);
    }
    Running::spawn(sandbox, number, out, false)?.end()?;
    watch.look(&mut count);
    finish(kind, out, count)
}

/// Checks what a finished job left.
fn finish(kind: &Kind, out: &Path, mut count: Count) -> Result<Count, Box<dyn Error>> {
    let package = MobileMapPackage::open(out)?;
    let manifest = package.manifest().ok_or("no manifest")??;
    count.fetched = manifest.files.iter().filter(|f| f.path.starts_with("p13/")).map(|f| f.bytes).sum();
    if kind.zips {
        let mmpk = mmpk_of(out);
        let zipped = MobileMapPackage::open(&mmpk)?;
        if !verify(&mmpk)?.ok || zipped.manifest().ok_or("no manifest")?? != manifest {
            return Err(format!("{} is not the package {}", mmpk.display(), out.display()).into());
        }
    }
    Ok(count)
}

/// Files take their time, so that kills find them half-way; nothing else goes wrong.
fn slow(sandbox: &Sandbox) {
    sandbox.heal();
    for path in [".geodatabase", ".tpkx", ".vtpk", "/presigned/"] {
        sandbox.fault(Fault::always(path, FaultAction::Drip(24 << 10, Duration::from_millis(8))));
    }
}

fn torture(arguments: &Arguments) -> Result<Value, Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(Sandbox::start(SandboxOptions { looks: 4, ..SandboxOptions::default() }))?;
    slow(&sandbox);
    let dir = tempfile::tempdir()?;
    let mut random = Seeded(arguments.seed);
    let mut peace = Vec::new();
    for (number, kind) in KINDS.iter().enumerate() {
        let out = dir.path().join(format!("peace-{}", kind.name));
        one_job(&sandbox, number, &out, &mut random, 0)?;
        peace.push(content(&out)?);
    }
    if peace.first() != peace.get(4) {
        return Err("a package that was completed in peace is not the one that was complete at once".into());
    }
    let mut all = Count::default();
    let mut jobs = 0_usize;
    let (mut replicas, mut packages) = (0, 0);
    while all.kills < arguments.kills {
        let number = jobs % KINDS.len();
        let out = dir.path().join(format!("job-{jobs}"));
        let before = sandbox.replicas("Fieldwork") + sandbox.replicas("Reference");
        let count = one_job(&sandbox, number, &out, &mut random, (arguments.kills - all.kills).min(12))?;
        replicas += sandbox.replicas("Fieldwork") + sandbox.replicas("Reference") - before;
        if !verify(&out)?.ok {
            return Err(format!("{} does not verify", out.display()).into());
        }
        let found = content(&out)?;
        for (what, digest) in peace.get(number).into_iter().flatten() {
            if found.get(what) != Some(digest) {
                return Err(format!(
                    "{what} differs from the package of a job that was left in peace: {:?}",
                    found.get(what)
                )
                .into());
            }
        }
        packages += 1;
        jobs += 1;
        all.kills += count.kills;
        for (step, kills) in count.kills_in {
            *all.kills_in.entry(step).or_default() += kills;
        }
        all.resumed_files += count.resumed_files;
        all.fetched_twice += count.fetched_twice;
        all.finished_again += count.finished_again;
        all.fetched += count.fetched;
        all.submissions += count.submissions;
        all.services += count.services;
        std::fs::remove_dir_all(&out)?;
        if mmpk_of(&out).exists() {
            std::fs::remove_file(mmpk_of(&out))?;
        }
    }
    let names = std::fs::read_dir(dir.path())?.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned());
    let left: Vec<String> = names.filter(|n| !n.starts_with("peace-")).collect();
    let percent = all.fetched_twice as f64 * 100.0 / all.fetched.max(1) as f64;
    Ok(json!({"kills": all.kills, "killsInStep": all.kills_in, "jobs": jobs, "packagesEqualToUndisturbed": packages,
        "bytes": all.fetched, "bytesFetchedTwice": all.fetched_twice, "percentFetchedTwice": percent,
        "finishedFilesFetchedAgain": all.finished_again, "filesThatWentOn": all.resumed_files, "services": all.services,
        "submissions": all.submissions, "replicasPerJob": replicas as f64 / jobs.max(1) as f64, "leftBeside": left,
        "seed": arguments.seed}))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let (Some(portal), Some(out)) = (&arguments.portal, &arguments.out) {
        let kind = KINDS.get(arguments.kind).ok_or("no such kind")?;
        return tokio::runtime::Runtime::new()?.block_on(child(portal, kind, out, arguments.first));
    }
    let result = torture(&arguments)?;
    println!("{result:#}");
    let good = result["percentFetchedTwice"].as_f64().is_some_and(|p| p < 1.0)
        && result["finishedFilesFetchedAgain"] == 0
        && result["replicasPerJob"].as_f64() == Some(2.0)
        && result["leftBeside"].as_array().is_some_and(Vec::is_empty);
    if good { Ok(()) } else { Err("a promise is broken".into()) }
}
