//! Sets of tile ids, as ranges.

use crate::tiles::{DEEPEST_ZOOM, TileRows, hilbert_position, tile_id};
use std::ops::Range;

/// Most ranges of a set.
const MOST_RANGES: usize = 1 << 22;

/// Tiles by their ids: ranges, in order and apart from each other.
///
/// ```
/// use offmap_formats::pmtiles::TileIds;
/// use offmap_formats::tiles::TileRows;
///
/// // All of zoom 1: ids 1 to 4.
/// let all: TileRows = [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().collect();
/// let ids = TileIds::of_rows(1, &all).expect("few ranges");
/// assert_eq!(ids.within(0..100).collect::<Vec<_>>(), [1..5]);
/// assert_eq!(Some(ids), TileIds::of_zoom(1));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TileIds(Vec<Range<u64>>);

/// A square of tiles at a multiple of its side, which is a power of two: its ids follow each other.
#[derive(Debug, Clone, Copy)]
struct Square {
    zoom: u8,
    row: u64,
    column: u64,
    /// The side is two to the power of this.
    order: u32,
}

impl Square {
    fn side(self) -> u64 {
        1 << self.order
    }

    /// Its ids; `None` where there is no such square.
    fn ids(self) -> Option<Range<u64>> {
        let before = tile_id(self.zoom, 0, 0)?;
        let (column, row) = (u32::try_from(self.column).ok()?, u32::try_from(self.row).ok()?);
        let tiles = 1_u64 << (2 * self.order);
        let first = before + (hilbert_position(u32::from(self.zoom), column, row) & !(tiles - 1));
        Some(first..first + tiles)
    }

    fn quarters(self) -> [Self; 4] {
        let order = self.order - 1;
        let half = 1 << order;
        [(0, 0), (0, half), (half, 0), (half, half)].map(|(down, right)| Self {
            row: self.row + down,
            column: self.column + right,
            order,
            ..self
        })
    }
}

impl TileIds {
    /// Every id.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Range { start: 0, end: u64::MAX }])
    }

    /// All tiles of a zoom; `None` beyond the deepest one.
    #[must_use]
    pub fn of_zoom(zoom: u8) -> Option<Self> {
        let whole = (zoom <= DEEPEST_ZOOM).then_some(Square { zoom, row: 0, column: 0, order: u32::from(zoom) })?;
        Some(Self(vec![whole.ids()?]))
    }

    /// Some tiles of a zoom, rows from the top; those that it has not are left out. `None` beyond the deepest zoom, and where they are
    /// in too many ranges: there are fewer than tiles along the edge.
    #[must_use]
    pub fn of_rows(zoom: u8, rows: &TileRows) -> Option<Self> {
        let whole = (zoom <= DEEPEST_ZOOM).then_some(Square { zoom, row: 0, column: 0, order: u32::from(zoom) })?;
        let mut found = Vec::new();
        let last = whole.side() - 1;
        add(whole, &rows.within((0, last), (0, last)), &mut found)?;
        Some(Self::joined(found))
    }

    /// With those of another set; `None` where they are in too many ranges.
    #[must_use]
    pub fn with(mut self, other: Self) -> Option<Self> {
        if self.0.len().saturating_add(other.0.len()) > MOST_RANGES {
            return None;
        }
        let is_behind = match (self.0.last(), other.0.first()) {
            (Some(last), Some(first)) => last.end < first.start,
            _ => true,
        };
        self.0.extend(other.0);
        Some(if is_behind { self } else { Self::joined(self.0) })
    }

    fn joined(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        Self(joined)
    }

    /// Those among some, in order.
    pub fn within(&self, ids: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.0.partition_point(|range| range.end <= ids.start);
        let meeting = self.0.get(first..).unwrap_or_default().iter().take_while(move |range| range.start < ids.end);
        let cut = meeting.map(move |range| range.start.max(ids.start)..range.end.min(ids.end));
        cut.filter(|range| range.start < range.end)
    }

    /// Whether any of some is among them.
    #[must_use]
    pub fn has_any(&self, ids: Range<u64>) -> bool {
        self.within(ids).next().is_some()
    }

    /// Its ranges.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }
}

/// Adds the ids of those rows that lie in a square.
fn add(square: Square, rows: &TileRows, found: &mut Vec<Range<u64>>) -> Option<()> {
    let tiles = rows.tiles();
    if tiles == 0 {
        return Some(());
    }
    if square.order == 0 || tiles == square.side().saturating_mul(square.side()) {
        if found.len() >= MOST_RANGES {
            return None;
        }
        found.push(square.ids()?);
        return Some(());
    }
    for quarter in square.quarters() {
        let last = quarter.side() - 1;
        let inside = rows.within((quarter.row, quarter.row + last), (quarter.column, quarter.column + last));
        add(quarter, &inside, found)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_ranges_of_ids_whatever_they_are_made_of() {
        let ids = TileIds::of_zoom(3).expect("a zoom").with(TileIds::of_zoom(1).expect("a zoom")).expect("few");
        assert_eq!(ids.ranges(), [1..5, 21..85]);
        assert!(ids.has_any(4..9) && !ids.has_any(5..21) && !ids.has_any(4..4));
        assert_eq!(ids.within(3..22).collect::<Vec<_>>(), [3..5, 21..22]);
        assert_eq!(TileIds::of_zoom(DEEPEST_ZOOM + 1), None);
        assert!(TileIds::of_zoom(DEEPEST_ZOOM).is_some());
        assert!(TileIds::all().has_any(5..6));
        let beyond: TileRows = [(0, 9), (9, 0)].into_iter().collect();
        assert_eq!(TileIds::of_rows(2, &beyond), Some(TileIds::default()), "zoom 2 has four rows and columns");
    }

    #[test]
    fn sets_together_have_no_more_ranges_than_one() {
        let every_other = |first: u64, count: usize| {
            let ranges = (0..count as u64).map(|i| first + 2 * i..first + 2 * i + 1);
            TileIds(ranges.collect())
        };
        let half = MOST_RANGES / 2;
        let (low, high) = (every_other(0, half), every_other(4 * half as u64, half));
        let both = low.clone().with(high.clone()).expect("as many as there may be");
        assert_eq!(both.ranges().len(), MOST_RANGES);
        assert_eq!(high.with(low), Some(both.clone()), "in whatever order");
        assert_eq!(both.with(every_other(u64::MAX / 2, 1)), None);
    }

    proptest! {
        #[test]
        fn rows_are_the_ids_of_their_tiles(zoom in 0_u8..7, tiles in prop::collection::btree_set((0_u64..100, 0_u64..100), 0..200)) {
            let side = 1_u64 << zoom;
            let wanted: Vec<u64> = tiles.iter().filter_map(|(row, column)| tile_id(zoom, *column, *row)).collect();
            let ids = TileIds::of_rows(zoom, &tiles.iter().copied().collect()).expect("few");
            let found: Vec<u64> = ids.ranges().iter().cloned().flatten().collect();
            let mut sorted = wanted;
            sorted.sort_unstable();
            prop_assert_eq!(found, sorted);
            let first = tiles.first().copied().unwrap_or_default();
            let block = (first.0.min(side), first.1.min(side));
            let all: TileRows = (block.0..side).flat_map(|r| (block.1..side).map(move |c| (r, c))).collect();
            let ids = TileIds::of_rows(zoom, &all).expect("few");
            let count: u64 = ids.ranges().iter().map(|r| r.end - r.start).sum();
            prop_assert_eq!(count, all.tiles());
        }
    }
}
