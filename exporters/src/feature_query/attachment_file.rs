//! Attachments of one unit in a file, one behind the other: what is said of each with its length before it, its bytes, and their checksum.
//!
//! The file grows beside its name while they come; what an interrupted run left is gone on with up to the last one that is whole. Its hash
//! is computed meanwhile, so that nobody reads it for that.

use super::attachment_list::Listed;
use crc32fast::Hasher;
use offmap_disk::{atomic_file, hex, safe_path};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;
/// Bytes of the longest head: names and media types are cut before.
const LONGEST_HEAD: u64 = 64 << 10;
/// Bytes of the number before a head.
const LONGEST_NUMBER: u32 = 3;
/// Bytes of a checksum.
const CHECKSUM: u64 = 4;

/// What is said of an attachment.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Kept {
    #[prost(message, required, tag = "1")]
    pub(super) listed: Listed,
    /// How many bytes follow.
    #[prost(uint64, tag = "2")]
    pub(super) bytes: u64,
    /// Whether it was deleted before it came.
    #[prost(bool, tag = "3")]
    pub(super) is_gone: bool,
}

/// An attachment, and where its bytes begin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) kept: Kept,
    at: u64,
}

fn failed(path: &Path, e: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Download, format!("cannot keep attachments in {}", path.display()), e)
}

fn damaged(path: &Path) -> Failure {
    let message = format!("{} is no file of attachments, or damaged", path.display());
    Failure::new(FailureOwner::Storage, FailureKind::Corrupt, FailureStage::Package, message)
}

/// Reads the number of bytes of a head; `None` at the end of the file and where it makes no sense.
fn head_length(file: &mut impl Read) -> std::io::Result<Option<u64>> {
    let (mut length, mut byte) = (0_u64, [0]);
    for place in 0..LONGEST_NUMBER {
        if file.read(&mut byte)? == 0 {
            return Ok(None);
        }
        length |= u64::from(byte[0] & 0x7f) << (7 * place);
        if byte[0] & 0x80 == 0 {
            return Ok(Some(length).filter(|length| *length <= LONGEST_HEAD));
        }
    }
    Ok(None)
}

/// Reads the head of the next attachment; `None` where there is none that is whole.
fn next_head(file: &mut impl Read) -> std::io::Result<Option<Kept>> {
    let Some(length) = head_length(file)? else { return Ok(None) };
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head)?;
    Ok(Some(head).filter(|head| head.len() as u64 == length).and_then(|head| Kept::decode(head.as_slice()).ok()))
}

/// Hands on so many bytes of a stream; answers their checksum, or `None` where they are fewer.
fn each_piece(file: &mut impl Read, bytes: u64, mut take: impl FnMut(&[u8])) -> std::io::Result<Option<u32>> {
    let (mut left, mut buffer, mut sum) = (bytes, vec![0; BUFFER], Hasher::new());
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let count = file.read(buffer.get_mut(..most).unwrap_or_default())?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok(None);
        }
        sum.update(piece);
        take(piece);
        left -= count as u64;
    }
    Ok(Some(sum.finalize()))
}

