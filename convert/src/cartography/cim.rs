//! CIM symbols, simplified: the topmost fill, the topmost stroke, the topmost marker.

use super::approximation::Report;
use super::color::Rgba;
use super::members::{as_number, list, number, text};
use super::picture;
use super::symbol::{Fill, FillStyle, Marker, Picture, Placement, Shape, Stroke, Symbol};
use serde_json::Value;

/// Reads a CIM symbol. Symbol layers stand with the topmost first.
pub(crate) fn read(symbol: &Value, report: &mut Report<'_>) -> Symbol {
    let layers: Vec<&Value> = list(symbol, "symbolLayers").iter().filter(|layer| is_enabled(layer)).collect();
    let kind = text(symbol, "type").unwrap_or("CIM symbol");
    let fill = layers.iter().find_map(|layer| fill_of(layer));
    let stroke = layers.iter().find_map(|layer| stroke_of(layer));
    let (read, used) = match kind {
        "CIMPointSymbol" => {
            let marker = layers.iter().find_map(|layer| marker_of(layer, number(symbol, "angle").unwrap_or(0.0)));
            (marker.unwrap_or(Symbol::Nothing), 1)
        }
        "CIMLineSymbol" => (stroke.map_or(Symbol::Nothing, Symbol::Line), 1),
        "CIMPolygonSymbol" => {
            let used = usize::from(fill.is_some()) + usize::from(stroke.is_some());
            let style = if fill.is_some() { FillStyle::Solid } else { FillStyle::Hollow };
            let color = fill.or(stroke.as_ref().map(|stroke| stroke.color)).unwrap_or(Rgba::GREY);
            (Symbol::Fill(Fill { color, style, outline: stroke }), used)
        }
        other => {
            report.approximate(format!("a {other}"), "nothing");
            return Symbol::Nothing;
        }
    };
    let exact = layers.len() == used && layers.iter().all(|layer| is_exact(layer));
    if !exact {
        report.approximate(format!("a {kind} of {} layers", layers.len()), "its topmost fill, stroke or marker");
    }
    read
}

fn is_enabled(layer: &Value) -> bool {
    layer.get("enable").and_then(Value::as_bool).unwrap_or(true)
}

fn is_exact(layer: &Value) -> bool {
    let plain = list(layer, "effects").iter().all(|effect| text(effect, "type") == Some("CIMGeometricEffectDashes"));
    plain && matches!(text(layer, "type"), Some("CIMSolidFill" | "CIMSolidStroke" | "CIMPictureMarker"))
}

/// A colour: `[r, g, b, a]` with 0 to 255, or an object with an alpha of 0 to 100.
fn color(value: &Value) -> Option<Rgba> {
    if value.is_array() {
        return Rgba::from_esri(value);
    }
    let values: Vec<f64> = list(value, "values").iter().filter_map(as_number).collect();
    let part = |at: usize| values.get(at).copied();
    let alpha = |at: usize| part(at).map_or(255.0, |alpha| alpha * 255.0 / 100.0);
    let rgba = |r: f64, g: f64, b: f64, a: f64| {
        let byte = |value: f64| value.round().clamp(0.0, 255.0) as u8;
        Rgba::new(byte(r), byte(g), byte(b), byte(a))
    };
    Some(match text(value, "type")? {
        "CIMRGBColor" => rgba(part(0)?, part(1)?, part(2)?, alpha(3)),
        "CIMGrayColor" => rgba(part(0)?, part(0)?, part(0)?, alpha(1)),
        "CIMHSVColor" => Rgba::from_hsv(part(0)?, part(1)? / 100.0, part(2)? / 100.0, rgba(0.0, 0.0, 0.0, alpha(3)).alpha),
        "CIMCMYKColor" => {
            let ink = |at: usize| Some((1.0 - part(at)? / 100.0) * (1.0 - part(3)? / 100.0) * 255.0);
            rgba(ink(0)?, ink(1)?, ink(2)?, alpha(4))
        }
        _ => return None,
    })
}

fn fill_of(layer: &Value) -> Option<Rgba> {
    match text(layer, "type")? {
        "CIMSolidFill" => color(layer.get("color")?),
        "CIMHatchFill" => layer.get("lineSymbol").and_then(|line| list(line, "symbolLayers").iter().find_map(stroke_color)),
        "CIMGradientFill" => {
            let ramp = layer.get("colorRamp")?;
            color(ramp.get("toColor").or(ramp.get("fromColor"))?)
        }
        "CIMPictureFill" => layer.get("tintColor").and_then(color).or(Some(Rgba::GREY)),
        _ => None,
    }
}

fn stroke_color(layer: &Value) -> Option<Rgba> {
    stroke_of(layer).map(|stroke| stroke.color)
}

fn stroke_of(layer: &Value) -> Option<Stroke> {
    let color = match text(layer, "type")? {
        "CIMSolidStroke" => color(layer.get("color")?)?,
        "CIMGradientStroke" | "CIMPictureStroke" => Rgba::GREY,
        _ => return None,
    };
    let width = number(layer, "width").unwrap_or(1.0);
    let template = list(layer, "effects").iter().find(|e| text(e, "type") == Some("CIMGeometricEffectDashes"));
    let points: Vec<f64> = template.map_or(&[][..], |e| list(e, "dashTemplate")).iter().filter_map(as_number).collect();
    let dashes = if width > 0.0 { points.iter().map(|length| length / width).collect() } else { Vec::new() };
    (width > 0.0).then_some(Stroke { color, width, dashes })
}

