//! Pictures that need no data: photos and sprites, and how pictures are painted and written.

use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Rect, Transform};

pub(crate) fn paint(r: u8, g: u8, b: u8) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, 255);
    paint.anti_alias = true;
    paint
}

pub(crate) fn png(pixmap: &Pixmap) -> Vec<u8> {
    // A pixmap that exists has a size, which is all that encoding needs.
    pixmap.encode_png().unwrap_or_default()
}

/// A small landscape that stands for a photo of a place; no two are alike.
pub(crate) fn photo(seed: i64) -> Vec<u8> {
    let (width, height) = (160_u32, 120_u32);
    let Some(mut pixmap) = Pixmap::new(width, height) else { return Vec::new() };
    let shade = |k: i64| u8::try_from((seed * k).rem_euclid(60)).unwrap_or(0);
    pixmap.fill(Color::from_rgba8(150 + shade(7), 190 + shade(5) / 2, 235, 255));
    for layer in 0..4_i64 {
        let mut path = PathBuilder::new();
        path.move_to(0.0, height as f32);
        for step in 0..=16_i64 {
            let wave = ((seed * 13 + layer * 31 + step * (layer + 2)) as f32 * 0.35).sin();
            path.line_to(step as f32 * 10.0, 40.0 + layer as f32 * 20.0 + wave * 12.0);
        }
        path.line_to(width as f32, height as f32);
        path.close();
        let green = 150 - u8::try_from(layer).unwrap_or(0) * 28 + shade(3) / 3;
        if let Some(hills) = path.finish() {
            pixmap.fill_path(&hills, &paint(green / 2, green, green / 3), FillRule::Winding, Transform::identity(), None);
        }
    }
    png(&pixmap)
}

/// The sprite sheet of the vector style: a dot and a square, at a pixel ratio.
pub(crate) fn sprite(ratio: u32) -> Vec<u8> {
    let Some(mut pixmap) = Pixmap::new(32 * ratio, 16 * ratio) else { return Vec::new() };
    let scale = ratio as f32;
    if let Some(dot) = PathBuilder::from_circle(8.0 * scale, 8.0 * scale, 5.0 * scale) {
        pixmap.fill_path(&dot, &paint(0xb0, 0x3a, 0x2e), FillRule::Winding, Transform::identity(), None);
    }
    if let Some(square) = Rect::from_xywh(19.0 * scale, 3.0 * scale, 10.0 * scale, 10.0 * scale) {
        pixmap.fill_rect(square, &paint(0x2e, 0x5a, 0xb0), Transform::identity(), None);
    }
    png(&pixmap)
}