/// Whether the checksum that follows is this one.
fn is_followed_by(file: &mut impl Read, sum: u32) -> std::io::Result<bool> {
    let mut found = [0; CHECKSUM as usize];
    match file.read_exact(&mut found) {
        Ok(()) => Ok(u32::from_le_bytes(found) == sum),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// The file of a unit while it grows. All of it blocks.
pub(super) struct UnitFile {
    path: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
    there: HashSet<(i64, i64)>,
}

impl UnitFile {
    /// Begins the file that will have a name, or goes on with what an interrupted run left of it.
    pub(super) fn open(to: &Path) -> Result<Self, Failure> {
        let path = atomic_file::beside(to);
        let found = |e: &std::io::Error| safe_path::judged(&format!("cannot keep attachments in {}", path.display()), e);
        let mut file = safe_path::open_to_write(&path).map_err(|e| found(&e))?;
        let (mut hash, mut bytes, mut there) = (Sha256::new(), 0_u64, HashSet::new());
        if file.metadata().map_err(|e| failed(&path, &e))?.len() > 0 {
            let old = safe_path::open_file(&path).map_err(|e| found(&e))?;
            let mut old = BufReader::with_capacity(BUFFER, old);
            while let Some((kept, hashed, length)) = whole(&mut old, &hash).map_err(|e| failed(&path, &e))? {
                (hash, bytes) = (hashed, bytes + length);
                there.insert((kept.listed.object_id, kept.listed.id));
            }
            // The last one may have been under way.
            file.set_len(bytes).map_err(|e| failed(&path, &e))?;
        }
        file.seek(SeekFrom::Start(bytes)).map_err(|e| failed(&path, &e))?;
        Ok(Self { path, file, hash, bytes, there })
    }

    /// Whether an attachment is in it, or known to be gone.
    pub(super) fn has(&self, one: &Listed) -> bool {
        self.there.contains(&(one.object_id, one.id))
    }

    fn put(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.file.write_all(piece).map_err(|e| failed(&self.path, &e))?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn head(&mut self, one: &Listed, bytes: u64, is_gone: bool) -> Result<(), Failure> {
        let head = Kept { listed: one.clone(), bytes, is_gone }.encode_length_delimited_to_vec();
        self.put(&head)
    }

    fn end(&mut self, one: &Listed, sum: u32) -> Result<(), Failure> {
        self.put(&sum.to_le_bytes())?;
        self.there.insert((one.object_id, one.id));
        Ok(())
    }

    /// Adds an attachment whose bytes are at hand.
    pub(super) fn add(&mut self, one: &Listed, bytes: &[u8]) -> Result<(), Failure> {
        self.head(one, bytes.len() as u64, false)?;
        self.put(bytes)?;
        self.end(one, crc32fast::hash(bytes))
    }

    /// Adds one that was deleted before it came.
    pub(super) fn add_gone(&mut self, one: &Listed) -> Result<(), Failure> {
        self.head(one, 0, true)?;
        self.end(one, crc32fast::hash(&[]))
    }

    /// Adds one that lies in a file of so many bytes, which goes.
    pub(super) fn add_file(&mut self, one: &Listed, from: &Path, bytes: u64) -> Result<(), Failure> {
        self.head(one, bytes, false)?;
        let read = |e| Failure::io(FailureStage::Download, format!("cannot read {}", from.display()), &e);
        let mut file = safe_path::open_file(from).map_err(read)?;
        let mut put = Ok(());
        let sum = each_piece(&mut file, bytes, |piece| {
            if put.is_ok() {
                put = self.put(piece);
            }
        });
        put?;
        let sum = sum.map_err(read)?.ok_or_else(|| damaged(from))?;
        self.end(one, sum)?;
        std::fs::remove_file(from).map_err(|e| failed(from, &e))
    }

    /// Gives the file its name; answers its bytes and its hash.
    pub(super) fn finish(self, to: &Path) -> Result<(u64, String), Failure> {
        drop(self.file);
        atomic_file::put(&self.path, to).map_err(|e| failed(to, &e))?;
        Ok((self.bytes, hex(self.hash.finalize())))
    }
}

/// The next attachment, the hash of all to its end, and its bytes with all that belongs to it; `None` where it is not whole.
fn whole(file: &mut impl Read, hash: &Sha256) -> std::io::Result<Option<(Kept, Sha256, u64)>> {
    let Some(kept) = next_head(file)? else { return Ok(None) };
    let mut hash = hash.clone();
    let head = kept.encode_length_delimited_to_vec();
    hash.update(&head);
    let Some(sum) = each_piece(file, kept.bytes, |piece| hash.update(piece))? else { return Ok(None) };
    if !is_followed_by(file, sum)? {
        return Ok(None);
    }
    hash.update(sum.to_le_bytes());
    let length = head.len() as u64 + kept.bytes + CHECKSUM;
    Ok(Some((kept, hash, length)))
}

/// What is in the file of a unit, sorted by row and attachment. The bytes are not read. Blocks.
pub(super) fn places(path: &Path) -> Result<Vec<Place>, Failure> {
    let file = safe_path::open_file(path).map_err(|e| failed(path, &e))?;
    let length = file.metadata().map_err(|e| failed(path, &e))?.len();
    let (mut file, mut at, mut all) = (BufReader::new(file), 0_u64, Vec::new());
    while at < length {
        let kept = next_head(&mut file).map_err(|e| failed(path, &e))?.ok_or_else(|| damaged(path))?;
        let begin = at + kept.encode_length_delimited_to_vec().len() as u64;
        at = begin.checked_add(kept.bytes).and_then(|end| end.checked_add(CHECKSUM)).ok_or_else(|| damaged(path))?;
        file.seek(SeekFrom::Start(at)).map_err(|e| failed(path, &e))?;
        all.push(Place { kept, at: begin });
    }
    if at > length {
        return Err(damaged(path));
    }
    all.sort_by_key(|place| (place.kept.listed.id, place.kept.listed.object_id));
    Ok(all)
}

/// Reads the bytes of attachments of a unit's file. Blocks.
pub(super) struct AttachmentBytes {
    path: PathBuf,
    file: File,
}

/// The bytes of one attachment, whose checksum is counted.
struct Summed<'a> {
    file: std::io::Take<&'a mut File>,
    sum: Hasher,
}

impl Read for Summed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.sum.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl AttachmentBytes {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let file = safe_path::open_file(path).map_err(|e| failed(path, &e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Hands on the bytes of one, all of which must be taken; fails where they are not those that came.
    pub(super) fn hand_on(
        &mut self,
        place: &Place,
        take: impl FnOnce(&mut dyn Read) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let failed = |path: &Path, e: &std::io::Error| failed(path, e);
        self.file.seek(SeekFrom::Start(place.at)).map_err(|e| failed(&self.path, &e))?;
        let mut bytes = Summed { file: Read::by_ref(&mut self.file).take(place.kept.bytes), sum: Hasher::new() };
        take(&mut bytes)?;
        let sum = bytes.sum.finalize();
        match is_followed_by(&mut self.file, sum).map_err(|e| failed(&self.path, &e))? {
            true => Ok(()),
            false => Err(damaged(&self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_disk::hash_file;

    fn listed(object_id: i64, id: i64) -> Listed {
        Listed { id, object_id, name: format!("{id}.jpg"), ..Listed::default() }
    }

    /// Row, id, and what is in it.
    type Read = (i64, i64, Option<Vec<u8>>);

    fn read(path: &Path) -> Result<Vec<Read>, Failure> {
        let mut bytes = AttachmentBytes::open(path)?;
        let mut all = Vec::new();
        for place in places(path)? {
            let mut content = Vec::new();
            bytes.hand_on(&place, |stream| {
                stream.read_to_end(&mut content).expect("reads");
                Ok(())
            })?;
            let Listed { object_id, id, .. } = place.kept.listed;
            all.push((object_id, id, (!place.kept.is_gone).then_some(content)));
        }
        Ok(all)
    }

    #[test]
    fn what_was_added_is_read_whole_in_order_and_has_the_hash_that_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let (to, aside) = (dir.path().join("0-attachments-00000"), dir.path().join("large"));
        let large = vec![7; BUFFER * 2 + 3];
        std::fs::write(&aside, &large).expect("writes");
        let mut file = UnitFile::open(&to).expect("begins");
        file.add(&listed(3, 1), b"three").expect("adds");
        file.add_gone(&listed(2, 2)).expect("adds");
        file.add_file(&listed(1, 1), &aside, large.len() as u64).expect("adds");
        assert!(file.has(&listed(1, 1)) && !file.has(&listed(2, 1)) && !aside.exists() && !to.exists());
        let said = file.finish(&to).expect("finishes");
        assert_eq!(said, hash_file(&to).expect("reads"));
        let all = read(&to).expect("reads");
        assert_eq!(all, [(1, 1, Some(large)), (3, 1, Some(b"three".to_vec())), (2, 2, None)]);
    }

    #[test]
    fn what_was_killed_goes_on_behind_the_last_one_that_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let (to, whole) = (dir.path().join("killed"), dir.path().join("whole"));
        let mut file = UnitFile::open(&whole).expect("begins");
        let all = [listed(1, 1), listed(1, 2), listed(2, 1)];
        all.iter().for_each(|one| file.add(one, &[one.id as u8; 100]).expect("adds"));
        file.finish(&whole).expect("finishes");
        let bytes = std::fs::read(&whole).expect("reads");
        for length in 0..bytes.len() {
            std::fs::write(atomic_file::beside(&to), &bytes[..length]).expect("writes");
            let mut file = UnitFile::open(&to).expect("goes on");
            let there = all.iter().filter(|one| file.has(one)).count();
            assert_eq!(there, length * 3 / bytes.len(), "{length} bytes");
            all.iter().filter(|one| !file.has(one)).cloned().collect::<Vec<_>>().iter().for_each(|one| {
                file.add(one, &[one.id as u8; 100]).expect("adds");
            });
            assert_eq!(file.finish(&to), hash_file(&whole), "{length} bytes");
        }
        // Bytes that a cut of power left as zeros are none that came.
        let mut broken = bytes.clone();
        let middle = broken.len() / 2;
        broken[middle] ^= 1;
        std::fs::write(atomic_file::beside(&to), &broken).expect("writes");
        assert_eq!(all.map(|one| UnitFile::open(&to).expect("goes on").has(&one)), [true, false, false]);
    }

    #[test]
    fn damaged_bytes_are_not_handed_on_in_silence() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("unit");
        let mut file = UnitFile::open(&to).expect("begins");
        file.add(&listed(1, 1), &[1; 100]).expect("adds");
        file.finish(&to).expect("finishes");
        let mut bytes = std::fs::read(&to).expect("reads");
        let last = bytes.len() - 20;
        bytes[last] = 2;
        std::fs::write(&to, &bytes).expect("writes");
        let failure = read(&to).expect_err("damaged");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Storage, FailureKind::Corrupt));
        std::fs::write(&to, &bytes[..last]).expect("writes");
        assert!(places(&to).is_err(), "it is cut");
    }
}
