//! Paths in token streams: bodies of macros and attributes, which have no syntax tree.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What looks like a reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// A path; `rooted` if it starts with `::`.
    Path { segments: Vec<String>, rooted: bool, line: usize },
    /// A call of a method.
    Method { name: String, line: usize },
}

/// Where to look, and how.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    /// Whether the texts in quotes hold paths, as in attributes of serde.
    pub(super) texts: bool,
    /// The line of everything that is found, where the tokens have no place in a file.
    pub(super) line: Option<usize>,
    /// What stands before a group in braces: `a::b::{c, d}`.
    pub(super) prefix: &'a [String],
}

/// The name of an identifier, without the mark of a raw one.
pub(super) fn name(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

/// Every identifier, at any depth.
pub(super) fn identifiers(tokens: TokenStream, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => found.push(name(&ident)),
            TokenTree::Group(group) => identifiers(group.stream(), found),
            _ => {}
        }
    }
}

/// Every path and every call of a method. A name that stands alone counts if it is written like a type, or called.
pub(super) fn scan(tokens: TokenStream, how: Scan<'_>, found: &mut Vec<Sight>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        at = match &tokens[at] {
            TokenTree::Group(group) => {
                scan(group.stream(), Scan { prefix: &[], ..how }, found);
                at + 1
            }
            TokenTree::Literal(literal) if how.texts => {
                text(&literal.to_string(), how.line.unwrap_or(literal.span().start().line), found);
                at + 1
            }
            TokenTree::Ident(_) => identifier(&tokens, at, how, found),
            _ => at + 1,
        };
    }
}

/// A text in quotes that reads as Rust: only its paths of several parts are of interest.
fn text(literal: &str, line: usize, found: &mut Vec<Sight>) {
    let Some(inner) = literal.strip_prefix('"').and_then(|l| l.strip_suffix('"')).filter(|l| l.contains("::")) else {
        return;
    };
    let Ok(tokens) = inner.parse::<TokenStream>() else { return };
    let mut inside = Vec::new();
    scan(tokens, Scan { texts: false, line: Some(line), prefix: &[] }, &mut inside);
    inside.retain(|sight| matches!(sight, Sight::Path { segments, .. } if segments.len() > 1));
    found.extend(inside);
}

/// Reads what begins with an identifier and says where to go on.
fn identifier(tokens: &[TokenTree], start: usize, how: Scan<'_>, found: &mut Vec<Sight>) -> usize {
    let TokenTree::Ident(first) = &tokens[start] else { return start + 1 };
    let line = how.line.unwrap_or(first.span().start().line);
    let mut segments: Vec<String> = how.prefix.to_vec();
    segments.push(name(first));
    let mut at = start + 1;
    while is_double_colon(tokens, at) {
        match tokens.get(at + 2) {
            Some(TokenTree::Ident(next)) => segments.push(name(next)),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                scan(group.stream(), Scan { prefix: &segments, ..how }, found);
                return at + 3;
            }
            _ => break,
        }
        at += 3;
    }
    let before = |back: usize| start.checked_sub(back).and_then(|at| punct(tokens.get(at)));
    if before(1) == Some('.') && before(2) != Some('.') {
        if is_called(tokens, at) && segments.len() == 1 {
            found.push(Sight::Method { name: segments.remove(0), line });
        }
        return at;
    }
    let variable = before(1) == Some('$') && segments[0] != "crate";
    let lifetime = before(1) == Some('\'');
    let alone = segments.len() == 1 && !segments[0].starts_with(char::is_uppercase) && !is_called(tokens, at);
    if !variable && !lifetime && !alone {
        let rooted = before(1) == Some(':') && before(2) == Some(':');
        found.push(Sight::Path { segments, rooted, line });
    }
    at
}

fn punct(token: Option<&TokenTree>) -> Option<char> {
    match token {
        Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
        _ => None,
    }
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    punct(tokens.get(at)) == Some(':') && punct(tokens.get(at + 1)) == Some(':')
}

/// Arguments follow, types for a generic function, or the mark of a macro.
fn is_called(tokens: &[TokenTree], at: usize) -> bool {
    match tokens.get(at) {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
        Some(TokenTree::Punct(punct)) if punct.as_char() == '!' => matches!(tokens.get(at + 1), Some(TokenTree::Group(_))),
        _ => is_double_colon(tokens, at),
    }
}
