//! Grids of tiles: the tiling scheme of a service, its levels in a range of scales, its tiles in an area. Pure.

mod cover;
mod grid;
mod levels;
mod tile_info;
mod tile_rows;

pub use levels::{cut_to_layers, levels_in_range, levels_text};
pub use tile_info::{Lod, Origin, TileInfo};
pub use tile_rows::TileRows;
