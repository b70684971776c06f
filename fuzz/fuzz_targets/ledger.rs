//! The ledger of a job out of any bytes: opened, and everything that resuming a job reads is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::{Ledger, OfflineMapPlan};
use std::sync::OnceLock;
use tokio::runtime::Runtime;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("ledger.sqlite");
    let mut ledger = bytes.to_vec();
    for (place, byte) in ledger.iter_mut().zip(b"SQLite format 3\0") {
        *place = *byte;
    }
    if std::fs::write(&path, ledger).is_err() {
        return;
    }
    runtime().block_on(async {
        let Ok(ledger) = Ledger::open(&path).await else { return };
        let _ = ledger.get::<String>("document").await;
        let _ = ledger.get::<bool>("replaces").await;
        let _ = ledger.get::<OfflineMapPlan>("plan").await;
        let tasks = ledger.tasks().await.unwrap_or_default();
        for id in tasks.iter().map(|t| t.id.as_str()).chain(["a"]) {
            let task = ledger.task(id);
            let _ = task.units().await;
            let _ = task.noted("file", "job").await;
        }
    });
});
