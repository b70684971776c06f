//! Grid arithmetic of ArcGIS tiling schemes: levels of a range of scales, tiles of an area. Pure.
//!
//! Rows grow downwards and columns to the right, both from the scheme's upper-left origin. Level ids are identifiers, not zooms.
//! Source: tile reference §1, §9, §10.

use crate::tile_cover::TileRows;
use offmap_model::{AreaOfInterest, Envelope, Failure, PlannedLevel, SpatialReference};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Two scale families (39.37 inches per metre, 0.0254 m per inch) differ by 2e-6; compare with this relative tolerance.
const SCALE_TOLERANCE: f64 = 1e-5;

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
    /// Reference of the scheme.
    pub spatial_reference: SpatialReference,
    /// Levels, in the service's order.
    pub lods: Vec<Lod>,
    /// Tile format, such as `PNG32`, `MIXED` or `pbf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Levels of a range of scales: the finest level at or above `min_scale` to the coarsest level at or below `max_scale`; zero
/// means no limit. Levels are taken from coarse to fine.
#[must_use]
pub fn levels_in_range(lods: &[Lod], min_scale: f64, max_scale: f64) -> Vec<Lod> {
    let mut lods = lods.to_vec();
    lods.sort_by(|a, b| b.scale.total_cmp(&a.scale));
    let first = if min_scale > 0.0 {
        lods.iter().rposition(|l| l.scale >= min_scale * (1.0 - SCALE_TOLERANCE)).unwrap_or(0)
    } else {
        0
    };
    let last = if max_scale > 0.0 {
        lods.iter().position(|l| l.scale <= max_scale * (1.0 + SCALE_TOLERANCE)).unwrap_or(lods.len().saturating_sub(1))
    } else {
        lods.len().saturating_sub(1)
    };
    lods.get(first..=last).map(<[Lod]>::to_vec).unwrap_or_default()
}

/// The range of scales that is asked for, cut to the widest range in which any of the map's layers is drawn; zero means no
/// limit. A layer is a pair of its far and near limit.
///
/// The SDK's rule for raster tiles: the tiled layer's own range in the map narrows the download (tile reference §9). That the near
/// limit of a vector tiled layer does the same is offmap's choice.
#[must_use]
pub fn cut_to_layers(min_scale: f64, max_scale: f64, layers: &[(f64, f64)]) -> (f64, f64) {
    let far = layers.iter().map(|l| if l.0 > 0.0 { l.0 } else { f64::INFINITY }).fold(0.0, f64::max);
    let near = layers.iter().map(|l| l.1.max(0.0)).fold(f64::INFINITY, f64::min);
    let min = if min_scale > 0.0 { min_scale.min(far) } else { far };
    let max = max_scale.max(if near.is_finite() { near } else { 0.0 });
    (if min.is_finite() { min } else { 0.0 }, max)
}

/// Levels as `exportTiles` wants them: `0-3,5`.
#[must_use]
pub fn levels_text(levels: &[u32]) -> String {
    let mut levels = levels.to_vec();
    levels.sort_unstable();
    levels.dedup();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for level in levels {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == level => *end = level,
            _ => runs.push((level, level)),
        }
    }
    let text = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    text.collect::<Vec<_>>().join(",")
}

impl TileInfo {
    /// Tiles that meet the area on each of the levels, every tile once: an upper bound where the service prunes or cuts otherwise.
    ///
    /// # Errors
    /// If the area cannot be projected to the scheme's reference.
    pub fn count(
        &self,
        area: &AreaOfInterest,
        extent: Option<&Envelope>,
        levels: &[Lod],
    ) -> Result<Vec<PlannedLevel>, Failure> {
        let parts = area.parts_in(&self.spatial_reference)?;
        let planned = |lod: &Lod| PlannedLevel {
            level_id: lod.level,
            scale: lod.scale,
            tiles: crate::tile_cover::count(self, lod, &parts, extent),
        };
        Ok(levels.iter().map(planned).collect())
    }

    /// Tiles of all these levels.
    pub fn total(levels: &[PlannedLevel]) -> u64 {
        // A hostile description may name more levels of more tiles than numbers can tell.
        levels.iter().map(|l| l.tiles).fold(0, u64::saturating_add)
    }

