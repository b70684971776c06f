//! Makes a job of what the store has of it.

use crate::job::{JobDocument, JobHost, JobInner, StartMode, document_of};
use crate::ledger::id_of;
use crate::resources::EngineResources;
use crate::store::JobRecord;
use crate::work_dir::Leftover;
use offmap_arcgis::{CredentialProvider, Session};
use offmap_disk::run_blocking;
use offmap_model::{Failure, FailureKind, OfflineMapSource};
use std::path::Path;
use std::sync::Arc;

/// How a job goes on of which an earlier run may have left something.
async fn start_mode(resources: &EngineResources, record: &JobRecord) -> Result<StartMode, Failure> {
    let order = &record.order;
    let first = if order.completes { StartMode::Completing } else { StartMode::Fresh };
    if record.attempts <= 1 && !record.is_kept {
        return Ok(first);
    }
    match document_of(&order.destination).await {
        Ok(text) if id_of(&text).is_ok_and(|id| id == order.id) => return Ok(StartMode::Resumed),
        // That of another job refuses the start, by name.
        Ok(_) => return Ok(first),
        Err(failure) if failure.kind == FailureKind::NotFound => {}
        // It was interrupted before its ledger was complete: nothing was spent, and nobody else can go on with it.
        Err(failure) if failure.kind == FailureKind::InvalidParameter => {
            remove_leftover(resources, &order.destination).await?
        }
        Err(failure) => return Err(failure),
    }
    let (packager, destination) = (Arc::clone(&resources.packager), order.destination.clone());
    let there = run_blocking(move || Ok(packager.read_package(&destination).ok())).await?;
    Ok(if there.is_some_and(|there| there.job == order.id) && !order.completes { StartMode::Finished } else { first })
}

async fn remove_leftover(resources: &EngineResources, destination: &Path) -> Result<(), Failure> {
    let (packager, destination) = (Arc::clone(&resources.packager), destination.to_owned());
    run_blocking(move || {
        let found = Leftover::find(&destination)?;
        found.iter().filter(|l| l.destination == destination).try_for_each(|left| left.remove(&*packager))
    })
    .await
}

/// The map with the secrets that are in no file, of the run before or of the host.
async fn with_secrets(
    mut source: OfflineMapSource,
    known: Option<Arc<OfflineMapSource>>,
    record: &JobRecord,
    provider: Option<&Arc<dyn CredentialProvider>>,
) -> Result<Arc<OfflineMapSource>, Failure> {
    if let Some(known) = known {
        return Ok(known);
    }
    if let Some(provider) = provider
        && !source.web_map.layers_without_secrets().is_empty()
        && let Some(map) = provider.web_map(&record.order.tenant, &record.order.id).await?
    {
        source.web_map.supply_secrets(&map);
    }
    Ok(Arc::new(source))
}

/// Makes the job.
pub(super) async fn prepare(
    resources: &Arc<EngineResources>,
    record: &JobRecord,
    document: &str,
    known: Option<Arc<OfflineMapSource>>,
    (provider, session): (Option<&Arc<dyn CredentialProvider>>, Option<Session>),
    last_event: u64,
) -> Result<JobInner, Failure> {
    let mode = start_mode(resources, record).await?;
    let JobDocument { id, source, parameters, overrides, .. } = JobDocument::read(document)?;
    let source = with_secrets(source, known, record, provider).await?;
    let host = JobHost {
        tenant: Arc::clone(&record.order.tenant),
        first_event: after_gap(last_event),
        ..JobHost::new(Arc::clone(resources), session)
    };
    Ok(JobInner::new(host, id, source, (parameters, overrides), record.order.destination.clone(), mode))
}

/// Where the numbers of another run begin: progress, which is not kept, had numbers of its own.
pub(super) fn after_gap(last_event: u64) -> u64 {
    if last_event == 0 { 0 } else { ((last_event >> 32) + 1) << 32 }
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
    Ok(JobInner::new(host, id, Arc::new(source), wishes, record.order.destination.clone(), StartMode::Resumed))
}