fn marker_of(layer: &Value, turned: f64) -> Option<Symbol> {
    let of = |key| number(layer, key).unwrap_or(0.0);
    let clockwise = layer.get("rotateClockwise").and_then(Value::as_bool).unwrap_or(false);
    let own = if clockwise { of("rotation") } else { -of("rotation") };
    let placement = Placement { angle: own - turned, right: of("offsetX"), up: of("offsetY") };
    let size = number(layer, "size").unwrap_or(8.0).clamp(0.5, 512.0);
    match text(layer, "type")? {
        "CIMPictureMarker" => {
            let (media_type, data) = picture::read(layer)?;
            let [width, height] = picture::size(&media_type, &data);
            Some(Symbol::Picture(Picture {
                media_type,
                data,
                width: size * width / height.max(1.0),
                height: size,
                placement,
            }))
        }
        "CIMVectorMarker" => {
            let graphic = list(layer, "markerGraphics").iter().find(|graphic| graphic.get("symbol").is_some())?;
            let parts = list(graphic.get("symbol")?, "symbolLayers");
            let (fill, outline) = (parts.iter().find_map(fill_of), parts.iter().find_map(stroke_of));
            let color = fill.or(outline.as_ref().map(|stroke| stroke.color)).unwrap_or(Rgba::GREY);
            let shape = graphic.get("geometry").map_or(Shape::Circle, shape);
            Some(Symbol::Marker(Marker { shape, size, color, outline, placement }))
        }
        "CIMCharacterMarker" => {
            let parts = layer.get("symbol").map_or(&[][..], |symbol| list(symbol, "symbolLayers"));
            let color = parts.iter().find_map(fill_of).unwrap_or(Rgba::GREY);
            Some(Symbol::Marker(Marker { shape: Shape::Circle, size, color, outline: None, placement }))
        }
        _ => None,
    }
}

/// The shape of a marker's graphic by its first ring: three corners, four upright, four on a corner; anything else is a circle.
fn shape(geometry: &Value) -> Shape {
    let ring = list(geometry, "rings").first().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut corners: Vec<[f64; 2]> = ring
        .iter()
        .filter_map(|point| Some([point.get(0).and_then(as_number)?, point.get(1).and_then(as_number)?]))
        .collect();
    if corners.len() > 1 && corners.first() == corners.last() {
        corners.pop();
    }
    match corners.as_slice() {
        [_, _, _] => Shape::Triangle,
        [a, b, _, _] if a[0] == b[0] || a[1] == b[1] => Shape::Square,
        [_, _, _, _] => Shape::Diamond,
        _ => Shape::Circle,
    }
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
    fn one_fill_and_one_stroke_are_exact() {
        let stroke = json!({"type": "CIMSolidStroke", "enable": true, "width": 2, "color": {"type": "CIMRGBColor", "values": [10, 20, 30, 100]},
            "effects": [{"type": "CIMGeometricEffectDashes", "dashTemplate": [8, 4]}]});
        let fill =
            json!({"type": "CIMSolidFill", "enable": true, "color": {"type": "CIMRGBColor", "values": [255, 0, 0, 50]}});
        let (read, notes) = one(json!({"type": "CIMPolygonSymbol", "symbolLayers": [stroke, fill]}));
        assert_eq!(notes, 0);
        let outline = Some(Stroke { color: Rgba::new(10, 20, 30, 255), width: 2.0, dashes: vec![4.0, 2.0] });
        assert_eq!(read, Symbol::Fill(Fill { color: Rgba::new(255, 0, 0, 128), style: FillStyle::Solid, outline }));
    }

    #[test]
    fn a_cased_road_is_its_topmost_stroke_and_reported() {
        let stroke = |width: i32, red: i32| json!({"type": "CIMSolidStroke", "width": width, "color": [red, 0, 0, 255]});
        let (read, notes) = one(json!({"type": "CIMLineSymbol", "symbolLayers": [stroke(1, 200), stroke(3, 0)]}));
        assert_eq!(read, Symbol::Line(Stroke { color: Rgba::new(200, 0, 0, 255), width: 1.0, dashes: Vec::new() }));
        assert_eq!(notes, 1);
    }

    #[test]
    fn vector_markers_keep_their_shape_and_colour() {
        let graphic = |ring: Value| {
            json!({"type": "CIMPointSymbol", "symbolLayers": [{"type": "CIMVectorMarker", "size": 9, "markerGraphics": [{
                "geometry": {"rings": [ring]},
                "symbol": {"type": "CIMPolygonSymbol", "symbolLayers": [{"type": "CIMSolidFill", "color": [0, 90, 0, 255]}]}}]}]})
        };
        for (ring, expected) in [
            (json!([[0, 0], [1, 2], [2, 0], [0, 0]]), Shape::Triangle),
            (json!([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]), Shape::Square),
            (json!([[0, 1], [1, 0], [0, -1], [-1, 0], [0, 1]]), Shape::Diamond),
        ] {
            let (read, notes) = one(graphic(ring));
            assert!(matches!(read, Symbol::Marker(Marker { shape, color, .. }) if shape == expected && color.green == 90));
            assert_eq!(notes, 1);
        }
    }

    #[test]
    fn colours_of_every_model() {
        let of = |kind: &str, values: Value| color(&json!({"type": kind, "values": values}));
        assert_eq!(of("CIMGrayColor", json!([100, 100])), Some(Rgba::new(100, 100, 100, 255)));
        assert_eq!(of("CIMHSVColor", json!([240, 100, 100, 100])), Some(Rgba::new(0, 0, 255, 255)));
        assert_eq!(of("CIMCMYKColor", json!([0, 100, 100, 0, 100])), Some(Rgba::new(255, 0, 0, 255)));
        assert_eq!(of("CIMXYZColor", json!([0, 100, 100])), None);
    }
}
