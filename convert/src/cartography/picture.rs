//! Pictures within symbols: `imageData` in base64, or a `data:` URL.

use super::members::text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The media type and bytes of a picture that a symbol carries.
pub(crate) fn read(symbol: &Value) -> Option<(String, Vec<u8>)> {
    let from_url = text(symbol, "url").and_then(|url| url.strip_prefix("data:")).and_then(|url| url.split_once(";base64,"));
    let (media_type, encoded) = match (text(symbol, "imageData"), from_url) {
        (Some(encoded), _) => (text(symbol, "contentType").unwrap_or_default(), encoded),
        (None, Some(pair)) => pair,
        (None, None) => return None,
    };
    let compact: String = encoded.chars().filter(|c| !c.is_whitespace()).collect();
    let data = STANDARD.decode(compact).ok().filter(|data| !data.is_empty())?;
    Some((sniff(&data).unwrap_or(media_type).to_owned(), data))
}

/// The bytes of a picture in base64.
pub(crate) fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// What the bytes are, whatever is said of them.
fn sniff(data: &[u8]) -> Option<&'static str> {
    let starts: [(&[u8], &'static str); 5] = [
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"<svg", "image/svg+xml"),
        (b"<?xml", "image/svg+xml"),
    ];
    starts.iter().find(|(start, _)| data.starts_with(start)).map(|(_, kind)| *kind)
}

/// Width and height in pixels: from the header of a PNG, else those of a usual marker.
pub(crate) fn size(media_type: &str, data: &[u8]) -> [f64; 2] {
    let number = |at: usize| data.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes);
    match (media_type, number(16), number(20)) {
        ("image/png", Some(width), Some(height)) => [f64::from(width), f64::from(height)],
        _ => [16.0, 16.0],
    }
}
