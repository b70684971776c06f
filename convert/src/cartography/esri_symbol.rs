//! Reads Esri's symbols: esriSMS, esriSLS, esriSFS, esriPMS, esriPFS, esriTS, and CIM symbols through [`super::cim`].

use super::approximation::Report;
use super::cim;
use super::color::Rgba;
use super::members::{list, number, text};
use super::picture;
use super::symbol::{Fill, FillStyle, Hatch, Marker, Picture, Placement, Shape, Stroke, Symbol};
use serde_json::Value;

/// Reads a symbol; what is not supported is reported and shown as something simple.
pub(crate) fn read(symbol: &Value, report: &mut Report<'_>) -> Symbol {
    match text(symbol, "type") {
        Some("esriSMS") => marker(symbol),
        Some("esriSLS") => stroke(symbol).map_or(Symbol::Nothing, Symbol::Line),
        Some("esriSFS") => fill(symbol),
        Some("esriPMS") => picture_marker(symbol, report),
        Some("esriPFS") => picture_fill(symbol, report),
        Some("esriTS") => text_marker(symbol, report),
        Some("CIMSymbolReference") => symbol.get("symbol").map_or(Symbol::Nothing, |inner| cim::read(inner, report)),
        Some(kind) if kind.starts_with("CIM") => cim::read(symbol, report),
        Some(other) => {
            report.approximate(format!("a symbol of type {other}"), "nothing");
            Symbol::Nothing
        }
        None => Symbol::Nothing,
    }
}

/// The symbol of features whose renderer is unknown.
pub(crate) fn plain(geometry: super::data_source::GeometryKind, color: Rgba) -> Symbol {
    use super::data_source::GeometryKind;
    let outline = Stroke { color: Rgba::new(60, 60, 60, 255), width: 0.75, dashes: Vec::new() };
    match geometry {
        GeometryKind::Point => Symbol::Marker(Marker {
            shape: Shape::Circle,
            size: 6.0,
            color,
            outline: Some(outline),
            placement: Placement::default(),
        }),
        GeometryKind::Line => Symbol::Line(Stroke { color, width: 1.5, dashes: Vec::new() }),
        GeometryKind::Polygon => Symbol::Fill(Fill { color, style: FillStyle::Solid, outline: Some(outline) }),
        GeometryKind::None => Symbol::Nothing,
    }
}

fn color(symbol: &Value) -> Option<Rgba> {
    Rgba::from_esri(symbol.get("color")?)
}

/// Esri's JSON turns counterclockwise.
fn placement(symbol: &Value) -> Placement {
    let of = |key| number(symbol, key).unwrap_or(0.0);
    Placement { angle: 0.0 - of("angle"), right: of("xoffset"), up: of("yoffset") }
}

fn marker(symbol: &Value) -> Symbol {
    let shape = match text(symbol, "style") {
        Some("esriSMSSquare") => Shape::Square,
        Some("esriSMSDiamond") => Shape::Diamond,
        Some("esriSMSCross") => Shape::Cross,
        Some("esriSMSX") => Shape::X,
        Some("esriSMSTriangle") => Shape::Triangle,
        _ => Shape::Circle,
    };
    let outline = symbol.get("outline").and_then(stroke);
    let color = match color(symbol) {
        Some(color) => color,
        None if shape.is_open() => outline.as_ref().map_or(Rgba::GREY, |outline| outline.color),
        None => Rgba::new(0, 0, 0, 0),
    };
    let size = number(symbol, "size").unwrap_or(8.0).clamp(0.0, 512.0);
    Symbol::Marker(Marker { shape, size, color, outline, placement: placement(symbol) })
}

/// Dashes and gaps in widths of the line, as Esri's own viewers draw them.
fn dashes(style: &str) -> &'static [f64] {
    match style.strip_prefix("esriSLS").unwrap_or(style) {
        "Dash" => &[4.0, 3.0],
        "Dot" => &[1.0, 3.0],
        "DashDot" => &[4.0, 3.0, 1.0, 3.0],
        "LongDash" => &[8.0, 3.0],
        "LongDashDot" => &[8.0, 3.0, 1.0, 3.0],
        "DashDotDot" | "LongDashDotDot" => &[8.0, 3.0, 1.0, 3.0, 1.0, 3.0],
        "ShortDash" => &[4.0, 1.0],
        "ShortDot" => &[1.0, 1.0],
        "ShortDashDot" => &[4.0, 1.0, 1.0, 1.0],
        "ShortDashDotDot" => &[4.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        _ => &[],
    }
}

