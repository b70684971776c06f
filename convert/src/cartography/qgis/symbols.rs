//! Symbols and their layers.

use super::expression;
use super::xml::{Element, option, option_map};
use crate::cartography::approximation::Report;
use crate::cartography::color::Rgba;
use crate::cartography::data_source::GeometryKind;
use crate::cartography::picture;
use crate::cartography::renderer::Renderer;
use crate::cartography::symbol::{Fill, FillStyle, Hatch, Marker, Picture, Placement, Shape, Stroke, Symbol};

/// A property of a symbol's layer. QGIS before 3.18 reads this form only, later ones read it as well.
fn property(name: &str, value: impl Into<String>) -> Element {
    Element::new("prop").attribute("k", name).attribute("v", value)
}

fn layer(class: &str, properties: Vec<(&str, String)>) -> Element {
    let of = Element::new("layer").attribute("class", class).attribute("enabled", "1").attribute("pass", "0");
    of.attribute("locked", "0").children(properties.into_iter().map(|(name, value)| property(name, value)))
}

/// A symbol with its number in the renderer, for features of a geometry.
pub(crate) fn symbol(
    of: &Symbol,
    name: &str,
    geometry: GeometryKind,
    renderer: Option<&Renderer>,
    report: &mut Report<'_>,
) -> Element {
    let layers = match of {
        Symbol::Marker(of) => vec![following(marker(of), of_marker(renderer, of.placement, true))],
        Symbol::Picture(of) => vec![following(picture_marker(of), of_marker(renderer, of.placement, false))],
        Symbol::Line(stroke) => vec![following(line(stroke), of_line(renderer))],
        Symbol::Fill(of) => fill(of, renderer, report),
        Symbol::Nothing => Vec::new(),
    };
    let in_middle = geometry == GeometryKind::Polygon && matches!(of, Symbol::Marker(_) | Symbol::Picture(_));
    if in_middle {
        // The name is that of a symbol within a symbol's first layer.
        let inner = named("marker", &format!("@{name}@0"), layers);
        let middle = layer("CentroidFill", vec![("point_on_surface", "1".into()), ("point_on_all_parts", "0".into())]);
        return named("fill", name, vec![middle.child(inner)]);
    }
    let kind = match geometry {
        GeometryKind::Point | GeometryKind::None => "marker",
        GeometryKind::Line => "line",
        GeometryKind::Polygon => "fill",
    };
    named(kind, name, layers)
}

fn named(kind: &str, name: &str, layers: Vec<Element>) -> Element {
    let element = Element::new("symbol").attribute("type", kind).attribute("name", name).attribute("alpha", "1");
    element.attribute("clip_to_extent", "1").attribute("force_rhr", "0").children(layers)
}

