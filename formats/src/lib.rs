//! Files of this field, readers and writers.
//!
//! | format | where |
//! | --- | --- |
//! | tiling schemes, levels, tiles of an area | [`tiles`] |
//! | tile packages (`.tpk`, `.tpkx`, `.vtpk`): open, check, join | [`tile_package`] |
//! | bundles of the Compact Cache, versions 1 and 2 | [`compact_cache`] |
//! | mobile geodatabases: checked, their features read, and written | [`geodatabase`] |
//! | GeoPackage 1.4: features written and read | [`geopackage`] |
//! | GeoJSON text sequences written | [`geojson_seq`] |
//! | GeoParquet 1.1 written (feature `geoparquet`) | `geoparquet` |
//! | features and shapes, whatever format they lie in | [`features`], [`geometry`] |
//! | MBTiles 1.3 and PMTiles v3 | [`mbtiles`], [`pmtiles`] |
//! | tiles copied from one file into another | [`convert`] |
//! | styles of vector tiles, with their fonts and sprites | [`style`], [`glyphs`] |
//! | zip archives: checked, written, audited | [`archive`] |
//! | the files of a package, directory or archive | [`package_files`] |
//!
//! Three traits stand between formats and those who use them: a [`ContainerReader`] says what is in a file, a [`TileReader`] gives its
//! tiles one after the other, a [`TileSink`] takes tiles into one. A reader for a format of your own is registered beside those of
//! [`readers::containers`].
//!
//! | tiles | read | write | grid | rows from | vector tiles |
//! | --- | --- | --- | --- | --- | --- |
//! | `.tpkx` (Compact Cache V2, stored zip) | yes | yes | any | the top | no |
//! | `.vtpk` (the same, with tilemap, style, sprites, fonts) | yes | yes | any | the top | gzip |
//! | `.tpk` (Compact Cache V1, also deflated), caches in a directory | yes | no | any | the top | no |
//! | `.mbtiles` 1.3 (one table, or places and contents) | yes | yes | Web Mercator | the bottom | gzip |
//! | `.pmtiles` v3 (clustered, runs, leaf directories) | yes | yes | Web Mercator | the top | gzip |
//!
//! Here rows are counted from the top in every format. All tiles are read in one order, and written in it: level by level, along the
//! Hilbert curve. Memory is flat: places wait in files, of contents that may come again 262,144 are known.
//!
//! What it is not: it knows no service, no job and no network. Files of others are hostile until they are read: sizes, names and
//! counts are checked before memory or time is spent on them.

pub mod archive;
pub mod compact_cache;
pub mod containers;
pub mod convert;
mod feature_writing;
pub mod features;
mod foreign_sqlite;
pub mod geodatabase;
pub mod geojson_seq;
pub mod geometry;
pub mod geopackage;
#[cfg(feature = "geoparquet")]
pub mod geoparquet;
pub mod glyphs;
mod little_endian;
pub mod mbtiles;
pub mod open_containers;
pub mod package_files;
pub mod pmtiles;
mod protobuf;
pub mod readers;
pub mod sinks;
#[cfg(test)]
mod slow_destination_tests;
pub mod style;
pub mod tile_package;
pub mod tile_reader;
pub mod tile_set;
mod tile_writing;
pub mod tiles;
mod vector_layers;

pub use containers::{ContainerReader, Containers, Contents};
pub use sinks::{Finished, Resumed, TileId, TileSink};
pub use tile_reader::{TileReader, TileVisitor};
pub use tile_set::{TileCompression, TileFormat, TileSetInfo};