/// Reads a line; none where it has no colour, no width or the style that draws nothing.
fn stroke(symbol: &Value) -> Option<Stroke> {
    let style = text(symbol, "style").unwrap_or_default();
    let width = number(symbol, "width").unwrap_or(1.0).min(512.0);
    let color = color(symbol).filter(|color| color.alpha > 0)?;
    let draws = style != "esriSLSNull" && width > 0.0;
    draws.then(|| Stroke { color, width, dashes: dashes(style).to_vec() })
}

fn fill(symbol: &Value) -> Symbol {
    let hatch = match text(symbol, "style") {
        Some("esriSFSHorizontal") => Some(Hatch::Horizontal),
        Some("esriSFSVertical") => Some(Hatch::Vertical),
        Some("esriSFSBackwardDiagonal") => Some(Hatch::BackwardDiagonal),
        Some("esriSFSForwardDiagonal") => Some(Hatch::ForwardDiagonal),
        Some("esriSFSCross") => Some(Hatch::Cross),
        Some("esriSFSDiagonalCross") => Some(Hatch::DiagonalCross),
        _ => None,
    };
    let color = color(symbol).filter(|color| color.alpha > 0 && text(symbol, "style") != Some("esriSFSNull"));
    let style = match (color, hatch) {
        (None, _) => FillStyle::Hollow,
        (Some(_), Some(hatch)) => FillStyle::Hatch(hatch),
        (Some(_), None) => FillStyle::Solid,
    };
    let outline = symbol.get("outline").and_then(stroke);
    Symbol::Fill(Fill { color: color.unwrap_or(Rgba::new(0, 0, 0, 0)), style, outline })
}

fn picture_of(symbol: &Value) -> Option<Picture> {
    let (media_type, data) = picture::read(symbol)?;
    let pixels = picture::size(&media_type, &data);
    let of =
        |key, at: usize| number(symbol, key).filter(|length| *length > 0.0).unwrap_or(pixels[at] * 0.75).clamp(0.5, 512.0);
    let (width, height) = (of("width", 0), of("height", 1));
    Some(Picture { media_type, data, width, height, placement: placement(symbol) })
}

fn picture_marker(symbol: &Value, report: &mut Report<'_>) -> Symbol {
    if let Some(picture) = picture_of(symbol) {
        return Symbol::Picture(picture);
    }
    report.approximate("a picture that is not in the map", "a circle of its size");
    let size = number(symbol, "width").or(number(symbol, "height")).unwrap_or(8.0).clamp(0.5, 512.0);
    let color = color(symbol).unwrap_or(Rgba::GREY);
    Symbol::Marker(Marker { shape: Shape::Circle, size, color, outline: None, placement: placement(symbol) })
}

fn picture_fill(symbol: &Value, report: &mut Report<'_>) -> Symbol {
    let outline = symbol.get("outline").and_then(stroke);
    let color = color(symbol).unwrap_or(Rgba::GREY);
    let style = match picture_of(symbol) {
        Some(picture) => FillStyle::Picture(picture),
        None => {
            report.approximate("a fill picture that is not in the map", "a solid fill");
            FillStyle::Solid
        }
    };
    Symbol::Fill(Fill { color, style, outline })
}

fn text_marker(symbol: &Value, report: &mut Report<'_>) -> Symbol {
    let shown = text(symbol, "text").unwrap_or_default();
    report.approximate(format!("the text symbol {shown:?}"), "a circle of its colour");
    let size = symbol.get("font").and_then(|font| number(font, "size")).unwrap_or(8.0).clamp(0.5, 512.0);
    let color = color(symbol).unwrap_or(Rgba::GREY);
    Symbol::Marker(Marker { shape: Shape::Circle, size, color, outline: None, placement: placement(symbol) })
}

