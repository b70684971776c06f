//! What programs read: with `--progress json` and `--json` there is nothing but JSON on stdout, whatever the end.

use crate::support::{AREA, names, offmap, run, sandbox, send_signal, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, MIXED_MAP, Sandbox, SandboxOptions};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Every line of stdout as JSON.
fn lines(output: &Output, what: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{what}: `{line}` is not JSON: {e}"));
    text.lines().map(read).collect()
}

/// The last line, which is the result; every other one is a status message, and the job's end is the last of these.
fn result_of(output: &Output, what: &str) -> Value {
    let lines = lines(output, what);
    let (last, events) = lines.split_last().unwrap_or_else(|| panic!("{what}: no line on stdout: {}", words(output)));
    assert!(events.iter().all(|l| l["seq"].is_u64() && l.get("result").is_none()), "{what}: {events:?}");
    if let Some(end) = events.last() {
        assert_eq!(end["subject"]["kind"], "job", "{what}");
    }
    let result = last["result"].clone();
    for key in ["package", "complete", "canResume", "layers", "warnings", "mmpk", "failure"] {
        assert!(result.get(key).is_some(), "{what}: {key} in {last}");
    }
    result
}

fn take(sandbox: &Sandbox, item: &str, out: &Path, more: &[&str]) -> Command {
    let portal = sandbox.portal_url();
    let mut command = offmap(&["take", "--portal", &portal, "--item", item, "--progress", "json"]);
    command.args(AREA).args(more).arg("--out").arg(out);
    command
}

fn resume(sandbox: &Sandbox, out: &Path, more: &[&str]) -> Command {
    let portal = sandbox.portal_url();
    let mut command = offmap(&["resume", "--portal", &portal, "--progress", "json"]);
    command.args(more).arg(out);
    command
}

/// Sends Ctrl-C as soon as something has happened.
#[cfg(unix)]
async fn interrupted(mut command: Command, happened: impl Fn() -> bool) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < deadline, "the job does not get going");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send_signal(&child, "-INT");
    tokio::task::block_in_place(|| child.wait_with_output().expect("ends"))
}

