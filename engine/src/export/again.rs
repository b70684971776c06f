//! Makes tasks begin anew, and rolls back what they left on their services.

use super::grace::CANCEL_GRACE;
use super::held::{Held, held};
use super::job_shared::{CANCELLED_ROLLBACK_LIMIT, JobShared};
use crate::context::ExportContext;
use offmap_disk::{run_blocking, safe_path};
use offmap_model::{ExportTask, Failure};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Makes a task that failed begin anew: finished units whose results hold stay; what else it left on its service is rolled back, its
/// other files and notes are removed.
pub(crate) async fn begin_anew(shared: &Arc<JobShared>, task: &ExportTask) -> Result<(), Failure> {
    if task.carried {
        return Ok(());
    }
    let held = held(shared, task).await?;
    throw_away(shared, task, &held).await?;
    shared.ledger.task(&task.id).reset(&held.units).await
}

/// Makes a task whose data changed begin anew, as it is planned now. Until its old files are gone the ledger says what they are: the
/// job may end at any point and finds the change again.
pub(crate) async fn begin_changed(shared: &Arc<JobShared>, task: &ExportTask) -> Result<(), Failure> {
    throw_away(shared, task, &Held::default()).await?;
    shared.ledger.replace_task(task, shared.clock.now_ms()).await
}

/// Rolls back what a task left on its service, and removes its files: before the ledger forgets them, since a file under its final
/// name is trusted.
async fn throw_away(shared: &Arc<JobShared>, task: &ExportTask, but: &Held) -> Result<(), Failure> {
    let exporter = shared.registry.by_name(&task.exporter)?;
    let ctx = shared.context(task, CancellationToken::new());
    // What belongs to a unit that stays is not to be rolled back.
    let ctx = ExportContext { ledger: ctx.ledger.clone().hiding(but.units.clone()), ..ctx };
    exporter.rollback(task, &ctx).await;
    let (root, relative, paths) = (shared.work_dir.clone(), JobShared::task_dir_below(task), but.paths.clone());
    run_blocking(move || {
        let removed = match paths.is_empty() {
            true => safe_path::remove_tree(&root, &relative),
            false => safe_path::remove_all_but(&root, &relative, &paths),
        };
        removed.map_err(|e| safe_path::judged(&format!("cannot empty the task's directory in {}", root.display()), &e))
    })
    .await
}

/// Lets the exporters roll back what they left on the services of a job that made no package.
pub(crate) async fn rollback_all(shared: &Arc<JobShared>) {
    let work = shared.plan.tasks.iter().filter(|t| !t.carried).filter_map(|task| {
        let exporter = shared.registry.by_name(&task.exporter).ok()?;
        let ctx = shared.context(task, CancellationToken::new());
        Some(async move { exporter.rollback(task, &ctx).await })
    });
    // A cancel is quiet within a second; a job that failed may take its time.
    let limit = if shared.cancel.is_cancelled() { CANCELLED_ROLLBACK_LIMIT } else { CANCEL_GRACE };
    if tokio::time::timeout(limit, futures_util::future::join_all(work)).await.is_err() {
        tracing::warn!("what was left on the services could not be rolled back in time");
    }
}
