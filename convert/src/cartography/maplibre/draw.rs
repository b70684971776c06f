//! Draws markers, hatches and pictures into images.

use crate::cartography::color::Rgba;
use crate::cartography::symbol::{Hatch, Marker, Shape, Stroke};
use tiny_skia::{FillRule, FilterQuality, LineCap, Paint, PathBuilder, Pixmap, PixmapPaint, Transform};

/// Pixels between two hatches at 1x: a whole number, so that the pattern repeats without a seam. Esri's viewers leave 8 points.
const HATCH_PIXELS: u32 = 10;

fn paint(color: Rgba) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(color.red, color.green, color.blue, color.alpha);
    paint
}

fn pen(stroke: &Stroke, scale: f32) -> tiny_skia::Stroke {
    tiny_skia::Stroke { width: stroke.width as f32 * scale, line_cap: LineCap::Butt, ..tiny_skia::Stroke::default() }
}

/// A marker in the middle of an image that is just large enough.
pub(crate) fn marker(marker: &Marker, scale: f32) -> Option<Pixmap> {
    let half = marker.size as f32 * scale / 2.0;
    let thin = Stroke { color: marker.color, width: 1.0, dashes: Vec::new() };
    let outline = marker.outline.as_ref().or(marker.shape.is_open().then_some(&thin));
    let margin = outline.map_or(0.0, |stroke| stroke.width as f32 * scale / 2.0).min(256.0) + 0.5;
    // The cast holds: sizes are at most 512 points.
    let side = ((half + margin) * 2.0).ceil().clamp(1.0, 4096.0) as u32;
    let mut image = Pixmap::new(side, side)?;
    let middle = side as f32 / 2.0;
    let path = shape(marker.shape, middle, half)?;
    if !marker.shape.is_open() {
        image.fill_path(&path, &paint(marker.color), FillRule::Winding, Transform::identity(), None);
    }
    if let Some(stroke) = outline {
        image.stroke_path(&path, &paint(stroke.color), &pen(stroke, scale), Transform::identity(), None);
    }
    Some(image)
}

fn shape(shape: Shape, middle: f32, half: f32) -> Option<tiny_skia::Path> {
    let (least, most) = (middle - half, middle + half);
    let mut path = PathBuilder::new();
    let ring = |path: &mut PathBuilder, points: &[(f32, f32)]| {
        for (at, (x, y)) in points.iter().enumerate() {
            if at == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
        }
        path.close();
    };
    match shape {
        Shape::Circle => path.push_circle(middle, middle, half),
        Shape::Square => ring(&mut path, &[(least, least), (most, least), (most, most), (least, most)]),
        Shape::Diamond => ring(&mut path, &[(middle, least), (most, middle), (middle, most), (least, middle)]),
        Shape::Triangle => ring(&mut path, &[(middle, least), (most, most), (least, most)]),
        Shape::Cross => {
            line(&mut path, (least, middle), (most, middle));
            line(&mut path, (middle, least), (middle, most));
        }
        Shape::X => {
            line(&mut path, (least, least), (most, most));
            line(&mut path, (least, most), (most, least));
        }
    }
    path.finish()
}

fn line(path: &mut PathBuilder, from: (f32, f32), to: (f32, f32)) {
    path.move_to(from.0, from.1);
    path.line_to(to.0, to.1);
}

/// One square of a hatch.
pub(crate) fn hatch(hatch: Hatch, stroke: &Stroke, ratio: f32) -> Option<Pixmap> {
    let side = HATCH_PIXELS * ratio.round() as u32;
    let mut image = Pixmap::new(side, side)?;
    // A line of one pixel stays sharp where it runs along the middle of pixels.
    let (full, middle) = (side as f32, side as f32 / 2.0 - ratio / 2.0);
    let mut path = PathBuilder::new();
    if matches!(hatch, Hatch::Horizontal | Hatch::Cross) {
        line(&mut path, (0.0, middle), (full, middle));
    }
    if matches!(hatch, Hatch::Vertical | Hatch::Cross) {
        line(&mut path, (middle, 0.0), (middle, full));
    }
    // Each diagonal also passes the two corners beside it, so that neighbours meet without a gap.
    for shift in [-full, 0.0, full] {
        if matches!(hatch, Hatch::BackwardDiagonal | Hatch::DiagonalCross) {
            line(&mut path, (shift - full, 2.0 * full), (shift + 2.0 * full, -full));
        }
        if matches!(hatch, Hatch::ForwardDiagonal | Hatch::DiagonalCross) {
            line(&mut path, (shift - full, -full), (shift + 2.0 * full, 2.0 * full));
        }
    }
    image.stroke_path(&path.finish()?, &paint(stroke.color), &pen(stroke, ratio * 4.0 / 3.0), Transform::identity(), None);
    Some(image)
}

/// A picture in the given size.
pub(crate) fn picture(decoded: &Pixmap, width: f32, height: f32) -> Option<Pixmap> {
    let side = |length: f32| length.round().clamp(1.0, 4096.0) as u32;
    let mut image = Pixmap::new(side(width), side(height))?;
    let scale = (image.width() as f32 / decoded.width() as f32, image.height() as f32 / decoded.height() as f32);
    let paint = PixmapPaint { quality: FilterQuality::Bicubic, ..PixmapPaint::default() };
    image.draw_pixmap(0, 0, decoded.as_ref(), &paint, Transform::from_scale(scale.0, scale.1), None);
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backward_diagonals_rise_to_the_right_and_repeat_without_a_seam() {
        let stroke = Stroke { color: Rgba::new(0, 0, 0, 255), width: 0.75, dashes: Vec::new() };
        let image = hatch(Hatch::BackwardDiagonal, &stroke, 1.0).expect("an image");
        let alpha = |x: u32, y: u32| image.pixel(x, y).expect("a pixel").alpha();
        assert!(alpha(1, 8) > 100 && alpha(8, 1) > 100, "the line from the lower left to the upper right");
        assert!(alpha(1, 1) == 0 && alpha(8, 8) == 0, "not the other diagonal");
        assert_eq!(alpha(0, 9), alpha(9, 0));
        let other = hatch(Hatch::ForwardDiagonal, &stroke, 1.0).expect("an image");
        assert!(other.pixel(1, 1).expect("a pixel").alpha() > 100);
    }
}
