//! A signal ends the program within moments also while large files are read and written, and what it leaves is as told.
use crate::support::{AREA, LargeFile, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, MIXED_MAP, Sandbox, SandboxOptions};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a file that nobody reads or writes in the time that a signal may take. It has no blocks on the disk.
const LARGE: u64 = 16 << 30;
/// How long the program may take to end; it takes a fraction of a second on a machine that has nothing else to do.
const SOON: Duration = Duration::from_secs(5);

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

/// Sends a signal once something has happened; answers how the program ended, and how long it took.
async fn signalled(child: Child, signal: &str, happened: impl Fn(&Child) -> bool) -> (Output, Duration) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened(&child) {
        assert!(Instant::now() < deadline, "it does not get going");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill").success());
    let sent = Instant::now();
    let output = tokio::task::block_in_place(|| child.wait_with_output().expect("ends"));
    (output, sent.elapsed())
}

/// Whether a process has a file open whose path ends so.
#[cfg(target_os = "linux")]
fn has_open(child: &Child, ending: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fd", child.id())) else { return false };
    let links = entries.flatten().filter_map(|e| std::fs::read_link(e.path()).ok());
    links.into_iter().any(|path| path.to_string_lossy().ends_with(ending))
}

async fn take(sandbox: &Sandbox, item: &str, out: &Path) {
    let portal = sandbox.portal_url();
    let mut command = offmap(&["take", "--portal", &portal, "--item", item, "--no-basemap", "--progress", "off"]);
    command.args(AREA).arg("--out").arg(out);
    let output = run(command);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", words(&output));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_zipping_and_leaves_the_package_and_no_half_of_an_archive() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let (out, mmpk) = (dir.path().join("out"), dir.path().join("out.mmpk"));
    take(&sandbox, FIELD_MAP, &out).await;
    let _large = LargeFile::add(&out);
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut command = offmap(&["resume", "--progress", "json"]);
        command.arg("--mmpk").arg(&mmpk).arg(&out);
        let zips = |child: &Child| has_open(child, ".out.mmpk.offmap/archive");
        let (output, took) = signalled(start(command), signal, zips).await;
        assert_eq!(output.status.code(), Some(130), "{signal}: {}", words(&output));
        assert!(took < SOON, "{signal}: {took:?}");
        assert_eq!(names(dir.path()), ["out"], "{signal}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("the package is at") && stderr.contains("was not written"), "{signal}: {stderr}");
        let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
        let last: serde_json::Value = serde_json::from_str(&last).expect("JSON");
        assert_eq!(last["result"]["failure"]["kind"], "cancelled", "{signal}: {last}");
        assert_eq!(last["result"]["package"].as_str(), Some(&*out.to_string_lossy()), "{signal}");
    }
    assert!(out.join("package.info").is_file());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_verification_of_a_large_file_and_the_completion_of_a_package_with_one() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    // It lacks a layer, so that there is something to complete.
    take(&sandbox, MIXED_MAP, &out).await;
    let replica = std::fs::read_dir(out.join("p13")).expect("lists").flatten().map(|e| e.path());
    let replica = replica.into_iter().find(|p| p.extension().is_some_and(|e| e == "geodatabase")).expect("a replica");
    File::options().write(true).open(&replica).and_then(|f| f.set_len(LARGE)).expect("a large file");
    for arguments in [&["verify"][..], &["verify", "--deep"], &["resume", "--failed-only"]] {
        let mut command = offmap(arguments);
        command.arg(&out);
        let (output, took) = signalled(start(command), "-INT", |child| has_open(child, ".geodatabase")).await;
        assert_eq!(output.status.code(), Some(130), "{arguments:?}: {}", words(&output));
        assert!(took < SOON, "{arguments:?}: {took:?}");
        assert_eq!(names(dir.path()), ["out"], "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_packing_and_nothing_is_left() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    sandbox.fault(Fault::always(".geodatabase", FaultAction::Grow(256 << 20)));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let portal = sandbox.portal_url();
    let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--no-basemap", "--progress", "off"]);
    command.args(AREA).arg("--out").arg(&out);
    let staged = dir.path().join(".out.offmap/package/p13");
    let (output, took) = signalled(start(command), "-TERM", |_| staged.is_dir()).await;
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    assert!(took < SOON, "{took:?}");
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
    assert_eq!(sandbox.replicas("Fieldwork") + sandbox.replicas("Reference"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_takes_back_on_the_services_what_a_cancel_kept() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let registered = || sandbox.replicas("Fieldwork") + sandbox.replicas("Reference");
    let portal = sandbox.portal_url();
    let jobs = || {
        let asked = sandbox.requests();
        let polled = |service: &str| asked.iter().any(|r| r.path.contains(service) && r.path.contains("/jobs/"));
        polled("World/MapServer") && polled("Streets/VectorTileServer")
    };
    let mut command = offmap(&["take", "--keep", "--portal", &portal, "--item", FIELD_MAP, "--progress", "off"]);
    command.args(AREA).arg("--out").arg(&out);
    let (output, _) = signalled(start(command), "-INT", |_| registered() == 2 && jobs()).await;
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    assert_eq!((registered(), sandbox.cancelled_jobs()), (2, 0), "kept");
    let place = dir.path().to_string_lossy().into_owned();
    let listed = run(offmap(&["clean", "--dry-run", &place]));
    assert!(words(&listed).contains("left"), "{}", words(&listed));
    assert_eq!(registered(), 2, "a dry run changes nothing");
    let cleaned = run(offmap(&["clean", &place]));
    assert_eq!(cleaned.status.code(), Some(0), "{}", words(&cleaned));
    assert!(words(&cleaned).contains("removed"), "{}", words(&cleaned));
    assert_eq!((registered(), sandbox.cancelled_jobs()), (0, 2), "{}", words(&cleaned));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_removes_what_is_left_also_where_the_services_are_away() {
    let away = sandbox(SandboxOptions::default()).await;
    away.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let portal = away.portal_url();
    let mut command = offmap(&["take", "--keep", "--portal", &portal, "--item", FIELD_MAP, "--progress", "off"]);
    command.args(AREA).arg("--out").arg(&out);
    let (output, _) = signalled(start(command), "-INT", |_| away.replicas("Fieldwork") == 1).await;
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    away.stop();
    let cleaned = run(offmap(&["clean", &dir.path().to_string_lossy()]));
    assert_eq!(cleaned.status.code(), Some(0), "{}", words(&cleaned));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}
