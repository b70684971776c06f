//! The directory of a zip archive, and the records behind it that say where it is (APPNOTE.TXT 6.3, sections 4.3.12 to 4.3.16).

use crate::little_endian::number;
use std::io::{self, Read, Seek, SeekFrom};

/// What 32 bits of a size or place hold where the true number stands in 64 bits elsewhere.
const IN_64_BITS: u64 = u32::MAX as u64;
/// Bytes of the end record, of the locator before it, and of the end record in 64 bits before that.
const END: u64 = 22;
const LOCATOR: u64 = 20;
const END64: u64 = 56;
/// Bytes of an entry of the directory without its name and extra field.
const ENTRY: usize = 46;

/// One entry of the directory.
pub(super) struct CentralDirectoryEntry {
    pub(super) name: String,
    /// Its fixed fields, as they are.
    pub(super) head: Vec<u8>,
    pub(super) extra: Vec<u8>,
    /// Where the entry's own head is.
    pub(super) offset: u64,
    /// Bytes of its data; it is stored.
    pub(super) size: u64,
}

/// Where the directory is.
pub(super) struct DirectoryPlace {
    pub(super) start: u64,
    pub(super) end: u64,
    /// How many entries it has.
    pub(super) entries: u64,
}

/// Finds the directory by the end records; `None` where these are damaged, or a comment follows.
pub(super) fn find(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<DirectoryPlace>> {
    if length < END {
        return Ok(None);
    }
    let mut end = [0; END as usize];
    file.seek(SeekFrom::Start(length - END))?;
    file.read_exact(&mut end)?;
    let plain = number(&end, 0, 4) == 0x0605_4b50 && number(&end, 4, 4) == 0 && number(&end, 20, 2) == 0;
    if !plain || number(&end, 8, 2) != number(&end, 10, 2) {
        return Ok(None);
    }
    let (count, size, at) = (number(&end, 10, 2), number(&end, 12, 4), number(&end, 16, 4));
    let is_64 = count == 0xffff || size == IN_64_BITS || at == IN_64_BITS;
    if is_64 {
        return find_64(file, length, (count, size, at));
    }
    let directory_end = length - END;
    Ok((at + size == directory_end).then_some(DirectoryPlace { start: at, end: directory_end, entries: count }))
}

/// The same by the end record in 64 bits, which must agree with what the short one says: entries, size and place.
fn find_64(
    file: &mut (impl Read + Seek),
    length: u64,
    (count, size, at): (u64, u64, u64),
) -> io::Result<Option<DirectoryPlace>> {
    if length < END + LOCATOR + END64 {
        return Ok(None);
    }
    let mut tail = [0; (LOCATOR + END64) as usize];
    let directory_end = length - END - LOCATOR - END64;
    file.seek(SeekFrom::Start(directory_end))?;
    file.read_exact(&mut tail)?;
    let (end64, locator) = tail.split_at(END64 as usize);
    let good = number(end64, 0, 4) == 0x0606_4b50
        && number(end64, 4, 8) == 44
        && number(end64, 16, 8) == 0
        && number(end64, 24, 8) == number(end64, 32, 8)
        && number(locator, 0, 4) == 0x0706_4b50
        && number(locator, 4, 4) == 0
        && number(locator, 8, 8) == directory_end
        && number(locator, 16, 4) == 1;
    let (count64, size64, at64) = (number(end64, 32, 8), number(end64, 40, 8), number(end64, 48, 8));
    let agrees = |short: u64, long: u64, mark: u64| short == mark || short == long;
    let agrees = agrees(count, count64, 0xffff) && agrees(size, size64, IN_64_BITS) && agrees(at, at64, IN_64_BITS);
    // A hostile size may be any number of 64 bits.
    let ends_there = at64.checked_add(size64) == Some(directory_end);
    Ok((good && agrees && ends_there).then_some(DirectoryPlace { start: at64, end: directory_end, entries: count64 }))
}

/// The entries of a directory; `None` where one is damaged.
pub(super) fn entries(bytes: &[u8]) -> Option<Vec<CentralDirectoryEntry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let head = bytes.get(at..at + ENTRY)?;
        if number(head, 0, 4) != 0x0201_4b50 {
            return None;
        }
        let (name, extra) = (number(head, 28, 2) as usize, number(head, 30, 2) as usize);
        let name_bytes = bytes.get(at + ENTRY..at + ENTRY + name)?;
        let extra_bytes = bytes.get(at + ENTRY + name..at + ENTRY + name + extra)?;
        let (mut size, mut offset) = (number(head, 24, 4), number(head, 42, 4));
        let mut long = zip64_numbers(extra_bytes)?.into_iter();
        if size == IN_64_BITS {
            size = long.next()?;
        }
        if number(head, 20, 4) == IN_64_BITS && long.next()? != size {
            return None;
        }
        if offset == IN_64_BITS {
            offset = long.next()?;
        }
        if long.next().is_some() {
            return None;
        }
        entries.push(CentralDirectoryEntry {
            name: String::from_utf8(name_bytes.to_vec()).ok()?,
            head: head.to_vec(),
            extra: extra_bytes.to_vec(),
            offset,
            size,
        });
        at += ENTRY + name + extra;
    }
    Some(entries)
}

/// The 64-bit numbers of a zip64 extra field; nothing else may be there.
pub(super) fn zip64_numbers(extra: &[u8]) -> Option<Vec<u64>> {
    if extra.is_empty() {
        return Some(Vec::new());
    }
    let size = number(extra, 2, 2) as usize;
    if number(extra, 0, 2) != 1 || extra.len() != 4 + size || !size.is_multiple_of(8) {
        return None;
    }
    Some((0..size / 8).map(|i| number(extra, 4 + 8 * i, 8)).collect())
}
