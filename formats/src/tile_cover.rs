//! Tiles that meet an area on one level, and which of them a package lacks: as ranges of columns, never one by one.

use crate::tiling::{Lod, TileInfo};
use offmap_model::{AreaOfInterest, Envelope, Polygon, SpatialReference};
use std::collections::BTreeMap;

/// Part of a pixel by which an area shrinks before counting, so that an edge on a tile boundary adds nothing.
const EDGE_OF_PIXEL: f64 = 1e-3;
/// What of an area only touches the edge of the world, as a share of its size.
const TOUCHES: f64 = 1e-9;
/// A polygon over more rows of tiles is counted by its envelope.
const MOST_ROWS: u64 = 100_000;
/// A polygon whose edges run through more rows of tiles, each edge for itself, is counted by its envelope as well.
const MOST_STEPS: u64 = 2_000_000;

/// A block of tiles: first and last row, first and last column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    rows: (u64, u64),
    columns: (u64, u64),
}

impl Block {
    fn tiles(self) -> u64 {
        let side = |(first, last): (u64, u64)| (last - first).saturating_add(1);
        side(self.rows).saturating_mul(side(self.columns))
    }

    /// Whether its rows can be listed.
    fn is_low(&self) -> bool {
        self.rows.1 - self.rows.0 < MOST_ROWS
    }

    fn overlap(self, other: Self) -> Option<Self> {
        let common = |a: (u64, u64), b: (u64, u64)| (a.0.max(b.0), a.1.min(b.1));
        let block = Self { rows: common(self.rows, other.rows), columns: common(self.columns, other.columns) };
        (block.rows.0 <= block.rows.1 && block.columns.0 <= block.columns.1).then_some(block)
    }
}

/// One level of a tiling scheme as a grid.
struct Grid {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    shrink: f64,
}

/// Tiles of one level: row → first and last column of each stretch, in order and apart from each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TileRows(BTreeMap<u64, Vec<(u64, u64)>>);

impl TileRows {
    pub(crate) fn add(&mut self, row: u64, column: u64) {
        let runs = self.0.entry(row).or_default();
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(column) => *last = column,
            _ => runs.push((column, column)),
        }
    }

    /// Puts stretches in order and joins those that touch.
    pub(crate) fn coalesce(mut self) -> Self {
        for runs in self.0.values_mut() {
            runs.sort_unstable();
            let mut joined: Vec<(u64, u64)> = Vec::with_capacity(runs.len());
            for (first, last) in runs.drain(..) {
                match joined.last_mut() {
                    Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                    _ => joined.push((first, last)),
                }
            }
            *runs = joined;
        }
        self
    }

    /// How many tiles.
    #[must_use]
    pub fn tiles(&self) -> u64 {
        let tiles = |(first, last): &(u64, u64)| (last - first).saturating_add(1);
        self.0.values().flatten().map(tiles).fold(0, u64::saturating_add)
    }

    /// Tiles of both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.row_by_row(other, |own, theirs| {
            let meet = |b: &(u64, u64)| (own.0.max(b.0), own.1.min(b.1));
            theirs.iter().map(meet).collect()
        })
    }

    /// Tiles of this that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        self.row_by_row(other, |(first, last), theirs| {
            let mut rest = Vec::new();
            let mut next = Some(first);
            for (a, b) in theirs {
                if let Some(free) = next.filter(|n| n < a) {
                    rest.push((free, a - 1));
                }
                next = b.checked_add(1).filter(|n| *n <= last);
            }
            rest.extend(next.map(|free| (free, last)));
            rest
        })
    }

    /// What becomes of each stretch, given the stretches of the other that meet it. Both are walked through once.
    fn row_by_row(&self, other: &Self, rest: impl Fn((u64, u64), &[(u64, u64)]) -> Vec<(u64, u64)>) -> Self {
        let row = |(row, runs): (&u64, &Vec<(u64, u64)>)| {
            let mut theirs = other.0.get(row).map(Vec::as_slice).unwrap_or_default();
            let mut all = Vec::new();
            for (first, last) in runs {
                let passed = theirs.iter().take_while(|(_, b)| b < first).count();
                theirs = theirs.get(passed..).unwrap_or_default();
                let meeting = theirs.iter().take_while(|(a, _)| a <= last).count();
                all.extend(rest((*first, *last), theirs.get(..meeting).unwrap_or_default()));
            }
            (*row, all)
        };
        Self(self.0.iter().map(row).collect())
    }

    /// Row and column of every tile.
    pub fn each(&self) -> impl Iterator<Item = (u64, u64)> {
        let of_row = |(row, runs): (&u64, &Vec<(u64, u64)>)| {
            let row = *row;
            runs.clone().into_iter().flat_map(move |(first, last)| (first..=last).map(move |column| (row, column)))
        };
        self.0.iter().flat_map(of_row)
    }
}

