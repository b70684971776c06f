//! Grids of tiles: the tiling scheme of a service, its levels in a range of scales, its tiles in an area. Pure.

mod cover;
mod grid;
mod hilbert;
mod levels;
mod tile_info;
mod tile_rows;
mod web_mercator;

pub use hilbert::{DEEPEST_ZOOM, hilbert_place, hilbert_position, tile_id, tile_of_id};
pub use levels::{cut_to_layers, levels_in_range, levels_text};
pub use tile_info::{Lod, Origin, TileInfo};
pub use tile_rows::TileRows;
pub use web_mercator::{HALF_WORLD, WebMercatorLevels, web_mercator_scheme};
pub(crate) use web_mercator::{LISTED_ZOOM, TileOrder};
