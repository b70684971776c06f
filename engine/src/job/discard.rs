//! Discarding what a job kept: what was begun on the services is rolled back, then the files go.

use super::state::JobInner;
use crate::export::{JobShared, rollback_all};
use crate::ledger::Ledger;
use crate::work_dir::{Leftover, WorkDir, path_for};
use offmap_disk::run_blocking;
use offmap_model::{Failure, FailureKind};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Rolls back and removes what is left of a job; nothing where nothing is left of it.
pub(crate) async fn discard(job: &JobInner) -> Result<(), Failure> {
    let destination = job.destination.clone();
    let work_dir = match run_blocking(move || WorkDir::open(&destination)).await {
        Ok(work_dir) => work_dir,
        Err(failure) if failure.kind == FailureKind::NotFound => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let roll_back = async |ledger: &Ledger| rolled_back(job, ledger, &work_dir).await;
    let (ledger, ()) = job.with_ledger(&work_dir, roll_back).await?;
    // The ledger is closed and the lock is free by then: a package that was being replaced goes back to its place first.
    ledger.close().await;
    drop(work_dir);
    let (packager, destination) = (Arc::clone(&job.engine.packager), job.destination.clone());
    run_blocking(move || {
        let own = path_for(&destination)?;
        let left = Leftover::find(&destination)?.into_iter().find(|l| l.path == own);
        left.map_or(Ok(()), |left| left.remove(&*packager))
    })
    .await
}

/// Rolls back what a job began on services; nothing where the work is another job's.
async fn rolled_back(job: &JobInner, ledger: &Ledger, work_dir: &WorkDir) -> Result<(), Failure> {
    let found = ledger.lineage().await?.job;
    if found != job.id {
        let shown = job.destination.display();
        return Err(Failure::invalid_parameter(format!(
            "the unfinished job for {shown} is {found}, expected {}; it stays as it is: remove it with `offmap clean {shown}`",
            job.id
        )));
    }
    if let Some(plan) = ledger.plan().await? {
        // The job's own token is cancelled; the roll-back has its own time.
        let cancel = CancellationToken::new();
        let shared = JobShared { cancel: cancel.clone(), stop: cancel, ..job.shared(plan, ledger.clone(), work_dir.path()) };
        rollback_all(&Arc::new(shared)).await;
    }
    Ok(())
}
