//! Bundles of version 2: a head and an index, then the tiles, each after its size.

use super::record::{PACKET_SIZE, RECORDS, TileRecord, broken, check_overlaps};
use crate::little_endian::number;
use std::io::{self, Read};

/// Bytes of a V2 bundle before its tiles.
const V2_HEAD: usize = 64 + 8 * RECORDS;

/// Reads the index of a V2 bundle of `size` bytes; every record is checked against the file's bounds.
///
/// # Errors
/// If it is not a V2 bundle, a record points outside, or tiles overlap without being the same.
pub fn read_v2(mut bundle: impl Read, size: u64, origin: (u64, u64)) -> io::Result<Vec<TileRecord>> {
    let mut head = vec![0; V2_HEAD];
    bundle.read_exact(&mut head).map_err(|_| broken(format!("the bundle has {size} bytes, expected {V2_HEAD} or more")))?;
    for (at, length, expected, what) in
        [(0, 4, 3, "version"), (12, 4, 5, "offset byte count"), (32, 8, 40, "header offset"), (60, 4, 131_072, "index size")]
    {
        let found = number(&head, at, length);
        if found != expected {
            return Err(broken(format!("the bundle's {what} is {found}, expected {expected}")));
        }
    }
    let mut tiles = Vec::new();
    for record in 0..RECORDS {
        let word = number(&head, 64 + 8 * record, 8);
        let (offset, length) = (word & 0xff_ffff_ffff, word >> 40);
        if length == 0 {
            continue;
        }
        let (row, column) = (record as u64 / PACKET_SIZE, record as u64 % PACKET_SIZE);
        if offset < V2_HEAD as u64 || offset + length > size {
            let what = format!(
                "tile {}/{} points to {offset}+{length}, the bundle has {size} bytes",
                origin.0 + row,
                origin.1 + column
            );
            return Err(broken(what));
        }
        tiles.push(TileRecord { row: origin.0 + row, column: origin.1 + column, offset, size: length });
    }
    check_overlaps(&tiles)?;
    Ok(tiles)
}

/// Header and index of a V2 bundle whose tiles follow in the order given, each after its size in four bytes. A tile is its row and
/// column within the bundle and its size.
#[must_use]
pub fn v2_head(tiles: &[(u64, u64, u64)]) -> Vec<u8> {
    let blobs: Vec<u64> = tiles.iter().map(|(_, _, size)| *size).collect();
    let records: Vec<(u64, u64, usize)> = tiles.iter().enumerate().map(|(i, (row, column, _))| (*row, *column, i)).collect();
    v2_head_of(&blobs, &records)
}

/// Header and index of a V2 bundle in which tiles may share their bytes: `blobs` are the sizes of what follows, in order, each
/// after its size in four bytes; a tile is its row and column within the bundle and the index of its blob.
pub(crate) fn v2_head_of(blobs: &[u64], tiles: &[(u64, u64, usize)]) -> Vec<u8> {
    let total: u64 = V2_HEAD as u64 + blobs.iter().map(|size| 4 + size).sum::<u64>();
    let mut offset = V2_HEAD as u64 + 4;
    let mut places = Vec::with_capacity(blobs.len());
    for size in blobs {
        places.push((offset, *size));
        offset += size + 4;
    }
    let mut index = V2Index::default();
    for (row, column, blob) in tiles {
        let Some((offset, size)) = places.get(*blob) else { continue };
        index.set((*row, *column), *offset, *size);
    }
    // Also of a blob that no tile has.
    index.largest = blobs.iter().copied().max().unwrap_or(0);
    index.head(total)
}

/// The index of a bundle while it is written.
#[derive(Debug)]
pub(crate) struct V2Index {
    records: Vec<u64>,
    largest: u64,
}

impl Default for V2Index {
    fn default() -> Self {
        Self { records: vec![0; RECORDS], largest: 0 }
    }
}

impl V2Index {
    /// Bytes of head and index.
    pub(crate) const BYTES: usize = V2_HEAD;

