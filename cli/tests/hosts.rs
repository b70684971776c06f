//! Which hosts a command asks.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, HOSTED_MAP, SandboxOptions};

#[tokio::test(flavor = "multi_thread")]
async fn only_hosts_that_are_allowed_are_asked_and_the_way_out_works() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let portal = sandbox.portal_url();
    let storage = sandbox.storage_url().split("://").nth(1).expect("a host").to_owned();
    let map = sandbox.web_map_url(HOSTED_MAP);
    // Under an allow-list the portal's host is asked, and results on another host are not.
    for (name, more, code) in [
        ("without", vec!["--portal", &portal, "--item", HOSTED_MAP, "--allow-host", "*.city.example"], 3),
        ("with", vec!["--portal", &portal, "--item", HOSTED_MAP, "--allow-host", &storage], 0),
        ("url", vec!["--web-map", &map, "--allow-host", &storage], 0),
    ] {
        let before = sandbox.requests().iter().filter(|r| r.host == storage).count();
        let out = dir.path().join(name).to_string_lossy().into_owned();
        let mut command = offmap(&["take", "--out", &out, "--progress", "off"]);
        command.args(AREA).args(&more);
        let output = run(command);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", words(&output));
        let asked = sandbox.requests().iter().filter(|r| r.host == storage).count() - before;
        assert_eq!(asked > 0, code == 0, "{name}");
        assert_eq!(words(&output).contains(&format!("--allow-host {storage}")), code == 3, "{name}: {}", words(&output));
    }
    // The way out of the message completes the package.
    let out = dir.path().join("without").to_string_lossy().into_owned();
    let resume = ["resume", "--failed-only", &out, "--portal", &portal, "--allow-host", &storage, "--progress", "off"];
    let output = run(offmap(&resume));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_deny_private_this_machine_is_not_asked_whatever_the_environment_says() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let port = sandbox.url().rsplit(':').next().expect("a port").to_owned();
    for host in ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]"] {
        for allowed in [false, true] {
            let portal = format!("http://{host}:{port}/portal");
            let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--deny-private"]);
            command.args(AREA).args(["--progress", "off"]);
            // A proxy would be asked in its place.
            command.env("http_proxy", sandbox.url()).env("HTTP_PROXY", sandbox.url()).env("ALL_PROXY", sandbox.url());
            if allowed {
                command.args(["--allow-host", "services.example"]);
            }
            let output = run(command);
            assert_eq!(output.status.code(), Some(2), "{host}: {}", words(&output));
            assert!(words(&output).contains("its address is private"), "{host}: {}", words(&output));
        }
    }
    assert!(sandbox.requests().is_empty(), "{:?}", sandbox.requests());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_is_no_host_is_refused_before_anybody_is_asked() {
    for host in ["", "*", ".", "https://h", "h/path", "u@h", "h:0", "h:x"] {
        let arguments =
            ["take", "--portal", "http://localhost:9/portal", "--item", FIELD_MAP, "--out", "x", "--allow-host", host];
        let mut command = offmap(&arguments);
        let output = command.args(AREA).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{host:?}: {}", words(&output));
        assert!(words(&output).contains("is not a host that can be allowed"), "{host:?}: {}", words(&output));
    }
}
