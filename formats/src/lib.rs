//! Files of this field, readers and writers: tile grids and covers, Compact Cache packages (`.tpk`, `.tpkx`, `.vtpk`), mobile
//! geodatabases, styles of vector tiles with their glyphs and sprites, archives.
//!
//! Knows no service, no job and no network.

pub mod archive;
pub mod compact_cache;
pub mod containers;
pub mod geodatabase;
pub mod glyphs;
mod little_endian;
pub mod package_files;
pub mod readers;
pub mod sinks;
pub mod style;
pub mod tile_package;
pub mod tiles;

pub use containers::{ContainerReader, Containers, Contents};
pub use sinks::{TileId, TileSink};
