//! Which rows and columns of each level have tiles: what a file says of its levels and bounds comes from its tiles.

use crate::sinks::TileId;
use crate::tiles::TileInfo;
use offmap_model::{AreaOfInterest, Envelope};
use std::collections::BTreeMap;

/// First and last row and column of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    rows: (u64, u64),
    columns: (u64, u64),
}

/// By level.
#[derive(Debug, Clone, Default)]
pub(crate) struct TileExtents(BTreeMap<u32, Extent>);

impl TileExtents {
    pub(crate) fn add(&mut self, place: TileId) {
        let TileId { level, row, column } = place;
        let extent = self.0.entry(level).or_insert(Extent { rows: (row, row), columns: (column, column) });
        let around = |range: &mut (u64, u64), n: u64| *range = (range.0.min(n), range.1.max(n));
        around(&mut extent.rows, row);
        around(&mut extent.columns, column);
    }

    /// First and last level that has tiles.
    pub(crate) fn levels(&self) -> Option<(u32, u32)> {
        Some((*self.0.first_key_value()?.0, *self.0.last_key_value()?.0))
    }

    /// Whether every level has no more than twice the rows and columns of the one before, and level 0 one of each.
    pub(crate) fn is_quadtree(&self) -> bool {
        self.0.iter().all(|(level, extent)| *level <= 31 && extent.rows.1 >> level == 0 && extent.columns.1 >> level == 0)
    }

    /// The envelope of the tiles of the finest level, in the scheme's spatial reference.
    pub(crate) fn envelope(&self, info: &TileInfo) -> Option<Envelope> {
        let finest = info.lods.iter().filter(|lod| self.0.contains_key(&lod.level));
        let lod = finest.min_by(|a, b| a.resolution.total_cmp(&b.resolution))?;
        let extent = self.0.get(&lod.level)?;
        let (width, height) = (lod.resolution * f64::from(info.cols), lod.resolution * f64::from(info.rows));
        let (x, y) = (info.origin.x, info.origin.y);
        Some(Envelope {
            xmin: x + extent.columns.0 as f64 * width,
            xmax: x + (extent.columns.1 + 1) as f64 * width,
            ymin: y - (extent.rows.1 + 1) as f64 * height,
            ymax: y - extent.rows.0 as f64 * height,
            spatial_reference: Some(info.spatial_reference.clone()),
        })
    }

    /// What a set says of its bounds, cut to its tiles; those of its tiles where it says none, or one that has none of them.
    pub(crate) fn bounds(&self, info: &TileInfo, said: Option<&Envelope>) -> Option<Envelope> {
        let tiles = self.envelope(info)?;
        let to = &info.spatial_reference;
        let in_scheme = |said: &Envelope| match &said.spatial_reference {
            Some(from) if !from.same_as(to) => AreaOfInterest::Envelope(said.clone()).project(to).ok()?.envelope(),
            _ => Some(said.clone()),
        };
        let said = said.and_then(in_scheme);
        let cut = said.map(|said| Envelope {
            xmin: said.xmin.max(tiles.xmin),
            ymin: said.ymin.max(tiles.ymin),
            xmax: said.xmax.min(tiles.xmax),
            ymax: said.ymax.min(tiles.ymax),
            spatial_reference: tiles.spatial_reference.clone(),
        });
        Some(cut.filter(|e| e.xmin < e.xmax && e.ymin < e.ymax).unwrap_or(tiles))
    }
}

/// An envelope in degrees: west, south, east, north.
pub(crate) fn degrees(envelope: &Envelope) -> Option<[f64; 4]> {
    let [[west, south], [east, north]] = AreaOfInterest::Envelope(envelope.clone()).wgs84_extent().ok()?;
    Some([west, south, east.min(180.0), north])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiles::web_mercator_scheme;

    #[test]
    fn bounds_are_those_of_the_tiles_unless_better_ones_are_said() {
        let info = web_mercator_scheme(256, 3);
        let mut extents = TileExtents::default();
        for (level, row, column) in [(0, 0, 0), (1, 0, 1), (1, 0, 0)] {
            extents.add(TileId { level, row, column });
        }
        assert_eq!(extents.levels(), Some((0, 1)));
        let north = extents.bounds(&info, None).expect("bounds");
        assert!(north.ymin.abs() < 1e-6 && (north.ymax - 20_037_508.342_787).abs() < 1e-6, "{north:?}");
        let said = Envelope { xmin: 0.0, ymin: -5.0, xmax: 10.0, ymax: 10.0, spatial_reference: None };
        assert_eq!(extents.bounds(&info, Some(&said)).map(|e| (e.xmin, e.ymin.abs() < 1e-6)), Some((0.0, true)));
        let wrong = Envelope { xmin: 0.0, ymin: -50.0, xmax: 10.0, ymax: -10.0, spatial_reference: None };
        assert_eq!(extents.bounds(&info, Some(&wrong)), Some(north));
    }
}
