//! The contract of an exporter: one way of downloading layers.

use crate::context::ExportContext;
pub use crate::plan_context::PlanContext;
pub use crate::service_request::ServiceRequest;
use async_trait::async_trait;
use offmap_model::{
    Artifact, ByteRange, BytesSource, Capability, CountUnit, Envelope, ExportTask, Failure, MapLayer, OfflineMapSource,
    PlannedLevel, ServiceLimit, Unit,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Debug;

/// What a service says of itself. `S` is the exporter's own type ([`Exporter::Service`]); the engine keeps it as JSON.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceDescription<S = Value> {
    /// Title for people.
    pub title: String,
    /// What the export will need to know, kept in the plan and ledger. Never a token.
    pub service: S,
    /// Layer id → whether it can go offline; one entry for each layer of the request.
    pub capabilities: Vec<(String, Capability)>,
    /// Where its data lie, if it says so in a spatial reference that the area can be projected to.
    pub extent: Option<Envelope>,
    /// Attribution.
    pub attribution: Option<String>,
    /// When its data were last edited, in milliseconds since 1970 UTC.
    pub edit_date: Option<i64>,
}

impl<S> ServiceDescription<S> {
    /// A service with a title, what its exporter needs to know of it, and whether each layer of the request can go offline.
    #[must_use]
    pub fn new(title: impl Into<String>, service: S, capabilities: Vec<(String, Capability)>) -> Self {
        Self { title: title.into(), service, capabilities, extent: None, attribution: None, edit_date: None }
    }

    /// With the extent of its data, where it is known.
    #[must_use]
    pub fn with_extent(mut self, extent: Option<Envelope>) -> Self {
        self.extent = extent;
        self
    }

    /// With its attribution, where it has one.
    #[must_use]
    pub fn with_attribution(mut self, attribution: Option<String>) -> Self {
        self.attribution = attribution;
        self
    }

    /// With the time of the last edit of its data, where it is known.
    #[must_use]
    pub fn with_edit_date(mut self, edit_date: Option<i64>) -> Self {
        self.edit_date = edit_date;
        self
    }

    /// The same with the service in another form.
    pub(crate) fn with_service<T>(&self, service: T) -> ServiceDescription<T> {
        ServiceDescription::new(self.title.clone(), service, self.capabilities.clone())
            .with_extent(self.extent.clone())
            .with_attribution(self.attribution.clone())
            .with_edit_date(self.edit_date)
    }
}

/// One layer in an exporter's plan.
#[derive(Debug, Clone, Default)]
pub struct LayerPlan {
    /// Id of the layer or table.
    pub id: String,
    /// Id in the service.
    pub service_layer_id: Option<u32>,
    /// How many features, tiles or items are to come.
    pub expected: Option<u64>,
    /// Whether that is exact; else it is an upper bound.
    pub exact: bool,
    /// How many attachments are to come, where they were counted.
    pub attachments: Option<u64>,
}

/// A utility network in an exporter's plan.
#[derive(Debug, Clone)]
pub struct NetworkPlan {
    /// Its place in the map's `utilityNetworks`.
    pub index: usize,
    /// Its id in the service, where it comes along; `None` where it does not.
    pub service_layer_id: Option<u32>,
}

/// An exporter's plan for one service.
#[derive(Debug, Clone, Default)]
pub struct TaskPlan {
    /// Units of work; each must be finished in the ledger when the export ends well.
    pub units: Vec<Unit>,
    /// The layers that will come. A supported layer that is neither here nor in `failed` was left out by parameters.
    pub layers: Vec<LayerPlan>,
    /// Layers that cannot come, by id, with the reason: their siblings come without them.
    pub failed: Vec<(String, Failure)>,
    /// What is counted.
    pub count_unit: CountUnit,
    /// Levels of a tiled service.
    pub levels: Vec<PlannedLevel>,
    /// Bytes to come, as far as known.
    pub bytes: Option<ByteRange>,
    /// Where that comes from.
    pub bytes_from: BytesSource,
    /// Requests that the export takes at least; polls of a service's job and repeats are not counted.
    pub requests: u64,
    /// Limits that the task touches.
    pub limits: Vec<ServiceLimit>,
    /// The utility networks of the request.
    pub networks: Vec<NetworkPlan>,
    /// Whether the service counts no data at all, in any area: then what it says of its extent says nothing.
    pub is_empty: bool,
    /// Why the service may refuse the export when it is asked for, such as a limit that cannot be kept. Layers that may be downloaded
    /// directly are passed on to who does that; the others are tried.
    pub may_be_refused: Option<String>,
    /// Things worth knowing that stop nothing.
    pub warnings: Vec<String>,
}

