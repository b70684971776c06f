//! The journal of a file of tiles that is being written: which tile is where, on the disk and in the order in which they came.
//!
//! 64 bytes of a head (a word, and a fingerprint of the sink's format and description), then records of 32 bytes, little-endian: level,
//! row, column, length (4 bytes each), place (8 bytes), CRC-32 of the tile, number of its format (4 bytes each). A mark is a record of the level
//! `0xffff_ffff`: its place is the length of the file of tiles, its CRC-32 that of all records before it. What comes
//! behind the last mark whose number is right was not forced to the disk and does not count.

use super::append_file::AppendFile;
use crate::little_endian::number;
use crate::sinks::{Resumed, TileId};
use offmap_disk::{atomic_file, safe_path};
use offmap_model::Failure;
use sha2::{Digest as _, Sha256};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

const WORD: &[u8; 16] = b"offmap tiles 1\n\0";
const HEAD: u64 = 64;
const RECORD: usize = 32;
const MARK: u32 = u32::MAX;
/// Ends the name of the journal behind that of the file that is written.
const ENDING: &str = ".tiles";

/// One tile of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) place: TileId,
    /// Where its bytes are, in whatever way the sink counts.
    pub(crate) at: u64,
    pub(crate) length: u32,
    pub(crate) crc: u32,
    /// What it is, by a number of the log's.
    pub(crate) format: u32,
}

/// The journal of a file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: AppendFile,
    path: PathBuf,
    crc: crc32fast::Hasher,
    pub(crate) done: Resumed,
}

/// What of a file of tiles is there. A mark that says more does not count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) length: u64,
    pub(crate) tiles: u64,
}

impl Limit {
    /// The bytes of a file.
    pub(crate) fn of_file(to: &Path) -> Self {
        let length = std::fs::symlink_metadata(atomic_file::beside(to)).map_or(0, |m| m.len());
        Self { length, tiles: u64::MAX }
    }
}

/// A journal that was opened, new or with what an earlier process left.
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    /// Where the file of tiles is written.
    pub(crate) beside: PathBuf,
    /// How many bytes of it count; zero where nothing does.
    pub(crate) length: u64,
}

/// What stands for a format and a description: a half of a file is resumed for the same one only.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Opens the journal of the file `to`: that of an earlier process if it is of the same fingerprint and has a mark.
pub(crate) fn open(to: &Path, fingerprint: &[u8; 32], limit: Limit) -> Result<Opened, Failure> {
    let beside = atomic_file::beside(to);
    let mut name = beside.file_name().unwrap_or_default().to_owned();
    name.push(ENDING);
    let path = beside.with_file_name(name);
    let mut head = Vec::from(WORD.as_slice());
    head.extend_from_slice(fingerprint);
    head.resize(HEAD as usize, 0);
    if let Some(marked) = last_mark(&path, &head, limit) {
        let file = AppendFile::open(&path, marked.end)?;
        let journal = Journal { file, path, crc: marked.crc, done: marked.done };
        return Ok(Opened { journal, beside, length: marked.length });
    }
    let mut file = AppendFile::open(&path, 0)?;
    file.append(&head)?;
    let journal = Journal { file, path, crc: crc32fast::Hasher::new(), done: Resumed::default() };
    Ok(Opened { journal, beside, length: 0 })
}

/// What is known up to a mark.
struct Marked {
    /// Where the mark ends.
    end: u64,
    crc: crc32fast::Hasher,
    done: Resumed,
    length: u64,
}

/// The last mark of a journal that counts; a journal that cannot be read has none.
fn last_mark(path: &Path, head: &[u8], limit: Limit) -> Option<Marked> {
    let mut reader = BufReader::new(safe_path::open_file(path).ok()?);
    let mut found = vec![0; head.len()];
    reader.read_exact(&mut found).ok()?;
    if found != head {
        return None;
    }
    let (mut crc, mut done, mut last, mut at) = (crc32fast::Hasher::new(), Resumed::default(), None, HEAD);
    let mut bytes = [0; RECORD];
    while reader.read_exact(&mut bytes).is_ok() {
        at += RECORD as u64;
        let (is_mark, length) = (number(&bytes, 0, 4) == u64::from(MARK), number(&bytes, 16, 8));
        if is_mark && number(&bytes, 24, 4) != u64::from(crc.clone().finalize()) {
            break;
        }
        crc.update(&bytes);
        if !is_mark {
            done = Resumed { tiles: done.tiles + 1, last: Some(record(&bytes).place) };
        } else if length > limit.length || done.tiles > limit.tiles {
            break;
        } else {
            last = Some(Marked { end: at, crc: crc.clone(), done, length });
        }
    }
    last
}

fn record(bytes: &[u8]) -> Record {
    // Each number has the width that its field has.
    let short = |at| u32::try_from(number(bytes, at, 4)).unwrap_or(u32::MAX);
    let place = TileId { level: short(0), row: number(bytes, 4, 4), column: number(bytes, 8, 4) };
    Record { place, length: short(12), at: number(bytes, 16, 8), crc: short(24), format: short(28) }
}

