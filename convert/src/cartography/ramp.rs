//! Sizes and colours that follow a number: Esri's visual variables.

use super::approximation::Report;
use super::color::Rgba;
use super::members::{list, number, text};
use super::text_expression;
use serde_json::Value;

/// A value that follows the number of a field, in straight lines between stops.
#[derive(Clone, Debug, PartialEq)]
pub struct Ramp<T> {
    /// The field.
    pub field: String,
    /// A field that it is divided by.
    pub divisor: Option<String>,
    /// Numbers, ascending, with what belongs to each. Below the first and above the last the value stays.
    pub stops: Vec<(f64, T)>,
}

fn ramp<T>(variable: &Value, mut stops: Vec<(f64, T)>) -> Option<Ramp<T>> {
    let field = match text(variable, "valueExpression") {
        Some(arcade) => text_expression::single_field(arcade)?,
        None => text(variable, "field")?.to_owned(),
    };
    stops.sort_by(|a, b| a.0.total_cmp(&b.0));
    stops.dedup_by(|a, b| a.0 == b.0);
    let divisor = text(variable, "normalizationField").map(str::to_owned);
    (!stops.is_empty()).then_some(Ramp { field, divisor, stops })
}

/// Sizes in points; none for sizes that change with the scale, and for outlines.
fn size(variable: &Value) -> Option<Ramp<f64>> {
    if text(variable, "target").is_some() || text(variable, "valueUnit").is_some_and(|unit| unit != "unknown") {
        return None;
    }
    let stop = |stop: &Value| Some((number(stop, "value")?, number(stop, "size")?));
    let mut stops: Vec<(f64, f64)> = list(variable, "stops").iter().filter_map(stop).collect();
    if stops.is_empty() {
        let of = |key| number(variable, key);
        stops = vec![(of("minDataValue")?, of("minSize")?), (of("maxDataValue")?, of("maxSize")?)];
    }
    ramp(variable, stops)
}

fn color(variable: &Value) -> Option<Ramp<Rgba>> {
    let stop = |stop: &Value| Some((number(stop, "value")?, Rgba::from_esri(stop.get("color")?)?));
    ramp(variable, list(variable, "stops").iter().filter_map(stop).collect())
}

/// The size and colour variables of a renderer; variables of other kinds, but for rotation, are reported.
pub(crate) fn read(renderer: &Value, report: &mut Report<'_>) -> (Option<Ramp<f64>>, Option<Ramp<Rgba>>) {
    let (mut of_size, mut of_color) = (None, None);
    for variable in list(renderer, "visualVariables") {
        let named = text(variable, "field").is_some() || text(variable, "valueExpression").is_some();
        let kind = text(variable, "type").unwrap_or("unknown");
        let known = match kind {
            _ if !named => true,
            "rotationInfo" => true,
            "sizeInfo" if of_size.is_none() => {
                of_size = size(variable);
                of_size.is_some()
            }
            "colorInfo" if of_color.is_none() => {
                of_color = color(variable);
                of_color.is_some()
            }
            _ => false,
        };
        if !known {
            report.approximate(format!("the visual variable {kind}"), "the symbol without it");
        }
    }
    (of_size, of_color)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_by_stops_and_by_limits_and_colours() {
        let mut list = Vec::new();
        let (size, color) = read(
            &json!({"visualVariables": [
                {"type": "sizeInfo", "field": "POP", "minDataValue": 10, "maxDataValue": 0, "minSize": 30, "maxSize": 4},
                {"type": "colorInfo", "valueExpression": "$feature.AGE", "normalizationField": "N", "stops": [
                    {"value": 5, "color": [255, 0, 0, 255]}, {"value": 1, "color": [0, 0, 255, 255]}]},
                {"type": "sizeInfo", "target": "outline", "valueExpression": "$view.scale", "stops": []},
                {"type": "transparencyInfo", "field": "T", "stops": []},
                {"type": "sizeInfo", "axis": "height", "valueUnit": ""}]}),
            &mut Report::new("layer", &mut list),
        );
        assert_eq!(size.expect("is there").stops, [(0.0, 4.0), (10.0, 30.0)]);
        let color = color.expect("is there");
        assert_eq!((color.field.as_str(), color.divisor.as_deref(), color.stops[0].0), ("AGE", Some("N"), 1.0));
        assert_eq!(list.len(), 2, "{list:?}");
    }
}
