//! Labels: text, style, place, and the features that have one.

use super::approximation::Report;
use super::color::Rgba;
use super::filter::Filter;
use super::members::{number, text};
use super::symbol::TextSymbol;
use super::text_expression::{self, TextPart};
use serde_json::Value;

/// A class of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Its text.
    pub text: Vec<TextPart>,
    /// Whether fields with coded values show the text of the code.
    pub coded_values: bool,
    /// Its style.
    pub symbol: TextSymbol,
    /// Where it stands.
    pub place: LabelPlace,
    /// The features that have it; all without.
    pub filter: Option<Filter>,
    /// The smallest scale at which it is shown, as a denominator; 0 is no limit.
    pub min_scale: f64,
    /// The largest scale at which it is shown, as a denominator; 0 is no limit.
    pub max_scale: f64,
}

/// Where a label stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelPlace {
    /// Beside a point: -1, 0 or 1 to the right and upwards.
    Beside(i8, i8),
    /// Along a line: 1 above it, 0 on it, -1 below it.
    Along(i8),
    /// Within an area.
    Inside,
}

/// Reads `labelingInfo`; labels that cannot be read are reported.
pub(crate) fn read_all(labeling: &Value, report: &mut Report<'_>) -> Vec<Label> {
    labeling.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(|class| read(class, report)).collect()
}

fn read(class: &Value, report: &mut Report<'_>) -> Option<Label> {
    let parts = parts(class, report)?;
    let symbol = class.get("symbol").unwrap_or(&Value::Null);
    let filter = text(class, "where").and_then(|clause| {
        let filter = Filter::parse(clause);
        if filter.is_none() {
            report.approximate(format!("the condition of labels {clause:?}"), "labels of all features");
        }
        filter.filter(|filter| *filter != Filter::Constant(true))
    });
    Some(Label {
        text: parts,
        coded_values: class.get("useCodedValues").and_then(Value::as_bool).unwrap_or(true),
        symbol: text_symbol(symbol, report),
        place: place(text(class, "labelPlacement").unwrap_or_default()),
        filter,
        min_scale: number(class, "minScale").unwrap_or(0.0),
        max_scale: number(class, "maxScale").unwrap_or(0.0),
    })
}

fn parts(class: &Value, report: &mut Report<'_>) -> Option<Vec<TextPart>> {
    let info = class.get("labelExpressionInfo");
    let arcade = info.and_then(|info| text(info, "expression"));
    let template = info.and_then(|info| text(info, "value"));
    let old = text(class, "labelExpression");
    let read = match (arcade, template, old) {
        (Some(arcade), ..) => text_expression::arcade_parts(arcade),
        (_, Some(template), _) => text_expression::brace_parts(template).or_else(|| text_expression::arcade_parts(template)),
        (_, _, Some(old)) => text_expression::bracket_parts(old).or_else(|| text_expression::brace_parts(old)),
        _ => return None,
    };
    if read.is_none() {
        let expression = arcade.or(template).or(old).unwrap_or_default();
        let first = first_field(expression);
        let shown = first.as_ref().map_or("nothing".to_owned(), |field| format!("the field {field}"));
        report.approximate(format!("the label expression {expression:?}"), shown);
        return first.map(|field| vec![TextPart::Field(field)]);
    }
    read
}

/// The first field that an expression names.
fn first_field(expression: &str) -> Option<String> {
    let at = expression.find("$feature")?;
    let rest = &expression[at..];
    let end = rest["$feature".len()..].find(|c: char| !c.is_alphanumeric() && !"_.[]\"'".contains(c));
    text_expression::single_field(end.map_or(rest, |end| &rest[..end + "$feature".len()]))
}

