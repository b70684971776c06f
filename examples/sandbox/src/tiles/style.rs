//! The style of the vector tiles, the index of its sprites, and the metadata of a package.

use super::glyphs::FONT;
use super::scheme::TileScheme;
use serde_json::{Value, json};

/// The service's style, or the one that it was given.
pub(crate) fn style(given: Option<&Value>, source: &str) -> Value {
    if let Some(given) = given {
        let mut style = given.clone();
        let sources = style.get_mut("sources").and_then(Value::as_object_mut);
        sources.into_iter().flat_map(|all| all.values_mut()).for_each(|one| one["url"] = json!(source));
        return style;
    }
    json!({
        "version": 8,
        "sprite": "../sprites/sprite",
        "glyphs": "../fonts/{fontstack}/{range}.pbf",
        "sources": {"esri": {"type": "vector", "url": source}},
        "layers": [
            {"id": "background", "type": "background", "paint": {"background-color": "#bfd9e8"}},
            {"id": "land", "type": "fill", "source": "esri", "source-layer": "land",
                "paint": {"fill-color": "#eeead8", "fill-outline-color": "#8fa8b5"}},
            {"id": "boundary", "type": "line", "source": "esri", "source-layer": "boundary",
                "paint": {"line-color": "#a07c9c", "line-width": 1.2}},
            {"id": "place", "type": "symbol", "source": "esri", "source-layer": "place",
                "layout": {"icon-image": "dot", "text-field": "{name}", "text-font": [FONT], "text-size": 11,
                    "text-offset": [0, 1], "text-optional": true},
                "paint": {"text-color": "#333333"}},
        ],
    })
}

/// Index of the sprite sheet at a pixel ratio.
pub(crate) fn sprite_index(ratio: u32) -> Value {
    let one = |x: u32| json!({"x": x * ratio, "y": 0, "width": 16 * ratio, "height": 16 * ratio, "pixelRatio": ratio});
    json!({"dot": one(0), "square": one(16)})
}

/// `metadata.json` of a package.
pub(crate) fn metadata(scheme: &TileScheme, max_level: u32) -> Value {
    let layer =
        |id: &str| json!({"id": id, "description": "", "minzoom": 0, "maxzoom": max_level, "fields": {"name": "String"}});
    let labels = scheme.labelled.then(|| layer("tile"));
    let layers: Vec<Value> = ["land", "boundary", "place"].map(layer).into_iter().chain(labels).collect();
    json!({"vector_layers": layers})
}
