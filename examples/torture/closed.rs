//! A map of five layers that no service exports, taken piece by piece and drawn, and killed on the way.
//!
//! Counted are requests for pieces (tiles, pictures, pages of rows): of those whose whole answer the server had sent before a kill, how
//! many were asked for again, though the child may not have read them yet; and how many were asked for more than once at all, those that
//! were under way at a kill included.

use crate::content::content;
use crate::running::Running;
use crate::seeded::Seeded;
use offmap::Leftover;
use offmap::packager::verify;
use offmap_sandbox::{Fault, FaultAction, LoggedRequest, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the child takes: the area and the near limit of scales.
pub(crate) const AREA: &str = "-30,20,60,70";
pub(crate) const MAX_SCALE: f64 = 2_400_000.0;
/// How long each answer takes.
const ANSWER: Duration = Duration::from_millis(1);
/// Kills of one job at most.
const KILLS_OF_JOB: u32 = 10;
/// How long a child may take to its next request.
const PATIENCE: Duration = Duration::from_secs(120);

/// The map.
pub(crate) fn map(sandbox: &Sandbox) -> Value {
    let base = sandbox.url();
    let layer = |id: &str, kind: &str, path: &str| json!({"id": id, "title": id, "layerType": kind, "url": format!("{base}/arcgis/rest/services/{path}")});
    let web = |id: &str, path: &str| json!({"id": id, "title": id, "layerType": "WebTiledLayer", "templateUrl": format!("{base}/xyz/{path}")});
    let mut wmts = web("wmts", "{level}/{col}/{row}.png?SERVICE=WMTS");
    wmts["wmtsInfo"] = json!({"layerIdentifier": "world"});
    json!({"operationalLayers": [
        layer("features", "ArcGISFeatureLayer", "OpenData/FeatureServer/0"),
        layer("tiled", "ArcGISTiledMapServiceLayer", "NoExport/MapServer"),
        wmts,
        web("xyz", "{z}/{x}/{y}.png"),
        layer("dynamic", "ArcGISMapServiceLayer", "Dynamic/MapServer")],
        "spatialReference": {"wkid": 102_100}, "version": "2.37"})
}

/// What a request is for, where it is one for a piece.
fn piece(request: &LoggedRequest) -> Option<String> {
    let path = request.path.to_ascii_lowercase();
    let is_page = path.ends_with("/query") && request.parameters.contains_key("resultoffset");
    let is_piece = path.contains("/tile/") || path.starts_with("/xyz/") || path.ends_with("/export") || is_page;
    is_piece.then(|| format!("{path} {:?}", request.parameters))
}

/// Numbers of one job, or of all.
#[derive(Debug, Default)]
struct Count {
    kills: u32,
    pieces: usize,
    answered_twice: usize,
    asked_twice: usize,
}

/// Runs a child until so many further requests were made, and kills it; answers when, or `None` where it had ended.
fn kill_after(sandbox: &Sandbox, running: Running, requests: usize) -> Result<Option<Duration>, Box<dyn Error>> {
    let wanted = sandbox.requests_so_far() + requests;
    let mut running = running;
    let deadline = Instant::now() + PATIENCE;
    while sandbox.requests_so_far() < wanted {
        if running.has_ended()? {
            running.end()?;
            return Ok(None);
        }
        if Instant::now() > deadline {
            return Err("a child asks for nothing any more".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let at = sandbox.elapsed();
    Ok(running.kill(String::new())?.map(|_| at))
}

/// One job from its first child to its package.
fn one_job(sandbox: &Sandbox, map: &Path, out: &Path, random: &mut Seeded, kills: u32) -> Result<Count, Box<dyn Error>> {
    let from = sandbox.requests_so_far();
    let spawn = || Running::spawn_closed(map, out);
    let (mut count, mut killed_at) = (Count::default(), Vec::new());
    while count.kills < kills {
        let requests = usize::try_from(200 + random.below(900))?;
        let Some(at) = kill_after(sandbox, spawn()?, requests)? else { break };
        count.kills += 1;
        killed_at.push(at);
    }
    // Where the last child was killed, or none was begun.
    if !out.exists() || !Leftover::find(out)?.is_empty() {
        spawn()?.end()?;
    }
    let mut asked: BTreeMap<String, Vec<LoggedRequest>> = BTreeMap::new();
    for request in sandbox.requests().into_iter().skip(from) {
        if let Some(piece) = piece(&request) {
            asked.entry(piece).or_default().push(request);
        }
    }
    count.pieces = asked.len();
    for times in asked.values() {
        count.asked_twice += times.len() - 1;
        let was_answered = |request: &LoggedRequest| {
            let killed = killed_at.iter().find(|kill| **kill > request.at);
            killed.is_none_or(|kill| request.answered.is_some_and(|answered| answered < *kill))
        };
        count.answered_twice += times.iter().rev().skip(1).filter(|request| was_answered(request)).count();
    }
    Ok(count)
}

/// Runs jobs until so many kills were made; the result is the report.
pub(crate) fn torture(kills: u32, seed: u64) -> Result<Value, Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(Sandbox::start(SandboxOptions::default()))?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("map.json");
    std::fs::write(&file, map(&sandbox).to_string())?;
    let mut random = Seeded(seed);
    // The first job also draws what the others are answered with.
    let undisturbed = dir.path().join("undisturbed");
    one_job(&sandbox, &file, &undisturbed, &mut random, 0)?;
    let expected = content(&undisturbed)?;
    sandbox.fault(Fault::always("/", FaultAction::Delay(ANSWER)));
    let (mut all, mut jobs) = (Count::default(), 0_u32);
    while all.kills < kills {
        let out = dir.path().join(format!("job-{jobs}"));
        let count = one_job(&sandbox, &file, &out, &mut random, (kills - all.kills).min(KILLS_OF_JOB))?;
        let verified = verify(&out)?;
        if !verified.ok || verified.complete != Some(true) || content(&out)? != expected {
            return Err(format!("{} is not the package of an undisturbed job: {verified:?}", out.display()).into());
        }
        std::fs::remove_dir_all(&out)?;
        all.kills += count.kills;
        all.pieces += count.pieces;
        all.answered_twice += count.answered_twice;
        all.asked_twice += count.asked_twice;
        jobs += 1;
    }
    let percent = |part: usize| part as f64 * 100.0 / all.pieces.max(1) as f64;
    let names = std::fs::read_dir(dir.path())?.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned());
    let left: Vec<String> = names.filter(|n| n != "undisturbed" && n != "map.json").collect();
    Ok(json!({"kills": all.kills, "jobs": jobs, "packagesEqualToUndisturbed": jobs, "layers": 5, "pieces": all.pieces,
        "answeredAndAskedAgain": all.answered_twice, "percentFetchedTwice": percent(all.answered_twice),
        "askedAgain": all.asked_twice, "percentAskedAgain": percent(all.asked_twice), "leftBeside": left, "seed": seed}))
}
