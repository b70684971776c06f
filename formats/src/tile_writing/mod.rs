//! What all sinks of tiles share: a file that grows, the journal of what is in it, and contents that come again.
//!
//! A sink for `x.pmtiles` writes `x.pmtiles.new` and beside it `x.pmtiles.new.tiles`, the journal: one record of 32 bytes for each
//! tile. A checkpoint forces the first to the disk and then the second, which ends with a mark that says how long the first is. After
//! a kill both are cut to the last mark, and the records before it say all that the sink knew. Memory does not grow with the tiles:
//! records are on the disk, and of the contents that may come again a table of fixed size is kept.

mod append_file;
mod journal;
mod packed_tile;
mod repeats;
mod tile_bytes;
mod tile_extents;
mod tile_log;

pub(crate) use append_file::{AppendFile, cannot_write};
pub(crate) use journal::{Limit, fingerprint};
pub(crate) use packed_tile::PackedTile;
pub(crate) use tile_bytes::{GZIP, gunzipped, gzip};
pub(crate) use tile_extents::degrees;
pub(crate) use tile_log::TileLog;