    /// Notes where a tile's bytes are in the bundle; answers whether the place was free.
    pub(crate) fn set(&mut self, (row, column): (u64, u64), offset: u64, size: u64) -> bool {
        // Both are below the packet size.
        let at = usize::try_from(row * PACKET_SIZE + column).unwrap_or(usize::MAX);
        self.largest = self.largest.max(size);
        match self.records.get_mut(at) {
            Some(record) => std::mem::replace(record, (size << 40) | offset) == 0,
            None => false,
        }
    }

    /// Head and index of a bundle of so many bytes (tile reference §12).
    pub(crate) fn head(&self, total: u64) -> Vec<u8> {
        let mut head = vec![0; V2_HEAD];
        let mut put = |at: usize, length: usize, number: u64| {
            if let Some(place) = head.get_mut(at..at + length) {
                place.copy_from_slice(&number.to_le_bytes()[..length]);
            }
        };
        for (at, length, number) in [
            (0, 4, 3),
            (4, 4, RECORDS as u64),
            (8, 4, self.largest),
            (12, 4, 5),
            (24, 8, total),
            (32, 8, 40),
            (40, 4, 131_092),
            (44, 4, 3),
            (48, 4, 16),
            (52, 4, RECORDS as u64),
            (56, 4, 5),
            (60, 4, 131_072),
        ] {
            put(at, length, number);
        }
        for (i, record) in self.records.iter().enumerate() {
            put(64 + 8 * i, 8, *record);
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_tiles_of_esri_s_sample_cache_are_its_source_tiles() {
        let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/tiles/esri-sample-cache-v2");
        if !cache.exists() {
            eprintln!("skipped: {} is not there", cache.display());
            return;
        }
        for (level, count) in [("L00", 1), ("L01", 4), ("L02", 16)] {
            let bytes = std::fs::read(cache.join("_alllayers").join(level).join("R0000C0000.bundle")).expect("reads");
            let tiles = read_v2(bytes.as_slice(), bytes.len() as u64, (0, 0)).expect("a bundle");
            assert_eq!(tiles.len(), count);
            for t in tiles {
                let path = cache.join("source-tiles").join(level).join(t.row.to_string()).join(format!("{}.jpg", t.column));
                let at = usize::try_from(t.offset).expect("small");
                let size = usize::try_from(t.size).expect("small");
                assert_eq!(bytes[at..at + size], std::fs::read(path).expect("the source tile"));
            }
        }
    }

    #[test]
    fn a_written_bundle_reads_back() {
        let tiles = [(0, 0, 3), (127, 127, 1), (5, 80, 2)];
        let mut bytes = v2_head(&tiles);
        for (_, _, size) in tiles {
            bytes.extend(u32::try_from(size).expect("small").to_le_bytes());
            bytes.extend(vec![u8::try_from(size).expect("small"); usize::try_from(size).expect("small")]);
        }
        let read = read_v2(bytes.as_slice(), bytes.len() as u64, (128, 256)).expect("a bundle");
        assert_eq!(read.len(), 3);
        for t in read {
            let at = usize::try_from(t.offset).expect("small");
            assert_eq!(u64::from(bytes[at]), t.size, "each tile is where its record says");
            assert!(tiles.contains(&(t.row - 128, t.column - 256, t.size)));
        }
    }

    #[test]
    fn a_bundle_whose_record_points_outside_is_refused() {
        let mut bytes = vec![0; V2_HEAD];
        bytes[0] = 3;
        bytes[12] = 5;
        bytes[32] = 40;
        bytes[60..64].copy_from_slice(&131_072_u32.to_le_bytes());
        let good = read_v2(bytes.as_slice(), bytes.len() as u64, (0, 0)).expect("an empty bundle");
        assert!(good.is_empty());
        bytes[64..72].copy_from_slice(&((9_u64 << 40) | 200_000).to_le_bytes());
        let error = read_v2(bytes.as_slice(), bytes.len() as u64, (0, 0)).expect_err("refused");
        assert!(error.to_string().contains("points to 200000+9"), "{error}");
        bytes[0] = 2;
        assert!(read_v2(bytes.as_slice(), bytes.len() as u64, (0, 0)).is_err());
    }
}
