//! Bundles of version 1: the index is a file of its own (`.bundlx`), column by column.

use super::record::{LARGEST_TILE, PACKET_SIZE, RECORDS, TileRecord, broken, check_overlaps};
use crate::little_endian::number;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of a V1 index file.
const V1_INDEX: usize = 81_952;
/// Offset of the first tile in a V1 bundle; below it lie the zero words of empty tiles.
const V1_FIRST_TILE: u64 = 65_596;

/// Reads a V1 bundle by its index file (`.bundlx`).
///
/// # Errors
/// If the index has another size, a tile lies outside the bundle or is too large, or tiles overlap without being the same.
pub fn read_v1(
    mut index: impl Read,
    mut bundle: impl Read + Seek,
    size: u64,
    origin: (u64, u64),
) -> io::Result<Vec<TileRecord>> {
    let mut slots = Vec::new();
    index.by_ref().take(V1_INDEX as u64 + 1).read_to_end(&mut slots)?;
    if slots.len() != V1_INDEX {
        return Err(broken(format!("the index has {} bytes, expected {V1_INDEX}", slots.len())));
    }
    let mut wanted: Vec<(u64, u64, u64)> = Vec::new();
    for slot in 0..RECORDS {
        let offset = number(&slots, 16 + 5 * slot, 5);
        if offset >= V1_FIRST_TILE {
            // Column-major, unlike V2.
            wanted.push((offset, slot as u64 % PACKET_SIZE, slot as u64 / PACKET_SIZE));
        }
    }
    wanted.sort_unstable();
    let mut tiles = Vec::new();
    let mut before = None;
    for (offset, row, column) in wanted {
        // In the order of the bytes, each word once: a compressed bundle is read forward only.
        let length = match before {
            Some((at, length)) if at == offset => length,
            _ => {
                let outside = |_| broken(format!("a tile points to {offset}, the bundle has {size} bytes"));
                let mut word = [0; 4];
                bundle.seek(SeekFrom::Start(offset)).map_err(outside)?;
                bundle.read_exact(&mut word).map_err(outside)?;
                number(&word, 0, 4)
            }
        };
        before = Some((offset, length));
        if length == 0 {
            continue;
        }
        if offset + 4 + length > size {
            return Err(broken(format!("a tile points to {offset}+{length}, the bundle has {size} bytes")));
        }
        if length > LARGEST_TILE {
            return Err(broken(format!("a tile has {length} bytes, expected at most {LARGEST_TILE}")));
        }
        tiles.push(TileRecord { row: origin.0 + row, column: origin.1 + column, offset: offset + 4, size: length });
    }
    check_overlaps(&tiles)?;
    Ok(tiles)
}
