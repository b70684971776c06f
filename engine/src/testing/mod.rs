//! For tests of exporters and of services that embed offmap: a scripted exporter, a plain packager, a virtual clock and the
//! exporter conformance suite with its fault matrix (feature `testing`).
//!
//! An exporter of files from a web server is checked with [`FaultyFile`], which is that server; `examples/custom_exporter.rs` does it.

mod clock;
mod conformance;
pub mod fault_names;
mod fault_rows;
mod faults;
mod faulty_file;
mod file_server;
mod plain_packager;
mod scripted;

pub use clock::VirtualClock;
pub use conformance::exporter_conformance;
pub use fault_rows::{fault_rows, without_credentials};
pub use faults::{FaultAction, FaultEnds, FaultMatrix, FaultReport, FaultRow, FaultStep, FaultyService, JobFault, StepKind};
pub use faulty_file::FaultyFile;
pub use plain_packager::PlainPackager;
pub use scripted::{Act, Script, ScriptedExporter, ScriptedParameters, scripted_map, scripted_map_of};
