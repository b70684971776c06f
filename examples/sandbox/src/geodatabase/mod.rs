//! Writes replicas: mobile geodatabases as ArcGIS servers make them, as far as the mobile map package reference B describes them.
//!
//! Not written: the two virtual tables whose modules only Esri's extension has, and the triggers that call its functions.

mod attachments;
mod blob;
mod column;
mod contents;
mod records;
mod registry;
mod table;
mod write;

pub(crate) use contents::{ReplicaInfo, ReplicaLayer};
pub(crate) use write::write;
