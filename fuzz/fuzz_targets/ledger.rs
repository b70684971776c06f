//! Any bytes in the place of a job's ledger: read as the resuming of a job reads it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::{Ledger, system_now_ms};
use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};

/// One runtime for all inputs.
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().build().ok()).as_ref()
}

fuzz_target!(|bytes: &[u8]| {
    let (Some(runtime), Ok(dir)) = (runtime(), tempfile::tempdir()) else { return };
    let path = dir.path().join("ledger.sqlite");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    runtime.block_on(async {
        let Ok(ledger) = Ledger::open(&path).await else { return };
        let _ = ledger.get::<String>("document").await;
        let _ = ledger.get::<serde_json::Value>("plan").await;
        for task in ledger.tasks().await.unwrap_or_default() {
            let of_task = ledger.task(&task.id);
            for unit in of_task.units().await.unwrap_or_default() {
                let _ = of_task.noted(&unit.id, "statusUrl").await;
                let _ = of_task.begin(&unit.id, system_now_ms()).await;
            }
        }
    });
});
