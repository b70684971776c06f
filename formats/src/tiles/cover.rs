//! The tiles of a service that meet an area: counted, or listed row by row. Pure.
//!
//! Source: tile reference §10.

use super::grid::{Blocks, Grid};
use super::tile_info::{Lod, TileInfo};
use super::tile_rows::TileRows;
use offmap_model::{AreaOfInterest, Envelope, Failure, PlannedLevel, SpatialReference};
use std::collections::BTreeMap;

/// What of an area only touches the edge of the world, as a share of its size.
const TOUCHES: f64 = 1e-9;

impl TileInfo {
    /// Tiles that meet the area on each of the levels, every tile once: an upper bound where the service prunes or cuts otherwise.
    ///
    /// # Errors
    /// If the area cannot be projected to the scheme's spatial reference.
    pub fn count(
        &self,
        area: &AreaOfInterest,
        extent: Option<&Envelope>,
        levels: &[Lod],
    ) -> Result<Vec<PlannedLevel>, Failure> {
        let parts = area.parts_in(&self.spatial_reference)?;
        let planned =
            |lod: &Lod| PlannedLevel { level_id: lod.level, scale: lod.scale, tiles: count(self, lod, &parts, extent) };
        Ok(levels.iter().map(planned).collect())
    }

    /// Tiles of all these levels.
    pub fn total(levels: &[PlannedLevel]) -> u64 {
        // A hostile description may name more levels of more tiles than numbers can tell.
        levels.iter().map(|l| l.tiles).fold(0, u64::saturating_add)
    }

    /// The tiles that [`TileInfo::count`] counts, level by level; `None` where they are too many to be listed.
    ///
    /// # Errors
    /// As [`TileInfo::count`].
    pub fn cover(
        &self,
        area: &AreaOfInterest,
        extent: Option<&Envelope>,
        levels: &[Lod],
    ) -> Result<Option<BTreeMap<u32, TileRows>>, Failure> {
        let parts = area.parts_in(&self.spatial_reference)?;
        let rows = |lod: &Lod| Some((lod.level, rows(self, lod, &parts, extent)?));
        Ok(levels.iter().map(rows).collect())
    }
}

/// The tiles of a level that meet the parts of an area, as [`count`] counts them; `None` where they lie in too many rows.
fn rows(info: &TileInfo, lod: &Lod, parts: &[AreaOfInterest], extent: Option<&Envelope>) -> Option<TileRows> {
    let (grid, blocks) = blocks(info, lod, parts, extent)?;
    if !grid.can_list(&blocks) {
        return None;
    }
    Some(grid.rows(&blocks))
}

/// Counts the tiles of a level that meet the parts of an area (each within the world), every tile once: an upper bound where the
/// service prunes empty tiles. Nothing outside the service's own extent counts.
fn count(info: &TileInfo, lod: &Lod, parts: &[AreaOfInterest], extent: Option<&Envelope>) -> u64 {
    let Some((grid, blocks)) = blocks(info, lod, parts, extent) else { return 0 };
    if blocks.iter().any(|(_, polygon)| polygon.is_some()) && grid.can_list(&blocks) {
        return grid.rows(&blocks).tiles();
    }
    if let Some((first, _)) = blocks.first().filter(|(first, _)| blocks.iter().all(|(block, _)| block.rows == first.rows)) {
        // Parts of one envelope lie in the same rows.
        let columns = blocks.iter().map(|(block, _)| block.columns);
        let columns = TileRows::of_row(0, columns).tiles();
        return (first.rows.1 - first.rows.0).saturating_add(1).saturating_mul(columns);
    }
    let all: u64 = blocks.iter().map(|(block, _)| block.tiles()).fold(0, u64::saturating_add);
    let twice: u64 = blocks
        .iter()
        .enumerate()
        .flat_map(|(i, (a, _))| blocks.iter().skip(i + 1).filter_map(|(b, _)| Some(a.overlap(*b)?.tiles())))
        .fold(0, u64::saturating_add);
    all.saturating_sub(twice)
}

