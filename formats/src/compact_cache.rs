//! Compact Cache bundles: which tiles are in them. V2 is of `.tpkx` and `.vtpk`, V1 of `.tpk`.
//!
//! All integers are little-endian. Source: tile reference §12 and §15.

use std::io::{self, Read, Seek, SeekFrom};

/// Tiles on one side of a bundle.
pub const PACKET_SIZE: u64 = 128;
/// Records in an index.
const RECORDS: usize = 16_384;
/// Bytes of a V2 bundle before its tiles.
const V2_HEAD: usize = 64 + 8 * RECORDS;
/// Bytes of a V1 index file.
const V1_INDEX: usize = 81_952;
/// Offset of the first tile in a V1 bundle; below it lie the zero words of empty tiles.
const V1_FIRST_TILE: u64 = 65_596;

/// Bytes of the largest tile, which are all that 24 bits count.
pub const LARGEST_TILE: u64 = 0xff_ffff;

/// One tile of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileRecord {
    /// Row in the level.
    pub row: u64,
    /// Column in the level.
    pub column: u64,
    /// Offset of its data in the bundle.
    pub offset: u64,
    /// Size of its data.
    pub size: u64,
}

/// Row and column of a bundle's first tile, out of its name `R<rrrr>C<cccc>`.
///
/// The digits are lower-case hexadecimal, of which `c` is one: only the upper-case `C` parts row and column (tile reference §12).
/// A name whose digits are upper case, or that is all lower case, is read if one way alone gives two numbers as they are
/// written: four digits, or more without a leading zero, and a multiple of 128.
#[must_use]
pub fn bundle_origin(name: &str) -> Option<(u64, u64)> {
    let digits = name.rsplit('/').next()?.split('.').next()?.strip_prefix(['R', 'r'])?;
    let mut upper = digits.match_indices('C');
    if let (Some((at, _)), None) = (upper.next(), upper.next()) {
        return Some((hexadecimal(digits.get(..at)?)?, hexadecimal(digits.get(at + 1..)?)?));
    }
    let parting = if digits.contains('C') { 'C' } else { 'c' };
    let written = |text: &str| {
        let number = hexadecimal(text)?;
        let is_padded = text.len() == 4 || (text.len() > 4 && !text.starts_with('0'));
        (is_padded && number % PACKET_SIZE == 0).then_some(number)
    };
    let mut ways = digits
        .match_indices(parting)
        .filter_map(|(at, _)| Some((written(digits.get(..at)?)?, written(digits.get(at + 1..)?)?)));
    ways.next().filter(|_| ways.next().is_none())
}

/// A number in hexadecimal digits alone. No level has more rows than 32 bits count: a longer number is hostile, and rows are
/// added to it.
fn hexadecimal(text: &str) -> Option<u64> {
    // The parser of the standard library takes a sign, too.
    let only_digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    only_digits.then(|| u32::from_str_radix(text, 16).ok().map(u64::from))?
}

fn broken(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b))
}

fn field(bytes: &[u8], at: usize, size: usize) -> u64 {
    le(bytes.get(at..at + size).unwrap_or_default())
}

/// Tiles may share their bytes, but do not overlap otherwise: what all different tiles hold together fits into the bundle.
fn check_overlaps(tiles: &[TileRecord]) -> io::Result<()> {
    let mut ranges: Vec<(u64, u64)> = tiles.iter().map(|t| (t.offset, t.size)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    for pair in ranges.windows(2) {
        if let [(offset, size), (next, _)] = pair
            && offset.saturating_add(*size) > *next
        {
            return Err(broken(format!("tiles overlap: one has {size} bytes at {offset}, another starts at {next}")));
        }
    }
    Ok(())
}

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
        let found = field(&head, at, length);
        if found != expected {
            return Err(broken(format!("the bundle's {what} is {found}, expected {expected}")));
        }
    }
    let mut tiles = Vec::new();
    for record in 0..RECORDS {
        let word = field(&head, 64 + 8 * record, 8);
        let (offset, length) = (word & 0xff_ffff_ffff, word >> 40);
        if length == 0 {
            continue;
        }
        let (row, column) = (record as u64 / PACKET_SIZE, record as u64 % PACKET_SIZE);
        if offset < V2_HEAD as u64 || offset + length > size {
            let words = format!(
                "tile {}/{} points to {offset}+{length}, the bundle has {size} bytes",
                origin.0 + row,
                origin.1 + column
            );
            return Err(broken(words));
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
    let largest = blobs.iter().copied().max().unwrap_or(0);
    let mut head = vec![0; V2_HEAD];
    let mut put = |at: usize, length: usize, number: u64| {
        if let Some(place) = head.get_mut(at..at + length) {
            place.copy_from_slice(&number.to_le_bytes()[..length]);
        }
    };
    for (at, length, number) in [
        (0, 4, 3),
        (4, 4, RECORDS as u64),
        (8, 4, largest),
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
    let mut offset = V2_HEAD as u64 + 4;
    let mut places = Vec::with_capacity(blobs.len());
    for size in blobs {
        places.push((offset, *size));
        offset += size + 4;
    }
    for (row, column, blob) in tiles {
        let Some((offset, size)) = places.get(*blob) else { continue };
        // Both are below the packet size.
        let record = usize::try_from(row * PACKET_SIZE + column).unwrap_or(0);
        put(64 + 8 * record, 8, (size << 40) | offset);
    }
    head
}

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
        let offset = field(&slots, 16 + 5 * slot, 5);
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
                le(&word)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn bundle_names_are_hexadecimal() {
        assert_eq!(bundle_origin("tile/L05/R0080C1f00.bundle"), Some((128, 0x1f00)));
        assert_eq!(bundle_origin("R0000C0000.bundlx"), Some((0, 0)));
        assert_eq!(bundle_origin("x.bundle"), None);
        assert_eq!(bundle_origin("RffffffffffffffffC0000.bundle"), None);
    }

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
