//! Under fire: kills, a full disk, tokens that die, hosts that throttle, requests that fail.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap::packager::verify;
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, PASSWORD, Sandbox, SandboxOptions, USER};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn sent(sandbox: &Sandbox) -> usize {
    let submits = |path: &str| path.ends_with("createReplica") || path.ends_with("exportTiles");
    sandbox.requests().iter().filter(|r| submits(&r.path)).count()
}

/// What every layer of a package is verified to hold.
fn verification(package: &Path) -> Vec<Value> {
    let text = std::fs::read(package.join("offmap/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&text).expect("JSON");
    assert!(manifest["complete"] == true && verify(package).expect("verifies").ok);
    let layers = manifest["layers"].as_array().expect("layers").iter();
    layers.map(|l| serde_json::json!([l["id"], l["state"], l["planned"], l["got"], l["attachments"]])).collect()
}

/// Runs a command until a line of its JSON progress is the wished one, then kills it (`SIGKILL`); whether it came to that.
fn kill_when(mut command: Command, wished: impl Fn(&Value) -> bool) -> bool {
    tokio::task::block_in_place(|| {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut killed = false;
        for line in lines.map_while(Result::ok) {
            if !killed && wished(&serde_json::from_str(&line).unwrap_or_default()) {
                child.kill().expect("kills");
                killed = true;
            }
        }
        child.wait().expect("ends");
        killed
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_at_any_point_resume_ends_in_the_same_package_as_a_run_that_was_never_killed() {
    // The first look at a job finds it running, however fast it is.
    let sandbox = Sandbox::start(SandboxOptions { polls: 2, ..SandboxOptions::default() }).await.expect("a sandbox");
    for path in [".geodatabase", ".tpkx", ".vtpk"] {
        sandbox.fault(Fault::always(path, FaultAction::Drip(64 << 10, Duration::from_millis(2))));
    }
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let portal = sandbox.portal_url();
    let take = |out: &str| {
        let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", out, "--progress", "json"]);
        command.args(AREA);
        command
    };
    let peace = dir.path().join("peace");
    let output = run(take(&peace.to_string_lossy()));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let expected = verification(&peace);

    let kind = |line: &Value| line["subject"]["kind"].as_str().unwrap_or_default().to_owned();
    let has_bytes =
        |line: &Value| line["progress"]["unit"] == "bytes" && line["progress"]["completed"].as_u64() > Some(30_000);
    type Moment<'a> = (&'a str, Box<dyn Fn(&Value) -> bool + 'a>);
    let moments: Vec<Moment<'_>> = vec![
        ("a job is submitted", Box::new(move |l| kind(l) == "layer" && l["state"] == "started")),
        ("a server job runs", Box::new(|l| l["message"] == "Pending")),
        ("half a replica is here", Box::new(move |l| l["subject"]["id"] == "places" && has_bytes(l))),
        ("half a tile package is here", Box::new(move |l| l["subject"]["id"] == "world" && has_bytes(l))),
        ("a layer is done", Box::new(move |l| kind(l) == "layer" && l["state"] == "succeeded")),
        ("the package is made", Box::new(move |l| kind(l) == "package" && l["state"] == "started")),
        ("the package is there", Box::new(move |l| kind(l) == "package" && l["state"] == "succeeded")),
    ];
    for (i, (moment, wished)) in moments.into_iter().enumerate() {
        let out = dir.path().join(format!("out{i}"));
        let name = out.to_string_lossy().into_owned();
        let before = sent(&sandbox);
        let killed = kill_when(take(&name), wished);
        assert!(killed, "the job never came to where {moment}");
        let output = run(offmap(&["resume", &name, "--progress", "off"]));
        assert_eq!(output.status.code(), Some(0), "{moment}: {}", words(&output));
        assert_eq!(verification(&out), expected, "{moment}");
        let submitted = sent(&sandbox) - before;
        // A submission whose answer was on its way when the kill came is repeated; there are four at a time at most.
        assert!((4..=7).contains(&submitted), "{moment}: {submitted} jobs were submitted for four services");
        assert_eq!(sandbox.replicas("Fieldwork") + sandbox.replicas("Reference"), 2 * (i + 2), "{moment}");
    }
    let hidden: Vec<String> = names(dir.path()).into_iter().filter(|n| n.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_lists_and_removes_what_unfinished_jobs_left() {
    // Its jobs are still running when the kill comes, however late that is.
    let options = SandboxOptions { polls: 100_000, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).await.expect("a sandbox");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "json"]);
    take.args(AREA);
    assert!(kill_when(take, |line| line["message"] == "Pending"));
    let place = dir.path().to_string_lossy().into_owned();
    let listed = run(offmap(&["clean", "--dry-run", &place]));
    assert!(words(&listed).contains(".out.offmap") && words(&listed).contains("offmap resume"), "{}", words(&listed));
    let mut again = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "off"]);
    again.args(AREA);
    let refused = run(again);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert!(words(&refused).contains("offmap resume"), "{}", words(&refused));
    let removed = run(offmap(&["clean", &out]));
    assert!(words(&removed).starts_with("removed"), "{}", words(&removed));
    assert!(names(dir.path()).is_empty());
    assert!(words(&run(offmap(&["clean", &place]))).contains("nothing is left"));
    let nothing = run(offmap(&["resume", &out]));
    assert_eq!(nothing.status.code(), Some(2));
    assert!(words(&nothing).contains("no unfinished job"), "{}", words(&nothing));
}

/// A shell script in a namespace of its own, where it may mount a small file system; `None` where the machine allows none.
fn in_namespace(script: &str) -> Option<std::process::Output> {
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !allowed.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: this machine allows no mount in a namespace");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]);
    Some(run(command))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_the_destination_absent_and_the_job_goes_on_when_there_is_room() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let portal = sandbox.portal_url();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mount = dir.path().join("small");
    std::fs::create_dir(&mount).expect("makes");
    let (disk, bin) = (mount.display(), env!("CARGO_BIN_EXE_offmap"));
    let area = AREA.join(" ");
    let mut stages = Vec::new();
    // The job fills three megabytes; each size fills up at another moment.
    for kib in [300, 900, 1600, 2300, 2600, 2800, 2900, 2940, 3100] {
        let script = format!(
            "mount -t tmpfs -o size={kib}k tmpfs {disk} || exit 90
             {bin} take --portal {portal} --item {FIELD_MAP} {area} --out {disk}/out --progress off; code=$?
             echo \"code $code\"; test -e {disk}/out && echo there
             mount -o remount,size=64m {disk}
             if [ $code -ne 0 ]; then {bin} resume {disk}/out --progress off || exit 91; fi
             {bin} verify {disk}/out || exit 92
             test -e {disk}/.out.offmap && exit 93; exit 0"
        );
        let Some(output) = in_namespace(&script) else { return };
        let said = words(&output);
        assert!(output.status.success(), "{kib}: {said}");
        if said.contains("code 0") {
            stages.push("none");
            continue;
        }
        assert!(said.contains("code 1") && !said.contains("there\n"), "{kib}: {said}");
        assert!(said.contains("what was downloaded is kept; resume with: offmap resume"), "{kib}: {said}");
        assert!(said.contains("No space left") || said.contains("full"), "{kib}: {said}");
        stages.push("full");
    }
    assert!(stages.iter().filter(|s| **s == "full").count() >= 6, "{stages:?}");
    assert_eq!(sandbox.replicas("Fieldwork"), stages.len(), "one replica for each package");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_while_zipping_leaves_the_package_whole_and_no_archive() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let portal = sandbox.portal_url();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mount = dir.path().join("small");
    std::fs::create_dir(&mount).expect("makes");
    let (disk, out, bin) = (mount.display(), dir.path().join("out"), env!("CARGO_BIN_EXE_offmap"));
    let area = AREA.join(" ");
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs {disk} || exit 90
         {bin} take --portal {portal} --item {FIELD_MAP} {area} --out {} --mmpk {disk}/map.mmpk --progress off
         echo \"code $?\"; ls -A {disk}",
        out.display()
    );
    let Some(output) = in_namespace(&script) else { return };
    let said = words(&output);
    assert!(said.contains("code 1") && said.contains("only its archive"), "{said}");
    assert!(!said.contains("ZipWriter"), "no words of a library: {said}");
    assert!(!said.lines().any(|l| l.contains("map.mmpk") && !l.contains(':')), "no half archive: {said}");
    assert!(verify(&out).expect("verifies").ok);
}

/// Takes the field map with further options and answers what was said.
async fn taken(sandbox: &Sandbox, dir: &Path, more: &[&str], password: &str) -> std::process::Output {
    let out = dir.join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "json"]);
    command.args(AREA).args(more).env("OFFMAP_PASSWORD", password);
    run(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_lives_for_3_seconds_survives_a_job_of_20() {
    let options = SandboxOptions {
        secured: true,
        token_life: Duration::from_secs(3),
        job_time: Duration::from_secs(18),
        ..SandboxOptions::default()
    };
    let sandbox = sandbox(options).await;
    for path in [".geodatabase", ".tpkx", ".vtpk"] {
        sandbox.fault(Fault::always(path, FaultAction::Drip(96 << 10, Duration::from_millis(400))));
    }
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let output = taken(&sandbox, dir.path(), &["--user", USER, "--attempts", "6"], PASSWORD).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    verification(&dir.path().join("out"));
    let requests = sandbox.requests();
    let renewed = requests.iter().filter(|r| r.path.to_lowercase().ends_with("generatetoken")).count();
    assert!(renewed >= 5, "{renewed} tokens");
    assert!(requests.last().is_some_and(|r| r.at > Duration::from_secs(18)), "the job took its time");
    let own = sandbox.url().split("://").nth(1).expect("a host");
    assert!(requests.iter().all(|r| !r.has_token || r.host == own), "no token at a foreign host");
    assert!(!words(&output).contains("token="));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_is_taken_though_30_of_100_requests_fail_in_random_ways() {
    let options = SandboxOptions { unreliable: Some((30, 11)), secured: true, ..SandboxOptions::default() };
    let sandbox = sandbox(options).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let output = taken(&sandbox, dir.path(), &["--user", USER, "--attempts", "9"], PASSWORD).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    verification(&dir.path().join("out"));
    let own = sandbox.url().split("://").nth(1).expect("a host");
    assert!(sandbox.requests().iter().all(|r| !r.has_token || r.host == own), "no token at a foreign host");
    assert_eq!(sandbox.replicas("Fieldwork") + sandbox.replicas("Reference"), 2, "one replica for each service");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_is_taken_from_a_host_that_allows_5_requests_a_second() {
    let options = SandboxOptions { requests_per_second: Some(5), secured: true, ..SandboxOptions::default() };
    let sandbox = sandbox(options).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let output = taken(&sandbox, dir.path(), &["--user", USER], PASSWORD).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    verification(&dir.path().join("out"));
    assert!(words(&output).contains("throttled until"), "the status tells: {}", words(&output));
    let own = sandbox.url().split("://").nth(1).expect("a host");
    assert!(sandbox.requests().iter().all(|r| !r.has_token || r.host == own), "no token at a foreign host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_written_is_told_as_such_and_the_job_goes_on_when_it_can() {
    let sandbox = sandbox(SandboxOptions { job_time: Duration::from_secs(4), ..SandboxOptions::default() }).await;
    let portal = sandbox.portal_url();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mount = dir.path().join("disk");
    std::fs::create_dir(&mount).expect("makes");
    let (disk, bin) = (mount.display(), env!("CARGO_BIN_EXE_offmap"));
    let area = AREA.join(" ");
    // The server's jobs take longer than the job may: what is left is gone on with on a disk that is read-only meanwhile.
    let script = format!(
        "mount -t tmpfs -o size=64m tmpfs {disk} || exit 90
         {bin} take --portal {portal} --item {FIELD_MAP} {area} --out {disk}/out --time-limit 2 --progress off; echo \"late $?\"
         mount -o remount,ro {disk} || exit 94
         {bin} resume {disk}/out --progress off; echo \"read-only $?\"
         {bin} take --portal {portal} --item {FIELD_MAP} {area} --out {disk}/new --progress off; echo \"new $?\"
         mount -o remount,rw {disk}
         {bin} resume {disk}/out --progress off || exit 91
         {bin} verify {disk}/out || exit 92
         test -e {disk}/.out.offmap && exit 93; exit 0"
    );
    let Some(output) = in_namespace(&script) else { return };
    let said = words(&output);
    assert!(output.status.success(), "{said}");
    for wanted in [
        "late 1",
        "time limit of 2 seconds",
        "resume with: offmap resume",
        "read-only 1",
        "Read-only file system",
        "new 1",
        "is undamaged and complete",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!(sandbox.replicas("Fieldwork"), 1, "one replica for the one package");
}
