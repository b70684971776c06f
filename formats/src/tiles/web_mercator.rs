//! Which levels of a tiling scheme are zooms of the web's quadtree: one square tile of the world at zoom 0, four at zoom 1.
//!
//! Judged by resolutions, not by level ids: a package may call web zoom 2 its level 0 (tile reference §1). Tiles of 512 pixels keep
//! zoom, column and row: their zoom 0 is one tile as well, at half the resolution.

use super::hilbert::{DEEPEST_ZOOM, hilbert_position};
use super::tile_info::{Lod, Origin, TileInfo};
use crate::sinks::TileId;
use offmap_model::{Failure, SpatialReference};
use std::collections::BTreeMap;

/// Half of the world's width in metres: the scheme's origin is at minus this, plus this.
pub const HALF_WORLD: f64 = 20_037_508.342_787;
/// Scale denominator of 256 pixels around the world, in Esri's older family (tile reference §1).
const SCALE_256: f64 = 591_657_527.591_555;
/// How far a level may be from a zoom, as a share of its resolution. Real services round in the eighth digit.
const RESOLUTION_TOLERANCE: f64 = 1e-6;
/// How far an origin may be from the world's corner, in metres. Real services round to hundredths.
const ORIGIN_TOLERANCE: f64 = 0.02;
/// The deepest zoom that a scheme lists at least, so that the levels of every file mean the same.
pub(crate) const LISTED_ZOOM: u8 = 23;
/// Sizes of tiles that are known on the web, in pixels.
const TILE_SIZES: [u32; 2] = [256, 512];

/// The levels of a scheme that are zooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebMercatorLevels {
    tile_size: u32,
    zooms: BTreeMap<u32, u8>,
    levels: BTreeMap<u8, u32>,
}

impl WebMercatorLevels {
    /// Of a scheme.
    ///
    /// # Errors
    /// If the scheme has another spatial reference, origin or size of tiles, with what was found and expected.
    pub fn of(info: &TileInfo) -> Result<Self, Failure> {
        let refused = |what: String| {
            let message = format!("the tiling scheme is not the web's: {what}; .tpkx keeps any scheme");
            Err(Failure::not_supported(message))
        };
        if !info.spatial_reference.is_web_mercator() {
            return refused(format!("it is in {}, expected Web Mercator", info.spatial_reference.name()));
        }
        if info.rows != info.cols || !TILE_SIZES.contains(&info.cols) {
            return refused(format!("its tiles have {} x {} pixels, expected 256 or 512 square", info.cols, info.rows));
        }
        let Origin { x, y } = info.origin;
        let is_corner = (x + HALF_WORLD).abs() <= ORIGIN_TOLERANCE && (y - HALF_WORLD).abs() <= ORIGIN_TOLERANCE;
        if !is_corner {
            return refused(format!("its origin is {x}, {y}, expected -{HALF_WORLD}, {HALF_WORLD}"));
        }
        let (mut zooms, mut levels) = (BTreeMap::new(), BTreeMap::new());
        for lod in &info.lods {
            if let Some(zoom) = zoom_of(lod, info.cols)
                && levels.insert(zoom, lod.level).is_none_or(|other| other == lod.level)
            {
                zooms.insert(lod.level, zoom);
            }
        }
        Ok(Self { tile_size: info.cols, zooms, levels })
    }

    /// The same, where every level of a range has tiles and must be a zoom.
    ///
    /// # Errors
    /// As [`WebMercatorLevels::of`]; also for a level that is none.
    pub fn of_levels(info: &TileInfo, levels: Option<(u32, u32)>) -> Result<Self, Failure> {
        let found = Self::of(info)?;
        let (first, last) = levels.unwrap_or((1, 0));
        for lod in info.lods.iter().filter(|lod| (first..=last).contains(&lod.level)) {
            found.zoom(lod.level)?;
        }
        Ok(found)
    }

    /// Height and width of a tile in pixels.
    #[must_use]
    pub fn tile_size(&self) -> u32 {
        self.tile_size
    }

    /// The zoom that a level is.
    ///
    /// # Errors
    /// If it is none.
    pub fn zoom(&self, level: u32) -> Result<u8, Failure> {
        self.zooms.get(&level).copied().ok_or_else(|| {
            Failure::not_supported(format!(
                "level {level} of the tiling scheme is no zoom of the web's; .tpkx keeps any scheme"
            ))
        })
    }

