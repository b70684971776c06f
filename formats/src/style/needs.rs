//! Which fonts and sprites a style needs.

use super::expression::{Env, Fonts, draws_in_the_layer_s_font, fonts_in_text, stacks_of};
use serde_json::Value;
use std::collections::HashSet;

/// The font stack of a text without `text-font`.
pub const DEFAULT_FONT_STACK: [&str; 2] = ["Open Sans Regular", "Arial Unicode MS Regular"];
/// What a sprite is called that has no id.
const DEFAULT_SPRITE: &str = "default";

/// A sprite.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sprite {
    /// Its id: the part of an icon's name before the colon. `default` where the style has one sprite without id.
    pub id: String,
    /// Where it is, without ending; empty where the style does not say.
    pub url: String,
}

/// What a style needs beside its tiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Font stacks that its text layers may be drawn in, each by the names of its fonts, in order and each once.
    pub fonts: Vec<Vec<String>>,
    /// Ids of layers that take fonts from the data: nobody can tell which ones.
    pub fonts_from_data: Vec<String>,
    /// Its sprites, each once.
    pub sprites: Vec<Sprite>,
    /// Whether they stand in a list, with ids.
    pub sprites_are_listed: bool,
    /// Template of the urls of glyphs.
    pub glyphs: Option<String>,
}

/// Finds what a style needs. A layer whose `text-field` draws no text needs no font.
#[must_use]
pub fn needs(style: &Value) -> Needs {
    let mut needs = Needs::default();
    let glyphs = style.get("glyphs").and_then(Value::as_str).filter(|t| !t.is_empty());
    needs.glyphs = glyphs.map(str::to_owned);
    let mut all = Fonts::default();
    for layer in style.get("layers").and_then(Value::as_array).into_iter().flatten() {
        let is_symbol = layer.get("type").and_then(Value::as_str).is_none_or(|kind| kind == "symbol");
        let text = layer.pointer("/layout/text-field").filter(|text| is_symbol && draws(text));
        let Some(text) = text else { continue };
        let mut fonts = Fonts::default();
        fonts_in_text(text, &mut fonts);
        match layer.pointer("/layout/text-font").filter(|font| !font.is_null()) {
            Some(font) => stacks_of(font, &Env::default(), &mut fonts),
            None if draws_in_the_layer_s_font(text) => {
                fonts.stacks.insert(DEFAULT_FONT_STACK.map(str::to_owned).to_vec());
            }
            None => {}
        }
        all.stacks.extend(fonts.stacks);
        if fonts.from_data {
            let id = layer.get("id").and_then(Value::as_str).unwrap_or_default();
            needs.fonts_from_data.push(id.to_owned());
        }
    }
    needs.fonts = all.stacks.into_iter().collect();
    // `["A,B"]` and `["A", "B"]` are one folder.
    needs.fonts.sort_by_cached_key(|names| names.join(","));
    needs.fonts.dedup_by_key(|names| names.join(","));
    match style.get("sprite") {
        Some(Value::String(url)) if !url.is_empty() => {
            needs.sprites.push(Sprite { id: DEFAULT_SPRITE.to_owned(), url: url.clone() });
        }
        Some(Value::Array(list)) => {
            needs.sprites_are_listed = true;
            let mut known = HashSet::new();
            for sprite in list {
                let text = |key: &str| sprite.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let sprite = Sprite { id: text("id"), url: text("url") };
                if known.insert(sprite.clone()) {
                    needs.sprites.push(sprite);
                }
            }
        }
        _ => {}
    }
    needs
}

