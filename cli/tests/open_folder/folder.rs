//! Folders that are made, and what is in them.

use crate::support::{AREA, offmap, run, sandbox, words};
use offmap_sandbox::SandboxOptions;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Takes a map of the sandbox; answers the directory of its package below `dir`.
pub(crate) async fn taken(dir: &Path, item: &str, more: &[&str]) -> PathBuf {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let (out, portal) = (dir.join("package"), sandbox.portal_url());
    let mut take = offmap(&["take", "--portal", &portal, "--item", item, "--progress", "off"]);
    take.args(AREA).arg("--out").arg(&out).args(more);
    let output = run(take);
    assert!(out.join("package.info").exists(), "{}", words(&output));
    out
}

pub(crate) fn convert(from: &Path, to: &Path, more: &[&str]) -> Command {
    let mut command = offmap(&["convert", "--to", "open"]);
    command.arg(from).arg(to).args(more);
    command
}

/// Runs it and answers its JSON.
pub(crate) fn made(from: &Path, to: &Path, more: &[&str], code: i32) -> Value {
    let mut command = convert(from, to, more);
    command.arg("--json");
    let output = run(command);
    assert_eq!(output.status.code(), Some(code), "{}", words(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub(crate) fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("reads")).expect("JSON")
}

/// All files below a directory with their bytes.
pub(crate) fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(&path).expect("lists").map(|e| e.expect("entry").path()));
        } else {
            let name = path.strip_prefix(dir).expect("below").to_string_lossy().into_owned();
            all.insert(name, std::fs::read(&path).expect("reads"));
        }
    }
    all
}

pub(crate) fn rows(file: &Path, table: &str) -> i64 {
    let file = rusqlite::Connection::open(file).expect("opens");
    file.query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0)).expect("counts")
}

/// Every file is as the manifest says, and no other one is there.
pub(crate) fn check_manifest(folder: &Path) {
    let manifest = json_of(&folder.join("manifest.json"));
    let mut there = files(folder);
    there.remove("manifest.json").expect("is there");
    let listed = manifest["files"].as_array().expect("files");
    assert_eq!(listed.len(), there.len());
    for file in listed {
        let path = file["path"].as_str().expect("a path");
        let (bytes, sha256) = offmap_disk::hash_file(&folder.join(path)).expect("hashes");
        assert_eq!((&file["bytes"], &file["sha256"]), (&json!(bytes), &json!(sha256)), "{path}");
    }
}
