//! Style, sprites and fonts of vector tiles.

use crate::answer::{Answer, Rest};
use crate::picture::sprite;
use crate::state::State;
use crate::tiles::{glyphs, sprite_index, style};

/// One of them, for the service or for the style item.
pub(crate) fn style_resource(state: &State, source: &str, kind: &str, name: &str) -> Rest<Answer> {
    let ratio = if name.contains("@2x") { 2 } else { 1 };
    Ok(match (kind, name.rsplit_once('.')) {
        ("styles", _) => Answer::Json(style(state.options.style.as_ref(), source)),
        ("sprites", Some((_, "png"))) => Answer::Bytes("image/png", sprite(ratio)),
        ("sprites", Some((_, "json"))) => Answer::Json(sprite_index(ratio)),
        ("fonts", Some((path, "pbf"))) => {
            let font = path.rsplit_once('/');
            let found = font.and_then(|(font, range)| glyphs(&state.options.fonts, font, range));
            found.map_or(Answer::NotFound, |glyphs| Answer::Bytes("application/x-protobuf", glyphs))
        }
        _ => Answer::NotFound,
    })
}