    /// Zoom, column and row of a tile, rows from the top.
    ///
    /// # Errors
    /// If its level is no zoom, or the zoom has no such tile.
    pub fn zoom_column_row(&self, place: TileId) -> Result<(u8, u32, u32), Failure> {
        let zoom = self.zoom(place.level)?;
        let within = |n: u64| u32::try_from(n).ok().filter(|n| u64::from(*n) >> zoom == 0);
        match (within(place.column), within(place.row)) {
            (Some(column), Some(row)) => Ok((zoom, column, row)),
            _ => Err(Failure::internal(format!("there is no tile {place:?} at zoom {zoom}"))),
        }
    }
}

/// The zoom that a level is, by the width of its tiles.
fn zoom_of(lod: &Lod, cols: u32) -> Option<u8> {
    let tiles = 2.0 * HALF_WORLD / (lod.resolution * f64::from(cols));
    if !tiles.is_finite() || tiles < 0.5 {
        return None;
    }
    let zoom = tiles.log2().round().clamp(0.0, 255.0) as u8;
    let is_near = (tiles / 2_f64.powi(i32::from(zoom)) - 1.0).abs() <= RESOLUTION_TOLERANCE;
    (zoom <= DEEPEST_ZOOM && is_near).then_some(zoom)
}

/// The web's own scheme with tiles of a size, from zoom 0 to `last`: level ids are zooms.
#[must_use]
pub fn web_mercator_scheme(tile_size: u32, last: u8) -> TileInfo {
    let of_world = |at_256: f64, zoom: u32| at_256 * 256.0 / f64::from(tile_size) / f64::from(zoom).exp2();
    let lod = |zoom: u32| Lod {
        level: zoom,
        resolution: of_world(2.0 * HALF_WORLD / 256.0, zoom),
        scale: of_world(SCALE_256, zoom),
    };
    TileInfo {
        rows: tile_size,
        cols: tile_size,
        origin: Origin { x: -HALF_WORLD, y: HALF_WORLD },
        spatial_reference: SpatialReference::web_mercator(),
        lods: (0..=u32::from(last)).map(lod).collect(),
        format: None,
    }
}

/// Where tiles stand in the order of readers: see [`TileReader`](crate::TileReader).
#[derive(Debug, Clone)]
pub(crate) struct TileOrder(Option<WebMercatorLevels>);

impl TileOrder {
    pub(crate) fn of(info: &TileInfo) -> Self {
        Self(WebMercatorLevels::of(info).ok())
    }

    /// Where a level comes: its zoom, or its id behind all zooms.
    pub(crate) fn rank(&self, level: u32) -> (bool, u32) {
        match self.0.as_ref().and_then(|levels| levels.zoom(level).ok()) {
            Some(zoom) => (false, u32::from(zoom)),
            None => (true, level),
        }
    }

    /// Where a place comes in its level.
    pub(crate) fn position(&self, level: u32, column: u64, row: u64) -> u64 {
        let order = match self.rank(level) {
            (false, zoom) => zoom,
            _ => 32,
        };
        let low = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        hilbert_position(order, low(column), low(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_zooms_by_their_resolution_and_not_by_their_id() {
        let mut info = web_mercator_scheme(256, 5);
        info.lods.drain(..2);
        for (level, lod) in (0..).zip(&mut info.lods) {
            lod.level = level;
            lod.resolution *= 1.0 + 2e-8;
        }
        info.origin.x = -20_037_508.34;
        let levels = WebMercatorLevels::of(&info).expect("the web's");
        assert_eq!(levels.zoom(0).expect("a zoom"), 2);
        let place = TileId { level: 1, row: 7, column: 0 };
        assert_eq!(levels.zoom_column_row(place).expect("a tile"), (3, 0, 7));
        assert!(levels.zoom_column_row(TileId { row: 8, ..place }).is_err());
        assert_eq!(WebMercatorLevels::of(&web_mercator_scheme(512, 3)).expect("the web's").zoom(0).expect("a zoom"), 0);
    }

    #[test]
    fn another_scheme_is_refused_with_what_is_expected() {
        let good = web_mercator_scheme(256, 3);
        let refused = |info: &TileInfo| WebMercatorLevels::of_levels(info, Some((0, 3))).expect_err("refused").message;
        let other = TileInfo { spatial_reference: SpatialReference::from_wkid(25832), ..good.clone() };
        assert!(refused(&other).contains("expected Web Mercator"));
        let other = TileInfo { origin: Origin { x: 0.0, y: HALF_WORLD }, ..good.clone() };
        assert!(refused(&other).contains("its origin is 0"));
        assert!(refused(&TileInfo { rows: 128, ..good.clone() }).contains("256 x 128 pixels"));
        let mut odd = good;
        odd.lods[2].resolution *= 1.5;
        assert!(refused(&odd).contains("level 2"));
        assert!(WebMercatorLevels::of_levels(&odd, Some((0, 1))).is_ok(), "no tiles are on the odd level");
    }
}
