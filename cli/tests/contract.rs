//! The command line is a contract: arguments, exit codes, JSON lines, and what is left behind.

use crate::support::{AREA, names, offmap, run, sandbox, send_signal, words};
use offmap_sandbox::{
    CLIENT_ID, CLIENT_SECRET, FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault, MIXED_MAP, PASSWORD, SERVICE_ITEM,
    Sandbox, SandboxOptions, USER,
};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn take_works_by_item_and_by_file_in_both_dialects_and_with_every_kind_of_credential() {
    let open = sandbox(SandboxOptions::default()).await;
    let secured = sandbox(SandboxOptions { secured: true, ..SandboxOptions::default() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let portal = secured.portal_url();
    let rest = format!("{}/sharing/rest", open.portal_url());
    let host = secured.url().split("://").nth(1).expect("a host").to_owned();
    let token = secured.token();
    // The map as a file: what the portal answers, saved.
    let client = offmap::arcgis::ArcGisClient::new(Default::default(), offmap::arcgis::Credentials::none());
    let source =
        offmap::arcgis::portal::read_item(&client.expect("a client"), &open.portal_url(), HOSTED_MAP).await.expect("reads");
    let text = serde_json::to_string(&source.web_map).expect("JSON");
    std::fs::write(path("map.json"), &text).expect("writes");
    let file = path("map.json");
    // A map of one host, services with a token of their own on another.
    std::fs::write(path("elsewhere.json"), text.replace(open.url(), secured.url())).expect("writes");
    let (elsewhere, own) = (path("elsewhere.json"), format!("{host}=MY_TOKEN"));
    let address = open.web_map_url(FIELD_MAP);

    let cases = [
        ("item", vec!["--portal", &rest, "--item", FIELD_MAP], None),
        ("file", vec!["--web-map", &file], None),
        ("address", vec!["--web-map", &address], None),
        ("user", vec!["--portal", &portal, "--item", FIELD_MAP, "--user", USER], Some(("OFFMAP_PASSWORD", PASSWORD))),
        (
            "application",
            vec!["--portal", &portal, "--item", HOSTED_MAP, "--client-id", CLIENT_ID],
            Some(("OFFMAP_CLIENT_SECRET", CLIENT_SECRET)),
        ),
        (
            "token",
            vec!["--portal", &portal, "--item", HOSTED_MAP, "--token-env", "MY_TOKEN", "--trust-host", &host],
            Some(("MY_TOKEN", &token)),
        ),
        ("token-for", vec!["--web-map", &elsewhere, "--token-for", &own], Some(("MY_TOKEN", &token))),
    ];
    for (name, arguments, secret) in cases {
        let (out, mmpk) = (path(name), path(&format!("{name}.mmpk")));
        let mut command = offmap(&["take", "--out", &out, "--mmpk", &mmpk, "--progress", "off"]);
        command.args(AREA).args(&arguments);
        if let Some((variable, value)) = secret {
            command.env(variable, value).env("OFFMAP_LOG", "trace");
        }
        let output = run(command);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", words(&output));
        let secrets = [token.as_str(), PASSWORD, CLIENT_SECRET];
        assert!(!secrets.iter().any(|s| words(&output).contains(s)), "{name}: a secret is in the log");
        for package in [&out, &mmpk] {
            let verified = run(offmap(&["verify", package, "--json"]));
            let json: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
            assert_eq!(
                (verified.status.code(), &json["ok"], &json["complete"]),
                (Some(0), &Value::Bool(true), &Value::Bool(true))
            );
            let shown = run(offmap(&["show", package]));
            assert!(words(&shown).contains("Place"), "{}", words(&shown));
        }
    }
    assert!(names(dir.path()).iter().all(|n| !n.starts_with('.')), "no work directory is left: {:?}", names(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_takes_paths_that_are_relative() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let there = |arguments: &[&str]| {
        let mut command = offmap(arguments);
        command.current_dir(dir.path());
        command
    };
    let portal = sandbox.portal_url();
    let take =
        ["take", "--portal", &portal, "--item", FIELD_MAP, "--out", "north", "--mmpk", "north.mmpk", "--progress", "off"];
    let mut command = there(&take);
    command.args(AREA);
    let commands = [
        (command, "package"),
        (there(&["verify", "--deep", "north"]), "north is undamaged and complete"),
        (there(&["verify", "--deep", "north.mmpk"]), "north.mmpk is undamaged and complete"),
        (there(&["verify", "--deep", "./north/../north"]), "undamaged and complete"),
        (there(&["show", "north"]), "Places"),
        (there(&["resume", "--failed-only", "north", "--portal", &portal, "--progress", "off"]), "package"),
        (there(&["clean", "--dry-run", "."]), ""),
    ];
    for (command, expected) in commands {
        let shown = format!("{command:?}");
        let output = run(command);
        assert_eq!(output.status.code(), Some(0), "{shown}: {}", words(&output));
        assert!(words(&output).contains(expected), "{shown}: {}", words(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_by_name_and_leaves_nothing_behind() {
    let sandbox = sandbox(SandboxOptions { secured: false, ..SandboxOptions::default() }).await;
    let secured = crate::support::sandbox(SandboxOptions { secured: true, ..SandboxOptions::default() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let inputs = offmap_sandbox::tempdir().expect("a directory");
    let input = |name: &str, text: &str| {
        let path = inputs.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.to_string_lossy().into_owned()
    };
    let full = dir.path().join("full");
    std::fs::create_dir(&full).expect("makes");
    std::fs::write(full.join("x"), "x").expect("writes");
    let before = names(dir.path());
    let (portal, closed) = (sandbox.portal_url(), secured.portal_url());
    let item = ["--portal", &portal, "--item", FIELD_MAP];
    let bare = input("bare.json", r#"{"xmin":2,"ymin":43,"xmax":20,"ymax":52}"#);
    let html = input("map.html", "<!DOCTYPE html>");
    let other = input("other.json", r#"{"title": "x"}"#);
    let parameters = input("parameters.json", r#"{"minscale": 3}"#);
    let overrides =
        input("overrides.json", r#"{"generateGeodatabaseParameters": {"https://nowhere.example/FeatureServer": {}}}"#);
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let full = full.to_string_lossy().into_owned();
    let deep = dir.path().join("no/such/out").to_string_lossy().into_owned();

    let a = ["--area", "2,43,20,52"];
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        ([&a[..], &["--web-map", &html, "--out", &out]].concat(), 2, "not JSON"),
        ([&a[..], &["--web-map", &other, "--out", &out]].concat(), 2, "this is not a web map"),
        ([&a[..], &["--web-map", "/no/such/map.json", "--out", &out]].concat(), 2, "/no/such/map.json"),
        (
            [&a[..], &["--portal", &portal, "--item", SERVICE_ITEM, "--out", &out]].concat(),
            2,
            "is a Feature Service, expected a Web Map",
        ),
        ([&a[..], &["--portal", &portal, "--item", "0123", "--out", &out]].concat(), 1, "does not exist or is not shared"),
        ([&item[..], &["--area", &bare, "--out", &out]].concat(), 2, "no spatial reference"),
        ([&item[..], &["--area", "5,45,5,48", "--out", &out]].concat(), 2, "empty"),
        ([&item[..], &["--area", "20,43,2,52", "--out", &out]].concat(), 2, "inverted"),
        ([&item[..], &["--area", "400,43,420,52", "--out", &out]].concat(), 2, "outside the earth"),
        ([&item[..], &["--area", "nonsense", "--out", &out]].concat(), 2, "has 1 numbers"),
        (
            [&item[..], &a[..], &["--min-scale", "500", "--max-scale", "1000", "--out", &out]].concat(),
            2,
            "minScale 500 is not above maxScale 1000",
        ),
        ([&item[..], &a[..], &["--out", &full]].concat(), 2, "is not empty"),
        ([&item[..], &a[..], &["--out", &deep]].concat(), 2, "make it first"),
        (
            [&a[..], &["--portal", "http://localhost:9/portal", "--item", FIELD_MAP, "--out", &out, "--retry-time", "0"]]
                .concat(),
            1,
            "cannot be reached",
        ),
        ([&a[..], &["--portal", &closed, "--item", FIELD_MAP, "--out", &out]].concat(), 1, "wants a token"),
        (
            [&a[..], &["--portal", &closed, "--item", FIELD_MAP, "--token-env", "BAD", "--out", &out]].concat(),
            1,
            "the token is invalid",
        ),
        (
            [&a[..], &["--portal", &closed, "--item", FIELD_MAP, "--user", "nobody", "--out", &out]].concat(),
            1,
            "user, password or client id is wrong",
        ),
        (
            [&a[..], &["--portal", &closed, "--item", FIELD_MAP, "--token-env", "UNSET_VARIABLE", "--out", &out]].concat(),
            2,
            "UNSET_VARIABLE",
        ),
        ([&a[..], &["--web-map", &other, "--token-env", "BAD", "--out", &out]].concat(), 2, "no host may see it"),
        ([&a[..], &["--web-map", &other, "--token-for", "BAD", "--out", &out]].concat(), 2, "--token-for is HOST=VAR"),
        ([&a[..], &["--web-map", &other, "--token-for", "h=UNSET_VARIABLE", "--out", &out]].concat(), 2, "UNSET_VARIABLE"),
        ([&item[..], &a[..], &["--parameters", &parameters, "--out", &out]].concat(), 2, "unknown field `minscale`"),
        ([&item[..], &a[..], &["--overrides", &overrides, "--out", &out]].concat(), 2, "matches nothing in the map"),
        ([&item[..], &a[..], &["--ca-cert", &html, "--out", &out]].concat(), 2, "CA certificate"),
        ([&item[..], &["--out", &out]].concat(), 2, "--area"),
        (vec!["--area", "2,43,20,52", "--out", &out], 2, "--web-map"),
    ];
    for (arguments, code, expected) in cases {
        let mut command = offmap(&["take", "--progress", "off"]);
        command.args(&arguments).env("BAD", "not-a-token").env("OFFMAP_PASSWORD", "wrong");
        let output = run(command);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains(expected), "{arguments:?}: {}", words(&output));
        assert_eq!(names(dir.path()), before, "{arguments:?} leaves something behind");
        assert!(!words(&output).contains("not-a-token"));
    }
    let spent = |s: &Sandbox| {
        s.requests().iter().filter(|r| r.path.contains("createReplica") || r.path.contains("exportTiles")).count()
    };
    assert_eq!(spent(&sandbox) + spent(&secured), 0, "nothing was spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_progress_is_one_object_a_line_and_the_last_is_the_result() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let mut command = offmap(&["take", "--portal", &portal, "--item", MIXED_MAP, "--out", &out, "--progress", "json"]);
    command.args(AREA);
    let output = run(command);
    assert_eq!(output.status.code(), Some(3), "a package with layer errors: {}", words(&output));
    let lines: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let (last, events) = lines.split_last().expect("lines");
    assert!(events.is_sorted_by(|a, b| a["seq"].as_u64() < b["seq"].as_u64()), "numbers rise");
    for line in events {
        for key in ["time", "subject", "state", "progress", "message", "failure"] {
            assert!(line.get(key).is_some(), "{key} in {line}");
        }
        let kind = line["subject"]["kind"].as_str().expect("a kind");
        assert!(["job", "layer", "table", "package"].contains(&kind));
        if let Some(progress) = line["progress"].as_object() {
            assert!(["completed", "required", "unit", "precise"].iter().all(|k| progress.contains_key(*k)));
        }
    }
    let result = &last["result"];
    assert_eq!((result["package"].as_str(), &result["complete"]), (Some(out.as_str()), &Value::Bool(false)));
    let layers = result["layers"].as_array().expect("layers");
    let failed: Vec<_> =
        layers.iter().filter(|l| !l["failure"].is_null()).map(|l| l["id"].as_str().expect("an id")).collect();
    assert_eq!(failed, ["online", "wms"]);
    assert!(
        layers
            .iter()
            .all(|l| ["id", "title", "state", "planned", "got", "bytes", "failure"].iter().all(|k| l.get(*k).is_some()))
    );
    let shown = words(&run(offmap(&["show", &out])));
    assert!(shown.contains("without Online only") && shown.contains("sync is not enabled"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_exits_with_1_and_a_stopped_one_names_its_layer() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let failed =
        || Fault::always("streets/vectortileserver/exporttiles", FaultAction::Job(JobFault::Failed("no licence".into())));
    sandbox.fault(failed());
    let mut command =
        offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--stop-on-error", "--progress", "plain"]);
    command.args(AREA);
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("the service says: no licence"), "{}", words(&output));
    assert!(words(&output).contains("what to do: ask the owner of the service"), "{}", words(&output));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_cleanly_and_exits_with_130() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "off"]);
    let child = command.args(AREA).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while sandbox.replicas("Fieldwork") + sandbox.replicas("Reference") < 2 {
        assert!(Instant::now() < deadline, "the job does not get going");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send_signal(&child, "-INT");
    let output = tokio::task::block_in_place(|| child.wait_with_output().expect("ends"));
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
    assert_eq!(sandbox.replicas("Fieldwork") + sandbox.replicas("Reference"), 0);
    assert_eq!(sandbox.cancelled_jobs(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_ca_is_trusted_when_its_certificate_is_given() {
    let sandbox = sandbox(SandboxOptions { tls: true, ..SandboxOptions::default() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, sandbox.ca_certificate().expect("a certificate")).expect("writes");
    let (ca, portal) = (ca.to_string_lossy().into_owned(), sandbox.portal_url());
    let arguments = ["check", "--portal", &portal, "--item", HOSTED_MAP, "--area", "2,43,20,52"];
    let strange = run(offmap(&arguments));
    assert_eq!(strange.status.code(), Some(1));
    assert!(words(&strange).contains("certificate"), "{}", words(&strange));
    let trusted = run(offmap(&[&arguments[..], &["--ca-cert", &ca]].concat()));
    assert_eq!(trusted.status.code(), Some(0), "{}", words(&trusted));
    assert!(words(&trusted).contains("yes      Places"), "{}", words(&trusted));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_plan_answer_in_json() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let portal = sandbox.portal_url();
    let ask = |command: &str, code: i32| {
        let mut command = offmap(&[command, "--portal", &portal, "--item", MIXED_MAP, "--json"]);
        command.args(AREA);
        let output = run(command);
        assert_eq!(output.status.code(), Some(code), "{}", words(&output));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    // Some of its layers cannot go offline.
    let check = ask("check", 3);
    assert_eq!(check["hasErrors"], true);
    assert!(check["layerCapabilities"].as_array().is_some_and(|l| l.iter().any(|c| c["reason"] == "syncNotEnabled")));
    let plan = ask("plan", 0);
    let tasks = plan["plan"]["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.len(), 4);
    assert!(tasks.iter().any(|t| t["levels"].as_array().is_some_and(|l| l.len() == 6)));
    assert!(plan["bytes"]["max"].as_u64().is_some_and(|b| b > 0));
}

/// The most memory that a process of ours had, in bytes (`VmHWM`), looked at until it ends.
#[cfg(target_os = "linux")]
fn peak_memory(mut child: std::process::Child) -> (u64, Option<i32>) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1024);
        if let Some(ended) = child.try_wait().expect("waits") {
            return (peak, ended.code());
        }
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_number_of_tiles_features_or_attachments() {
    const MORE: u64 = 256 << 20;
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let portal = sandbox.portal_url();
    let mut peaks = Vec::new();
    for (name, more) in [("small", 0), ("large", MORE)] {
        sandbox.heal();
        sandbox.fault(Fault::always(".geodatabase", FaultAction::Grow(more)));
        let (out, mmpk) = (dir.path().join(name), dir.path().join(format!("{name}.mmpk")));
        let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--no-basemap", "--progress", "off"]);
        command.args(AREA).arg("--out").arg(&out).arg("--mmpk").arg(&mmpk).stdout(Stdio::null());
        let (peak, code) = tokio::task::block_in_place(|| peak_memory(command.spawn().expect("starts")));
        assert_eq!(code, Some(0));
        assert!(std::fs::metadata(mmpk).expect("an archive").len() > 2 * more, "two geodatabases of that size came");
        peaks.push(peak);
    }
    let grown = peaks[1].saturating_sub(peaks[0]);
    // The queues between wire and disk are fuller on a busy machine; they are bounded.
    assert!(grown < 48 << 20, "{} more bytes came, {grown} more bytes of memory were used ({peaks:?})", 2 * MORE);
}

#[test]
fn packages_of_other_writers_are_shown_and_verified() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/webmaps/usa.mmpk");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    let path = path.to_string_lossy().into_owned();
    let shown = offmap(&["show", &path]).output().expect("runs");
    assert!(shown.status.success() && words(&shown).contains("feature_service_data.geodatabase"), "{}", words(&shown));
    let verified = offmap(&["verify", &path]).output().expect("runs");
    assert_eq!(verified.status.code(), Some(4), "{}", words(&verified));
    assert!(words(&verified).contains("has no manifest"), "{}", words(&verified));
}
