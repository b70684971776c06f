//! Renderers: single, categorised, graduated, and by rules where a graduated one has no place for a default.

use super::expression;
use super::symbols;
use super::xml::Element;
use crate::cartography::approximation::Report;
use crate::cartography::data_source::GeometryKind;
use crate::cartography::field::{FieldKind, Fields};
use crate::cartography::renderer::{Choice, Class, NULL_VALUE, Normalization, Renderer};
use crate::cartography::stable_id::uuid;

/// The renderer of a layer.
pub(crate) fn renderer(
    of: &Renderer,
    geometry: GeometryKind,
    fields: &Fields,
    id: &str,
    report: &mut Report<'_>,
) -> Element {
    let classes: Vec<&Class> = of.all_classes().flatten().collect();
    let number = |at: usize| at.to_string();
    let drawn = classes.iter().enumerate();
    let all =
        drawn.map(|(at, class)| symbols::symbol(&class.symbol, &number(at), geometry, Some(of), report)).collect::<Vec<_>>();
    let symbols = Element::new("symbols").children(all);
    let base = |kind: &str| {
        let element = Element::new("renderer-v2").attribute("type", kind).attribute("symbollevels", "0");
        element.attribute("enableorderby", "0").attribute("forceraster", "0")
    };
    match &of.choice {
        Choice::Single => base("singleSymbol").child(symbols),
        Choice::Values { fields: keys, delimiter, values } => {
            let (attribute, kind) = attribute(keys, delimiter, values, fields);
            let categories = categories(of, values, kind);
            base("categorizedSymbol").attribute("attr", attribute).child(categories).child(symbols)
        }
        Choice::Breaks { field, normalization, bounds } => {
            let attribute = expression::classified(field, normalization);
            if of.default.is_some() {
                return base("RuleRenderer").child(rules(of, &attribute, bounds, id)).child(symbols);
            }
            let attribute = if *normalization == Normalization::None { field.clone() } else { attribute };
            let range = |(at, ((least, greatest), class)): (usize, (&(f64, f64), &Class))| {
                let range = Element::new("range").attribute("lower", least.max(-1e300).to_string());
                let range = range.attribute("upper", greatest.to_string()).attribute("symbol", number(at));
                range.attribute("label", class.label.clone()).attribute("render", "true")
            };
            let ranges = bounds.iter().zip(&of.classes).enumerate().map(range);
            let element =
                base("graduatedSymbol").attribute("attr", attribute).attribute("graduatedMethod", "GraduatedColor");
            element.child(Element::new("ranges").children(ranges)).child(symbols)
        }
    }
}

/// What is compared with the categories, and the type of their values.
fn attribute(keys: &[String], delimiter: &str, values: &[Vec<String>], fields: &Fields) -> (String, &'static str) {
    let has_null = values.iter().flatten().any(|value| value == NULL_VALUE);
    match keys {
        [key] if !has_null => {
            let numeric = matches!(fields.kind(key), Some(FieldKind::Integer | FieldKind::Real));
            (key.clone(), if numeric { "double" } else { "string" })
        }
        keys => (expression::joined(keys, delimiter), "string"),
    }
}

fn categories(of: &Renderer, values: &[Vec<String>], kind: &'static str) -> Element {
    // A number is compared by its shortest text.
    let value = |value: &String| match value.trim().parse::<f64>() {
        Ok(number) if kind == "double" => number.to_string(),
        _ => value.clone(),
    };
    let category = |at: usize, class: &Class| {
        let element = Element::new("category").attribute("symbol", at.to_string()).attribute("label", class.label.clone());
        element.attribute("render", "true")
    };
    let own = of.classes.iter().zip(values).enumerate().map(|(at, (class, values))| match values.as_slice() {
        [one] => category(at, class).attribute("value", value(one)).attribute("type", kind),
        many => {
            let one = |of: &String| Element::new("val").attribute("value", value(of)).attribute("type", kind);
            category(at, class).children(many.iter().map(one))
        }
    });
    // The empty value stands for all others.
    let default =
        of.default.iter().map(|class| category(of.classes.len(), class).attribute("value", "").attribute("type", "string"));
    Element::new("categories").children(own.chain(default))
}

