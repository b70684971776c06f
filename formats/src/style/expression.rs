//! What an expression of a style may give: read by its structure, so that a list which is only asked for is no font.

use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// Operators of expressions. A list that begins with one is an expression, any other list of texts is a font stack.
///
/// Source: MapLibre style specification, "Expressions".
const OPERATORS: &[&str] = &[
    "!",
    "!=",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "^",
    "abs",
    "accumulated",
    "acos",
    "all",
    "any",
    "array",
    "asin",
    "at",
    "atan",
    "boolean",
    "case",
    "ceil",
    "coalesce",
    "collator",
    "concat",
    "cos",
    "distance",
    "downcase",
    "e",
    "elevation",
    "error",
    "feature-state",
    "floor",
    "format",
    "geometry-type",
    "get",
    "global-state",
    "has",
    "heatmap-density",
    "id",
    "image",
    "in",
    "index-of",
    "interpolate",
    "interpolate-hcl",
    "interpolate-lab",
    "is-supported-script",
    "join",
    "length",
    "let",
    "line-progress",
    "literal",
    "ln",
    "ln2",
    "log10",
    "log2",
    "match",
    "max",
    "min",
    "number",
    "number-format",
    "object",
    "pi",
    "properties",
    "resolved-locale",
    "rgb",
    "rgba",
    "round",
    "sin",
    "slice",
    "split",
    "sqrt",
    "step",
    "string",
    "tan",
    "to-boolean",
    "to-color",
    "to-number",
    "to-rgba",
    "to-string",
    "typeof",
    "upcase",
    "var",
    "within",
    "zoom",
];

/// What fonts an expression may give.
#[derive(Debug, Default)]
pub(super) struct Fonts {
    /// Stacks, by the names of their fonts.
    pub(super) stacks: BTreeSet<Vec<String>>,
    /// Whether some come from the data, or from what is no font stack.
    pub(super) from_data: bool,
    /// Values of variables that were looked at: each once, however often it is used.
    seen: HashSet<usize>,
}

/// The variables that hold at a place, the innermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Env<'a> {
    inner: Option<Rc<Scope<'a>>>,
}

#[derive(Debug)]
struct Scope<'a> {
    values: HashMap<&'a str, &'a Value>,
    outer: Env<'a>,
}

impl<'a> Env<'a> {
    /// The value of a variable, and the variables that hold where it was named.
    fn find(&self, name: &str) -> Option<(&'a Value, Self)> {
        let mut env = self;
        while let Some(scope) = &env.inner {
            if let Some(value) = scope.values.get(name) {
                return Some((value, scope.outer.clone()));
            }
            env = &scope.outer;
        }
        None
    }

    /// The body of a `let`, and the variables that hold there; `None` if it has no body.
    fn body(&self, arguments: &'a [Value]) -> Option<(&'a Value, Self)> {
        // `name, value, name, value, …, body`
        let (body, bindings) = arguments.split_last()?;
        let mut values = HashMap::new();
        for pair in bindings.chunks_exact(2) {
            if let [Value::String(name), value] = pair {
                values.entry(name.as_str()).or_insert(value);
            }
        }
        Some((body, Self { inner: Some(Rc::new(Scope { values, outer: self.clone() })) }))
    }
}

/// An expression: its operator and arguments.
fn expression(value: &Value) -> Option<(&str, &[Value])> {
    let (first, arguments) = value.as_array()?.split_first()?;
    let operator = first.as_str().filter(|name| OPERATORS.binary_search(name).is_ok())?;
    Some((operator, arguments))
}

/// The names of a list that is a font stack; `None` if it is none.
fn stack(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The arguments that an expression gives one of; `None` if it gives something else than its arguments.
fn outputs<'a>(operator: &str, arguments: &'a [Value]) -> Option<Vec<&'a Value>> {
    let last = arguments.len().checked_sub(1)?;
    let at = |is_output: fn(usize) -> bool| {
        Some(arguments.iter().enumerate().filter(|(i, _)| *i == last || is_output(*i)).map(|(_, v)| v).collect())
    };
    match operator {
        // input, output, stop, output, …
        "step" if last >= 1 => at(|i| i % 2 == 1),
        // condition, output, …, fallback
        "case" => at(|i| i % 2 == 1),
        // input, label, output, …, fallback
        "match" if last >= 1 => at(|i| i >= 2 && i % 2 == 0),
        "coalesce" => at(|_| true),
        // type, length, value
        "array" => at(|_| false),
        _ => None,
    }
}

