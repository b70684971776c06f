//! Feature layers: each becomes as many layers of the style as its symbols have parts.

use super::expression::{by_class, filter, number, ramp};
use super::sprites::Sprites;
use super::zoom;
use crate::cartography::approximation::Report;
use crate::cartography::data_source::GeometryKind;
use crate::cartography::map::{Features, Inherited, Layer};
use crate::cartography::symbol::{Fill, FillStyle, Marker, PIXELS_PER_POINT, Placement, Shape, Stroke, Symbol};
use serde_json::{Map as Object, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What one layer of a style can draw. Classes of one layer that differ in it are drawn by several layers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Fill,
    Pattern,
    /// Dashes in thousandths of the line's width: MapLibre takes one pattern a layer.
    Line(Vec<u64>),
    Circle,
    Icon,
}

impl Kind {
    fn style_type(&self) -> &'static str {
        match self {
            Self::Fill | Self::Pattern => "fill",
            Self::Line(_) => "line",
            Self::Circle => "circle",
            Self::Icon => "symbol",
        }
    }

    fn suffix(&self, at: usize) -> String {
        let name = match self {
            Self::Fill => "fill",
            Self::Pattern => "pattern",
            Self::Line(_) => "line",
            Self::Circle => "circle",
            Self::Icon => "icon",
        };
        if at == 0 { name.to_owned() } else { format!("{name}-{at}") }
    }
}

/// A part of a symbol: the properties that differ between classes.
struct Part {
    kind: Kind,
    properties: BTreeMap<&'static str, Value>,
}

/// The layers of a style that draw a feature layer, from the bottom to the top.
pub(crate) fn layers(
    layer: &Layer,
    inherited: Inherited,
    features: &Features,
    sprites: &mut Sprites,
    report: &mut Report<'_>,
) -> Vec<Value> {
    let classes: Vec<Vec<Part>> = features
        .renderer
        .all_classes()
        .map(|class| {
            class.map_or(Vec::new(), |class| {
                parts(&drawn(&class.symbol, features), features.source.geometry, sprites, report)
            })
        })
        .collect();
    let kinds: BTreeSet<Kind> = classes.iter().flatten().map(|part| part.kind.clone()).collect();
    let mut made: Vec<Value> = Vec::new();
    let mut lines = 0;
    for kind in kinds {
        let is_line = matches!(kind, Kind::Line(_));
        let at = if is_line { lines } else { 0 };
        lines += usize::from(is_line);
        if kind == Kind::Icon && features.renderer.color.is_some() {
            report.approximate("colours of pictures and shapes that follow a number", "the colour of the symbol");
        }
        let mut style_layer = Object::new();
        style_layer.insert("id".into(), json!(format!("{}/{}", layer.id, kind.suffix(at))));
        style_layer.insert("type".into(), json!(kind.style_type()));
        style_layer.insert("metadata".into(), json!({"layer": layer.id, "title": layer.title}));
        style_layer.insert("source".into(), json!(layer.id));
        if let Some(filter) = filter_of(features, &kind, &classes, report) {
            style_layer.insert("filter".into(), filter);
        }
        paint(&mut style_layer, features, &kind, &classes, inherited.opacity);
        zoom::limit_inherited(&mut style_layer, inherited);
        made.push(Value::Object(style_layer));
    }
    made
}

/// The features that a layer of the style draws: those of the layer's filter in classes that have this part.
fn filter_of(features: &Features, kind: &Kind, classes: &[Vec<Part>], report: &mut Report<'_>) -> Option<Value> {
    let own = features.filter.as_ref().and_then(|of| {
        let made = filter(of, &features.fields);
        if made.is_none() {
            report.approximate("a filter that MapLibre cannot evaluate", "all features that were downloaded");
        }
        made
    });
    let has: Vec<Value> = classes.iter().map(|parts| json!(parts.iter().any(|part| part.kind == *kind))).collect();
    let of_classes = Some(by_class(&features.renderer, &features.fields, &has)).filter(|filter| *filter != json!(true));
    match (own, of_classes) {
        (Some(own), Some(of_classes)) => Some(json!(["all", own, of_classes])),
        (own, of_classes) => own.or(of_classes),
    }
}

