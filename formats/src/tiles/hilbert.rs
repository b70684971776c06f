//! The order of tiles along Hilbert curves, one for each zoom.
//!
//! A tile id of PMTiles v3 (§4.1) is the number of tiles of all zooms before, and the position on the curve: 0/0/0 is 0, then 1/0/0,
//! 1/0/1, 1/1/1, 1/1/0 (zoom/column/row, rows from the top) are 1 to 4.

/// The deepest zoom that is read or written: rows and columns keep within 31 bits, ids within 63.
pub const DEEPEST_ZOOM: u8 = 31;

/// Position of a place on the curve of an order: in a square of 2^order rows and columns.
#[must_use]
pub fn hilbert_position(order: u32, column: u32, row: u32) -> u64 {
    let (mut x, mut y) = (column, row);
    let mut position = 0_u64;
    for bit in (0..order.min(32)).rev() {
        let side = 1_u32 << bit;
        let (right, below) = (u64::from(x & side != 0), u64::from(y & side != 0));
        position = (position << 2) | ((3 * right) ^ below);
        if below == 0 {
            if right == 1 {
                // Only the lower bits count from here on.
                (x, y) = (!x, !y);
            }
            (x, y) = (y, x);
        }
    }
    position
}

/// Column and row of a position on the curve of an order.
#[must_use]
pub fn hilbert_place(order: u32, position: u64) -> (u32, u32) {
    let (mut x, mut y) = (0_u32, 0_u32);
    let mut rest = position;
    for bit in 0..order.min(32) {
        let side = 1_u32 << bit;
        let right = (rest >> 1) & 1;
        let below = (rest ^ right) & 1;
        if below == 0 {
            if right == 1 {
                (x, y) = (side.wrapping_sub(1).wrapping_sub(x), side.wrapping_sub(1).wrapping_sub(y));
            }
            (x, y) = (y, x);
        }
        if right == 1 {
            x |= side;
        }
        if below == 1 {
            y |= side;
        }
        rest >>= 2;
    }
    (x, y)
}

/// Tiles of all zooms before one.
fn tiles_before(zoom: u8) -> u64 {
    ((1_u64 << (2 * u32::from(zoom))) - 1) / 3
}

/// The id of a tile; `None` where the zoom has no such column or row, or is beyond [`DEEPEST_ZOOM`].
#[must_use]
pub fn tile_id(zoom: u8, column: u64, row: u64) -> Option<u64> {
    if zoom > DEEPEST_ZOOM || column >> zoom != 0 || row >> zoom != 0 {
        return None;
    }
    let (column, row) = (u32::try_from(column).ok()?, u32::try_from(row).ok()?);
    Some(tiles_before(zoom) + hilbert_position(u32::from(zoom), column, row))
}

/// Zoom, column and row of a tile id; `None` beyond [`DEEPEST_ZOOM`].
#[must_use]
pub fn tile_of_id(id: u64) -> Option<(u8, u32, u32)> {
    let zoom = (0..=DEEPEST_ZOOM).rev().find(|zoom| tiles_before(*zoom) <= id)?;
    let position = id - tiles_before(zoom);
    if position >> (2 * u32::from(zoom)) != 0 {
        return None;
    }
    let (column, row) = hilbert_place(u32::from(zoom), position);
    Some((zoom, column, row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_those_of_the_specification() {
        let table = [
            (0, 0, 0, 0),
            (1, 0, 0, 1),
            (1, 0, 1, 2),
            (1, 1, 1, 3),
            (1, 1, 0, 4),
            (2, 0, 0, 5),
            (12, 3423, 1763, 19_078_479),
        ];
        for (zoom, column, row, id) in table {
            assert_eq!(tile_id(zoom, column, row), Some(id));
            assert_eq!(tile_of_id(id).map(|(z, x, y)| (z, u64::from(x), u64::from(y))), Some((zoom, column, row)));
        }
        assert_eq!(tile_id(3, 8, 0), None);
        assert_eq!(tile_id(32, 0, 0), None);
        assert_eq!(tile_of_id(u64::MAX), None);
        assert!(tile_id(31, (1 << 31) - 1, (1 << 31) - 1).is_some());
    }

    proptest! {
        #[test]
        fn every_tile_has_one_id_and_neighbours_on_the_curve_touch(zoom in 1_u8..=31, x in any::<u32>(), y in any::<u32>()) {
            let (column, row) = (u64::from(x) % (1 << zoom), u64::from(y) % (1 << zoom));
            let id = tile_id(zoom, column, row).expect("in the zoom");
            let (z, c, r) = tile_of_id(id).expect("a tile");
            prop_assert_eq!((z, u64::from(c), u64::from(r)), (zoom, column, row));
            if let Some((z, c, r)) = tile_of_id(id + 1).filter(|(z, _, _)| *z == zoom) {
                prop_assert_eq!((u64::from(c).abs_diff(column) + u64::from(r).abs_diff(row), z), (1, zoom));
            }
        }

        #[test]
        fn a_block_of_128_by_128_tiles_comes_as_a_whole(order in 7_u32..=32, x in any::<u32>(), y in any::<u32>()) {
            let mask = u32::MAX >> (32 - order);
            let (x, y) = (x & mask, y & mask);
            let first = hilbert_position(order, x & !127, y & !127);
            prop_assert_eq!(hilbert_position(order, x, y) >> 14, first >> 14);
            prop_assert_eq!(hilbert_place(order, hilbert_position(order, x, y)), (x, y));
        }
    }
}
