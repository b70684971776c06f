//! The font stacks that a style names, and which of them are fetched.
//!
//! Names come from a style that anybody may have written; they become folders and parts of urls.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeSet;

/// Font stacks of a style that are fetched; each takes 256 requests.
pub(super) const MOST_STACKS: usize = 32;
/// Longest name of a font, in characters.
const LONGEST_NAME: usize = 200;
/// Longest name of a stack, in bytes: it is the name of a folder, and file systems end at 255.
const LONGEST_STACK: usize = 240;
/// What a folder's name may not have in it on some system or other.
const NOT_IN_NAMES: &str = "/\\:*?\"<>|";
/// What would be read as something else in a path of a url.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// The font stacks of a style that are fetched, and words about those that are not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FontStacks {
    pub(super) wanted: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Finds the font stacks that a style's layers name, each by the names of its fonts.
pub(super) fn font_stacks(style: &Value, title: &str) -> FontStacks {
    let mut lists = Vec::new();
    for layer in style.get("layers").and_then(Value::as_array).into_iter().flatten() {
        let Some(font) = layer.pointer("/layout/text-font") else { continue };
        lists.push(font);
        lists.extend(font.get("stops").and_then(Value::as_array).into_iter().flatten().filter_map(|stop| stop.get(1)));
    }
    let named: BTreeSet<Vec<&str>> = lists
        .into_iter()
        .filter_map(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .filter(|names: &Vec<&str>| !names.is_empty())
        .collect();
    let (good, bad): (Vec<_>, Vec<_>) = named.iter().partition(|names| is_stack(names));
    let mut stacks = FontStacks::default();
    let shown = |names: &[&Vec<&str>]| {
        let first: Vec<String> = names.iter().take(5).map(|names| shown(&names.join(","))).collect();
        let more = names.len().saturating_sub(first.len());
        format!("{}{}", first.join(", "), if more == 0 { String::new() } else { format!(" and {more} more") })
    };
    if !bad.is_empty() {
        stacks.warnings.push(format!(
            "the style of \"{title}\" names {} fonts whose names cannot be files, so they are not fetched and their labels are \
             not drawn: {}",
            bad.len(),
            shown(&bad)
        ));
    }
    if good.len() > MOST_STACKS {
        let (rest, number) = (good.get(MOST_STACKS..).unwrap_or_default(), good.len());
        stacks.warnings.push(format!(
            "the style of \"{title}\" names {number} font stacks, {MOST_STACKS} are fetched; labels in the others are not drawn: {}",
            shown(rest)
        ));
    }
    stacks.wanted = good.into_iter().take(MOST_STACKS).map(|names| names.join(",")).collect();
    stacks
}

/// Whether the names can be a folder and a part of a url.
fn is_stack(names: &[&str]) -> bool {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.chars().count() <= LONGEST_NAME
            && !name.contains(|c: char| c.is_control() || NOT_IN_NAMES.contains(c))
    };
    let stack = names.join(",");
    names.iter().all(is_name)
        && stack.len() <= LONGEST_STACK
        && !stack.starts_with(['.', ' '])
        && !stack.ends_with(['.', ' '])
}

/// A name for people: cut, without control characters.
fn shown(name: &str) -> String {
    let head: String = name.chars().take(40).collect();
    let more = if head.len() < name.len() { "…" } else { "" };
    format!("`{}{more}`", head.escape_debug())
}

/// The url of a range of glyphs: of a template with `{fontstack}` and `{range}`.
pub(super) fn glyphs_url(template: &str, stack: &str, range: &str) -> String {
    template.replace("{range}", range).replace("{fontstack}", &utf8_percent_encode(stack, IN_PATH).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(fonts: &[&str]) -> FontStacks {
        let layers: Vec<Value> = fonts.iter().map(|font| json!({"layout": {"text-font": [font]}})).collect();
        font_stacks(&json!({ "layers": layers }), "Streets")
    }

    #[test]
    fn font_stacks_are_read_from_lists_and_stops() {
        let style = json!({"layers": [{"layout": {"text-font": ["Arial Regular", "Noto"]}},
            {"layout": {"text-font": {"stops": [[1, ["B"]], [4, ["C"]]]}}}, {"layout": {}}]});
        let stacks = font_stacks(&style, "Streets");
        assert_eq!(stacks.wanted, ["Arial Regular,Noto", "B", "C"]);
        assert!(stacks.warnings.is_empty());
    }

    #[test]
    fn a_font_whose_name_cannot_be_a_file_is_named_and_left_out() {
        let long = "x".repeat(5000);
        let wide = "ü".repeat(130);
        let bad = ["a\0b", &long, &wide, "a/b", "a\\b", "../x", "..", ".", "", "a\u{1b}[2J", "a\n", "C:x", "a?", "x.", "x "];
        for name in bad {
            let stacks = of(&[name, "Good Regular"]);
            assert_eq!(stacks.wanted, ["Good Regular"], "{name:?}");
            let [warning] = stacks.warnings.as_slice() else { panic!("{name:?}: {stacks:?}") };
            assert!(warning.contains("\"Streets\" names 1 fonts") && warning.len() < 400, "{warning}");
            assert!(!warning.contains(char::is_control), "{warning:?}");
        }
        assert!(of(&["Ubuntu Bold", "ＭＳ ゴシック", "Font #1 (100%)"]).warnings.is_empty());
    }

    #[test]
    fn of_a_thousand_font_stacks_some_are_taken_and_the_rest_is_named() {
        let names: Vec<String> = (0..1000).map(|i| format!("Font {i:04}")).collect();
        let stacks = of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((stacks.wanted.len(), stacks.warnings.len()), (MOST_STACKS, 1));
        let words = &stacks.warnings[0];
        assert!(words.contains("names 1000 font stacks, 32 are fetched") && words.contains("and 963 more"), "{words}");
    }

    #[test]
    fn a_font_s_name_stays_one_part_of_the_path() {
        let of = |stack: &str| {
            url::Url::parse(&glyphs_url("https://h/fonts/{fontstack}/{range}.pbf", stack, "0-255"))
                .expect("a url")
                .to_string()
        };
        assert_eq!(of("Arial Regular,Noto"), "https://h/fonts/Arial%20Regular,Noto/0-255.pbf");
        assert_eq!(of("%2e%2e"), "https://h/fonts/%252e%252e/0-255.pbf");
        assert_eq!(of("a#b{range}"), "https://h/fonts/a%23b%7Brange%7D/0-255.pbf");
    }
}
