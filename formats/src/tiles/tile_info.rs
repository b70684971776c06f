//! Tiling schemes of ArcGIS services, as `tileInfo` describes them.
//!
//! Rows grow downwards and columns to the right, both from the scheme's upper-left origin. Level ids are identifiers, not zooms.
//! Source: tile reference §1.

use offmap_model::SpatialReference;
use serde::{Deserialize, Serialize};

/// One level of detail of a tiling scheme.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lod {
    /// Level id.
    #[serde(deserialize_with = "level")]
    pub level: u32,
    /// Map units per pixel.
    #[serde(deserialize_with = "resolution")]
    pub resolution: f64,
    /// Scale denominator; advisory.
    #[serde(deserialize_with = "scale")]
    pub scale: f64,
}

offmap_model::number_fields! {
    level: u32 = "level",
    resolution: f64 = "resolution",
    scale: f64 = "scale",
    rows: u32 = "rows",
    cols: u32 = "cols",
    x: f64 = "x",
    y: f64 = "y",
}

/// A point of the scheme.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// X in map units.
    #[serde(deserialize_with = "x")]
    pub x: f64,
    /// Y in map units.
    #[serde(deserialize_with = "y")]
    pub y: f64,
}

/// `tileInfo` of a tiled service.
///
/// ```
/// use offmap_formats::tiles::{TileInfo, levels_in_range};
/// use offmap_model::AreaOfInterest;
///
/// let info: TileInfo = serde_json::from_str(
///     r#"{"rows": 256, "cols": 256, "origin": {"x": -20037508.34, "y": 20037508.34}, "spatialReference": {"wkid": 102100},
///         "lods": [{"level": 0, "resolution": 156543.03, "scale": 591657527.6},
///                  {"level": 1, "resolution": 78271.52, "scale": 295828763.8}]}"#,
/// )?;
/// let levels = levels_in_range(&info.lods, 0.0, 0.0);
/// let tiles = info.count(&AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8")?, None, &levels)?;
/// assert_eq!(tiles.iter().map(|level| level.tiles).collect::<Vec<_>>(), [1, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TileInfo {
    /// Height of a tile in pixels.
    #[serde(deserialize_with = "rows")]
    pub rows: u32,
    /// Width of a tile in pixels.
    #[serde(deserialize_with = "cols")]
    pub cols: u32,
    /// Upper-left corner.
    pub origin: Origin,
    /// Spatial reference of the scheme.
    pub spatial_reference: SpatialReference,
    /// Levels, in the service's order.
    pub lods: Vec<Lod>,
    /// Tile format, such as `PNG32`, `MIXED` or `pbf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}
