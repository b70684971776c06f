//! `take --direct`: layers whose services give no replica come page by page.

use crate::support::{AREA, offmap, run, sandbox, words};
use offmap_sandbox::{MIXED_MAP, SandboxOptions};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_without_sync_comes_where_direct_download_is_allowed_and_check_says_that_it_would() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("mixed").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let ask = |command: &str, more: &[&str]| {
        let mut command = offmap(&[command, "--portal", &portal, "--item", MIXED_MAP]);
        command.args(AREA).args(more);
        run(command)
    };
    let checked = words(&ask("check", &[]));
    assert!(checked.contains("direct download would work (by feature-query)"), "{checked}");
    let taken = ask("take", &["--out", &out, "--direct", "when-not-exportable", "--progress", "json"]);
    let last = String::from_utf8_lossy(&taken.stdout).lines().last().map(str::to_owned).expect("a line");
    let result = serde_json::from_str::<Value>(&last).expect("JSON")["result"].take();
    let layer = |id: &str| result["layers"].as_array().expect("layers").iter().find(|l| l["id"] == id).cloned();
    let online = layer("online").unwrap_or_else(|| panic!("{result}"));
    assert_eq!(online["state"], "succeeded", "{online}");
    assert!(online["got"].as_u64().is_some_and(|got| got > 10) && online["got"] == online["planned"], "{online}");
    let verified = words(&run(offmap(&["verify", "--deep", &out])));
    assert!(!verified.contains("Online only"), "what came lacks nothing: {verified}");
}