#[tokio::test(flavor = "multi_thread")]
async fn take_with_json_progress_writes_json_lines_only_in_every_end() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let place = |name: &str| dir.path().join(name);
    let full = place("full");
    std::fs::create_dir(&full).expect("makes");
    std::fs::write(full.join("x"), "x").expect("writes");
    let mmpk = place("whole.mmpk").to_string_lossy().into_owned();
    let broken =
        || Fault::always("streets/vectortileserver/exporttiles", FaultAction::Job(JobFault::Failed("no licence".into())));

    // Success, with an archive.
    let output = run(take(&sandbox, FIELD_MAP, &place("whole"), &["--mmpk", &mmpk]));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let result = result_of(&output, "success");
    assert_eq!((&result["complete"], &result["failure"]), (&Value::Bool(true), &Value::Null));
    let zipped = std::fs::metadata(&mmpk).expect("an archive").len();
    assert_eq!((result["mmpk"]["path"].as_str(), result["mmpk"]["bytes"].as_u64()), (Some(mmpk.as_str()), Some(zipped)));

    // A package with layer errors.
    let output = run(take(&sandbox, MIXED_MAP, &place("mixed"), &[]));
    assert_eq!(output.status.code(), Some(3), "{}", words(&output));
    assert_eq!(result_of(&output, "partial success")["complete"], false);

    // Failed.
    sandbox.fault(broken());
    let output = run(take(&sandbox, FIELD_MAP, &place("failed"), &["--stop-on-error"]));
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let result = result_of(&output, "failed");
    assert_eq!((&result["package"], result["failure"]["owner"].as_str()), (&Value::Null, Some("source")));
    assert!(result["layers"].as_array().is_some_and(|l| l.iter().any(|l| !l["failure"].is_null())), "{result}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no licence"), "people read it, too: {}", words(&output));
    sandbox.heal();

    // Refused before start, by what is there, by what is asked and by the host.
    let out = place("refused");
    let portal = sandbox.portal_url();
    let bare = |more: &[&str]| {
        let mut command = offmap(&["take", "--progress", "json"]);
        command.args(more).arg("--out").arg(&out);
        command
    };
    let refused = [
        ("not empty", take(&sandbox, FIELD_MAP, &full, &[]), 2),
        ("archive there", take(&sandbox, FIELD_MAP, &out, &["--mmpk", &mmpk]), 2),
        ("parameters", take(&sandbox, FIELD_MAP, &out, &["--parameters", "/no/such/file"]), 2),
        ("scales", take(&sandbox, FIELD_MAP, &out, &["--min-scale", "500"]), 2),
        ("no item", take(&sandbox, "0123", &out, &[]), 1),
        ("area", bare(&["--portal", &portal, "--item", FIELD_MAP, "--area", "nonsense"]), 2),
        (
            "host",
            bare(&[
                "--portal",
                "http://localhost:9/portal",
                "--item",
                FIELD_MAP,
                "--area",
                "2,43,20,52",
                "--retry-time",
                "0",
            ]),
            1,
        ),
        ("secret", take(&sandbox, FIELD_MAP, &out, &["--token-env", "UNSET_VARIABLE"]), 2),
    ];
    for (what, command, code) in refused {
        let output = run(command);
        assert_eq!(output.status.code(), Some(code), "{what}: {}", words(&output));
        let result = result_of(&output, what);
        let words = result["failure"]["message"].as_str().unwrap_or_default();
        assert!(!words.is_empty() && String::from_utf8_lossy(&output.stderr).contains(words), "{what}: {result}");
        assert!(!out.exists(), "{what}");
    }
    // What is no command at all is told to people.
    let output = run(bare(&["--no-such-option"]));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{}", words(&output));

    // Nothing of the area.
    let output = run(bare(&["--portal", &portal, "--item", MIXED_MAP, "--area", "-60,-60,-59,-59", "--stop-on-error"]));
    assert!(output.status.code().is_some_and(|code| code != 0), "{}", words(&output));
    result_of(&output, "wrong area");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_and_one_that_goes_on_write_json_lines_only() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let stuck = || Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck));
    let got_going = |sandbox: &Sandbox| sandbox.replicas("Fieldwork") + sandbox.replicas("Reference") > 1;

    sandbox.fault(stuck());
    let output = interrupted(take(&sandbox, FIELD_MAP, &out, &[]), || got_going(&sandbox)).await;
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    assert_eq!(result_of(&output, "cancelled")["failure"]["kind"], "cancelled");
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));

    let output = interrupted(take(&sandbox, FIELD_MAP, &out, &["--keep"]), || got_going(&sandbox)).await;
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    assert_eq!(result_of(&output, "kept")["canResume"], true);
    // While it waits for the map, nothing is begun yet.
    sandbox.fault_first(Fault::always("sharing/rest/content/items", FaultAction::Delay(Duration::from_secs(600))));
    let asked = sandbox.requests().len();
    let other = dir.path().join("other");
    let waits = || sandbox.requests().iter().skip(asked).any(|r| r.path.contains("content/items"));
    let output = interrupted(take(&sandbox, FIELD_MAP, &other, &[]), waits).await;
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    assert_eq!(result_of(&output, "cancelled early")["failure"]["kind"], "cancelled");
    sandbox.heal();
    sandbox.unstick();

    let output = run(resume(&sandbox, &out, &[]));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert_eq!(result_of(&output, "resumed")["complete"], true);
    let output = run(resume(&sandbox, &out, &[]));
    assert_eq!(output.status.code(), Some(0), "finished before: {}", words(&output));
    assert_eq!(result_of(&output, "finished before")["complete"], true);
    let output = run(resume(&sandbox, &out, &["--failed-only"]));
    assert_eq!(output.status.code(), Some(0), "nothing is missing: {}", words(&output));
    result_of(&output, "nothing is missing");
    for (what, more) in [("nothing there", &[][..]), ("no package", &["--failed-only"][..])] {
        let output = run(resume(&sandbox, &dir.path().join("nowhere"), more));
        assert!(matches!(output.status.code(), Some(1 | 2)), "{what}: {}", words(&output));
        assert!(!result_of(&output, what)["failure"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_completed_or_runs_out_of_time_writes_json_lines_only() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    sandbox.fault(Fault::always(
        "streets/vectortileserver/exporttiles",
        FaultAction::Job(JobFault::Failed("no licence".into())),
    ));
    assert_eq!(run(take(&sandbox, FIELD_MAP, &out, &[])).status.code(), Some(3));
    let output = run(resume(&sandbox, &out, &["--failed-only"]));
    assert!(output.status.code().is_some_and(|code| code != 0), "{}", words(&output));
    result_of(&output, "still broken");
    sandbox.heal();
    let output = run(resume(&sandbox, &out, &["--failed-only"]));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert_eq!(result_of(&output, "completed")["complete"], true);

    sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let late = dir.path().join("late");
    let output = run(take(&sandbox, FIELD_MAP, &late, &["--time-limit", "3"]));
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let result = result_of(&output, "out of time");
    assert_eq!((result["failure"]["kind"].as_str(), &result["canResume"]), (Some("timedOut"), &Value::Bool(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_with_json_writes_one_json_value_or_nothing() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let (out, mmpk) = (dir.path().join("out"), dir.path().join("out.mmpk").to_string_lossy().into_owned());
    assert_eq!(run(take(&sandbox, MIXED_MAP, &out, &["--mmpk", &mmpk])).status.code(), Some(3));
    let out = out.to_string_lossy().into_owned();
    let (nowhere, damaged) = (dir.path().join("nowhere"), dir.path().join("damaged.mmpk"));
    std::fs::write(&damaged, "no archive").expect("writes");
    let (nowhere, damaged) = (nowhere.to_string_lossy().into_owned(), damaged.to_string_lossy().into_owned());
    let (portal, place) = (sandbox.portal_url(), dir.path().to_string_lossy().into_owned());
    let item = ["--portal", &portal, "--item", MIXED_MAP, "--area", "2,43,20,52", "--max-scale", "20000000"];
    let no_host =
        ["--portal", "http://localhost:9/portal", "--item", MIXED_MAP, "--area", "2,43,20,52", "--retry-time", "0"];
    let cases: Vec<(Vec<&str>, bool)> = vec![
        ([&["check", "--json"][..], &item].concat(), true),
        ([&["check", "--json"][..], &no_host].concat(), false),
        ([&["plan", "--json"][..], &item].concat(), true),
        ([&["plan", "--overrides-template"][..], &item].concat(), true),
        ([&["plan", "--json"][..], &no_host].concat(), false),
        (vec!["verify", "--json", &out], true),
        (vec!["verify", "--json", "--deep", &out], true),
        (vec!["verify", "--json", &mmpk], true),
        (vec!["verify", "--json", &damaged], true),
        (vec!["verify", "--json", &nowhere], false),
        (vec!["show", "--json", &out], true),
        (vec!["show", "--json", &mmpk], true),
        (vec!["show", "--json", &damaged], false),
        (vec!["show", "--json", &nowhere], false),
        (vec!["clean", "--json", "--dry-run", &place], true),
        (vec!["clean", "--json", &place], true),
        (vec!["clean", "--json", "/no/such/place/at/all"], false),
        (vec!["clean", "--json"], false),
    ];
    for (arguments, has_answer) in cases {
        let output = run(offmap(&arguments));
        match has_answer {
            true => {
                let read = serde_json::from_slice::<Value>(&output.stdout);
                assert!(read.is_ok_and(|v| v.is_object()), "{arguments:?}: {}", words(&output));
            }
            false => {
                assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}: {}", words(&output));
                assert_ne!(output.status.code(), Some(0), "{arguments:?}");
            }
        }
    }
}
