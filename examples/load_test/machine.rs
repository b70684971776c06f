//! What the process has of the machine. Linux only; nothing elsewhere.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the system may take to close what the engine let go.
const CLOSING: Duration = Duration::from_secs(2);

/// A number of `/proc/self/status`, in KiB.
fn kib(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

/// The memory that the process has now.
pub(crate) fn rss_kib() -> Option<u64> {
    kib("VmRSS")
}

/// The most memory that it had.
pub(crate) fn peak_rss_kib() -> Option<u64> {
    kib("VmHWM")
}

/// What may be left behind: threads of the engine, open files, and tasks of the runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) threads: Option<usize>,
    pub(crate) descriptors: Option<usize>,
    pub(crate) tasks: usize,
}

impl Held {
    pub(crate) fn now() -> Self {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Self { threads: threads(), descriptors: descriptors(), tasks }
    }

    fn more_than(self, before: Self) -> Self {
        let more = |now: Option<usize>, before: Option<usize>| Some(now?.saturating_sub(before?));
        Self {
            threads: more(self.threads, before.threads),
            descriptors: more(self.descriptors, before.descriptors),
            tasks: self.tasks.saturating_sub(before.tasks),
        }
    }

    pub(crate) fn is_nothing(self) -> bool {
        self.threads.unwrap_or(0) + self.descriptors.unwrap_or(0) + self.tasks == 0
    }

    /// What is held that was not held before, once that does not change for the better any more.
    pub(crate) async fn leaked_since(before: Self) -> Self {
        let until = Instant::now() + CLOSING;
        loop {
            let more = Self::now().more_than(before);
            if more.is_nothing() || Instant::now() >= until {
                return more;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Threads of the engine; those of the host's runtime are not its own.
fn threads() -> Option<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let is_own = |name: &String| name.starts_with("offmap-");
    Some(tasks.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("comm")).ok()).filter(is_own).count())
}

fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// What lies in a directory and in a temporary one of the system that was not there before.
#[derive(Debug)]
pub(crate) struct Entries(Vec<PathBuf>);

impl Entries {
    /// What bears the engine's name among the system's temporary files, and everything in a directory.
    pub(crate) fn in_and_beside(dir: &Path) -> Self {
        let list = |dir: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let is_own = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().contains("offmap"));
        let mut all: Vec<PathBuf> = list(&std::env::temp_dir()).into_iter().filter(is_own).collect();
        all.extend(list(dir));
        Self(all)
    }

    /// How many there are more, but for those that are to stay.
    pub(crate) fn more_than(&self, before: &Self, stays: impl Fn(&Path) -> bool) -> usize {
        self.0.iter().filter(|path| !before.0.contains(path) && !stays(path)).count()
    }
}
