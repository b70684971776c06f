//! A zip of stored entries that grows entry by entry, each known by size and checksum when its last byte is written.
//!
//! So that a file of tiles is written once and can be resumed: the writer of the `zip` crate knows its entries in memory alone. Of
//! the archive's numbers those of an entry are in 32 bits, its place is in 64 where it needs that. Times are the first that zip
//! knows, so that the same entries become the same bytes. Source: APPNOTE.TXT 6.3, §4.3.

use crate::tile_writing::AppendFile;
use offmap_disk::folder::MAX_FILES;
use offmap_disk::path;
use offmap_model::Failure;
use std::collections::HashSet;

/// Bytes of an entry's own head before its name.
pub(super) const LOCAL_HEAD: u64 = 30;
/// Where its checksum and its two sizes are.
const CHECKSUM: u64 = 14;
/// Names are UTF-8.
const UTF_8: u16 = 1 << 11;
/// The first of January 1980.
const DATE: u16 = (1 << 5) | 1;
/// What is needed to read it: folders, and numbers of 64 bits.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// Made under Unix, so that files have the rights that they have there.
const MADE_BY: u16 = (3 << 8) | VERSION_64;
const RIGHTS: u32 = 0o100_644 << 16;
/// From here on a number stands in 64 bits elsewhere.
const IN_64_BITS: u64 = u32::MAX as u64;

/// An entry that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZipEntry {
    pub(super) name: String,
    /// Where its own head is.
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) crc: u32,
}

/// The entries of the archive.
#[derive(Debug, Default)]
pub(super) struct StoredZip {
    pub(super) entries: Vec<ZipEntry>,
    names: HashSet<String>,
}

fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl StoredZip {
    /// Begins an entry; answers where its own head is.
    pub(super) fn begin(&mut self, file: &mut AppendFile, name: &str) -> Result<u64, Failure> {
        path::check(name).map_err(|what| Failure::internal(format!("entry `{}`: {what}", path::shown(name))))?;
        if self.entries.len() >= MAX_FILES {
            return Err(Failure::not_supported(format!("the package would have more than {MAX_FILES} entries")));
        }
        let offset = file.end();
        let mut head = Vec::with_capacity(64);
        head.extend_from_slice(&0x0403_4b50_u32.to_le_bytes());
        [VERSION, UTF_8, 0, 0, DATE].iter().for_each(|n| head.extend_from_slice(&n.to_le_bytes()));
        head.extend_from_slice(&[0; 12]);
        // Names are of at most 1024 bytes.
        [name.len() as u16, 0].iter().for_each(|n| head.extend_from_slice(&n.to_le_bytes()));
        head.extend_from_slice(name.as_bytes());
        file.append(&head)?;
        Ok(offset)
    }

    /// Ends the entry that began at `offset`: its bytes are those behind its head.
    pub(super) fn end(&mut self, file: &mut AppendFile, name: &str, offset: u64, crc: u32) -> Result<(), Failure> {
        let size = file.end() - offset - LOCAL_HEAD - name.len() as u64;
        let Some(size) = u32::try_from(size).ok().filter(|size| *size < u32::MAX) else {
            return Err(Failure::not_supported(format!("entry `{name}` has {size} bytes, expected less than 4 GiB")));
        };
        let mut numbers = Vec::from(crc.to_le_bytes());
        numbers.extend_from_slice(&size.to_le_bytes());
        numbers.extend_from_slice(&size.to_le_bytes());
        file.replace(offset + CHECKSUM, &numbers)?;
        self.keep(ZipEntry { name: name.to_owned(), offset, size, crc });
        Ok(())
    }

    fn keep(&mut self, entry: ZipEntry) {
        self.names.insert(entry.name.clone());
        self.entries.push(entry);
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, file: &mut AppendFile, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        if self.names.contains(name) {
            return Ok(());
        }
        let offset = self.begin(file, name)?;
        file.append(bytes)?;
        self.end(file, name, offset, crc32fast::hash(bytes))
    }

    /// Notes an entry that an earlier process ended.
    pub(super) fn note(&mut self, file: &mut AppendFile, name: &str, offset: u64, size: u64) -> Result<(), Failure> {
        let mut crc = [0; 4];
        file.read_through(offset + CHECKSUM, 4, &mut |piece| {
            crc.copy_from_slice(piece);
            true
        })?;
        let entry = ZipEntry { name: name.to_owned(), offset, size: short(size), crc: u32::from_le_bytes(crc) };
        self.keep(entry);
        Ok(())
    }

    /// Writes the directory of the entries.
    pub(super) fn finish(&self, file: &mut AppendFile) -> Result<(), Failure> {
        let start = file.end();
        for entry in &self.entries {
            file.append(&directory_entry(entry))?;
        }
        let (end, count) = (file.end(), self.entries.len() as u64);
        let size = end - start;
        if count >= 0xffff || start >= IN_64_BITS || size >= IN_64_BITS {
            let mut record = Vec::from(0x0606_4b50_u32.to_le_bytes());
            record.extend_from_slice(&44_u64.to_le_bytes());
            [MADE_BY, VERSION_64].iter().for_each(|n| record.extend_from_slice(&n.to_le_bytes()));
            record.extend_from_slice(&[0; 8]);
            [count, count, size, start].iter().for_each(|n| record.extend_from_slice(&n.to_le_bytes()));
            record.extend_from_slice(&0x0706_4b50_u32.to_le_bytes());
            record.extend_from_slice(&[0; 4]);
            record.extend_from_slice(&end.to_le_bytes());
            record.extend_from_slice(&1_u32.to_le_bytes());
            file.append(&record)?;
        }
        let mut record = Vec::from(0x0605_4b50_u32.to_le_bytes());
        record.extend_from_slice(&[0; 4]);
        let few = u16::try_from(count).unwrap_or(u16::MAX);
        [few, few].iter().for_each(|n| record.extend_from_slice(&n.to_le_bytes()));
        [short(size), short(start)].iter().for_each(|n| record.extend_from_slice(&n.to_le_bytes()));
        record.extend_from_slice(&[0; 2]);
        file.append(&record)
    }
}

