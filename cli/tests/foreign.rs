//! What others put on the disk: links, FIFOs, work directories and ledgers that offmap did not make.
use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, PASSWORD, Sandbox, SandboxOptions, USER};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a command that must end by itself.
fn run_in_time(mut command: Command) -> Output {
    tokio::task::block_in_place(|| {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let deadline = Instant::now() + Duration::from_secs(40);
        while child.try_wait().expect("looks").is_none() {
            if Instant::now() > deadline {
                child.kill().expect("kills");
                panic!("{command:?} did not end: {}", words(&child.wait_with_output().expect("ends")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.wait_with_output().expect("ends")
    })
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("runs mkfifo").success());
}

fn take(sandbox: &Sandbox, out: &Path) -> Command {
    let mut take =
        offmap(&["take", "--portal", &sandbox.portal_url(), "--item", FIELD_MAP, "--no-basemap", "--progress", "off"]);
    take.arg("--out").arg(out).args(AREA);
    take
}

fn resume(out: &Path) -> Output {
    let mut resume = offmap(&["resume", "--progress", "off"]);
    resume.arg(out);
    run_in_time(resume)
}

fn clean(out: &Path) -> Output {
    let mut clean = offmap(&["clean"]);
    clean.arg(out);
    run_in_time(clean)
}

/// A directory that is nobody's business, with a file in it.
fn victim(dir: &Path) -> PathBuf {
    let victim = dir.join("victim");
    std::fs::create_dir_all(victim.join("deep")).expect("makes");
    std::fs::write(victim.join("deep/letter"), "a private letter").expect("writes");
    victim
}

fn is_whole(victim: &Path) -> bool {
    names(victim) == ["deep"] && std::fs::read_to_string(victim.join("deep/letter")).is_ok_and(|t| t == "a private letter")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_the_work_directory_is_refused_and_what_it_leads_to_stays_whole() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let (out, victim) = (dir.path().join("out"), victim(dir.path()));
    let link = dir.path().join(".out.offmap");
    symlink(&victim, &link).expect("links");
    for output in [run_in_time(take(&sandbox, &out)), clean(&out), resume(&out)] {
        assert_eq!(output.status.code(), Some(2), "{}", words(&output));
        assert!(words(&output).contains("is a link") && words(&output).contains(".out.offmap"), "{}", words(&output));
        assert!(is_whole(&victim) && !out.exists());
        assert!(std::fs::symlink_metadata(&link).expect("is there").is_symlink());
    }
    // In a directory that many may write to it hides nothing of one's own, and stops nothing.
    let output = clean(dir.path());
    assert_eq!((output.status.code(), is_whole(&victim)), (Some(0), true), "{}", words(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_no_plain_file_is_refused_by_name_and_waited_for_by_nobody() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    for kind in ["link", "fifo", "directory", "second name"] {
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let (out, victim) = (dir.path().join("out"), victim(dir.path()));
        let lock = dir.path().join(".out.offmap/lock");
        std::fs::create_dir(dir.path().join(".out.offmap")).expect("makes");
        match kind {
            "link" => symlink(victim.join("deep/letter"), &lock).expect("links"),
            "fifo" => fifo(&lock),
            "directory" => std::fs::create_dir(&lock).expect("makes"),
            _ => std::fs::hard_link(victim.join("deep/letter"), &lock).expect("links"),
        }
        for output in [clean(&out), run_in_time(take(&sandbox, &out))] {
            assert_eq!(output.status.code(), Some(2), "{kind}: {}", words(&output));
            assert!(words(&output).contains(".out.offmap/lock"), "{kind}: {}", words(&output));
            assert!(is_whole(&victim), "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_directory_that_others_made_or_may_write_to_is_not_used() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let work_dir = dir.path().join(".out.offmap");
    std::fs::create_dir(&work_dir).expect("makes");
    std::fs::write(work_dir.join("lock"), "").expect("writes");
    std::fs::set_permissions(&work_dir, std::fs::Permissions::from_mode(0o777)).expect("opens it");
    let output = run_in_time(take(&sandbox, &out));
    assert!(output.status.code() == Some(2) && words(&output).contains("mode 777"), "{}", words(&output));
    std::fs::set_permissions(&work_dir, std::fs::Permissions::from_mode(0o700)).expect("closes it");
    // Only root can give a directory away.
    if std::os::unix::fs::chown(&work_dir, Some(12_345), None).is_ok() {
        let output = run_in_time(take(&sandbox, &out));
        assert!(output.status.code() == Some(2) && words(&output).contains("belongs to user 12345"), "{}", words(&output));
        std::os::unix::fs::chown(&work_dir, Some(0), None).expect("takes it back");
    }
    // What no job made is not emptied.
    std::fs::remove_file(work_dir.join("lock")).expect("removes");
    std::fs::write(work_dir.join("letter"), "a private letter").expect("writes");
    let output = run_in_time(take(&sandbox, &out));
    assert!(output.status.code() == Some(2) && words(&output).contains("no job made it"), "{}", words(&output));
    assert_eq!(names(&work_dir), ["letter"]);
}

/// A job that was killed when a layer had been downloaded; the other service's job runs for ever.
fn killed(sandbox: &Sandbox, out: &Path) -> PathBuf {
    sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let mut take =
        offmap(&["take", "--portal", &sandbox.portal_url(), "--item", FIELD_MAP, "--no-basemap", "--progress", "json"]);
    take.arg("--out").arg(out).args(AREA);
    tokio::task::block_in_place(|| {
        let mut child = take.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok) {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["subject"]["id"] == "places" && line["state"] == "succeeded" {
                child.kill().expect("kills");
            }
        }
        child.wait().expect("ends");
    });
    sandbox.heal();
    sandbox.unstick();
    let name = format!(".{}.offmap", out.file_name().expect("a name").to_string_lossy());
    out.with_file_name(name)
}

/// The ledger of a killed job, opened as anybody may.
fn ledger(work_dir: &Path) -> Connection {
    Connection::open(work_dir.join("ledger.sqlite")).expect("opens")
}

/// Rewrites the outcome of the task that is finished.
fn edit_outcome(work_dir: &Path, edit: impl Fn(&mut Value)) {
    let ledger = ledger(work_dir);
    let (id, text): (String, String) = ledger
        .query_row("SELECT id, outcome FROM task WHERE state = 'finished'", [], |r| Ok((r.get(0)?, r.get(1)?)))
        .expect("a task");
    let mut outcome: Value = serde_json::from_str(&text).expect("JSON");
    edit(&mut outcome);
    ledger.execute("UPDATE task SET outcome = ?2 WHERE id = ?1", [id, outcome.to_string()]).expect("writes");
}

fn finished_dir(work_dir: &Path) -> PathBuf {
    let id: String =
        ledger(work_dir).query_row("SELECT id FROM task WHERE state = 'finished'", [], |r| r.get(0)).expect("a task");
    work_dir.join("tasks").join(id)
}

/// Everything in a directory, links not followed, as one text.
fn all_text(dir: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            text.push_str(&all_text(&entry.path()));
        } else if kind.is_file() {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default()));
        }
    }
    text
}

type Attack = fn(&Path, &Path);

/// What a ledger or work directory of somebody else may say, and the words that refuse it.
const ATTACKS: [(&str, &str, Attack); 12] = [
    ("a task's id leads out", "the name `../../victim` begins with a dot", |work_dir, victim| {
        let ledger = ledger(work_dir);
        let old: String = ledger.query_row("SELECT id FROM task LIMIT 1", [], |r| r.get(0)).expect("a task");
        let id = format!("../../{}", victim.file_name().expect("a name").to_string_lossy());
        let quoted = [json!(old), json!(id)].map(|id| id.to_string());
        for text in ["task SET definition = replace(definition", "job SET value = replace(value"] {
            let changed = ledger.execute(&format!("UPDATE {text}, ?1, ?2)"), [&quoted[0], &quoted[1]]).expect("writes");
            assert!(changed > 0, "{text}");
        }
        let failed = json!({"owner": "source", "kind": "serviceError", "stage": "run", "message": "failed"});
        ledger.execute_batch("PRAGMA foreign_keys = off").expect("off");
        for table in ["task SET id", "unit SET task"] {
            let column = if table.starts_with("task") { "id" } else { "task" };
            ledger.execute(&format!("UPDATE {table} = ?2 WHERE {column} = ?1"), [&old, &id]).expect("writes");
        }
        ledger
            .execute("UPDATE task SET state = 'failed', outcome = ?2 WHERE id = ?1", [id, failed.to_string()])
            .expect("writes");
    }),
    ("an artifact is an absolute path", "leads out of its directory", |work_dir, victim| {
        let letter = victim.join("deep/letter");
        edit_outcome(work_dir, |o| {
            o["files"][0]["path"] = json!(letter);
            o["files"][0]["bytes"] = json!(16);
        });
    }),
    ("an artifact climbs out", "leads out of its directory", |work_dir, _| {
        edit_outcome(work_dir, |o| {
            o["files"][0]["path"] = json!("../../../victim/deep/letter");
            o["files"][0]["bytes"] = json!(16);
        });
    }),
    ("an artifact is a link", "is a link", |work_dir, victim| {
        symlink(victim.join("deep/letter"), finished_dir(work_dir).join("file")).expect("links");
        edit_outcome(work_dir, |o| {
            o["files"][0]["path"] = json!("file");
            o["files"][0]["bytes"] = json!(16);
        });
    }),
    ("a folder of an artifact is a link", "is a link", |work_dir, victim| {
        symlink(victim, finished_dir(work_dir).join("folder")).expect("links");
        edit_outcome(work_dir, |o| {
            o["files"].as_array_mut().expect("files").push(json!({"path": "folder", "extension": "", "isFolder": true}));
            o["layers"][0]["resources"] = json!(1);
        });
    }),
    ("a FIFO in a folder", "is a named pipe", |work_dir, _| {
        let folder = finished_dir(work_dir).join("folder");
        std::fs::create_dir(&folder).expect("makes");
        fifo(&folder.join("fifo"));
        edit_outcome(work_dir, |o| {
            o["files"].as_array_mut().expect("files").push(json!({"path": "folder", "extension": "", "isFolder": true}));
            o["layers"][0]["resources"] = json!(1);
        });
    }),
    ("the directory of tasks is a link", "is a link", |work_dir, victim| {
        std::fs::rename(work_dir.join("tasks"), work_dir.join("old")).expect("moves");
        symlink(victim, work_dir.join("tasks")).expect("links");
    }),
    ("a view in the place of a table", "which no job writes", |work_dir, _| {
        let ledger = ledger(work_dir);
        ledger
            .execute_batch(
                "CREATE TABLE was AS SELECT * FROM job; DROP TABLE job;
                 CREATE VIEW job AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
                   SELECT 'document' AS key, 'x' AS value FROM c WHERE n < 0",
            )
            .expect("rewrites");
    }),
    ("a trigger", "which no job writes", |work_dir, _| {
        ledger(work_dir)
            .execute_batch(
                "CREATE TRIGGER t AFTER UPDATE ON task BEGIN INSERT INTO note
                   WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT 'a', 'b', n, 'd' FROM c; END",
            )
            .expect("rewrites");
    }),
    ("a newer version", "is of version 7", |work_dir, _| {
        ledger(work_dir).pragma_update(None, "user_version", 7).expect("writes");
    }),
    ("a ledger that is a link", "is a link", |work_dir, victim| {
        let ledger = work_dir.join("ledger.sqlite");
        std::fs::rename(&ledger, victim.with_file_name("elsewhere.sqlite")).expect("moves");
        symlink(victim.with_file_name("elsewhere.sqlite"), ledger).expect("links");
    }),
    ("a ledger that is no database", "not a database", |work_dir, _| {
        let _ = std::fs::remove_file(work_dir.join("ledger.sqlite-wal"));
        std::fs::write(work_dir.join("ledger.sqlite"), "no database at all, ".repeat(900)).expect("writes");
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_somebody_else_reads_and_removes_nothing_outside_and_never_hangs() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    for (name, word, attack) in ATTACKS {
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let (out, victim) = (dir.path().join("out"), victim(dir.path()));
        let work_dir = killed(&sandbox, &out);
        attack(&work_dir, &victim);
        let output = resume(&out);
        assert!(is_whole(&victim), "{name}: {}", words(&output));
        assert!(words(&output).contains(word), "{name}: {}", words(&output));
        assert!(!words(&output).contains("make room on the disk"), "{name}: {}", words(&output));
        assert!(!all_text(&out).contains("a private letter"), "{name}: {}", words(&output));
        // Whatever it is, it can be removed, and the map taken anew.
        let cleaned = clean(&out);
        assert!(cleaned.status.success() && is_whole(&victim), "{name}: {}", words(&cleaned));
        assert!(!work_dir.exists(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_package_is_not_put_in_place_of_one_that_nobody_replaced() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let planted = dir.path().join("planted");
    let output = run(take(&sandbox, &planted));
    assert!(output.status.success(), "{}", words(&output));
    for as_link in [false, true] {
        let out = dir.path().join("out");
        let work_dir = killed(&sandbox, &out);
        let replaced = work_dir.join("replaced");
        match as_link {
            true => symlink(&planted, &replaced).expect("links"),
            false => std::fs::rename(&planted, &replaced).expect("moves"),
        }
        for output in [resume(&out), clean(&out)] {
            assert_eq!(output.status.code(), Some(2), "{}", words(&output));
            assert!(words(&output).contains("replaced"), "{}", words(&output));
            assert!(std::fs::symlink_metadata(&out).is_err(), "nothing is put in place");
            assert!(std::fs::symlink_metadata(&replaced).is_ok(), "and nothing is thrown away");
        }
        match as_link {
            true => std::fs::remove_file(&replaced).expect("removes"),
            false => std::fs::rename(&replaced, &planted).expect("moves"),
        }
        assert!(clean(&out).status.success());
    }
}

/// Every file below a directory with all of its bytes.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut all, mut todo) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { todo.push(path) } else { all.push((path.clone(), std::fs::read(path).expect("reads"))) }
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_package_that_is_completed_without_credentials_stays_byte_for_byte_as_it_is() {
    let sandbox = sandbox(SandboxOptions { secured: true, ..SandboxOptions::default() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let failed = FaultAction::Job(JobFault::Failed("Error in creating runtime geodatabase.".into()));
    sandbox.fault(Fault::always("reference/featureserver/createreplica", failed));
    let mut first = take(&sandbox, &out);
    first.args(["--user", USER]).env("OFFMAP_PASSWORD", PASSWORD);
    let output = run(first);
    assert_eq!(output.status.code(), Some(3), "{}", words(&output));
    sandbox.heal();
    let before = contents(&out);
    let portal = sandbox.portal_url();
    let wrong = ["--portal", &portal, "--token-env", "STALE"];
    for access in [&[][..], &wrong[..]] {
        let mut again = offmap(&["resume", "--failed-only", "--progress", "off"]);
        again.arg(&out).args(access).env("STALE", "a-token-that-is-stale");
        let output = run_in_time(again);
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        assert!(words(&output).contains("stays as it is; give credentials"), "{}", words(&output));
        assert!(contents(&out) == before, "{}", words(&output));
        assert_eq!(names(dir.path()), ["out"]);
    }
    let mut again = offmap(&["resume", "--failed-only", "--progress", "off", "--portal", &portal, "--user", USER]);
    again.arg(&out).env("OFFMAP_PASSWORD", PASSWORD);
    let output = run_in_time(again);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_cannot_be_asks_nobody_to_make_room_on_the_disk() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    sandbox.fault(Fault::always("fieldwork/featureserver/2/query", FaultAction::Body(json!({"count": u64::MAX}))));
    let output = run_in_time(take(&sandbox, &out));
    assert_eq!(output.status.code(), Some(3), "{}", words(&output));
    let said = words(&output);
    assert!(said.contains("18446744073709551615") && said.contains("ask the owner of the service"), "{said}");
    assert!(!said.contains("make room"), "{said}");
}
