//! The tiled services: a raster map and vector tiles, their descriptions, and the packages that they export.

mod bundle;
mod cut;
mod description;
mod glyphs;
pub(crate) mod raster_tile;
mod scheme;
mod style;
mod tilemap;
mod tpkx;
pub(crate) mod vector_tile;
mod vtpk;

pub(crate) use cut::{Cut, cut_of};
pub(crate) use description::{raster_layer, raster_root, vector_root};
pub(crate) use glyphs::glyphs;
pub(crate) use scheme::{DETAIL, DETAIL_VECTOR, RASTER, TileScheme, VECTOR};
pub(crate) use style::{sprite_index, style};
pub(crate) use tilemap::{tilemap, tilemap_block};
pub(crate) use tpkx::write_tpkx;
pub(crate) use vtpk::write_vtpk;
