//! Symbols of another geometry than the features have: ArcGIS draws some of them, the readers do not.

use super::approximation::Report;
use super::data_source::GeometryKind;
use super::esri_symbol::plain;
use super::renderer::Renderer;
use super::symbol::{Fill, FillStyle, Symbol};

/// Makes each symbol of a renderer one that features of this geometry can have. Markers on polygons stay: they stand in the middle.
pub(crate) fn fit(renderer: &mut Renderer, geometry: GeometryKind, report: &mut Report<'_>) {
    for class in renderer.classes.iter_mut().chain(&mut renderer.default) {
        let found = std::mem::replace(&mut class.symbol, Symbol::Nothing);
        class.symbol = fitted(found, geometry, report);
    }
    let mut symbols = renderer.classes.iter().chain(&renderer.default).map(|class| &class.symbol);
    let sized = symbols.clone().any(|symbol| matches!(symbol, Symbol::Marker(_) | Symbol::Picture(_) | Symbol::Line(_)));
    if renderer.size.is_some() && !sized {
        report.approximate("widths of outlines that follow a number", "the widths of the symbol");
        renderer.size = None;
    }
    let plain = |symbol: &Symbol| match symbol {
        Symbol::Fill(fill) => matches!(fill.style, FillStyle::Solid | FillStyle::Hollow),
        symbol => !matches!(symbol, Symbol::Picture(_)),
    };
    if renderer.color.is_some() && !symbols.all(plain) {
        report.approximate("colours of pictures and hatches that follow a number", "the colours of the symbol");
    }
}

fn fitted(symbol: Symbol, geometry: GeometryKind, report: &mut Report<'_>) -> Symbol {
    match (symbol, geometry) {
        (Symbol::Line(stroke), GeometryKind::Polygon) => {
            // A line around an area is its outline.
            Symbol::Fill(Fill { color: stroke.color, style: FillStyle::Hollow, outline: Some(stroke) })
        }
        (symbol @ (Symbol::Line(_) | Symbol::Fill(_)), GeometryKind::Point)
        | (symbol @ (Symbol::Marker(_) | Symbol::Picture(_) | Symbol::Fill(_)), GeometryKind::Line) => {
            let simple = plain(geometry, symbol.main_color());
            report.approximate(
                "a symbol of another geometry",
                format!("a simple symbol of the colour {}", symbol.main_color().css()),
            );
            simple
        }
        (symbol, _) => symbol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cartography::color::Rgba;
    use crate::cartography::symbol::Stroke;

    #[test]
    fn a_line_around_an_area_is_exact_and_an_area_on_a_line_is_reported() {
        let stroke = Stroke { color: Rgba::new(1, 2, 3, 255), width: 2.0, dashes: Vec::new() };
        let mut list = Vec::new();
        let mut report = Report::new("layer", &mut list);
        let outlined = fitted(Symbol::Line(stroke.clone()), GeometryKind::Polygon, &mut report);
        assert!(
            matches!(&outlined, Symbol::Fill(Fill { style: FillStyle::Hollow, outline: Some(found), .. }) if *found == stroke)
        );
        let line = fitted(outlined, GeometryKind::Line, &mut report);
        assert!(matches!(line, Symbol::Line(found) if found.color == stroke.color));
        assert_eq!(list.len(), 1);
    }
}