/// The grid of a level and the blocks of an area in it; `None` for a level that cannot be.
fn blocks<'a>(
    info: &TileInfo,
    lod: &Lod,
    parts: &'a [AreaOfInterest],
    extent: Option<&Envelope>,
) -> Option<(Grid, Blocks<'a>)> {
    let grid = Grid::of(info, lod)?;
    let is_same = |s: &SpatialReference| s.same_as(&info.spatial_reference);
    let extent = extent.filter(|e| e.spatial_reference.as_ref().is_none_or(is_same));
    // Latitudes go on beyond the square of Web Mercator, tiles do not.
    let world = info.spatial_reference.world();
    let extents = extent.map(|e| within_world(e, world.as_ref()));
    let mut blocks = Vec::new();
    for part in parts {
        let Some(envelope) = part.envelope().and_then(|e| cut(e, world.as_ref())) else { continue };
        let beyond = |w: &Envelope| envelope.ymin >= w.ymax * (1.0 - TOUCHES) || envelope.ymax <= w.ymin * (1.0 - TOUCHES);
        if world.as_ref().is_some_and(beyond) {
            continue;
        }
        let polygon = if let AreaOfInterest::Polygon(polygon) = part { Some(polygon) } else { None };
        let pieces = match &extents {
            None => vec![envelope],
            Some(extents) => extents.iter().filter_map(|e| cut(envelope.clone(), Some(e))).collect(),
        };
        blocks.extend(pieces.iter().map(|piece| (grid.block(piece), polygon)));
    }
    Some((grid, blocks))
}

/// A service's extent as pieces within the world: it may go on beyond the dateline, and around the world it has no sides.
fn within_world(extent: &Envelope, world: Option<&Envelope>) -> Vec<Envelope> {
    let Some(world) = world else { return vec![extent.clone()] };
    if extent.xmax - extent.xmin >= world.xmax - world.xmin {
        return vec![Envelope { xmin: world.xmin, xmax: world.xmax, ..extent.clone() }];
    }
    let extent = Envelope { spatial_reference: world.spatial_reference.clone(), ..extent.clone() };
    AreaOfInterest::from(extent).parts().iter().filter_map(AreaOfInterest::envelope).collect()
}

