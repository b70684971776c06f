//! The files of a package, whether it is a directory or an archive. Nothing but regular files inside it is ever opened.

use crate::archive;
use crate::archive::Archive;
use offmap_disk::copying::copy_until;
use offmap_disk::folder::{Folder, open_regular};
use offmap_disk::path as names;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Room for a small file, so that it is read in one piece.
const READ_AT_ONCE: usize = 16 << 10;

/// A package's files, by path with forward slashes.
#[derive(Debug)]
pub enum Container {
    /// A directory.
    Directory {
        /// Where it is.
        path: PathBuf,
        /// It, opened.
        folder: Folder,
    },
    /// An archive.
    Archive {
        /// Where it is.
        path: PathBuf,
        /// It, opened, with its structure checked.
        zip: Box<Mutex<Archive>>,
    },
}

/// What is in a container.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files with their sizes, in order.
    pub files: Vec<(String, u64)>,
    /// What is there and is no file of a package, and why.
    pub refused: Vec<(String, String)>,
}

/// A package whose content is not what it must be.
pub fn damaged(path: &Path, words: impl std::fmt::Display) -> Failure {
    let message = format!("{}: {words}", path.display());
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let mut failure = Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), error);
    if error.kind() == std::io::ErrorKind::NotFound {
        failure.owner = FailureOwner::Caller;
        failure.kind = FailureKind::NotFound;
    }
    failure
}

/// An error that says what is wrong with the file is damage; any other one is of the disk.
fn failed(path: &Path, name: &str, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | Other | UnexpectedEof => damaged(path, format!("{}: {error}", names::shown(name))),
        _ => unreadable(&path.join(name), error),
    }
}

impl Container {
    /// Opens a directory, or a zip whatever its ending.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        if metadata.is_dir() {
            let folder = Folder::open(path).map_err(|e| unreadable(path, &e))?;
            return Ok(Self::Directory { path: path.to_owned(), folder });
        }
        let not_a_package = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => unreadable(path, &e),
            _ => damaged(path, format!("neither a package directory nor a .mmpk archive ({e})")),
        };
        let zip = open_regular(path).and_then(archive::open_file).map_err(not_a_package)?;
        Ok(Self::Archive { path: path.to_owned(), zip: Box::new(Mutex::new(zip)) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory { path, .. } | Self::Archive { path, .. } => path,
        }
    }

    /// Whether it is an archive.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        matches!(self, Self::Archive { .. })
    }

    /// Every file with its size, by path, and what else is there.
    pub fn list(&self) -> Result<Listing, Failure> {
        match self {
            Self::Directory { path, folder } => {
                let listing = folder.list().map_err(|e| failed(path, "", &e))?;
                Ok(Listing { files: listing.files, refused: listing.refused })
            }
            Self::Archive { path, zip } => {
                // Names and kinds of its entries were checked when it was opened.
                let zip = lock(zip);
                let mut files = Vec::new();
                for i in 0..zip.len() {
                    let entry = zip.by_index_data(i).map_err(|e| damaged(path, e))?;
                    if !entry.is_dir() {
                        files.push((entry.name().map_err(|e| damaged(path, e))?.into_owned(), entry.size()));
                    }
                }
                files.sort_unstable();
                Ok(Listing { files, refused: Vec::new() })
            }
        }
    }

    /// Every file with its size, by path.
    ///
    /// Fails if there is anything but files in it.
    pub fn files(&self) -> Result<Vec<(String, u64)>, Failure> {
        let listing = self.list()?;
        match listing.refused.first() {
            Some((name, what)) => Err(damaged(self.path(), format!("{name}: {what}"))),
            None => Ok(listing.files),
        }
    }

    /// Reads a small file whole.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(READ_AT_ONCE);
        self.with_reader(name, |reader| reader.take(limit.saturating_add(1)).read_to_end(&mut bytes))?;
        if bytes.len() as u64 > limit {
            return Err(damaged(self.path(), format!("{name} is larger than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// Lends a file's bytes, one after another; an archive's checksum is checked when its end is reached.
    pub(crate) fn with_reader<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut dyn Read) -> std::io::Result<T>,
    ) -> Result<T, Failure> {
        let failed = |e: std::io::Error| failed(self.path(), name, &e);
        match self {
            Self::Directory { folder, .. } => folder.file(name).and_then(|mut file| work(&mut file)).map_err(failed),
            Self::Archive { path, zip } => {
                let mut zip = lock(zip);
                let entry = zip.by_name(name).map_err(|e| damaged(path, format!("{}: {e}", names::shown(name))))?;
                // An entry that inflates beyond the size that it states ends a byte after it, which no size or hash agrees with.
                let most = entry.size().saturating_add(1);
                work(&mut entry.take(most)).map_err(failed)
            }
        }
    }

    /// Copies a file's bytes until its end, or until `cancel` is cancelled.
    pub fn copy(
        &self,
        name: &str,
        cancel: &CancellationToken,
        mut to: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, Failure> {
        let copied = self.with_reader(name, |reader| match copy_until(reader, cancel, &mut to) {
            Err(_) if cancel.is_cancelled() => Ok(None),
            copied => copied.map(Some),
        })?;
        copied.ok_or_else(Failure::cancelled)
    }
}

fn lock(zip: &Mutex<Archive>) -> std::sync::MutexGuard<'_, Archive> {
    zip.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
