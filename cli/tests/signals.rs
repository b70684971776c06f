//! What ends the program while it waits for a service.
use crate::support::{AREA, names, offmap, sandbox, send_signal, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, Sandbox, SandboxOptions};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Sends a signal once the service is where `ready` wants it, and waits for the end.
async fn signalled(mut command: Command, signal: &str, ready: impl Fn() -> bool) -> Output {
    let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < deadline, "the service is not asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send_signal(&child, signal);
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
        let dir = offmap_sandbox::tempdir().expect("a directory");
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

/// Work that nobody told to end by itself is ended by the first signal, as by the system.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_command_that_waits_for_its_input_or_for_the_map_of_a_job() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let pipe = dir.path().join("overrides.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let sandbox = sandbox(SandboxOptions::default()).await;
    let (portal, overrides) = (sandbox.portal_url(), pipe.to_string_lossy().into_owned());
    let mut command = offmap(&["plan", "--portal", &portal, "--item", FIELD_MAP, "--overrides", &overrides]);
    command.args(AREA);
    // A pipe that is open for writing has a reader.
    let opened = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (set, path) = (std::sync::Arc::clone(&opened), pipe.clone());
    let writer = std::thread::spawn(move || {
        let pipe = std::fs::OpenOptions::new().write(true).open(path);
        set.store(true, std::sync::atomic::Ordering::SeqCst);
        pipe
    });
    let output = signalled(command, "-TERM", || opened.load(std::sync::atomic::Ordering::SeqCst)).await;
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    drop(writer.join());
}
