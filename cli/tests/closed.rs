//! A map of which no service exports anything: it comes piece by piece and drawn, and is killed on the way.

use crate::support::{offmap, run, sandbox, words};
use offmap_sandbox::{Fault, FaultAction, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Five layers, none of which can be exported, as a file.
fn map(sandbox: &Sandbox, dir: &Path) -> String {
    let base = sandbox.url();
    let layer = |id: &str, kind: &str, path: &str| json!({"id": id, "title": id, "layerType": kind, "url": format!("{base}/arcgis/rest/services/{path}")});
    let web = |id: &str, path: &str| json!({"id": id, "title": id, "layerType": "WebTiledLayer", "templateUrl": format!("{base}/xyz/{path}")});
    let mut wmts = web("wmts", "{level}/{col}/{row}.png?SERVICE=WMTS");
    wmts["wmtsInfo"] = json!({"layerIdentifier": "world"});
    let map = json!({"operationalLayers": [
        layer("features", "ArcGISFeatureLayer", "OpenData/FeatureServer/0"),
        layer("tiled", "ArcGISTiledMapServiceLayer", "NoExport/MapServer"),
        wmts,
        web("xyz", "{z}/{x}/{y}.png"),
        layer("Drawn on demand", "ArcGISMapServiceLayer", "Dynamic/MapServer")],
        "spatialReference": {"wkid": 102_100}, "version": "2.37"});
    let path = dir.join("map.json");
    std::fs::write(&path, map.to_string()).expect("writes");
    path.to_string_lossy().into_owned()
}

fn command(verb: &str, map: &str, rest: &[&str]) -> Command {
    let mut command = offmap(&[verb, "-m", map]);
    command.args(["-a", "2,43,20,52"]).args(rest);
    command
}

/// How often each piece was asked for.
fn asked(sandbox: &Sandbox) -> HashMap<String, usize> {
    let is_piece = |path: &str| path.contains("/tile/") || path.starts_with("/xyz/") || path.ends_with("/export");
    let mut counts = HashMap::new();
    for request in sandbox.requests().iter().filter(|r| is_piece(&r.path)) {
        *counts.entry(format!("{} {:?}", request.path, request.parameters)).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_of_five_layers_that_cannot_be_exported_is_taken_though_it_is_killed_on_the_way() {
    const KILLS: usize = 4;
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let map = map(&sandbox, dir.path());
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let levels = ["--max-scale", "4700000"];
    let checked = run(command("check", &map, &levels));
    let said = words(&checked);
    assert_eq!(said.matches("give --direct when-not-exportable").count(), 4, "{said}");
    assert!(said.contains("give --draw-tiles Drawn on demand") || said.contains("--draw-tiles 'Drawn on demand'"), "{said}");
    let unknown = run(command("check", &map, &[&levels[..], &["--draw-tiles", "rivers"]].concat()));
    assert_eq!(unknown.status.code(), Some(2), "{}", words(&unknown));
    assert!(words(&unknown).contains("--draw-tiles names `rivers`"), "{}", words(&unknown));
    let ways = [&levels[..], &["--direct", "when-not-exportable", "--draw-tiles", "Drawn on demand"]].concat();
    let planned = run(command("plan", &map, &[&ways[..], &["--json"]].concat()));
    let plan: Value = serde_json::from_slice(&planned.stdout).expect("JSON");
    let tasks = plan["plan"]["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.iter().filter(|t| t["drawn"] == true).count(), 1, "{plan}");
    sandbox.fault(Fault::always("/", FaultAction::Delay(Duration::from_millis(2))));
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
    kill(command("take", &map, &[&ways[..], &["-o", &out, "--progress", "off"]].concat()), 40);
    let resume = || offmap(&["resume", &out, "--progress", "off", "-m", &map]);
    (1..KILLS).for_each(|n| kill(resume(), 40 + 60 * n));
    let resumed = run(resume());
    assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
    let counts = asked(&sandbox);
    let (pieces, requests) = (counts.len(), counts.values().sum::<usize>());
    println!("{pieces} pieces, {requests} requests, {KILLS} kills");
    // At each kill, what was under way and what waited to be written, of each of four layers.
    assert!(requests - pieces <= KILLS * 4 * 16, "{pieces} pieces, {requests} requests");
    let verified = run(offmap(&["verify", "--deep", &out]));
    assert_eq!(verified.status.code(), Some(0), "{}", words(&verified));
    let manifest = std::fs::read(dir.path().join("out/offmap/manifest.json")).expect("reads");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let drawn = |l: &&Value| l["drawn"] == true;
    assert_eq!(manifest["layers"].as_array().map(|all| all.iter().filter(drawn).count()), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_has_tiles_drawn_where_it_is_told_to_and_names_the_option_where_it_is_not() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let base = sandbox.url();
    for (name, url) in [
        ("map", format!("{base}/arcgis/rest/services/Dynamic/MapServer")),
        ("image", format!("{base}/arcgis/rest/services/Scenes/ImageServer")),
        ("wms", format!("{base}/wms?SERVICE=WMS&REQUEST=GetCapabilities&LAYERS=land")),
    ] {
        let out = dir.path().join(format!("{name}.pmtiles")).to_string_lossy().into_owned();
        let fetch = |rest: &[&str]| {
            let mut command = offmap(&["fetch", &url, &out, "--progress", "off", "-a", "2,43,20,52"]);
            command.args(rest);
            run(command)
        };
        let refused = fetch(&["--levels", "0-5"]);
        assert!(refused.status.code() != Some(0) && words(&refused).contains("--draw-tiles"), "{name}: {}", words(&refused));
        let refused = fetch(&["--draw-tiles"]);
        assert!(refused.status.code() == Some(2) && words(&refused).contains("--levels"), "{name}: {}", words(&refused));
        let fetched = fetch(&["--draw-tiles", "--levels", "0-5"]);
        assert_eq!(fetched.status.code(), Some(0), "{name}: {}", words(&fetched));
        assert!(std::fs::read(&out).is_ok_and(|bytes| bytes.starts_with(b"PMTiles")), "{name}");
    }
    let asked = sandbox.requests().into_iter().filter(|r| r.path == "/wms" && r.parameters.contains_key("bbox"));
    assert!(asked.map(|r| r.parameters["layers"].clone()).all(|layers| layers == "land"));
}
