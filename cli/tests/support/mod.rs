//! What the tests of the command line share.

use offmap::packager::MobileMapPackage;
use offmap::packager::manifest::ManifestFile;
use offmap_sandbox::{Sandbox, SandboxOptions};
use std::path::Path;
use std::process::{Child, Command, Output};

/// The area of the tests, and levels that are drawn quickly.
pub(crate) const AREA: [&str; 4] = ["--area", "2,43,20,52", "--max-scale", "20000000"];

pub(crate) fn offmap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offmap"));
    command.args(arguments).env_remove("OFFMAP_PASSWORD").env_remove("OFFMAP_CLIENT_SECRET");
    // Nothing of who runs the tests.
    command.env_remove("OFFMAP_PORTAL").env("OFFMAP_SETTINGS", "");
    command
}

pub(crate) fn run(mut command: Command) -> Output {
    tokio::task::block_in_place(|| command.output().expect("runs"))
}

/// Sends a signal, such as `-INT`, to a command that runs.
pub(crate) fn send_signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success(), "{signal}");
}

pub(crate) fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) async fn sandbox(options: SandboxOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { polls: 1, ..options }).await.expect("a sandbox")
}

/// Names below a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("lists")
        .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A large file of a package that its manifest names, so that the package is whole; it has no blocks on the disk.
pub(crate) struct LargeFile {
    file: std::path::PathBuf,
    manifest: std::path::PathBuf,
    before: Vec<u8>,
}

impl LargeFile {
    const BYTES: u64 = 1 << 30;
    /// Of so many zeros.
    const SHA256: &str = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14";

    pub(crate) fn add(package: &std::path::Path) -> Self {
        let (file, manifest) = (package.join("p13/large.bin"), package.join("offmap/manifest.json"));
        std::fs::File::create_new(&file).and_then(|f| f.set_len(Self::BYTES)).expect("a hole");
        let before = std::fs::read(&manifest).expect("reads");
        let opened = MobileMapPackage::open(package).expect("opens");
        let mut told = opened.manifest().expect("a manifest").expect("a good one").clone();
        let path = "p13/large.bin".to_owned();
        told.files.push(ManifestFile { path, bytes: Self::BYTES, sha256: Self::SHA256.to_owned() });
        std::fs::write(&manifest, told.to_bytes().expect("JSON")).expect("writes");
        Self { file, manifest, before }
    }

    pub(crate) fn remove(self) {
        std::fs::remove_file(&self.file).expect("removes");
        std::fs::write(&self.manifest, &self.before).expect("writes");
    }
}
