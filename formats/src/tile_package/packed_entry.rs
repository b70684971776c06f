//! Compressed entries of tile packages. Packages should be stored, but old ones (`.tpk`) are found deflated and are readable data.
//!
//! The SDK takes uncompressed `.tpkx` and `.vtpk` only (tile reference §13), so those are refused by that name: they are not damaged.

use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use zip::CompressionMethod;

/// Largest entry that is inflated, in bytes: a bundle of 16384 tiles of 256 KiB. Nothing of it is kept in memory.
pub(crate) const LARGEST_INFLATED: u64 = 4 << 30;

/// Whether an entry of a package is read here, and by those who draw the tiles.
pub(crate) fn is_read(name: &str) -> bool {
    let is_document = matches!(name, "root.json" | "p12/root.json" | "p12/tilemap/root.json");
    // Style, sprites and fonts.
    let is_resource = name.starts_with("p12/resources/") && !name.ends_with('/');
    is_document || is_resource || name.ends_with(".bundle") || name.ends_with(".bundlx")
}

/// Checks that an entry of a package can be read: stored, or in an old package deflated and not beyond the ceiling.
pub(crate) fn check(path: &Path, name: &str, method: CompressionMethod, size: u64, is_old: bool) -> Result<(), Failure> {
    let words = match (method, is_old) {
        (CompressionMethod::Stored, _) => return Ok(()),
        (CompressionMethod::Deflated, true) if size <= LARGEST_INFLATED => return Ok(()),
        (CompressionMethod::Deflated, true) => {
            format!("entry `{name}` has {size} bytes when inflated, expected at most {LARGEST_INFLATED}")
        }
        (_, true) => format!("entry `{name}` is compressed ({method}), expected stored or deflated"),
        (_, false) => format!("entry `{name}` is compressed ({method}), expected stored, as readers want it"),
    };
    Err(compressed(path, &words))
}

fn compressed(path: &Path, words: &str) -> Failure {
    let file = path.file_name().unwrap_or_default().display();
    let message =
        format!("{file} is a compressed package: {words}; unpack it and zip it again without compression (`zip -0 -r`)");
    Failure::new(FailureOwner::Source, FailureKind::NotSupported, FailureStage::Check, message)
}

/// A reader that goes forward only, and never beyond the size that its entry states.
#[derive(Debug)]
pub(crate) struct Forward<R> {
    inner: R,
    at: u64,
    size: u64,
}

impl<R: Read> Forward<R> {
    pub(crate) fn new(inner: R, size: u64) -> Self {
        Self { inner, at: 0, size }
    }
}

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        if left == 0 && !buffer.is_empty() {
            // The end must be the end; this also lets the archive check its checksum.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(invalid(format!("it inflates beyond the {} bytes that it states", self.size))),
            };
        }
        let length = left.min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..length).unwrap_or_default())?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read> Seek for Forward<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        let Some(ahead) = to.and_then(|to| to.checked_sub(self.at)) else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a compressed entry is read forward only"));
        };
        let skipped = io::copy(&mut self.by_ref().take(ahead), &mut io::sink())?;
        if skipped < ahead {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.at)
    }
}

fn invalid(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_package_s_entry_is_inflated_up_to_the_ceiling() {
        let check = |size, is_old| check(Path::new("x"), "a.bundle", CompressionMethod::Deflated, size, is_old);
        assert!(check(LARGEST_INFLATED, true).is_ok());
        let failure = check(LARGEST_INFLATED + 1, true).expect_err("refused");
        assert!(failure.message.contains("4294967297 bytes when inflated, expected at most 4294967296"), "{failure}");
        assert!(check(1, false).is_err());
    }

    #[test]
    fn a_forward_reader_skips_ahead_and_stops_where_its_entry_says() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut forward = Forward::new(bytes.as_slice(), 100);
        let mut two = [0; 2];
        assert_eq!(forward.seek(SeekFrom::Start(40)).expect("ahead"), 40);
        forward.read_exact(&mut two).expect("reads");
        assert_eq!(two, [40, 41]);
        assert!(forward.seek(SeekFrom::Start(10)).is_err(), "never back");
        assert!(forward.seek(SeekFrom::Start(101)).is_err(), "never beyond");
        let mut all = Vec::new();
        assert_eq!(Forward::new(bytes.as_slice(), 100).read_to_end(&mut all).expect("reads"), 100);
        let error = Forward::new(bytes.as_slice(), 99).read_to_end(&mut all).expect_err("it goes on");
        assert!(error.to_string().contains("beyond the 99 bytes"), "{error}");
    }
}