impl Journal {
    /// Adds a tile.
    pub(crate) fn add(&mut self, record: &Record) -> Result<(), Failure> {
        let Record { place, at, length, crc, format } = *record;
        let (Ok(row), Ok(column)) = (u32::try_from(place.row), u32::try_from(place.column)) else {
            return Err(Failure::internal(format!("there is no row or column of tile {place:?}, expected at most 32 bits")));
        };
        if place.level == MARK {
            return Err(Failure::internal(format!("there is no level of tile {place:?}")));
        }
        self.write([place.level, row, column, length], at, [crc, format])?;
        self.done = Resumed { tiles: self.done.tiles + 1, last: Some(place) };
        Ok(())
    }

    fn write(&mut self, numbers: [u32; 4], at: u64, [crc, format]: [u32; 2]) -> Result<(), Failure> {
        let mut bytes = [0; RECORD];
        for (i, number) in numbers.iter().enumerate() {
            bytes[4 * i..4 * i + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes[16..24].copy_from_slice(&at.to_le_bytes());
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes[28..].copy_from_slice(&format.to_le_bytes());
        self.crc.update(&bytes);
        self.file.append(&bytes)
    }

    /// Marks that so many bytes of the file of tiles are on the disk.
    pub(crate) fn mark(&mut self, length: u64) -> Result<(), Failure> {
        let crc = self.crc.clone().finalize();
        self.write([MARK, 0, 0, 0], length, [crc, 0])?;
        self.file.sync()
    }

    /// Reads all tiles again, in order.
    pub(crate) fn replay(&mut self, visit: &mut dyn FnMut(&Record) -> Result<(), Failure>) -> Result<(), Failure> {
        let length = self.file.end() - HEAD;
        let mut failed = Ok(());
        // Pieces are of 64 KiB, which whole records fill.
        self.file.read_through(HEAD, length, &mut |piece| {
            for bytes in piece.chunks_exact(RECORD) {
                if number(bytes, 0, 4) != u64::from(MARK) && failed.is_ok() {
                    failed = visit(&record(bytes));
                }
            }
            failed.is_ok()
        })?;
        failed
    }

    /// The file of tiles has its name: the journal is not needed any more.
    pub(crate) fn remove(self) {
        // Nothing trusts it without the file beside it; a rest that cannot be removed goes with its directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(n: u32) -> Record {
        let place = TileId { level: n % 5, row: u64::from(n), column: u64::from(n) * 3 };
        Record { place, at: u64::from(n) << 33, length: n + 1, crc: n.wrapping_mul(0x9e37_79b9), format: n % 3 }
    }

    fn opened(to: &Path, print: &[u8; 32]) -> Opened {
        open(to, print, Limit::of_file(to)).expect("opens")
    }

    fn all(journal: &mut Journal) -> Vec<Record> {
        let mut found = Vec::new();
        journal
            .replay(&mut |r| {
                found.push(*r);
                Ok(())
            })
            .expect("reads");
        found
    }

    #[test]
    fn what_was_marked_is_there_wherever_the_writing_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("x");
        let print = fingerprint(&[b"a"]);
        let mut again = opened(&to, &print);
        std::fs::write(&again.beside, [0; 100]).expect("writes");
        (0..5_000).for_each(|n| again.journal.add(&tile(n)).expect("adds"));
        again.journal.mark(70).expect("marks");
        (5_000..5_010).for_each(|n| again.journal.add(&tile(n)).expect("adds"));
        again.journal.mark(90).expect("marks");
        let path = again.journal.path.clone();
        drop(again);
        let bytes = std::fs::read(&path).expect("reads");
        let marked = HEAD as usize + 5_001 * RECORD;
        for cut in (marked - 40..bytes.len()).step_by(7).chain([0, 10, 63, 64, bytes.len()]) {
            std::fs::write(&path, &bytes[..cut]).expect("writes");
            let mut again = opened(&to, &print);
            let (tiles, length) = match cut {
                _ if cut == bytes.len() => (5_010, 90),
                _ if cut >= marked => (5_000, 70),
                _ => (0, 0),
            };
            assert_eq!((again.journal.done.tiles, again.length), (tiles, length), "{cut}");
            assert_eq!(all(&mut again.journal), (0..u32::try_from(tiles).expect("few")).map(tile).collect::<Vec<_>>());
            again.journal.add(&tile(9)).expect("adds");
            again.journal.mark(90).expect("marks");
            drop(again);
            assert_eq!(opened(&to, &print).journal.done.tiles, tiles + 1, "marks after a resume count: {cut}");
        }
        let mut torn = bytes.clone();
        torn[marked + 5] ^= 1;
        std::fs::write(&path, &torn).expect("writes");
        assert_eq!(opened(&to, &print).length, 70, "a record that is not what was written");
        std::fs::write(&path, &bytes).expect("writes");
        std::fs::write(atomic_file::beside(&to), [0; 80]).expect("writes");
        assert_eq!(opened(&to, &print).length, 70, "the file is shorter than the second mark says");
        std::fs::write(&path, &bytes).expect("writes");
        assert_eq!(opened(&to, &fingerprint(&[b"b"])).length, 0, "of another description");
    }
}
