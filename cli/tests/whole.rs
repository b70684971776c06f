//! What a package lacks is said alike by `take`, `resume`, `show`, `verify` and `check`: in words, in JSON and in the exit code.

use crate::support::{AREA, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, MIXED_MAP, SandboxOptions};
use serde_json::Value;

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", words(output)))
}

/// The list of a JSON answer in which what is missing is named.
fn lacking(answer: &Value) -> Vec<String> {
    let list = answer["lacking"].as_array().unwrap_or_else(|| panic!("no `lacking` in {answer}"));
    list.iter().map(|w| w.as_str().expect("words").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_are_missing_are_named_by_every_command_and_end_it_with_3() {
    let sandbox = sandbox(SandboxOptions { lost_tiles: 2, ..SandboxOptions::default() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("north").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "json"]);
    take.args(AREA);
    let taken = run(take);
    assert_eq!(taken.status.code(), Some(3), "{}", words(&taken));
    let last = String::from_utf8_lossy(&taken.stdout).lines().last().map(str::to_owned).expect("a line");
    let result = serde_json::from_str::<Value>(&last).expect("JSON")["result"].take();
    assert_eq!(result["complete"], false, "{result}");
    let world = result["layers"].as_array().expect("layers").iter().find(|l| l["id"] == "world").expect("a layer");
    assert!(lacking(world)[0].starts_with("2 of 9 tiles are missing (the first: "), "{world}");
    for arguments in [&["verify", &out, "--json"][..], &["verify", "--deep", &out, "--json"]] {
        let verified = run(offmap(arguments));
        let answer = json(&verified);
        assert_eq!((verified.status.code(), &answer["ok"]), (Some(3), &Value::Bool(true)), "{answer}");
        assert_eq!(answer["complete"], false, "{answer}");
        assert!(lacking(&answer).iter().any(|w| w.starts_with("World: 2 of 9 tiles are missing")), "{answer}");
    }
    let shown = run(offmap(&["show", &out, "--json"]));
    let answer = json(&shown);
    assert!(lacking(&answer).iter().any(|w| w.starts_with("World: 2 of 9 tiles are missing")), "{answer}");
    assert_eq!((shown.status.code(), &answer["complete"]), (Some(0), &Value::Bool(false)), "to show is no judgement");
    // Nothing failed, so there is nothing to complete; it still lacks what it lacks.
    let resume = ["resume", "--failed-only", &out, "--portal", &portal, "--progress", "off"];
    let resumed = run(offmap(&resume));
    assert_eq!(resumed.status.code(), Some(3), "{}", words(&resumed));
    assert!(words(&resumed).contains("missing: 2 of 9 tiles are missing"), "{}", words(&resumed));
    assert!(!words(&resumed).contains("resume --failed-only"), "no way out is offered that does not help");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_verify_name_each_layer_that_is_missing_and_end_with_3() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("mixed").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let ask = |command: &str, item: &str, more: &[&str]| {
        let mut command = offmap(&[command, "--portal", &portal, "--item", item]);
        command.args(AREA).args(more);
        run(command)
    };
    let checked = ask("check", MIXED_MAP, &["--json"]);
    let answer = json(&checked);
    let named = lacking(&answer);
    let refused = answer["layerCapabilities"].as_array().expect("layers").iter();
    let refused: Vec<&str> =
        refused.filter(|c| c["supportsOffline"] == false).map(|c| c["title"].as_str().expect("a title")).collect();
    assert_eq!(named.len(), refused.len(), "{named:?}");
    assert!(refused.iter().all(|title| named.iter().any(|w| w.starts_with(&format!("{title}: ")))), "{named:?}");
    assert_eq!((checked.status.code(), &answer["hasErrors"]), (Some(3), &Value::Bool(true)));
    let in_words = ask("check", MIXED_MAP, &[]);
    assert_eq!(in_words.status.code(), Some(3), "{}", words(&in_words));
    let all = ask("check", FIELD_MAP, &["--json"]);
    assert_eq!((all.status.code(), lacking(&json(&all)).len()), (Some(0), 0), "{}", words(&all));

    assert_eq!(ask("take", MIXED_MAP, &["--out", &out, "--progress", "off"]).status.code(), Some(3));
    let verified = run(offmap(&["verify", &out, "--json"]));
    let answer = json(&verified);
    assert_eq!((verified.status.code(), &answer["ok"]), (Some(3), &Value::Bool(true)), "{answer}");
    let named = lacking(&answer);
    assert!(refused.iter().all(|title| named.iter().any(|w| w.starts_with(&format!("{title}: ")))), "{named:?}");
}
