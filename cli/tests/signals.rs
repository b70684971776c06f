//! What ends the program while it waits for a service.
#![cfg(unix)]

mod support;

use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, Sandbox, SandboxOptions};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{AREA, names, offmap, sandbox, words};

/// Sends a signal once the service is where `ready` wants it, and waits for the end.
async fn signalled(mut command: Command, signal: &str, ready: impl Fn() -> bool) -> Output {
    let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < deadline, "the service is not asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill").success());
    tokio::task::block_in_place(|| child.wait_with_output().expect("ends"))
}

/// Whether a path was asked for.
fn asked(sandbox: &Sandbox, path: &str) -> bool {
    sandbox.requests().iter().any(|r| r.path.contains(path))
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
            let output = signalled(command, signal, || asked(&sandbox, "World/MapServer")).await;
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
        // A replica that the service registers later is not seen by who ended before.
        let ready = || asked(&sandbox, "Fieldwork/FeatureServer/jobs/") && sandbox.replicas("Fieldwork") == 1;
        let output = signalled(command, signal, ready).await;
        assert_eq!(output.status.code(), Some(130), "{signal}: {}", words(&output));
        assert!(names(dir.path()).is_empty(), "{signal}: {:?}", names(dir.path()));
        assert_eq!(sandbox.replicas("Fieldwork"), 0, "{signal}");
    }
}
