//! The files of a package, whether it is a directory or an archive.

use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use zip::ZipArchive;

/// Files that a package may have; more are not listed.
const MAX_FILES: usize = 1_000_000;

/// A package's files, by path with forward slashes.
#[derive(Debug)]
pub(crate) enum Container {
    Directory(PathBuf),
    Archive { path: PathBuf, zip: Mutex<ZipArchive<BufReader<File>>> },
}

pub(crate) fn damaged(path: &Path, words: impl std::fmt::Display) -> Failure {
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

impl Container {
    /// Opens a directory, or a zip whatever its ending.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        if metadata.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| damaged(path, format!("neither a package directory nor a .mmpk archive ({e})")))?;
        Ok(Self::Archive { path: path.to_owned(), zip: Mutex::new(zip) })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Archive { path, .. } => path,
        }
    }

    pub(crate) fn is_archive(&self) -> bool {
        matches!(self, Self::Archive { .. })
    }

    /// Every file with its size, by path.
    pub(crate) fn files(&self) -> Result<Vec<(String, u64)>, Failure> {
        let mut files = match self {
            Self::Directory(root) => {
                let mut files = Vec::new();
                walk(root, root, &mut files)?;
                files
            }
            Self::Archive { path, zip } => {
                let mut zip = lock(zip);
                let mut files = Vec::new();
                for i in 0..zip.len().min(MAX_FILES) {
                    let entry = zip.by_index_raw(i).map_err(|e| damaged(path, e))?;
                    let name = entry.name().map_err(|e| damaged(path, e))?.into_owned();
                    if entry.enclosed_name().is_none() || entry.is_symlink() {
                        return Err(damaged(path, format!("entry `{name}` would leave the package")));
                    }
                    if !entry.is_dir() {
                        files.push((name, entry.size()));
                    }
                }
                files
            }
        };
        files.sort();
        Ok(files)
    }

    pub(crate) fn size_of(&self, name: &str) -> Option<u64> {
        match self {
            Self::Directory(root) => {
                let metadata = std::fs::symlink_metadata(inside(root, name)?).ok()?;
                metadata.is_file().then_some(metadata.len())
            }
            Self::Archive { zip, .. } => lock(zip).by_name(name).ok().map(|e| e.size()),
        }
    }

    /// Reads a small file whole.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.with_reader(name, |reader| reader.take(limit + 1).read_to_end(&mut bytes))?;
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
        let failed = |e: std::io::Error| damaged(self.path(), format!("{name}: {e}"));
        match self {
            Self::Directory(root) => {
                let path = inside(root, name).ok_or_else(|| damaged(root, format!("`{name}` would leave the package")))?;
                work(&mut File::open(&path).map_err(|e| unreadable(&path, &e))?).map_err(failed)
            }
            Self::Archive { path, zip } => {
                let mut zip = lock(zip);
                let entry = zip.by_name(name).map_err(|e| damaged(path, format!("{name}: {e}")))?;
                // An entry that inflates beyond the size that it states ends a byte after it, which no size or hash agrees with.
                let most = entry.size().saturating_add(1);
                work(&mut entry.take(most)).map_err(failed)
            }
        }
    }
}

fn lock(zip: &Mutex<ZipArchive<BufReader<File>>>) -> std::sync::MutexGuard<'_, ZipArchive<BufReader<File>>> {
    zip.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<(String, u64)>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| unreadable(dir, &e);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            walk(root, &path, files)?;
        } else if files.len() < MAX_FILES {
            let name: Vec<_> = path.strip_prefix(root).unwrap_or(&path).components().collect();
            let name: Vec<_> = name.iter().map(|c| c.as_os_str().to_string_lossy()).collect();
            // A link is listed with no size of its own, so that it never matches a manifest.
            let bytes = if kind.is_file() { entry.metadata().map_err(failed)?.len() } else { 0 };
            files.push((name.join("/"), bytes));
        }
    }
    Ok(())
}

/// A path below `root`, or `None` if the name would leave it.
fn inside(root: &Path, name: &str) -> Option<PathBuf> {
    let relative = Path::new(name);
    relative.components().all(|c| matches!(c, Component::Normal(_))).then(|| root.join(relative))
}
