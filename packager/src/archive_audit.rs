//! Checks the zip structure of an archive that [`write_mmpk`](crate::write_mmpk) wrote.

use offmap_disk::folder::open_regular;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Sizes from here on need zip64.
const ZIP64_FROM: u64 = u32::MAX as u64;
/// Bytes of the largest directory of an archive that is read.
const MAX_DIRECTORY: u64 = 64 << 20;
/// Names the directory of entries where a problem is not one of an entry's.
pub(crate) const DIRECTORY: &str = "(directory of the archive)";

/// A damage in the archive's own structure: the entry, or the directory of entries, and what is wrong.
pub(crate) type Damage = (String, String);

/// Little-endian number of `size` bytes at `at`.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes.get(at..at + size).unwrap_or_default().iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b))
}

struct CentralDirectoryEntry {
    name: String,
    head: Vec<u8>,
    extra: Vec<u8>,
    offset: u64,
    size: u64,
}

/// Checks every byte of the zip structure of an archive that `write_mmpk` wrote: heads that agree with the directory, entries
/// that follow each other without gaps, constant fields that are constant. What is inside the entries is verified by the manifest.
pub(crate) fn audit(path: &Path) -> io::Result<Vec<Damage>> {
    let mut file = BufReader::new(open_regular(path)?);
    let length = file.get_ref().metadata()?.len();
    let mut damages = Vec::new();
    let Some((directory_at, directory_end, count)) = end_of_directory(&mut file, length)? else {
        return Ok(vec![(DIRECTORY.to_owned(), "its end record is damaged or has a comment".to_owned())]);
    };
    if directory_at > directory_end || directory_end > length {
        return Ok(vec![(DIRECTORY.to_owned(), "its position lies outside the archive".to_owned())]);
    }
    if directory_end - directory_at > MAX_DIRECTORY {
        return Ok(vec![(DIRECTORY.to_owned(), format!("it is larger than {} MiB", MAX_DIRECTORY >> 20))]);
    }
    let mut bytes = vec![0; usize::try_from(directory_end - directory_at).unwrap_or(0)];
    file.seek(SeekFrom::Start(directory_at))?;
    file.read_exact(&mut bytes)?;
    let Some(entries) = read_directory(&bytes) else {
        return Ok(vec![(DIRECTORY.to_owned(), "an entry of it is damaged".to_owned())]);
    };
    if entries.len() as u64 != count {
        damages.push((DIRECTORY.to_owned(), format!("it says {count} entries and has {}", entries.len())));
    }
    let mut at = 0;
    for entry in &entries {
        // Made-by, disk, internal and external attributes are the same in all entries of an archive of ours.
        let first = entries.first().map(|e| e.head.as_slice()).unwrap_or_default();
        let differs = [4..6, 34..36, 36..38, 38..42].into_iter().any(|r| entry.head.get(r.clone()) != first.get(r));
        if differs || number(&entry.head, 34, 4) != 0 || number(&entry.head, 32, 2) != 0 {
            damages.push((entry.name.clone(), "its attributes in the archive's directory are damaged".to_owned()));
        }
        if entry.offset != at {
            damages
                .push((entry.name.clone(), format!("its data should start at {at}, the directory says {}", entry.offset)));
            return Ok(damages);
        }
        match local_head(&mut file, entry)? {
            Ok(head) => at += head + entry.size,
            Err(what) => {
                damages.push((entry.name.clone(), what));
                return Ok(damages);
            }
        }
    }
    if at != directory_at {
        damages.push((DIRECTORY.to_owned(), format!("it should start at {at}, it starts at {directory_at}")));
    }
    Ok(damages)
}

/// Start and end of the central directory and its number of entries, by the end record(s).
fn end_of_directory(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<(u64, u64, u64)>> {
    const END: u64 = 22;
    const LOCATOR: u64 = 20;
    const END64: u64 = 56;
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
    let is_64 = count == 0xffff || size == ZIP64_FROM || at == ZIP64_FROM;
    if !is_64 {
        let directory_end = length - END;
        return Ok((at + size == directory_end).then_some((at, directory_end, count)));
    }
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
    let agrees = agrees(count, count64, 0xffff) && agrees(size, size64, ZIP64_FROM) && agrees(at, at64, ZIP64_FROM);
    Ok((good && agrees && at64 + size64 == directory_end).then_some((at64, directory_end, count64)))
}

fn read_directory(bytes: &[u8]) -> Option<Vec<CentralDirectoryEntry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let head = bytes.get(at..at + 46)?;
        if number(head, 0, 4) != 0x0201_4b50 {
            return None;
        }
        let (name, extra) = (number(head, 28, 2) as usize, number(head, 30, 2) as usize);
        let name_bytes = bytes.get(at + 46..at + 46 + name)?;
        let extra_bytes = bytes.get(at + 46 + name..at + 46 + name + extra)?;
        let (mut size, mut offset) = (number(head, 24, 4), number(head, 42, 4));
        let mut long = zip64_numbers(extra_bytes)?.into_iter();
        if size == ZIP64_FROM {
            size = long.next()?;
        }
        if number(head, 20, 4) == ZIP64_FROM && long.next()? != size {
            return None;
        }
        if offset == ZIP64_FROM {
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
        at += 46 + name + extra;
    }
    Some(entries)
}

/// The 64-bit numbers of a zip64 extra field; nothing else may be there.
fn zip64_numbers(extra: &[u8]) -> Option<Vec<u64>> {
    if extra.is_empty() {
        return Some(Vec::new());
    }
    let size = number(extra, 2, 2) as usize;
    if number(extra, 0, 2) != 1 || extra.len() != 4 + size || !size.is_multiple_of(8) {
        return None;
    }
    Some((0..size / 8).map(|i| number(extra, 4 + 8 * i, 8)).collect())
}

/// Compares an entry's own head with the directory; answers the head's size, or what is wrong.
fn local_head(file: &mut (impl Read + Seek), entry: &CentralDirectoryEntry) -> io::Result<Result<u64, String>> {
    let damaged = |what: &str| Ok(Err(format!("its head in the archive is damaged: {what}")));
    let mut head = [0; 30];
    file.seek(SeekFrom::Start(entry.offset))?;
    if file.read_exact(&mut head).is_err() || number(&head, 0, 4) != 0x0403_4b50 {
        return damaged("no head where the directory points");
    }
    // Version, flags, method, time, date and CRC stand in both, two bytes apart.
    if head.get(4..18) != entry.head.get(6..20) {
        return damaged("version, flags, method, time or checksum differ from the directory");
    }
    if number(&head, 8, 2) != 0 {
        return damaged("it is compressed, expected stored");
    }
    let mut name = vec![0; number(&head, 26, 2) as usize];
    let mut extra = vec![0; number(&head, 28, 2) as usize];
    if file.read_exact(&mut name).is_err() || file.read_exact(&mut extra).is_err() {
        return damaged("it ends early");
    }
    if name != entry.name.as_bytes() {
        return damaged("its name differs from the directory");
    }
    let long = zip64_numbers(&extra);
    let sizes = match long.as_deref() {
        Some([]) => (number(&head, 22, 4), number(&head, 18, 4)),
        Some([size, packed]) if number(&head, 18, 8) == u64::MAX => (*size, *packed),
        _ => return damaged("its extra field is not ours"),
    };
    if sizes != (entry.size, entry.size) || (entry.extra.is_empty() && number(&entry.head, 20, 4) != entry.size) {
        return damaged("its size differs from the directory");
    }
    Ok(Ok(30 + name.len() as u64 + extra.len() as u64))
}
