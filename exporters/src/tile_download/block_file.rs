//! The tiles of one block as they came: a file that grows, and that a process which was killed leaves readable.
//!
//! 48 bytes of a head (a word, and the SHA-256 of what the file is for), then records, little-endian: kind, place (row in the block × 128 +
//! column), length, CRC-32 of all that and of the bytes (4 bytes each), then the bytes. Kind 1 is a tile, 2 a place that has none by the
//! answer to its own url, 3 the tilemap of the block: a bit for each place, in their order. What comes behind the last record that is right
//! was not written to its end and does not count.

use offmap_disk::{atomic_file, hex, safe_path};
use offmap_formats::compact_cache::{LARGEST_TILE, PACKET_SIZE};
use offmap_model::{Failure, FailureStage};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const WORD: &[u8; 16] = b"offmap block 1\n\0";
const HEAD: usize = 48;
const RECORD: usize = 16;
const TILE: u32 = 1;
const NONE: u32 = 2;
const TILEMAP: u32 = 3;
/// Places of a block.
pub(super) const PLACES: usize = (PACKET_SIZE * PACKET_SIZE) as usize;

/// The number of a place in its block: by row, then by column.
pub(super) fn place_in_block(row: u64, column: u64) -> u32 {
    u32::try_from(row % PACKET_SIZE * PACKET_SIZE + column % PACKET_SIZE).unwrap_or(0)
}

/// Which places of a block have tiles, as its service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Presence(Vec<u8>);

impl Default for Presence {
    fn default() -> Self {
        Self(vec![0; PLACES / 8])
    }
}

impl Presence {
    pub(super) fn set(&mut self, place: u32) {
        if let Some(byte) = self.0.get_mut(place as usize / 8) {
            *byte |= 1 << (place % 8);
        }
    }

    pub(super) fn has(&self, place: u32) -> bool {
        self.0.get(place as usize / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0)
    }
}

/// Takes the tile of a place in the block.
pub(super) type OnTile<'a> = &'a mut dyn FnMut(u32, &[u8]) -> std::result::Result<(), Failure>;

/// Where a tile is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored {
    at: u64,
    length: u32,
    crc: u32,
}

/// What became of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceState {
    /// Its tile is there.
    Got,
    /// There is no such tile: the tilemap says so.
    NoneByTilemap,
    /// There is no such tile: the answer to its own url says so, and no tilemap says otherwise.
    NoneByAnswer,
    /// Its tile is not there though it should be, or nobody knows.
    Missing,
}

/// What is known of the places of a block.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What came: `None` for places without a tile.
    places: BTreeMap<u32, Option<Stored>>,
    pub(super) presence: Option<Presence>,
}

impl Known {
    /// Whether nothing is to be asked of a place any more.
    pub(super) fn knows(&self, place: u32) -> bool {
        match (self.places.get(&place), self.presence.as_ref().map(|presence| presence.has(place))) {
            (_, Some(false)) | (Some(Some(_)), _) => true,
            // One that is promised and did not come may be there by now.
            (Some(None), promised) => promised.is_none(),
            (None, _) => false,
        }
    }

    pub(super) fn state(&self, place: u32) -> PlaceState {
        let exists = self.presence.as_ref().map(|presence| presence.has(place));
        match (self.places.get(&place), exists) {
            (Some(Some(_)), _) => PlaceState::Got,
            (_, Some(false)) => PlaceState::NoneByTilemap,
            (Some(None), None) => PlaceState::NoneByAnswer,
            (Some(None), Some(true)) | (None, _) => PlaceState::Missing,
        }
    }
}

/// The file of a block.
#[derive(Debug)]
pub(super) struct BlockFile {
    path: PathBuf,
    file: File,
    /// Of what is in the file, where it is written.
    hash: Sha256,
    pub(super) known: Known,
    end: u64,
    waiting: Vec<u8>,
}

