//! Files of this field, readers and writers: tile grids and covers, Compact Cache packages (`.tpk`, `.tpkx`, `.vtpk`), mobile
//! geodatabases, styles of vector tiles with their glyphs and sprites, archives.
//!
//! Knows no service, no job and no network.

pub mod archive;
pub mod archive_file;
pub mod compact_cache;
pub mod containers;
pub mod foreign_sqlite;
pub mod glyphs;
pub mod package_files;
pub mod packed_entry;
pub mod packed_style;
pub mod readers;
pub mod replica_file;
pub mod style;
pub mod tile_cover;
pub mod tile_merge;
pub mod tile_package;
pub mod tiling;

pub use containers::{ContainerReader, Containers, Contents};
