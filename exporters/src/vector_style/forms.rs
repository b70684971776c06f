//! Whether a resource of a style is what its name says: what another program answered must not end up in a package.
//!
//! Sources: PNG (third edition) §5; MapLibre style specification, "sprite".

use offmap_formats::glyphs::is_glyphs;
use offmap_model::json::strict;
use serde_json::Value;
use std::path::Path;

/// Largest side of a sprite sheet in pixels.
const LARGEST_SIDE: u32 = 8192;

/// Checks a resource by the ending of its name; what it says is not quoted.
pub(super) fn check_resource(name: &Path, bytes: &[u8]) -> Result<(), &'static str> {
    match name.extension().and_then(|e| e.to_str()) {
        Some("json") if !is_sprite_index(bytes) => Err("something else than an index of sprites"),
        Some("png") if !is_png(bytes) => Err("something else than a PNG of a sensible size"),
        Some("pbf") if !is_glyphs(bytes) => Err("something else than glyphs"),
        _ => Ok(()),
    }
}

/// An object of sprites, each with its place in the sheet. No sprites is a good index.
fn is_sprite_index(bytes: &[u8]) -> bool {
    let is_place = |sprite: &Value| {
        ["x", "y", "width", "height"]
            .iter()
            .all(|key| sprite.get(*key).is_some_and(|n| n.as_f64().is_some_and(|n| n >= 0.0)))
    };
    match serde_json::from_slice::<Value>(&strict(bytes)) {
        Ok(Value::Object(sprites)) => sprites.values().all(is_place),
        _ => false,
    }
}

/// A PNG from its first chunk to its last, and nothing behind it.
fn is_png(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") else { return false };
    let mut first = true;
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let (length, kind) = head.split_at(4);
        let Ok(length) = <[u8; 4]>::try_from(length).map(u32::from_be_bytes) else { return false };
        let Some((data, behind)) = behind.split_at_checked(length as usize) else { return false };
        // The checksum.
        let Some((_, behind)) = behind.split_at_checked(4) else { return false };
        if std::mem::take(&mut first) && !(kind == b"IHDR" && is_header(data)) {
            return false;
        }
        if kind == b"IEND" {
            return length == 0 && behind.is_empty();
        }
        rest = behind;
    }
    false
}

fn is_header(data: &[u8]) -> bool {
    let side = |at: usize| data.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    let sensible = |side: Option<u32>| side.is_some_and(|side| (1..=LARGEST_SIDE).contains(&side));
    let depth_and_colour = matches!(
        (data.get(8), data.get(9)),
        (Some(1 | 2 | 4 | 8 | 16), Some(0)) | (Some(8 | 16), Some(2 | 4 | 6)) | (Some(1 | 2 | 4 | 8), Some(3))
    );
    data.len() == 13 && sensible(side(0)) && sensible(side(4)) && depth_and_colour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_ends_where_its_last_chunk_ends() {
        let chunk = |kind: &[u8], data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat();
        let header = |w: u32, h: u32, depth: u8, colour: u8| {
            chunk(b"IHDR", &[&w.to_be_bytes()[..], &h.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat())
        };
        let png = |chunks: &[Vec<u8>]| [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat();
        let (data, end) = (chunk(b"IDAT", &[7; 100]), chunk(b"IEND", &[]));
        let good = png(&[header(1024, 512, 8, 6), data.clone(), end.clone()]);
        assert!(is_png(&good));
        for cut in 0..good.len() {
            assert!(!is_png(&good[..cut]), "the first {cut} bytes");
        }
        for bad in [
            [good.clone(), b"words".to_vec()].concat(),
            png(&[data.clone(), end.clone()]),
            png(&[header(0, 512, 8, 6), end.clone()]),
            png(&[header(1 << 20, 512, 8, 6), end.clone()]),
            png(&[header(16, 16, 3, 6), end.clone()]),
            png(&[header(16, 16, 8, 6), [&u32::MAX.to_be_bytes()[..], b"IDAT"].concat()]),
        ] {
            assert!(!is_png(&bad), "{bad:?}");
        }
    }

    #[test]
    fn an_index_of_sprites_says_where_each_is() {
        assert!(is_sprite_index(b"{}"));
        assert!(is_sprite_index(br#"{"dot": {"x": 0, "y": 0, "width": 16, "height": 16, "pixelRatio": 1, "sdf": true}}"#));
        for bad in [
            "[]",
            "7",
            "",
            r#"{"Code": "Success"}"#,
            r#"{"dot": {"x": 0}}"#,
            r#"{"a": {"x":0,"y":0,"width":-1,"height":1}}"#,
        ] {
            assert!(!is_sprite_index(bad.as_bytes()), "{bad}");
        }
    }
}