fn failed(path: &Path, error: &Error) -> Failure {
    Failure::io(FailureStage::Download, format!("cannot keep tiles in {}", path.display()), error)
}

fn crc_of(head: &[u8], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(bytes);
    crc.finalize()
}

fn head_of(kind: u32, place: u32, length: u32) -> [u8; 12] {
    let mut head = [0; 12];
    for (to, number) in head.chunks_exact_mut(4).zip([kind, place, length]) {
        to.copy_from_slice(&number.to_le_bytes());
    }
    head
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

impl BlockFile {
    /// Opens the file of a block for more tiles, with what an earlier process left of it for the same purpose. Blocks.
    pub(super) fn open(path: &Path, purpose: &[u8; 32]) -> std::result::Result<Self, Failure> {
        Self::opened(path, purpose, true).map_err(|e| failed(path, &e))
    }

    /// Opens the file of a block to read its tiles: where they are is read now, [`BlockFile::each`] reads and checks them. Blocks.
    pub(super) fn read(path: &Path, purpose: &[u8; 32]) -> std::result::Result<Self, Failure> {
        Self::opened(path, purpose, false).map_err(|e| failed(path, &e))
    }

    fn opened(path: &Path, purpose: &[u8; 32], write: bool) -> Result<Self> {
        if write {
            // Made here where there is none.
            drop(safe_path::open_to_write(path)?);
        }
        let mut block = Self {
            path: path.to_owned(),
            file: safe_path::open_file(path)?,
            hash: Sha256::new(),
            known: Known::default(),
            end: 0,
            waiting: Vec::new(),
        };
        let mut head = WORD.to_vec();
        head.extend_from_slice(purpose);
        match write {
            true => block.replay(&head)?,
            false => block.read_places(&head)?,
        }
        if write {
            block.file = safe_path::open_to_write(path)?;
            block.file.set_len(block.end)?;
            block.file.seek(SeekFrom::Start(block.end))?;
            if block.end == 0 {
                block.file.write_all(&head)?;
                block.hash.update(&head);
                block.end = HEAD as u64;
            }
        }
        Ok(block)
    }

    /// Reads where the tiles of a block that is finished are.
    fn read_places(&mut self, head: &[u8]) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::InvalidData, what));
        let length = self.file.metadata()?.len();
        // What lies between two heads is not read.
        let mut reader = BufReader::with_capacity(RECORD, self.file.try_clone()?);
        let mut found = [0; HEAD];
        if reader.read_exact(&mut found).is_err() || found != head {
            return wrong("it is not the file of this block");
        }
        self.end = HEAD as u64;
        let (mut record, mut presence) = ([0; RECORD], vec![0; PLACES / 8]);
        while self.end < length {
            reader.read_exact(&mut record)?;
            let [kind, place, bytes, crc] = [0, 4, 8, 12].map(|at| number(&record, at));
            let at = self.end + RECORD as u64;
            match kind {
                _ if place as usize >= PLACES || u64::from(bytes) > LARGEST_TILE => {
                    return wrong("it was changed after it was finished");
                }
                TILE => drop(self.known.places.insert(place, Some(Stored { at, length: bytes, crc }))),
                NONE => drop(self.known.places.insert(place, None)),
                TILEMAP if bytes as usize == PLACES / 8 => {
                    reader.read_exact(&mut presence)?;
                    reader.seek_relative(-i64::from(bytes))?;
                    self.known.presence = Some(Presence(presence.clone()));
                }
                _ => return wrong("it was changed after it was finished"),
            }
            reader.seek_relative(i64::from(bytes))?;
            self.end = at + u64::from(bytes);
        }
        match self.end == length {
            true => Ok(()),
            false => wrong("it was changed after it was finished"),
        }
    }

    /// Reads the records that are whole.
    fn replay(&mut self, head: &[u8]) -> Result<()> {
        let mut reader = BufReader::with_capacity(1 << 18, self.file.try_clone()?);
        let mut found = [0; HEAD];
        if reader.read_exact(&mut found).is_err() || found != head {
            return Ok(());
        }
        self.end = HEAD as u64;
        self.hash.update(head);
        let (mut record, mut bytes) = ([0; RECORD], Vec::new());
        while reader.read_exact(&mut record).is_ok() {
            let [kind, place, length, crc] = [0, 4, 8, 12].map(|at| number(&record, at));
            if u64::from(length) > LARGEST_TILE || place as usize >= PLACES {
                break;
            }
            bytes.clear();
            let read = reader.by_ref().take(u64::from(length)).read_to_end(&mut bytes)?;
            if read as u64 != u64::from(length) || crc_of(record.get(..12).unwrap_or_default(), &bytes) != crc {
                break;
            }
            let at = self.end + RECORD as u64;
            match kind {
                TILE => drop(self.known.places.insert(place, Some(Stored { at, length, crc }))),
                NONE => drop(self.known.places.insert(place, None)),
                TILEMAP if bytes.len() == PLACES / 8 => self.known.presence = Some(Presence(bytes.clone())),
                _ => break,
            }
            self.hash.update(record);
            self.hash.update(&bytes);
            self.end = at + u64::from(length);
        }
        Ok(())
    }

    fn add(&mut self, kind: u32, place: u32, bytes: &[u8]) -> Stored {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let head = head_of(kind, place, length);
        let crc = crc_of(&head, bytes);
        let at = self.end + self.waiting.len() as u64 + RECORD as u64;
        self.waiting.extend_from_slice(&head);
        self.waiting.extend_from_slice(&crc.to_le_bytes());
        self.waiting.extend_from_slice(bytes);
        Stored { at, length, crc }
    }

    /// Adds what a place has; [`BlockFile::flush`] writes it.
    pub(super) fn put(&mut self, place: u32, tile: Option<&[u8]>) {
        let stored = match tile {
            Some(bytes) => Some(self.add(TILE, place, bytes)),
            None => {
                self.add(NONE, place, &[]);
                None
            }
        };
        self.known.places.insert(place, stored);
    }

    /// Adds the tilemap; [`BlockFile::flush`] writes it.
    pub(super) fn put_presence(&mut self, presence: Presence) {
        self.add(TILEMAP, 0, &presence.0);
        self.known.presence = Some(presence);
    }

    /// Writes what waits, so that it outlives the process. Blocks.
    pub(super) fn flush(&mut self) -> std::result::Result<(), Failure> {
        self.file.write_all(&self.waiting).map_err(|e| failed(&self.path, &e))?;
        self.hash.update(&self.waiting);
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Its bytes, and the SHA-256 of all that was written.
    fn sum(self) -> (u64, String) {
        (self.end, hex(self.hash.finalize()))
    }

    /// Gives the file its name; answers its bytes, and the SHA-256 of all that was written. Blocks.
    pub(super) fn finish(mut self, to: &Path) -> std::result::Result<(u64, String), Failure> {
        self.flush()?;
        atomic_file::put(&self.path, to).map_err(|e| failed(to, &e))?;
        Ok(self.sum())
    }

    /// Leaves the file as it is: something of the block is missing. Blocks.
    pub(super) fn leave(mut self) -> std::result::Result<(u64, String), Failure> {
        self.flush()?;
        Ok(self.sum())
    }

    /// Gives every tile to `visit`, by its place in the block, in order. Blocks.
    pub(super) fn each(&mut self, visit: OnTile<'_>) -> std::result::Result<(), Failure> {
        let mut bytes = Vec::new();
        for (place, stored) in &self.known.places {
            let Some(Stored { at, length, crc }) = *stored else { continue };
            bytes.resize(length as usize, 0);
            let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut bytes));
            read.map_err(|e| failed(&self.path, &e))?;
            if crc_of(&head_of(TILE, *place, length), &bytes) != crc {
                let changed = Error::new(ErrorKind::InvalidData, "a tile of it was changed after it came");
                return Err(failed(&self.path, &changed));
            }
            visit(*place, &bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: [u8; 32] = [7; 32];

    fn tiles(path: &Path) -> Vec<(u32, Vec<u8>)> {
        let mut all = Vec::new();
        let mut file = BlockFile::read(path, &PURPOSE).expect("opens");
        file.each(&mut |place, bytes| {
            all.push((place, bytes.to_vec()));
            Ok(())
        })
        .expect("reads");
        all
    }

    #[test]
    fn what_was_written_is_there_after_a_kill_and_half_a_record_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("block");
        let mut file = BlockFile::open(&path, &PURPOSE).expect("opens");
        let mut presence = Presence::default();
        [3, 5, 16_383].iter().for_each(|place| presence.set(*place));
        file.put_presence(presence.clone());
        file.put(5, Some(b"five"));
        file.put(9, None);
        file.flush().expect("writes");
        file.put(3, Some(b"three"));
        file.flush().expect("writes");
        drop(file);
        let whole = std::fs::metadata(&path).expect("there").len();
        for cut in 0..=whole {
            let part = dir.path().join("part");
            std::fs::copy(&path, &part).expect("copies");
            std::fs::OpenOptions::new().write(true).open(&part).and_then(|f| f.set_len(cut)).expect("cuts");
            let mut file = BlockFile::open(&part, &PURPOSE).expect("opens");
            let states = [3, 5].map(|p| file.known.state(p));
            assert_eq!(states[0] == PlaceState::Got, cut == whole, "{cut}");
            assert!(states[0] != PlaceState::Got || states[1] == PlaceState::Got, "{cut}");
            for (place, bytes) in [(3, &b"three"[..]), (5, b"five")] {
                if file.known.state(place) != PlaceState::Got {
                    file.put(place, Some(bytes));
                }
            }
            file.flush().expect("writes");
            drop(file);
            assert_eq!(tiles(&part), [(3, b"three".to_vec()), (5, b"five".to_vec())], "{cut}");
        }
        let file = BlockFile::open(&path, &PURPOSE).expect("opens");
        assert_eq!(file.known.presence, Some(presence));
        use PlaceState as S;
        let states = [3, 9, 16_383, 1].map(|p| file.known.state(p));
        assert_eq!(states, [S::Got, S::NoneByTilemap, S::Missing, S::NoneByTilemap]);
        drop(file);
        let other = BlockFile::open(&path, &[8; 32]).expect("opens");
        assert!(!other.known.knows(5) && other.known.presence.is_none(), "what is for something else does not count");
        assert!(BlockFile::read(&dir.path().join("none"), &PURPOSE).is_err());
    }

    #[test]
    fn a_byte_that_was_changed_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let (part, path) = (dir.path().join("part"), dir.path().join("block"));
        let mut file = BlockFile::open(&part, &PURPOSE).expect("opens");
        file.put(1, Some(b"one"));
        file.put(2, Some(b"two"));
        let made = file.finish(&path).expect("finishes");
        assert!(!part.exists() && tiles(&path).len() == 2);
        let mut bytes = std::fs::read(&path).expect("reads");
        let last = bytes.len() - 1;
        for at in [last, HEAD + RECORD, HEAD + 3, HEAD + 8, HEAD + 12] {
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("writes");
            let read = BlockFile::read(&path, &PURPOSE).and_then(|mut file| file.each(&mut |_, _| Ok(())));
            let failure = read.expect_err("found");
            assert!(failure.message.contains("was changed after it"), "{at}: {failure}");
            let resumed = BlockFile::open(&path, &PURPOSE).expect("opens");
            assert_eq!(resumed.known.knows(1), at == last, "{at}: what is behind a damage is fetched again");
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("writes");
        }
        let sum = BlockFile::open(&path, &PURPOSE).and_then(BlockFile::leave).expect("hashes");
        assert_eq!(sum, offmap_disk::hash_file(&path).expect("hashes"), "also of what an earlier process wrote");
        assert_eq!(sum, made);
    }
}
