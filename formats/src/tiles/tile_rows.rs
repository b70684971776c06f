//! Tiles of one level as runs of columns, never one by one.

use std::collections::BTreeMap;

/// Tiles of one level: row → first and last column of each run, in order and apart from each other.
///
/// ```
/// use offmap_formats::tiles::TileRows;
///
/// let wanted: TileRows = [(4, 7), (4, 8), (5, 7)].into_iter().collect();
/// let stored: TileRows = [(4, 8)].into_iter().collect();
/// let missing = wanted.difference(&stored);
/// assert_eq!(missing.tiles(), 2);
/// assert_eq!(missing.each().collect::<Vec<_>>(), [(4, 7), (5, 7)]);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TileRows(BTreeMap<u64, Vec<(u64, u64)>>);

/// Out of rows and columns, in any order.
impl FromIterator<(u64, u64)> for TileRows {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(tiles: I) -> Self {
        let mut rows = Self::default();
        tiles.into_iter().for_each(|(row, column)| rows.add(row, column));
        rows.coalesce()
    }
}

impl TileRows {
    /// Some runs of columns of one row.
    pub(super) fn of_row(row: u64, runs: impl Iterator<Item = (u64, u64)>) -> Self {
        Self(BTreeMap::from([(row, runs.collect())])).coalesce()
    }

    /// Adds a run; [`TileRows::coalesce`] puts it in its place.
    pub(super) fn add_run(&mut self, row: u64, run: (u64, u64)) {
        self.0.entry(row).or_default().push(run);
    }

    /// Adds a tile; [`TileRows::coalesce`] puts it in its place.
    pub(crate) fn add(&mut self, row: u64, column: u64) {
        let runs = self.0.entry(row).or_default();
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(column) => *last = column,
            _ => runs.push((column, column)),
        }
    }

    /// Puts runs in order and joins those that touch.
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

    /// Whether a tile is among them.
    #[must_use]
    pub fn has_tile(&self, row: u64, column: u64) -> bool {
        let runs = self.0.get(&row).map(Vec::as_slice).unwrap_or_default();
        let at = runs.partition_point(|(_, last)| *last < column);
        runs.get(at).is_some_and(|(first, _)| *first <= column)
    }

    /// Whether any tile of a block of rows and columns, first and last, is among them.
    #[must_use]
    pub fn has_any(&self, rows: (u64, u64), columns: (u64, u64)) -> bool {
        let meets = |runs: &Vec<(u64, u64)>| {
            let at = runs.partition_point(|(_, last)| *last < columns.0);
            runs.get(at).is_some_and(|(first, _)| *first <= columns.1)
        };
        rows.0 <= rows.1 && self.0.range(rows.0..=rows.1).any(|(_, runs)| meets(runs))
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

    /// What becomes of each run, given the runs of the other that meet it. Both are walked through once.
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

    /// Those within a block of rows and columns, first and last.
    #[must_use]
    pub fn within(&self, rows: (u64, u64), columns: (u64, u64)) -> Self {
        let cut = |(first, last): &(u64, u64)| {
            let run = ((*first).max(columns.0), (*last).min(columns.1));
            (run.0 <= run.1).then_some(run)
        };
        if rows.0 > rows.1 {
            return Self::default();
        }
        let row = |(row, runs): (&u64, &Vec<(u64, u64)>)| {
            let runs: Vec<_> = runs.iter().filter_map(cut).collect();
            (!runs.is_empty()).then_some((*row, runs))
        };
        Self(self.0.range(rows.0..=rows.1).filter_map(row).collect())
    }

    /// How many tiles each block of `side` rows and columns has, at multiples of it: row and column of the block's first place → tiles.
    /// Takes as long as there are blocks in rows: ask [`TileRows::tiles`] first.
    #[must_use]
    pub fn blocks(&self, side: u64) -> BTreeMap<(u64, u64), u64> {
        let side = side.max(1);
        let mut blocks = BTreeMap::new();
        for (row, runs) in &self.0 {
            for (first, last) in runs {
                for block in first / side..=last / side {
                    let (start, end) = (block * side, block.saturating_mul(side).saturating_add(side - 1));
                    *blocks.entry((row / side * side, start)).or_insert(0) += (*last).min(end) - (*first).max(start) + 1;
                }
            }
        }
        blocks
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_has_not_is_found_by_runs() {
        let of = |tiles: &[(u64, u64)]| tiles.iter().copied().collect::<TileRows>();
        let wanted = of(&[(0, 1), (0, 2), (0, 3), (0, 4), (1, 7), (1, 5), (1, 6)]);
        assert_eq!((wanted.tiles(), wanted.0.get(&1)), (7, Some(&vec![(5, 7)])));
        let stored = of(&[(0, 2), (0, 4), (0, 9), (1, 6), (2, 2)]);
        let missing: Vec<_> = wanted.difference(&stored).each().collect();
        assert_eq!(missing, [(0, 1), (0, 3), (1, 5), (1, 7)]);
        assert!((0..10).all(|c| stored.has_tile(0, c) == [2, 4, 9].contains(&c)) && !stored.has_tile(7, 2));
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
    }

    #[test]
    fn blocks_hold_all_tiles_and_each_once() {
        let rows: TileRows = (0..9).flat_map(|r| (3..=12 + r).map(move |c| (r, c))).collect();
        let blocks = rows.blocks(4);
        assert_eq!(blocks.values().sum::<u64>(), rows.tiles());
        for ((row, column), tiles) in &blocks {
            let within = rows.within((*row, row + 3), (*column, column + 3));
            assert_eq!((within.tiles(), row % 4, column % 4), (*tiles, 0, 0));
            assert!(within.each().all(|(r, c)| rows.has_tile(r, c) && r / 4 == row / 4 && c / 4 == column / 4));
        }
        assert_eq!(rows.within((4, 3), (0, 9)).tiles(), 0);
        assert!(rows.has_any((8, 20), (20, 30)) && !rows.has_any((0, 8), (21, 30)) && !rows.has_any((4, 3), (0, 9)));
    }

    #[test]
    fn rows_of_all_columns_that_there_can_be_are_counted_without_overflow() {
        let all = TileRows(BTreeMap::from([(0, vec![(0, u64::MAX)]), (1, vec![(0, u64::MAX)])]));
        assert_eq!(all.tiles(), u64::MAX);
        assert_eq!(all.difference(&all).tiles(), 0);
    }
}
