//! For tests of exporters and of services that embed offmap: a scripted exporter, a plain packager, a virtual clock and the
//! exporter conformance suite with its fault matrix (feature `testing`).

mod clock;
mod conformance;
mod fault_rows;
mod faults;
mod plain_packager;
mod scripted;

pub use clock::VirtualClock;
pub use conformance::exporter_conformance;
pub use fault_rows::fault_rows;
pub use faults::{FaultAction, FaultEnds, FaultMatrix, FaultReport, FaultRow, FaultStep, FaultyService, JobFault, StepKind};
pub use plain_packager::PlainPackager;
pub use scripted::{Act, Script, ScriptedExporter, ScriptedParameters, scripted_map, scripted_map_of};
