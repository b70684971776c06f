//! offmap takes an ArcGIS web map offline on demand: one map and one area in, a verified mobile map package out.
//!
//! This crate puts the parts together: the engine ([`offmap_engine`], re-exported here), the ArcGIS exporters
//! ([`exporters`]) and the mobile map package ([`packager`]).
//!
//! ```no_run
//! use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
//! use offmap::{AreaOfInterest, GenerateOfflineMapParameterOverrides, OfflineMapTask};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
//!     let engine = offmap::with_defaults(&client)?.start()?;
//!     let source = offmap::arcgis::portal::read_item(&client, "https://www.arcgis.com", "<item id>").await?;
//!     let task = OfflineMapTask::new(&engine, source);
//!     let parameters = task.default_parameters(AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8")?)?;
//!     let job = task.generate_offline_map(parameters, GenerateOfflineMapParameterOverrides::default(), "alps");
//!     let result = job.start().result().await?;
//!     for missing in result.layer_errors().chain(result.table_errors()) {
//!         println!("{} is missing", missing.title);
//!     }
//!     engine.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! # Which job, when
//!
//! There are two ways to run a job; one engine does both.
//!
//! - [`OfflineMapTask::generate_offline_map`] makes a [`GenerateOfflineMapJob`], as in the SDK: for a program that takes a map, shows how far it
//!   is, and ends. The job lives in this process; what it kept beside the destination another process resumes.
//! - [`Engine::submit`] takes an [`Order`] and answers a [`Job`]: for a service with a queue. With [`EngineBuilder::data_dir`] jobs survive the
//!   end of the process, and are found again by their ids. [`OfflineMapTask::default_parameters`] and [`OfflineMapTask::order`] lead there.
//!
//! | | [`GenerateOfflineMapJob`] | [`Job`] |
//! | --- | --- | --- |
//! | begins | when [`start`](GenerateOfflineMapJob::start) is called and the engine has room | by itself, when it is its turn |
//! | signs in by | the client's credentials, or [`OfflineMapTask::with_session`] | the engine's [`CredentialProvider`], else the client's |
//! | messages | [`status`](GenerateOfflineMapJob::status): from the start, as long as the process lives | [`events`](Job::events): after a number, also after a restart |
//! | its state | the last message | [`snapshot`](Job::snapshot), [`Engine::jobs`] |
//! | the end | [`result`](GenerateOfflineMapJob::result) | [`result`](Job::result), over retries and restarts |
//! | stand still | [`pause`](GenerateOfflineMapJob::pause), a request | [`pause`](Job::pause), answers when it is said; makes room for another job |
//! | go on | [`start`](GenerateOfflineMapJob::start) again | [`resume`](Job::resume) |
//! | end, nothing stays | [`cancel`](GenerateOfflineMapJob::cancel), a request: the end comes through `result` | [`cancel`](Job::cancel)`().await` answers when it has ended |
//! | end, the work stays | [`cancel_and_keep`](GenerateOfflineMapJob::cancel_and_keep), a request | [`suspend`](Job::suspend)`().await` answers when it has stopped |
//! | go on with kept work | [`GenerateOfflineMapJob::resume`], a new handle that is started | [`resume`](Job::resume) of a suspended job, [`retry`](Job::retry) of one that failed |
//! | remove kept work | [`discard`](GenerateOfflineMapJob::discard) | [`discard`](Job::discard) |
//! | how long it may take | [`limit_time`](GenerateOfflineMapJob::limit_time): pauses and the wait for a turn are counted | [`Order::time_limit`]: running time of all tries, waits are not counted |
//! | tries | one | [`Order::retry`] |

mod deep;
pub mod metrics;

