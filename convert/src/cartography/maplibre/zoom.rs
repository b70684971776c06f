//! Scales as zoom levels.

use crate::cartography::map::Inherited;
use serde_json::{Map as Object, Value, json};

/// The scale of MapLibre's zoom 0 at 96 dots per inch: its world is 512 pixels wide, Esri's level 0 (1:591,657,527.59) is 256.
pub const SCALE_AT_ZOOM_0: f64 = 591_657_527.591_555 / 2.0;

/// The zoom at which a map has a scale, given by its denominator.
pub fn zoom_of_scale(scale: f64) -> f64 {
    (SCALE_AT_ZOOM_0 / scale).log2()
}

/// Steps of zoom that limits are widened to: the scale of a level belongs to the range, and MapLibre ends a range before its `maxzoom`.
const STEP: f64 = 1e4;

/// Adds `minzoom` and `maxzoom` to a layer of a style.
pub(crate) fn limit(style_layer: &mut Object<String, Value>, min_scale: f64, max_scale: f64) {
    if min_scale > 0.0 {
        let zoom = (zoom_of_scale(min_scale) * STEP).floor() / STEP;
        if zoom > 0.0 {
            style_layer.insert("minzoom".into(), json!(zoom.min(24.0)));
        }
    }
    if max_scale > 0.0 {
        let zoom = ((zoom_of_scale(max_scale) * STEP).ceil() + 1.0) / STEP;
        if zoom < 24.0 {
            style_layer.insert("maxzoom".into(), json!(zoom.max(0.0)));
        }
    }
}

/// Adds what a layer's groups and itself say of visibility and scales.
pub(crate) fn limit_inherited(style_layer: &mut Object<String, Value>, inherited: Inherited) {
    limit(style_layer, inherited.min_scale, inherited.max_scale);
    if !inherited.visible {
        let layout = style_layer.entry("layout").or_insert_with(|| json!({}));
        if let Some(layout) = layout.as_object_mut() {
            layout.insert("visibility".into(), json!("none"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_512_pixels_is_one_less_than_esris() {
        // The scales of Esri's levels 1, 13 and 19.
        for (scale, zoom) in [(295_828_763.795_777_5, 0.0), (72_223.819_286, 12.0), (1_128.497_176, 18.0)] {
            assert!((zoom_of_scale(scale) - zoom).abs() < 1e-6, "{scale}: {}", zoom_of_scale(scale));
        }
    }

    #[test]
    fn the_scale_of_a_level_belongs_to_the_range() {
        let mut layer = Object::new();
        limit(&mut layer, 72_223.819_286, 1_128.497_176);
        let (least, most) = (layer["minzoom"].as_f64().expect("a number"), layer["maxzoom"].as_f64().expect("a number"));
        assert!(least <= 12.0 && least > 11.999, "{least}");
        assert!(most > 18.0 && most < 18.001, "{most}");
        let mut layer = Object::new();
        limit(&mut layer, 0.0, 0.0);
        assert!(layer.is_empty());
    }
}