/// The part of an envelope within another; `None` where they do not meet.
fn cut(mut e: Envelope, full: Option<&Envelope>) -> Option<Envelope> {
    if let Some(full) = full {
        e.xmin = e.xmin.max(full.xmin);
        e.ymin = e.ymin.max(full.ymin);
        e.xmax = e.xmax.min(full.xmax);
        e.ymax = e.ymax.min(full.ymax);
    }
    (e.xmin <= e.xmax && e.ymin <= e.ymax).then_some(e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiles::tile_info::Origin;
    use offmap_model::Polygon;

    /// A grid of tiles of one unit, row 0 at the top of a square of 64.
    fn grid() -> (TileInfo, Lod) {
        let lod = Lod { level: 0, resolution: 1.0 / 256.0, scale: 1.0 };
        let origin = Origin { x: 0.0, y: 64.0 };
        let spatial_reference = SpatialReference::from_wkid(32632);
        (TileInfo { rows: 256, cols: 256, origin, spatial_reference, lods: vec![lod], format: None }, lod)
    }

    fn counted(rings: Vec<Vec<[f64; 2]>>) -> u64 {
        let (info, lod) = grid();
        let polygon = Polygon { rings, spatial_reference: Some(info.spatial_reference.clone()) };
        count(&info, &lod, &[AreaOfInterest::Polygon(polygon)], None)
    }

    /// The same by asking every tile.
    fn asked(rings: &[Vec<[f64; 2]>]) -> u64 {
        let polygon = Polygon { rings: rings.to_vec(), spatial_reference: None };
        let tile = |column: u32, row: u32| {
            let (x, y) = (f64::from(column), 63.0 - f64::from(row));
            Envelope { xmin: x + 1e-6, ymin: y + 1e-6, xmax: x + 1.0 - 1e-6, ymax: y + 1.0 - 1e-6, spatial_reference: None }
        };
        let all = (0..64).flat_map(|c| (0..64).map(move |r| (c, r)));
        all.filter(|(c, r)| polygon.intersects_envelope(&tile(*c, *r))).count() as u64
    }

    #[test]
    fn tiles_of_a_polygon_are_those_that_it_meets() {
        let triangle = vec![vec![[3.3, 2.2], [30.7, 60.1], [61.9, 11.4], [3.3, 2.2]]];
        assert_eq!(counted(triangle.clone()), asked(&triangle));
        let hole = vec![[20.5, 15.5], [40.5, 15.5], [32.5, 30.5], [20.5, 15.5]];
        let holed = vec![triangle[0].clone(), hole];
        assert_eq!(counted(holed.clone()), asked(&holed));
        assert!(asked(&holed) < asked(&triangle));
        let needle = vec![vec![[1.1, 1.1], [62.9, 62.7], [62.8, 62.8], [1.1, 1.1]]];
        assert_eq!(counted(needle.clone()), asked(&needle));
        let square = vec![vec![[4.0, 4.0], [4.0, 8.0], [8.0, 8.0], [8.0, 4.0], [4.0, 4.0]]];
        assert!(counted(square) <= 25, "edges on tile boundaries add a row and a column at most");
    }

    #[test]
    fn absurd_resolutions_are_counted_without_overflow() {
        let (info, lod) = grid();
        let area = AreaOfInterest::Envelope(Envelope::new(-1e300, -1e300, 1e300, 1e300, info.spatial_reference.clone()));
        for resolution in [1e-300, 1e-30, f64::MIN_POSITIVE, 1e300] {
            let lod = Lod { resolution, ..lod };
            assert!(count(&info, &lod, std::slice::from_ref(&area), None) > 0, "{resolution}");
            // Twice the same: what both have is taken off once, at the end of the numbers down to nothing.
            let _ = count(&info, &lod, &[area.clone(), area.clone()], None);
        }
    }

    #[test]
    fn an_extent_beyond_the_dateline_is_met_on_both_sides() {
        const HALF: f64 = 20_037_508.342_787;
        let lods: Vec<Lod> = (0..8)
            .map(|level| Lod { level, resolution: 2.0 * HALF / 256.0 / f64::from(1_u32 << level), scale: 1.0 })
            .collect();
        let origin = Origin { x: -HALF, y: HALF };
        let spatial_reference = SpatialReference::web_mercator();
        let info = TileInfo { rows: 256, cols: 256, origin, spatial_reference, lods: lods.clone(), format: None };
        let counted = |area: &str, extent: Option<[f64; 2]>| -> Vec<u64> {
            let area = AreaOfInterest::from_numbers(area).expect("an area");
            let metres = |degrees: f64| degrees / 180.0 * HALF;
            let extent = extent.map(|[a, b]| Envelope {
                xmin: metres(a),
                xmax: metres(b),
                ymin: -HALF,
                ymax: HALF,
                spatial_reference: None,
            });
            info.count(&area, extent.as_ref(), &lods).expect("counts").iter().map(|l| l.tiles).collect()
        };
        // An area beyond the dateline, with extents that have it on either side, around the world, or not.
        let free = counted("-179,-20,-171,-10", None);
        for extent in [[170.0, 195.0], [-190.0, -160.0], [-180.0, 180.0], [-220.0, 220.0], [-180.1, 180.1]] {
            assert_eq!(counted("-179,-20,-171,-10", Some(extent)), free, "{extent:?}");
            // Over the dateline: every level is counted once, though area and extent are in pieces.
            assert_eq!(counted("171,-20,-171,-10", Some(extent)), counted("171,-20,-171,-10", None), "{extent:?}");
        }
        assert_eq!(counted("-179,-20,-171,-10", Some([150.0, 175.0])), [0; 8]);
        assert_eq!(counted("-180,-20,180,-10", Some([175.0, 185.0])), counted("175,-20,-175,-10", None));
    }

    #[test]
    fn a_comb_through_very_many_rows_is_counted_by_its_envelope() {
        let (info, lod) = grid();
        let tooth = |i: u32| [f64::from(i) * 0.01, if i.is_multiple_of(2) { 0.0 } else { 63.0 }];
        let mut ring: Vec<[f64; 2]> = (0..5_000).map(tooth).collect();
        ring.push(ring[0]);
        let comb = AreaOfInterest::Polygon(Polygon { rings: vec![ring], spatial_reference: None });
        // Rows of a thousandth: 5,000 edges through 63,000 rows each.
        let fine = Lod { resolution: lod.resolution / 1000.0, ..lod };
        let parts = std::slice::from_ref(&comb);
        assert_eq!(rows(&info, &fine, parts, None), None);
        let envelope = comb.envelope().map(AreaOfInterest::Envelope).expect("an envelope");
        assert_eq!(count(&info, &fine, parts, None), count(&info, &fine, &[envelope], None));
        assert!(rows(&info, &lod, parts, None).is_some());
    }

    #[test]
    fn two_parts_share_a_tile_that_both_meet() {
        let (info, lod) = grid();
        let part = |xmin: f64, xmax: f64| {
            AreaOfInterest::Envelope(Envelope::new(xmin, 10.0, xmax, 11.5, info.spatial_reference.clone()))
        };
        assert_eq!(count(&info, &lod, &[part(0.0, 3.5), part(3.6, 6.0)], None), 12);
        assert_eq!(count(&info, &lod, &[part(0.0, 2.0), part(5.0, 6.0)], None), 6);
        let extent = Envelope::new(0.0, 0.0, 1.0, 64.0, info.spatial_reference.clone());
        assert_eq!(count(&info, &lod, &[part(0.0, 2.0), part(5.0, 6.0)], Some(&extent)), 2);
    }

    #[test]
    fn tiles_that_are_listed_are_those_that_are_counted() {
        let (info, lod) = grid();
        let area = AreaOfInterest::Envelope(Envelope::new(1.0, 1.0, 9.0, 5.0, info.spatial_reference.clone()));
        let rows = rows(&info, &lod, std::slice::from_ref(&area), None).expect("few rows");
        assert_eq!(rows.tiles(), count(&info, &lod, &[area], None));
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