/// The tiles of a level that meet the parts of an area, as [`count`] counts them; `None` where they lie in too many rows.
pub(crate) fn rows(info: &TileInfo, lod: &Lod, parts: &[AreaOfInterest], extent: Option<&Envelope>) -> Option<TileRows> {
    let (grid, blocks) = blocks(info, lod, parts, extent)?;
    if !grid.can_list(&blocks) {
        return None;
    }
    Some(grid.rows(&blocks))
}

/// Counts the tiles of a level that meet the parts of an area (each within the world), every tile once: an upper bound where the
/// service prunes empty tiles. Nothing outside the service's own extent counts.
pub(crate) fn count(info: &TileInfo, lod: &Lod, parts: &[AreaOfInterest], extent: Option<&Envelope>) -> u64 {
    let Some((grid, blocks)) = blocks(info, lod, parts, extent) else { return 0 };
    if blocks.iter().any(|(_, polygon)| polygon.is_some()) && grid.can_list(&blocks) {
        return grid.rows(&blocks).tiles();
    }
    if let Some((first, _)) = blocks.first().filter(|(first, _)| blocks.iter().all(|(block, _)| block.rows == first.rows)) {
        // Parts of one envelope lie in the same rows.
        let columns = blocks.iter().map(|(block, _)| block.columns).collect();
        let columns = TileRows(BTreeMap::from([(0, columns)])).coalesce().tiles();
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

/// A block for each part of an area, with the polygon where it is one.
type Blocks<'a> = Vec<(Block, Option<&'a Polygon>)>;

/// The grid of a level and the blocks of an area in it; `None` for a level that cannot be.
fn blocks<'a>(
    info: &TileInfo,
    lod: &Lod,
    parts: &'a [AreaOfInterest],
    extent: Option<&Envelope>,
) -> Option<(Grid, Blocks<'a>)> {
    let width = f64::from(info.cols) * lod.resolution;
    let height = f64::from(info.rows) * lod.resolution;
    if !(width > 0.0 && height > 0.0 && width.is_finite() && height.is_finite()) {
        return None;
    }
    let shrink = lod.resolution * EDGE_OF_PIXEL;
    let grid = Grid { x: info.origin.x, y: info.origin.y, width, height, shrink };
    let same = |reference: &Option<SpatialReference>| reference.as_ref().is_none_or(|s| s.same_as(&info.spatial_reference));
    let extent = extent.filter(|e| same(&e.spatial_reference));
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

impl Grid {
    // Saturating by language: an index beyond u64 stays at its end, one below zero at zero.
    fn column(&self, x: f64) -> u64 {
        ((x - self.x) / self.width).floor() as u64
    }

    fn row(&self, y: f64) -> u64 {
        ((self.y - y) / self.height).floor() as u64
    }

    fn columns(&self, left: f64, right: f64) -> (u64, u64) {
        let (a, b) = (left + self.shrink, right - self.shrink);
        if a <= b { (self.column(a), self.column(b)) } else { (self.column((a + b) / 2.0), self.column((a + b) / 2.0)) }
    }

    fn block(&self, e: &Envelope) -> Block {
        let (top, bottom) = (e.ymax - self.shrink, e.ymin + self.shrink);
        let rows = if bottom <= top {
            (self.row(top), self.row(bottom))
        } else {
            let row = self.row((top + bottom) / 2.0);
            (row, row)
        };
        Block { rows, columns: self.columns(e.xmin, e.xmax) }
    }

    /// Whether rows can be listed one by one, and each edge be followed through the rows that it runs through.
    fn can_list(&self, blocks: &Blocks<'_>) -> bool {
        let steps = |(block, polygon): &(Block, Option<&Polygon>)| {
            let edges = polygon.iter().flat_map(|p| &p.rings).flat_map(|ring| ring.windows(2));
            let rows = |edge: &[[f64; 2]]| {
                let (first, last) = (self.row(edge[0][1].max(edge[1][1])), self.row(edge[0][1].min(edge[1][1])));
                last.min(block.rows.1).saturating_sub(first.max(block.rows.0)).saturating_add(1)
            };
            edges.map(rows).fold(0, u64::saturating_add)
        };
        blocks.iter().all(|(block, _)| block.is_low()) && blocks.iter().map(steps).fold(0, u64::saturating_add) <= MOST_STEPS
    }

    fn rows(&self, blocks: &Blocks<'_>) -> TileRows {
        let mut rows = TileRows::default();
        for (block, polygon) in blocks {
            match polygon {
                Some(polygon) => self.rows_of(polygon, block, &mut rows.0),
                None => (block.rows.0..=block.rows.1).for_each(|row| rows.0.entry(row).or_default().push(block.columns)),
            }
        }
        rows.coalesce()
    }

    /// Columns of every row that a polygon meets: where an edge runs through the row, and what is inside along its upper side.
    fn rows_of(&self, polygon: &Polygon, block: &Block, rows: &mut BTreeMap<u64, Vec<(u64, u64)>>) {
        let mut crossings: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let kept = |(first, last): (u64, u64)| {
            let range = (first.max(block.columns.0), last.min(block.columns.1));
            (range.0 <= range.1).then_some(range)
        };
        for edge in polygon.rings.iter().flat_map(|ring| ring.windows(2)) {
            let (upper, lower) = if edge[0][1] >= edge[1][1] { (edge[0], edge[1]) } else { (edge[1], edge[0]) };
            let at = |y: f64| {
                let t = if upper[1] > lower[1] { ((upper[1] - y) / (upper[1] - lower[1])).clamp(0.0, 1.0) } else { 0.0 };
                upper[0] + t * (lower[0] - upper[0])
            };
            let first = self.row(upper[1] - self.shrink).max(block.rows.0);
            let last = self.row(lower[1] + self.shrink).min(block.rows.1);
            for row in first..=last.max(first).min(block.rows.1) {
                let top = self.y - row as f64 * self.height;
                let (a, b) = if upper[1] > lower[1] {
                    (at(top.min(upper[1])), at((top - self.height).max(lower[1])))
                } else {
                    (upper[0], lower[0])
                };
                // Where an edge lies beyond the block, the block's row is not one that it runs through.
                let meets = lower[1] <= top + self.shrink && upper[1] >= top - self.height - self.shrink;
                if let Some(range) = kept(self.columns(a.min(b), a.max(b))).filter(|_| meets) {
                    rows.entry(row).or_default().push(range);
                }
                if upper[1] > top && lower[1] <= top {
                    crossings.entry(row).or_default().push(at(top));
                }
            }
        }
        for (row, mut at) in crossings {
            at.sort_by(f64::total_cmp);
            for pair in at.chunks_exact(2) {
                if let Some(range) = kept(self.columns(pair[0], pair[1])) {
                    rows.entry(row).or_default().push(range);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiling::Origin;

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
    fn what_a_package_lacks_is_found_by_stretches() {
        let of = |tiles: &[(u64, u64)]| {
            let mut rows = TileRows::default();
            tiles.iter().for_each(|(row, column)| rows.add(*row, *column));
            rows.coalesce()
        };
        let wanted = of(&[(0, 1), (0, 2), (0, 3), (0, 4), (1, 7), (1, 5), (1, 6)]);
        assert_eq!((wanted.tiles(), wanted.0.get(&1)), (7, Some(&vec![(5, 7)])));
        let stored = of(&[(0, 2), (0, 4), (0, 9), (1, 6), (2, 2)]);
        let missing: Vec<_> = wanted.difference(&stored).each().collect();
        assert_eq!(missing, [(0, 1), (0, 3), (1, 5), (1, 7)]);
        assert_eq!(wanted.intersection(&stored).each().collect::<Vec<_>>(), [(0, 2), (0, 4), (1, 6)]);
        assert_eq!(wanted.difference(&TileRows::default()), wanted);
        // The same by asking every tile, for rows with gaps of all kinds.
        let some = |seed: u64| of(&(0..60).filter(|c| (c * seed + seed) % 7 < 3).map(|c| (0, c)).collect::<Vec<_>>());
        for (a, b) in [(1, 2), (2, 5), (3, 4), (6, 1), (5, 5)] {
            let (a, b) = (some(a), some(b));
            let in_b: Vec<_> = b.each().collect();
            let (both, only): (Vec<_>, Vec<_>) = a.each().partition(|t| in_b.contains(t));
            assert_eq!(
                (a.intersection(&b).each().collect::<Vec<_>>(), a.difference(&b).each().collect::<Vec<_>>()),
                (both, only)
            );
        }
        let (info, lod) = grid();
        let area = AreaOfInterest::Envelope(Envelope::new(1.0, 1.0, 9.0, 5.0, info.spatial_reference.clone()));
        let rows = rows(&info, &lod, std::slice::from_ref(&area), None).expect("few rows");
        assert_eq!(rows.tiles(), count(&info, &lod, &[area], None));
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
        let all = TileRows(BTreeMap::from([(0, vec![(0, u64::MAX)]), (1, vec![(0, u64::MAX)])]));
        assert_eq!(all.tiles(), u64::MAX);
        assert_eq!(all.difference(&all).tiles(), 0);
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
}
