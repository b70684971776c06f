//! What a set of tiles says of itself: its grid, the format of its tiles, where they are and who made them.

use crate::tiles::TileInfo;
use offmap_model::{Envelope, Failure};
use serde_json::{Map, Value};

/// What the tiles of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TileFormat {
    /// PNG images, whatever their bits.
    Png,
    /// JPEG images.
    Jpeg,
    /// WebP images.
    WebP,
    /// AVIF images.
    Avif,
    /// LERC: elevations and the like.
    Lerc,
    /// JPEG images, and PNG ones where something is transparent.
    Mixed,
    /// Mapbox Vector Tiles.
    Mvt,
}

impl TileFormat {
    /// What bytes are, by how they begin; `None` for bytes that are no image known here, which a vector tile may be.
    #[must_use]
    pub fn of_image(bytes: &[u8]) -> Option<Self> {
        let is_riff = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
        let is_avif = bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..12).is_some_and(|brand| brand.starts_with(b"avi"));
        match bytes {
            _ if bytes.starts_with(b"\x89PNG") => Some(Self::Png),
            _ if bytes.starts_with(b"\xff\xd8\xff") => Some(Self::Jpeg),
            _ if bytes.starts_with(b"Lerc2") || bytes.starts_with(b"CntZImage") => Some(Self::Lerc),
            _ if is_riff => Some(Self::WebP),
            _ if is_avif => Some(Self::Avif),
            _ => None,
        }
    }

    /// The format that Esri's word names, such as `PNG32`.
    #[must_use]
    pub fn of_esri_word(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "PNG" | "PNG8" | "PNG24" | "PNG32" => Some(Self::Png),
            "JPEG" | "JPG" => Some(Self::Jpeg),
            "MIXED" => Some(Self::Mixed),
            "LERC" | "LERC2D" => Some(Self::Lerc),
            "PBF" => Some(Self::Mvt),
            _ => None,
        }
    }

    /// Whether bytes, opened where they were gzip, are a tile of this format from beginning to end, as far as that can be told without
    /// drawing it: images of another format than the service says are tiles, too, since services mix them.
    ///
    /// # Errors
    /// What they are, in words.
    pub fn check_tile(self, bytes: &[u8]) -> Result<(), String> {
        if self.is_vector() {
            return match is_mvt(bytes) {
                true => Ok(()),
                false => Err(format!("{} bytes that are no vector tile", bytes.len())),
            };
        }
        // Some programs write a few bytes behind the end.
        let tail = bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default();
        let ends_with = |mark: &[u8]| tail.ends_with(mark) || tail.windows(mark.len()).any(|window| window == mark);
        match Self::of_image(bytes) {
            Some(Self::Png) if !ends_with(b"IEND") => Err("a PNG that breaks off".to_owned()),
            Some(Self::Jpeg) if !ends_with(b"\xff\xd9") => Err("a JPEG that breaks off".to_owned()),
            Some(_) => Ok(()),
            None => Err(format!("{} bytes that are no image", bytes.len())),
        }
    }

    /// Whether it is one of vector tiles.
    #[must_use]
    pub fn is_vector(self) -> bool {
        self == Self::Mvt
    }
}

/// Bytes at the end of an image among which its last mark is.
const TAIL: usize = 1 << 10;

/// Whether bytes are the layers of a vector tile, each whole. Source: Mapbox Vector Tile 2.1, §4.1: `repeated Layer layers = 3`.
fn is_mvt(mut bytes: &[u8]) -> bool {
    const LAYERS: u64 = 3 << 3 | 2;
    let mut layers = 0;
    while !bytes.is_empty() {
        let Some(key) = varint(&mut bytes) else { return false };
        let Some(length) = varint(&mut bytes).and_then(|n| usize::try_from(n).ok()) else { return false };
        let Some((_, rest)) = bytes.split_at_checked(length) else { return false };
        if key != LAYERS {
            return false;
        }
        bytes = rest;
        layers += 1;
    }
    layers > 0
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// How the bytes of each tile are compressed beyond what its image format does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TileCompression {
    /// They are not.
    None,
    /// Tile by tile, and nothing says which: gzip is known by its first bytes.
    Each,
    /// Every tile is gzip.
    Gzip,
    /// Every tile is Brotli, which is neither opened nor written here.
    Brotli,
    /// Every tile is Zstandard, which is neither opened nor written here.
    Zstd,
}

