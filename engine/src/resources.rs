//! What an engine owns and its jobs share.

use crate::actor::{Actors, from_join_error};
use crate::census::Census;
use crate::packager::Packager;
use crate::permits::Permits;
use crate::registry::ExporterRegistry;
use offmap_formats::Containers;
use offmap_model::{Clock, Failure, OfflineMapSource, SecretRegistry};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Ends with the last engine handle and job: then everything is told to stop.
#[derive(Debug)]
pub(crate) struct EngineResources {
    pub(crate) registry: ExporterRegistry,
    pub(crate) packager: Arc<dyn Packager>,
    pub(crate) containers: Containers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) root: CancellationToken,
    pub(crate) tracker: TaskTracker,
    pub(crate) export_permits: Arc<Permits>,
    pub(crate) census: Arc<Census>,
    pub(crate) actors: Actors,
    pub(crate) secrets: SecretRegistry,
    /// The thread of the actor system.
    pub(crate) thread: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Ends the engine's own runtime, where the host gave none.
    pub(crate) _own_runtime: Option<oneshot::Sender<()>>,
}

impl EngineResources {
    /// Runs code that calls the host, its exporters or the packager. A panic of it is a failure, and ends no more than this; `what` names
    /// what panicked.
    pub(crate) async fn guarded<T: Send + 'static>(
        &self,
        what: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        self.runtime.spawn(work).await.map_err(|e| from_join_error(e, what))
    }

    /// What is taken out of everything that a job for a map writes or shows: the caller's secrets and those of the map.
    pub(crate) fn secrets_of(&self, source: &OfflineMapSource) -> SecretRegistry {
        let own = self.secrets.child();
        own.add_all(source.web_map.texts_to_hide());
        own
    }
}

/// Takes out what portal items repeat of the secrets of their map: it would get into the document of a job, its package and the store. A map
/// whose items repeat none is not copied. Answers whether the map has secrets.
pub(crate) fn take_out_repeated(secrets: &SecretRegistry, source: &mut Arc<OfflineMapSource>) -> bool {
    let has_secrets = source.web_map.texts_to_hide().next().is_some();
    if has_secrets {
        secrets.scrub_source(source);
    }
    has_secrets
}

impl Drop for EngineResources {
    fn drop(&mut self) {
        self.root.cancel();
        self.actors.stop();
    }
}
