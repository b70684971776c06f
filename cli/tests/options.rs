//! Where options come from, and what the program says of itself.

use crate::support::{names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, MIXED_MAP, SandboxOptions, USER};
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A portal where nobody answers.
const NOBODY: &str = "http://localhost:9/portal";
const PROBE: [&str; 6] = ["check", "-a", "2,43,20,52", "--retry-time", "0", "-i"];

fn probe(item: &str) -> Command {
    let mut command = offmap(&PROBE);
    command.arg(item);
    command
}

fn write(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
    std::fs::write(&path, text).expect("writes");
    path
}

fn ends(output: &Output, code: i32, expected: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", words(output));
    assert!(words(output).contains(expected), "{expected}: {}", words(output));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_wins_over_the_environment_and_the_environment_over_the_settings_file() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let (portal, dir) = (sandbox.portal_url(), offmap_sandbox::tempdir().expect("a directory"));
    let good = write(dir.path(), "good.toml", &format!("portal = \"{portal}\"\nretry-time = 5\n"));
    let bad = write(dir.path(), "bad.toml", &format!("portal = \"{NOBODY}\"\n"));

    let mut by_file = probe(FIELD_MAP);
    by_file.arg("--settings").arg(&good);
    ends(&run(by_file), 0, "Places");
    let mut by_environment = probe(FIELD_MAP);
    by_environment.arg("--settings").arg(&bad).env("OFFMAP_PORTAL", &portal);
    ends(&run(by_environment), 0, "Places");
    let mut by_option = probe(FIELD_MAP);
    by_option.args(["-p", &portal]).env("OFFMAP_SETTINGS", &bad).env("OFFMAP_PORTAL", NOBODY);
    ends(&run(by_option), 0, "Places");
    let mut by_bad = probe(FIELD_MAP);
    by_bad.env("OFFMAP_SETTINGS", &bad);
    ends(&run(by_bad), 1, "localhost:9");

    // The usual place, and a relative one is none.
    let usual = if cfg!(windows) { "APPDATA" } else { "XDG_CONFIG_HOME" };
    write(dir.path(), "offmap/settings.toml", &format!("portal = \"{portal}\"\n"));
    let mut by_place = probe(FIELD_MAP);
    by_place.env_remove("OFFMAP_SETTINGS").env(usual, dir.path());
    ends(&run(by_place), 0, "Places");
    let mut missing = probe(FIELD_MAP);
    missing.args(["--settings", "is-not-there.toml"]);
    ends(&run(missing), 2, "is-not-there.toml");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settings_file_with_secrets_or_unknown_keys_is_refused_by_name_also_for_programs() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    for (text, expected) in [
        ("password = \"hunter2\"", "OFFMAP_PASSWORD"),
        ("client-secret = \"hunter2\"", "OFFMAP_CLIENT_SECRET"),
        ("portl = \"hunter2\"", "unknown field `portl`, expected one of `portal`"),
        ("portal = hunter2", "line 1"),
    ] {
        let file = write(dir.path(), "settings.toml", text);
        let mut command = offmap(&["take", "-i", FIELD_MAP, "-a", "2,43,20,52", "-o", "x", "--progress", "json"]);
        command.current_dir(dir.path()).arg("--settings").arg(&file);
        let output = run(command);
        ends(&output, 2, expected);
        assert!(!words(&output).contains("hunter2"), "{}", words(&output));
        let last: Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
        assert!(last["result"]["failure"]["message"].as_str().is_some_and(|m| m.contains("settings.toml")), "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_named_by_the_url_of_its_page_and_credentials_for_one_portal_go_to_no_other() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let portal = sandbox.portal_url();
    let page = format!("{portal}/home/item.html?id={FIELD_MAP}");
    ends(&run(probe(&page)), 0, "Places");
    ends(&run(probe(&format!("{portal}/apps/mapviewer/index.html?webmap={FIELD_MAP}"))), 0, "Places");
    let mut same = probe(&page);
    same.args(["--portal", &format!("{portal}/sharing/rest")]);
    ends(&run(same), 0, "Places");
    // The environment is less than the url, as long as nobody signs in.
    let mut other = probe(&page);
    other.env("OFFMAP_PORTAL", NOBODY);
    ends(&run(other), 0, "Places");
    let mut conflict = probe(&page);
    conflict.args(["--portal", NOBODY]);
    ends(&run(conflict), 2, "leave --portal out, or give the item's id only");
    let mut signed_in = probe(&page);
    signed_in.args(["--user", USER]).env("OFFMAP_PORTAL", NOBODY).env("OFFMAP_PASSWORD", "hunter2");
    let refused = run(signed_in);
    ends(&refused, 2, &format!("the credentials are for {NOBODY}, by OFFMAP_PORTAL"));
    assert!(!words(&refused).contains("hunter2"), "{}", words(&refused));
    // So it is with a file that signs in: without a portal of its own it means ArcGIS Online.
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let settings = write(dir.path(), "settings.toml", "user = \"surveyor\"\n");
    let mut by_file = probe(&page);
    by_file.arg("--settings").arg(&settings).env("OFFMAP_PASSWORD", "hunter2");
    ends(&run(by_file), 2, "https://www.arcgis.com");
    ends(&run(probe("https://gis.example/map.json")), 2, "neither an id nor the url of an item");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_comes_from_stdin() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let client = offmap::arcgis::ArcGisClient::new(Default::default(), offmap::arcgis::Credentials::none());
    let client = client.expect("a client");
    let source = offmap::arcgis::portal::read_item(&client, &sandbox.portal_url(), FIELD_MAP).await.expect("reads");
    let map = serde_json::to_vec(&source.web_map).expect("JSON");
    let piped = |text: &[u8]| {
        let mut command = offmap(&["check", "-a", "2,43,20,52", "-m", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        tokio::task::block_in_place(|| {
            let mut child = command.spawn().expect("runs");
            child.stdin.take().expect("a pipe").write_all(text).expect("writes");
            child.wait_with_output().expect("ends")
        })
    };
    ends(&piped(&map), 0, "Places");
    ends(&piped(b"{"), 2, "the web map from stdin");
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for (shell, expected) in [("bash", "complete -F _offmap"), ("zsh", "#compdef offmap"), ("fish", "complete -c offmap")] {
        let output = offmap(&["completions", shell]).output().expect("runs");
        ends(&output, 0, expected);
    }
    let page = offmap(&["man"]).output().expect("runs");
    ends(&page, 0, ".TH offmap 1");
    assert!(words(&page).contains("Exit codes"), "{}", words(&page));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mut pages = offmap(&["man", "--out"]);
    ends(&pages.arg(dir.path()).output().expect("runs"), 0, "");
    for name in ["offmap.1", "offmap-take.1", "offmap-verify.1"] {
        assert!(names(dir.path()).iter().any(|n| n == name), "{:?}", names(dir.path()));
    }
}

#[test]
fn help_says_what_is_required_how_it_ends_and_how_it_is_used() {
    let top = offmap(&["--help"]).output().expect("runs");
    let take = offmap(&["take", "-h"]).output().expect("runs");
    for (output, expected) in [
        (&top, ["Examples:", "Exit codes:", "OFFMAP_PORTAL"]),
        (&take, ["--area <AREA> --out <DIR> [OPTIONS]", "Map and area:", "130  cancelled"]),
    ] {
        expected.iter().for_each(|expected| ends(output, 0, expected));
    }
    let nothing = offmap(&["take", "--item", "x"]).output().expect("runs");
    ends(&nothing, 2, "Usage: offmap take --item <ID|URL> --area <AREA> --out <DIR> [OPTIONS]");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_by_programs_has_no_colours_no_thumbnail_and_a_wrong_filter_is_said() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let portal = sandbox.portal_url();
    let plan = ["plan", "-p", &portal, "-i", MIXED_MAP, "-a", "2,43,20,52", "--max-scale", "20000000"];
    let mut wrong = offmap(&plan);
    wrong.env("OFFMAP_LOG", "debgu").env("CLICOLOR", "1");
    let output = run(wrong);
    ends(&output, 0, "\"debgu\" is no level");
    assert!(!words(&output).contains('\u{1b}'), "{}", words(&output));
    ends(&output, 0, "its owner can switch it on");
    let mut as_json = offmap(&plan);
    as_json.arg("--json").env("OFFMAP_LOG", "debug");
    let output = run(as_json);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let item = json["plan"]["parameters"]["itemInfo"].as_object().expect("an item");
    assert!(item.contains_key("title") && !item.contains_key("thumbnail"), "{item:?}");
    assert!(!words(&output).contains("base64"), "no picture is printed");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("DEBUG") && !log.contains("\\u{1b}") && !log.contains('\u{1b}'), "{log}");
}

/// The commands of the README's "Try it", against the sandbox that it starts.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_first_commands_run_as_they_stand() {
    let readme = include_str!("../../README.md");
    let section = readme.split("## Try it").nth(1).expect("a section");
    let block = section.split("```").find(|block| block.contains("\noffmap take")).expect("a block");
    let sandbox = sandbox(SandboxOptions::default()).await;
    let program = Path::new(env!("CARGO_BIN_EXE_offmap")).parent().expect("a directory");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mut script = format!("set -e\nPATH=\"{}:$PATH\"\n", program.display());
    let lines: Vec<&str> = block.lines().filter(|l| l.starts_with("offmap ") || l.starts_with("export ")).collect();
    assert!(lines.len() >= 5, "{lines:?}");
    script.push_str(&lines.join("\n").replace("http://localhost:7070", sandbox.url()));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(dir.path()).env("OFFMAP_SETTINGS", "").env_remove("OFFMAP_PASSWORD");
    let output = run(shell);
    ends(&output, 0, "alps is undamaged and complete");
    assert_eq!(names(dir.path()), ["alps", "alps.mmpk"]);
}