impl TileCompression {
    /// Whether tiles that are compressed so can be opened here.
    #[must_use]
    pub fn can_be_opened(self) -> bool {
        matches!(self, Self::None | Self::Each | Self::Gzip)
    }

    /// Refuses what cannot be opened, which no sink writes.
    pub(crate) fn check(self) -> Result<(), Failure> {
        match self.can_be_opened() {
            true => Ok(()),
            false => Err(Failure::not_supported(format!("its tiles are compressed as {self:?}, expected gzip or none"))),
        }
    }
}

/// The description of a set of tiles.
#[derive(Debug, Clone, PartialEq)]
pub struct TileSetInfo {
    /// Its grid, with all levels of the scheme: whether they have tiles or not.
    pub scheme: TileInfo,
    /// What its tiles are.
    pub format: TileFormat,
    /// How they are compressed.
    pub compression: TileCompression,
    /// First and last level id that has tiles, as far as it is known.
    pub levels: Option<(u32, u32)>,
    /// Where its tiles are, as it says itself: in the scheme's spatial reference, or in degrees.
    pub bounds: Option<Envelope>,
    /// Its name.
    pub name: Option<String>,
    /// A sentence about it.
    pub description: Option<String>,
    /// Whom to name beside a map of it.
    pub attribution: Option<String>,
    /// What is said of vector tiles: `vector_layers` as TileJSON 3.0 has it, `tilestats`.
    pub vector: Map<String, Value>,
}

impl TileSetInfo {
    /// Of a scheme and a format; nothing else is said.
    #[must_use]
    pub fn new(scheme: TileInfo, format: TileFormat) -> Self {
        let compression = if format.is_vector() { TileCompression::Gzip } else { TileCompression::None };
        let vector = Map::new();
        let (name, description, attribution) = (None, None, None);
        Self { scheme, format, compression, levels: None, bounds: None, name, description, attribution, vector }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_how_they_begin() {
        assert_eq!(TileFormat::of_image(b"\x89PNG\r\n\x1a\n"), Some(TileFormat::Png));
        assert_eq!(TileFormat::of_image(b"\xff\xd8\xff\xe0"), Some(TileFormat::Jpeg));
        assert_eq!(TileFormat::of_image(b"RIFF\0\0\0\0WEBPVP8 "), Some(TileFormat::WebP));
        assert_eq!(TileFormat::of_image(b"\0\0\0\x1cftypavif"), Some(TileFormat::Avif));
        assert_eq!(TileFormat::of_image(b"RIFF\0\0\0\0WAVE"), None);
        assert_eq!(TileFormat::of_image(b""), None);
    }

    #[test]
    fn a_tile_is_whole_or_none() {
        let png = b"\x89PNG\r\n\x1a\n and pixels \0\0\0\0IEND\xae\x42\x60\x82";
        assert!(TileFormat::Mixed.check_tile(png).is_ok());
        assert!(TileFormat::Png.check_tile(&png[..20]).is_err_and(|e| e.contains("breaks off")));
        assert!(TileFormat::Png.check_tile(b"\xff\xd8\xff pixels \xff\xd9").is_ok(), "services mix formats");
        assert!(TileFormat::Jpeg.check_tile(b"<html>").is_err());
        let tile = b"\x1a\x02\x78\x02\x1a\x00";
        assert!(TileFormat::Mvt.check_tile(tile).is_ok());
        for cut in [0, 1, 3, 5] {
            assert!(TileFormat::Mvt.check_tile(&tile[..cut]).is_err(), "the first {cut} bytes");
        }
        for other in [&b"{\"error\": {}}"[..], b"<html></html>", b"words", b"\x0a\x01\x78"] {
            assert!(TileFormat::Mvt.check_tile(other).is_err(), "{other:?}");
        }
    }
}
