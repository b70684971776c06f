//! Compares every byte of the structure of an archive that offmap wrote: stored entries one after another, no comments.

use super::central_directory::{CentralDirectoryEntry, entries, find, zip64_numbers};
use crate::little_endian::number;
use offmap_disk::folder::open_regular;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of the largest directory of an archive that is read.
const MAX_DIRECTORY: u64 = 64 << 20;

/// What a damage is of that is of no entry.
pub const DIRECTORY: &str = "(directory of the archive)";

/// A damage in an archive's own structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveDamage {
    /// Name of the entry, or [`DIRECTORY`].
    pub entry: String,
    /// What is wrong with it.
    pub what: String,
}

impl ArchiveDamage {
    fn of(entry: &str, what: impl Into<String>) -> Self {
        Self { entry: entry.to_owned(), what: what.into() }
    }
}

/// Checks every byte of the zip structure of an archive whose entries are all stored: heads that agree with the directory, entries
/// that follow each other without gaps, constant fields that are constant. What is inside the entries is not read. Blocks.
///
/// # Errors
/// If the file cannot be read.
pub fn audit(path: &Path) -> io::Result<Vec<ArchiveDamage>> {
    let mut file = BufReader::new(open_regular(path)?);
    let length = file.get_ref().metadata()?.len();
    let directory = |what: &str| Ok(vec![ArchiveDamage::of(DIRECTORY, what)]);
    let Some(place) = find(&mut file, length)? else {
        return directory("its end record is damaged or has a comment");
    };
    if place.start > place.end || place.end > length {
        return directory("its position lies outside the archive");
    }
    if place.end - place.start > MAX_DIRECTORY {
        return directory(&format!("it is larger than {} MiB", MAX_DIRECTORY >> 20));
    }
    let mut bytes = vec![0; usize::try_from(place.end - place.start).unwrap_or(0)];
    file.seek(SeekFrom::Start(place.start))?;
    file.read_exact(&mut bytes)?;
    let Some(entries) = entries(&bytes) else {
        return directory("an entry of it is damaged");
    };
    let mut damages = Vec::new();
    if entries.len() as u64 != place.entries {
        let what = format!("it says {} entries and has {}", place.entries, entries.len());
        damages.push(ArchiveDamage::of(DIRECTORY, what));
    }
    if let Some(end) = check_entries(&mut file, &entries, &mut damages)?
        && end != place.start
    {
        damages.push(ArchiveDamage::of(DIRECTORY, format!("it should start at {end}, it starts at {}", place.start)));
    }
    Ok(damages)
}

/// Goes from entry to entry; answers where the last one ends, or nothing where one is so damaged that the next cannot be found.
fn check_entries(
    file: &mut (impl Read + Seek),
    entries: &[CentralDirectoryEntry],
    damages: &mut Vec<ArchiveDamage>,
) -> io::Result<Option<u64>> {
    let mut at = 0;
    for entry in entries {
        // Made-by, disk, internal and external attributes are the same in all entries of an archive of ours.
        let first = entries.first().map(|e| e.head.as_slice()).unwrap_or_default();
        let differs = [4..6, 34..36, 36..38, 38..42].into_iter().any(|r| entry.head.get(r.clone()) != first.get(r));
        if differs || number(&entry.head, 34, 4) != 0 || number(&entry.head, 32, 2) != 0 {
            damages.push(ArchiveDamage::of(&entry.name, "its attributes in the archive's directory are damaged"));
        }
        if entry.offset != at {
            let what = format!("its data should start at {at}, the directory says {}", entry.offset);
            damages.push(ArchiveDamage::of(&entry.name, what));
            return Ok(None);
        }
        match local_head(file, entry)? {
            Ok(head) => at = head.saturating_add(entry.size).saturating_add(at),
            Err(what) => {
                damages.push(ArchiveDamage::of(&entry.name, what));
                return Ok(None);
            }
        }
    }
    Ok(Some(at))
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
