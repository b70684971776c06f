//! Styles of vector tiles, simplified: QGIS draws a layer of a style by one symbol for a range of zoom levels.

use super::labels;
use super::symbols;
use super::vector_filter;
use super::xml::Element;
use crate::cartography::approximation::Report;
use crate::cartography::color::Rgba;
use crate::cartography::data_source::GeometryKind;
use crate::cartography::label::{Label, LabelPlace};
use crate::cartography::symbol::{Fill, FillStyle, Marker, Placement, Shape, Stroke, Symbol, TextSymbol};
use crate::cartography::text_expression::{TextPart, brace_parts};
use serde_json::Value;

/// Points of a CSS pixel.
const POINTS: f64 = 72.0 / 96.0;

/// The renderer and the labels of a vector tile layer.
pub(crate) fn styles(style: &Value, report: &mut Report<'_>) -> [Element; 2] {
    let (mut drawn, mut labelled) = (Vec::new(), Vec::new());
    let layers = style.get("layers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    report.approximate(
        "the style of vector tiles",
        "one symbol for each of its layers in QGIS, without changes by zoom or value",
    );
    for layer in layers {
        let id = layer.get("id").and_then(Value::as_str).unwrap_or_default();
        let hidden = layer.pointer("/layout/visibility").and_then(Value::as_str) == Some("none");
        let Some(filter) = vector_filter::condition(layer.get("filter").unwrap_or(&Value::Null)) else {
            report.approximate(format!("the filter of the style's layer {id:?}"), "nothing in QGIS");
            continue;
        };
        let kind = layer.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "fill" | "line" | "circle" => {
                let (geometry, of) = match kind {
                    "fill" => ("2", GeometryKind::Polygon),
                    "line" => ("1", GeometryKind::Line),
                    _ => ("0", GeometryKind::Point),
                };
                let symbol = symbols::symbol(&symbol(kind, layer), "0", of, None, report);
                let symbols = Element::new("symbols").child(symbol);
                drawn.push(entry(layer, id, geometry, &filter, hidden).child(symbols));
            }
            "symbol" => match label(layer) {
                Some((label, text)) => {
                    if layer.pointer("/layout/icon-image").is_some() {
                        report.approximate(format!("icons of the style's layer {id:?}"), "their texts only in QGIS");
                    }
                    let geometry = if matches!(label.place, LabelPlace::Along(_)) { "1" } else { "0" };
                    labelled
                        .push(entry(layer, id, geometry, &filter, hidden).child(labels::text_settings(&label, text, 0.0)));
                }
                None => report.approximate(format!("icons and texts of the style's layer {id:?}"), "nothing in QGIS"),
            },
            // QGIS has no background of a layer; the project's is white.
            other => report.approximate(format!("the {other} {id:?} of the style"), "nothing in QGIS"),
        }
    }
    let all = |name: &'static str, entries: Vec<Element>| {
        Element::new(name).attribute("type", "basic").child(Element::new("styles").children(entries))
    };
    [all("renderer", drawn), all("labeling", labelled)]
}

fn entry(layer: &Value, id: &str, geometry: &str, filter: &str, hidden: bool) -> Element {
    let zoom = |key: &str| layer.get(key).and_then(Value::as_f64).map_or("-1".to_owned(), |zoom| zoom.round().to_string());
    let source = layer.get("source-layer").and_then(Value::as_str).unwrap_or_default();
    Element::new("style")
        .attribute("name", id)
        .attribute("layer", source)
        .attribute("geometry", geometry)
        .attribute("enabled", if hidden { "0" } else { "1" })
        .attribute("expression", filter)
        .attribute("min-zoom", zoom("minzoom"))
        .attribute("max-zoom", zoom("maxzoom"))
}

/// A value as it is, or the one in the middle of a function or expression.
fn constant(value: &Value) -> Option<&Value> {
    match value {
        Value::Object(function) => {
            let stops = function.get("stops")?.as_array()?;
            constant(stops.get(stops.len() / 2)?.get(1)?)
        }
        Value::Array(parts) => match parts.first()?.as_str() {
            Some("interpolate") => constant(parts.get(3 + 2 * ((parts.len() - 3) / 4) + 1)?),
            Some("step") => constant(parts.get(2 + 2 * ((parts.len() - 2) / 4))?),
            Some("match" | "case" | "coalesce" | "literal") => constant(parts.last()?),
            Some(_) => None,
            None => Some(value),
        },
        Value::Null => None,
        plain => Some(plain),
    }
}

