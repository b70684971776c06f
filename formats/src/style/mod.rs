//! Styles of vector tiles: which fonts and sprites one needs, and which of them are not there.
//!
//! One rule for whoever fetches them and for whoever verifies a package.
//!
//! Source: MapLibre style specification (version 8): `sprite`, `glyphs`, layout properties `text-field` and `text-font`; tile
//! reference §3, §14.

mod expression;
#[cfg(test)]
mod hostile;
mod needs;

pub use needs::{DEFAULT_FONT_STACK, Needs, Sprite, needs};

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Glyph ranges of a font: `0-255` to `65280-65535`.
pub const GLYPH_RANGES: u32 = 256;
/// What a template of the urls of glyphs has in place of the font stack and of the range.
pub const FONT_STACK: &str = "{fontstack}";
/// The same for the range.
pub const RANGE: &str = "{range}";
/// Longest template of the urls of glyphs, in bytes; a name may fill it many times.
pub const LONGEST_TEMPLATE: usize = 4096;
/// Code points of a glyph range.
const GLYPHS_OF_A_RANGE: u32 = 256;
/// Things of one kind that are named one by one; the rest is counted.
pub const MOST_NAMED: usize = 20;
/// Longest part of a name that is shown, in characters.
const LONGEST_SHOWN: usize = 60;
/// What the files of a sprite sheet are called behind the sprite's name: index and picture, for plain and for dense screens.
pub const SPRITE_SHEETS: [[&str; 2]; 2] = [[".json", ".png"], ["@2x.json", "@2x.png"]];

/// The name of a glyph range: `0-255` is the first one.
#[must_use]
pub fn glyph_range(index: u32) -> String {
    let first = index.saturating_mul(GLYPHS_OF_A_RANGE);
    format!("{first}-{}", first.saturating_add(GLYPHS_OF_A_RANGE - 1))
}

/// A name for people: cut, without control characters.
#[must_use]
pub fn shown(name: &str) -> String {
    let head: String = name.chars().take(LONGEST_SHOWN).collect();
    let more = if head.len() < name.len() { "…" } else { "" };
    format!("`{}{more}`", head.escape_debug())
}

/// Something that a style needs and that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// The style itself.
    Style,
    /// Every range of a font stack, by the names of its fonts.
    Font(String),
    /// So many font stacks more.
    MoreFonts(usize),
    /// Fonts that a layer takes from the data, so that nobody can tell which ones.
    FontsFromData(String),
    /// So many such layers more.
    MoreFontsFromData(usize),
    /// A sprite, by its id.
    Sprite(String),
    /// So many sprites more.
    MoreSprites(usize),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Style => f.write_str("the style itself"),
            Self::Font(stack) => write!(f, "the font {}", shown(stack)),
            Self::MoreFonts(more) => write!(f, "{more} more fonts"),
            Self::FontsFromData(layer) => write!(f, "the fonts that layer {} takes from the data", shown(layer)),
            Self::MoreFontsFromData(more) => write!(f, "the fonts that {more} more layers take from the data"),
            Self::Sprite(id) => write!(f, "the sprite {}", shown(id)),
            Self::MoreSprites(more) => write!(f, "{more} more sprites"),
        }
    }
}

/// What a style needs and does not find. `at` is the style's own path, `files` are the paths of all files beside it, both with
/// forward slashes.
#[must_use]
pub fn missing(style: &Value, at: &str, files: &BTreeSet<String>) -> Vec<Missing> {
    let needs = needs(style);
    let mut missing = Vec::new();
    let is_missing = |sprite: &&Sprite| {
        let base = relative(at, &sprite.url);
        let has = |ending: &str| base.as_ref().is_some_and(|base| files.contains(&format!("{base}{ending}")));
        !SPRITE_SHEETS.iter().any(|sheet| sheet.iter().all(|ending| has(ending)))
    };
    let sprites = needs.sprites.iter().filter(is_missing).map(|sprite| &sprite.id);
    name_some(&mut missing, sprites, |id| Missing::Sprite(id.clone()), Missing::MoreSprites);
    // Without `glyphs` there is no text in the online map either.
    let Some(template) = &needs.glyphs else { return missing };
    let names: Vec<String> = (0..GLYPH_RANGES).map(glyph_range).collect();
    let repeats = template.matches(FONT_STACK).count();
    let has = |stack: &str| {
        // What is longer is no path, and is not made.
        if template.len() + repeats.saturating_mul(stack.len()) > LONGEST_TEMPLATE {
            return false;
        }
        // Most fonts that are missing have no folder.
        let (before, after) = template.split_once(RANGE).unwrap_or((template, ""));
        let first = relative(at, &format!("{}x", before.replace(FONT_STACK, stack)));
        let folder = first.as_deref().and_then(|first| first.rsplit_once('/')).map_or("", |(folder, _)| folder);
        let is_below = !after.contains("..") && !stack.contains("..");
        if is_below && files.range(folder.to_owned()..).next().is_none_or(|file| !file.starts_with(folder)) {
            return false;
        }
        names.iter().any(|range| {
            let path = template.replace(RANGE, range).replace(FONT_STACK, stack);
            relative(at, &path).is_some_and(|path| files.contains(&path))
        })
    };
    let stacks = needs.fonts.iter().map(|names| names.join(",")).filter(|stack| !has(stack));
    name_some(&mut missing, stacks, Missing::Font, Missing::MoreFonts);
    let layers = needs.fonts_from_data.iter().cloned();
    name_some(&mut missing, layers, Missing::FontsFromData, Missing::MoreFontsFromData);
    missing
}

