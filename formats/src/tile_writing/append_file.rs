//! A file that grows at its end; what is in it can be read back, and some places are filled in later.

use offmap_disk::safe_path;
use offmap_model::{Failure, FailureStage};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Bytes that wait until they are written in one piece.
const BUFFER: usize = 1 << 20;

/// A file that grows.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    writer: File,
    reader: File,
    buffer: Vec<u8>,
    /// Bytes that are in the file.
    written: u64,
}

impl AppendFile {
    /// Makes a file, or cuts the one that is there to `length` bytes.
    pub(crate) fn open(path: &Path, length: u64) -> Result<Self, Failure> {
        let failed = |e: &io::Error| cannot_write(path, e);
        let mut writer = safe_path::open_to_write(path).map_err(|e| failed(&e))?;
        let there = writer.metadata().map_err(|e| failed(&e))?.len();
        if there < length {
            let short = io::Error::new(io::ErrorKind::UnexpectedEof, format!("it has {there} bytes, expected {length}"));
            return Err(failed(&short));
        }
        writer.set_len(length).map_err(|e| failed(&e))?;
        writer.seek(SeekFrom::Start(length)).map_err(|e| failed(&e))?;
        let reader = safe_path::open_file(path).map_err(|e| failed(&e))?;
        Ok(Self { path: path.to_owned(), writer, reader, buffer: Vec::with_capacity(BUFFER), written: length })
    }

    /// How long it is, with what waits.
    pub(crate) fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.write_out()?;
        }
        if bytes.len() >= BUFFER {
            return self.write_through(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds zeros at the end.
    pub(crate) fn append_zeros(&mut self, count: usize) -> Result<(), Failure> {
        self.append(&vec![0; count])
    }

    /// Puts other bytes in the place of some that are there.
    pub(crate) fn replace(&mut self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.write_out()?;
        let path = &self.path;
        let writer = &mut self.writer;
        let end = self.written;
        let replaced = writer
            .seek(SeekFrom::Start(at))
            .and_then(|_| writer.write_all(bytes))
            .and_then(|()| writer.seek(SeekFrom::Start(end)));
        replaced.map_err(|e| cannot_write(path, &e))?;
        Ok(())
    }

    /// Cuts it to so many bytes.
    pub(crate) fn cut(&mut self, end: u64) -> Result<(), Failure> {
        self.write_out()?;
        let cut = self.writer.set_len(end).and_then(|()| self.writer.seek(SeekFrom::Start(end)));
        cut.map_err(|e| cannot_write(&self.path, &e))?;
        self.written = end;
        Ok(())
    }

    /// Whether the bytes at a place are these.
    pub(crate) fn holds(&mut self, at: u64, bytes: &[u8]) -> Result<bool, Failure> {
        let Some(end) = at.checked_add(bytes.len() as u64).filter(|end| *end <= self.end()) else { return Ok(false) };
        if at >= self.written {
            let from = usize::try_from(at - self.written).unwrap_or(usize::MAX);
            return Ok(self.buffer.get(from..from.saturating_add(bytes.len())) == Some(bytes));
        }
        if end > self.written {
            self.write_out()?;
        }
        let mut is_same = true;
        let mut compared = 0;
        self.read_through(at, bytes.len() as u64, &mut |piece| {
            is_same &= bytes.get(compared..compared + piece.len()) == Some(piece);
            compared += piece.len();
            is_same
        })?;
        Ok(is_same)
    }

    /// Reads bytes of it piece by piece, as long as `more` wants more.
    pub(crate) fn read_through(&mut self, at: u64, length: u64, more: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Failure> {
        self.write_out()?;
        let failed = |e: &io::Error| Failure::io(FailureStage::Check, format!("cannot read {}", self.path.display()), e);
        self.reader.seek(SeekFrom::Start(at)).map_err(|e| failed(&e))?;
        let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(64 << 10)];
        let mut left = length;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let part = piece.get_mut(..size).unwrap_or_default();
            self.reader.read_exact(part).map_err(|e| failed(&e))?;
            left -= size as u64;
            if !more(part) {
                break;
            }
        }
        Ok(())
    }

    /// Writes what waits.
    fn write_out(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write_through(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    fn write_through(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|e| cannot_write(&self.path, &e))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Forces it to the disk.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        self.write_out()?;
        self.writer.sync_data().map_err(|e| cannot_write(&self.path, &e))
    }
}

pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::io(FailureStage::Package, format!("cannot write {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_back_wherever_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x");
        let mut file = AppendFile::open(&path, 0).expect("opens");
        file.append(b"hello ").expect("appends");
        assert!(file.holds(0, b"hello").expect("reads"), "while it waits");
        file.sync().expect("syncs");
        file.append(b"world").expect("appends");
        assert!(file.holds(4, b"o wor").expect("reads"), "over what is written and what waits");
        assert!(!file.holds(4, b"o war").expect("reads"));
        assert!(!file.holds(8, b"rldx").expect("reads"), "beyond the end");
        file.append(&vec![7; BUFFER + 1]).expect("appends");
        file.replace(0, b"J").expect("replaces");
        assert_eq!(file.end(), 11 + BUFFER as u64 + 1);
        file.sync().expect("syncs");
        assert_eq!(std::fs::read(&path).expect("reads")[..11], *b"Jello world");
        drop(file);
        let mut file = AppendFile::open(&path, 5).expect("opens");
        file.append(b"!").expect("appends");
        file.sync().expect("syncs");
        assert_eq!(std::fs::read(&path).expect("reads"), b"Jello!");
        assert!(AppendFile::open(&path, 7).is_err(), "it is shorter than that");
    }
}
