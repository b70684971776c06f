//! Labels: simple where there is one class for all features, by rules else.

use super::expression;
use super::xml::Element;
use crate::cartography::field::Fields;
use crate::cartography::label::{Label, LabelPlace};
use crate::cartography::stable_id::uuid;

/// The labels of a layer.
pub(crate) fn labeling(labels: &[Label], fields: &Fields, reach: f64, id: &str) -> Element {
    if let [label] = labels
        && label.filter.is_none()
    {
        return Element::new("labeling").attribute("type", "simple").child(settings(label, fields, reach));
    }
    let key = |at: &str| format!("{{{}}}", uuid(&format!("{id}/labels/{at}")));
    let rule = |(at, label): (usize, &Label)| {
        let rule = Element::new("rule").attribute("key", key(&at.to_string()));
        let rule = match &label.filter {
            Some(filter) => rule.attribute("filter", expression::condition(filter)),
            None => rule,
        };
        rule.child(settings(label, fields, reach))
    };
    let rules = Element::new("rules").attribute("key", key("all")).children(labels.iter().enumerate().map(rule));
    Element::new("labeling").attribute("type", "rule-based").child(rules)
}

fn settings(label: &Label, fields: &Fields, reach: f64) -> Element {
    text_settings(label, expression::label(&label.text, label.coded_values, fields), reach)
}

/// The settings of a label whose text is an expression, beside markers that reach so far from their points.
pub(crate) fn text_settings(label: &Label, text: String, reach: f64) -> Element {
    let symbol = &label.symbol;
    let flag = |is: bool| if is { "1" } else { "0" };
    let (halo, width) = symbol.halo.unwrap_or((symbol.color, 0.0));
    let buffer = Element::new("text-buffer")
        .attribute("bufferDraw", flag(symbol.halo.is_some()))
        .attribute("bufferSize", width.to_string())
        .attribute("bufferSizeUnits", "Point")
        .attribute("bufferColor", halo.qgis())
        .attribute("bufferOpacity", "1")
        .attribute("bufferNoFill", "0");
    let style = Element::new("text-style")
        .attribute("fieldName", text)
        .attribute("isExpression", "1")
        .attribute("fontFamily", symbol.family.clone())
        .attribute("fontSize", symbol.size.to_string())
        .attribute("fontSizeUnit", "Point")
        .attribute("fontWeight", if symbol.bold { "75" } else { "50" })
        .attribute("fontItalic", flag(symbol.italic))
        .attribute("textColor", symbol.color.qgis())
        .attribute("textOpacity", "1")
        .child(buffer);
    let rendering = Element::new("rendering")
        .attribute("scaleVisibility", flag(label.min_scale > 0.0 || label.max_scale > 0.0))
        .attribute("scaleMin", label.max_scale.to_string())
        .attribute("scaleMax", label.min_scale.to_string())
        .attribute("obstacle", "1")
        .attribute("drawLabels", "1")
        .attribute("fontMinPixelSize", "3")
        .attribute("fontMaxPixelSize", "10000");
    Element::new("settings").children([style, placement(label, reach), rendering])
}

fn placement(label: &Label, reach: f64) -> Element {
    let element = Element::new("placement").attribute("offsetUnits", "Point").attribute("distUnits", "Point");
    let (right, up) = label.symbol.offset;
    match label.place {
        LabelPlace::Beside(x, y) => {
            // The nine places from the upper left to the lower right.
            let quadrant = i16::from(1 - y) * 3 + i16::from(x + 1);
            // Beyond the marker; in a corner, nearer by what a circle leaves free.
            let reach = reach * if x != 0 && y != 0 { 0.75 } else { 1.0 } + 1.0;
            let offset = [f64::from(x) * reach + right, -(f64::from(y) * reach + up)];
            element
                .attribute("placement", "1")
                .attribute("quadOffset", quadrant.to_string())
                .attribute("xOffset", offset[0].to_string())
                .attribute("yOffset", offset[1].to_string())
        }
        LabelPlace::Along(up) => {
            // Above, on or below the line, as seen on the map.
            let flags = match up {
                1 => "10",
                0 => "9",
                _ => "12",
            };
            element
                .attribute("placement", if up == 0 { "3" } else { "2" })
                .attribute("placementFlags", flags)
                .attribute("dist", "1")
        }
        LabelPlace::Inside => element.attribute("placement", "4").attribute("centroidInside", "1"),
    }
}
