//! PMTiles, version 3: one file that clients read by byte ranges.
//!
//! | what | where |
//! | --- | --- |
//! | read a file, or an archive whose bytes are elsewhere | [`PmtilesReader`], [`ByteSource`] |
//! | find where tiles are without reading them | [`PmtilesReader::walk_directories`], [`TileIds`] |
//! | write one | [`PmtilesSink`] |
//!
//! **Grid**: the web's quadtree, rows from the top; a tile has an id, its place in the row of Hilbert curves of all zooms (§4.1).
//! **Layout** as written: header (127 bytes), root directory (within the first 16,384 bytes), tiles in the order of their ids
//! (clustered), metadata, leaf directories. The specification allows sections to be in any place (§2), and this order needs each byte
//! written once. Directories and metadata are gzip; vector tiles are gzip, images are as they are. Equal tiles are stored once, and
//! one entry names a run of ids that share their bytes. **Units**: bounds in degrees times 10^7.
//!
//! Source: PMTiles specification, version 3 (`spec/v3/spec.md` of protomaps/PMTiles); the numbers of clauses are its own.

mod archive;
mod byte_source;
mod directory;
mod header;
mod metadata;
mod reader;
mod sink;
mod tile_ids;

pub use archive::TileRun;
pub use byte_source::ByteSource;
pub use reader::{DirectoryVisitor, PmtilesReader};
pub use sink::PmtilesSink;
pub use tile_ids::TileIds;
