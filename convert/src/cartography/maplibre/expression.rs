//! MapLibre expressions: classes, filters and texts.

use crate::cartography::field::{Domain, FieldKind, Fields};
use crate::cartography::filter::{Comparison, Filter, Literal};
use crate::cartography::ramp::Ramp;
use crate::cartography::renderer::{Choice, NULL_VALUE, Normalization, Renderer};
use crate::cartography::text_expression::TextPart;
use serde_json::{Value, json};

fn get(field: &str) -> Value {
    json!(["get", field])
}

/// The value that each class has, by the class of the feature; one value where all are equal.
///
/// `outputs` stand in the order of the renderer's classes, the default last where the renderer is not a single symbol.
pub(crate) fn by_class(renderer: &Renderer, fields: &Fields, outputs: &[Value]) -> Value {
    let Some((default, of_classes)) = outputs.split_last() else { return Value::Null };
    if of_classes.iter().all(|output| output == default) {
        return default.clone();
    }
    match &renderer.choice {
        Choice::Single => default.clone(),
        Choice::Values { fields: keys, delimiter, values } => by_value(keys, delimiter, values, fields, of_classes, default),
        Choice::Breaks { field, normalization, bounds } => by_break(field, normalization, bounds, of_classes, default),
    }
}

fn by_value(
    keys: &[String],
    delimiter: &str,
    values: &[Vec<String>],
    fields: &Fields,
    outputs: &[Value],
    default: &Value,
) -> Value {
    let of_null = values.iter().position(|values| values.iter().any(|value| value == NULL_VALUE)).map(|at| &outputs[at]);
    if let [key] = keys {
        let numeric = matches!(fields.kind(key), Some(FieldKind::Integer | FieldKind::Real));
        let rest =
            if numeric { by_number(key, values, outputs, default) } else { by_text(text_of(key), values, outputs, default) };
        let without = of_null.unwrap_or(default);
        return json!(["case", ["==", get(key), null], without, rest]);
    }
    let mut joined = vec![json!("concat")];
    for (at, key) in keys.iter().enumerate() {
        if at > 0 {
            joined.push(json!(delimiter));
        }
        joined.push(json!(["case", ["==", get(key), null], NULL_VALUE, text_of(key)]));
    }
    by_text(Value::Array(joined), values, outputs, default)
}

fn text_of(field: &str) -> Value {
    json!(["to-string", get(field)])
}

/// `match` on texts; a text that two classes have belongs to the first.
fn by_text(input: Value, values: &[Vec<String>], outputs: &[Value], default: &Value) -> Value {
    let mut seen = std::collections::BTreeSet::new();
    let mut expression = vec![json!("match"), input];
    for (values, output) in values.iter().zip(outputs) {
        let own: Vec<&String> = values.iter().filter(|value| seen.insert(*value)).collect();
        if !own.is_empty() {
            expression.extend([json!(own), output.clone()]);
        }
    }
    if expression.len() == 2 {
        return default.clone();
    }
    expression.push(default.clone());
    Value::Array(expression)
}

/// Numbers are compared as numbers: a service writes the value 1 of a real field as `1` or `1.0`.
fn by_number(key: &str, values: &[Vec<String>], outputs: &[Value], default: &Value) -> Value {
    let mut expression = vec![json!("case")];
    for (values, output) in values.iter().zip(outputs) {
        let equal: Vec<Value> =
            values.iter().filter_map(|value| Some(json!(["==", get(key), literal_number(value)?]))).collect();
        match equal.as_slice() {
            [] => {}
            [one] => expression.extend([one.clone(), output.clone()]),
            many => {
                let any = [json!("any")].into_iter().chain(many.iter().cloned()).collect();
                expression.extend([Value::Array(any), output.clone()]);
            }
        }
    }
    if expression.len() == 1 {
        return default.clone();
    }
    expression.push(default.clone());
    Value::Array(expression)
}

fn literal_number(text: &str) -> Option<Value> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(number)
}

/// A number without a fraction is written as a whole number.
pub(crate) fn number(value: f64) -> Value {
    let rounded = (value * 1e6).round() / 1e6;
    if value.abs() < 1e15 && rounded.fract() == 0.0 {
        json!(rounded as i64)
    } else if value.abs() < 1e9 {
        json!(rounded)
    } else {
        json!(value)
    }
}

/// The number that is classified, and whether it is one.
fn classified(field: &str, normalization: &Normalization) -> (Value, Value) {
    let is_number = |field: &str| json!(["==", ["typeof", get(field)], "number"]);
    match normalization {
        Normalization::None => (get(field), is_number(field)),
        Normalization::Field(other) => {
            let valid = json!(["all", is_number(field), is_number(other), ["!=", get(other), 0]]);
            (json!(["/", get(field), get(other)]), valid)
        }
        Normalization::Log => (json!(["log10", get(field)]), json!(["all", is_number(field), [">", get(field), 0]])),
        Normalization::PercentOfTotal(total) => (json!(["*", ["/", get(field), number(*total)], 100]), is_number(field)),
    }
}

