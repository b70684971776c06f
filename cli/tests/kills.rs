//! Kills (`SIGKILL`) at chosen moments: what is left is known, and what is resumed is right.

use crate::support::{AREA, LargeFile, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

/// Starts a command, and kills it as soon as something is the case.
fn kill_when(mut command: Command, mut wished: impl FnMut(&mut Child) -> bool) {
    tokio::task::block_in_place(|| {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !wished(&mut child) {
            assert!(Instant::now() < deadline, "it never came to that");
            assert!(child.try_wait().expect("waits").is_none(), "it ended before");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("kills");
        child.wait().expect("ends");
    });
}

/// Whether the next line of a command's JSON progress is the wished one.
fn line_is(child: &mut Child, reader: &mut Option<Lines>, wished: impl Fn(&Value) -> bool) -> bool {
    let lines = reader.get_or_insert_with(|| BufReader::new(child.stdout.take().expect("a pipe")).lines());
    let line = lines.next().and_then(Result::ok).unwrap_or_default();
    wished(&serde_json::from_str(&line).unwrap_or_default())
}

fn take(sandbox: &Sandbox, out: &str) -> Command {
    let portal = sandbox.portal_url();
    let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", out, "--progress", "json"]);
    command.args(AREA);
    command
}

fn sent(sandbox: &Sandbox, ending: &str) -> usize {
    sandbox.requests().iter().filter(|r| r.path.ends_with(ending)).count()
}

/// The date of the data of a layer, as the manifest of a package tells it.
fn edit_date(package: &Path, layer: &str) -> Value {
    let text = std::fs::read(package.join("offmap/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&text).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    layers.iter().find(|l| l["id"] == layer).expect("the layer")["editDate"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_changed_data_are_thrown_away_never_packs_old_data_under_the_new_date() {
    // The files of the task are still there, or gone already, when the process is killed.
    for files_are_gone in [false, true] {
        let sandbox = sandbox(SandboxOptions::default()).await;
        sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let out = dir.path().join("out");
        let name = out.to_string_lossy().into_owned();
        let mut lines = None;
        kill_when(take(&sandbox, &name), |child| {
            line_is(child, &mut lines, |l| l["subject"]["id"] == "places" && l["state"] == "succeeded")
        });
        assert_eq!(sent(&sandbox, "Fieldwork/FeatureServer/createReplica"), 1);

        let layer = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", sandbox.url());
        let client = offmap::arcgis::ArcGisClient::new(Default::default(), offmap::arcgis::Credentials::none());
        let call = offmap::arcgis::ServiceCall::get(&layer).expect("a url");
        let mut edited = client.expect("a client").json(&call).await.expect("a description");
        edited["editingInfo"]["lastEditDate"] = json!(1_795_000_000_000_i64);
        sandbox.heal();
        sandbox.unstick();
        sandbox.fault(Fault::always("fieldwork/featureserver/0", FaultAction::Body(edited)));
        // The description is asked, the query is not broken by it.
        sandbox.fault_first(Fault::always("fieldwork/featureserver/0/query", FaultAction::Delay(Duration::ZERO)));
        // What was made for the old data is rolled back first; that takes for ever.
        sandbox.fault_first(Fault::times("unregisterreplica", 1, FaultAction::Delay(Duration::from_secs(600))));
        kill_when(offmap(&["resume", &name, "--progress", "off"]), |_| sent(&sandbox, "unRegisterReplica") > 0);
        if files_are_gone {
            let tasks = dir.path().join(".out.offmap/tasks");
            for task in names(&tasks).iter().filter(|task| task.ends_with("-geodatabase")) {
                std::fs::remove_dir_all(tasks.join(task)).expect("removes");
            }
        }
        let output = run(offmap(&["resume", &name, "--progress", "off"]));
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
        assert_eq!(sent(&sandbox, "Fieldwork/FeatureServer/createReplica"), 2, "what changed is fetched again");
        assert_eq!(edit_date(&out, "places"), json!(1_795_000_000_000_i64));
        assert_eq!(sandbox.replicas("Fieldwork"), 1, "one replica stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_zipping_leaves_nothing_that_clean_does_not_know() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let (out, mmpk) = (dir.path().join("out"), dir.path().join("map.mmpk"));
    let (name, archive) = (out.to_string_lossy().into_owned(), mmpk.to_string_lossy().into_owned());
    let output = run(take(&sandbox, &name));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    // It takes its time to be zipped.
    let large = LargeFile::add(&out);
    let zip = || offmap(&["resume", &name, "--mmpk", &archive, "--progress", "off"]);
    kill_when(zip(), |_| names(dir.path()).len() > 1);
    assert!(!mmpk.exists(), "it is not there by half");
    let place = dir.path().to_string_lossy().into_owned();
    let listed = words(&run(offmap(&["clean", "--dry-run", &place])));
    assert!(listed.contains(".map.mmpk.offmap"), "{listed}");
    let cleaned = run(offmap(&["clean", &place]));
    assert_eq!((cleaned.status.code(), names(dir.path())), (Some(0), vec!["out".to_owned()]), "{}", words(&cleaned));
    // Killed once more, and this time the next try uses up what was left.
    kill_when(zip(), |_| names(dir.path()).len() > 1);
    large.remove();
    let zipped = run(zip());
    assert_eq!(zipped.status.code(), Some(0), "{}", words(&zipped));
    assert_eq!(names(dir.path()), ["map.mmpk", "out"]);
    let verified = run(offmap(&["verify", &archive]));
    assert_eq!(verified.status.code(), Some(0), "{}", words(&verified));
}

#[test]
fn a_work_directory_that_was_all_but_removed_is_known_to_clean() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let place = dir.path().to_string_lossy().into_owned();
    for name in [".out.offmap", ".map.mmpk.offmap"] {
        std::fs::create_dir(dir.path().join(name)).expect("makes");
    }
    let listed = words(&run(offmap(&["clean", "--dry-run", &place])));
    assert!(listed.contains(".out.offmap") && listed.contains(".map.mmpk.offmap"), "{listed}");
    let cleaned = run(offmap(&["clean", &place]));
    assert_eq!((cleaned.status.code(), names(dir.path())), (Some(0), Vec::new()), "{}", words(&cleaned));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_package_and_its_archive_have_the_modes_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = sandbox(SandboxOptions::default()).await;
    for (umask, file, folder) in [("022", 0o644, 0o755), ("027", 0o640, 0o750), ("077", 0o600, 0o700)] {
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let (out, mmpk) = (dir.path().join("out"), dir.path().join("map.mmpk"));
        let taken = take(&sandbox, &out.to_string_lossy());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(taken.get_program()).args(taken.get_args());
        command.arg("--mmpk").arg(&mmpk);
        let output = run(command);
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
        let mut todo = vec![out, mmpk];
        while let Some(path) = todo.pop() {
            let metadata = std::fs::symlink_metadata(&path).expect("is there");
            let wished = if metadata.is_dir() { folder } else { file };
            let mode = metadata.permissions().mode() & 0o777;
            assert_eq!(format!("{mode:o}"), format!("{wished:o}"), "{} under umask {umask}", path.display());
            if metadata.is_dir() {
                todo.extend(std::fs::read_dir(&path).expect("lists").map(|e| e.expect("entry").path()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_killed_goes_on_by_the_same_command_and_leaves_nothing_beside_its_file() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let url = format!("{}/arcgis/rest/services/OpenData/FeatureServer", sandbox.url());
    let fetch = |name: &str| {
        let out = dir.path().join(name).to_string_lossy().into_owned();
        offmap(&["fetch", &url, &out, "--progress", "off"])
    };
    let whole = run(fetch("whole.gpkg"));
    assert_eq!(whole.status.code(), Some(0), "{}", words(&whole));
    let pages = |from: usize| sandbox.requests().iter().skip(from).filter(|r| r.path.ends_with("/query")).count();
    let all = pages(0);
    for after in [1, all / 3, all * 2 / 3, all - 1] {
        let before = sandbox.requests().len();
        kill_when(fetch("x.gpkg"), |_| pages(before) >= after);
        assert!(!dir.path().join("x.gpkg").exists(), "{after}");
        let fetched = run(fetch("x.gpkg"));
        assert_eq!(fetched.status.code(), Some(0), "{after}: {}", words(&fetched));
        assert_eq!(names(dir.path()), ["whole.gpkg", "x.gpkg"], "{after}");
        let bytes = |name: &str| std::fs::read(dir.path().join(name)).expect("reads");
        assert!(bytes("x.gpkg") == bytes("whole.gpkg"), "{after}: the same rows become the same bytes");
        std::fs::remove_file(dir.path().join("x.gpkg")).expect("removes");
    }
}
