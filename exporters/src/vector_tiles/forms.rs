//! Whether a resource of a style is what its name says: what another program answered must not end up in a package.
//!
//! Sources: PNG (third edition) §5; MapLibre style specification, "sprite" and "glyphs"; `glyphs.proto` of node-fontnik.

use offmap_formats::lenient::strict;
use serde_json::Value;
use std::path::Path;

/// Largest side of a sprite sheet in pixels.
const LARGEST_SIDE: u32 = 8192;
/// Most glyphs of a range; it has 256 code points.
const MOST_GLYPHS: usize = 256;

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

/// A field of a protocol buffer: its number and what is in it.
enum Field<'a> {
    Number,
    Bytes(&'a [u8]),
    /// 32 or 64 bits.
    Fixed,
}

/// Reads a protocol buffer field by field; `None` if it is none, or `take` says no.
fn fields<'a>(mut bytes: &'a [u8], mut take: impl FnMut(u64, Field<'a>) -> bool) -> Option<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                Field::Number
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(split(&mut bytes, length)?)
            }
            1 | 5 => {
                split(&mut bytes, if key & 7 == 1 { 8 } else { 4 })?;
                Field::Fixed
            }
            _ => return None,
        };
        if !take(key >> 3, field) {
            return None;
        }
    }
    Some(())
}

fn split<'a>(bytes: &mut &'a [u8], at: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(at)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *split(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Font stacks with a name, a range and glyphs; an empty range may be empty altogether. What later editions of the format may add has
/// numbers of its own.
fn is_glyphs(bytes: &[u8]) -> bool {
    let is_glyph = |glyph: &[u8]| {
        let mut has_id = false;
        let read = fields(glyph, |number, field| match (number, field) {
            (1, Field::Number) => {
                has_id = true;
                true
            }
            (2, Field::Bytes(_)) | (3..=7, Field::Number) | (8.., _) => true,
            _ => false,
        });
        read.is_some() && has_id
    };
    let is_range = |text: &[u8]| {
        let text = std::str::from_utf8(text).ok().and_then(|t| t.split_once('-'));
        text.is_some_and(|(from, to)| from.parse::<u32>().is_ok() && to.parse::<u32>().is_ok())
    };
    let is_stack = |stack: &[u8]| {
        let (mut named, mut ranged, mut glyphs) = (false, false, 0);
        let read = fields(stack, |number, field| match (number, field) {
            (1, Field::Bytes(name)) => {
                named = std::str::from_utf8(name).is_ok_and(|name| !name.contains(char::is_control));
                named
            }
            (2, Field::Bytes(range)) => {
                ranged = is_range(range);
                ranged
            }
            (3, Field::Bytes(glyph)) => {
                glyphs += 1;
                glyphs <= MOST_GLYPHS && is_glyph(glyph)
            }
            (4.., _) => true,
            _ => false,
        });
        read.is_some() && named && ranged
    };
    fields(bytes, |number, field| number == 1 && matches!(field, Field::Bytes(stack) if is_stack(stack))).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with bytes in it.
    fn with(number: u8, inner: &[u8]) -> Vec<u8> {
        let length = inner.len();
        let length = if length < 128 { vec![length as u8] } else { vec![(length & 0x7f) as u8 | 0x80, (length >> 7) as u8] };
        [&[number << 3 | 2][..], &length, inner].concat()
    }

    #[test]
    fn glyphs_are_stacks_of_a_name_a_range_and_glyphs() {
        let glyph = |more: &[u8]| [&[0x08, 65, 0x18, 10, 0x20, 12, 0x28, 1, 0x30, 3, 0x38, 11][..], more].concat();
        let stack = |glyphs: &[u8]| with(1, &[with(1, b"Arial Regular"), with(2, b"0-255"), glyphs.to_vec()].concat());
        for good in [
            Vec::new(),
            stack(&[]),
            stack(&with(3, &glyph(&[]))),
            stack(&with(3, &glyph(&with(2, &[0xff; 200])))),
            [stack(&[]), stack(&with(3, &glyph(&[])))].concat(),
            stack(&[&with(4, b"x")[..], &[0x29, 0, 0, 0, 0, 0, 0, 0, 0]].concat()),
        ] {
            assert!(is_glyphs(&good), "{good:?}");
        }
        let whole = stack(&with(3, &glyph(&with(2, &[0xff; 200]))));
        for cut in 1..whole.len() {
            assert!(!is_glyphs(&whole[..cut]), "the first {cut} bytes");
        }
        for bad in [
            b"\nAKIA-internal-words\n".to_vec(),
            b"\x0a\x05hello".to_vec(),
            with(1, &with(1, b"a name without a range")),
            with(1, &[with(1, b"n"), with(2, b"all")].concat()),
            with(1, &[with(1, b"n\n"), with(2, b"0-255")].concat()),
            with(2, b"x"),
            [&with(1, b"")[..], &[0x0b]].concat(),
            stack(&with(3, b"\x08")),
            stack(&with(3, &[0x18, 10])),
            stack(&with(3, &glyph(&[])).repeat(257)),
            [0xff; 20].to_vec(),
        ] {
            assert!(!is_glyphs(&bad), "{bad:?}");
        }
    }

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