fn by_break(field: &str, normalization: &Normalization, bounds: &[(f64, f64)], outputs: &[Value], default: &Value) -> Value {
    let (value, valid) = classified(field, normalization);
    let mut classes = vec![json!("case")];
    for (at, ((least, greatest), output)) in bounds.iter().zip(outputs).enumerate() {
        // A class begins above the bound of the one before it; only the first begins with its least value.
        let follows = at > 0 && bounds[at - 1].1 == *least;
        let above = json!([if follows { ">" } else { ">=" }, value, *least]);
        let below = json!(["<=", value, *greatest]);
        let within = if *least == f64::MIN { below } else { json!(["all", above, below]) };
        classes.extend([within, output.clone()]);
    }
    classes.push(default.clone());
    json!(["case", valid, classes, default])
}

/// A value that follows a number; `fixed` where the number is missing.
pub(crate) fn ramp<T>(ramp: &Ramp<T>, output: impl Fn(&T) -> Value, fixed: Value) -> Value {
    let normalization = ramp.divisor.clone().map_or(Normalization::None, Normalization::Field);
    let (value, valid) = classified(&ramp.field, &normalization);
    let mut curve = vec![json!("interpolate"), json!(["linear"]), value];
    for (stop, of) in &ramp.stops {
        curve.extend([number(*stop), output(of)]);
    }
    json!(["case", valid, curve, fixed])
}

fn literal(value: &Literal) -> Value {
    match value {
        Literal::Text(text) => json!(text),
        Literal::Number(of) => number(*of),
    }
}

/// A filter; none where MapLibre cannot evaluate it.
pub(crate) fn filter(of: &Filter, fields: &Fields) -> Option<Value> {
    let many = |operator: &str, all: &[Filter]| {
        let parts: Option<Vec<Value>> = all.iter().map(|part| filter(part, fields)).collect();
        Some(Value::Array([json!(operator)].into_iter().chain(parts?).collect()))
    };
    Some(match of {
        Filter::And(all) => many("all", all)?,
        Filter::Or(all) => many("any", all)?,
        Filter::Not(inner) => json!(["!", filter(inner, fields)?]),
        Filter::IsNull(field) => json!(["==", get(field), null]),
        Filter::Constant(holds) => json!(["literal", holds]),
        Filter::In(field, values) => {
            let texts = values.iter().all(|value| matches!(value, Literal::Text(_)));
            let (input, values): (Value, Vec<Value>) = match texts {
                true => (text_of(field), values.iter().map(literal).collect()),
                false => (get(field), values.iter().map(literal).collect()),
            };
            json!(["in", input, ["literal", values]])
        }
        Filter::Compare(field, comparison, value) => compare(field, *comparison, value, fields)?,
        Filter::Like(field, pattern) => like(field, pattern)?,
    })
}

fn compare(field: &str, comparison: Comparison, value: &Literal, fields: &Fields) -> Option<Value> {
    // Dates are text in GeoJSON and numbers in Esri's JSON; where clauses have a third form.
    if fields.kind(field) == Some(FieldKind::Date) {
        return None;
    }
    let sign = match comparison {
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    };
    let numeric = matches!(value, Literal::Number(_));
    let kind = if numeric { "number" } else { "string" };
    let is_kind = json!(["==", ["typeof", get(field)], kind]);
    // A missing value compares with nothing, as in SQL.
    Some(json!(["case", is_kind, [sign, get(field), literal(value)], false]))
}

/// `abc%`, `%abc` and `%abc%`; other patterns have no counterpart.
fn like(field: &str, pattern: &str) -> Option<Value> {
    let inner = pattern.trim_matches('%');
    if inner.contains(['%', '_']) || inner.is_empty() {
        return None;
    }
    let (text, length) = (text_of(field), inner.encode_utf16().count());
    Some(match (pattern.starts_with('%'), pattern.ends_with('%')) {
        (true, true) => json!(["in", inner, text]),
        (false, true) => json!(["==", ["slice", text, 0, length], inner]),
        (true, false) => {
            json!(["case", [">=", ["length", text], length], ["==", ["slice", text, -(length as i64)], inner], false])
        }
        (false, false) => json!(["==", text, inner]),
    })
}