/// The first symbol that a list of symbols or classes has, for renderers that are not supported.
pub(crate) fn first(classes: &Value, key: &str) -> Option<Value> {
    list(classes, key).iter().find_map(|class| class.get("symbol").filter(|symbol| symbol.is_object()).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(symbol: Value) -> (Symbol, usize) {
        let mut list = Vec::new();
        let read = read(&symbol, &mut Report::new("layer", &mut list));
        (read, list.len())
    }

    #[test]
    fn markers_turn_clockwise_and_keep_their_outline() {
        let outline = json!({"type": "esriSLS", "style": "esriSLSSolid", "color": [0, 0, 0, 255], "width": 1.5});
        let (read, notes) = one(json!({"type": "esriSMS", "style": "esriSMSDiamond", "color": [255, 0, 0, 128], "size": 12,
            "angle": 30, "xoffset": 2, "yoffset": 3, "outline": outline}));
        assert_eq!(notes, 0);
        assert_eq!(
            read,
            Symbol::Marker(Marker {
                shape: Shape::Diamond,
                size: 12.0,
                color: Rgba::new(255, 0, 0, 128),
                outline: Some(Stroke { color: Rgba::new(0, 0, 0, 255), width: 1.5, dashes: Vec::new() }),
                placement: Placement { angle: -30.0, right: 2.0, up: 3.0 },
            })
        );
    }

    #[test]
    fn every_marker_and_hatch_has_its_own_form() {
        for (style, shape) in
            [("Circle", Shape::Circle), ("Square", Shape::Square), ("Cross", Shape::Cross), ("X", Shape::X)]
        {
            let (read, _) = one(json!({"type": "esriSMS", "style": format!("esriSMS{style}"), "color": [1, 2, 3, 255]}));
            assert!(matches!(read, Symbol::Marker(Marker { shape: found, .. }) if found == shape), "{style}: {read:?}");
        }
        for (style, hatch) in [
            ("Horizontal", Hatch::Horizontal),
            ("Vertical", Hatch::Vertical),
            ("ForwardDiagonal", Hatch::ForwardDiagonal),
            ("BackwardDiagonal", Hatch::BackwardDiagonal),
            ("Cross", Hatch::Cross),
            ("DiagonalCross", Hatch::DiagonalCross),
        ] {
            let (read, _) = one(json!({"type": "esriSFS", "style": format!("esriSFS{style}"), "color": [1, 2, 3, 255]}));
            assert!(matches!(read, Symbol::Fill(Fill { style: FillStyle::Hatch(found), .. }) if found == hatch), "{style}");
        }
        let (hollow, _) = one(json!({"type": "esriSFS", "style": "esriSFSNull", "color": [1, 2, 3, 255]}));
        assert!(matches!(hollow, Symbol::Fill(Fill { style: FillStyle::Hollow, .. })));
    }

    #[test]
    fn lines_without_style_width_or_colour_draw_nothing() {
        let line =
            |style: &str, width: f64| json!({"type": "esriSLS", "style": style, "color": [0, 0, 0, 255], "width": width});
        let (dash, _) = one(line("esriSLSDashDotDot", 2.0));
        assert!(matches!(dash, Symbol::Line(Stroke { dashes, .. }) if dashes == [8.0, 3.0, 1.0, 3.0, 1.0, 3.0]));
        assert_eq!(one(line("esriSLSNull", 2.0)).0, Symbol::Nothing);
        assert_eq!(one(line("esriSLSSolid", 0.0)).0, Symbol::Nothing);
    }

    #[test]
    fn what_cannot_be_drawn_is_reported() {
        assert_eq!(one(json!({"type": "esriPMS", "url": "abc", "width": 10})).1, 1, "no picture");
        assert_eq!(one(json!({"type": "esriTS", "text": "A", "color": [1, 1, 1, 255]})).1, 1, "text");
        assert_eq!(one(json!({"type": "esriWhat"})), (Symbol::Nothing, 1));
    }
}
