//! QGIS expressions and SQL: both quote names and texts alike.

use crate::cartography::color::Rgba;
use crate::cartography::field::{Domain, Fields};
use crate::cartography::filter::{Comparison, Filter, Literal};
use crate::cartography::ramp::Ramp;
use crate::cartography::renderer::{NULL_VALUE, Normalization, Rotation};
use crate::cartography::text_expression::TextPart;

/// The name of a field.
pub(crate) fn name(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

/// A text in an expression, where a backslash begins an escape.
pub(crate) fn text(of: &str) -> String {
    format!("'{}'", of.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n"))
}

fn sql_text(of: &str) -> String {
    format!("'{}'", of.replace('\'', "''"))
}

/// A filter, as an expression or as SQL for the data source.
pub(crate) fn filter(of: &Filter, quote: fn(&str) -> String) -> String {
    let value = |literal: &Literal| match literal {
        Literal::Text(text) => quote(text),
        Literal::Number(number) => number.to_string(),
    };
    let many = |all: &[Filter], word: &str| {
        let parts: Vec<String> = all.iter().map(|part| format!("({})", filter(part, quote))).collect();
        parts.join(word)
    };
    match of {
        Filter::And(all) => many(all, " AND "),
        Filter::Or(all) => many(all, " OR "),
        Filter::Not(inner) => format!("NOT ({})", filter(inner, quote)),
        Filter::IsNull(field) => format!("{} IS NULL", name(field)),
        Filter::Like(field, pattern) => format!("{} LIKE {}", name(field), quote(pattern)),
        Filter::Constant(holds) => if *holds { "1 = 1" } else { "1 = 0" }.to_owned(),
        Filter::In(field, values) => {
            let values: Vec<String> = values.iter().map(value).collect();
            format!("{} IN ({})", name(field), values.join(", "))
        }
        Filter::Compare(field, comparison, literal) => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            format!("{} {sign} {}", name(field), value(literal))
        }
    }
}

/// A filter as an expression.
pub(crate) fn condition(of: &Filter) -> String {
    filter(of, text)
}

/// A filter as SQL.
pub(crate) fn sql(of: &Filter) -> String {
    filter(of, sql_text)
}

/// The values of fields as one text, a missing one as Esri writes it.
pub(crate) fn joined(fields: &[String], delimiter: &str) -> String {
    let part = |field: &String| format!("coalesce(to_string({}), {})", name(field), text(NULL_VALUE));
    fields.iter().map(part).collect::<Vec<_>>().join(&format!(" || {} || ", text(delimiter)))
}

/// The number that is classified.
pub(crate) fn classified(field: &str, normalization: &Normalization) -> String {
    let field = name(field);
    match normalization {
        Normalization::None => field,
        Normalization::Field(other) => format!("{field} / nullif({}, 0)", name(other)),
        Normalization::Log => format!("log10({field})"),
        Normalization::PercentOfTotal(total) => format!("{field} / {total} * 100"),
    }
}

/// A value between stops: `between` makes it of the number and two stops.
fn ramp<T>(ramp: &Ramp<T>, one: impl Fn(&T) -> String, between: impl Fn(&str, &(f64, T), &(f64, T)) -> String) -> String {
    let value = classified(&ramp.field, &ramp.divisor.clone().map_or(Normalization::None, Normalization::Field));
    let (Some(first), Some(last)) = (ramp.stops.first(), ramp.stops.last()) else { return "NULL".to_owned() };
    let mut parts = format!("CASE WHEN {value} <= {} THEN {}", first.0, one(&first.1));
    for pair in ramp.stops.windows(2) {
        parts.push_str(&format!(" WHEN {value} <= {} THEN {}", pair[1].0, between(&value, &pair[0], &pair[1])));
    }
    // Without a number there is no value, and the symbol's own holds.
    format!("{parts} WHEN {value} > {} THEN {} END", last.0, one(&last.1))
}

/// A size that follows a number.
pub(crate) fn size(of: &Ramp<f64>) -> String {
    let line =
        |value: &str, (a, from): &(f64, f64), (b, to): &(f64, f64)| format!("scale_linear({value}, {a}, {b}, {from}, {to})");
    ramp(of, f64::to_string, line)
}

/// A colour that follows a number.
pub(crate) fn color(of: &Ramp<Rgba>) -> String {
    let parts = |color: &Rgba| [color.red, color.green, color.blue, color.alpha];
    let between = |value: &str, (a, from): &(f64, Rgba), (b, to): &(f64, Rgba)| {
        let pairs = parts(from).into_iter().zip(parts(to));
        let lines: Vec<String> = pairs.map(|(from, to)| format!("scale_linear({value}, {a}, {b}, {from}, {to})")).collect();
        format!("color_rgba({})", lines.join(", "))
    };
    ramp(of, |color| text(&color.qgis()), between)
}

/// Degrees clockwise, by a field and by the symbol.
pub(crate) fn rotation(by: &Rotation, own: f64) -> String {
    let field = name(&by.field);
    let angle = if by.geographic { field } else { format!("90 - {field}") };
    if own == 0.0 { angle } else { format!("{angle} + {own}") }
}

/// The text of a label.
pub(crate) fn label(parts: &[TextPart], coded_values: bool, fields: &Fields) -> String {
    let part = |part: &TextPart| match part {
        TextPart::Text(of) => text(of),
        TextPart::Field(field) => {
            let own = format!("coalesce(to_string({}), '')", name(field));
            match fields.named(field).and_then(|field| field.domain.as_ref()) {
                Some(Domain::Coded(codes)) if coded_values && !codes.is_empty() => {
                    let when = |(code, name): &(String, String)| format!(" WHEN {own} = {} THEN {}", text(code), text(name));
                    format!("CASE{} ELSE {own} END", codes.iter().map(when).collect::<String>())
                }
                _ => own,
            }
        }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(" || ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        let read = Filter::parse("\"a\"\"b\" = 'it''s' AND C IN (1, 2.5)").expect("parses");
        assert_eq!(sql(&read), "(\"a\"\"b\" = 'it''s') AND (\"C\" IN (1, 2.5))");
        assert_eq!(text("a\\b"), "'a\\\\b'");
        assert_eq!(
            joined(&["A".into(), "B".into()], ";"),
            "coalesce(to_string(\"A\"), '<Null>') || ';' || coalesce(to_string(\"B\"), '<Null>')"
        );
    }
}
