//! One level of a tiling scheme as a grid, and the tiles of it that an envelope or a polygon meets.

use super::tile_info::{Lod, TileInfo};
use super::tile_rows::TileRows;
use offmap_model::{Envelope, Polygon};
use std::collections::BTreeMap;

/// Part of a pixel by which an area shrinks before counting, so that an edge on a tile boundary adds nothing.
const EDGE_OF_PIXEL: f64 = 1e-3;
/// A polygon over more rows of tiles is counted by its envelope.
const MOST_ROWS: u64 = 100_000;
/// A polygon whose edges run through more rows of tiles, each edge for itself, is counted by its envelope as well.
const MOST_STEPS: u64 = 2_000_000;

/// A block for each part of an area, with the polygon where it is one.
pub(super) type Blocks<'a> = Vec<(Block, Option<&'a Polygon>)>;

/// A block of tiles: first and last row, first and last column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) rows: (u64, u64),
    pub(super) columns: (u64, u64),
}

impl Block {
    pub(super) fn tiles(self) -> u64 {
        let side = |(first, last): (u64, u64)| (last - first).saturating_add(1);
        side(self.rows).saturating_mul(side(self.columns))
    }

    /// Whether its rows can be listed.
    fn is_low(&self) -> bool {
        self.rows.1 - self.rows.0 < MOST_ROWS
    }

    pub(super) fn overlap(self, other: Self) -> Option<Self> {
        let common = |a: (u64, u64), b: (u64, u64)| (a.0.max(b.0), a.1.min(b.1));
        let block = Self { rows: common(self.rows, other.rows), columns: common(self.columns, other.columns) };
        (block.rows.0 <= block.rows.1 && block.columns.0 <= block.columns.1).then_some(block)
    }
}

/// One level of a tiling scheme as a grid.
pub(super) struct Grid {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    shrink: f64,
}

impl Grid {
    /// The grid of a level; `None` for a level that cannot be.
    pub(super) fn of(info: &TileInfo, lod: &Lod) -> Option<Self> {
        let width = f64::from(info.cols) * lod.resolution;
        let height = f64::from(info.rows) * lod.resolution;
        let is_real = width > 0.0 && height > 0.0 && width.is_finite() && height.is_finite();
        let shrink = lod.resolution * EDGE_OF_PIXEL;
        is_real.then_some(Self { x: info.origin.x, y: info.origin.y, width, height, shrink })
    }

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

    /// The tiles that meet an envelope.
    pub(super) fn block(&self, e: &Envelope) -> Block {
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
    pub(super) fn can_list(&self, blocks: &Blocks<'_>) -> bool {
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

    /// The tiles of all blocks, row by row.
    pub(super) fn rows(&self, blocks: &Blocks<'_>) -> TileRows {
        let mut rows = TileRows::default();
        for (block, polygon) in blocks {
            match polygon {
                Some(polygon) => self.rows_of(polygon, block, &mut rows),
                None => (block.rows.0..=block.rows.1).for_each(|row| rows.add_run(row, block.columns)),
            }
        }
        rows.coalesce()
    }

    /// Columns of every row that a polygon meets: where an edge runs through the row, and what is inside along its upper side.
    fn rows_of(&self, polygon: &Polygon, block: &Block, rows: &mut TileRows) {
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
                    rows.add_run(row, range);
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
                    rows.add_run(row, range);
                }
            }
        }
    }
}
