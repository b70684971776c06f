//! Files of this field, readers and writers.
//!
//! | format | where |
//! | --- | --- |
//! | tiling schemes, levels, tiles of an area | [`tiles`] |
//! | tile packages (`.tpk`, `.tpkx`, `.vtpk`): open, check, join | [`tile_package`] |
//! | bundles of the Compact Cache, versions 1 and 2 | [`compact_cache`] |
//! | mobile geodatabases: checked, and their features read | [`geodatabase`] |
//! | GeoPackage 1.4: features written and read | [`geopackage`] |
//! | GeoJSON text sequences written | [`geojson_seq`] |
//! | features and shapes, whatever format they lie in | [`features`], [`geometry`] |
//! | styles of vector tiles, with their fonts and sprites | [`style`], [`glyphs`] |
//! | zip archives: checked, written, audited | [`archive`] |
//! | the files of a package, directory or archive | [`package_files`] |
//!
//! Two traits stand between formats and those who use them: a [`ContainerReader`] says what is in a file, a [`TileSink`] takes tiles
//! into one. A reader for a format of your own is registered beside those of [`readers::containers`].
//!
//! What it is not: it knows no service, no job and no network. Files of others are hostile until they are read: sizes, names and
//! counts are checked before memory or time is spent on them.

pub mod archive;
pub mod compact_cache;
pub mod containers;
pub mod features;
pub mod geodatabase;
pub mod geojson_seq;
pub mod geometry;
pub mod geopackage;
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
