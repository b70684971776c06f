//! Kills a job again and again and lets it go on, until its package is there; then compares the package with that of a job that
//! was left in peace.
//!
//! A child process takes a map from a sandbox in this process. At seeded random moments it is killed (`SIGKILL`), then another child
//! resumes the job. Counted are kills, bytes that were fetched twice, and jobs and replicas on the server.
//!
//! ```text
//! cargo run --release --example torture -- --kills 200 --seed 1
//! ```

use clap::Parser;
use offmap::exporters::client::{ArcGisClient, ClientOptions, Credentials};
use offmap::exporters::portal;
use offmap::packager::{MobileMapPackage, verify};
use offmap::{AreaOfInterest, GenerateOfflineMapJob, OfflineMapTask};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, LoggedRequest, Sandbox, SandboxOptions};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The area of the job.
const AREA: &str = "2,43,20,52";

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
    /// For the child: the map.
    #[arg(long, hide = true)]
    item: Option<String>,
    /// For the child: the destination.
    #[arg(long, hide = true)]
    out: Option<PathBuf>,
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

/// The child: takes the map, or resumes what an earlier child left.
async fn child(portal_url: &str, item: &str, out: &Path) -> Result<(), Box<dyn Error>> {
    let options = ClientOptions { poll_interval: Duration::from_millis(20), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let job = match GenerateOfflineMapJob::resume(&engine, out).await {
        Ok(job) => job,
        // Killed before there was a ledger worth the name: the job begins anew, as a user would let it.
        Err(_) => {
            for left in offmap::Leftover::find(out)? {
                left.remove(&offmap::packager::MobileMapPackager)?;
            }
            let source = portal::read_item(&client, portal_url, item).await?;
            let task = OfflineMapTask::new(&engine, source);
            let mut parameters = task.default_parameters(AreaOfInterest::from_numbers(AREA)?)?;
            parameters.max_scale = 10_000_000.0;
            task.generate_offline_map(parameters, Default::default(), out)
        }
    };
    let result = job.start().result().await?;
    if result.has_errors() {
        return Err(format!("layers are missing: {:?}", result.layers).into());
    }
    Ok(engine.shutdown().await?)
}

fn spawn(sandbox: &Sandbox, item: &str, out: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--portal", &sandbox.portal_url(), "--item", item, "--out"])
        .arg(out)
        .stdout(Stdio::null())
        .spawn()
}

/// Bytes that are kept of files on their way, by file.
fn kept(out: &Path) -> HashMap<PathBuf, u64> {
    let mut found = HashMap::new();
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut todo = vec![out.with_file_name(format!(".{name}.offmap")).join("tasks")];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "part") {
                found.insert(path, entry.metadata().map_or(0, |m| m.len()));
            }
        }
    }
    found
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
        all.insert(layer.id.clone(), offmap::hex(&digest.finalize()));
    }
    let manifest = opened.manifest().ok_or("no manifest")??;
    for layer in &manifest.layers {
        let proof =
            json!({"state": layer.state, "planned": layer.planned, "got": layer.got, "attachments": layer.attachments});
        all.insert(format!("proof of {}", layer.id), proof.to_string());
    }
    Ok(all)
}

/// What happened on the server and to the files of one job.
#[derive(Debug, Default)]
struct Count {
    kills: u32,
    resumed_files: u64,
    fetched_twice: u64,
    fetched: u64,
    submissions: u64,
    services: u64,
}