fn paint(style_layer: &mut Object<String, Value>, features: &Features, kind: &Kind, classes: &[Vec<Part>], opacity: f64) {
    let parts: Vec<Option<&Part>> = classes.iter().map(|parts| parts.iter().find(|part| part.kind == *kind)).collect();
    let (mut layout, mut paint) = (Object::new(), Object::new());
    let Some(first) = parts.iter().find_map(|part| *part) else { return };
    for (name, fallback) in &first.properties {
        // A class without this part is filtered away: any value does for it.
        let of = |part: &Option<&Part>| part.map_or(fallback, |part| &part.properties[name]).clone();
        let outputs: Vec<Value> = parts.iter().map(of).collect();
        let mut value = by_class(&features.renderer, &features.fields, &outputs);
        value = varied(features, name, value);
        if *name == "icon-size" && value == json!(1) {
            continue;
        }
        if is_layout(name) {
            layout.insert((*name).into(), value)
        } else {
            paint.insert((*name).into(), value)
        };
    }
    match kind {
        Kind::Line(dashes) => {
            if !dashes.is_empty() {
                let lengths: Vec<Value> = dashes.iter().map(|thousandths| number(*thousandths as f64 / 1000.0)).collect();
                paint.insert("line-dasharray".into(), json!(lengths));
            } else {
                layout.insert("line-cap".into(), json!("round"));
            }
            layout.insert("line-join".into(), json!("round"));
        }
        Kind::Icon => {
            layout.insert("icon-allow-overlap".into(), json!(true));
            layout.insert("icon-ignore-placement".into(), json!(true));
            if features.renderer.rotation.is_some() {
                layout.insert("icon-rotation-alignment".into(), json!("map"));
            }
        }
        Kind::Fill | Kind::Pattern | Kind::Circle => {}
    }
    if opacity < 1.0 {
        let names: &[&str] = match kind {
            Kind::Fill | Kind::Pattern => &["fill-opacity"],
            Kind::Line(_) => &["line-opacity"],
            Kind::Circle => &["circle-opacity", "circle-stroke-opacity"],
            Kind::Icon => &["icon-opacity"],
        };
        for name in names {
            paint.insert((*name).into(), number(opacity));
        }
    }
    style_layer.insert("layout".into(), Value::Object(layout));
    style_layer.insert("paint".into(), Value::Object(paint));
}

fn is_layout(name: &str) -> bool {
    name.starts_with("icon-")
}

/// A property of the classes as the renderer's variables change it.
fn varied(features: &Features, name: &str, own: Value) -> Value {
    let (renderer, is_line) = (&features.renderer, features.source.geometry == GeometryKind::Line);
    match (name, &renderer.size, &renderer.color) {
        ("icon-rotate", ..) => rotated(features, own),
        ("circle-radius", Some(size), _) => ramp(size, |points| pixels(points / 2.0), own),
        ("line-width", Some(size), _) if is_line => ramp(size, |points| pixels(*points), own),
        // The images of icons have the sizes of their symbols.
        ("icon-size", Some(size), _) => {
            let of = |points: &f64| json!(["/", number(*points), own]);
            let least = size.stops.first().map_or(json!(1), |(_, points)| of(points));
            ramp(size, of, least)
        }
        ("icon-size", None, _) => json!(1),
        ("line-color", _, Some(color)) if is_line => ramp(color, |of| json!(of.css()), own),
        ("circle-color" | "fill-color", _, Some(color)) => ramp(color, |of| json!(of.css()), own),
        _ => own,
    }
}

/// An angle by the symbol and by the field of the renderer.
fn rotated(features: &Features, own: Value) -> Value {
    let Some(rotation) = &features.renderer.rotation else { return own };
    let field = json!(["to-number", ["get", rotation.field], 0]);
    let angle = if rotation.geographic { field } else { json!(["-", 90, field]) };
    if own == json!(0) { angle } else { json!(["+", angle, own]) }
}

/// A marker whose size follows a number and that becomes an image is drawn in its largest size: made smaller it stays sharp.
fn drawn(symbol: &Symbol, features: &Features) -> Symbol {
    let largest = features.renderer.size.iter().flat_map(|size| &size.stops).map(|(_, points)| *points).fold(0.0, f64::max);
    match symbol {
        Symbol::Marker(marker) if largest > 0.0 && !is_circle(marker, features.source.geometry) => {
            Symbol::Marker(Marker { size: largest.min(512.0), ..marker.clone() })
        }
        other => other.clone(),
    }
}

