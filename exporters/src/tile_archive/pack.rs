//! What was fetched of an archive: its ranges, in memory or in a file that a process which was killed leaves readable.
//!
//! The file: 48 bytes of a head (a word, and the SHA-256 of what it is for), then records, little-endian: where the range begins in the
//! archive (8 bytes), its length, CRC-32 of all that and of the bytes (4 bytes each), then the bytes. What comes behind the last record that is
//! right was not written to its end and does not count. Each purpose has a file of its own: an answer of another state throws nothing away.

use super::byte_ranges::{ByteRanges, LARGEST_REQUEST};
use offmap_disk::{hex, safe_path};
use offmap_formats::pmtiles::ByteSource;
use offmap_model::{Failure, FailureStage};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

const WORD: &[u8; 16] = b"offmap ranges 1\n";
const RECORD: usize = 16;
/// Begins the names of the files.
const NAME: &str = "ranges-";
/// Most files for other purposes that are kept beside one that is opened.
const MOST_OTHERS: usize = 3;

/// Where a range is.
#[derive(Debug, Clone, Copy)]
struct Piece {
    length: u64,
    at: u64,
    /// Whether its bytes were found to be those that were fetched since this process has them.
    is_checked: bool,
}

/// What is here.
#[derive(Debug, Default)]
struct Pieces(BTreeMap<u64, Piece>);

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    File(Records),
}

#[derive(Debug)]
struct Records {
    path: PathBuf,
    read: File,
    write: File,
    /// Where the last record ends.
    end: u64,
    /// Why nothing is written any more.
    ended: Option<&'static str>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pack {
    /// Held for moments only; who needs both takes the store first.
    pieces: Mutex<Pieces>,
    /// Held while bytes are written or read.
    store: Mutex<Store>,
}

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

/// Fills as many bytes as there are; whether that is all of them.
fn read_whole(reader: &mut impl std::io::Read, bytes: &mut [u8]) -> Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// Reads a record: where its range begins, and its length; `None` where none is whole and right. Its bytes are in `bytes`.
fn read_record(reader: &mut impl std::io::Read, bytes: &mut Vec<u8>) -> Result<Option<(u64, u64)>> {
    let mut record = [0; RECORD];
    if !read_whole(reader, &mut record)? {
        return Ok(None);
    }
    let number = |range: Range<usize>| {
        let bytes = record.get(range).unwrap_or_default();
        bytes.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let (offset, length, crc) = (number(0..8), number(8..12), number(12..16));
    if length == 0 || length > LARGEST_REQUEST || offset.checked_add(length).is_none() {
        return Ok(None);
    }
    bytes.clear();
    let read = reader.by_ref().take(length).read_to_end(bytes)?;
    let is_right = read as u64 == length && u64::from(crc_of(record.get(..12).unwrap_or_default(), bytes)) == crc;
    Ok(is_right.then_some((offset, length)))
}

impl Pieces {
    /// The piece that has a byte: where it begins, and what it is.
    fn piece_at(&self, offset: u64) -> Option<(u64, Piece)> {
        let (start, piece) = self.0.range(..=offset).next_back()?;
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
            let until = self.0.range(next..range.end).next().map_or(range.end, |(start, _)| *start);
            gaps.push(next..until);
            next = until;
        }
        gaps
    }
}

impl Records {
    /// Opens a file, and reads the records that are whole.
    fn open(path: &Path, purpose: &[u8; 32]) -> Result<(Self, Pieces)> {
        let write = safe_path::open_to_write(path)?;
        if safe_path::links(&write.metadata()?) != 1 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the file has other names too (hard links), expected one; remove it",
            ));
        }
        let read = safe_path::open_file(path)?;
        let mut records = Self { path: path.to_owned(), read, write, end: 0, ended: None };
        let mut head = WORD.to_vec();
        head.extend_from_slice(purpose);
        let pieces = records.replay(&head)?;
        records.write.set_len(records.end)?;
        if records.end == 0 {
            records.append(&head)?;
        }
        Ok((records, pieces))
    }

    fn replay(&mut self, head: &[u8]) -> Result<Pieces> {
        let mut pieces = Pieces::default();
        let mut reader = BufReader::with_capacity(1 << 18, self.read.try_clone()?);
        let mut found = vec![0; head.len()];
        if !read_whole(&mut reader, &mut found)? || found != head {
            return Ok(pieces);
        }
        self.end = head.len() as u64;
        let mut bytes = Vec::new();
        while let Some((offset, length)) = read_record(&mut reader, &mut bytes)? {
            let at = self.end + RECORD as u64;
            pieces.0.insert(offset, Piece { length, at, is_checked: true });
            self.end = at + length;
        }
        Ok(pieces)
    }

    /// Writes at the end, wherever an earlier write stopped.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write.seek(SeekFrom::Start(self.end))?;
        self.write.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Adds a piece; answers where its bytes are.
    fn add(&mut self, offset: u64, bytes: &[u8]) -> std::result::Result<u64, Failure> {
        if let Some(why) = self.ended {
            return Err(failed(&self.path, &Error::other(why)));
        }
        let head = head_of(offset, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let mut record = Vec::with_capacity(RECORD + bytes.len());
        record.extend_from_slice(&head);
        record.extend_from_slice(&crc_of(&head, bytes).to_le_bytes());
        record.extend_from_slice(bytes);
        if let Err(e) = self.append(&record) {
            self.ended = Some("an earlier part could not be written");
            return Err(failed(&self.path, &e));
        }
        Ok(self.end - bytes.len() as u64)
    }

    /// Whether a piece is still what was fetched.
    fn check(&mut self, offset: u64, piece: Piece) -> Result<()> {
        self.read.seek(SeekFrom::Start(piece.at.saturating_sub(RECORD as u64)))?;
        match read_record(&mut self.read, &mut Vec::new())? {
            Some(found) if found == (offset, piece.length) => Ok(()),
            _ => {
                let message = format!("{} bytes at {} are not those that were written; fetch again", piece.length, piece.at);
                Err(Error::new(ErrorKind::InvalidData, message))
            }
        }
    }
}

