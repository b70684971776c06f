//! The header: 127 bytes at the start (§3).

use crate::little_endian::number;
use crate::tile_set::{TileCompression, TileFormat};

/// Its bytes.
pub(super) const HEADER: usize = 127;
/// Header and root directory lie within so many bytes (§4).
pub(super) const FIRST_BYTES: u64 = 16_384;
const MAGIC: &[u8; 8] = b"PMTiles\x03";
/// Degrees are stored times this.
const DEGREE: f64 = 1e7;

/// Where a section is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Section {
    /// Whether it lies within a file of so many bytes.
    fn is_within(self, size: u64) -> bool {
        self.offset.checked_add(self.length).is_some_and(|end| end <= size)
    }

    /// Whether a part of it lies within it.
    pub(super) fn has(self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.length)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Header {
    pub(super) root: Section,
    pub(super) metadata: Section,
    pub(super) leaves: Section,
    pub(super) tiles: Section,
    /// Tiles, entries and contents; zero if they are not known.
    pub(super) counts: [u64; 3],
    pub(super) clustered: bool,
    pub(super) internal_compression: u8,
    pub(super) tile_compression: u8,
    pub(super) tile_type: u8,
    pub(super) zooms: (u8, u8),
    /// West, south, east, north in degrees.
    pub(super) bounds: [f64; 4],
    pub(super) center_zoom: u8,
}

/// The number of a compression (§3.3).
pub(super) const UNCOMPRESSED: u8 = 1;
pub(super) const GZIP: u8 = 2;

/// The number of a format (§3.2, tile type); 0 for those that have none.
pub(super) fn type_of(format: TileFormat) -> u8 {
    match format {
        TileFormat::Mvt => 1,
        TileFormat::Png => 2,
        TileFormat::Jpeg => 3,
        TileFormat::WebP => 4,
        TileFormat::Avif => 5,
        TileFormat::Lerc | TileFormat::Mixed => 0,
    }
}

/// The format of a number; `None` for 0 and what is not known.
pub(super) fn format_of(tile_type: u8) -> Option<TileFormat> {
    let all = [TileFormat::Mvt, TileFormat::Png, TileFormat::Jpeg, TileFormat::WebP, TileFormat::Avif];
    all.into_iter().find(|format| type_of(*format) == tile_type)
}

/// The compression of a number; `None` for what is not known.
pub(super) fn compression_of(number: u8) -> Option<TileCompression> {
    match number {
        0 => Some(TileCompression::Each),
        UNCOMPRESSED => Some(TileCompression::None),
        GZIP => Some(TileCompression::Gzip),
        3 => Some(TileCompression::Brotli),
        4 => Some(TileCompression::Zstd),
        _ => None,
    }
}

impl Header {
    /// Reads it; what is wrong in words.
    pub(super) fn read(bytes: &[u8], size: u64) -> Result<Self, String> {
        if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
            return Err("its first bytes are not the expected `PMTiles` and version 3".to_owned());
        }
        let long = |at: usize| number(bytes, 8 + 8 * at, 8);
        let section = |at: usize| Section { offset: long(at), length: long(at + 1) };
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let degrees = |at: usize| {
            // Four bytes with a sign.
            let word = u32::try_from(number(bytes, at, 4)).unwrap_or_default();
            f64::from(word.cast_signed()) / DEGREE
        };
        let header = Self {
            root: section(0),
            metadata: section(2),
            leaves: section(4),
            tiles: section(6),
            counts: [long(8), long(9), long(10)],
            clustered: byte(96) == 1,
            internal_compression: byte(97),
            tile_compression: byte(98),
            tile_type: byte(99),
            zooms: (byte(100), byte(101)),
            bounds: [degrees(102), degrees(106), degrees(110), degrees(114)],
            center_zoom: byte(118),
        };
        for (section, what) in [
            (header.root, "root directory"),
            (header.metadata, "metadata"),
            (header.leaves, "leaf directories"),
            (header.tiles, "tiles"),
        ] {
            if !section.is_within(size) {
                let Section { offset, length } = section;
                return Err(format!("its {what} are {length} bytes at {offset}, the file has {size} bytes"));
            }
        }
        Ok(header)
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::from(MAGIC.as_slice());
        for Section { offset, length } in [self.root, self.metadata, self.leaves, self.tiles] {
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        self.counts.iter().for_each(|count| bytes.extend_from_slice(&count.to_le_bytes()));
        bytes.push(u8::from(self.clustered));
        bytes.extend_from_slice(&[self.internal_compression, self.tile_compression, self.tile_type]);
        bytes.extend_from_slice(&[self.zooms.0, self.zooms.1]);
        // Degrees times 10^7 keep within 32 bits.
        let mut place = |x: f64, y: f64, before: Option<u8>| {
            bytes.extend(before);
            for degrees in [x, y] {
                bytes.extend_from_slice(&((degrees * DEGREE).round() as i32).to_le_bytes());
            }
        };
        let [west, south, east, north] = self.bounds;
        place(west, south, None);
        place(east, north, None);
        place(f64::midpoint(west, east), f64::midpoint(south, north), Some(self.center_zoom));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_its_sections_lie_in_the_file() {
        let section = |offset| Section { offset, length: 7 };
        let header = Header {
            root: section(127),
            metadata: section(134),
            leaves: section(141),
            tiles: section(148),
            counts: [3, 2, 1],
            clustered: true,
            internal_compression: GZIP,
            tile_compression: UNCOMPRESSED,
            tile_type: 2,
            zooms: (1, 14),
            bounds: [-180.0, -85.051_128_7, 179.999_999_9, 85.0],
            center_zoom: 1,
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(Header::read(&bytes, 155), Ok(header));
        assert!(Header::read(&bytes, 154).expect_err("too short").contains("7 bytes at 148"));
        assert!(Header::read(&bytes[..126], 155).is_err());
        let mut older = bytes.clone();
        older[7] = 2;
        assert!(Header::read(&older, 155).is_err());
        let mut hostile = bytes;
        hostile[56..72].fill(0xff);
        assert!(Header::read(&hostile, u64::MAX).is_err(), "an end beyond all numbers");
    }
}
