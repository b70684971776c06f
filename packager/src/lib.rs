//! The mobile map package: write, open, verify, zip.
//!
//! [`MobileMapPackager`] makes an unpacked package out of what exporters brought home; [`write_mmpk`] zips it;
//! [`MobileMapPackage`] opens packages of any writer; [`verify`] proves one, [`verify_deep`] down to every row and tile.
//!
//! ```text
//! package.info            item and list of maps
//! p13/mobile_map.mmap     the map: web map JSON, a `path` at every layer that came home
//! p13/<guid>.geodatabase  data files, named by fresh GUIDs
//! esriinfo/               item documents for portals
//! offmap/job.json         the job without credentials, to complete the package later
//! offmap/manifest.json    every file with its SHA-256, every layer planned against got
//! ```

mod archive;
mod basemap;
mod deep;
mod earlier;
mod item_xml;
pub mod manifest;
mod mobile_map_package;
mod offline_map;
mod verify;
mod write;

pub use archive::{write_mmpk, write_mmpk_until};
pub use deep::{verify_deep, verify_deep_until};
pub use mobile_map_package::{LayerFile, MobileMapPackage, OfflineLayer, OfflineMap};
pub use verify::{Problem, Verification, verify, verify_until};
pub use write::MobileMapPackager;