fn paint<'a>(layer: &'a Value, name: &str) -> Option<&'a Value> {
    constant(layer.get("paint")?.get(name)?)
}

fn number(layer: &Value, name: &str) -> Option<f64> {
    paint(layer, name)?.as_f64()
}

fn color(layer: &Value, name: &str, opacity: &str) -> Option<Rgba> {
    let color = paint(layer, name).map_or(Some(Rgba::new(0, 0, 0, 255)), |value| Rgba::from_css(value.as_str()?));
    color.map(|color| color.with_opacity(number(layer, opacity).unwrap_or(1.0)))
}

fn symbol(kind: &str, layer: &Value) -> Symbol {
    let stroke = |color: &str, opacity: &str, width: Option<f64>| {
        let dashes = layer.pointer("/paint/line-dasharray").and_then(constant).and_then(Value::as_array);
        let dashes = dashes.map_or_else(Vec::new, |dashes| dashes.iter().filter_map(Value::as_f64).collect());
        let color = self::color(layer, color, opacity).unwrap_or(Rgba::GREY);
        Stroke { color, width: width.unwrap_or(1.0) * POINTS, dashes }
    };
    match kind {
        "line" => Symbol::Line(stroke("line-color", "line-opacity", number(layer, "line-width"))),
        "circle" => Symbol::Marker(Marker {
            shape: Shape::Circle,
            size: number(layer, "circle-radius").unwrap_or(5.0) * 2.0 * POINTS,
            color: color(layer, "circle-color", "circle-opacity").unwrap_or(Rgba::GREY),
            outline: number(layer, "circle-stroke-width")
                .filter(|width| *width > 0.0)
                .map(|width| stroke("circle-stroke-color", "circle-stroke-opacity", Some(width))),
            placement: Placement::default(),
        }),
        _ => {
            let outline = layer.pointer("/paint/fill-outline-color").is_some();
            let pattern = layer.pointer("/paint/fill-pattern").is_some();
            let own = if pattern { Rgba::GREY.with_opacity(0.3) } else { Rgba::GREY };
            let color = color(layer, "fill-color", "fill-opacity").filter(|_| !pattern).unwrap_or(own);
            let outline = outline.then(|| stroke("fill-outline-color", "fill-opacity", Some(1.0)));
            Symbol::Fill(Fill { color, style: FillStyle::Solid, outline })
        }
    }
}

/// A label and its text as an expression.
fn label(layer: &Value) -> Option<(Label, String)> {
    let layout = layer.get("layout")?;
    let field = layout
        .get("text-field")
        .and_then(|value| if value.is_string() { Some(value) } else { constant(value).or(Some(value)) })?;
    let parts = match field {
        Value::String(template) => brace_parts(template)?,
        Value::Array(parts) => vec![TextPart::Field(parts.iter().find_map(got).or_else(|| got(field))?)],
        _ => return None,
    };
    let size = layout.get("text-size").and_then(constant).and_then(Value::as_f64).unwrap_or(16.0);
    let font = layout.get("text-font").and_then(|fonts| fonts.get(0)).and_then(Value::as_str).unwrap_or_default();
    let halo = number(layer, "text-halo-width").filter(|width| *width > 0.0);
    let halo = halo.and_then(|width| Some((color(layer, "text-halo-color", "text-opacity")?, width * POINTS)));
    let along =
        layout.get("symbol-placement").and_then(constant).and_then(Value::as_str).is_some_and(|place| place != "point");
    let style = [" Bold", " Italic", " Regular", " Medium", " Light"];
    let family = style.iter().fold(font.to_owned(), |name, style| name.replace(style, ""));
    let symbol = TextSymbol {
        color: color(layer, "text-color", "text-opacity").unwrap_or(Rgba::new(0, 0, 0, 255)),
        size: size * POINTS,
        family,
        bold: font.contains("Bold"),
        italic: font.contains("Italic"),
        halo,
        offset: (0.0, 0.0),
    };
    let text = super::expression::label(&parts, false, &Default::default());
    let place = if along { LabelPlace::Along(0) } else { LabelPlace::Beside(0, 0) };
    let label = Label { text: parts, coded_values: false, symbol, place, filter: None, min_scale: 0.0, max_scale: 0.0 };
    Some((label, text))
}

/// The field of `["get", field]`, also within another expression.
fn got(expression: &Value) -> Option<String> {
    let parts = expression.as_array()?;
    match (parts.first()?.as_str()?, parts.get(1)) {
        ("get", Some(Value::String(field))) => Some(field.clone()),
        _ => parts.iter().find_map(got),
    }
}
