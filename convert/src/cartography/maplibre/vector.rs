//! Vector tile layers: their own styles become parts of the map's style, with ids, sources and images prefixed by the layer's id.

use super::expression::number;
use super::options::StyleOptions;
use super::{tiles, zoom};
use crate::cartography::approximation::Report;
use crate::cartography::data_source::VectorSource;
use crate::cartography::map::{Inherited, Layer};
use serde_json::{Map as Object, Value, json};

/// What a vector tile layer adds to a style.
pub(crate) struct Merged {
    pub(crate) sources: Vec<(String, Value)>,
    pub(crate) layers: Vec<Value>,
    /// Id and URL of its sprite sheet.
    pub(crate) sprite: Option<(String, String)>,
}

/// Properties that name images.
const IMAGES: [&str; 5] = ["icon-image", "fill-pattern", "line-pattern", "background-pattern", "fill-extrusion-pattern"];

/// Properties by which layers of a style become transparent.
fn opacities(kind: &str) -> &'static [&'static str] {
    match kind {
        "background" => &["background-opacity"],
        "fill" => &["fill-opacity"],
        "line" => &["line-opacity"],
        "circle" => &["circle-opacity", "circle-stroke-opacity"],
        "symbol" => &["icon-opacity", "text-opacity"],
        "fill-extrusion" => &["fill-extrusion-opacity"],
        _ => &[],
    }
}

/// An id of a sprite sheet: MapLibre splits the names of images at the first colon.
fn sprite_id(layer: &Layer) -> String {
    layer.id.chars().map(|c| if c == ':' { '-' } else { c }).collect()
}