impl Store {
    /// Adds bytes of a piece to others.
    fn read(&mut self, from: u64, length: u64, bytes: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Memory(all) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let part = all.get(from..from.saturating_add(length)).ok_or(ErrorKind::UnexpectedEof)?;
                bytes.extend_from_slice(part);
                Ok(())
            }
            Self::File(Records { read, .. }) => {
                read.seek(SeekFrom::Start(from))?;
                let came = read.take(length).read_to_end(bytes)?;
                if came as u64 == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
            }
        }
    }
}

impl Pack {
    /// One in memory.
    pub(super) fn in_memory() -> Self {
        Self { pieces: Mutex::default(), store: Mutex::new(Store::Memory(Vec::new())) }
    }

    /// One in a file, with what an earlier process left in it for the same purpose. Blocks.
    pub(super) fn open(path: &Path, purpose: &[u8; 32]) -> std::result::Result<Self, Failure> {
        let (records, pieces) = Records::open(path, purpose).map_err(|e| failed(path, &e))?;
        Ok(Self { pieces: Mutex::new(pieces), store: Mutex::new(Store::File(records)) })
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of a range is here.
    pub(super) fn has(&self, range: &Range<u64>) -> bool {
        self.pieces().has(range)
    }

    /// Adds what is not here of a range that is no longer than a request. Blocks.
    pub(super) fn put(&self, offset: u64, bytes: &[u8]) -> std::result::Result<(), Failure> {
        let mut store = self.store();
        let gaps = self.pieces().gaps(offset..offset.saturating_add(bytes.len() as u64));
        for gap in gaps {
            let from = usize::try_from(gap.start - offset).unwrap_or(usize::MAX);
            let until = usize::try_from(gap.end - offset).unwrap_or(usize::MAX);
            let part = bytes.get(from..until).unwrap_or_default();
            let (at, is_checked) = match &mut *store {
                Store::Memory(all) => {
                    let at = all.len() as u64;
                    all.extend_from_slice(part);
                    (at, true)
                }
                Store::File(records) => (records.add(gap.start, part)?, false),
            };
            self.pieces().0.insert(gap.start, Piece { length: gap.end - gap.start, at, is_checked });
        }
        Ok(())
    }

    /// Ends the writing: what is being put is waited for, and nothing is put any more. Blocks.
    pub(super) fn close(&self) {
        if let Store::File(records) = &mut *self.store() {
            records.ended = Some("its reading has ended");
        }
    }

    fn read(&self, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.clear();
        let mut store = self.store();
        let mut next = range.start;
        while next < range.end {
            let found = self.pieces().piece_at(next);
            let (start, piece) = found.ok_or(ErrorKind::UnexpectedEof)?;
            if let (false, Store::File(records)) = (piece.is_checked, &mut *store) {
                records.check(start, piece)?;
                self.pieces().0.insert(start, Piece { is_checked: true, ..piece });
            }
            let until = range.end.min(start + piece.length);
            store.read(piece.at + (next - start), until - next, bytes)?;
            next = until;
        }
        Ok(())
    }
}

fn failed(path: &Path, error: &Error) -> Failure {
    Failure::io(FailureStage::Download, format!("cannot keep parts of an archive in {}", path.display()), error)
}

/// The file for a purpose.
pub(super) fn path_for(dir: &Path, purpose: &[u8; 32]) -> PathBuf {
    dir.join(format!("{NAME}{}", hex(purpose.get(..8).unwrap_or_default())))
}

/// Makes room for the file of a purpose: of those for others only the newest stay. Blocks.
pub(super) fn make_room(dir: &Path, kept: &Path) -> std::result::Result<(), Failure> {
    let mut others = packs(dir)?;
    others.retain(|(_, path)| path != kept);
    others.sort_unstable();
    others.iter().rev().skip(MOST_OTHERS).try_for_each(|(_, path)| remove(path))
}

/// Removes the files of all purposes. Blocks.
pub(super) fn remove_all(dir: &Path) -> std::result::Result<(), Failure> {
    packs(dir)?.iter().try_for_each(|(_, path)| remove(path))
}

fn remove(path: &Path) -> std::result::Result<(), Failure> {
    let failed = |e| Failure::io(FailureStage::Check, format!("cannot remove {}", path.display()), &e);
    std::fs::remove_file(path).map_err(failed)
}

/// The files of a directory, with the time of their last change.
fn packs(dir: &Path) -> std::result::Result<Vec<(SystemTime, PathBuf)>, Failure> {
    let listed = || {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(NAME) {
                let changed = entry.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((changed, entry.path()));
            }
        }
        Ok(found)
    };
    listed().map_err(|e: Error| failed(dir, &e))
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
        if !self.pack.has(&range) {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).add(range)?;
            return Err(Failure::internal(format!("{length} bytes at {offset} of an archive were not fetched")));
        }
        let read = self.pack.read(range, bytes);
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
            assert_eq!(source.take_missing().requests().as_slice(), std::slice::from_ref(&(23..28)));
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

    #[test]
    fn what_is_on_the_disk_is_given_only_as_it_was_put() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pack");
        let pack = Arc::new(Pack::open(&path, &[1; 32]).expect("opens"));
        pack.put(0, b"begin").expect("puts");
        pack.put(100, b"middle").expect("puts");
        let mut bytes = std::fs::read(&path).expect("reads");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).expect("writes");
        assert_eq!(read(&pack, 0..5).as_deref(), Some(b"begin".as_slice()));
        let mut source = PackSource::new(&pack, 1000);
        let failure = source.read_at(100, 2, &mut Vec::new()).expect_err("another byte of its piece");
        assert!(failure.to_string().contains("not those that were written"), "{failure}");
    }

    #[test]
    fn nothing_is_put_behind_the_end_or_behind_a_write_that_failed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pack");
        let pack = Arc::new(Pack::open(&path, &[1; 32]).expect("opens"));
        pack.put(0, b"begin").expect("puts");
        let before = std::fs::read(&path).expect("reads");
        pack.close();
        assert!(pack.put(10, b"late").expect_err("refused").to_string().contains("its reading has ended"));
        assert_eq!((std::fs::read(&path).expect("reads"), pack.has(&(10..11))), (before.clone(), false));
        let pack = Arc::new(Pack::open(&path, &[1; 32]).expect("opens"));
        let swap = |file: File| match &mut *pack.store() {
            Store::File(records) => std::mem::replace(&mut records.write, file),
            Store::Memory(_) => panic!("a file"),
        };
        let write = swap(File::open(&path).expect("opens"));
        pack.put(10, b"refused by the disk").expect_err("it cannot be written");
        swap(write);
        assert!(pack.put(10, b"more").expect_err("refused").to_string().contains("an earlier part"));
        assert_eq!(std::fs::read(&path).expect("reads"), before);
    }

    #[test]
    fn what_is_here_is_told_while_bytes_are_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let pack = Pack::open(&dir.path().join("pack"), &[1; 32]).expect("opens");
        pack.put(0, b"begin").expect("puts");
        let writing = pack.store();
        assert!(pack.has(&(0..5)) && !pack.has(&(0..6)));
        drop(writing);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_with_another_name_is_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mine, path) = (dir.path().join("mine"), dir.path().join("pack"));
        std::fs::write(&mine, "of somebody").expect("writes");
        std::fs::hard_link(&mine, &path).expect("links");
        let failure = Pack::open(&path, &[1; 32]).expect_err("refused");
        assert!(failure.to_string().contains("hard links"), "{failure}");
        assert_eq!(std::fs::read(&mine).expect("reads"), b"of somebody");
    }

    #[test]
    fn another_state_throws_nothing_away_and_few_states_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = |purpose: u8| {
            let path = path_for(dir.path(), &[purpose; 32]);
            make_room(dir.path(), &path).expect("makes room");
            Arc::new(Pack::open(&path, &[purpose; 32]).expect("opens"))
        };
        open(1).put(0, b"begin").expect("puts");
        open(2).put(0, b"other").expect("puts");
        assert_eq!(read(&open(1), 0..5).as_deref(), Some(b"begin".as_slice()), "after an answer of another state");
        for purpose in 3..20 {
            open(purpose);
            assert!(packs(dir.path()).expect("lists").len() <= MOST_OTHERS + 1);
        }
        remove_all(dir.path()).expect("removes");
        assert!(packs(dir.path()).expect("lists").is_empty());
    }
}
