//! Maps as pictures: drawn from the data.

use crate::data::{Data, Shape};
use crate::drawn::{Key, once};
use crate::picture::{paint, png};
use offmap_model::Envelope;
use tiny_skia::{Color, FillRule, LineCap, Path, PathBuilder, Pixmap, Stroke, Transform};

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

/// An envelope in Web Mercator as a PNG of 200 × 133 pixels, as items have it.
pub(crate) fn thumbnail(data: &Data, envelope: &Envelope) -> Vec<u8> {
    let key = [envelope.xmin, envelope.ymin, envelope.xmax, envelope.ymax].map(f64::to_bits);
    once(Key::Thumbnail(key), || Some(map_picture(data, envelope, 200, 133))).unwrap_or_default()
}

/// Draws an envelope in Web Mercator as a PNG of `width` × `height` pixels.
pub(crate) fn map_picture(data: &Data, envelope: &Envelope, width: u32, height: u32) -> Vec<u8> {
    let Some(mut pixmap) = Pixmap::new(width, height) else { return Vec::new() };
    pixmap.fill(Color::from_rgba8(0xbf, 0xd9, 0xe8, 255));
    let view = View { scale: f64::from(width) / (envelope.xmax - envelope.xmin), envelope: envelope.clone() };
    let near = |shape: &Shape| shape.envelope().is_some_and(|e| e.intersects(envelope));
    let stroke = |width: f32| Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
    for country in data.countries.iter() {
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
    for border in data.borders.iter() {
        let Some(Shape::Lines(lines)) = border.shape.as_ref().filter(|s| near(s)) else { continue };
        if let Some(path) = view.path(lines, false) {
            pixmap.stroke_path(&path, &paint(0xa0, 0x7c, 0x9c), &stroke(1.2), Transform::identity(), None);
        }
    }
    for place in data.places.iter() {
        let Some(Shape::Point(p)) = &place.shape else { continue };
        let (x, y) = view.at(*p);
        if let Some(dot) = PathBuilder::from_circle(x, y, 3.0).filter(|_| envelope.contains(*p)) {
            pixmap.fill_path(&dot, &paint(0xb0, 0x3a, 0x2e), FillRule::Winding, Transform::identity(), None);
        }
    }
    png(&pixmap)
}