/// The text of a label.
pub(crate) fn text(parts: &[TextPart], coded_values: bool, fields: &Fields) -> Value {
    let part = |part: &TextPart| match part {
        TextPart::Text(text) => json!(text),
        TextPart::Field(name) => match fields.named(name).and_then(|field| field.domain.as_ref()) {
            Some(Domain::Coded(codes)) if coded_values && !codes.is_empty() => {
                let values: Vec<Vec<String>> = codes.iter().map(|(code, _)| vec![code.clone()]).collect();
                let names: Vec<Value> = codes.iter().map(|(_, name)| json!(name)).collect();
                by_text(text_of(name), &values, &names, &text_of(name))
            }
            _ => text_of(name),
        },
    };
    match parts {
        [one] => part(one),
        many => [json!("concat")].into_iter().chain(many.iter().map(part)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cartography::field::Field;
    use crate::cartography::renderer::Class;
    use crate::cartography::symbol::Symbol;

    fn renderer(choice: Choice, classes: usize) -> Renderer {
        let class = Class { label: String::new(), symbol: Symbol::Nothing };
        Renderer::of(choice, vec![class; classes], None)
    }

    fn fields(name: &str, kind: FieldKind) -> Fields {
        Fields(vec![Field { name: name.into(), alias: None, kind, domain: None, editable: true }])
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn text_values_match_and_null_is_its_own_class() {
        let values = vec![strings(&["a", "b"]), strings(&[NULL_VALUE])];
        let by = renderer(Choice::Values { fields: strings(&["K"]), delimiter: ",".into(), values }, 2);
        let made = by_class(&by, &fields("K", FieldKind::Text), &[json!(1), json!(2), json!(3)]);
        let matched = json!(["match", ["to-string", ["get", "K"]], ["a", "b"], 1, ["<Null>"], 2, 3]);
        assert_eq!(made, json!(["case", ["==", ["get", "K"], null], 2, matched]));
    }

    #[test]
    fn number_fields_are_compared_with_numbers() {
        let values = vec![strings(&["1.0"]), strings(&["2", "3"])];
        let by = renderer(Choice::Values { fields: strings(&["K"]), delimiter: ",".into(), values }, 2);
        let made = by_class(&by, &fields("K", FieldKind::Real), &[json!("x"), json!("y"), json!("z")]);
        let get = json!(["get", "K"]);
        let classes = json!(["case", ["==", get, 1], "x", ["any", ["==", get, 2], ["==", get, 3]], "y", "z"]);
        assert_eq!(made, json!(["case", ["==", get, null], "z", classes]));
    }

    #[test]
    fn several_fields_are_joined_with_null_as_text() {
        let by = Choice::Values { fields: strings(&["A", "B"]), delimiter: ";".into(), values: vec![strings(&["x;1"])] };
        let made = by_class(&renderer(by, 1), &Fields::default(), &[json!(1), json!(0)]);
        let part = |field: &str| json!(["case", ["==", ["get", field], null], "<Null>", ["to-string", ["get", field]]]);
        assert_eq!(made, json!(["match", ["concat", part("A"), ";", part("B")], ["x;1"], 1, 0]));
    }

    #[test]
    fn a_value_on_a_bound_is_in_the_lower_class() {
        let bounds = vec![(0.0, 10.0), (10.0, 20.0)];
        let by = Choice::Breaks { field: "P".into(), normalization: Normalization::Field("A".into()), bounds };
        let made = by_class(&renderer(by, 2), &Fields::default(), &[json!(1), json!(2), json!(0)]);
        let value = json!(["/", ["get", "P"], ["get", "A"]]);
        let first = json!(["all", [">=", value, 0.0], ["<=", value, 10.0]]);
        let second = json!(["all", [">", value, 10.0], ["<=", value, 20.0]]);
        assert_eq!(made[2], json!(["case", first, 1, second, 2, 0]));
        assert_eq!(made[1][0], "all");
        assert_eq!(made[3], 0);
    }

    #[test]
    fn equal_outputs_need_no_expression() {
        let by = Choice::Values { fields: strings(&["K"]), delimiter: ",".into(), values: vec![strings(&["a"])] };
        assert_eq!(by_class(&renderer(by, 1), &Fields::default(), &[json!(4), json!(4)]), json!(4));
    }

    #[test]
    fn filters_compare_only_values_of_their_type() {
        let of = |clause: &str| filter(&Filter::parse(clause).expect("parses"), &fields("D", FieldKind::Date));
        assert_eq!(
            of("A > 5"),
            Some(json!(["case", ["==", ["typeof", ["get", "A"]], "number"], [">", ["get", "A"], 5], false]))
        );
        assert_eq!(of("A LIKE 'ab%'"), Some(json!(["==", ["slice", ["to-string", ["get", "A"]], 0, 2], "ab"])));
        assert_eq!(of("A LIKE 'a_b'"), None);
        assert_eq!(of("D = '2020-01-01'"), None);
        assert_eq!(of("A IS NOT NULL"), Some(json!(["!", ["==", ["get", "A"], null]])));
    }
}
