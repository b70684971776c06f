//! Which of the large files is written.

use super::request::FolderProgress;
use crate::files::FileProgress;
use std::cell::Cell;

/// The large files, counted as they come.
pub(super) struct Parts<'a> {
    of: usize,
    number: Cell<usize>,
    progress: &'a dyn Fn(FolderProgress<'_>),
}

impl<'a> Parts<'a> {
    pub(super) fn new(of: usize, progress: &'a dyn Fn(FolderProgress<'_>)) -> Self {
        Self { of, number: Cell::new(0), progress }
    }

    /// The next file begins.
    pub(super) fn next_part(&self) {
        self.number.set(self.number.get() + 1);
    }

    /// How far the file is.
    pub(super) fn tell(&self, part: &str, done: FileProgress) {
        (self.progress)(FolderProgress { part, number: self.number.get(), of: self.of, done });
    }
}