/// Finds the font stacks that a `text-font` may give: a list, an expression, or a legacy function.
///
/// Variables lead from value to value, deeper than any text is nested, so what is left to read is kept in a list.
pub(super) fn stacks_of<'a>(font: &'a Value, env: &Env<'a>, fonts: &mut Fonts) {
    let mut left = vec![(font, env.clone())];
    while let Some((font, env)) = left.pop() {
        let found = match (expression(font), font) {
            (Some(("literal", [list])), _) => stack(list),
            (Some(("let", arguments)), _) => match env.body(arguments) {
                Some(body) => {
                    left.push(body);
                    continue;
                }
                None => None,
            },
            (Some(("var", [Value::String(name)])), _) => match env.find(name) {
                Some((value, env)) => {
                    if fonts.seen.insert(std::ptr::from_ref(value) as usize) {
                        left.push((value, env));
                    }
                    continue;
                }
                None => None,
            },
            (Some((operator, arguments)), _) => match outputs(operator, arguments) {
                Some(outputs) => {
                    left.extend(outputs.into_iter().map(|output| (output, env.clone())));
                    continue;
                }
                None => None,
            },
            (None, Value::Object(function)) => {
                let stops = function.get("stops").and_then(Value::as_array);
                let stops = stops.into_iter().flatten().filter_map(|stop| stop.get(1));
                let all: Vec<Option<Vec<String>>> = stops.chain(function.get("default")).map(stack).collect();
                fonts.from_data |= all.is_empty() || all.contains(&None);
                fonts.stacks.extend(all.into_iter().flatten().filter(|names| !names.is_empty()));
                continue;
            }
            (None, font) => stack(font),
        };
        match found {
            Some(names) if names.is_empty() => {}
            Some(names) => drop(fonts.stacks.insert(names)),
            None => fonts.from_data = true,
        }
    }
}

/// Finds the font stacks that stand inside of a `text-field`: a `format` gives each of its parts its own.
pub(super) fn fonts_in_text(text: &Value, fonts: &mut Fonts) {
    within(text, &Env::default(), fonts);
}

fn within<'a>(text: &'a Value, env: &Env<'a>, fonts: &mut Fonts) {
    match expression(text) {
        Some(("literal", _)) | None => {}
        Some(("let", arguments)) => {
            let bindings = arguments.split_last().map(|(_, bindings)| bindings);
            bindings.into_iter().flatten().for_each(|value| within(value, env, fonts));
            if let Some((body, env)) = env.body(arguments) {
                within(body, &env, fonts);
            }
        }
        Some((operator, arguments)) => {
            if operator == "format" {
                let own = arguments.iter().filter_map(|options| options.get("text-font"));
                own.for_each(|font| stacks_of(font, env, fonts));
            }
            arguments.iter().for_each(|value| within(value, env, fonts));
        }
    }
}

/// Whether a `text-field` may draw text that has no font of its own inside of it.
pub(super) fn draws_in_the_layer_s_font(text: &Value) -> bool {
    match expression(text) {
        Some(("format", parts)) => {
            let mut parts = parts.iter().peekable();
            let mut plain = false;
            while let Some(part) = parts.next() {
                let options = parts.next_if(|next| next.is_object());
                let is_picture = expression(part).is_some_and(|(operator, _)| operator == "image");
                plain |= !is_picture && options.is_none_or(|o| o.get("text-font").is_none()) && part.as_str() != Some("");
            }
            plain
        }
        Some(("let", arguments)) => arguments.last().is_none_or(draws_in_the_layer_s_font),
        Some((operator, arguments)) => match outputs(operator, arguments) {
            Some(outputs) => outputs.into_iter().any(draws_in_the_layer_s_font),
            None => true,
        },
        None => text.as_str() != Some(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_in_order() {
        assert!(OPERATORS.is_sorted());
    }
}
