//! What a hostile server or map makes of memory and time: `take` ends, says why, and stays small.

use crate::support::{AREA, names, offmap, run, sandbox, send_signal, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Most memory that a hostile answer may add to what `take` of the same map uses, in bytes.
const CEILING: u64 = 128 << 20;

/// Most memory that `take` uses whatever the map and the services, in bytes: SECURITY.md promises it.
const LARGEST: u64 = 512 << 20;

/// A program of ours that ended.
struct Ended {
    peak: u64,
    code: Option<i32>,
    words: String,
}

/// Runs a command and looks at the most memory that it had (`VmHWM`) until it ends.
fn measured(mut command: Command, scratch: &Path) -> Ended {
    let file = |name: &str| std::fs::File::create(scratch.join(name)).expect("makes");
    command.stdout(file("stdout")).stderr(file("stderr"));
    tokio::task::block_in_place(|| {
        let mut child = command.spawn().expect("starts");
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let code = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
            peak = peak.max(kilobytes.unwrap_or(0) * 1024);
            if let Some(ended) = child.try_wait().expect("waits") {
                break ended.code();
            }
            std::thread::yield_now();
        };
        let text = |name: &str| String::from_utf8_lossy(&std::fs::read(scratch.join(name)).expect("reads")).into_owned();
        eprintln!("peak {} MiB, code {code:?}", peak >> 20);
        Ended { peak, code, words: text("stdout") + &text("stderr") }
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).expect("compresses");
    out.finish().expect("compresses")
}

/// A description that is small on the wire and large in memory: so many objects in a list that is not read.
fn bomb(objects: usize) -> Vec<u8> {
    gzip(
        format!(r#"{{"layers":[],"tables":[],"capabilities":"Query,Sync","x":[{}{{}}]}}"#, r#"{"a":0},"#.repeat(objects))
            .as_bytes(),
    )
}

fn take(sandbox: &Sandbox, out: &Path) -> Command {
    let (portal, out) = (sandbox.portal_url(), out.to_string_lossy().into_owned());
    let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "json"]);
    command.args(AREA).args(["--no-basemap", "--attempts", "1"]);
    command
}