/// One job from its first child to its package.
fn one_job(sandbox: &Sandbox, item: &str, out: &Path, random: &mut Seeded, kills: u32) -> Result<Count, Box<dyn Error>> {
    let mut count = Count::default();
    let mut at = sandbox.requests().len();
    let mut before: HashMap<PathBuf, u64> = HashMap::new();
    let mut known: Vec<String> = Vec::new();
    let look = |count: &mut Count, at: &mut usize, before: &HashMap<PathBuf, u64>, known: &mut Vec<String>| {
        let requests: Vec<LoggedRequest> = sandbox.requests().into_iter().skip(*at).collect();
        *at += requests.len();
        for request in requests {
            if request.path.ends_with("createReplica") || request.path.ends_with("exportTiles") {
                count.submissions += 1;
            }
            let endings = [(".geodatabase", "geodatabase"), (".tpkx", "tile-cache"), (".vtpk", "vector-tiles")];
            let Some((_, exporter)) = endings.iter().find(|(ending, _)| request.path.ends_with(ending)) else { continue };
            let of_kind = before.iter().filter(|(path, _)| path.to_string_lossy().contains(exporter)).map(|(_, kept)| *kept);
            let start =
                request.range.as_deref().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok());
            match start {
                Some(start) => {
                    count.resumed_files += 1;
                    // A range begins where the part file ended, else bytes that were here come again.
                    let nearest = of_kind.filter(|kept| *kept >= start).min().unwrap_or(start);
                    count.fetched_twice += nearest - start;
                }
                None if known.contains(&request.path) => count.fetched_twice += of_kind.max().unwrap_or(0),
                None => {}
            }
            if !known.contains(&request.path) {
                known.push(request.path);
            }
        }
    };
    loop {
        let mut running = spawn(sandbox, item, out)?;
        if count.kills < kills {
            std::thread::sleep(Duration::from_millis(random.below(450)));
            if running.try_wait()?.is_none() {
                running.kill()?;
                running.wait()?;
                count.kills += 1;
                look(&mut count, &mut at, &before, &mut known);
                before = kept(out);
                continue;
            }
        }
        let status = running.wait()?;
        look(&mut count, &mut at, &before, &mut known);
        if !status.success() {
            return Err(format!("the job ended with {status}").into());
        }
        break;
    }
    let package = MobileMapPackage::open(out)?;
    let manifest = package.manifest().ok_or("no manifest")??;
    count.fetched = manifest.files.iter().filter(|f| f.path.starts_with("p13/")).map(|f| f.bytes).sum();
    count.services = 4;
    Ok(count)
}

fn torture(arguments: &Arguments) -> Result<Value, Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(Sandbox::start(SandboxOptions { looks: 4, ..SandboxOptions::default() }))?;
    // Files take their time, so that kills find them half-way.
    for path in [".geodatabase", ".tpkx", ".vtpk", "/presigned/"] {
        sandbox.fault(Fault::always(path, FaultAction::Drip(24 << 10, Duration::from_millis(8))));
    }
    let dir = tempfile::tempdir()?;
    let mut random = Seeded(arguments.seed);
    let mut peace = HashMap::new();
    for item in [FIELD_MAP, HOSTED_MAP] {
        let out = dir.path().join(format!("peace-{item}"));
        one_job(&sandbox, item, &out, &mut random, 0)?;
        peace.insert(item, content(&out)?);
    }
    let mut all = Count::default();
    let mut jobs = 0_u32;
    let (mut replicas, mut packages) = (0, 0);
    while all.kills < arguments.kills {
        let item = if jobs.is_multiple_of(2) { FIELD_MAP } else { HOSTED_MAP };
        let out = dir.path().join(format!("job-{jobs}"));
        let before = sandbox.replicas("Fieldwork") + sandbox.replicas("Reference");
        let count = one_job(&sandbox, item, &out, &mut random, (arguments.kills - all.kills).min(12))?;
        replicas += sandbox.replicas("Fieldwork") + sandbox.replicas("Reference") - before;
        if !verify(&out)?.ok {
            return Err(format!("{} does not verify", out.display()).into());
        }
        let found = content(&out)?;
        for (what, digest) in &peace[item] {
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
        all.resumed_files += count.resumed_files;
        all.fetched_twice += count.fetched_twice;
        all.fetched += count.fetched;
        all.submissions += count.submissions;
        all.services += count.services;
        std::fs::remove_dir_all(&out)?;
    }
    let left: Vec<String> = std::fs::read_dir(dir.path())?
        .filter_map(Result::ok)
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n.starts_with('.'))
        .collect();
    let percent = all.fetched_twice as f64 * 100.0 / all.fetched.max(1) as f64;
    Ok(json!({"kills": all.kills, "jobs": jobs, "packagesEqualToUndisturbed": packages, "bytes": all.fetched,
        "bytesFetchedTwice": all.fetched_twice, "percentFetchedTwice": percent, "filesThatWentOn": all.resumed_files,
        "services": all.services, "submissions": all.submissions, "replicasPerJob": replicas as f64 / f64::from(jobs.max(1)),
        "leftBeside": left, "seed": arguments.seed}))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let (Some(portal), Some(item), Some(out)) = (&arguments.portal, &arguments.item, &arguments.out) {
        return tokio::runtime::Runtime::new()?.block_on(child(portal, item, out));
    }
    let result = torture(&arguments)?;
    println!("{result:#}");
    let good = result["percentFetchedTwice"].as_f64().is_some_and(|p| p < 1.0)
        && result["replicasPerJob"].as_f64() == Some(2.0)
        && result["leftBeside"].as_array().is_some_and(Vec::is_empty);
    if good { Ok(()) } else { Err("a promise is broken".into()) }
}
