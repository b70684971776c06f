//! Pictures: raster tiles, photos, sprites and thumbnails, drawn from the data.

use crate::data::{Data, Shape};
use crate::tiles::TileScheme;
use offmap_model::Envelope;
use offmap_model::geometry::WEB_MERCATOR_HALF;
use tiny_skia::{Color, FillRule, LineCap, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

/// Bytes of a PNG's signature and first chunk.
const PNG_HEAD: usize = 8 + 25;

fn paint(r: u8, g: u8, b: u8) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, 255);
    paint.anti_alias = true;
    paint
}

fn png(pixmap: &Pixmap) -> Vec<u8> {
    // A pixmap that exists has a size, which is all that encoding needs.
    pixmap.encode_png().unwrap_or_default()
}

/// Ground of an envelope in Web Mercator on a picture.
struct View {
    envelope: Envelope,
    scale: f64,
}

impl View {
    fn at(&self, [x, y]: [f64; 2]) -> (f32, f32) {
        (((x - self.envelope.xmin) * self.scale) as f32, ((self.envelope.ymax - y) * self.scale) as f32)
    }

    fn path<'a>(&self, lines: impl IntoIterator<Item = &'a Vec<[f64; 2]>>, close: bool) -> Option<Path> {
        let mut path = PathBuilder::new();
        for line in lines {
            let mut last: Option<(f32, f32)> = None;
            for point in line {
                let (x, y) = self.at(*point);
                match last {
                    None => path.move_to(x, y),
                    // Points closer than a third of a pixel draw nothing.
                    Some((px, py)) if (px - x).abs() < 0.3 && (py - y).abs() < 0.3 => continue,
                    Some(_) => path.line_to(x, y),
                }
                last = Some((x, y));
            }
            if close {
                path.close();
            }
        }
        path.finish()
    }
}

/// Draws an envelope in Web Mercator as a PNG of `width` × `height` pixels.
pub(crate) fn map_picture(data: &Data, envelope: &Envelope, width: u32, height: u32) -> Vec<u8> {
    let Some(mut pixmap) = Pixmap::new(width, height) else { return Vec::new() };
    pixmap.fill(Color::from_rgba8(0xbf, 0xd9, 0xe8, 255));
    let view = View { scale: f64::from(width) / (envelope.xmax - envelope.xmin), envelope: envelope.clone() };
    let near = |shape: &Shape| shape.envelope().is_some_and(|e| e.intersects(envelope));
    let stroke = |width: f32| Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
    for country in &data.countries {
        let Some(Shape::Polygon(polygon)) = country.shape.as_ref().filter(|s| near(s)) else { continue };
        let Some(path) = view.path(&polygon.rings, true) else { continue };
        let tint = u8::try_from(country.id() * 29 % 24).unwrap_or(0);
        pixmap.fill_path(
            &path,
            &paint(0xee - tint / 2, 0xea - tint, 0xd8 - tint),
            FillRule::EvenOdd,
            Transform::identity(),
            None,
        );
        pixmap.stroke_path(&path, &paint(0x8f, 0xa8, 0xb5), &stroke(0.6), Transform::identity(), None);
    }
    for border in &data.borders {
        let Some(Shape::Lines(lines)) = border.shape.as_ref().filter(|s| near(s)) else { continue };
        if let Some(path) = view.path(lines, false) {
            pixmap.stroke_path(&path, &paint(0xa0, 0x7c, 0x9c), &stroke(1.2), Transform::identity(), None);
        }
    }
    for place in &data.places {
        let Some(Shape::Point(p)) = &place.shape else { continue };
        let (x, y) = view.at(*p);
        if let Some(dot) = PathBuilder::from_circle(x, y, 3.0).filter(|_| envelope.contains(*p)) {
            pixmap.fill_path(&dot, &paint(0xb0, 0x3a, 0x2e), FillRule::Winding, Transform::identity(), None);
        }
    }
    png(&pixmap)
}

/// Extent of a tile of the Web Mercator quadtree.
pub(crate) fn tile_extent(level: u32, row: u64, column: u64) -> Envelope {
    let width = 2.0 * WEB_MERCATOR_HALF / f64::from(level).exp2();
    let (xmin, ymax) = (-WEB_MERCATOR_HALF + column as f64 * width, WEB_MERCATOR_HALF - row as f64 * width);
    Envelope { xmin, ymin: ymax - width, xmax: xmin + width, ymax, spatial_reference: None }
}

/// A raster tile. Where the scheme wants it, a comment in the picture says which one it is.
pub(crate) fn tile(data: &Data, scheme: &TileScheme, level: u32, row: u64, column: u64) -> Vec<u8> {
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
