//! The mobile map package: write, open, verify, zip.
//!
//! [`MobileMapPackager`] makes an unpacked package of what the exporters downloaded; [`write_mmpk`] zips it. [`MobileMapPackage`] opens
//! packages of any writer. [`verify`] checks one by its manifest, [`verify_deep`] down to every row and tile.
//!
//! ```text
//! package.info            item and list of maps
//! p13/mobile_map.mmap     the map: web map JSON, a `path` at every layer that has its data in the package
//! p13/<guid>.geodatabase  data files, named by fresh GUIDs
//! esriinfo/               item documents for portals
//! offmap/job.json         the job without credentials, to complete the package later
//! offmap/manifest.json    every file with its SHA-256, every layer planned against got
//! ```
//!
//! This crate knows no service and no format of data: it is given files, and the readers of their formats.
//!
//! Source: `mobile-map-package` reference A.

mod archive;
mod basemap;
mod deep;
mod destination;
mod documents;
mod earlier;
mod item_documents;
mod item_xml;
mod job_manifest;
mod layout;
pub mod manifest;
mod map_document;
mod mobile_map_package;
mod mobile_map_packager;
mod offline_map;
mod pack;
mod stage;
mod verification;
mod verify;

pub use archive::{check_overwritten_mmpk, overwrite_mmpk_until, write_mmpk, write_mmpk_until};
pub use deep::{verify_deep, verify_deep_until};
pub use mobile_map_package::MobileMapPackage;
pub use mobile_map_packager::MobileMapPackager;
pub use offline_map::{LayerFile, OfflineLayer, OfflineMap};
pub use verification::{Problem, Verification};
pub use verify::{verify, verify_until};
