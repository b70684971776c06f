//! Zip archives that others wrote. One rule for packages, tile packages and basemaps: what is opened here has been checked.

use offmap_disk::folder::MAX_FILES;
use offmap_disk::path::invalid;
use offmap_disk::{folder, path};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

/// Bytes that are read to find the entries of an archive.
const MAX_DIRECTORY: u64 = 64 << 20;
/// How many times its own length an archive may claim to hold once its entries are unpacked.
pub const MAX_RATIO: u64 = 100;
/// What any archive may claim, however small it is: a bundle of a few tiles is nearly all zeros.
const ALWAYS_UNPACKED: u64 = 16 << 20;

/// An archive whose structure was checked.
pub type Archive = ZipArchive<Source>;

/// The file of an archive. How much may be read is limited while the entries are looked for.
#[derive(Debug)]
pub struct Source {
    file: BufReader<File>,
    left: Arc<AtomicU64>,
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buf)?;
        let left = self.left.load(Ordering::Relaxed);
        if left == u64::MAX {
            return Ok(read);
        }
        let left = left
            .checked_sub(read as u64)
            .ok_or_else(|| invalid(format!("its directory is larger than {} MiB", MAX_DIRECTORY >> 20)))?;
        self.left.store(left, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Opens an archive by its path; see [`open_file`].
///
/// # Errors
/// As [`folder::open_regular`] and [`open_file`].
pub fn open(path: &std::path::Path) -> io::Result<Archive> {
    open_file(folder::open_regular(path)?)
}

/// Opens an archive and checks its structure: names are plain paths and differ, heads say what the directory says, no entries
/// overlap or are hidden, nothing is a link, and what it claims to hold is bounded by its length.
///
/// # Errors
/// With the text of what is wrong.
pub fn open_file(file: File) -> io::Result<Archive> {
    let length = file.metadata()?.len();
    let left = Arc::new(AtomicU64::new(MAX_DIRECTORY));
    let source = Source { file: BufReader::new(file), left: Arc::clone(&left) };
    // Positions count from the start of the file: what lies before the first entry could be another archive.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, source)?;
    // From here on only heads and entries are read, each within its own bounds.
    left.store(u64::MAX, Ordering::Relaxed);
    if archive.has_duplicate_names() {
        return Err(invalid("it has two entries of the same name"));
    }
    check_entries(&mut archive, length)?;
    archive.validate_header_consistency()?;
    Ok(archive)
}

fn check_entries(archive: &mut Archive, length: u64) -> io::Result<()> {
    if archive.len() > MAX_FILES {
        return Err(invalid(format!("it has {} entries, expected at most {MAX_FILES}", archive.len())));
    }
    let (mut packed, mut unpacked) = (0_u64, 0_u64);
    let mut names = HashSet::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index)?;
        let name = entry.name()?.into_owned();
        let shown = path::shown(&name).into_owned();
        path::check(name.strip_suffix('/').unwrap_or(&name)).map_err(|what| invalid(format!("entry `{shown}`: {what}")))?;
        if entry.is_symlink() {
            return Err(invalid(format!("entry `{shown}` is a link")));
        }
        if entry.encrypted() {
            return Err(invalid(format!("entry `{shown}` is encrypted")));
        }
        if entry.compression() == CompressionMethod::Stored && entry.compressed_size() != entry.size() {
            return Err(invalid(format!("entry `{shown}` is stored and has two different sizes")));
        }
        packed = packed.saturating_add(entry.compressed_size());
        unpacked = unpacked.saturating_add(entry.size());
        names.insert(name);
    }
    if packed > length {
        return Err(invalid(format!("its entries have {packed} bytes, the file has {length}")));
    }
    if unpacked > length.saturating_mul(MAX_RATIO).max(ALWAYS_UNPACKED) {
        return Err(invalid(format!(
            "its entries claim {unpacked} bytes when unpacked, expected at most {MAX_RATIO} times its length of {length}"
        )));
    }
    for name in &names {
        // A file cannot be a directory as well.
        let is_directory = name.ends_with('/');
        let mut above = name.trim_end_matches('/').match_indices('/').filter_map(|(at, _)| name.get(..at));
        let twice = is_directory && names.contains(name.trim_end_matches('/'));
        if let Some(above) = above.find(|above| names.contains(*above)) {
            return Err(invalid(format!("entry `{above}` is a file and a directory")));
        }
        if twice {
            return Err(invalid(format!("entry `{name}` is a file and a directory")));
        }
    }
    Ok(())
}