/// Takes the field map of a sandbox with one fault; answers the end and how much more memory it took than without one.
async fn with_fault(path: &str, action: FaultAction) -> (Ended, u64) {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let plain = measured(take(&sandbox, &dir.path().join("plain")), dir.path());
    assert_eq!(plain.code, Some(0), "{}", plain.words);
    sandbox.fault(Fault::always_at(path, action));
    let ended = measured(take(&sandbox, &dir.path().join("out")), dir.path());
    let more = ended.peak.saturating_sub(plain.peak);
    (ended, more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_swells_is_refused_before_its_memory_is_spent() {
    let bomb = bomb(1_500_000);
    assert!(bomb.len() < 91_000, "{} bytes on the wire", bomb.len());
    let (ended, more) = with_fault("fieldwork/featureserver", FaultAction::Gzip(bomb)).await;
    assert!(more < CEILING, "{} MiB more", more >> 20);
    assert_eq!(ended.code, Some(3), "the other service's layers come: {}", ended.words);
    assert!(ended.words.contains("localhost") && ended.words.contains("more than"), "{}", ended.words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_map_or_item_that_swells_is_refused_before_its_memory_is_spent() {
    for path in [format!("items/{FIELD_MAP}/data"), format!("content/items/{FIELD_MAP}")] {
        let (ended, more) = with_fault(&path, FaultAction::Gzip(bomb(1_500_000))).await;
        assert!(more < CEILING, "{path}: {} MiB more", more >> 20);
        assert_eq!(ended.code, Some(1), "{path}: {}", ended.words);
        assert!(ended.words.contains("more than"), "{path}: {}", ended.words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_relationships_are_refused_with_their_service() {
    let relationship = |i: u32| {
        json!({"id": i, "name": format!("relationship number {i}"), "relatedTableId": 1, "role": "esriRelRoleOrigin",
            "cardinality": "esriRelCardinalityOneToMany", "keyField": "GLOBALID"})
    };
    let list: Vec<Value> = (0..100_000).map(relationship).collect();
    let layer = json!({"name": "Places", "type": "Feature Layer", "geometryType": "esriGeometryPoint", "globalIdField": "G",
        "fields": [], "relationships": list});
    let (ended, more) = with_fault("fieldwork/featureserver/0", FaultAction::Gzip(gzip(layer.to_string().as_bytes()))).await;
    assert!(more < CEILING, "{} MiB more", more >> 20);
    assert_eq!(ended.code, Some(3), "{}", ended.words);
    assert!(ended.words.contains("more than"), "{}", ended.words);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_of_words_from_a_server_are_cut() {
    let long = "no licence, my friend ".repeat(20 << 20 >> 4);
    let answers = [
        ("fieldwork/featureserver", json!({"error": {"code": 400, "message": long, "details": [long]}})),
        ("fieldwork/featureserver/createreplica", json!({"status": "failed", "statusMessage": long})),
    ];
    for (path, answer) in answers {
        let (ended, more) = with_fault(path, FaultAction::Body(answer)).await;
        assert!(more < CEILING, "{path}: {} MiB more", more >> 20);
        assert!(ended.words.len() < 64 << 10, "{path}: {} bytes on the terminal", ended.words.len());
    }
    let (ended, more) = with_fault(
        "fieldwork/featureserver/createreplica",
        FaultAction::Job(JobFault::Failed(long[..900 << 10].to_owned())),
    )
    .await;
    assert!(more < CEILING, "{} MiB more", more >> 20);
    assert_eq!(ended.code, Some(3), "{}", ended.words);
    assert!(ended.words.contains("no licence") && ended.words.len() < 64 << 10, "{} bytes", ended.words.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_of_three_hundred_thousand_layers_is_refused_by_number() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let layer = |i: u32| format!(r#"{{"id":"{i}","layerType":"WMS"}}"#);
    let layers = |n: u32| (0..n).map(layer).collect::<Vec<_>>().join(",");
    let map = dir.path().join("map.json");
    std::fs::write(&map, format!(r#"{{"operationalLayers":[{}]}}"#, layers(20_000))).expect("writes");
    let (out, map) = (dir.path().join("out"), map.to_string_lossy().into_owned());
    let mut command = offmap(&["take", "--web-map", &map, "--progress", "off", "--out"]);
    command.arg(&out).args(AREA);
    let ended = measured(command, dir.path());
    assert_eq!(ended.code, Some(2), "{}", ended.words);
    assert!(ended.words.contains("20000 layers") && ended.words.contains("10000"), "{}", ended.words);
    std::fs::write(&map, format!(r#"{{"operationalLayers":[{}]}}"#, layers(300_000))).expect("writes");
    let mut command = offmap(&["take", "--web-map", &map, "--progress", "off", "--out"]);
    command.arg(&out).args(AREA);
    let ended = measured(command, dir.path());
    assert_eq!(ended.code, Some(2), "{}", ended.words);
    assert!(ended.words.contains("more than"), "{}", ended.words);
    assert!(ended.peak < 2 * CEILING, "{} MiB", ended.peak >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_of_a_thousand_and_one_services_is_refused_before_any_is_asked() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let layer = |i: u32| {
        let url = format!("{}/arcgis/rest/services/S{i}/FeatureServer/0", sandbox.url());
        json!({"id": format!("l{i}"), "layerType": "ArcGISFeatureLayer", "url": url})
    };
    let map = dir.path().join("map.json");
    let text = json!({"operationalLayers": (0..1001).map(layer).collect::<Vec<_>>()}).to_string();
    std::fs::write(&map, text).expect("writes");
    let (out, map) = (dir.path().join("out"), map.to_string_lossy().into_owned());
    let mut command = offmap(&["take", "--web-map", &map, "--progress", "off", "--out"]);
    command.arg(&out).args(AREA);
    let output = run(command);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert!(words(&output).contains("1001 services, expected at most 1000"), "{}", words(&output));
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_map_that_is_read_is_taken_within_the_ceiling() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let layer = format!(
        r#"{{"id":"places","layerType":"ArcGISFeatureLayer","url":"{}/arcgis/rest/services/Fieldwork/FeatureServer/0"}}"#,
        sandbox.url()
    );
    // As many layers, values and bytes as a map may have.
    let others: Vec<String> =
        (1..9_999).map(|i| format!(r#"{{"id":"l{i}","layerType":"WMS","title":"{}"}}"#, "t".repeat(256))).collect();
    let objects = r#"{"a":1},"#.repeat(25_000);
    let text = format!(r#"{{"operationalLayers":[{layer},{}],"x":[{objects}{{}}],"y":""}}"#, others.join(","));
    let text = text.replace(r#""y":"""#, &format!(r#""y":"{}""#, "z".repeat((16 << 20) - text.len())));
    let map = dir.path().join("map.json");
    std::fs::write(&map, text).expect("writes");
    let (out, map) = (dir.path().join("out"), map.to_string_lossy().into_owned());
    let mut command = offmap(&["take", "--web-map", &map, "--progress", "off", "--out"]);
    command.arg(&out).args(AREA);
    let ended = measured(command, dir.path());
    assert_eq!(ended.code, Some(3), "{}", &ended.words[..1000.min(ended.words.len())]);
    assert!(ended.peak < LARGEST, "{} MiB", ended.peak >> 20);
}

/// 80 bytes a second, above what a slow host must send.
fn dripping() -> FaultAction {
    FaultAction::Drip(4, Duration::from_millis(50))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_counts_from_the_first_byte_of_the_map() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    sandbox.fault(Fault::always_at(&format!("content/items/{FIELD_MAP}/data"), dripping()));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mut command = take(&sandbox, &dir.path().join("out"));
    command.args(["--time-limit", "2"]);
    let began = Instant::now();
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("time limit of 2 seconds"), "{}", words(&output));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_answer_that_only_drips_ends_without_a_time_limit() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    sandbox.fault(Fault::always_at(&format!("content/items/{FIELD_MAP}/data"), dripping()));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mut command = take(&sandbox, &dir.path().join("out"));
    command.args(["--request-timeout", "1"]);
    let began = Instant::now();
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("had not ended after"), "{}", words(&output));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_reading_of_the_map_with_130() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    sandbox.fault(Fault::always_at(&format!("content/items/{FIELD_MAP}/data"), dripping()));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mut command = take(&sandbox, &dir.path().join("out"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !sandbox.requests().iter().any(|r| r.path.ends_with("/data")) {
        assert!(Instant::now() < deadline, "the map is not asked for");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send_signal(&child, "-INT");
    let output = tokio::task::block_in_place(|| child.wait_with_output().expect("ends"));
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    assert!(words(&output).contains("cancelled"), "{}", words(&output));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_area_of_sixty_thousand_vertices_is_planned() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let around = |i: u32| {
        let turn = f64::from(i) / 60_000.0 * std::f64::consts::TAU;
        let reach = 4.0 + 0.3 * (turn * 900.0).sin() + 0.1 * (turn * 7100.0).cos();
        format!("[{},{}]", 10.0 + reach * turn.cos(), 47.0 + reach * turn.sin())
    };
    let mut ring: Vec<String> = (0..60_000).rev().map(around).collect();
    ring.extend(ring.first().cloned());
    let area = dir.path().join("area.json");
    let text = format!(r#"{{"rings":[[{}]],"spatialReference":{{"wkid":4326}}}}"#, ring.join(","));
    std::fs::write(&area, text).expect("writes");
    let (portal, area) = (sandbox.portal_url(), area.to_string_lossy().into_owned());
    let command =
        offmap(&["plan", "--portal", &portal, "--item", FIELD_MAP, "--json", "--max-scale", "20000000", "--area", &area]);
    let began = Instant::now();
    let ended = measured(command, dir.path());
    eprintln!("planned in {:?}", began.elapsed());
    assert_eq!(ended.code, Some(0), "{}", ended.words);
    let plan: Value = serde_json::from_str(&ended.words).expect("JSON");
    let tasks = plan["plan"]["tasks"].as_array().expect("tasks");
    assert!(tasks.len() >= 3 && tasks.iter().all(|t| t["layers"].as_array().is_some_and(|l| !l.is_empty())), "{plan}");
}
