//! Pictures that are drawn on demand: the colour of a pixel says where in the world it is, so that a pixel at another place is found.

use crate::picture::png;
use offmap_model::Envelope;
use offmap_model::geometry::WEB_MERCATOR_HALF;
use tiny_skia::{Pixmap, PremultipliedColorU8};

/// Pixels of a tile at a side: the pattern repeats there, but for its blue.
const TILE: i64 = 256;
/// Pixels at the edge of a picture that are spoilt, as labels are that a picture cuts.
const SPOILT: u32 = 40;
/// What spoilt pixels look like.
const CUT: [u8; 4] = [255, 0, 255, 255];
/// One tile of so many has nothing on it.
const EMPTY: u8 = 7;

/// Which service draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// The map service `Dynamic`.
    Map,
    /// The image service `Scenes`.
    Image,
    /// The WMS.
    Wms,
}

/// Where a coordinate reference system begins to count: x at the left, y at the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Corner {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl Corner {
    pub(crate) const WEB_MERCATOR: Self = Self { x: -WEB_MERCATOR_HALF, y: WEB_MERCATOR_HALF };
    pub(crate) const DEGREES: Self = Self { x: -180.0, y: 90.0 };
}

/// The colour of a pixel of a service, red, green, blue and alpha, by its column and row from the upper left corner of the world at the
/// resolution at which it is drawn.
#[must_use]
pub fn pattern_colour(pattern: Pattern, column: i64, row: i64) -> [u8; 4] {
    let (x, y) = (column.div_euclid(TILE), row.div_euclid(TILE));
    let mixed = x.wrapping_mul(0x9e37_79b9).wrapping_add(y.wrapping_mul(0x85eb_ca6b));
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    let [blue, ..] = (mixed >> 7).to_le_bytes();
    let tint = match pattern {
        Pattern::Map => 0,
        Pattern::Image => 0x55,
        Pattern::Wms => 0xaa,
    };
    let part = |of: i64| u8::try_from(of.rem_euclid(TILE)).unwrap_or(0);
    let is_empty = blue % EMPTY == 3 && pattern != Pattern::Image;
    if is_empty { [0; 4] } else { [part(column), part(row), blue ^ tint, 255] }
}

/// Draws an envelope as PNG of `width` × `height` pixels. Its edges are spoilt but for where the world ends.
pub(crate) fn drawn(
    pattern: Pattern,
    envelope: &Envelope,
    corner: Corner,
    (width, height): (u32, u32),
    transparent: bool,
) -> Vec<u8> {
    let Some(mut pixmap) = Pixmap::new(width, height) else { return Vec::new() };
    let (across, down) =
        ((envelope.xmax - envelope.xmin) / f64::from(width), (envelope.ymax - envelope.ymin) / f64::from(height));
    let at = |from: f64, by: f64, pixel: u32| ((from / by) + f64::from(pixel) + 0.5).floor() as i64;
    let near = |a: f64, b: f64, by: f64| (a - b).abs() < by / 2.0;
    let ends = [
        near(envelope.xmin, corner.x, across),
        near(envelope.ymax, corner.y, down),
        near(envelope.xmax, -corner.x, across),
        near(envelope.ymin, -corner.y, down),
    ];
    let is_spoilt = |x: u32, y: u32| {
        let sides = [x < SPOILT, y < SPOILT, x >= width.saturating_sub(SPOILT), y >= height.saturating_sub(SPOILT)];
        sides.into_iter().zip(ends).any(|(is_near, is_end)| is_near && !is_end)
    };
    let columns: Vec<i64> = (0..width).map(|x| at(envelope.xmin - corner.x, across, x)).collect();
    let lines = pixmap.pixels_mut().chunks_exact_mut(columns.len());
    for (y, line) in (0..height).zip(lines) {
        let row = at(corner.y - envelope.ymax, down, y);
        for ((x, column), pixel) in (0..width).zip(&columns).zip(line) {
            let [r, g, b, a] = if is_spoilt(x, y) { CUT } else { pattern_colour(pattern, *column, row) };
            let colour = if a == 0 && !transparent { [255; 4] } else { [r, g, b, a] };
            if let Some(colour) = PremultipliedColorU8::from_rgba(colour[0], colour[1], colour[2], colour[3]) {
                *pixel = colour;
            }
        }
    }
    png(&pixmap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_has_one_colour_whatever_picture_it_is_in() {
        let step = 2.0 * WEB_MERCATOR_HALF / 256.0 / 8.0;
        let picture = |left: i64, top: i64, size: u32| {
            let (xmin, ymax) = (-WEB_MERCATOR_HALF + left as f64 * step, WEB_MERCATOR_HALF - top as f64 * step);
            let side = f64::from(size) * step;
            let envelope = Envelope { xmin, ymin: ymax - side, xmax: xmin + side, ymax, spatial_reference: None };
            Pixmap::decode_png(&drawn(Pattern::Map, &envelope, Corner::WEB_MERCATOR, (size, size), true)).expect("a PNG")
        };
        for (left, top, size) in [(300, 520, 200), (340, 540, 300)] {
            let drawn = picture(left, top, size);
            let pixel = drawn.pixel(420 - left as u32, 610 - top as u32).expect("in it").demultiply();
            let found = [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()];
            assert_eq!(found, pattern_colour(Pattern::Map, 420, 610));
            assert_eq!(drawn.pixel(3, 100).map(|p| (p.red(), p.green())), Some((255, 0)), "its edge is spoilt");
        }
    }
}
