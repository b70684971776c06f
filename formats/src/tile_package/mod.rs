//! Tile packages: raster tiles (`.tpkx`, and the older `.tpk`) and vector tiles (`.vtpk`). Opened, checked, counted and joined.
//!
//! Source: tile reference §12 to §15.

mod contents;
mod documents;
mod kind;
mod merge;
mod package_archive;
mod packed_entry;
mod reader;
mod style;
mod tile_check;
mod tilemap;

pub use contents::{TilePackage, open};
pub use kind::TilePackageKind;
pub use merge::merge;
pub use reader::TilePackageReader;
pub use style::missing_resources;
pub use tile_check::check_tiles;
