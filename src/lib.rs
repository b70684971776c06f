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

mod deep;
pub mod metrics;

pub use deep::{verify_deep, verify_deep_until};
pub use offmap_arcgis as arcgis;
pub use offmap_arcgis::run_within;
pub use offmap_disk::{
    DiskReserve, hash_file, hash_file_until, hash_result, hash_result_until, hex, link_or_copy, link_or_copy_until,
    run_blocking,
};
pub use offmap_engine::*;
pub use offmap_exporters as exporters;
pub use offmap_formats as formats;
pub use offmap_formats::{ContainerReader, Containers, Contents, TileId, TileSink};
pub use offmap_model as model;
pub use offmap_model::{
    Allowance, AreaOfInterest, Artifact, ArtifactFile, AttachmentSyncDirection, ByteRange, BytesSource, Capability,
    CapabilityReason, Clock, CountUnit, DestinationTableRowFilter, Envelope, ErrorBudget, EsriVectorTilesDownloadOption,
    ExportHost, ExportState, ExportTask, Failure, FailureKind, FailureOwner, FailureStage,
    GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, GenerateOfflineMapResult,
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

use offmap_arcgis::ArcGisClient;
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

/// All that the author of an exporter imports: the contract and its contexts, the client and its requests, the words of plans and
/// artifacts, sinks and readers of formats. `use offmap::exporter::*;`
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
    pub use offmap_arcgis::{AnswerKind, ArcGisClient, Download, Downloaded, FeaturePages, FeatureQuery, ServiceCall};
    pub use offmap_disk::atomic_file;
    pub use offmap_engine::{
        ExportContext, Exporter, FinishedFile, LayerPlan, NetworkPlan, NoParameters, PlanContext, RemoteFile,
        ServiceDescription, ServiceRequest, TaskPlan, UnitRecord, UnitState,
    };
    pub use offmap_formats::tiles::{Lod, TileInfo, TileRows};
    pub use offmap_formats::{ContainerReader, Containers, Contents, TileId, TileSink, compact_cache, tile_package};
    pub use offmap_model::{
        AreaOfInterest, Artifact, ArtifactFile, ByteRange, BytesSource, Capability, CapabilityReason, CountUnit, Envelope,
        ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact, LayerContents, LayerSecrets, LayerType,
        MapLayer, Missing, OfflineMapSource, PlannedLevel, Progress, ServiceLimit, SpatialReference, TaskLayer, Unit,
    };
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
