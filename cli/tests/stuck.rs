//! Packages that would keep the program busy for ever: it says so or ends when it is told to.
use crate::support::{offmap, words};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Waits for a process that must end.
fn ended(mut child: std::process::Child) -> std::process::Output {
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("waits").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("kills");
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("ends")
}

#[test]
fn ctrl_c_ends_a_verification_that_would_take_days() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let package = dir.path().join("package");
    std::fs::create_dir_all(package.join("p13")).expect("makes");
    std::fs::write(package.join("package.info"), r#"{"maps":["m"]}"#).expect("writes");
    std::fs::write(package.join("p13/m.mmap"), r#"{"item":{},"map":{"operationalLayers":[]}}"#).expect("writes");
    // A terabyte of which nothing is on the disk.
    let huge = std::fs::File::create(package.join("p13/huge")).expect("creates");
    huge.set_len(1 << 40).expect("a sparse file");
    for arguments in [&["verify"][..], &["verify", "--deep"]] {
        let mut command = offmap(arguments);
        let child = command.arg(&package).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        // Until it reads the file, so that it also listens to signals.
        let deadline = Instant::now() + Duration::from_secs(20);
        let io = format!("/proc/{}/io", child.id());
        let read = |text: String| text.lines().find_map(|l| l.strip_prefix("rchar: ")?.parse::<u64>().ok());
        while std::fs::read_to_string(&io).ok().and_then(read).unwrap_or(0) < 1 << 24 {
            assert!(Instant::now() < deadline, "it does not begin");
            std::thread::sleep(Duration::from_millis(10));
        }
        let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
        assert!(signalled.success());
        let output = ended(child);
        assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    }
}

#[test]
fn a_pipe_or_device_in_place_of_a_package_or_inside_it_is_not_waited_for() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let package = dir.path().join("package");
    std::fs::create_dir_all(&package).expect("makes");
    for pipe in [package.join("package.info"), dir.path().join("pipe.mmpk")] {
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().expect("mkfifo runs").success());
    }
    for path in [package, dir.path().join("pipe.mmpk"), "/dev/zero".into()] {
        for command in ["verify", "show"] {
            let mut command = offmap(&[command]);
            let child = command.arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
            let output = ended(child);
            assert_eq!(output.status.code(), Some(1), "{}: {}", path.display(), words(&output));
        }
    }
}