fn directory_entry(entry: &ZipEntry) -> Vec<u8> {
    let is_far = entry.offset >= IN_64_BITS;
    let mut bytes = Vec::from(0x0201_4b50_u32.to_le_bytes());
    let version = if is_far { VERSION_64 } else { VERSION };
    [MADE_BY, version, UTF_8, 0, 0, DATE].iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
    [entry.crc, entry.size, entry.size].iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
    let extra: u16 = if is_far { 12 } else { 0 };
    [entry.name.len() as u16, extra, 0, 0, 0].iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
    [RIGHTS, short(entry.offset)].iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
    bytes.extend_from_slice(entry.name.as_bytes());
    if is_far {
        [1_u16, 8].iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;
    use std::io::Read as _;

    fn written(count: usize, far: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = AppendFile::open(&dir.path().join("x.zip"), 0).expect("opens");
        let mut zip = StoredZip::default();
        for n in 0..count {
            zip.add(&mut file, &format!("a/{n}.txt"), format!("entry {n}").as_bytes()).expect("adds");
        }
        // As if so much lay between.
        zip.entries.iter_mut().skip(1).for_each(|entry| entry.offset += far);
        zip.finish(&mut file).expect("finishes");
        file.sync().expect("syncs");
        dir
    }

    #[test]
    fn what_is_written_is_opened_and_checked_by_others_rules() {
        for count in [1, 5, 0xffff, 66_000] {
            let dir = written(count, 0);
            let mut archive = archive::open(&dir.path().join("x.zip")).expect("opens");
            assert_eq!(archive.len(), count);
            let mut text = String::new();
            let last = format!("a/{}.txt", count - 1);
            archive.by_name(&last).expect("there").read_to_string(&mut text).expect("reads");
            assert_eq!(text, format!("entry {}", count - 1));
        }
    }

    #[test]
    fn a_place_beyond_32_bits_stands_in_64() {
        let entry = ZipEntry { name: "x".to_owned(), offset: 5 << 32, size: 1, crc: 2 };
        let bytes = directory_entry(&entry);
        assert_eq!(bytes[42..46], [0xff; 4]);
        assert_eq!(bytes[bytes.len() - 12..], [1, 0, 8, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(bytes.len(), 46 + 1 + 12);
    }
}