impl TaskPlan {
    /// A plan of some units, after which every layer of a request has exactly so many features or items.
    #[must_use]
    pub fn exactly(request: &ServiceRequest, units: Vec<Unit>, expected: u64, count_unit: CountUnit) -> Self {
        let layer = |layer: &MapLayer| LayerPlan {
            id: layer.id.clone(),
            expected: Some(expected),
            exact: true,
            ..LayerPlan::default()
        };
        let requests = units.len() as u64;
        Self { units, layers: request.layers.iter().map(layer).collect(), count_unit, requests, ..Self::default() }
    }
}

/// The parameters of an exporter that has none: any key in overrides is refused by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// One way of downloading layers. Implement it to add a layer kind to offmap; see `examples/custom_exporter.rs`.
///
/// An exporter is plain async Rust and never meets an actor. It is built with what it needs beyond the context (an HTTP
/// client, a pool), and registered with `EngineBuilder::exporter`.
///
/// # Contract
/// - `supports` and `default_parameters` are pure; `describe` and `plan` only read and spend nothing on the service.
/// - Exporters are a ranked list ([`ExporterRegistry`](crate::ExporterRegistry)). A layer that `describe` calls
///   [`Capability::NotSupported`] is passed on to the next exporter that supports it; its siblings stay. An error of `describe` means that
///   the service did not answer: its layers are asked of no other exporter. Exporters that download directly
///   ([`Exporter::downloads_directly`]) are in the list of a layer as its `directDownload` says, those that draw
///   ([`Exporter::draws_tiles`]) as its `drawTiles` says.
/// - `export` writes only below [`ExportContext::work_dir`] and leaves deleting to the engine.
/// - Every planned unit is finished in the ledger ([`ExportContext::finish_unit`]) before `export` answers `Ok`, and every
///   planned layer is in the [`Artifact`]; the engine fails what is missing.
/// - Whatever is asked of a service is asked by the client that the context makes of the exporter's own ([`PlanContext::client`],
///   [`ExportContext::client`]), in `describe`, `plan`, `export` and `rollback` alike: credentials belong to the job, never to the
///   exporter.
/// - A file has its final name only when it is complete ([`offmap_disk::atomic_file`]). A unit that ends with one is finished with it and
///   not fetched again while it has its hash: [`ExportContext::download_unit`] and [`ExportContext::file_unit`] do all of it, or step by
///   step [`ExportContext::finished_file`], [`ExportContext::begin_unit`] and [`ExportContext::finish_file`].
/// - Progress never falls; the engine drops reports that do.
/// - After [`ExportContext::cancelled`] no new request is made but those that clean up; `export` returns within a second.
/// - A dropped future leaves nothing running but blocking steps that had begun. Those of [`ExportContext::blocking`] and
///   [`offmap_disk::run_blocking`] are waited for, as long as a disk may be slow, before the task's directory is removed or filled anew. A
///   task that `export` spawns is counted with its steps where it is spawned so: `tokio::spawn(Steps::here().of(work))`
///   ([`offmap_disk::Steps`]).
/// - A panic is a failure of the task's layers, never of the process.
///
/// `testing::exporter_conformance` (feature `testing`) checks an exporter against this list.
///
/// ```
/// use offmap_disk::atomic_file;
/// use std::io::Write as _;
/// use async_trait::async_trait;
/// use offmap_engine::{ExportContext, Exporter, LayerPlan, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
/// use offmap_model::{
///     Artifact, ArtifactFile, Capability, ExportTask, Failure, FailureStage, LayerArtifact, LayerContents, MapLayer, OfflineMapSource, Unit,
/// };
/// use serde::{Deserialize, Serialize};
///
/// /// Exports layers of the type `Greeting`: one file with one item each.
/// #[derive(Debug)]
/// struct Greetings;
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct GreetingParameters {
///     text: String,
/// }
///
/// #[async_trait]
/// impl Exporter for Greetings {
///     type Parameters = GreetingParameters;
///     type Service = ();
///
///     fn name(&self) -> &'static str {
///         "greetings"
///     }
///
///     fn parameters_type(&self) -> &'static str {
///         "greetingParameters"
///     }
///
///     fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
///         layer.url.clone().filter(|_| layer.layer_type.to_string() == "Greeting")
///     }
///
///     async fn describe(&self, request: &ServiceRequest, _: &PlanContext) -> Result<ServiceDescription<()>, Failure> {
///         Ok(ServiceDescription::new("Greetings", (), request.all_supported()))
///     }
///
///     fn default_parameters(
///         &self,
///         _: &ServiceRequest,
///         _: &ServiceDescription<()>,
///     ) -> Result<GreetingParameters, Failure> {
///         Ok(GreetingParameters { text: "hello".to_owned() })
///     }
///
///     async fn plan(
///         &self,
///         request: &ServiceRequest,
///         _: &ServiceDescription<()>,
///         _: &GreetingParameters,
///         _: &PlanContext,
///     ) -> Result<TaskPlan, Failure> {
///         let layer = |l: &MapLayer| LayerPlan { id: l.id.clone(), expected: Some(1), exact: true, ..LayerPlan::default() };
///         Ok(TaskPlan {
///             units: vec![Unit::new("file", "resultFile", "the greeting")],
///             layers: request.layers.iter().map(layer).collect(),
///             ..TaskPlan::default()
///         })
///     }
///
///     async fn export(
///         &self,
///         task: &ExportTask,
///         _: &(),
///         parameters: &GreetingParameters,
///         ctx: &ExportContext,
///     ) -> Result<Artifact, Failure> {
///         ctx.begin_unit("file").await?;
///         let (path, text) = (ctx.work_dir().join("greeting.txt"), parameters.text.clone());
///         let failed = |e: &_| Failure::io(FailureStage::Run, "cannot write the greeting", e);
///         let write = move || {
///             atomic_file::write(&path, failed, |file| file.write_all(text.as_bytes()).map_err(|e| failed(&e)))
///         };
///         ctx.blocking(write).await?;
///         ctx.finish_unit("file", parameters.text.len() as u64, None).await?;
///         let layer = |l: &offmap_model::TaskLayer| LayerArtifact {
///             id: l.id.clone(),
///             file: Some(0),
///             contents: LayerContents { planned: Some(1), got: 1, ..LayerContents::default() },
///             ..LayerArtifact::default()
///         };
///         let layers = task.layers.iter().map(layer).collect();
///         Ok(Artifact { files: vec![ArtifactFile::file("greeting.txt", "txt")], layers, warnings: Vec::new() })
///     }
/// }
/// ```
#[async_trait]
pub trait Exporter: Debug + Send + Sync + 'static {
    /// Its parameters; [`NoParameters`] where it has none. Use `#[serde(deny_unknown_fields)]`, so that a misspelt override is refused by
    /// name.
    type Parameters: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What it has to know of a service to plan and to export. It is kept as JSON in the plan and the ledger, and read from there again:
    /// a job that is resumed does not ask the service a second time. No secret belongs into it; those of the layers come with the
    /// request and the context. [`serde_json::Value`] where no type of its own is worth it.
    type Service: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Unique kebab-case noun.
    fn name(&self) -> &'static str;

    /// Outer key of its parameters in overrides, such as `generateGeodatabaseParameters`.
    fn parameters_type(&self) -> &'static str;

    /// Whether it downloads layers directly, piece by piece, past what their service offers for taking them offline (`exportTiles`, sync).
    /// Such an exporter is asked only where the parameter `directDownload` of the job, or of the layer in the overrides, lets it: behind all
    /// others with `whenNotExportable`, before them with `always`.
    fn downloads_directly(&self) -> bool {
        false
    }

    /// Whether it lets a service that has no tiles draw them on demand. Such an exporter is asked only where `drawTiles` of the job, or of
    /// the layer in the overrides, lets it, and behind all others.
    fn draws_tiles(&self) -> bool {
        false
    }

    /// Whether what was fetched stays of use when the data of the service change: then a job that is resumed goes on with it, though the
    /// service's edit date is another one, and the exporter tells what changed. Else its task is planned and fetched anew.
    fn outlasts_edits(&self) -> bool {
        false
    }

    /// Only for an exporter of utility networks; all others leave the default, none. A map lists its networks beside its layers
    /// (`utilityNetworks`), each is part of a service ([`ServiceRequest::networks`]), and in overrides each has an entry of its own: the
    /// network's own url (the service's with a layer id) under [`Exporter::parameters_type`]. The keys that are named here stand in that entry
    /// in place of the service's own, such as `utilityNetworkSyncMode` of the built-in geodatabases; the engine moves them from there into the
    /// parameters of the task.
    fn utility_network_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it can export layers of this kind, and then the url of the service that serves it: layers with the same url (compared
    /// without scheme and letter case; templates with `{…}` by all of their text) share one task. [`Exporter::describe`] finds out whether it may.
    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String>;

    /// Asks the service what it can do.
    ///
    /// # Errors
    /// If the service cannot be reached or answers with an error; all its layers stay behind with that failure.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure>;

    /// The parameters that follow from the caller's and what the service says.
    ///
    /// # Errors
    /// If the caller's parameters select nothing of this service.
    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure>;

    /// Checks the parameters, counts what will come and names the units of work.
    ///
    /// # Errors
    /// If the parameters cannot be used with this service, or it does not answer.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure>;

    /// Downloads the layers.
    ///
    /// # Errors
    /// If the whole task failed. A layer that failed by itself has its failure in the [`Artifact`].
    ///
    /// # Cancel safety
    /// The engine drops the future some seconds after a cancel if it has not ended by itself.
    async fn export(
        &self,
        task: &ExportTask,
        service: &Self::Service,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure>;

    /// Rolls back what a finished or broken export left on the service, such as a registered replica, because no package
    /// will be made of it. Where a task begins anew, the ledger hides units that stay. Called after [`Exporter::export`], never beside it; failures are the exporter's to log.
    async fn rollback(&self, task: &ExportTask, service: &Self::Service, ctx: &ExportContext) {
        let _ = (task, service, ctx);
    }
}
