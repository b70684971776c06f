//! What all actors of one job share.

use crate::event_log::EventLog;
use crate::keep::Keep;
use crate::ledger::Ledger;
use crate::packager::{EarlierPackage, Packager, ReadContents, ReferenceBasemap};
use crate::pause::Pause;
use crate::registry::ExporterRegistry;
use offmap_formats::Containers;
use offmap_model::{Clock, ExportTask, LayerSecrets, OfflineMapPlan, OfflineMapSource, SecretRegistry};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How long an exporter or packager may tidy up after a cancel before its future is dropped.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// How long taking back what finished exports left on the services may take after a cancel.
pub(crate) const CANCELLED_ROLLBACK_LIMIT: Duration = Duration::from_millis(900);

/// Counts actors that live.
#[derive(Debug, Default)]
pub(crate) struct Census {
    alive: AtomicUsize,
    peak: AtomicUsize,
}

impl Census {
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::Acquire)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Acquire)
    }

    /// One more actor, until the guard is dropped with it.
    pub(crate) fn enter(self: &Arc<Self>) -> CensusGuard {
        let alive = self.alive.fetch_add(1, Ordering::AcqRel) + 1;
        self.peak.fetch_max(alive, Ordering::AcqRel);
        CensusGuard(Arc::clone(self))
    }
}

#[derive(Debug)]
pub(crate) struct CensusGuard(Arc<Census>);

impl Drop for CensusGuard {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Everything that is fixed for a job once its plan is made.
#[derive(Debug)]
pub(crate) struct JobShared {
    pub(crate) job: String,
    pub(crate) source: Arc<OfflineMapSource>,
    pub(crate) plan: Arc<OfflineMapPlan>,
    pub(crate) basemap: Option<ReferenceBasemap>,
    pub(crate) registry: ExporterRegistry,
    pub(crate) packager: Arc<dyn Packager>,
    pub(crate) containers: Containers,
    /// What is in the files that this run has read.
    pub(crate) contents: Mutex<ReadContents>,
    pub(crate) ledger: Ledger,
    pub(crate) event_log: Arc<EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The caller's cancel.
    pub(crate) cancel: CancellationToken,
    /// A child of `cancel` that also fires when the error policy stops the job.
    pub(crate) stop: CancellationToken,
    pub(crate) pause: Arc<Pause>,
    /// Whether the work is kept if the job does not come to its end.
    pub(crate) keep: Arc<Keep>,
    /// The job as JSON, for the package.
    pub(crate) document: String,
    /// The earlier package whose place the new one takes.
    pub(crate) replaces: Option<Arc<EarlierPackage>>,
    /// What is taken out of whatever is written or shown.
    pub(crate) secrets: SecretRegistry,
    pub(crate) runtime: Handle,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) census: Arc<Census>,
    pub(crate) work_dir: PathBuf,
    pub(crate) destination: PathBuf,
}

impl JobShared {
    /// What is in the files that this run has read so far.
    pub(crate) fn read_contents(&self) -> ReadContents {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what is in files that were read.
    pub(crate) fn remember_contents(&self, read: ReadContents) {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).extend(read);
    }

    /// The secrets of a task's layers.
    pub(crate) fn secrets_of(&self, task: &ExportTask) -> LayerSecrets {
        let layers = self.source.web_map.layers();
        LayerSecrets::merged(layers.iter().filter(|l| task.layers.iter().any(|t| t.id == l.id)).map(|l| &l.secrets))
    }
}
