//! Makes a job of what the store has of it.

use crate::job::{JobDocument, JobHost, JobInner, StartMode, document_of};
use crate::ledger::id_of;
use crate::resources::EngineResources;
use crate::store::JobRecord;
use crate::work_dir::Leftover;
use offmap_arcgis::Session;
use offmap_disk::run_blocking;
use offmap_model::{Failure, FailureKind, OfflineMapSource};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What lies beside the destination of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// Work that was interrupted before its ledger was complete: nothing was spent, and nobody can go on with it.
    Incomplete,
    /// The work of this run of the job.
    Own,
    /// That of another job.
    Others,
}

/// Looks at what lies beside the destination of a job.
pub(super) async fn left_of(record: &JobRecord) -> Result<Left, Failure> {
    match document_of(&record.order.destination).await {
        Ok(text) if id_of(&text).is_ok_and(|id| id == record.run_id()) => Ok(Left::Own),
        Ok(_) => Ok(Left::Others),
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(Left::Nothing),
        Err(failure) if failure.kind == FailureKind::InvalidParameter => Ok(Left::Incomplete),
        Err(failure) => Err(failure),
    }
}

/// How a job goes on of which an earlier run may have left something.
async fn start_mode(resources: &EngineResources, record: &JobRecord) -> Result<StartMode, Failure> {
    let order = &record.order;
    let first = if order.completes { StartMode::Completing } else { StartMode::Fresh };
    if record.attempts <= 1 && !record.is_kept {
        return Ok(first);
    }
    match left_of(record).await? {
        Left::Own => return Ok(StartMode::Resumed),
        // It refuses the start, by name.
        Left::Others => return Ok(first),
        Left::Incomplete => remove_leftover(resources, &order.destination).await?,
        Left::Nothing => {}
    }
    // The package of this run, not the one that the run completes.
    let (packager, destination) = (Arc::clone(&resources.packager), order.destination.clone());
    let there = run_blocking(move || Ok(packager.read_package(&destination).ok())).await?;
    Ok(if there.is_some_and(|there| there.job == record.run_id()) { StartMode::Finished } else { first })
}

/// Removes work of which nothing is on a service.
pub(super) async fn remove_leftover(resources: &EngineResources, destination: &Path) -> Result<(), Failure> {
    let (packager, destination) = (Arc::clone(&resources.packager), destination.to_owned());
    run_blocking(move || {
        let found = Leftover::find(&destination)?;
        found.iter().filter(|l| l.destination == destination).try_for_each(|left| left.remove(&*packager))
    })
    .await
}

/// Whether the host is to be asked for secrets of a map.
pub(super) fn needs_secrets(source: &OfflineMapSource, known: Option<&Arc<OfflineMapSource>>) -> bool {
    known.is_none() && !source.web_map.layers_without_secrets().is_empty()
}

/// What a job is made with that is in no file.
#[derive(Debug)]
pub(super) struct Supplied {
    pub(super) session: Option<Session>,
    /// Whether that is what the host's provider answered.
    pub(super) asks_host: bool,
    /// The map of the run before, with its secrets.
    pub(super) known: Option<Arc<OfflineMapSource>>,
}

/// What became of the wish to make a job.
#[derive(Debug)]
pub(super) enum Made {
    Job(Box<JobInner>),
    /// The host does not have the secrets of its map now.
    Waits(Failure),
}

/// Makes the job.
pub(super) async fn prepare(
    resources: &Arc<EngineResources>,
    record: &JobRecord,
    document: JobDocument,
    supplied: Supplied,
) -> Result<JobInner, Failure> {
    let Supplied { session, asks_host, known } = supplied;
    let order = &record.order;
    let JobDocument { id, source, parameters, overrides, .. } = document;
    let source = known.unwrap_or_else(|| Arc::new(source));
    let mode = start_mode(resources, record).await?;
    let host = JobHost {
        tenant: Arc::clone(&order.tenant),
        first_event: record.log_base(),
        ..JobHost::new(Arc::clone(resources), session)
    };
    let mut inner = JobInner::new(host, id, source, (parameters, overrides), order.destination.clone(), mode);
    inner.id = record.run_id();
    inner.asks_host = asks_host;
    wish(&inner, record, resources.clock.now_ms());
    Ok(inner)
}

/// Tells a job what was said to its handle, and what its order says.
fn wish(inner: &JobInner, record: &JobRecord, now: i64) {
    let (order, wishes) = (&record.order, record.order.wishes);
    inner.overwrites.store(wishes.overwrites, Ordering::Release);
    if wishes.keeps {
        inner.keep.keep();
    }
    if let Some(limit) = order.time_limit {
        let since = u64::try_from(now.saturating_sub(order.submitted)).unwrap_or(0);
        let spent = if wishes.counts_waits { wishes.spent_before.saturating_add(since) } else { record.spent };
        inner.time_limit.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Release);
        inner.time_spent.store(spent, Ordering::Release);
    }
    if order.retry.wait_after(record.attempts).is_some() {
        inner.keep.keep_unless_cancelled();
    }
}

/// Makes a job of which only what it left is wanted.
pub(super) fn to_discard(
    resources: &Arc<EngineResources>,
    record: &JobRecord,
    document: &str,
    session: Option<Session>,
) -> Result<JobInner, Failure> {
    let JobDocument { id, source, parameters, overrides, .. } = JobDocument::read(document)?;
    let host = JobHost::new(Arc::clone(resources), session);
    let wishes = (parameters, overrides);
    let mut inner = JobInner::new(host, id, Arc::new(source), wishes, record.order.destination.clone(), StartMode::Resumed);
    inner.id = record.run_id();
    Ok(inner)
}
