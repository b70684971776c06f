//! What was fetched of an archive: its ranges, in memory or in a file that a process which was killed leaves readable.
//!
//! The file: 48 bytes of a head (a word, and the SHA-256 of what it is for), then records, little-endian: where the range begins in the
//! archive (8 bytes), its length, CRC-32 of all that and of the bytes (4 bytes each), then the bytes. What comes behind the last record that is
//! right was not written to its end and does not count.

use super::byte_ranges::{ByteRanges, LARGEST_REQUEST};
use offmap_disk::safe_path;
use offmap_formats::pmtiles::ByteSource;
use offmap_model::{Failure, FailureStage};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const WORD: &[u8; 16] = b"offmap ranges 1\n";
const RECORD: usize = 16;

/// Where a range is.
#[derive(Debug, Clone, Copy)]
struct Piece {
    length: u64,
    at: u64,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    File { path: PathBuf, read: File, write: File },
}

#[derive(Debug)]
struct Inner {
    pieces: BTreeMap<u64, Piece>,
    store: Store,
    end: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pack(Mutex<Inner>);

fn head_of(offset: u64, length: u32) -> [u8; 12] {
    let mut head = [0; 12];
    let (start, rest) = head.split_at_mut(8);
    start.copy_from_slice(&offset.to_le_bytes());
    rest.copy_from_slice(&length.to_le_bytes());
    head
}

fn crc_of(head: &[u8], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(bytes);
    crc.finalize()
}

impl Inner {
    /// Reads the records that are whole.
    fn replay(&mut self, head: &[u8]) -> Result<()> {
        let Store::File { read, .. } = &self.store else { return Ok(()) };
        let mut reader = BufReader::with_capacity(1 << 18, read.try_clone()?);
        let mut found = vec![0; head.len()];
        if reader.read_exact(&mut found).is_err() || found != head {
            return Ok(());
        }
        self.end = head.len() as u64;
        let (mut record, mut bytes) = ([0; RECORD], Vec::new());
        while reader.read_exact(&mut record).is_ok() {
            let number = |range: Range<usize>| {
                let bytes = record.get(range).unwrap_or_default();
                bytes.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
            };
            let (offset, length, crc) = (number(0..8), number(8..12), number(12..16));
            if length == 0 || length > LARGEST_REQUEST || offset.checked_add(length).is_none() {
                break;
            }
            bytes.clear();
            let read = reader.by_ref().take(length).read_to_end(&mut bytes)?;
            if read as u64 != length || u64::from(crc_of(record.get(..12).unwrap_or_default(), &bytes)) != crc {
                break;
            }
            let at = self.end + RECORD as u64;
            self.pieces.insert(offset, Piece { length, at });
            self.end = at + length;
        }
        Ok(())
    }

    /// The piece that has a byte: where it begins, and what it is.
    fn piece_at(&self, offset: u64) -> Option<(u64, Piece)> {
        let (start, piece) = self.pieces.range(..=offset).next_back()?;
        (offset - start < piece.length).then_some((*start, *piece))
    }

    fn has(&self, range: &Range<u64>) -> bool {
        let mut next = range.start;
        while next < range.end {
            match self.piece_at(next) {
                Some((start, piece)) => next = start + piece.length,
                None => return false,
            }
        }
        true
    }

    /// What is not here of a range.
    fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let (mut gaps, mut next) = (Vec::new(), range.start);
        while next < range.end {
            if let Some((start, piece)) = self.piece_at(next) {
                next = start + piece.length;
                continue;
            }
            let until = self.pieces.range(next..range.end).next().map_or(range.end, |(start, _)| *start);
            gaps.push(next..until);
            next = until;
        }
        gaps
    }

    /// Adds a piece of which nothing is here.
    fn add(&mut self, offset: u64, bytes: &[u8]) -> std::result::Result<(), Failure> {
        let length = bytes.len() as u64;
        let at = match &mut self.store {
            Store::Memory(all) => {
                all.extend_from_slice(bytes);
                all.len() as u64 - length
            }
            Store::File { path, write, .. } => {
                let head = head_of(offset, u32::try_from(length).unwrap_or(u32::MAX));
                let mut record = Vec::with_capacity(RECORD + bytes.len());
                record.extend_from_slice(&head);
                record.extend_from_slice(&crc_of(&head, bytes).to_le_bytes());
                record.extend_from_slice(bytes);
                write.write_all(&record).map_err(|e| failed(path, &e))?;
                self.end += RECORD as u64 + length;
                self.end - length
            }
        };
        self.pieces.insert(offset, Piece { length, at });
        Ok(())
    }

