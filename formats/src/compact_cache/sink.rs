//! Writes one bundle of version 2 as an entry of an archive.
//!
//! The index of a bundle comes before its tiles and is known after them, so the tiles wait in a file without a name. Tiles of the same
//! bytes share them.

use super::record::{LARGEST_TILE, PACKET_SIZE};
use super::v2::v2_head_of;
use crate::archive::stored;
use crate::sinks::TileId;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use zip::ZipWriter;

/// Takes the tiles of one bundle.
pub(crate) struct BundleSink<'a, W: Write + Seek> {
    zip: &'a mut ZipWriter<W>,
    /// Name of the entry.
    name: &'a str,
    /// Its first tile.
    first: TileId,
    /// The tiles, each after its size in four bytes.
    spool: File,
    /// Sizes of the different tiles in `spool`, in order.
    sizes: Vec<u64>,
    /// Which of them has which hash.
    known: HashMap<[u8; 32], usize>,
    /// Row and column within the bundle → which of them.
    tiles: BTreeMap<(u64, u64), usize>,
}

impl<'a, W: Write + Seek> BundleSink<'a, W> {
    /// Begins the entry `name`; `first` is the bundle's first tile. What waits is kept in `dir`, without a name.
    pub(crate) fn new(zip: &'a mut ZipWriter<W>, name: &'a str, first: TileId, dir: &Path) -> Result<Self, Failure> {
        let spool = tempfile::tempfile_in(dir).map_err(|e| cannot_write(name, &e))?;
        let (known, tiles) = (HashMap::new(), BTreeMap::new());
        Ok(Self { zip, name, first, spool, sizes: Vec::new(), known, tiles })
    }

    /// Row and column within the bundle.
    fn within(&self, place: &TileId) -> Option<(u64, u64)> {
        let (row, column) = (place.row.checked_sub(self.first.row)?, place.column.checked_sub(self.first.column)?);
        (place.level == self.first.level && row < PACKET_SIZE && column < PACKET_SIZE).then_some((row, column))
    }
}

fn cannot_write(name: &str, error: &dyn Display) -> Failure {
    let message = format!("cannot write the bundle {name}: {error}");
    Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Check, message)
}

impl<W: Write + Seek> BundleSink<'_, W> {
    /// Adds the tiles of some places that have the same bytes; a tile that was put stays what it was first.
    pub(crate) fn put(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| u64::from(*length) <= LARGEST_TILE);
        let Some(length) = length else {
            let found = bytes.len();
            return Err(Failure::internal(format!("a tile has {found} bytes, expected at most {LARGEST_TILE}")));
        };
        let blob = match self.known.entry(Sha256::digest(bytes).into()) {
            std::collections::hash_map::Entry::Occupied(known) => *known.get(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let written = self.spool.write_all(&length.to_le_bytes()).and_then(|()| self.spool.write_all(bytes));
                written.map_err(|e| cannot_write(self.name, &e))?;
                self.sizes.push(u64::from(length));
                *new.insert(self.sizes.len() - 1)
            }
        };
        for place in places {
            let Some(within) = self.within(place) else {
                return Err(Failure::internal(format!("tile {place:?} does not belong into the bundle {}", self.name)));
            };
            self.tiles.entry(within).or_insert(blob);
        }
        Ok(())
    }

    /// Writes the entry.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let name = self.name;
        let failed = |e: &dyn Display| cannot_write(name, e);
        let records: Vec<(u64, u64, usize)> =
            self.tiles.iter().map(|((row, column), blob)| (*row, *column, *blob)).collect();
        let head = v2_head_of(&self.sizes, &records);
        let size = head.len() as u64 + self.sizes.iter().map(|size| size + 4).sum::<u64>();
        self.spool.seek(SeekFrom::Start(0)).map_err(|e| failed(&e))?;
        self.zip.start_file(name, stored(size)).map_err(|e| failed(&e))?;
        self.zip.write_all(&head).map_err(|e| failed(&e))?;
        std::io::copy(&mut self.spool, self.zip).map_err(|e| failed(&e))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::v2::read_v2;
    use super::*;
    use std::io::{Cursor, Read as _};

    #[test]
    fn tiles_of_the_same_bytes_share_them_and_each_is_found_where_it_was_put() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let at = |row, column| TileId { level: 9, row, column };
        let mut sink = BundleSink::new(&mut zip, "a.bundle", at(128, 256), dir.path()).expect("a sink");
        sink.put(&[at(255, 383), at(128, 256)], b"sea").expect("puts");
        sink.put(&[at(130, 300)], b"island").expect("puts");
        sink.put(&[at(131, 300)], b"sea").expect("puts");
        sink.put(&[at(130, 300)], b"another").expect("the first one stays");
        for outside in [at(127, 256), at(128, 384), TileId { level: 8, ..at(128, 256) }] {
            assert!(sink.put(&[outside], b"x").is_err(), "{outside:?}");
        }
        assert!(sink.put(&[at(140, 300)], &vec![0; 1 << 24]).is_err(), "more than 24 bits can tell");
        sink.finish().expect("finishes");
        let mut archive = zip::ZipArchive::new(zip.finish().expect("an archive")).expect("opens");
        let mut bytes = Vec::new();
        archive.by_name("a.bundle").expect("the entry").read_to_end(&mut bytes).expect("reads");
        let mut tiles = read_v2(bytes.as_slice(), bytes.len() as u64, (128, 256)).expect("a bundle");
        tiles.sort_by_key(|t| (t.row, t.column));
        let content = |offset: u64, size: u64| {
            let at = usize::try_from(offset).expect("small");
            String::from_utf8_lossy(&bytes[at..at + usize::try_from(size).expect("small")]).into_owned()
        };
        let found: Vec<_> = tiles.iter().map(|t| (t.row, t.column, content(t.offset, t.size))).collect();
        let expected = [(128, 256, "sea"), (130, 300, "island"), (131, 300, "sea"), (255, 383, "sea")];
        assert_eq!(found, expected.map(|(row, column, bytes)| (row, column, bytes.to_owned())));
        assert_eq!(tiles[0].offset, tiles[3].offset, "the same bytes are there once");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0, "what waits has no name");
    }
}
