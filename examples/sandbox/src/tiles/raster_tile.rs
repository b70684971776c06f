//! Raster tiles, drawn from the data.

use super::scheme::{TileScheme, tile_extent};
use crate::data::Data;
use crate::draw::map_picture;
use crate::drawn::{Key, once};

/// Bytes of a PNG's signature and first chunk.
const PNG_HEAD: usize = 8 + 25;

/// A raster tile. Where the scheme wants it, a comment in the picture names its level, row and column.
pub(crate) fn tile(data: &Data, scheme: &TileScheme, level: u32, row: u64, column: u64) -> Vec<u8> {
    let draw = || Some(draw(data, scheme, level, row, column));
    once(Key::Tile(scheme.title, level, row, column), draw).unwrap_or_default()
}

fn draw(data: &Data, scheme: &TileScheme, level: u32, row: u64, column: u64) -> Vec<u8> {
    let mut picture = map_picture(data, &tile_extent(level, row, column), 256, 256);
    if scheme.labelled {
        let text = format!("tEXtComment\0tile {level}/{row}/{column}.");
        let mut check = flate2::Crc::new();
        check.update(text.as_bytes());
        // The type is not part of the length.
        let length = u32::try_from(text.len() - 4).unwrap_or(0).to_be_bytes();
        let chunk = [&length, text.as_bytes(), &check.sum().to_be_bytes()].concat();
        let after_head = PNG_HEAD.min(picture.len());
        picture.splice(after_head..after_head, chunk);
    }
    picture
}
