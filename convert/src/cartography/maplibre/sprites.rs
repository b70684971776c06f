//! The sprite sheet: markers that are no circles, hatches and pictures, drawn at 1x and 2x.

use super::draw;
use crate::cartography::symbol::{Fill, FillStyle, Hatch, Marker, PIXELS_PER_POINT, Picture, Placement, Stroke};
use serde_json::{Map as Object, Value, json};
use std::collections::BTreeMap;
use tiny_skia::{Pixmap, PixmapPaint, Transform};

/// The widest that a sheet becomes, in pixels at 1x.
const SHEET_WIDTH: u32 = 1024;

/// The images that a style refers to. The same map gives the same bytes.
#[derive(Clone, Debug, Default)]
pub struct Sprites {
    /// By name: what is drawn at 1x and at 2x.
    images: BTreeMap<String, [Pixmap; 2]>,
}

/// What an image shows, as a key that is the same for the same image.
fn key(kind: &str, parts: &str) -> String {
    format!("{kind}-{:016x}", crate::cartography::stable_id::fnv(parts.as_bytes()))
}

impl Sprites {
    /// Whether the style needs no sheet.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The files of the sheet: names and bytes. Their common beginning is `name`.
    pub fn files(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for (at, (ratio, suffix)) in [(1, ""), (2, "@2x")].into_iter().enumerate() {
            let Some((sheet, index)) = self.sheet(at, ratio) else { continue };
            files.push((format!("{name}{suffix}.png"), sheet));
            files.push((format!("{name}{suffix}.json"), index.to_string().into_bytes()));
        }
        files
    }

    /// Places the images in rows, in the order of their names.
    fn sheet(&self, at: usize, ratio: u32) -> Option<(Vec<u8>, Value)> {
        let (mut x, mut y, mut row, mut width) = (0, 0, 0, 1);
        let mut places = Vec::new();
        for (name, images) in &self.images {
            let image = &images[at];
            if x > 0 && x + image.width() > SHEET_WIDTH * ratio {
                (x, y, row) = (0, y + row, 0);
            }
            places.push((name, image, x, y));
            x += image.width();
            row = row.max(image.height());
            width = width.max(x);
        }
        let mut sheet = Pixmap::new(width, (y + row).max(1))?;
        let mut index = Object::new();
        for (name, image, x, y) in places {
            let (left, top) = (i32::try_from(x).ok()?, i32::try_from(y).ok()?);
            sheet.draw_pixmap(left, top, image.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
            let place = json!({"x": x, "y": y, "width": image.width(), "height": image.height(), "pixelRatio": ratio});
            index.insert(name.clone(), place);
        }
        Some((sheet.encode_png().ok()?, Value::Object(index)))
    }

    fn insert(&mut self, name: String, draw: impl Fn(f32) -> Option<Pixmap>) -> Option<String> {
        if !self.images.contains_key(&name) {
            self.images.insert(name.clone(), [draw(1.0)?, draw(2.0)?]);
        }
        Some(name)
    }

    /// The image of a marker.
    pub(crate) fn marker(&mut self, marker: &Marker) -> Option<String> {
        // Where it stands is said by the style.
        let drawn = Marker { placement: Placement::default(), ..marker.clone() };
        let name = key("marker", &format!("{drawn:?}"));
        self.insert(name, |ratio| draw::marker(&drawn, ratio * PIXELS_PER_POINT as f32))
    }

    /// The image of a picture; none where it is no PNG.
    pub(crate) fn picture(&mut self, picture: &Picture) -> Option<String> {
        let decoded = Pixmap::decode_png(&picture.data).ok().filter(|_| picture.media_type == "image/png")?;
        let drawn = Picture { placement: Placement::default(), ..picture.clone() };
        let name = key("picture", &format!("{drawn:?}"));
        let scale = PIXELS_PER_POINT as f32;
        self.insert(name, |ratio| {
            draw::picture(&decoded, picture.width as f32 * scale * ratio, picture.height as f32 * scale * ratio)
        })
    }

    /// The pattern of an area; none where it needs none or has none that can be drawn.
    pub(crate) fn pattern(&mut self, fill: &Fill) -> Option<String> {
        match &fill.style {
            FillStyle::Hatch(hatch) => self.hatch(*hatch, &Stroke { color: fill.color, width: 0.75, dashes: Vec::new() }),
            FillStyle::Picture(picture) => self.picture(picture),
            FillStyle::Solid | FillStyle::Hollow => None,
        }
    }

    fn hatch(&mut self, hatch: Hatch, stroke: &Stroke) -> Option<String> {
        let name = key("hatch", &format!("{hatch:?}{stroke:?}"));
        self.insert(name, |ratio| draw::hatch(hatch, stroke, ratio))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cartography::color::Rgba;
    use crate::cartography::symbol::Shape;

    fn square(size: f64, outline: Option<Stroke>) -> Marker {
        Marker { shape: Shape::Square, size, color: Rgba::new(255, 0, 0, 255), outline, placement: Placement::default() }
    }

    #[test]
    fn a_sheet_is_the_same_each_time_and_has_both_sizes() {
        let make = || {
            let mut sprites = Sprites::default();
            let name = sprites.marker(&square(9.0, None)).expect("a name");
            sprites
                .pattern(&Fill { color: Rgba::GREY, style: FillStyle::Hatch(Hatch::Cross), outline: None })
                .expect("is there");
            assert_eq!(sprites.marker(&square(9.0, None)).expect("a name"), name);
            (name, sprites.files("sprite"))
        };
        let (name, files) = make();
        assert_eq!((name, files.clone()), make());
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sprite.png", "sprite.json", "sprite@2x.png", "sprite@2x.json"]);
        let index: Value = serde_json::from_slice(&files[3].1).expect("JSON");
        assert!(index.as_object().expect("an object").values().all(|place| place["pixelRatio"] == 2));
        let sheet = Pixmap::decode_png(&files[0].1).expect("an image");
        let index: Value = serde_json::from_slice(&files[1].1).expect("JSON");
        let place =
            index.as_object().expect("an object").iter().find(|(name, _)| name.starts_with("marker")).expect("is there").1;
        let at = |key: &str| u32::try_from(place[key].as_u64().expect("a number")).expect("fits");
        let middle = sheet.pixel(at("x") + at("width") / 2, at("y") + at("height") / 2).expect("a pixel");
        assert_eq!((middle.red(), middle.green(), middle.alpha()), (255, 0, 255));
        // 9 points are 12 pixels.
        assert!((12..=14).contains(&at("width")), "{place}");
    }
}
