//! Texts of labels: `[NAME]` and `"a" CONCAT [B]`, `{NAME}`, and the Arcade of plain fields and texts.

/// A part of a label's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextPart {
    /// The value of a field.
    Field(String),
    /// These characters.
    Text(String),
}

/// The field of an Arcade expression that is nothing else.
pub(crate) fn single_field(arcade: &str) -> Option<String> {
    match arcade_parts(arcade)?.as_slice() {
        [TextPart::Field(field)] => Some(field.clone()),
        _ => None,
    }
}

/// The field of `[NAME]`.
pub(crate) fn bracketed_field(expression: &str) -> Option<String> {
    match bracket_parts(expression)?.as_slice() {
        [TextPart::Field(field)] => Some(field.clone()),
        _ => None,
    }
}

/// Reads `[A] CONCAT ", " CONCAT [B]`; `&` and `+` join as well.
pub(crate) fn bracket_parts(expression: &str) -> Option<Vec<TextPart>> {
    let mut rest = expression.trim();
    let mut parts = Vec::new();
    loop {
        let after = if let Some(inner) = rest.strip_prefix('[') {
            let (field, after) = inner.split_once(']')?;
            parts.push(TextPart::Field(field.trim().to_owned()));
            after
        } else {
            let (text, after) = quoted(rest)?;
            parts.push(TextPart::Text(text));
            after
        };
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(parts);
        }
        let joined = rest.strip_prefix("CONCAT").or_else(|| rest.strip_prefix("concat"));
        rest = joined.or_else(|| rest.strip_prefix(['&', '+']))?.trim_start();
    }
}

/// Reads `{A}, {B}`, where everything outside braces is text.
pub(crate) fn brace_parts(template: &str) -> Option<Vec<TextPart>> {
    let (mut rest, mut parts) = (template, Vec::new());
    while let Some((before, inner)) = rest.split_once('{') {
        let (field, after) = inner.split_once('}')?;
        if !before.is_empty() {
            parts.push(TextPart::Text(before.to_owned()));
        }
        parts.push(TextPart::Field(field.trim().to_owned()));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(TextPart::Text(rest.to_owned()));
    }
    parts.iter().any(|part| matches!(part, TextPart::Field(_))).then_some(parts)
}

/// Reads Arcade that joins fields and texts by `+`: `$feature.A + ", " + $feature["B"] + TextFormatting.NewLine`.
pub(crate) fn arcade_parts(arcade: &str) -> Option<Vec<TextPart>> {
    let code: String = arcade.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code = code.trim().trim_end_matches(';').trim_end();
    let mut rest = code.strip_prefix("return ").unwrap_or(code).trim_start();
    let mut parts = Vec::new();
    loop {
        let (part, after) = arcade_part(rest)?;
        parts.push(part);
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(parts);
        }
        rest = rest.strip_prefix('+')?.trim_start();
    }
}

fn arcade_part(rest: &str) -> Option<(TextPart, &str)> {
    if let Some(after) = rest.strip_prefix("TextFormatting.NewLine") {
        return Some((TextPart::Text("\n".to_owned()), after));
    }
    let Some(after) = rest.strip_prefix("$feature") else {
        let (text, after) = quoted(rest)?;
        return Some((TextPart::Text(text), after));
    };
    if let Some(inner) = after.strip_prefix('[') {
        let (field, after) = quoted(inner.trim_start())?;
        return Some((TextPart::Field(field), after.trim_start().strip_prefix(']')?));
    }
    let name = after.strip_prefix('.')?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    let (field, after) = name.split_at(end);
    (!field.is_empty()).then(|| (TextPart::Field(field.to_owned()), after))
}

/// A text in single or double quotes, with `\n` and escaped quotes.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let (mut text, mut escaped) = (String::new(), false);
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => {
                text.push(if c == 'n' { '\n' } else { c });
                escaped = false;
            }
            '\\' => escaped = true,
            _ if c == quote => return Some((text, &rest[at + c.len_utf8()..])),
            _ => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> TextPart {
        TextPart::Field(name.to_owned())
    }

    fn text(of: &str) -> TextPart {
        TextPart::Text(of.to_owned())
    }

    #[test]
    fn the_three_ways_of_naming_a_field() {
        assert_eq!(bracket_parts("[NAME]"), Some(vec![field("NAME")]));
        let both = Some(vec![field("A"), text(", "), field("B b")]);
        assert_eq!(bracket_parts(r#"[A] CONCAT ", " CONCAT [B b]"#), both);
        assert_eq!(brace_parts("{A}, {B b}"), both);
        assert_eq!(arcade_parts(r#"$feature.A + ', ' + $feature["B b"]"#), both);
        assert_eq!(
            arcade_parts("// a comment\nreturn $feature.A + TextFormatting.NewLine;"),
            Some(vec![field("A"), text("\n")])
        );
    }

    #[test]
    fn what_calls_a_function_is_not_read() {
        for arcade in ["Upper($feature.A)", "$feature.A + 1", "$feature.", "var a = 1", "$feature.A > 3", "\"open"] {
            assert_eq!(arcade_parts(arcade), None, "{arcade}");
        }
        assert_eq!(brace_parts("no field"), None);
        assert_eq!(bracket_parts("[A"), None);
    }
}
