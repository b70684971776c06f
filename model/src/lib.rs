//! The words and pure rules of offmap: the web map, areas and their projection, parameters, overrides, plan, status, failure, and how
//! JSON of other programs is read within limits.
//!
//! | to know | start at |
//! | --- | --- |
//! | what is taken offline | [`WebMap`], [`OfflineMapSource`], [`PortalItem`] |
//! | where, and in which spatial reference | [`AreaOfInterest`], [`SpatialReference`], [`Envelope`] |
//! | what the caller wants | [`GenerateOfflineMapParameters`], [`GenerateOfflineMapParameterOverrides`] |
//! | what will be done, before anything is spent | [`OfflineMapPlan`], [`ExportTask`], [`LayerCapability`] |
//! | how it is going and how it ended | [`StatusMessage`], [`GenerateOfflineMapResult`], [`Failure`] |
//! | JSON of others | [`json`], [`number`] |
//!
//! What it is not: it opens no file, asks no service and starts no thread. What waits asks a [`Clock`]; what works for a task asks its
//! [`TaskControl`], which the engine implements. So everything here can be tested without a disk and without a network, and a
//! program that only wants to read a map or print a plan needs nothing else.
//!
//! Names, defaults and JSON keys are those of the ArcGIS Maps SDK where it has them.

pub mod area;
pub mod artifact;
pub mod budget;
pub mod capability;
pub mod clock;
pub mod direct_hosts;
pub mod edit_tokens;
pub mod failure;
pub mod geometry;
pub mod item;
pub mod job_state;
pub mod json;
pub mod layer_contents;
mod layer_kinds;
pub mod layer_secrets;
pub mod note;
pub mod number;
pub mod overrides;
pub mod parameters;
mod parameters_json;
pub mod parameters_key;
pub mod plan;
pub mod projection;
pub mod result;
mod secret_search;
pub mod secrets;
pub mod service_url;
pub mod settings;
pub mod source;
pub mod status;
pub mod task_control;
pub mod text;
pub mod thumbnail;
pub mod unsupported;
pub mod utility_network;
pub mod web_map;
mod well_known_text;

pub use area::AreaOfInterest;
pub use artifact::{Artifact, ArtifactFile, LayerArtifact};
pub use budget::{Allowance, ErrorBudget, MOST_EXAMPLES, Missing};
pub use capability::{Capability, CapabilityReason, LayerCapability, OfflineMapCapabilities};
pub use clock::{Clock, SystemClock, system_now_ms};
pub use direct_hosts::DirectDownloadHosts;
pub use edit_tokens::EditTokens;
pub use failure::{Failure, FailureKind, FailureOwner, FailureStage};
pub use geometry::{Envelope, Polygon, SpatialReference};
pub use item::{OfflineMapItemInfo, PortalItem};
pub use job_state::{
    JobFilter, JobPage, JobSnapshot, JobState, JobVerb, LayerSnapshot, RetryPolicy, VerbEffect, WaitReason,
};
pub use layer_contents::LayerContents;
pub use layer_secrets::LayerSecrets;
pub use note::{LayerNote, LayerNoteKind};
pub use overrides::GenerateOfflineMapParameterOverrides;
pub use parameters::{
    AttachmentSyncDirection, DestinationTableRowFilter, DirectDownload, EsriVectorTilesDownloadOption,
    GenerateOfflineMapParameters, GenerateOfflineMapUpdateMode, LayerImportance, OnlineOnlyServicesOption,
    ReturnLayerAttachmentOption,
};
pub use parameters_key::OfflineMapParametersKey;
pub use plan::{
    ByteRange, BytesSource, CountUnit, ExportTask, OfflineMapPlan, PlannedLevel, ServiceLimit, SkippedLayer, TaskLayer,
    TaskNetwork, Unit,
};
pub use result::{GenerateOfflineMapResult, JobError, LayerOutcome};
pub use secrets::SecretRegistry;
pub use service_url::{ServiceUrl, service_key};
pub use settings::OfflineSettings;
pub use source::{ExportHost, LayerItem, OfflineMapSource, ReducedFontsService};
pub use status::{ExportState, MessageSeverity, MessageSource, Progress, ProgressUnit, StatusMessage, Subject, SubjectKind};
pub use task_control::TaskControl;
pub use text::{Printable, printable};
pub use thumbnail::Thumbnail;
pub use utility_network::UtilityNetwork;
pub use web_map::{
    LayerPlace, LayerType, MapLayer, WebMap, has_sub_domain, sub_domains, url_without_secrets, with_sub_domain,
};
