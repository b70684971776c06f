//! MBTiles 1.3: tiles in a SQLite file.
//!
//! | what | where |
//! | --- | --- |
//! | read a file | [`MbtilesReader`] |
//! | write one | [`MbtilesSink`] |
//!
//! **Grid**: Web Mercator; `tile_row` counts from the bottom (TMS), so that row 0 of this crate is `2^zoom - 1` there. **Tables**:
//! `metadata(name, value)`, and `tiles(zoom_level, tile_column, tile_row, tile_data)` as a table, or as a view over one of places and
//! one of contents, in which equal tiles are stored once. Both are read; the latter is written, as `map` and `images`. **Units**:
//! `bounds` and `center` in degrees, west, south, east, north. Vector tiles are gzip.
//!
//! Views of others are never run: which tables lie under `tiles` is known by their names and columns.
//!
//! Source: mapbox/mbtiles-spec, 1.3.

mod layout;
mod metadata;
mod reader;
mod sink;
mod sorted_keys;

pub use reader::MbtilesReader;
pub use sink::MbtilesSink;
