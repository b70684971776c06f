//! The words and rules of offmap: web map model, parameters, overrides, plan, ledger, exporter trait, actors, result.
//!
//! offmap takes an ArcGIS web map offline on demand. This crate knows what a job is; it knows no service, no file format and
//! no package. Exporters bring layers home, a packager makes the package; both are given to an [`Engine`]. Most programs take
//! the facade crate `offmap`, which has ArcGIS exporters and the mobile map package in it.
//!
//! ```text
//! OfflineMapTask ─▶ plan ─▶ GenerateOfflineMapJob ─▶ JobSupervisor ─▶ ExporterActor × tasks ─▶ PackagerActor ─▶ package
//! ```
//!
//! # What it is not
//! - No HTTP client and no format code: see `offmap-exporters` and `offmap-packager`.
//! - No actor framework for its users: actix is a private detail, no type of it is in the public API.
//!
//! # Always true
//! - The destination is absent, or whole and verified: never half.
//! - One terminal message per layer, table, package and job; the job's is the last.
//! - Zero is never success: "done" means planned = got, proven.

mod actor;
pub mod atomic_file;
mod basemap;
mod board;
mod carried;
mod clock;
mod complete;
pub mod containers;
mod context;
mod copying;
mod counts;
mod discard;
mod disk_space;
mod earlier;
mod engine;
mod exporter;
mod group;
mod job;
mod keep;
mod ledger;
mod ledger_file;
pub mod model;
mod networks;
mod packager;
mod pause;
mod planner;
mod registry;
mod resource_folder;
mod resume;
mod room;
pub mod safe_path;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod work_dir;

pub use board::StatusStream;
pub use clock::{Clock, SystemClock, system_now_ms};
pub use containers::{ContainerReader, Containers, Contents};
pub use context::{
    ExportContext, hash_file, hash_file_until, hash_result, hash_result_until, hex, run_blocking, run_within,
};
pub use disk_space::DiskReserve;
pub use engine::{DEFAULT_CONCURRENT_EXPORTS, DEFAULT_CONCURRENT_JOBS, Engine, EngineBuilder, EngineStats};
pub use exporter::{Examination, Exporter, LayerPlan, NetworkPlan, PlanContext, ServiceRequest, TaskPlan};
pub use job::GenerateOfflineMapJob;
pub use ledger::{Ledger, TaskLedger, UnitRecord};
pub use model::area::AreaOfInterest;
pub use model::artifact::{Artifact, ArtifactFile, LayerArtifact};
pub use model::budget::{Allowance, ErrorBudget, MOST_EXAMPLES, Missing};
pub use model::capability::{Capability, CapabilityReason, LayerCapability, OfflineMapCapabilities};
pub use model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
pub use model::geometry::{Envelope, Polygon, SpatialReference};
pub use model::item::{OfflineMapItemInfo, PortalItem};
pub use model::note::{LayerNote, LayerNoteKind};
pub use model::overrides::{GenerateOfflineMapParameterOverrides, OfflineMapParametersKey};
pub use model::parameters::{
    AttachmentSyncDirection, DestinationTableRowFilter, EsriVectorTilesDownloadOption, GenerateOfflineMapParameters,
    GenerateOfflineMapUpdateMode, LayerImportance, OnlineOnlyServicesOption, ReturnLayerAttachmentOption, Thumbnail,
};
pub use model::plan::{
    ByteRange, BytesSource, CountUnit, ExportTask, OfflineMapPlan, PlannedLevel, ServiceLimit, SkippedLayer, TaskLayer,
    TaskNetwork, Unit,
};
pub use model::result::{GenerateOfflineMapResult, JobError, LayerOutcome};
pub use model::secrets::{LayerSecrets, SecretRegistry};
pub use model::service_url::{ServiceUrl, service_key};
pub use model::settings::OfflineSettings;
pub use model::source::{ExportHost, LayerItem, OfflineMapSource, ReducedFontsService};
pub use model::status::{
    ExportState, MessageSeverity, MessageSource, Progress, ProgressUnit, StatusMessage, Subject, SubjectKind,
};
pub use model::text::{Printable, printable};
pub use model::utility_network::UtilityNetwork;
pub use model::web_map::{LayerPlace, LayerType, MapLayer, WebMap};
pub use packager::{
    EarlierData, EarlierFile, EarlierNetwork, EarlierPackage, LocalBasemap, PackRequest, Packager, Packed, REPLACED,
    ReferenceBasemap, Replacement, TaskArtifact,
};
pub use registry::ExporterRegistry;
pub use safe_path::{link_or_copy, link_or_copy_until};
pub use task::OfflineMapTask;
pub use work_dir::{Leftover, WorkDir};
