//! Tiling schemes of the Web Mercator quadtree.
//!
//! Written after the tile reference §2.

use offmap_model::geometry::WEB_MERCATOR_HALF;
use offmap_model::{Envelope, SpatialReference};
use serde_json::{Value, json};

/// A tiling scheme of the Web Mercator quadtree.
#[derive(Debug, Clone)]
pub(crate) struct TileScheme {
    /// Name of the service.
    pub(crate) title: &'static str,
    /// Whether every tile of the world exists and names its level, row and column.
    pub(crate) labelled: bool,
    pub(crate) pixels: u32,
    scale0: f64,
    pub(crate) levels: u32,
    /// Deepest level that has tiles; fewer than the scheme lists, as in real services.
    pub(crate) max_lod: u32,
    pub(crate) max_export: u64,
    format: &'static str,
}

/// The raster map.
pub(crate) const RASTER: TileScheme = TileScheme {
    title: "World",
    labelled: false,
    pixels: 256,
    scale0: 591_657_527.591_555,
    levels: 19,
    max_lod: 9,
    max_export: 100_000,
    format: "PNG32",
};
/// The vector tiles.
pub(crate) const VECTOR: TileScheme = TileScheme {
    title: "Streets",
    labelled: false,
    pixels: 512,
    scale0: 295_828_763.795_777_5,
    levels: 17,
    max_lod: 8,
    max_export: 10_000,
    format: "pbf",
};
/// A raster map of every level to 19, anywhere.
pub(crate) const DETAIL: TileScheme = TileScheme { title: "Detail", labelled: true, levels: 20, max_lod: 19, ..RASTER };
/// Vector tiles of every level to 19, anywhere.
pub(crate) const DETAIL_VECTOR: TileScheme =
    TileScheme { title: "DetailStreets", labelled: true, levels: 20, max_lod: 19, ..VECTOR };

impl TileScheme {
    pub(crate) fn tile_info(&self) -> Value {
        let lod = |level: u32| {
            let part = f64::from(level).exp2();
            json!({"level": level, "resolution": 2.0 * WEB_MERCATOR_HALF / f64::from(self.pixels) / part, "scale": self.scale0 / part})
        };
        json!({"rows": self.pixels, "cols": self.pixels, "dpi": 96, "format": self.format, "compressionQuality": 0,
            "origin": {"x": -WEB_MERCATOR_HALF, "y": WEB_MERCATOR_HALF}, "spatialReference": SpatialReference::web_mercator(),
            "lods": (0..self.levels).map(lod).collect::<Vec<_>>()})
    }
}

/// Width of a tile in metres.
pub(crate) fn tile_width(level: u32) -> f64 {
    2.0 * WEB_MERCATOR_HALF / f64::from(level).exp2()
}

/// Extent of a tile of the Web Mercator quadtree.
pub(crate) fn tile_extent(level: u32, row: u64, column: u64) -> Envelope {
    let width = tile_width(level);
    let (xmin, ymax) = (-WEB_MERCATOR_HALF + column as f64 * width, WEB_MERCATOR_HALF - row as f64 * width);
    Envelope { xmin, ymin: ymax - width, xmax: xmin + width, ymax, spatial_reference: None }
}
