//! What all parts of a running job share.

use crate::census::Census;
use crate::context::ExportContext;
use crate::event_log::EventLog;
use crate::keep::Keep;
use crate::ledger::Ledger;
use crate::packager::{EarlierPackage, Packager, ReadContents, ReferenceBasemap};
use crate::pause::Pause;
use crate::permits::{PermitKey, Permits};
use crate::registry::ExporterRegistry;
use offmap_arcgis::Session;
use offmap_formats::Containers;
use offmap_model::{
    Clock, ExportTask, LayerSecrets, OfflineMapPlan, OfflineMapSource, SecretRegistry, Subject, SubjectKind,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long the roll-back of what finished exports left on the services may take after a cancel.
pub(crate) const CANCELLED_ROLLBACK_LIMIT: Duration = Duration::from_millis(900);

/// Where the private directories of the tasks are, below the job's work directory.
pub(super) const TASKS: &str = "tasks";

/// Everything that is fixed for a job once its plan is made.
#[derive(Debug)]
pub(crate) struct JobShared {
    pub(crate) job: String,
    /// Whose the job is.
    pub(crate) tenant: Arc<str>,
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
    /// Whether the work is kept if the job makes no package.
    pub(crate) keep: Arc<Keep>,
    /// The job as JSON, for the package.
    pub(crate) document: String,
    /// Whether it begins with nothing: nothing was done for any of its tasks, and the ledger need not be asked for that.
    pub(crate) is_fresh: bool,
    /// The earlier package whose place the new one takes.
    pub(crate) replaces: Option<Arc<EarlierPackage>>,
    /// What is taken out of whatever is written or shown.
    pub(crate) secrets: SecretRegistry,
    /// Who asks the services, where the job has credentials of its own. Its secrets are among those above.
    pub(crate) session: Option<Session>,
    pub(crate) runtime: Handle,
    pub(crate) permits: Arc<Permits>,
    pub(crate) census: Arc<Census>,
    pub(crate) work_dir: PathBuf,
    pub(crate) destination: PathBuf,
    /// The job's span, for work on other tasks of the runtime.
    pub(crate) span: tracing::Span,
    /// What is asked of the map's layers again and again; read at the first look.
    pub(crate) layers: OnceLock<LayersOfMap>,
}

/// What is asked of a map's layers while a job runs.
#[derive(Debug, Default)]
pub(crate) struct LayersOfMap {
    /// Their ids in the order of the map.
    pub(crate) order: Vec<String>,
    /// The secrets of those that have some, by their ids.
    secrets: HashMap<String, LayerSecrets>,
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
        let secrets = &self.layers_of_map().secrets;
        LayerSecrets::merged(task.layers.iter().filter_map(|l| secrets.get(&l.id)))
    }

    /// What is asked of the map's layers.
    pub(crate) fn layers_of_map(&self) -> &LayersOfMap {
        self.layers.get_or_init(|| {
            let mut all = LayersOfMap::default();
            for layer in self.source.web_map.layers() {
                if layer.secrets != LayerSecrets::default() {
                    all.secrets.insert(layer.id.clone(), layer.secrets.clone());
                }
                all.order.push(layer.id.clone());
            }
            all
        })
    }

    /// The private directory of a task.
    pub(crate) fn task_dir(&self, task: &ExportTask) -> PathBuf {
        self.work_dir.join(Self::task_dir_below(task))
    }

    /// The same below the job's work directory.
    pub(crate) fn task_dir_below(task: &ExportTask) -> PathBuf {
        Path::new(TASKS).join(&task.id)
    }

    /// What an export of a task counts for.
    pub(crate) fn permit_key(&self, task: &ExportTask) -> PermitKey {
        let host = url::Url::parse(&task.key.service_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        PermitKey { tenant: Arc::clone(&self.tenant), host: host.unwrap_or_default().into() }
    }

    /// The package as a subject of status messages. Its place may have a name that says nothing to people.
    pub(crate) fn package_subject(&self) -> Subject {
        Subject::new(SubjectKind::Package, "package", self.secrets.scrubbed(self.source.map_title().to_owned()))
    }

    /// What an exporter is lent for a task.
    pub(crate) fn context(&self, task: &ExportTask, cancel: CancellationToken) -> ExportContext {
        ExportContext {
            task: task.id.as_str().into(),
            subjects: ExportContext::subjects_of(task),
            work_dir: self.task_dir(task).into(),
            cancel,
            clock: Arc::clone(&self.clock),
            ledger: self.ledger.task(&task.id),
            event_log: Arc::clone(&self.event_log),
            pause: Arc::clone(&self.pause),
            permit: None,
            keep: Arc::clone(&self.keep),
            plan: Arc::clone(&self.plan),
            planned: task.bytes,
            only_unit: ExportContext::only_unit_of(task),
            secrets: Arc::new(self.secrets_of(task)),
            known_secrets: self.secrets.clone(),
            session: self.session.clone(),
            more_follows: false,
        }
    }
}
