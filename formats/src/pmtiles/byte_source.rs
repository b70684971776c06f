//! Where the bytes of an archive are.

use crate::tile_reader::{damaged, unreadable};
use offmap_model::Failure;
use std::fmt::Debug;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const AHEAD: usize = 256 << 10;

/// The bytes of an archive, wherever they are: a file, or what of it was fetched.
pub trait ByteSource: Debug + Send {
    /// Bytes of the whole archive.
    fn size(&self) -> u64;

    /// Reads exactly `length` bytes at `offset` into `bytes`, in place of what is there. Nobody asks for more than the limits of a
    /// reader, nor beyond the size. Blocks.
    ///
    /// # Errors
    /// If they are not there, or cannot be read.
    fn read_at(&mut self, offset: u64, length: u64, bytes: &mut Vec<u8>) -> Result<(), Failure>;
}

/// A file.
#[derive(Debug)]
pub(super) struct FileSource {
    path: PathBuf,
    file: BufReader<File>,
    size: u64,
}

impl FileSource {
    pub(super) fn new(path: &Path, file: File) -> Result<Self, Failure> {
        let size = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        Ok(Self { path: path.to_owned(), file: BufReader::with_capacity(AHEAD, file), size })
    }
}

impl ByteSource for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, length: u64, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        let from = self.file.stream_position().map_err(|e| unreadable(&self.path, &e))?;
        // A step within what was read ahead does not read again.
        let moved = match i64::try_from(offset).ok().zip(i64::try_from(from).ok()) {
            Some((to, from)) => self.file.seek_relative(to - from),
            None => self.file.seek(SeekFrom::Start(offset)).map(|_| ()),
        };
        bytes.clear();
        let read = moved.and_then(|()| self.file.by_ref().take(length).read_to_end(bytes));
        match read {
            Ok(read) if read as u64 == length => Ok(()),
            Ok(read) => Err(damaged(&self.path, format!("it has {read} bytes at {offset}, expected {length}"))),
            Err(error) => Err(unreadable(&self.path, &error)),
        }
    }
}