pub use deep::{verify_deep, verify_deep_until};
pub use offmap_arcgis as arcgis;
pub use offmap_arcgis::{ArcGisClient, ClientOptions, CredentialProvider, Credentials, Session, run_within};
pub use offmap_disk::{
    DiskReserve, Steps, hash_file, hash_file_until, hash_result, hash_result_until, hex, link_or_copy, link_or_copy_until,
    run_blocking,
};
pub use offmap_engine::*;
pub use offmap_exporters as exporters;
pub use offmap_formats as formats;
pub use offmap_formats::{ContainerReader, Containers, Contents, TileId, TileSink};
pub use offmap_model as model;
pub use offmap_model::{
    Allowance, AreaOfInterest, Artifact, ArtifactFile, AttachmentSyncDirection, ByteRange, BytesSource, Capability,
    CapabilityReason, Clock, CountUnit, DestinationTableRowFilter, DirectDownload, DirectDownloadHosts, Envelope,
    ErrorBudget, EsriVectorTilesDownloadOption, ExportHost, ExportState, ExportTask, Failure, FailureKind, FailureOwner,
    FailureStage, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, GenerateOfflineMapResult,
    GenerateOfflineMapUpdateMode, JobError, JobFilter, JobPage, JobSnapshot, JobState, JobVerb, LayerArtifact,
    LayerCapability, LayerContents, LayerImportance, LayerItem, LayerNote, LayerNoteKind, LayerOutcome, LayerPlace,
    LayerSecrets, LayerSnapshot, LayerType, MOST_EXAMPLES, MapLayer, MessageSeverity, MessageSource, Missing,
    OfflineMapCapabilities, OfflineMapItemInfo, OfflineMapParametersKey, OfflineMapPlan, OfflineMapSource, OfflineSettings,
    OnlineOnlyServicesOption, PlannedLevel, Polygon, PortalItem, Printable, Progress, ProgressUnit, ReducedFontsService,
    RetryPolicy, ReturnLayerAttachmentOption, SecretRegistry, ServiceLimit, ServiceUrl, SkippedLayer, SpatialReference,
    StatusMessage, Subject, SubjectKind, SystemClock, TaskControl, TaskLayer, TaskNetwork, Thumbnail, Unit, UtilityNetwork,
    VerbEffect, WaitReason, WebMap, printable, service_key, system_now_ms,
};
pub use offmap_packager as packager;

use offmap_packager::MobileMapPackager;

/// Begins an engine with all built-in exporters, that packs mobile map packages. Add your own exporters to it.
///
/// ```
/// use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// let engine = offmap::with_defaults(&client)?.start()?;
/// engine.shutdown().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// If an exporter cannot be registered.
pub fn with_defaults(client: &ArcGisClient) -> Result<EngineBuilder, Failure> {
    offmap_exporters::register(Engine::builder(MobileMapPackager), client)
}

/// All that the author of an exporter, or of a reader for its format, imports of offmap: the contract and its contexts, the client and its
/// requests, the words of plans and artifacts, sinks and readers of formats, and `async_trait`. `use offmap::exporter::*;` Beside it an
/// exporter with parameters of its own needs `serde`; what it is tested with is in `offmap::testing`.
///
/// ```
/// use offmap::exporter::*;
///
/// /// How many trees the area has.
/// async fn count(request: &ServiceRequest, client: &ArcGisClient, ctx: &PlanContext) -> Result<u64, Failure> {
///     let query = FeatureQuery::new(&request.service_url)?.within(&request.parameters.area_of_interest);
///     ctx.client(client).count_features(&query.with_secrets(&request.secrets())).await
/// }
/// ```
pub mod exporter {
    pub use async_trait::async_trait;
    pub use offmap_arcgis::{AnswerKind, ArcGisClient, Download, Downloaded, FeaturePages, FeatureQuery, ServiceCall};
    pub use offmap_disk::atomic_file;
    pub use offmap_engine::{
        ExportContext, Exporter, FinishedFile, LayerPlan, NetworkPlan, NoParameters, PlanContext, RemoteFile,
        ServiceDescription, ServiceRequest, TaskPlan, UnitRecord, UnitState,
    };
    pub use offmap_formats::containers::{Counted, Damages, Reading, ResourceFiles, Resources, RowCounts};
    pub use offmap_formats::tiles::{Lod, TileInfo, TileRows};
    pub use offmap_formats::{ContainerReader, Containers, Contents, TileId, TileSink, compact_cache, tile_package};
    pub use offmap_model::{
        AreaOfInterest, Artifact, ArtifactFile, ByteRange, BytesSource, Capability, CapabilityReason, Clock, CountUnit,
        EditTokens, Envelope, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapParameters,
        LayerArtifact, LayerContents, LayerNote, LayerNoteKind, LayerSecrets, LayerType, MapLayer, Missing,
        OfflineMapSource, PlannedLevel, Progress, SecretRegistry, ServiceLimit, SpatialReference, TaskLayer, Unit,
    };
    pub use tokio_util::sync::CancellationToken;
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
