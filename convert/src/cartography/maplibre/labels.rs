//! Labels as symbol layers.

use super::expression::{filter, number, text};
use super::zoom;
use crate::cartography::approximation::Report;
use crate::cartography::label::{Label, LabelPlace};
use crate::cartography::map::{Features, Inherited, Layer};
use crate::cartography::symbol::PIXELS_PER_POINT;
use serde_json::{Map as Object, Value, json};

/// The layers of a style that draw the labels of a feature layer, at the points of a source where there is one. The first class of labels
/// of a feature is the topmost.
pub(crate) fn layers(
    (layer, points): (&Layer, Option<&str>),
    inherited: Inherited,
    features: &Features,
    font: &dyn Fn(&Label) -> Vec<String>,
    report: &mut Report<'_>,
) -> Vec<Value> {
    let made = features.labels.iter().enumerate().rev();
    made.map(|(at, label)| label_layer((layer, points), inherited, features, (at, label), font(label), report)).collect()
}

fn label_layer(
    (layer, points): (&Layer, Option<&str>),
    inherited: Inherited,
    features: &Features,
    (at, label): (usize, &Label),
    font: Vec<String>,
    report: &mut Report<'_>,
) -> Value {
    let mut made = Object::new();
    made.insert("id".into(), json!(format!("{}/labels-{at}", layer.id)));
    made.insert("type".into(), json!("symbol"));
    made.insert("metadata".into(), json!({"layer": layer.id, "title": layer.title}));
    let points = points.filter(|_| !matches!(label.place, LabelPlace::Along(_)));
    made.insert("source".into(), json!(points.unwrap_or(&layer.id)));
    let filters: Vec<Value> = [features.filter.as_ref(), label.filter.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|of| {
            let made = filter(of, &features.fields);
            if made.is_none() {
                report.approximate("a filter that MapLibre cannot evaluate", "labels of all features");
            }
            made
        })
        .collect();
    match filters.as_slice() {
        [] => {}
        [one] => drop(made.insert("filter".into(), one.clone())),
        many => drop(made.insert("filter".into(), [json!("all")].into_iter().chain(many.iter().cloned()).collect())),
    }
    made.insert("layout".into(), Value::Object(layout(label, features, font)));
    let mut paint = Object::new();
    paint.insert("text-color".into(), json!(label.symbol.color.css()));
    if let Some((color, width)) = label.symbol.halo {
        paint.insert("text-halo-color".into(), json!(color.css()));
        paint.insert("text-halo-width".into(), number(width * PIXELS_PER_POINT));
    }
    if inherited.opacity < 1.0 {
        paint.insert("text-opacity".into(), number(inherited.opacity));
    }
    made.insert("paint".into(), Value::Object(paint));
    let mut within = inherited;
    if label.min_scale > 0.0 {
        within.min_scale = if within.min_scale > 0.0 { within.min_scale.min(label.min_scale) } else { label.min_scale };
    }
    within.max_scale = within.max_scale.max(label.max_scale);
    zoom::limit_inherited(&mut made, within);
    Value::Object(made)
}

fn layout(label: &Label, features: &Features, font: Vec<String>) -> Object<String, Value> {
    let mut layout = Object::new();
    layout.insert("text-field".into(), text(&label.text, label.coded_values, &features.fields));
    layout.insert("text-font".into(), json!(font));
    layout.insert("text-size".into(), number(label.symbol.size * PIXELS_PER_POINT));
    let em = |points: f64| points / label.symbol.size;
    let (right, up) = label.symbol.offset;
    match label.place {
        LabelPlace::Beside(x, y) => {
            let vertical = ["top", "", "bottom"][usize::try_from(y + 1).unwrap_or(1)];
            let horizontal = ["right", "", "left"][usize::try_from(x + 1).unwrap_or(1)];
            let anchor = match (vertical, horizontal) {
                ("", "") => "center".to_owned(),
                ("", one) | (one, "") => one.to_owned(),
                (vertical, horizontal) => format!("{vertical}-{horizontal}"),
            };
            // Beyond the marker; in a corner, nearer by what a circle leaves free.
            let reach = features.renderer.reach() * if x != 0 && y != 0 { 0.75 } else { 1.0 } + 1.0;
            let offset = [em(f64::from(x) * reach + right), -em(f64::from(y) * reach + up)];
            layout.insert("text-anchor".into(), json!(anchor));
            layout.insert("text-offset".into(), json!(offset.map(number)));
        }
        LabelPlace::Along(up) => {
            layout.insert("symbol-placement".into(), json!("line"));
            layout.insert("text-offset".into(), json!([0, number(-f64::from(up) * 0.9)]));
        }
        LabelPlace::Inside => {}
    }
    layout
}
