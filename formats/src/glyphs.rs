//! Ranges of glyphs, as `fonts/{fontstack}/{range}.pbf` holds them: checked, and several fonts joined to one stack.
//!
//! Source: MapLibre style specification, "glyphs"; `glyphs.proto` of node-fontnik. A file is a list of stacks (field 1), each with a
//! name (1), a range (2) and glyphs (3); a glyph has its code point in field 1.

use crate::protobuf::{Field, fields};
use std::collections::BTreeMap;

/// Most glyphs of a range; it has 256 code points.
const MOST_GLYPHS: usize = 256;
/// Field of a stack in a file; fields of a stack; field of a glyph.
const STACK: u64 = 1;
const NAME: u64 = 1;
const RANGE: u64 = 2;
const GLYPH: u64 = 3;
const CODE_POINT: u64 = 1;

/// Font stacks with a name, a range and glyphs; an empty range may be empty altogether. What later editions of the format may add has
/// numbers of its own.
#[must_use]
pub fn is_glyphs(bytes: &[u8]) -> bool {
    each_stack(bytes, |_, _| true).is_some()
}

/// Joins ranges of several fonts to one of their stack: of each code point the glyph of the first font that has it. `None` if one
/// of them is no range of glyphs.
#[must_use]
pub fn join(stack: &str, range: &str, fonts: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut glyphs: BTreeMap<u64, &[u8]> = BTreeMap::new();
    for font in fonts {
        each_stack(font, |code_point, glyph| {
            glyphs.entry(code_point).or_insert(glyph);
            glyphs.len() <= MOST_GLYPHS
        })?;
    }
    let mut inner = Vec::new();
    put(&mut inner, NAME, stack.as_bytes());
    put(&mut inner, RANGE, range.as_bytes());
    glyphs.values().for_each(|glyph| put(&mut inner, GLYPH, glyph));
    let mut out = Vec::with_capacity(inner.len() + 8);
    put(&mut out, STACK, &inner);
    Some(out)
}

/// Checks every stack and lends its glyphs with their code points; `None` if something is not as it should be, or `take` says no.
fn each_stack<'a>(bytes: &'a [u8], mut take: impl FnMut(u64, &'a [u8]) -> bool) -> Option<()> {
    fields(bytes, |number, field| match field {
        Field::Bytes(stack) if number == STACK => is_stack(stack, &mut take),
        _ => false,
    })
}

fn is_stack<'a>(stack: &'a [u8], take: &mut impl FnMut(u64, &'a [u8]) -> bool) -> bool {
    let (mut named, mut ranged, mut glyphs) = (false, false, 0);
    let read = fields(stack, |number, field| match (number, field) {
        (NAME, Field::Bytes(name)) => {
            named = std::str::from_utf8(name).is_ok_and(|name| !name.contains(char::is_control));
            named
        }
        (RANGE, Field::Bytes(range)) => {
            ranged = is_range(range);
            ranged
        }
        (GLYPH, Field::Bytes(glyph)) => {
            glyphs += 1;
            glyphs <= MOST_GLYPHS && code_point(glyph).is_some_and(|code_point| take(code_point, glyph))
        }
        (4.., _) => true,
        _ => false,
    });
    read.is_some() && named && ranged
}

fn is_range(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).ok().and_then(|t| t.split_once('-'));
    text.is_some_and(|(from, to)| from.parse::<u32>().is_ok() && to.parse::<u32>().is_ok())
}

/// The code point of a glyph; `None` if it is no glyph.
fn code_point(glyph: &[u8]) -> Option<u64> {
    let mut found = None;
    fields(glyph, |number, field| match (number, field) {
        (CODE_POINT, Field::Number(code_point)) => {
            found = Some(code_point);
            true
        }
        (2, Field::Bytes(_)) | (3..=7, Field::Number(_)) | (8.., _) => true,
        _ => false,
    })?;
    found
}

/// Writes a field with bytes in it.
fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
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
    fn fonts_are_joined_and_the_first_one_that_has_a_glyph_gives_it() {
        // A glyph whose picture says of which font it is.
        let glyph = |code_point: u8, font: u8| [&[0x08, code_point][..], &with(2, &[font; 3]), &[0x18, 1]].concat();
        let font = |name: &[u8], glyphs: &[Vec<u8>]| {
            let glyphs: Vec<u8> = glyphs.iter().flat_map(|glyph| with(3, glyph)).collect();
            with(1, &[with(1, name), with(2, b"0-255"), glyphs].concat())
        };
        let a = font(b"A", &[glyph(66, 1), glyph(65, 1)]);
        let b = [font(b"B", &[glyph(66, 2), glyph(67, 2)]), font(b"C", &[glyph(68, 3)])].concat();
        let joined = join("A,B", "0-255", &[a.clone(), b, Vec::new()]).expect("joins");
        assert!(is_glyphs(&joined));
        let expected = [glyph(65, 1), glyph(66, 1), glyph(67, 2), glyph(68, 3)];
        assert_eq!(joined, font(b"A,B", &expected), "in order of code points, as the stack and no font of it is called");
        assert_eq!(join("A", "0-255", &[]), Some(font(b"A", &[])));
        let long: Vec<Vec<u8>> = (0..200).map(|i| [glyph(i % 128, 1), with(2, &[7; 100])].concat()).collect();
        assert!(join("A", "0-255", &[font(b"A", &long[..100])]).is_some_and(|joined| is_glyphs(&joined)));
        assert_eq!(join("A,B", "0-255", &[a.clone(), b"words".to_vec()]), None);
        assert_eq!(join("A,B", "0-255", &[a[..a.len() - 1].to_vec()]), None);
    }

    #[test]
    fn more_code_points_than_a_range_has_are_refused() {
        let font = |from: u64| {
            let mut glyphs = Vec::new();
            for code_point in from..from + 200 {
                let mut glyph = vec![0x08];
                put_varint(&mut glyph, code_point);
                put(&mut glyphs, GLYPH, &glyph);
            }
            with_long(1, &[with(1, b"A"), with(2, b"0-255"), glyphs].concat())
        };
        assert!(join("A", "0-255", &[font(0), font(0)]).is_some());
        assert_eq!(join("A", "0-255", &[font(0), font(300)]), None);
    }

    fn with_long(number: u64, inner: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, number, inner);
        out
    }
}
