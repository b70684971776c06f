//! What the tests of the command line share.
#![allow(dead_code, reason = "each test program uses its own part")]

use offmap_sandbox::{Sandbox, SandboxOptions};
use std::path::Path;
use std::process::{Command, Output};

/// The area of the tests, and levels that are drawn quickly.
pub(crate) const AREA: [&str; 4] = ["--area", "2,43,20,52", "--max-scale", "20000000"];

pub(crate) fn offmap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offmap"));
    command.args(arguments).env_remove("OFFMAP_PASSWORD").env_remove("OFFMAP_CLIENT_SECRET");
    command
}

pub(crate) fn run(mut command: Command) -> Output {
    tokio::task::block_in_place(|| command.output().expect("runs"))
}

pub(crate) fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) async fn sandbox(options: SandboxOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { looks: 1, ..options }).await.expect("a sandbox")
}

/// Names below a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("lists")
        .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
