//! What ends the program while it waits for a service.
#![cfg(unix)]

mod support;

use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, Sandbox, SandboxOptions};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{AREA, names, offmap, sandbox, words};

/// Sends a signal once a path was asked for, and waits for the end.
async fn signalled(sandbox: &Sandbox, mut command: Command, path: &str, signal: &str) -> Output {
    let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !sandbox.requests().iter().any(|r| r.path.contains(path)) {
        assert!(Instant::now() < deadline, "{path} is not asked for");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill").success());
    tokio::task::block_in_place(|| child.wait_with_output().expect("ends"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_plan_and_check_while_a_service_is_silent() {
    for command in ["plan", "check"] {
        for signal in ["-INT", "-TERM", "-HUP"] {
            let sandbox = sandbox(SandboxOptions::default()).await;
            sandbox.fault(Fault::always("World/MapServer", FaultAction::Delay(Duration::from_secs(600))));
            let portal = sandbox.portal_url();
            let mut command = offmap(&[command, "--portal", &portal, "--item", FIELD_MAP]);
            command.args(AREA);
            let output = signalled(&sandbox, command, "World/MapServer", signal).await;
            assert_eq!(output.status.code(), Some(130), "{signal}: {}", words(&output));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_s_signal_rolls_back_as_ctrl_c_does() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let sandbox = sandbox(SandboxOptions::default()).await;
        sandbox.fault(Fault::always("fieldwork/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
        let dir = tempfile::tempdir().expect("a directory");
        let (portal, out) = (sandbox.portal_url(), dir.path().join("out").to_string_lossy().into_owned());
        let mut command = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out]);
        command.args(AREA);
        let output = signalled(&sandbox, command, "Fieldwork/FeatureServer/jobs/", signal).await;
        assert_eq!(output.status.code(), Some(130), "{signal}: {}", words(&output));
        assert!(names(dir.path()).is_empty(), "{signal}: {:?}", names(dir.path()));
        assert_eq!(sandbox.replicas("Fieldwork"), 0, "{signal}");
    }
}
