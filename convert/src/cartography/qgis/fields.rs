//! Aliases and edit widgets of fields.

use super::xml::{Element, option, option_map};
use crate::cartography::field::{Domain, Field, FieldKind, Fields};

/// The elements of a layer that describe its fields.
pub(crate) fn elements(fields: &Fields) -> Vec<Element> {
    if fields.0.is_empty() {
        return Vec::new();
    }
    let widget = |field: &Field| {
        let (kind, config) = widget(field);
        let config = Element::new("config").child(config);
        let widget = Element::new("editWidget").attribute("type", kind).child(config);
        Element::new("field").attribute("name", field.name.clone()).attribute("configurationFlags", "None").child(widget)
    };
    let alias = |(at, field): (usize, &Field)| {
        let element = Element::new("alias").attribute("field", field.name.clone()).attribute("index", at.to_string());
        element.attribute("name", field.alias.clone().unwrap_or_default())
    };
    let editable = |field: &Field| {
        Element::new("field")
            .attribute("name", field.name.clone())
            .attribute("editable", if field.editable { "1" } else { "0" })
    };
    vec![
        Element::new("fieldConfiguration").children(fields.0.iter().map(widget)),
        Element::new("aliases").children(fields.0.iter().enumerate().map(alias)),
        Element::new("editable").children(fields.0.iter().map(editable)),
    ]
}

/// The edit widget of a field and its options.
fn widget(field: &Field) -> (&'static str, Element) {
    match &field.domain {
        Some(Domain::Coded(codes)) => {
            let pair = |(code, name): &(String, String)| option_map(None, [option(name, "QString", code.clone())]);
            let list = Element::new("Option").attribute("name", "map").attribute("type", "List");
            ("ValueMap", option_map(None, [list.children(codes.iter().map(pair))]))
        }
        Some(Domain::Range(least, greatest)) => {
            let step = if field.kind == FieldKind::Integer { "1" } else { "0.1" };
            let options = [
                option("AllowNull", "bool", "true"),
                option("Min", "double", least.to_string()),
                option("Max", "double", greatest.to_string()),
                option("Step", "double", step),
                option("Style", "QString", "SpinBox"),
            ];
            ("Range", option_map(None, options))
        }
        None if field.kind == FieldKind::Date => ("DateTime", option_map(None, [option("allow_null", "bool", "true")])),
        None => ("", Element::new("Option")),
    }
}