    fn read(&mut self, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.clear();
        let mut next = range.start;
        while next < range.end {
            let (start, piece) = self.piece_at(next).ok_or(std::io::ErrorKind::UnexpectedEof)?;
            let until = range.end.min(start + piece.length);
            let (from, length) = (piece.at + (next - start), until - next);
            match &mut self.store {
                Store::Memory(all) => {
                    let from = usize::try_from(from).unwrap_or(usize::MAX);
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let part = all.get(from..from.saturating_add(length)).ok_or(std::io::ErrorKind::UnexpectedEof)?;
                    bytes.extend_from_slice(part);
                }
                Store::File { read, .. } => {
                    read.seek(SeekFrom::Start(from))?;
                    let came = read.take(length).read_to_end(bytes)?;
                    if came as u64 != length {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
            next = until;
        }
        Ok(())
    }
}

impl Pack {
    /// One in memory.
    pub(super) fn in_memory() -> Self {
        Self(Mutex::new(Inner { pieces: BTreeMap::new(), store: Store::Memory(Vec::new()), end: 0 }))
    }

    /// One in a file, with what an earlier process left in it for the same purpose. Blocks.
    pub(super) fn open(path: &Path, purpose: &[u8; 32]) -> std::result::Result<Self, Failure> {
        let opened = || {
            let write = safe_path::open_to_write(path)?;
            let read = safe_path::open_file(path)?;
            let mut head = WORD.to_vec();
            head.extend_from_slice(purpose);
            let store = Store::File { path: path.to_owned(), read, write };
            let mut inner = Inner { pieces: BTreeMap::new(), store, end: 0 };
            inner.replay(&head)?;
            let end = inner.end;
            if let Store::File { write, .. } = &mut inner.store {
                write.set_len(end)?;
                write.seek(SeekFrom::Start(end))?;
                if end == 0 {
                    write.write_all(&head)?;
                }
            }
            inner.end = end.max(head.len() as u64);
            Ok(Self(Mutex::new(inner)))
        };
        opened().map_err(|e: std::io::Error| failed(path, &e))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of a range is here.
    pub(super) fn has(&self, range: &Range<u64>) -> bool {
        self.inner().has(range)
    }

    /// Adds what is not here of a range that is no longer than a request. Blocks.
    pub(super) fn put(&self, offset: u64, bytes: &[u8]) -> std::result::Result<(), Failure> {
        let mut inner = self.inner();
        for gap in inner.gaps(offset..offset.saturating_add(bytes.len() as u64)) {
            let from = usize::try_from(gap.start - offset).unwrap_or(usize::MAX);
            let until = usize::try_from(gap.end - offset).unwrap_or(usize::MAX);
            inner.add(gap.start, bytes.get(from..until).unwrap_or_default())?;
        }
        Ok(())
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Download, format!("cannot keep parts of an archive in {}", path.display()), error)
}

/// What was fetched as the bytes of the archive. What is not here is told.
#[derive(Debug, Clone)]
pub(super) struct PackSource {
    pub(super) pack: Arc<Pack>,
    /// Bytes of the archive.
    pub(super) size: u64,
    pub(super) missing: Arc<Mutex<ByteRanges>>,
}

impl PackSource {
    pub(super) fn new(pack: &Arc<Pack>, size: u64) -> Self {
        Self { pack: Arc::clone(pack), size, missing: Arc::default() }
    }

    /// What was asked for since and is not here.
    pub(super) fn take_missing(&self) -> ByteRanges {
        std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ByteSource for PackSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, length: u64, bytes: &mut Vec<u8>) -> std::result::Result<(), Failure> {
        let range = offset..offset.saturating_add(length);
        let mut inner = self.pack.inner();
        if !inner.has(&range) {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).add(range)?;
            return Err(Failure::internal(format!("{length} bytes at {offset} of an archive were not fetched")));
        }
        let read = inner.read(range, bytes);
        read.map_err(|e| Failure::io(FailureStage::Check, "cannot read what was fetched of an archive", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pack: &Arc<Pack>, range: Range<u64>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut source = PackSource::new(pack, 1000);
        source.read_at(range.start, range.end - range.start, &mut bytes).ok().map(|()| bytes)
    }

    #[test]
    fn what_was_fetched_is_read_across_its_pieces_and_the_rest_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        for pack in [Pack::in_memory(), Pack::open(&dir.path().join("pack"), &[7; 32]).expect("opens")] {
            let pack = Arc::new(pack);
            pack.put(10, b"abc").expect("puts");
            pack.put(20, b"xyz").expect("puts");
            pack.put(12, b"cdefg").expect("puts");
            pack.put(8, b"??abcdefg???xyz!").expect("puts");
            assert_eq!(read(&pack, 8..24).as_deref(), Some(b"??abcdefg???xyz!".as_slice()), "what is here stays");
            assert_eq!(read(&pack, 11..16).as_deref(), Some(b"bcdef".as_slice()));
            assert_eq!(read(&pack, 23..25), None);
            let mut source = PackSource::new(&pack, 1000);
            assert!(source.read_at(23, 5, &mut Vec::new()).is_err());
            assert_eq!(source.take_missing().requests(), [23..28]);
            assert!(source.take_missing().is_empty());
        }
    }

    #[test]
    fn a_file_is_gone_on_with_up_to_what_was_not_written_to_its_end_and_for_its_purpose_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pack");
        let open = |purpose: u8| Arc::new(Pack::open(&path, &[purpose; 32]).expect("opens"));
        let first = open(1);
        first.put(0, b"begin").expect("puts");
        first.put(100, b"middle").expect("puts");
        first.put(200, b"end").expect("puts");
        drop(first);
        let whole = std::fs::read(&path).expect("reads");
        for cut in [1, 2, 3, 10, 18] {
            std::fs::write(&path, &whole[..whole.len() - cut]).expect("writes");
            let again = open(1);
            assert_eq!(read(&again, 100..106).as_deref(), Some(b"middle".as_slice()));
            assert_eq!(read(&again, 200..203), None, "{cut} bytes are missing");
            again.put(200, b"END").expect("puts");
            assert_eq!(read(&open(1), 200..203).as_deref(), Some(b"END".as_slice()));
        }
        let mut changed = whole.clone();
        changed[48 + 16 + 5 + 16] ^= 1;
        std::fs::write(&path, &changed).expect("writes");
        assert_eq!((read(&open(1), 0..5).is_some(), read(&open(1), 100..106)), (true, None), "a byte changed");
        std::fs::write(&path, &whole).expect("writes");
        assert_eq!(read(&open(2), 0..5), None, "of another archive");
    }
}
