//! PMTiles, version 3: one file that clients read by byte ranges.
//!
//! | what | where |
//! | --- | --- |
//! | read a file | [`PmtilesReader`] |
//! | write one | [`PmtilesSink`] |
//!
//! **Grid**: the web's quadtree, rows from the top; a tile has an id, its place in the row of Hilbert curves of all zooms (§4.1).
//! **Layout** as written: header (127 bytes), root directory (within the first 16,384 bytes), tiles in the order of their ids
//! (clustered), metadata, leaf directories. The specification allows sections to be in any place (§2), and this order needs each byte
//! written once. Directories and metadata are gzip; vector tiles are gzip, images are as they are. Equal tiles are stored once, and
//! one entry names a run of ids that share their bytes. **Units**: bounds in degrees times 10^7.
//!
//! Source: PMTiles specification, version 3 (`spec/v3/spec.md` of protomaps/PMTiles); the numbers of clauses are its own.

mod directory;
mod header;
mod metadata;
mod reader;
mod sink;

pub use reader::PmtilesReader;
pub use sink::PmtilesSink;
