//! Direct download from the command line: what `check` says of it, what `take` does, and what is left of it after a kill.

use crate::support::{offmap, run, sandbox, words};
use offmap_sandbox::{Fault, FaultAction, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const AREA: [&str; 2] = ["-a", "2,43,20,52"];

/// A map of a raster and a vector tiled layer that cannot be exported, as a file.
fn map(sandbox: &Sandbox, dir: &Path) -> String {
    let url = |path: &str| format!("{}/arcgis/rest/services/{path}", sandbox.url());
    let map = json!({"operationalLayers": [
        {"id": "raster", "title": "Raster", "layerType": "ArcGISTiledMapServiceLayer", "url": url("NoExport/MapServer")},
        {"id": "vector", "title": "Vector", "layerType": "VectorTileLayer", "url": url("NoExportStreets/VectorTileServer")}],
        "spatialReference": {"wkid": 102_100}, "version": "2.37"});
    let path = dir.join("map.json");
    std::fs::write(&path, map.to_string()).expect("writes");
    path.to_string_lossy().into_owned()
}

fn command(verb: &str, map: &str, rest: &[&str]) -> Command {
    let mut command = offmap(&[verb, "-m", map]);
    command.args(AREA).args(rest);
    command
}

/// How often each tile was asked for.
fn asked(sandbox: &Sandbox) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in sandbox.requests().iter().filter(|r| r.path.contains("/tile/")) {
        *counts.entry(request.path.clone()).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_that_direct_download_would_work_and_take_does_it_when_it_is_told_to() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let map = map(&sandbox, dir.path());
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let levels = ["--max-scale", "50000000"];
    let checked = run(command("check", &map, &levels));
    assert_eq!(checked.status.code(), Some(3), "{}", words(&checked));
    let said = words(&checked);
    assert_eq!(said.matches("give --direct when-not-exportable").count(), 2, "{said}");
    let direct = [&levels[..], &["--direct", "when-not-exportable"]].concat();
    let checked = run(command("check", &map, &direct));
    assert_eq!(checked.status.code(), Some(0), "{}", words(&checked));
    let planned = run(command("plan", &map, &[&direct[..], &["--json"]].concat()));
    let plan: Value = serde_json::from_slice(&planned.stdout).expect("JSON");
    let tasks = plan["plan"]["tasks"].as_array().expect("tasks");
    assert!(tasks.len() == 2 && tasks.iter().all(|t| t["directDownload"] == true), "{plan}");
    let taken = run(command("take", &map, &[&direct[..], &["-o", &out, "--progress", "off"]].concat()));
    assert_eq!(taken.status.code(), Some(0), "{}", words(&taken));
    let verified = run(offmap(&["verify", "--deep", &out]));
    assert_eq!(verified.status.code(), Some(0), "{}", words(&verified));
    let refused = run(command("check", &map, &["--direct", "sometimes"]));
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_killed_again_and_again_fetches_hardly_a_tile_twice() {
    const KILLS: usize = 12;
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let map = map(&sandbox, dir.path());
    let out = dir.path().join("out").to_string_lossy().into_owned();
    // Each tile takes a moment, so that there is something to kill.
    sandbox.fault(Fault::always("/tile/", FaultAction::Delay(Duration::from_millis(2))));
    let take = || {
        let direct = ["--max-scale", "2000000", "--direct", "whenNotExportable", "-o", &out, "--progress", "off"];
        command("take", &map, &direct)
    };
    let kill = |mut command: Command, after: usize| {
        tokio::task::block_in_place(|| {
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
            let deadline = Instant::now() + Duration::from_secs(120);
            while asked(&sandbox).values().sum::<usize>() < after {
                assert!(Instant::now() < deadline, "it never came to that");
                if child.try_wait().expect("waits").is_some() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            child.kill().expect("kills");
            child.wait().expect("ends");
        });
    };
    kill(take(), 200);
    for n in 1..KILLS {
        let resume = offmap(&["resume", &out, "--progress", "off", "-m", &map]);
        kill(resume, 200 + 150 * n);
    }
    let resumed = run(offmap(&["resume", &out, "--progress", "off", "-m", &map]));
    assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
    let counts = asked(&sandbox);
    let (tiles, requests) = (counts.len(), counts.values().sum::<usize>());
    println!("{tiles} tiles, {requests} requests, {KILLS} kills");
    // At each kill, what was under way and what waited to be written.
    assert!(requests - tiles <= KILLS * 2 * (64 + 16), "{tiles} tiles, {requests} requests");
    let verified = run(offmap(&["verify", "--deep", &out]));
    assert_eq!(verified.status.code(), Some(0), "{}", words(&verified));
}