/// Adds to a symbol's layer what follows a field: properties of QGIS with their expressions.
fn following(layer: Element, properties: Vec<(&'static str, String)>) -> Element {
    if properties.is_empty() {
        return layer;
    }
    let property = |(name, expression): (&'static str, String)| {
        let active = option("active", "bool", "true");
        // The kind of property that is an expression.
        option_map(Some(name), [active, option("expression", "QString", expression), option("type", "int", "3")])
    };
    let properties = option_map(Some("properties"), properties.into_iter().map(property));
    let all = [option("name", "QString", ""), properties, option("type", "QString", "collection")];
    layer.child(Element::new("data_defined_properties").child(option_map(None, all)))
}

/// What of a marker follows a field.
fn of_marker(renderer: Option<&Renderer>, placement: Placement, has_color: bool) -> Vec<(&'static str, String)> {
    let Some(renderer) = renderer else { return Vec::new() };
    let angle = renderer.rotation.as_ref().map(|rotation| ("angle", expression::rotation(rotation, placement.angle)));
    let size = renderer.size.as_ref().map(|size| ("size", expression::size(size)));
    let color = renderer.color.as_ref().filter(|_| has_color).map(|color| ("fillColor", expression::color(color)));
    [angle, size, color].into_iter().flatten().collect()
}

/// What of a line follows a field.
fn of_line(renderer: Option<&Renderer>) -> Vec<(&'static str, String)> {
    let Some(renderer) = renderer else { return Vec::new() };
    let width = renderer.size.as_ref().map(|size| ("outlineWidth", expression::size(size)));
    let color = renderer.color.as_ref().map(|color| ("outlineColor", expression::color(color)));
    [width, color].into_iter().flatten().collect()
}

fn placed(placement: Placement) -> Vec<(&'static str, String)> {
    vec![
        ("angle", placement.angle.to_string()),
        ("offset", format!("{},{}", placement.right, 0.0 - placement.up)),
        ("offset_unit", "Point".into()),
    ]
}

fn marker(of: &Marker) -> Element {
    let shape = match of.shape {
        Shape::Circle => "circle",
        Shape::Square => "square",
        Shape::Diamond => "diamond",
        Shape::Cross => "cross",
        Shape::X => "cross2",
        Shape::Triangle => "triangle",
    };
    let thin = Stroke { color: of.color, width: 1.0, dashes: Vec::new() };
    let outline = of.outline.as_ref().or(of.shape.is_open().then_some(&thin));
    let mut properties = placed(of.placement);
    properties.extend([
        ("name", shape.into()),
        ("color", of.color.qgis()),
        ("size", of.size.to_string()),
        ("size_unit", "Point".into()),
        ("scale_method", "diameter".into()),
        ("outline_style", if outline.is_some() { "solid" } else { "no" }.into()),
        ("outline_color", outline.map_or(of.color, |stroke| stroke.color).qgis()),
        ("outline_width", outline.map_or(0.0, |stroke| stroke.width).to_string()),
        ("outline_width_unit", "Point".into()),
        ("joinstyle", "miter".into()),
        ("cap_style", "flat".into()),
    ]);
    layer("SimpleMarker", properties)
}

fn embedded(picture: &Picture) -> String {
    format!("base64:{}", picture::encode(&picture.data))
}

fn picture_marker(of: &Picture) -> Element {
    let mut properties = placed(of.placement);
    properties.extend([("size", of.width.to_string()), ("size_unit", "Point".into()), ("scale_method", "diameter".into())]);
    properties.push(("fixedAspectRatio", (of.height / of.width).to_string()));
    if of.media_type == "image/svg+xml" {
        properties.push(("name", embedded(of)));
        return layer("SvgMarker", properties);
    }
    properties.extend([("imageFile", embedded(of)), ("alpha", "1".into())]);
    layer("RasterMarker", properties)
}

pub(crate) fn line(stroke: &Stroke) -> Element {
    let dashes: Vec<String> = stroke.dashes.iter().map(|length| (length * stroke.width).to_string()).collect();
    let solid = dashes.is_empty();
    let mut properties = vec![
        ("line_color", stroke.color.qgis()),
        ("line_width", stroke.width.to_string()),
        ("line_width_unit", "Point".into()),
        ("line_style", "solid".into()),
        ("joinstyle", "round".into()),
        ("capstyle", if solid { "round" } else { "flat" }.into()),
        ("use_custom_dash", if solid { "0" } else { "1" }.into()),
    ];
    if !solid {
        properties.extend([("customdash", dashes.join(";")), ("customdash_unit", "Point".into())]);
    }
    layer("SimpleLine", properties)
}

fn simple_fill(style: &str, color: Rgba) -> Element {
    let properties = vec![("style", style.to_owned()), ("color", color.qgis()), ("outline_style", "no".to_owned())];
    layer("SimpleFill", properties)
}

/// The layers of an area: what fills it, and its outline on top.
fn fill(of: &Fill, renderer: Option<&Renderer>, report: &mut Report<'_>) -> Vec<Element> {
    let area = match &of.style {
        FillStyle::Solid => {
            let color =
                renderer.and_then(|renderer| renderer.color.as_ref()).map(|color| ("fillColor", expression::color(color)));
            following(simple_fill("solid", of.color), color.into_iter().collect())
        }
        FillStyle::Hollow => simple_fill("no", of.color),
        FillStyle::Hatch(hatch) => {
            let style = match hatch {
                Hatch::Horizontal => "horizontal",
                Hatch::Vertical => "vertical",
                Hatch::BackwardDiagonal => "b_diagonal",
                Hatch::ForwardDiagonal => "f_diagonal",
                Hatch::Cross => "cross",
                Hatch::DiagonalCross => "diagonal_x",
            };
            simple_fill(style, of.color)
        }
        FillStyle::Picture(picture) if picture.media_type == "image/svg+xml" => {
            report.approximate("a fill picture of the type \"image/svg+xml\"", "a solid fill");
            simple_fill("solid", of.color)
        }
        FillStyle::Picture(picture) => layer(
            "RasterFill",
            vec![
                ("imageFile", embedded(picture)),
                ("coordinate_mode", "0".into()),
                ("alpha", "1".into()),
                ("angle", picture.placement.angle.to_string()),
                ("width", picture.width.to_string()),
                ("width_unit", "Point".into()),
                ("offset", "0,0".into()),
            ],
        ),
    };
    [area].into_iter().chain(of.outline.as_ref().map(line)).collect()
}