/// Names the first ones and counts the rest: each is told again for every layer that the style draws.
fn name_some<T>(
    missing: &mut Vec<Missing>,
    mut all: impl Iterator<Item = T>,
    name: impl Fn(T) -> Missing,
    more: impl Fn(usize) -> Missing,
) {
    missing.extend(all.by_ref().take(MOST_NAMED).map(name));
    let rest = all.count();
    missing.extend((rest > 0).then(|| more(rest)));
}

/// Where a relative url in a file leads; `None` for an absolute one, and for one that leaves the root.
#[must_use]
pub fn relative(at: &str, url: &str) -> Option<String> {
    if url.is_empty() || url.starts_with('/') || url.contains("://") {
        return None;
    }
    let mut parts: Vec<&str> = at.split('/').collect();
    parts.pop();
    for part in url.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn files(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_relative_reference_keeps_within_the_root() {
        let at = "p12/resources/styles/root.json";
        assert_eq!(relative(at, "../sprites/sprite").as_deref(), Some("p12/resources/sprites/sprite"));
        assert_eq!(relative(at, "../../").as_deref(), Some("p12"));
        assert_eq!(relative(at, "./dark.json").as_deref(), Some("p12/resources/styles/dark.json"));
        for out in ["../../../../x", "/x", "https://h/x", ""] {
            assert_eq!(relative(at, out), None, "{out}");
        }
    }

    #[test]
    fn a_font_without_any_range_and_a_sprite_without_a_whole_sheet_are_missing() {
        let style = json!({"glyphs": "../fonts/{fontstack}/{range}.pbf", "sprite": [
            {"id": "default", "url": "../sprites/sprite"}, {"id": "half", "url": "../sprites/half"},
            {"id": "dense", "url": "../sprites/dense"}, {"id": "away", "url": "https://h/sprite"}],
            "layers": [
                {"id": "a", "type": "symbol", "layout": {"text-field": "{n}", "text-font": ["A", "B"]}},
                {"id": "b", "type": "symbol", "layout": {"text-field": "{n}"}},
                {"id": "c", "type": "symbol", "layout": {"text-field": "{n}", "text-font": ["get", "font"]}}]});
        let there = files(&[
            "x/sprites/sprite.json",
            "x/sprites/sprite.png",
            "x/sprites/half.json",
            "x/sprites/half@2x.png",
            "x/sprites/dense@2x.json",
            "x/sprites/dense@2x.png",
            // One late range is enough: others may be empty.
            "x/fonts/A,B/65280-65535.pbf",
        ]);
        let words: Vec<String> = missing(&style, "x/styles/root.json", &there).iter().map(Missing::to_string).collect();
        assert_eq!(
            words,
            [
                "the sprite `half`",
                "the sprite `away`",
                "the font `Open Sans Regular,Arial Unicode MS Regular`",
                "the fonts that layer `c` takes from the data"
            ]
        );
    }

    #[test]
    fn of_very_many_missing_fonts_some_are_named_and_all_are_counted() {
        let layers: Vec<Value> = (0..1000)
            .map(|i| json!({"type": "symbol", "layout": {"text-field": "x", "text-font": [format!("F{i:04}\u{1b}")]}}))
            .collect();
        let style = json!({"glyphs": "https://h/{fontstack}/{range}", "layers": layers});
        let found = missing(&style, "styles/root.json", &BTreeSet::new());
        assert_eq!(found.len(), MOST_NAMED + 1);
        assert_eq!(found.last(), Some(&Missing::MoreFonts(1000 - MOST_NAMED)));
        assert_eq!(found[0].to_string(), "the font `F0000\\u{1b}`");
        let silent = json!({"layers": style["layers"]});
        assert_eq!(missing(&silent, "styles/root.json", &BTreeSet::new()), [], "a style without glyphs draws no text");
    }
}