fn text_symbol(symbol: &Value, report: &mut Report<'_>) -> TextSymbol {
    // A CIM text symbol has its height and family at its root and its colour in a polygon symbol.
    let cim = symbol.get("symbol").filter(|inner| text(inner, "type") == Some("CIMTextSymbol"));
    if let Some(cim) = cim {
        report.approximate("a CIMTextSymbol", "a text of its size in black");
        return TextSymbol {
            color: Rgba::new(0, 0, 0, 255),
            size: number(cim, "height").unwrap_or(9.0).clamp(1.0, 200.0),
            family: text(cim, "fontFamilyName").unwrap_or("Arial").to_owned(),
            bold: text(cim, "fontStyleName").is_some_and(|style| style.contains("Bold")),
            italic: text(cim, "fontStyleName").is_some_and(|style| style.contains("Italic")),
            halo: None,
            offset: (0.0, 0.0),
        };
    }
    let font = symbol.get("font").unwrap_or(&Value::Null);
    let color = |key: &str| symbol.get(key).and_then(Rgba::from_esri);
    let halo = number(symbol, "haloSize").filter(|size| *size > 0.0);
    let of = |key| number(symbol, key).unwrap_or(0.0);
    TextSymbol {
        color: color("color").unwrap_or(Rgba::new(0, 0, 0, 255)),
        size: number(font, "size").unwrap_or(9.0).clamp(1.0, 200.0),
        family: text(font, "family").unwrap_or("Arial").to_owned(),
        bold: matches!(text(font, "weight"), Some("bold" | "bolder")),
        italic: matches!(text(font, "style"), Some("italic" | "oblique")),
        halo: halo.map(|size| (color("haloColor").unwrap_or(Rgba::new(255, 255, 255, 255)), size)),
        offset: (of("xoffset"), of("yoffset")),
    }
}

fn place(name: &str) -> LabelPlace {
    let up = if name.contains("Above") {
        1
    } else if name.contains("Below") {
        -1
    } else {
        0
    };
    if name.starts_with("esriServerLine") {
        return LabelPlace::Along(up);
    }
    if name.starts_with("esriServerPolygon") {
        return LabelPlace::Inside;
    }
    let right = if name.ends_with("Right") {
        1
    } else if name.ends_with("Left") {
        -1
    } else {
        0
    };
    match (right, up) {
        // A point's label stands above and to the right where nothing is said.
        (0, 0) if !name.contains("Center") => LabelPlace::Beside(1, 1),
        pair => LabelPlace::Beside(pair.0, pair.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(class: Value) -> (Option<Label>, Vec<String>) {
        let mut list = Vec::new();
        let read = read(&class, &mut Report::new("layer", &mut list));
        (read, list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_labels_of_a_desktop_package() {
        // Facts of a package that ArcGIS Pro 1.2 wrote.
        let (read, notes) = one(json!({"labelPlacement": "esriServerPolygonPlacementAlwaysHorizontal", "where": null,
            "labelExpression": "[STATE_NAME]", "useCodedValues": true, "minScale": 0, "maxScale": 0,
            "symbol": {"type": "esriTS", "color": [0, 0, 0, 255], "haloColor": null, "haloSize": null,
                "font": {"family": "Arial", "size": 8, "style": "italic", "weight": "bold", "decoration": "none"}}}));
        let read = read.expect("is there");
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(read.text, [TextPart::Field("STATE_NAME".into())]);
        assert_eq!((read.symbol.size, read.symbol.bold, read.symbol.italic), (8.0, true, true));
        assert_eq!((read.place, read.filter), (LabelPlace::Inside, None));
    }

    #[test]
    fn places_beside_points_and_along_lines() {
        assert_eq!(place("esriServerPointLabelPlacementBelowLeft"), LabelPlace::Beside(-1, -1));
        assert_eq!(place("esriServerPointLabelPlacementCenterCenter"), LabelPlace::Beside(0, 0));
        assert_eq!(place("esriServerPointLabelPlacementCenterRight"), LabelPlace::Beside(1, 0));
        assert_eq!(place("esriServerLinePlacementAboveAlong"), LabelPlace::Along(1));
        assert_eq!(place("esriServerLinePlacementCenterAlong"), LabelPlace::Along(0));
        assert_eq!(place(""), LabelPlace::Beside(1, 1));
    }

    #[test]
    fn arcade_that_is_more_than_fields_shows_its_first_field() {
        let (read, notes) =
            one(json!({"labelExpressionInfo": {"expression": "Upper($feature.NAME) + 1"}, "where": "F(X)=1"}));
        assert_eq!(read.expect("is there").text, [TextPart::Field("NAME".into())]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(one(json!({"labelExpressionInfo": {"expression": "Now()"}})).0.is_none());
    }
}
