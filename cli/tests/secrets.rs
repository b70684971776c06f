//! The command line shows no secret: not in its output, not in its log at the highest level, not in what it leaves on the disk.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, SandboxOptions};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

const KEY: &str = "layer-key+/0123456789";

fn keyed() -> SandboxOptions {
    SandboxOptions {
        secured: true,
        echo: true,
        api_key: Some(("apiKey".to_owned(), KEY.to_owned())),
        ..SandboxOptions::default()
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    let percent = secret.replace('+', "%2B").replace('/', "%2F");
    [secret, &percent].iter().any(|form| memchr::memmem::find(bytes, form.as_bytes()).is_some())
}

fn assert_nowhere_below(dir: &Path, secret: &str) {
    for name in names(dir) {
        let path = dir.join(&name);
        assert!(!holds(name.as_bytes(), secret), "{}", path.display());
        if path.is_dir() {
            assert_nowhere_below(&path, secret);
        } else {
            assert!(!holds(&std::fs::read(&path).expect("reads"), secret), "`{secret}` is in {}", path.display());
        }
    }
}

/// Runs with everything logged.
fn traced(mut command: Command, token: &str) -> Output {
    command.env("OFFMAP_LOG", "trace").env("MY_TOKEN", token);
    run(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_output_log_or_package_and_a_package_is_completed_with_the_map_read_again() {
    let sandbox = sandbox(keyed()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let (portal, token) = (sandbox.portal_url(), sandbox.token());
    for item in [FIELD_MAP, HOSTED_MAP] {
        // A layer fails, in words that repeat the secrets.
        let error = json!({"error": {"code": 400, "message": format!("no replica with {token} and {KEY}")}});
        sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Body(error)));
        let access = ["--portal", &portal, "--token-env", "MY_TOKEN"];
        let mut take = offmap(&["take", "--item", item, "--out", &out, "--progress", "plain"]);
        take.args(AREA).args(access);
        let taken = traced(take, &token);
        assert_eq!(taken.status.code(), Some(3), "{}", words(&taken));
        assert!(words(&taken).contains("no replica with … and …"), "{}", words(&taken));
        sandbox.heal();
        for secret in [token.as_str(), KEY] {
            assert!(!holds(words(&taken).as_bytes(), secret), "{}", words(&taken));
            assert_nowhere_below(dir.path(), secret);
        }
        let mut resume = offmap(&["resume", "--failed-only", &out, "--progress", "json"]);
        resume.args(access);
        let resumed = traced(resume, &token);
        assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
        for secret in [token.as_str(), KEY] {
            assert!(!holds(words(&resumed).as_bytes(), secret), "{}", words(&resumed));
            assert_nowhere_below(dir.path(), secret);
        }
        std::fs::remove_dir_all(&out).expect("removes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_map_file_goes_on_with_the_file_named_again() {
    let sandbox = sandbox(SandboxOptions { secured: false, ..keyed() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (map, out) = (path("map.json"), path("out"));
    let layer = |id: &str, path: &str| {
        json!({"id": id, "title": id, "layerType": "ArcGISFeatureLayer",
        "url": format!("{}/arcgis/rest/services/{path}", sandbox.url()), "customParameters": {"apiKey": KEY}})
    };
    let layers = [layer("borders", "Reference/FeatureServer/0"), layer("countries", "Fieldwork/FeatureServer/2")];
    std::fs::write(&map, json!({"operationalLayers": layers, "spatialReference": {"wkid": 102_100}}).to_string())
        .expect("writes");
    let error = json!({"error": {"code": 400, "message": "no replica"}});
    sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Body(error)));
    let mut take = offmap(&["take", "--web-map", &map, "--out", &out, "--progress", "off"]);
    take.args(AREA);
    let taken = run(take);
    assert_eq!(taken.status.code(), Some(3), "{}", words(&taken));
    sandbox.heal();
    let resumed = run(offmap(&["resume", "--failed-only", &out, "--web-map", &map, "--progress", "off"]));
    assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
    assert_nowhere_below(Path::new(&out), KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_name_and_password_in_a_url_are_wrong_usage_and_are_not_shown() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let bad = portal.replacen("://", "://someone:hunter2-hunter2@", 1);
    let (map, twin) = (sandbox.web_map_url(FIELD_MAP), format!("{portal}={bad}"));
    let bad_map = map.replacen("://", "://someone:hunter2-hunter2@", 1);
    for arguments in [
        vec!["--portal", &bad, "--item", FIELD_MAP],
        vec!["--web-map", &bad_map],
        vec!["--web-map", &map, "--reduced-fonts", &twin],
        vec!["--web-map", &map, "--portal", &bad, "--token-env", "MY_TOKEN"],
        vec!["--web-map", &map, "--portal", &portal, "--token-env", "MY_TOKEN", "--referer", &bad],
        vec!["--portal", "http://someone:hunter2-hunter2@host:99999/portal", "--item", FIELD_MAP],
    ] {
        let mut command = offmap(&["take", "--out", &out]);
        command.args(AREA).args(&arguments);
        let output = traced(command, "a-token-of-the-caller");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains("user name and password"), "{arguments:?}: {}", words(&output));
        assert!(!words(&output).contains("hunter2"), "{arguments:?}: {}", words(&output));
        assert!(names(dir.path()).is_empty());
    }
}
