//! Fonts of the vector tiles, as ranges of glyphs (protocol buffers).

use crate::options::SandboxFont;

/// Font stack of the style.
pub(crate) const FONT: &str = "Sandbox Regular";

/// A glyph range of a font; `None` where it has no glyphs. That of the own style is there and empty, as real services send for ranges
/// that their fonts do not cover. A glyph is as wide as its font's name is long.
pub(crate) fn glyphs(fonts: &[SandboxFont], font: &str, range: &str) -> Option<Vec<u8>> {
    let (first, last) = range.split_once('-')?;
    let covered = first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?;
    let code_points: Vec<u32> = match fonts.iter().find(|f| f.name == font) {
        Some(font) => covered.filter(|c| font.code_points.contains(c)).collect(),
        None if font == FONT => return Some(field(1, &[field(1, font.as_bytes()), field(2, range.as_bytes())].concat())),
        None => return None,
    };
    if code_points.is_empty() {
        return None;
    }
    let width = u8::try_from(font.len()).unwrap_or(0) & 0x7f;
    let glyph = |code_point: u32| {
        let numbers = [(3, width), (4, 1), (5, 0), (6, 0), (7, width)];
        let numbers = numbers.iter().flat_map(|(number, value)| [number << 3, *value]);
        [&[1 << 3][..], &varint(u64::from(code_point)), &numbers.collect::<Vec<u8>>()].concat()
    };
    let glyphs: Vec<u8> = code_points.into_iter().flat_map(|c| field(3, &glyph(c))).collect();
    Some(field(1, &[field(1, font.as_bytes()), field(2, range.as_bytes()), glyphs].concat()))
}

/// A field of a protocol buffer with bytes in it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
