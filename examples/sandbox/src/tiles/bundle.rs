//! Bundles of the Compact Cache V2, in a stored zip.
//!
//! Written after the tile reference §12.

use super::cut::Cut;
use super::scheme::TileScheme;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Tiles on one side of a bundle, and bytes before its tiles.
const PACKET: u64 = 128;
const HEAD: usize = 64 + 8 * 16384;

/// A bundle that is being filled.
#[derive(Default)]
struct Bundle {
    index: BTreeMap<usize, (u64, u64)>,
    tiles: Vec<u8>,
    largest: u64,
}

impl Bundle {
    fn put(&mut self, row: u64, column: u64, tile: &[u8]) {
        let size = tile.len() as u64;
        self.tiles.extend_from_slice(&u32::try_from(size).unwrap_or(0).to_le_bytes());
        let slot = usize::try_from((row % PACKET) * PACKET + column % PACKET).unwrap_or(0);
        self.index.insert(slot, ((HEAD + self.tiles.len()) as u64, size));
        self.tiles.extend_from_slice(tile);
        self.largest = self.largest.max(size);
    }

    fn bytes(&self) -> Vec<u8> {
        let size = (HEAD + self.tiles.len()) as u64;
        let mut out = Vec::with_capacity(HEAD + self.tiles.len());
        let word = |out: &mut Vec<u8>, n: u64| out.extend_from_slice(&u32::try_from(n).unwrap_or(0).to_le_bytes());
        for n in [3, 16384, self.largest, 5] {
            word(&mut out, n);
        }
        for n in [0, size, 40] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in [131_092, 3, 16, 16384, 5, 131_072] {
            word(&mut out, n);
        }
        for slot in 0..16384 {
            let (offset, length) = self.index.get(&slot).copied().unwrap_or((0, 0));
            out.extend_from_slice(&((length << 40) | offset).to_le_bytes());
        }
        out.extend_from_slice(&self.tiles);
        out
    }
}

/// A package that is being written.
pub(crate) struct Zip(ZipWriter<BufWriter<File>>);

impl Zip {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self(ZipWriter::new(BufWriter::new(File::create(path)?))))
    }

    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.0.start_file(name, options)?;
        self.0.write_all(bytes)
    }

    pub(crate) fn put_json(&mut self, name: &str, json: &Value) -> io::Result<()> {
        self.put(name, json.to_string().as_bytes())
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        self.0.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// Writes all tiles as bundles below `folder`; answers which tiles there should be.
pub(crate) fn put_tiles(
    zip: &mut Zip,
    folder: &str,
    cut: &Cut,
    scheme: &TileScheme,
    draw: impl Fn(u32, u64, u64) -> Option<Vec<u8>>,
) -> io::Result<BTreeSet<(u32, u64, u64)>> {
    let mut there = BTreeSet::new();
    let mut bundles: BTreeMap<(u32, u64, u64), Bundle> = BTreeMap::new();
    let deepest = cut.levels.iter().max().copied();
    let mut lost = cut.lost;
    for (level, row, column) in cut.tiles(scheme) {
        if let Some(tile) = draw(level, row, column) {
            there.insert((level, row, column));
            if Some(level) == deepest && lost > 0 {
                lost -= 1;
                continue;
            }
            bundles.entry((level, row - row % PACKET, column - column % PACKET)).or_default().put(row, column, &tile);
        }
    }
    for ((level, row, column), bundle) in bundles {
        zip.put(&format!("{folder}/L{level:02}/R{row:04x}C{column:04x}.bundle"), &bundle.bytes())?;
    }
    Ok(there)
}
