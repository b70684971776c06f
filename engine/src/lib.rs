//! The words and rules of offmap: web map model, parameters, overrides, plan, ledger, exporter trait, actors, result.
//!
//! offmap takes an ArcGIS web map offline on demand. This crate knows what a job is; it knows no service, no file format and
//! no package. Exporters download layers, a packager makes the package; both are given to an [`Engine`]. Most programs take
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
//! - The destination is absent, or complete and verified: never half.
//! - One terminal message per layer, table, package and job; the job's is the last.
//! - Zero is never success: "done" means planned = got, verified.

mod actor;
mod author;
mod basemap;
mod census;
mod context;
mod data_dir;
mod data_reader;
mod disk_space;
mod earlier;
mod engine;
mod event_log;
mod export;
mod exporter;
mod handle;
mod holder;
mod job;
mod keep;
mod ledger;
mod left_job;
pub mod metrics;
mod order;
mod packager;
mod pause;
mod permits;
mod plan;
mod plan_context;
mod queue;
mod registry;
mod reopen;
mod resources;
mod service_request;
mod shown_progress;
mod status_stream;
mod store;
mod stored_jobs;
mod submit;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod ways;
mod work_dir;

pub use author::{FinishedFile, RemoteFile};
pub use context::ExportContext;
pub use engine::{
    DEFAULT_CONCURRENT_EXPORTS, DEFAULT_CONCURRENT_JOBS, DEFAULT_MAX_QUEUED_JOBS, Engine, EngineBuilder, EngineStats,
};
pub use exporter::{
    Exporter, LayerPlan, NetworkPlan, NoParameters, PlanContext, ServiceDescription, ServiceRequest, TaskPlan,
};
pub use handle::GenerateOfflineMapJob;
pub use ledger::{Ledger, TaskLedger, UnitRecord, UnitState};
pub use order::Order;
pub use packager::{
    EarlierData, EarlierFile, EarlierNetwork, EarlierPackage, LocalBasemap, PackRequest, Packager, Packed, REPLACED,
    ReadContents, ReferenceBasemap, Replacement, TaskArtifact,
};
pub use queue::{JobEvents, Retention};
pub use registry::ExporterRegistry;
pub use status_stream::StatusStream;
pub use stored_jobs::StoredJobs;
pub use submit::Job;
pub use task::OfflineMapTask;
pub use work_dir::{Leftover, WorkDir};