    /// The tiles that [`TileInfo::count`] counts, level by level; `None` where they are too many to be listed.
    pub fn cover(
        &self,
        area: &AreaOfInterest,
        extent: Option<&Envelope>,
        levels: &[Lod],
    ) -> Result<Option<BTreeMap<u32, TileRows>>, Failure> {
        let parts = area.parts_in(&self.spatial_reference)?;
        let rows = |lod: &Lod| Some((lod.level, crate::tile_cover::rows(self, lod, &parts, extent)?));
        Ok(levels.iter().map(rows).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lods(scales: &[f64]) -> Vec<Lod> {
        let lod = |(i, s): (usize, &f64)| Lod { level: u32::try_from(i).unwrap_or(0), resolution: s / 3779.5, scale: *s };
        scales.iter().enumerate().map(lod).collect()
    }

    fn ids(min: f64, max: f64) -> Vec<u32> {
        let all = lods(&[2_000_000.0, 1_000_000.0, 500_000.0, 250_000.0]);
        levels_in_range(&all, min, max).iter().map(|l| l.level).collect()
    }

    #[test]
    fn levels_follow_the_documented_table() {
        assert_eq!(ids(0.0, 0.0), [0, 1, 2, 3]);
        assert_eq!(ids(750_000.0, 250_000.0), [1, 2, 3]);
        assert_eq!(ids(0.0, 750_000.0), [0, 1, 2]);
        assert_eq!(ids(1_000_000.0, 0.0), [1, 2, 3]);
        // An exact hit in the other scale family adds nothing.
        assert_eq!(ids(1_000_002.0, 0.0), [1, 2, 3]);
        assert_eq!(ids(0.0, 499_999.0), [0, 1, 2]);
    }

    #[test]
    fn the_range_of_the_map_s_layer_narrows_what_is_asked() {
        let layer = [(1_000_000.0, 10_000.0)];
        assert_eq!(cut_to_layers(900_000.0, 5_000.0, &layer), (900_000.0, 10_000.0));
        assert_eq!(cut_to_layers(0.0, 0.0, &layer), (1_000_000.0, 10_000.0));
        assert_eq!(cut_to_layers(900_000.0, 5_000.0, &[(0.0, 0.0)]), (900_000.0, 5_000.0));
        assert_eq!(cut_to_layers(0.0, 0.0, &[(1_000_000.0, 10_000.0), (0.0, 5_000.0)]), (0.0, 5_000.0));
        assert_eq!(cut_to_layers(0.0, 0.0, &[]), (0.0, 0.0));
    }

    #[test]
    fn levels_are_written_as_runs() {
        assert_eq!(levels_text(&[3, 0, 1, 2, 5]), "0-3,5");
        assert_eq!(levels_text(&[7]), "7");
        assert_eq!(levels_text(&[]), "");
    }

    #[test]
    fn a_service_in_another_reference_than_the_area_is_counted_in_its_own() {
        // A scheme in ETRS89 / UTM zone 32N with tiles of 25.6 km; the area is one degree by one around 9° E, 51.5° N.
        let lod = Lod { level: 7, resolution: 100.0, scale: 377_952.755_905_511_9 };
        let info = TileInfo {
            rows: 256,
            cols: 256,
            origin: Origin { x: -5_120_900.0, y: 9_998_100.0 },
            spatial_reference: SpatialReference::from_wkid(25832),
            lods: vec![lod],
            format: None,
        };
        let area = AreaOfInterest::from_numbers("8.5,51,9.5,52").expect("an area");
        let counted = info.count(&area, None, &[lod]).expect("counts");
        // On the ground that is 70 km by 111 km: 3 or 4 columns by 5 or 6 rows.
        assert!((15..=24).contains(&counted[0].tiles), "{counted:?}");
        let outside = AreaOfInterest::from_numbers("8.5,51,9.5,52,25832").expect("metres near the equator");
        assert_ne!(info.count(&outside, None, &[lod]).expect("counts")[0].tiles, counted[0].tiles);
    }

    #[test]
    fn the_count_agrees_with_arcgis_online() {
        // Documented vector job: levels 0-11 give 1,1,1,1,1,1,1,1,2,2,4,12 = 28 (tile reference §10).
        let lods: Vec<Lod> = (0..12)
            .map(|z| {
                let part = f64::from(1_u32 << z);
                Lod { level: z, resolution: 78_271.516_964 / part, scale: 295_828_763.795_777_5 / part }
            })
            .collect();
        let info = TileInfo {
            rows: 512,
            cols: 512,
            origin: Origin { x: -20_037_508.342_787, y: 20_037_508.342_787 },
            spatial_reference: SpatialReference::web_mercator(),
            lods: lods.clone(),
            format: None,
        };
        let e = Envelope::new(-8_956_266.53, 3_090_042.12, -8_900_296.16, 3_129_973.64, SpatialReference::web_mercator());
        let counts: Vec<u64> = info.count(&e.into(), None, &lods).expect("counts").iter().map(|l| l.tiles).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 4, 12]);
    }
}
