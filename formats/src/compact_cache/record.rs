//! What the index of a bundle says of its tiles.

use std::io;

/// Tiles on one side of a bundle.
pub const PACKET_SIZE: u64 = 128;
/// Records in an index.
pub(super) const RECORDS: usize = 16_384;
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

/// A bundle that is not as it must be.
pub(super) fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Tiles may share their bytes, but do not overlap otherwise: what all different tiles hold together fits into the bundle.
pub(super) fn check_overlaps(tiles: &[TileRecord]) -> io::Result<()> {
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