fn rules(of: &Renderer, attribute: &str, bounds: &[(f64, f64)], id: &str) -> Element {
    let rule = |at: usize, filter: String, class: &Class| {
        let element = Element::new("rule").attribute("key", format!("{{{}}}", uuid(&format!("{id}/rule/{at}"))));
        let element = element.attribute("filter", filter).attribute("symbol", at.to_string());
        element.attribute("label", class.label.clone())
    };
    let own = bounds.iter().zip(&of.classes).enumerate().map(|(at, ((least, greatest), class))| {
        let sign = if at > 0 && bounds[at - 1].1 == *least { ">" } else { ">=" };
        let below = format!("({attribute}) <= {greatest}");
        let filter = if *least == f64::MIN { below } else { format!("({attribute}) {sign} {least} AND {below}") };
        rule(at, filter, class)
    });
    let default = of.default.iter().map(|class| rule(of.classes.len(), "ELSE".to_owned(), class));
    let key = format!("{{{}}}", uuid(&format!("{id}/rules")));
    Element::new("rules").attribute("key", key).children(own.chain(default))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cartography::color::Rgba;
    use crate::cartography::field::Field;
    use crate::cartography::symbol::{Stroke, Symbol};

    fn class(label: &str, red: u8) -> Class {
        let stroke = Stroke { color: Rgba::new(red, 0, 0, 255), width: 2.0, dashes: vec![4.0, 3.0] };
        Class { label: label.into(), symbol: Symbol::Line(stroke) }
    }

    fn written(choice: Choice, default: bool) -> String {
        let default = default.then(|| class("other <&>", 9));
        let field = Field { name: "K".into(), alias: None, kind: FieldKind::Integer, domain: None, editable: true };
        let of = Renderer::of(choice, vec![class("one", 1), class("two", 2)], default);
        let mut list = Vec::new();
        renderer(&of, GeometryKind::Line, &Fields(vec![field]), "id", &mut Report::new("layer", &mut list)).document()
    }

    #[test]
    fn categories_of_numbers_and_of_all_others() {
        let values = vec![vec!["1.0".to_owned()], vec!["2".to_owned(), "3".to_owned()]];
        let text = written(Choice::Values { fields: vec!["K".into()], delimiter: ",".into(), values }, true);
        assert!(text.contains("type=\"categorizedSymbol\""), "{text}");
        assert!(
            text.contains("<category symbol=\"0\" label=\"one\" render=\"true\" value=\"1\" type=\"double\"/>"),
            "{text}"
        );
        assert!(text.contains("<val value=\"3\" type=\"double\"/>"), "{text}");
        assert!(text.contains("label=\"other &lt;&amp;&gt;\" render=\"true\" value=\"\""), "{text}");
        assert!(text.contains("<prop k=\"customdash\" v=\"8;6\"/>"), "{text}");
    }

    #[test]
    fn null_makes_the_attribute_an_expression() {
        let values = vec![vec![NULL_VALUE.to_owned()], vec!["2".to_owned()]];
        let text = written(Choice::Values { fields: vec!["K".into()], delimiter: ",".into(), values }, false);
        assert!(text.contains("attr=\"coalesce(to_string(&quot;K&quot;), &apos;&lt;Null&gt;&apos;)\""), "{text}");
    }

    #[test]
    fn breaks_are_graduated_and_with_a_default_rules() {
        let breaks = || Choice::Breaks {
            field: "K".into(),
            normalization: Normalization::Field("A".into()),
            bounds: vec![(0.0, 10.0), (10.0, 20.0)],
        };
        let text = written(breaks(), false);
        assert!(text.contains("attr=\"&quot;K&quot; / nullif(&quot;A&quot;, 0)\""), "{text}");
        assert!(text.contains("<range lower=\"10\" upper=\"20\" symbol=\"1\" label=\"two\" render=\"true\"/>"), "{text}");
        let text = written(breaks(), true);
        assert!(text.contains("&gt; 10 AND") && text.contains("filter=\"ELSE\""), "{text}");
        assert_eq!(text, written(breaks(), true), "ids are the same each time");
    }
}