/// Whether a `text-field` can draw anything at all.
fn draws(text: &Value) -> bool {
    !matches!(text, Value::Null) && text.as_str() != Some("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The font stacks of one text layer.
    fn of(layout: Value) -> (Vec<String>, bool) {
        let found = needs(&json!({"layers": [{"id": "x", "type": "symbol", "layout": layout}]}));
        (found.fonts.iter().map(|names| names.join(",")).collect(), !found.fonts_from_data.is_empty())
    }

    fn fonts(font: Value) -> (Vec<String>, bool) {
        of(json!({"text-field": "{n}", "text-font": font}))
    }

    fn known(names: &[&str]) -> (Vec<String>, bool) {
        (names.iter().map(|name| (*name).to_owned()).collect(), false)
    }

    const DEFAULT: &str = "Open Sans Regular,Arial Unicode MS Regular";

    #[test]
    fn a_text_decides_whether_fonts_are_needed() {
        assert_eq!(of(json!({"text-field": "{n}"})), known(&[DEFAULT]));
        assert_eq!(of(json!({"text-field": ["get", "n"]})), known(&[DEFAULT]));
        for none in
            [json!({}), json!({"icon-image": "dot", "text-font": ["A"]}), json!({"text-field": "", "text-font": ["A"]})]
        {
            assert_eq!(of(none.clone()), known(&[]), "{none}");
        }
        let line = json!({"layers": [{"type": "line", "layout": {"text-field": "{n}"}}]});
        assert_eq!(needs(&line).fonts, Vec::<Vec<String>>::new(), "only symbol layers have text");
    }

    #[test]
    fn fonts_are_found_in_lists_legacy_functions_and_expressions() {
        let literal = |name: &str| json!(["literal", [name]]);
        let (a, b, c) = (literal("A"), literal("B"), literal("C"));
        let is = json!(["==", ["get", "k"], 1]);
        for (font, expected) in [
            (json!(["Arial Regular", "Noto"]), &["Arial Regular,Noto"][..]),
            (json!({"stops": [[1, ["B"]], [4, ["C"]]]}), &["B", "C"]),
            (json!({"stops": [[{"zoom": 1, "value": "x"}, ["B"]]], "property": "k", "default": ["C"]}), &["B", "C"]),
            (json!(["step", ["zoom"], a, 10, b, 12, c]), &["A", "B", "C"]),
            (json!(["case", is, a, is, b, c]), &["A", "B", "C"]),
            (json!(["match", ["get", "k"], ["no", "font"], a, 5, b, c]), &["A", "B", "C"]),
            (json!(["coalesce", a, b]), &["A", "B"]),
            (json!(["array", "string", 1, a]), &["A"]),
            (json!(["let", "f", a, ["step", ["zoom"], ["var", "f"], 9, b]]), &["A", "B"]),
            // The inner one hides the outer one; a value is read where it was named.
            (
                json!(["let", "f", a, ["let", "f", b, "g", ["var", "f"], ["coalesce", ["var", "f"], ["var", "g"]]]]),
                &["A", "B"],
            ),
            // A list that is asked for, not drawn with; a variable that nobody uses.
            (json!(["case", ["in", ["get", "k"], ["literal", ["no", "font"]]], a, b]), &["A", "B"]),
            (json!(["let", "k", ["get", "k"], "no", ["literal", ["no", "font"]], a]), &["A"]),
            // As people write it, and what is not one by the specification.
            (json!(["step", ["zoom"], ["A"], 10, ["B"]]), &["A", "B"]),
            (json!(["A", "A"]), &["A,A"]),
        ] {
            assert_eq!(fonts(font.clone()), known(expected), "{font}");
        }
    }

    #[test]
    fn fonts_inside_of_a_format_are_found_and_the_layer_s_own_counts_where_a_part_has_none() {
        let own = json!({"text-font": ["literal", ["D"]]});
        let text = |field: Value| of(json!({"text-field": field}));
        assert_eq!(text(json!(["format", ["get", "n"], own])), known(&["D"]));
        assert_eq!(text(json!(["format", ["get", "n"], own, "\n", {}, ["get", "m"], own])), known(&["D", DEFAULT]));
        assert_eq!(text(json!(["format", ["get", "n"], own, ["image", "dot"]])), known(&["D"]), "a picture is no text");
        assert_eq!(text(json!(["step", ["zoom"], "", 9, ["format", ["get", "n"], own]])), known(&["D"]));
        assert_eq!(text(json!(["case", ["has", "n"], ["format", "x", own], ["get", "m"]])), known(&["D", DEFAULT]));
        let by_variable = json!(["let", "f", ["literal", ["V"]], ["format", ["get", "n"], {"text-font": ["var", "f"]}]]);
        assert_eq!(text(by_variable), known(&["V"]));
        let both = of(json!({"text-field": ["format", "x", own], "text-font": ["A"]}));
        assert_eq!(both, known(&["A", "D"]), "what the layer names is needed");
    }

    #[test]
    fn fonts_that_come_from_the_data_are_told_as_such() {
        for font in [
            json!(["get", "font"]),
            json!(["array", "string", ["get", "font"]]),
            json!(["var", "nowhere"]),
            json!({"type": "identity", "property": "font"}),
            json!("A"),
            json!(["literal", [1, 2]]),
            json!(["step"]),
        ] {
            assert_eq!(fonts(font.clone()), (Vec::new(), true), "{font}");
        }
        assert_eq!(fonts(json!(["coalesce", ["get", "font"], ["literal", ["A"]]])), (vec!["A".to_owned()], true));
    }

    #[test]
    fn variables_that_name_each_other_take_no_time() {
        let mut font = json!(["coalesce", ["var", "v0"], ["var", "v0"]]);
        for i in 0..40 {
            let before = format!("v{}", i + 1);
            let value = json!(["coalesce", ["var", before], ["var", before]]);
            font = json!(["let", format!("v{i}"), value, font]);
        }
        let font = json!(["let", "v40", ["literal", ["A"]], font]);
        assert_eq!(fonts(font.clone()), known(&["A"]));
        assert_eq!(of(json!({"text-field": font})).0.len(), 1);
    }

    #[test]
    fn a_sprite_is_a_url_or_a_list_of_ids_and_urls() {
        let of = |sprite: Value| {
            let found = needs(&json!({"sprite": sprite}));
            let all = found.sprites.into_iter().map(|s| format!("{}={}", s.id, s.url)).collect::<Vec<_>>();
            (all.join(" "), found.sprites_are_listed)
        };
        assert_eq!(of(json!("../s")), ("default=../s".to_owned(), false));
        let twice = json!([{"id": "a", "url": "u"}, {"id": "a", "url": "u"}, {"id": "a", "url": "v"}, {"id": "b"}]);
        assert_eq!(of(twice), ("a=u a=v b=".to_owned(), true));
        assert_eq!(of(json!("")), (String::new(), false));
        assert_eq!(of(json!(7)), (String::new(), false));
    }
}
