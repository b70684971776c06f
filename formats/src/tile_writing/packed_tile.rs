//! A tile as it is stored.

use super::journal::Record;
use super::tile_bytes::{check_size, gzipped};
use super::tile_log::TileLog;
use crate::sinks::TileId;
use crate::tile_set::TileFormat;
use offmap_model::Failure;
use std::borrow::Cow;

/// The bytes of a tile as they are stored, with what the journal says of them.
#[derive(Debug)]
pub(crate) struct PackedTile<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    length: u32,
    crc: u32,
    format: u32,
}

impl<'a> PackedTile<'a> {
    /// Packs the tile of some places, in a set of tiles of which a format is said: vector tiles as gzip.
    ///
    /// # Errors
    /// If it has no bytes, or more than the formats count.
    pub(crate) fn of(places: &[TileId], bytes: &'a [u8], said: TileFormat) -> Result<Self, Failure> {
        let bytes = if said.is_vector() { gzipped(bytes) } else { Cow::Borrowed(bytes) };
        let length = check_size(places, &bytes)?;
        let (crc, format) = (crc32fast::hash(&bytes), TileLog::format_of(&bytes, said));
        Ok(Self { bytes, length, crc, format })
    }

    /// Where contents are that may be the same.
    pub(crate) fn candidates(&self, log: &TileLog) -> impl Iterator<Item = u64> + use<> {
        log.candidates(self.crc, self.length)
    }

    /// What the journal says of it at a place, whose bytes are stored at `at`.
    pub(crate) fn record(&self, place: TileId, at: u64) -> Record {
        Record { place, at, length: self.length, crc: self.crc, format: self.format }
    }

    /// How many bytes it has, as they are stored.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_tiles_are_packed_and_images_are_known_by_their_bytes() {
        let places = [TileId { level: 1, row: 0, column: 1 }];
        let vector = PackedTile::of(&places, b"a tile", TileFormat::Mvt).expect("fits");
        assert_eq!(vector.bytes[..2], [0x1f, 0x8b]);
        let record = vector.record(places[0], 7);
        assert_eq!((record.at, record.length as usize), (7, vector.bytes.len()));
        assert_eq!(record.crc, crc32fast::hash(&vector.bytes));
        let image = PackedTile::of(&places, b"\x89PNG\r\n\x1a\n", TileFormat::Mixed).expect("fits");
        let same = PackedTile::of(&places, b"\x89PNG\r\n\x1a\n", TileFormat::Png).expect("fits");
        assert_eq!(image.record(places[0], 0), same.record(places[0], 0));
        let empty = PackedTile::of(&places, b"", TileFormat::Png).expect_err("refused");
        assert!(empty.message.contains("0 bytes") && empty.message.contains("level: 1"), "{empty}");
    }
}
