//! The pictures that are asked for: a few tiles in one, with a margin around them that is cut away, so that labels and symbols go on from
//! picture to picture.

use offmap_formats::TileId;
use offmap_formats::tiles::{Lod, TileInfo, TileRows};
use offmap_model::Envelope;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tiles at a side of a picture, most first; each divides a block of 128 tiles, so that no picture lies in two.
const SIDES: [u32; 3] = [4, 2, 1];
/// Margin on each side, in pixels.
const MARGIN: u32 = 64;
/// Longest side of a picture where the service says nothing, and at all: so much is in memory.
const LONGEST_UNSAID: u32 = 2048;
const LONGEST: u32 = 4096;

/// How many tiles are in a picture, and how wide its margin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FrameSize {
    side: u32,
    margin: u32,
}

impl FrameSize {
    /// The most tiles that fit a service's largest picture.
    ///
    /// # Errors
    /// Its longest side, where not even one tile fits.
    pub(super) fn of(info: &TileInfo, largest: (Option<u32>, Option<u32>)) -> Result<Self, u32> {
        let said = [largest.0, largest.1].into_iter().flatten().filter(|side| *side > 0).min();
        let most = said.unwrap_or(LONGEST_UNSAID).min(LONGEST);
        let tile = info.rows.max(info.cols).max(1);
        let fits = |side: &u32| side.saturating_mul(tile).saturating_add(2 * MARGIN) <= most;
        match SIDES.into_iter().find(fits) {
            Some(side) => Ok(Self { side, margin: MARGIN }),
            None if tile <= most => Ok(Self { side: 1, margin: (most - tile) / 2 }),
            None => Err(most),
        }
    }

    /// How many pictures hold some tiles of a block.
    pub(super) fn pictures(self, tiles: &TileRows) -> u64 {
        tiles.blocks(u64::from(self.side)).len() as u64
    }

    /// Tiles, picture by picture. What is in one depends on nothing but the tiles that are wanted.
    pub(super) fn frames(
        self,
        (info, lod): (&TileInfo, &Lod),
        tiles: impl Iterator<Item = TileId>,
    ) -> impl Iterator<Item = Frame> {
        let side = u64::from(self.side);
        let mut groups: BTreeMap<(u64, u64), Vec<TileId>> = BTreeMap::new();
        for tile in tiles {
            groups.entry((tile.row / side, tile.column / side)).or_default().push(tile);
        }
        let (info, lod) = (info.clone(), *lod);
        groups.into_values().filter_map(move |tiles| Frame::around(self.margin, (&info, &lod), tiles))
    }
}

/// Parameters of a request for a picture by their names.
pub(super) type Parameters = Vec<(&'static str, String)>;

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) tiles: Vec<TileId>,
    pub(super) envelope: Envelope,
    /// Its size in pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Width and height of a tile.
    pub(super) tile: (u32, u32),
    /// First row and column, and where they begin in the picture.
    first: (u64, u64),
    left: u32,
    top: u32,
}

impl Frame {
    /// The picture around some tiles of one level; `None` where there are none.
    fn around(margin: u32, (info, lod): (&TileInfo, &Lod), tiles: Vec<TileId>) -> Option<Self> {
        let range = |of: fn(&TileId) -> u64| Some((tiles.iter().map(of).min()?, tiles.iter().map(of).max()?));
        let ((row, last_row), (column, last_column)) = (range(|t| t.row)?, range(|t| t.column)?);
        let (rows, columns) = (u32::try_from(last_row - row + 1).ok()?, u32::try_from(last_column - column + 1).ok()?);
        let (width, height) = (columns.checked_mul(info.cols)?, rows.checked_mul(info.rows)?);
        let at = |tiles: u64, pixels: u32| tiles as f64 * f64::from(pixels) * lod.resolution;
        let (xmin, ymax) = (info.origin.x + at(column, info.cols), info.origin.y - at(row, info.rows));
        let (xmax, ymin) = (xmin + f64::from(width) * lod.resolution, ymax - f64::from(height) * lod.resolution);
        let mut sides = [margin; 4];
        // Beyond the world there is nothing whose labels could reach in, and services refuse to draw there or draw it again.
        if let Some(world) = info.spatial_reference.world() {
            let room = [xmin - world.xmin, world.ymax - ymax, world.xmax - xmax, ymin - world.ymin];
            for (side, room) in sides.iter_mut().zip(room) {
                // Saturating by language: what is below nothing is nothing.
                *side = (*side).min((room / lod.resolution + 0.5).floor() as u32);
            }
        }
        let [left, top, right, bottom] = sides;
        let wide = |pixels: u32| f64::from(pixels) * lod.resolution;
        let spatial_reference = info.spatial_reference.clone();
        let envelope =
            Envelope::new(xmin - wide(left), ymin - wide(bottom), xmax + wide(right), ymax + wide(top), spatial_reference);
        let (width, height) = (width + left + right, height + top + bottom);
        Some(Self { tiles, envelope, width, height, tile: (info.cols, info.rows), first: (row, column), left, top })
    }

