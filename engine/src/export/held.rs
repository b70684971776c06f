//! Results of units that are there with the bytes that the ledger knows.

use super::job_shared::JobShared;
use crate::ledger::UnitResult;
use offmap_disk::{hash_result_until, run_blocking, safe_path};
use offmap_model::{ExportTask, Failure};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What of a task is not fetched again when it begins anew.
#[derive(Default)]
pub(super) struct Held {
    /// Finished units whose results are there with the bytes that the ledger knows, and the units that they came out of.
    pub(super) units: HashSet<String>,
    /// Those results, below the task's directory.
    pub(super) paths: Vec<PathBuf>,
}

pub(super) async fn held(shared: &Arc<JobShared>, task: &ExportTask) -> Result<Held, Failure> {
    let results = shared.ledger.task(&task.id).results().await?;
    let planned: HashSet<String> = task.units.iter().map(|u| u.id.clone()).collect();
    let (root, relative) = (shared.work_dir.clone(), JobShared::task_dir_below(task));
    let cancel = shared.stop.clone();
    run_blocking(move || {
        let mut held = Held::default();
        for result in results.into_iter().filter(|r| planned.contains(&r.unit.id)) {
            // What could not be looked at to the end is not thrown away for it; it is looked at again before it is used.
            if holds(&root, &relative, &result, &cancel) || cancel.is_cancelled() {
                held.units.extend([result.unit.id].into_iter().chain(result.of));
                held.paths.push(result.path);
            }
        }
        Ok(held)
    })
    .await
}

/// Whether the result of a unit is there with the bytes that the ledger knows.
pub(super) fn holds(root: &Path, task_dir: &Path, result: &UnitResult, cancel: &CancellationToken) -> bool {
    let is_plain = safe_path::check_relative(&result.path).is_ok();
    let relative = task_dir.join(&result.path);
    let path = match is_plain {
        true => safe_path::file(root, &relative).map(|(path, _)| path).or_else(|_| safe_path::folder(root, &relative)),
        false => return false,
    };
    path.is_ok_and(|path| hash_result_until(&path, cancel).is_ok_and(|(_, sha256)| result.unit.sha256 == Some(sha256)))
}
