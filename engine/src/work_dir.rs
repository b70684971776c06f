//! A job's private directory beside its destination: on the same file system, so that the package can be renamed into place.

use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::packager::REPLACED;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The ledger in a work directory: where it is, there is a job to go on with.
const LEDGER: &str = "ledger.sqlite";
const LOCK: &str = "lock";
/// Around the destination's name in the directory's name.
const PREFIX: &str = ".";
const SUFFIX: &str = ".offmap";

/// `<parent>/.<name>.offmap`, locked while the job lives.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    _lock: File,
}

/// The work directory that belongs to a destination.
pub(crate) fn path_for(destination: &Path) -> Result<PathBuf, Failure> {
    let name = destination.file_name().ok_or_else(|| {
        Failure::invalid_parameter(format!("the destination {} has no name; name a directory", destination.display()))
    })?;
    let mut hidden = std::ffi::OsString::from(PREFIX);
    hidden.push(name);
    hidden.push(SUFFIX);
    Ok(destination.with_file_name(hidden))
}

fn not_usable(message: String) -> Failure {
    Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Run, message)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Run, format!("cannot use the work directory {}", path.display()), error)
}

/// Locks the directory and writes down who holds it.
fn lock(path: &Path, destination: &Path) -> Result<File, Failure> {
    let failed = |e: &std::io::Error| failed(path, e);
    let name = path.join(LOCK);
    let open = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&name);
    let mut lock = open.map_err(|e| failed(&e))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only words for a person: without them the message is still right.
            let _ = lock.read_to_string(&mut holder);
            let holder = holder.trim();
            let who = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
            return Err(not_usable(format!("another job{who} is writing to {}; wait for its end", destination.display())));
        }
        Err(TryLockError::Error(e)) => return Err(failed(&e)),
    }
    let holder = format!("process {}", std::process::id());
    lock.set_len(0).and_then(|()| lock.write_all(holder.as_bytes())).map_err(|e| failed(&e))?;
    Ok(lock)
}

impl WorkDir {
    /// Makes and locks the directory. What a job that died before its plan left there is removed; a job that can go on is not.
    pub(crate) fn make(destination: &Path) -> Result<Self, Failure> {
        let path = path_for(destination)?;
        std::fs::create_dir_all(&path).map_err(|e| failed(&path, &e))?;
        let lock = lock(&path, destination)?;
        if path.join(LEDGER).exists() {
            let shown = destination.display();
            return Err(not_usable(format!(
                "an unfinished job for {shown} lies in {}; let it go on (`offmap resume {shown}`) or remove it (`offmap clean {shown}`)",
                path.display()
            )));
        }
        let work_dir = Self { path, _lock: lock };
        work_dir.empty()?;
        Ok(work_dir)
    }

    /// Opens and locks the directory of a job that did not come to its end.
    pub(crate) fn open(destination: &Path) -> Result<Self, Failure> {
        let path = path_for(destination)?;
        if !path.join(LEDGER).exists() {
            let mut failure = not_usable(format!(
                "there is no unfinished job for {}: {} is not there",
                destination.display(),
                path.join(LEDGER).display()
            ));
            failure.kind = FailureKind::NotFound;
            return Err(failure);
        }
        let lock = lock(&path, destination)?;
        Ok(Self { path, _lock: lock })
    }

    /// Removes everything but the lock.
    fn empty(&self) -> Result<(), Failure> {
        let failed = |e: &std::io::Error| failed(&self.path, e);
        for entry in std::fs::read_dir(&self.path).map_err(|e| failed(&e))? {
            let entry = entry.map_err(|e| failed(&e))?;
            if entry.file_name() == LOCK {
                continue;
            }
            let left = entry.path();
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            if is_dir { std::fs::remove_dir_all(left) } else { std::fs::remove_file(left) }.map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.path.join(LEDGER)
    }

    pub(crate) fn remove(self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.path)
            .map_err(|e| Failure::io(FailureStage::Run, format!("cannot remove {}", self.path.display()), &e))
    }
}

/// The work directory of a job that did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The directory.
    pub path: PathBuf,
    /// Where its package would have been.
    pub destination: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether the job can go on.
    pub can_resume: bool,
    /// Whether a living job holds it.
    pub in_use: bool,
}

impl Leftover {
    /// Work directories in a directory, or the one that belongs to a destination. Blocks.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn find(place: &Path) -> Result<Vec<Self>, Failure> {
        let place = std::path::absolute(place).unwrap_or_else(|_| place.to_owned());
        let own = path_for(&place).ok().filter(|p| p.is_dir());
        let listed = match std::fs::read_dir(&place) {
            Ok(entries) => entries.filter_map(Result::ok).map(|e| e.path()).collect(),
            // A destination that is not there yet has nothing but its own directory.
            Err(_) if own.is_some() || place.parent().is_some_and(Path::is_dir) => Vec::new(),
            Err(e) => return Err(Failure::io(FailureStage::Run, format!("cannot read {}", place.display()), &e)),
        };
        let mut found: Vec<Self> = own.into_iter().chain(listed).filter_map(|path| Self::of(&path)).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let lock = File::open(path.join(LOCK)).ok()?;
        let in_use = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
        Some(Self {
            path: path.to_owned(),
            destination: path.with_file_name(name),
            bytes: size_of(path),
            can_resume: path.join(LEDGER).exists(),
            in_use,
        })
    }

    /// Removes it. What its job left on services stays there; a package that it was replacing goes back to its place. Blocks.
    ///
    /// # Errors
    /// If a living job holds it, or it cannot be removed.
    pub fn remove(&self) -> Result<(), Failure> {
        let lock = lock(&self.path, &self.destination)?;
        bring_back(&self.path, &self.destination)?;
        WorkDir { path: self.path.clone(), _lock: lock }.remove()
    }
}

/// Brings a package that was being replaced back to its place, where nothing stands there.
pub(crate) fn bring_back(work_dir: &Path, destination: &Path) -> Result<(), Failure> {
    let old = work_dir.join(REPLACED);
    if !old.exists() || destination.exists() {
        return Ok(());
    }
    std::fs::rename(&old, destination)
        .map_err(|e| Failure::io(FailureStage::Run, format!("cannot bring {} back", destination.display()), &e))
}

/// Bytes of all files below a directory; what cannot be read counts nothing.
pub(crate) fn size_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let size = |e: std::fs::DirEntry| match e.file_type() {
        Ok(kind) if kind.is_dir() => size_of(&e.path()),
        _ => e.metadata().map_or(0, |m| m.len()),
    };
    entries.map(size).sum()
}