    /// Where a tile of it begins, in pixels from the left and from the top.
    pub(super) fn place_of(&self, tile: TileId) -> (u32, u32) {
        let steps = |of: u64, first: u64| u32::try_from(of.saturating_sub(first)).unwrap_or(u32::MAX);
        let x = steps(tile.column, self.first.1).saturating_mul(self.tile.0).saturating_add(self.left);
        let y = steps(tile.row, self.first.0).saturating_mul(self.tile.1).saturating_add(self.top);
        (x, y)
    }

    /// Its corners as a parameter of a request, x before y.
    pub(super) fn bbox(&self) -> String {
        let Envelope { xmin, ymin, xmax, ymax, .. } = &self.envelope;
        format!("{xmin},{ymin},{xmax},{ymax}")
    }

    /// The same, y before x.
    pub(super) fn flipped_bbox(&self) -> String {
        let Envelope { xmin, ymin, xmax, ymax, .. } = &self.envelope;
        format!("{ymin},{xmin},{ymax},{xmax}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::tiles::web_mercator_scheme;

    fn tiles(level: u32, rows: std::ops::Range<u64>, columns: std::ops::Range<u64>) -> Vec<TileId> {
        rows.flat_map(|row| columns.clone().map(move |column| TileId { level, row, column })).collect()
    }

    #[test]
    fn a_picture_has_as_many_tiles_as_the_service_draws() {
        let info = web_mercator_scheme(256, 3);
        let of = |width, height| FrameSize::of(&info, (width, height)).map(|size| (size.side, size.margin));
        assert_eq!(of(None, None), Ok((4, 64)));
        assert_eq!(of(Some(4096), Some(1152)), Ok((4, 64)));
        assert_eq!(of(Some(1151), Some(4096)), Ok((2, 64)));
        assert_eq!(of(Some(0), Some(600)), Ok((1, 64)), "nothing is said of the width");
        assert_eq!(of(Some(300), None), Ok((1, 22)));
        assert_eq!(of(Some(256), None), Ok((1, 0)));
        assert_eq!(of(Some(255), None), Err(255));
        assert_eq!(FrameSize::of(&web_mercator_scheme(512, 3), (None, None)).map(|s| s.side), Ok(2));
    }

    #[test]
    fn pictures_lie_on_the_grid_whatever_is_wanted_of_it_and_their_pixels_are_those_of_the_level() {
        let info = web_mercator_scheme(256, 8);
        let lod = info.lods[6];
        let size = FrameSize::of(&info, (None, None)).expect("fits");
        let frames: Vec<Frame> = size.frames((&info, &lod), tiles(6, 10..17, 21..26).into_iter()).collect();
        // Rows 10 and 11, 12 to 15, 16; columns 21 to 23, 24 and 25.
        let sizes: Vec<_> = frames.iter().map(|f| (f.tiles.len(), f.width, f.height)).collect();
        let side = |tiles: u32| tiles * 256 + 128;
        let expected: Vec<_> = [2, 4, 1]
            .into_iter()
            .flat_map(|rows| [3, 2].map(|columns| ((rows * columns) as usize, side(columns), side(rows))))
            .collect();
        assert_eq!(sizes, expected);
        for frame in &frames {
            let (width, height) = (frame.envelope.xmax - frame.envelope.xmin, frame.envelope.ymax - frame.envelope.ymin);
            assert!((width / f64::from(frame.width) / lod.resolution - 1.0).abs() < 1e-12);
            assert!((height / f64::from(frame.height) / lod.resolution - 1.0).abs() < 1e-12);
            for tile in &frame.tiles {
                let (x, y) = frame.place_of(*tile);
                let left = frame.envelope.xmin + f64::from(x) * lod.resolution;
                let top = frame.envelope.ymax - f64::from(y) * lod.resolution;
                let metres = 256.0 * lod.resolution;
                assert!((left - (info.origin.x + tile.column as f64 * metres)).abs() < 1e-6, "{tile:?}");
                assert!((top - (info.origin.y - tile.row as f64 * metres)).abs() < 1e-6, "{tile:?}");
            }
        }
    }

    #[test]
    fn there_is_no_margin_beyond_the_world() {
        let info = web_mercator_scheme(256, 3);
        let size = FrameSize::of(&info, (None, None)).expect("fits");
        let frame = |level: u32, rows, columns| {
            let lod = info.lods[level as usize];
            size.frames((&info, &lod), tiles(level, rows, columns).into_iter()).next().expect("one")
        };
        let world = frame(0, 0..1, 0..1);
        assert_eq!((world.width, world.height, world.place_of(world.tiles[0])), (256, 256, (0, 0)));
        let corner = frame(3, 0..4, 4..8);
        assert_eq!((corner.width, corner.height), (1024 + 64, 1024 + 64));
        assert_eq!(corner.place_of(corner.tiles[0]), (64, 0));
    }

    #[test]
    fn corners_are_written_in_both_orders() {
        let info = web_mercator_scheme(256, 0);
        let size = FrameSize::of(&info, (None, None)).expect("fits");
        let frame = size.frames((&info, &info.lods[0]), tiles(0, 0..1, 0..1).into_iter()).next();
        let mut frame = frame.expect("one");
        frame.envelope = Envelope::new(1.0, 2.5, 3.0, 4.0, info.spatial_reference.clone());
        assert_eq!((frame.bbox(), frame.flipped_bbox()), ("1,2.5,3,4".to_owned(), "2.5,1,4,3".to_owned()));
    }
}