/// A circle on an area would stand on each of its corners; an icon stands in its middle.
fn is_circle(marker: &Marker, geometry: GeometryKind) -> bool {
    let in_place = marker.placement.right == 0.0 && marker.placement.up == 0.0;
    geometry == GeometryKind::Point && marker.shape == Shape::Circle && in_place
}

fn pixels(points: f64) -> Value {
    number((points * PIXELS_PER_POINT * 1000.0).round() / 1000.0)
}

fn parts(symbol: &Symbol, geometry: GeometryKind, sprites: &mut Sprites, report: &mut Report<'_>) -> Vec<Part> {
    match symbol {
        Symbol::Nothing => Vec::new(),
        Symbol::Line(stroke) => vec![line(stroke)],
        Symbol::Fill(fill) => {
            let area = area(fill, sprites, report);
            area.into_iter().chain(fill.outline.as_ref().map(line)).collect()
        }
        Symbol::Marker(marker) => vec![point(marker, geometry, sprites, report)],
        Symbol::Picture(picture) => match sprites.picture(picture) {
            Some(name) => vec![icon(name, picture.width, picture.placement)],
            None => {
                report.approximate(format!("a picture of the type {:?}", picture.media_type), "a circle of its size");
                vec![circle(&Marker {
                    shape: Shape::Circle,
                    size: picture.width,
                    color: symbol.main_color(),
                    outline: None,
                    placement: picture.placement,
                })]
            }
        },
    }
}

fn area(fill: &Fill, sprites: &mut Sprites, report: &mut Report<'_>) -> Option<Part> {
    if fill.style == FillStyle::Hollow {
        return None;
    }
    if let Some(name) = sprites.pattern(fill) {
        return Some(Part { kind: Kind::Pattern, properties: [("fill-pattern", json!(name))].into() });
    }
    if let FillStyle::Picture(picture) = &fill.style {
        report.approximate(format!("a fill picture of the type {:?}", picture.media_type), "a solid fill");
    }
    // The outline is a layer of its own: MapLibre's is one pixel wide.
    let properties = [("fill-color", json!(fill.color.css())), ("fill-outline-color", json!("rgba(0,0,0,0)"))].into();
    Some(Part { kind: Kind::Fill, properties })
}

fn line(stroke: &Stroke) -> Part {
    let dashes = stroke.dashes.iter().map(|length| (length * 1000.0).round().max(0.0) as u64).collect();
    let properties = [("line-color", json!(stroke.color.css())), ("line-width", pixels(stroke.width))].into();
    Part { kind: Kind::Line(dashes), properties }
}

fn point(marker: &Marker, geometry: GeometryKind, sprites: &mut Sprites, report: &mut Report<'_>) -> Part {
    if is_circle(marker, geometry) {
        return circle(marker);
    }
    match sprites.marker(marker) {
        Some(name) => icon(name, marker.size, marker.placement),
        None => {
            report.approximate(format!("a marker of {} points", marker.size), "a circle");
            circle(marker)
        }
    }
}

/// Esri centres an outline on the edge, MapLibre draws it around the circle.
fn circle(marker: &Marker) -> Part {
    let (color, width) = marker.outline.as_ref().map_or((marker.color, 0.0), |outline| (outline.color, outline.width));
    let properties = [
        ("circle-color", json!(marker.color.css())),
        ("circle-radius", pixels(((marker.size - width) / 2.0).max(0.0))),
        ("circle-stroke-color", json!(color.css())),
        ("circle-stroke-width", pixels(width)),
    ];
    Part { kind: Kind::Circle, properties: properties.into() }
}

fn icon(name: String, size: f64, placement: Placement) -> Part {
    let offset = json!(["literal", [pixels(placement.right), pixels(0.0 - placement.up)]]);
    let angle = number(placement.angle);
    let properties =
        [("icon-image", json!(name)), ("icon-rotate", angle), ("icon-offset", offset), ("icon-size", number(size.max(0.1)))];
    Part { kind: Kind::Icon, properties: properties.into() }
}
