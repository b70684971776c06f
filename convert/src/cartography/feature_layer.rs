//! Reads the drawing of a feature layer: what the map says, else what the service says.

use super::approximation::Report;
use super::data_source::{FeatureSource, GeometryKind};
use super::field::{Field, Fields};
use super::filter::{Comparison, Filter, Literal};
use super::fit;
use super::label;
use super::map::Features;
use super::members::{list, number, text};
use super::renderer::{Choice, Renderer, Rotation};
use super::symbol::Symbol;
use super::text_expression::TextPart;
use serde_json::Value;

pub(crate) fn read(layer: &Value, description: &Value, source: FeatureSource, report: &mut Report<'_>) -> Features {
    let definition = layer.get("layerDefinition").unwrap_or(&Value::Null);
    let drawing = |key: &str| {
        let of =
            |from: &Value| from.get("drawingInfo").and_then(|info| info.get(key)).filter(|value| !value.is_null()).cloned();
        of(definition).or_else(|| of(description))
    };
    let fields = fields(description, definition);
    let mut renderer = match (drawing("renderer"), source.geometry) {
        (_, GeometryKind::None) => Renderer::single(Symbol::Nothing),
        (renderer, geometry) => Renderer::read(&renderer.unwrap_or(Value::Null), geometry, report),
    };
    fit::fit(&mut renderer, source.geometry, report);
    let shows_labels =
        layer.get("showLabels").and_then(Value::as_bool).unwrap_or(true) && source.geometry != GeometryKind::None;
    let labels =
        drawing("labelingInfo").filter(|_| shows_labels).map(|info| label::read_all(&info, report)).unwrap_or_default();
    if definition.get("featureReduction").or(layer.get("featureReduction")).is_some_and(Value::is_object) {
        report.approximate("clustered or binned features", "each feature by itself");
    }
    let spelled = |key: &str| text(definition, key).or(text(description, key)).map(|name| fields.spelled(name));
    let display_field = spelled("displayField");
    let filter = filter(layer, definition, description, report);
    let mut features = Features { source, fields, display_field, filter, renderer, labels };
    spell(&mut features);
    features
}

fn fields(description: &Value, definition: &Value) -> Fields {
    let of = |from: &Value| list(from, "fields").iter().filter_map(Field::read).collect::<Vec<_>>();
    let known = of(description);
    Fields(if known.is_empty() { of(definition) } else { known })
}

fn filter(layer: &Value, definition: &Value, description: &Value, report: &mut Report<'_>) -> Option<Filter> {
    let mut all = Vec::new();
    if let Some(clause) = text(definition, "definitionExpression") {
        match Filter::parse(clause) {
            Some(Filter::Constant(true)) => {}
            Some(filter) => all.push(filter),
            None => report.approximate(format!("the filter {clause:?}"), "all features that were downloaded"),
        }
    }
    if let Some(code) = number(layer, "subtypeCode") {
        match text(description, "subtypeField").or(text(description, "subtypeFieldName")) {
            Some(field) => all.push(Filter::Compare(field.to_owned(), Comparison::Equal, Literal::Number(code))),
            None => report.approximate(format!("the subtype {code} of a layer that names no subtype field"), "all features"),
        }
    }
    if all.len() > 1 { Some(Filter::And(all)) } else { all.pop() }
}

/// Spells the names of fields as the data do: ArcGIS does not mind their case, MapLibre and QGIS do.
fn spell(features: &mut Features) {
    let fields = features.fields.clone();
    let spell = |name: &mut String| *name = fields.spelled(name);
    match &mut features.renderer.choice {
        Choice::Single => {}
        Choice::Values { fields, .. } => fields.iter_mut().for_each(spell),
        Choice::Breaks { field, normalization, .. } => {
            spell(field);
            if let super::renderer::Normalization::Field(other) = normalization {
                spell(other);
            }
        }
    }
    if let Some(Rotation { field, .. }) = &mut features.renderer.rotation {
        spell(field);
    }
    if let Some(ramp) = &mut features.renderer.size {
        spell(&mut ramp.field);
        ramp.divisor.iter_mut().for_each(spell);
    }
    if let Some(ramp) = &mut features.renderer.color {
        spell(&mut ramp.field);
        ramp.divisor.iter_mut().for_each(spell);
    }
    for label in &mut features.labels {
        for part in &mut label.text {
            if let TextPart::Field(field) = part {
                spell(field);
            }
        }
        label.filter.iter_mut().for_each(|filter| spell_filter(filter, &spell));
    }
    features.filter.iter_mut().for_each(|filter| spell_filter(filter, &spell));
}

fn spell_filter(filter: &mut Filter, spell: &impl Fn(&mut String)) {
    match filter {
        Filter::And(all) | Filter::Or(all) => all.iter_mut().for_each(|part| spell_filter(part, spell)),
        Filter::Not(inner) => spell_filter(inner, spell),
        Filter::Compare(field, ..) | Filter::In(field, _) | Filter::IsNull(field) | Filter::Like(field, _) => spell(field),
        Filter::Constant(_) => {}
    }
}
