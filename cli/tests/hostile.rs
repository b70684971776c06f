//! What the command line does with words, files and hosts that mean harm.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap::arcgis::{ArcGisClient, Credentials};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, SandboxOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Clears a screen, rings, turns the direction of text, and starts a line of its own.
const HOSTILE: &str = "Trees\u{1b}[2J\u{7}\u{9b}31m\u{202e}\r\noffmap: all is well";

/// Replaces every title of a map.
fn rename(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(title) if name == "title" => *title = format!("{title} {HOSTILE}"),
                    member => rename(member),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(rename),
        _ => {}
    }
}

fn commands_of_terminals(output: &Output) -> Vec<char> {
    let is_bad = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
    words(output).chars().filter(is_bad).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_of_maps_and_services_never_reach_a_terminal() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let client = ArcGisClient::new(Default::default(), Credentials::none()).expect("a client");
    let source = offmap::arcgis::portal::read_item(&client, &sandbox.portal_url(), FIELD_MAP).await.expect("reads");
    let mut map = serde_json::to_value(&source.web_map).expect("JSON");
    rename(&mut map);
    std::fs::write(path("map.json"), map.to_string()).expect("writes");
    let words_of_a_service = json!({"error": {"code": 400, "message": HOSTILE, "details": []}});
    sandbox.fault(Fault::always("World/MapServer", FaultAction::Body(words_of_a_service)));

    let (map, out) = (path("map.json"), path("out"));
    let mut shown = Vec::new();
    for arguments in [vec!["check"], vec!["plan"], vec!["take", "--progress", "plain", "--out", &out]] {
        let mut command = offmap(&arguments);
        command.args(["--web-map", &map]).args(AREA).env("OFFMAP_LOG", "trace");
        shown.push((arguments.join(" "), run(command)));
    }
    for arguments in [vec!["show", &out], vec!["verify", &out], vec!["take", "--web-map", &map, "--out", HOSTILE]] {
        shown.push((arguments.join(" "), run(offmap(&arguments))));
    }
    for (arguments, output) in &shown {
        assert!(commands_of_terminals(output).is_empty(), "{arguments}: {:?}", words(output));
        let fakes = words(output).lines().filter(|l| l.starts_with("offmap: all is well")).count();
        assert_eq!(fakes, 0, "{arguments}: a title makes a line of its own: {}", words(output));
    }
    let titles = shown.iter().filter(|(_, o)| words(o).contains("Trees\\u{1b}[2J")).count();
    assert!(titles >= 4, "what is escaped is still shown: {titles}");

    // A program that reads JSON gets the title as it is.
    let json = run(offmap(&["show", &out, "--json"]));
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(json.to_string().contains("Trees\\u001b[2J"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_none_is_refused_before_anything_is_asked() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    for host in ["*", ".", "", "https://gis.example.com", "gis.example.com/arcgis", "user@gis.example.com", "host:0"] {
        for (option, value) in [("--trust-host", host.to_owned()), ("--token-for", format!("{host}=MY_TOKEN"))] {
            let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out]);
            command.args(AREA).args([option, &value, "--token-env", "MY_TOKEN"]).env("MY_TOKEN", "not-a-token");
            let output = run(command);
            assert_eq!(output.status.code(), Some(2), "{option} {host:?}: {}", words(&output));
            assert!(words(&output).contains("HOST"), "{option} {host:?}: {}", words(&output));
        }
    }
    assert!(sandbox.requests().is_empty(), "nothing was asked");
}

/// Runs in little memory, so that a file without an end cannot take all of the machine's.
fn run_small(arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_offmap")]).args(arguments);
    run(command)
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_an_end_is_refused() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let map = dir.path().join("map.json").to_string_lossy().into_owned();
    std::fs::write(&map, r#"{"operationalLayers": []}"#).expect("writes");
    for option in ["--parameters", "--overrides", "--ca-cert", "--web-map"] {
        let mut arguments = vec!["take", "--out", &out, option, "/dev/zero", "--area", "2,43,20,52"];
        if option != "--web-map" {
            arguments.extend(["--web-map", &map]);
        }
        let output = run_small(&arguments);
        assert_eq!(output.status.code(), Some(2), "{option}: {}", words(&output));
        assert!(words(&output).contains("/dev/zero is larger than"), "{option}: {}", words(&output));
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_cannot_be_written_is_found_before_the_work() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    std::os::unix::fs::symlink(dir.path().join("nowhere"), path("dangling.mmpk")).expect("links");
    std::fs::write(path("file"), "x").expect("writes");
    let before = names(dir.path());
    let cases = [
        (path("dangling.mmpk"), "exists already"),
        (path("file/map.mmpk"), "is not a directory"),
        (path("no/such/map.mmpk"), "is not a directory"),
        (path(".."), "exists already"),
    ];
    for (mmpk, expected) in cases {
        let (portal, out) = (sandbox.portal_url(), path("out"));
        let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--mmpk", &mmpk]);
        command.args(AREA);
        let output = run(command);
        assert_eq!(output.status.code(), Some(2), "{mmpk}: {}", words(&output));
        assert!(words(&output).contains(expected), "{mmpk}: {}", words(&output));
        assert_eq!(names(dir.path()), before, "{mmpk}");
    }
    assert!(sandbox.requests().is_empty(), "nothing was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_panic() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let map = dir.path().join("map.json");
    let layer = |n: usize| {
        json!({"id": format!("l{n}"), "title": "x".repeat(200), "layerType": "ArcGISSceneServiceLayer",
        "url": "http://localhost:9/SceneServer"})
    };
    let layers: Vec<Value> = (0..2000).map(layer).collect();
    std::fs::write(&map, json!({"operationalLayers": layers}).to_string()).expect("writes");
    let mut child = offmap(&["check", "--area", "2,43,20,52", "--web-map"])
        .arg(Path::new(&map))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = tokio::task::block_in_place(|| child.wait_with_output().expect("ends"));
    assert_eq!((output.status.code(), words(&output).as_str()), (Some(3), ""), "no layer of it can go offline");
}
