//! What an expression of a style may give: read by its structure, so that a list which is only asked for is no font.

use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

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
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Env<'a> {
    inner: Option<&'a Scope<'a>>,
}

#[derive(Debug)]
struct Scope<'a> {
    /// `name, value, name, value, …`
    bindings: &'a [Value],
    outer: Env<'a>,
}

impl<'a> Env<'a> {
    /// The value of a variable, and the variables that hold where it was named.
    fn find(self, name: &str) -> Option<(&'a Value, Env<'a>)> {
        let mut env = self;
        while let Some(scope) = env.inner {
            let found = scope.bindings.chunks_exact(2).find(|pair| pair.first().and_then(Value::as_str) == Some(name));
            if let Some(value) = found.and_then(|pair| pair.get(1)) {
                return Some((value, scope.outer));
            }
            env = scope.outer;
        }
        None
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
pub(super) fn stacks_of(font: &Value, env: &Env<'_>, fonts: &mut Fonts) {
    let found = match (expression(font), font) {
        (Some(("literal", [list])), _) => stack(list),
        (Some(("let", arguments)), _) => {
            return with_scope(arguments, env, |body, env| stacks_of(body, env, fonts)).unwrap_or_else(|| {
                fonts.from_data = true;
            });
        }
        (Some(("var", [Value::String(name)])), _) => match env.find(name) {
            Some((value, env)) => {
                if fonts.seen.insert(std::ptr::from_ref(value) as usize) {
                    stacks_of(value, &env, fonts);
                }
                return;
            }
            None => None,
        },
        (Some((operator, arguments)), _) => match outputs(operator, arguments) {
            Some(outputs) => return outputs.into_iter().for_each(|output| stacks_of(output, env, fonts)),
            None => None,
        },
        (None, Value::Object(function)) => {
            let stops = function.get("stops").and_then(Value::as_array);
            let stops = stops.into_iter().flatten().filter_map(|stop| stop.get(1));
            let all: Vec<Option<Vec<String>>> = stops.chain(function.get("default")).map(stack).collect();
            fonts.from_data |= all.is_empty() || all.contains(&None);
            fonts.stacks.extend(all.into_iter().flatten().filter(|names| !names.is_empty()));
            return;
        }
        (None, font) => stack(font),
    };
    match found {
        Some(names) if names.is_empty() => {}
        Some(names) => drop(fonts.stacks.insert(names)),
        None => fonts.from_data = true,
    }
}

/// Looks at the body of a `let` with its variables; `None` if it has no body.
fn with_scope<T>(arguments: &[Value], outer: &Env<'_>, look: impl FnOnce(&Value, &Env<'_>) -> T) -> Option<T> {
    let (body, bindings) = arguments.split_last()?;
    let scope = Scope { bindings, outer: *outer };
    Some(look(body, &Env { inner: Some(&scope) }))
}

/// Finds the font stacks that stand inside of a `text-field`: a `format` gives each of its parts its own.
pub(super) fn fonts_in_text(text: &Value, fonts: &mut Fonts) {
    within(text, &Env::default(), fonts);
}

fn within(text: &Value, env: &Env<'_>, fonts: &mut Fonts) {
    match expression(text) {
        Some(("literal", _)) | None => {}
        Some(("let", arguments)) => {
            let bindings = arguments.split_last().map(|(_, bindings)| bindings);
            bindings.into_iter().flatten().for_each(|value| within(value, env, fonts));
            with_scope(arguments, env, |body, env| within(body, env, fonts));
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
pub(super) fn draws_in_the_layer_s_font(text: &Value, env: &Env<'_>) -> bool {
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
        Some(("let", arguments)) => with_scope(arguments, env, draws_in_the_layer_s_font).unwrap_or(true),
        Some((operator, arguments)) => match outputs(operator, arguments) {
            Some(outputs) => outputs.into_iter().any(|output| draws_in_the_layer_s_font(output, env)),
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