/// Makes a vector tile layer part of a style; none where its tiles are not in the folder.
pub(crate) fn merge(
    layer: &Layer,
    inherited: Inherited,
    tiles: &VectorSource,
    options: &StyleOptions,
    report: &mut Report<'_>,
) -> Option<Merged> {
    let source = tiles::source("vector", &tiles.files, tiles.levels, tiles.attribution.as_deref(), options, report)?;
    let named = tiles.style.get("sources").and_then(Value::as_object);
    let names: Vec<&String> = named.map_or_else(Vec::new, |sources| sources.keys().collect());
    if names.len() > 1 {
        report.approximate(format!("a style of {} sources", names.len()), "all layers from the one file");
    }
    let sources = vec![(layer.id.clone(), Value::Object(source))];
    let prefix = tiles.sprite.as_ref().map(|_| format!("{}:", sprite_id(layer)));
    let own = tiles.style.get("layers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let layers =
        own.iter().filter_map(|style_layer| one(layer, inherited, style_layer, prefix.as_deref(), report)).collect();
    let sprite = tiles.sprite.as_ref().map(|path| (sprite_id(layer), format!("{}{path}", options.base)));
    Some(Merged { sources, layers, sprite })
}

fn one(
    layer: &Layer,
    inherited: Inherited,
    style_layer: &Value,
    prefix: Option<&str>,
    report: &mut Report<'_>,
) -> Option<Value> {
    let mut made = style_layer.as_object()?.clone();
    let id = made.get("id").and_then(Value::as_str)?.to_owned();
    let kind = made.get("type").and_then(Value::as_str)?.to_owned();
    made.insert("id".into(), json!(format!("{}/{id}", layer.id)));
    if made.contains_key("source") {
        made.insert("source".into(), json!(layer.id));
    }
    for part in ["layout", "paint"] {
        let Some(properties) = made.get_mut(part).and_then(Value::as_object_mut) else { continue };
        for name in IMAGES {
            let Some(value) = properties.get(name) else { continue };
            let image = prefix.and_then(|prefix| prefixed(value, prefix));
            match image {
                Some(image) => drop(properties.insert(name.into(), image)),
                None => {
                    properties.remove(name);
                    report.approximate(format!("{name} of the style's layer {id:?}"), "nothing");
                }
            }
        }
    }
    if inherited.opacity < 1.0 {
        fade(&mut made, &kind, inherited.opacity, &id, report);
    }
    let limit = |made: &Object<String, Value>, key: &str| made.get(key).and_then(Value::as_f64);
    let (least, most) = (limit(&made, "minzoom"), limit(&made, "maxzoom"));
    zoom::limit_inherited(&mut made, inherited);
    // The narrower of both ranges.
    if let (Some(own), Some(of_map)) = (least, limit(&made, "minzoom")) {
        made.insert("minzoom".into(), json!(own.max(of_map)));
    }
    if let (Some(own), Some(of_map)) = (most, limit(&made, "maxzoom")) {
        made.insert("maxzoom".into(), json!(own.min(of_map)));
    }
    Some(Value::Object(made))
}

fn fade(made: &mut Object<String, Value>, kind: &str, opacity: f64, id: &str, report: &mut Report<'_>) {
    let paint = made.entry("paint").or_insert_with(|| json!({}));
    let Some(paint) = paint.as_object_mut() else { return };
    for name in opacities(kind) {
        let faded = match paint.get(*name) {
            None => Some(number(opacity)),
            Some(own) if own.is_number() => own.as_f64().map(|own| number(own * opacity)),
            Some(Value::Object(function)) => faded_stops(function, opacity),
            Some(_) => None,
        };
        match faded {
            Some(faded) => drop(paint.insert((*name).into(), faded)),
            None => report.approximate(format!("the layer's opacity on {name} of {id:?}"), "the style's own opacity"),
        }
    }
}

fn faded_stops(function: &Object<String, Value>, opacity: f64) -> Option<Value> {
    let mut function = function.clone();
    for stop in function.get_mut("stops")?.as_array_mut()? {
        let output = stop.get_mut(1)?;
        *output = number(output.as_f64()? * opacity);
    }
    Some(Value::Object(function))
}

/// The name of an image, or an expression or function that gives one, with the id of its sheet before it.
fn prefixed(value: &Value, prefix: &str) -> Option<Value> {
    match value {
        Value::String(name) if name.is_empty() => Some(value.clone()),
        Value::String(name) => Some(json!(format!("{prefix}{name}"))),
        Value::Object(function) => {
            let mut function = function.clone();
            for stop in function.get_mut("stops")?.as_array_mut()? {
                let output = stop.get_mut(1)?;
                *output = prefixed(output, prefix)?;
            }
            if let Some(default) = function.get("default").cloned() {
                function.insert("default".into(), prefixed(&default, prefix)?);
            }
            Some(Value::Object(function))
        }
        Value::Array(parts) => expression(parts, prefix),
        _ => None,
    }
}

fn expression(parts: &[Value], prefix: &str) -> Option<Value> {
    let operator = parts.first()?.as_str()?;
    let count = parts.len();
    let is_output = |at: usize| match operator {
        "step" => at >= 2 && at.is_multiple_of(2),
        "match" => at + 1 == count || (at >= 3 && !at.is_multiple_of(2)),
        "case" => at + 1 == count || (at >= 2 && at.is_multiple_of(2)),
        "coalesce" | "image" | "literal" => at >= 1,
        _ => false,
    };
    if !matches!(operator, "step" | "match" | "case" | "coalesce" | "image" | "literal") {
        return Some(json!(["concat", prefix, parts]));
    }
    let part = |(at, part): (usize, &Value)| if is_output(at) { prefixed(part, prefix) } else { Some(part.clone()) };
    Some(Value::Array(parts.iter().enumerate().map(part).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_with_their_sheet_in_every_form() {
        let of = |value: Value| prefixed(&value, "v:");
        assert_eq!(of(json!("{maki}-11")), Some(json!("v:{maki}-11")));
        assert_eq!(of(json!({"stops": [[1, "a"], [5, "b"]]})), Some(json!({"stops": [[1, "v:a"], [5, "v:b"]]})));
        assert_eq!(of(json!(["step", ["zoom"], "a", 8, "b"])), Some(json!(["step", ["zoom"], "v:a", 8, "v:b"])));
        let matched = json!(["match", ["get", "k"], "x", "a", ["y", "z"], "b", ""]);
        assert_eq!(of(matched), Some(json!(["match", ["get", "k"], "x", "v:a", ["y", "z"], "v:b", ""])));
        assert_eq!(of(json!(["get", "icon"])), Some(json!(["concat", "v:", ["get", "icon"]])));
        assert_eq!(of(json!(["case", ["has", "a"], "a", "b"])), Some(json!(["case", ["has", "a"], "v:a", "v:b"])));
    }
}
