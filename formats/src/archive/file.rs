//! The file that a zip archive is written to.

use std::fmt;
use std::io::{Error, ErrorKind, Result, Seek, SeekFrom, Write};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// From this size on an entry needs zip64.
const ZIP64_FROM: u64 = u32::MAX as u64;

/// How an entry of so many bytes is written: as it is, since readers open members in place.
#[must_use]
pub fn stored(size: u64) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(size >= ZIP64_FROM)
}

/// Asks whether nobody wants the archive any more.
type Stop = Box<dyn Fn() -> bool + Send>;

/// The file of an archive. What comes after it refused is dropped: a zip writer tries to end its archive when it is given up, and would
/// tell the terminal that it cannot.
pub struct ArchiveFile<W> {
    file: W,
    has_refused: bool,
    /// Where it is.
    at: u64,
    /// The farthest that it was: where a zip writer that is given up is told that it is.
    end: u64,
    stop: Option<Stop>,
}

impl<W> fmt::Debug for ArchiveFile<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveFile").field("has_refused", &self.has_refused).finish_non_exhaustive()
    }
}

impl<W> ArchiveFile<W> {
    /// Of a file at its start.
    #[must_use]
    pub fn new(file: W) -> Self {
        Self { file, has_refused: false, at: 0, end: 0, stop: None }
    }

    /// The same, which refuses as soon as `stop` says so: also in the middle of a large entry.
    #[must_use]
    pub fn until(self, stop: impl Fn() -> bool + Send + 'static) -> Self {
        Self { stop: Some(Box::new(stop)), ..self }
    }

    /// The file.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.file
    }

    fn noted<T>(&mut self, done: Result<T>) -> Result<T> {
        self.has_refused |= done.as_ref().is_err_and(|e| e.kind() != ErrorKind::Interrupted);
        done
    }
}

impl<W: Write> Write for ArchiveFile<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.has_refused {
            return Ok(bytes.len());
        }
        let done = match self.stop.as_ref().is_some_and(|stop| stop()) {
            true => Err(Error::other("nobody wants the archive any more")),
            false => self.file.write(bytes),
        };
        self.at = self.at.saturating_add(*done.as_ref().unwrap_or(&0) as u64);
        self.end = self.end.max(self.at);
        self.noted(done)
    }

    fn flush(&mut self) -> Result<()> {
        if self.has_refused {
            return Ok(());
        }
        let done = self.file.flush();
        self.noted(done)
    }
}

impl<W: Seek> Seek for ArchiveFile<W> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        if self.has_refused {
            return Ok(self.end);
        }
        let done = self.file.seek(to);
        self.at = *done.as_ref().unwrap_or(&self.at);
        self.end = self.end.max(self.at);
        self.noted(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn what_is_stopped_refuses_once_and_drops_the_rest() {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let mut file = ArchiveFile::new(Cursor::new(Vec::new())).until(move || stop.load(Ordering::Relaxed));
        file.write_all(b"abc").expect("writes");
        stopped.store(true, Ordering::Relaxed);
        file.write_all(b"def").expect_err("refuses");
        // What a zip writer does when it is dropped.
        file.write_all(b"ghi").and_then(|()| file.flush()).expect("drops");
        assert_eq!(file.stream_position().expect("tells"), 3, "no place before what was written");
        assert_eq!(file.seek(SeekFrom::Start(0)).expect("drops"), 3);
        assert_eq!(file.into_inner().into_inner(), b"abc");
    }
}
