//! How commands end where something is missing or cannot be judged, and what they then say.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, SandboxOptions};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_judged_or_is_not_there_is_said_and_ends_with_a_code_of_its_own() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "off"]);
    take.args(AREA);
    let taken = run(take);
    assert_eq!(taken.status.code(), Some(0), "{}", words(&taken));
    // As other programs write packages.
    std::fs::remove_dir_all(dir.path().join("out/offmap")).expect("removes");
    for deep in [&[][..], &["--deep"]] {
        let verified = run(offmap(&[&["verify", &out][..], deep].concat()));
        assert_eq!(verified.status.code(), Some(4), "{deep:?}: {}", words(&verified));
        assert!(words(&verified).contains("is not judged: it has no manifest"), "{}", words(&verified));
        let json = run(offmap(&[&["verify", "--json", &out][..], deep].concat()));
        let answer: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert_eq!((json.status.code(), &answer["proven"], &answer["complete"]), (Some(4), &json!(false), &Value::Null));
    }
    assert_eq!(run(offmap(&["show", &out])).status.code(), Some(0));
    let data = names(&dir.path().join("out/p13")).into_iter().find(|name| name.ends_with(".geodatabase")).expect("a file");
    std::fs::remove_file(dir.path().join("out/p13").join(data)).expect("removes");
    for json in [&[][..], &["--json"]] {
        let shown = run(offmap(&[&["show", &out][..], json].concat()));
        assert_eq!(shown.status.code(), Some(3), "{}", words(&shown));
    }
    assert!(words(&run(offmap(&["show", &out]))).contains("(MISSING)"));
    assert_eq!(run(offmap(&["verify", &out])).status.code(), Some(1), "a file that the map names is gone: damaged");
    for (command, said) in
        [("verify", "4    can be read"), ("show", "3    shown, and the data of a layer"), ("login", "--no-browser")]
    {
        let help = words(&run(offmap(&[command, "--help"])));
        assert!(help.contains(said), "{command}: {help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_job_begins_says_whose_it_is() {
    let secured = sandbox(SandboxOptions { secured: true, ..SandboxOptions::default() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let closed = secured.portal_url();
    for (portal, whose) in [
        (closed.as_str(), "whose: Credentials; what to do: check user, token and sharing"),
        ("http://localhost:9/portal", "whose: Network; what to do: try again when the network is back"),
    ] {
        for command in ["take", "check"] {
            let mut command = offmap(&[command, "--portal", portal, "--item", FIELD_MAP, "--retry-time", "0"]);
            if command.get_args().next().is_some_and(|name| name == "take") {
                command.args(["--out", &out, "--progress", "off"]);
            }
            command.args(AREA);
            let output = run(command);
            assert_eq!(output.status.code(), Some(1), "{}", words(&output));
            assert!(words(&output).contains(whose), "{}", words(&output));
        }
    }
    let mut check = offmap(&["check", "--portal", &closed, "--item", "0123", "--token-env", "MY_TOKEN"]);
    check.args(AREA).env("MY_TOKEN", secured.token());
    let missing = words(&run(check));
    assert!(missing.contains("whose: Source; what to do: correct the id or url of the map"), "{missing}");
    let wrong = run(offmap(&["verify", "/no/such/package"]));
    assert!(!words(&wrong).contains("whose: Caller"), "{}", words(&wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_stopped_is_fetched_when_it_runs_again() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    sandbox.fault(Fault::always("reference/featureserver", FaultAction::Status(404, "Service not found".into(), None)));
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "off"]);
    take.args(AREA);
    let taken = run(take);
    assert_eq!(taken.status.code(), Some(3), "{}", words(&taken));
    let way = format!("complete it with: offmap resume --failed-only {out}");
    assert!(
        words(&taken).contains("wait until the service runs again") && words(&taken).contains(&way),
        "{}",
        words(&taken)
    );
    sandbox.heal();
    let resumed = run(offmap(&["resume", "--failed-only", &out, "--portal", &portal, "--progress", "off"]));
    assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
}
