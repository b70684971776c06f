//! Tile packages: raster tiles (`.tpkx`, and the older `.tpk`) and vector tiles (`.vtpk`). Opened, checked, counted, joined, read
//! tile by tile and written.
//!
//! | what | where |
//! | --- | --- |
//! | count what is in a package | [`open()`], [`TilePackageReader`] |
//! | read every tile: packages, and caches that lie in a directory | [`TileCacheReader`] |
//! | write a `.tpkx` or `.vtpk` | [`TilePackageSink`] |
//! | join the packages of two sides of the dateline | [`merge`] |
//!
//! **Grid**: any tiling scheme; rows from the top, levels by their ids. **Bytes**: images as they are, vector tiles as gzip.
//!
//! Source: tile reference §12 to §15.

mod cache_files;
mod cache_info;
mod cache_reader;
mod contents;
mod documents;
mod kind;
mod merge;
mod new_documents;
mod package_archive;
mod packed_entry;
mod reader;
mod sink;
mod stored_zip;
mod style;
mod tile_blocks;
mod tile_check;
mod tilemap;

pub use cache_reader::TileCacheReader;
pub use contents::{TilePackage, open};
pub use kind::TilePackageKind;
pub use merge::merge;
pub use reader::TilePackageReader;
pub use sink::{TilePackageSink, check_tile_format};
pub use style::missing_resources;
pub use tile_check::check_tiles;
pub use tilemap::tiles as tilemap_tiles;
