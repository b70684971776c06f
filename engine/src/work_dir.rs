//! A job's private directory beside its destination: on the same file system, so that the package can be renamed into place.
//!
//! It is made exclusively, with mode 0700. One that exists is used only if it is a real directory of the same user that nobody else
//! may write to, and if nothing but regular files and directories is in it. Through its handle nothing outside can be emptied or
//! removed, whatever takes its name's place meanwhile.

use crate::holder::{read_holder, write_holder};
use crate::ledger::Lineage;
use crate::packager::{Packager, REPLACED};
use cap_std::fs::{Dir, DirBuilder};
use offmap_disk::safe_path;
use offmap_disk::safe_path::{careful, judged, open_dir, open_in, remove_in};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The ledger in a work directory: where it is, there is a job to resume.
const LEDGER: &str = "ledger.sqlite";
/// Files of SQLite beside the ledger.
const LEDGER_BESIDE: [&str; 2] = ["ledger.sqlite-wal", "ledger.sqlite-shm"];
const LOCK: &str = "lock";
/// How long somebody may have the lock who only looks at the directory.
const GLANCE: Duration = Duration::from_millis(200);
/// Around the destination's name in the directory's name.
const PREFIX: &str = ".";
const SUFFIX: &str = ".offmap";

/// `<parent>/.<name>.offmap`, locked while the job lives: what is made there is on the file system of its destination, and what a
/// process leaves that was killed, [`Leftover`] knows.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    destination: PathBuf,
    dir: Dir,
    lock: Arc<File>,
}

/// A destination as an absolute path without a separator at its end, so that a link is looked at and not followed.
pub(crate) fn plain_destination(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect()
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
    let what = format!("cannot use the work directory {}", path.display());
    let mut failure = judged(&what, error);
    if failure.kind == FailureKind::Corrupt {
        failure.kind = FailureKind::DestinationNotUsable;
        failure.message.push_str("; it was not made by offmap: look at it, and remove it or name another destination");
    }
    failure
}

/// Opens a work directory that exists: a real one, of this user, that nobody else may write to.
fn open_own(path: &Path) -> Result<Dir, Failure> {
    let dir = open_dir(path).map_err(|e| failed(path, &e))?;
    #[cfg(unix)]
    {
        use cap_std::fs::MetadataExt as _;
        let metadata = dir.dir_metadata().map_err(|e| failed(path, &e))?;
        let (own, shown) = (rustix::process::geteuid().as_raw(), path.display());
        if metadata.uid() != own {
            return Err(not_usable(format!(
                "the work directory {shown} belongs to user {}, expected user {own}; remove it or name another destination",
                metadata.uid()
            )));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(not_usable(format!(
                "others may write to the work directory {shown} (mode {:o}), so what is in it is not trusted; remove it, or take their right away with `chmod go-w {shown}` if nobody used it",
                metadata.mode() & 0o777
            )));
        }
    }
    Ok(dir)
}

/// Makes a work directory that only this user can look into, or opens the one that is there.
fn make_own(path: &Path) -> Result<Dir, Failure> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    let (parent, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
    let made = Dir::open_ambient_dir(parent, cap_std::ambient_authority())
        .and_then(|parent| parent.create_dir_with(name, builder.recursive(false)));
    match made {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(failed(path, &e)),
        _ => open_own(path),
    }
}

/// Locks the directory and writes down who holds it.
fn lock(dir: &Dir, path: &Path, destination: &Path) -> Result<File, Failure> {
    let failed = |e: &std::io::Error| failed(path, e);
    let shown = path.join(LOCK);
    let mut lock =
        open_in(dir, Path::new(LOCK), &shown, careful().create(true).read(true).write(true)).map_err(|e| failed(&e))?;
    if safe_path::links(&lock.metadata().map_err(|e| failed(&e))?) > 1 {
        return Err(not_usable(format!(
            "{} has more than one name, expected a file of its own; remove it",
            shown.display()
        )));
    }
    let deadline = Instant::now() + GLANCE;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            // Who only looks at it has it for an instant.
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(GLANCE / 20),
            Err(TryLockError::WouldBlock) => {
                let who = read_holder(&mut lock);
                let message = format!("another job{who} is writing to {}; wait for its end", destination.display());
                return Err(not_usable(message).retryable());
            }
            Err(TryLockError::Error(e)) => return Err(failed(&e)),
        }
    }
    write_holder(&mut lock).map_err(|e| failed(&e))?;
    Ok(lock)
}

fn is_empty(dir: &Dir) -> std::io::Result<bool> {
    Ok(dir.entries()?.next().is_none())
}

fn has(dir: &Dir, name: &str) -> bool {
    dir.symlink_metadata(name).is_ok()
}

impl WorkDir {
    /// Makes and locks the directory of an absolute destination. What a job that died before its plan left there is removed; a job
    /// that can go on is not. Blocks.
    ///
    /// # Errors
    /// If it cannot be made, a living job holds it, a job that can go on lies there, or nothing says that a job made it.
    pub fn make(destination: &Path) -> Result<Self, Failure> {
        let path = path_for(destination)?;
        let dir = make_own(&path)?;
        let is_new = is_empty(&dir).map_err(|e| failed(&path, &e))?;
        if !is_new && !has(&dir, LOCK) {
            let shown = path.display();
            return Err(not_usable(format!(
                "{shown} is not empty and no job made it (it has no `{LOCK}`); move it away or name another destination"
            )));
        }
        let lock = lock(&dir, &path, destination)?;
        if has(&dir, LEDGER) {
            let shown = destination.display();
            return Err(not_usable(format!(
                "an unfinished job for {shown} lies in {}; let it go on (`offmap resume {shown}`) or remove it (`offmap clean {shown}`)",
                path.display()
            )));
        }
        let work_dir = Self { path, destination: destination.to_owned(), dir, lock: Arc::new(lock) };
        work_dir.empty(&[LOCK])?;
        Ok(work_dir)
    }

    /// Opens and locks the directory of a job that did not finish.
    pub(crate) fn open(destination: &Path) -> Result<Self, Failure> {
        let path = path_for(destination)?;
        let nothing = || {
            let mut failure = not_usable(format!(
                "there is no unfinished job for {}: {} is not there",
                destination.display(),
                path.join(LEDGER).display()
            ));
            failure.kind = FailureKind::NotFound;
            failure
        };
        if std::fs::symlink_metadata(&path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return Err(nothing());
        }
        let dir = open_own(&path)?;
        if !has(&dir, LEDGER) {
            return Err(nothing());
        }
        let lock = lock(&dir, &path, destination)?;
        // Exporters and SQLite open what is in it by name.
        safe_path::check_tree(&path).map_err(|e| failed(&path, &e))?;
        Ok(Self { path, destination: destination.to_owned(), dir, lock: Arc::new(lock) })
    }

    /// Removes everything but some names. A package that was being replaced is never removed here while nothing stands in its place.
    fn empty(&self, but: &[&str]) -> Result<(), Failure> {
        let failed = |e: &std::io::Error| failed(&self.path, e);
        if has(&self.dir, REPLACED) {
            let in_place = std::fs::symlink_metadata(&self.destination).is_ok_and(|m| m.is_dir());
            if !in_place || !has(&self.dir, LEDGER) {
                return Err(keeps(&self.path, "lies there, and nothing says that it may go"));
            }
            // First of all, while the ledger still tells what it is.
            remove_in(&self.dir, Path::new(REPLACED), true).map_err(|e| failed(&e))?;
        }
        for entry in self.dir.entries().map_err(|e| failed(&e))? {
            let entry = entry.map_err(|e| failed(&e))?;
            let name = entry.file_name();
            if but.iter().any(|b| name == *b) {
                continue;
            }
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            remove_in(&self.dir, Path::new(&name), is_dir).map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.path.join(LEDGER)
    }

    /// What keeps others out of it, for who has to close something in it first.
    pub(crate) fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Removes the directory: the ledger last, so that an interrupted removal is still known as a job's. Blocks.
    ///
    /// # Errors
    /// If the disk refuses, or a package lies in it that was being replaced and may not go.
    pub fn remove(self) -> Result<(), Failure> {
        // What the ledger was told last may be beside it still.
        self.empty(&[LEDGER, LEDGER_BESIDE[0], LEDGER_BESIDE[1], LOCK])?;
        for name in [LEDGER, LEDGER_BESIDE[0], LEDGER_BESIDE[1]] {
            remove_in(&self.dir, Path::new(name), false).map_err(|e| failed(&self.path, &e))?;
        }
        let removed = self.dir.remove_open_dir_all();
        removed.map_err(|e| Failure::io(FailureStage::Run, format!("cannot remove {}", self.path.display()), &e))
    }
}

/// The work directory of a job that did not finish.
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
    /// Work directories of this user in a directory, or the one that belongs to a destination. Blocks.
    ///
    /// # Errors
    /// If the directory cannot be read, or what stands in the place of the destination's own work directory is none.
    pub fn find(place: &Path) -> Result<Vec<Self>, Failure> {
        let place = plain_destination(place);
        let own = match path_for(&place) {
            Ok(path) if std::fs::symlink_metadata(&path).is_ok() => Self::of(&path)?,
            _ => None,
        };
        let listed = match std::fs::read_dir(&place) {
            Ok(entries) => entries.filter_map(Result::ok).map(|e| e.path()).collect(),
            // A destination that is not there yet has nothing but its own directory.
            Err(_) if own.is_some() || place.parent().is_some_and(Path::is_dir) => Vec::new(),
            Err(e) => return Err(Failure::io(FailureStage::Run, format!("cannot read {}", place.display()), &e)),
        };
        let of = |path: &PathBuf| match Self::of(path) {
            Ok(found) => found,
            Err(failure) => {
                // What others planted in a directory that many may write to hides nothing of one's own.
                tracing::warn!(%failure, "passed over");
                None
            }
        };
        let mut found: Vec<Self> = own.into_iter().chain(listed.iter().filter_map(of)).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn of(path: &Path) -> Result<Option<Self>, Failure> {
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        let Some(name) = name.filter(|n| !n.is_empty()) else { return Ok(None) };
        let dir = open_own(path)?;
        let in_use = match open_in(&dir, Path::new(LOCK), &path.join(LOCK), careful().read(true)) {
            Ok(lock) => matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)),
            // Killed when it had just been made, or was all but removed.
            Err(e) if e.kind() == ErrorKind::NotFound && is_empty(&dir).map_err(|e| failed(path, &e))? => false,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(path, &e)),
        };
        Ok(Some(Self {
            path: path.to_owned(),
            destination: path.with_file_name(name),
            bytes: safe_path::size_of(path),
            can_resume: has(&dir, LEDGER),
            in_use,
        }))
    }

    /// Removes it. What its job left on services stays there; a package that it was replacing goes back to its place, if the
    /// packager finds that it is the one that the ledger names. Blocks.
    ///
    /// # Errors
    /// If a living job holds it, it cannot be removed, or it holds a package of which the ledger knows nothing.
    pub fn remove(&self, packager: &dyn Packager) -> Result<(), Failure> {
        let dir = open_own(&self.path)?;
        let lock = lock(&dir, &self.path, &self.destination)?;
        if has(&dir, REPLACED) {
            let lineage = match has(&dir, LEDGER) {
                true => Lineage::read(&self.path.join(LEDGER))?,
                false => Lineage::default(),
            };
            bring_back(&self.path, &self.destination, &lineage, packager)?;
        }
        WorkDir { path: self.path.clone(), destination: self.destination.clone(), dir, lock: Arc::new(lock) }.remove()
    }
}

/// A package in a work directory that is neither put in place nor removed.
fn keeps(work_dir: &Path, what: &str) -> Failure {
    let old = work_dir.join(REPLACED);
    let message = format!("{} {what}; it is neither put in place nor removed: move it away, then try again", old.display());
    not_usable(message)
}

/// Brings the package that was being replaced back to its place, where nothing stands there: only if the job's ledger names it.
pub(crate) fn bring_back(
    work_dir: &Path,
    destination: &Path,
    lineage: &Lineage,
    packager: &dyn Packager,
) -> Result<(), Failure> {
    let old = work_dir.join(REPLACED);
    match std::fs::symlink_metadata(&old) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(work_dir, &e)),
        Ok(metadata) if !metadata.is_dir() => return Err(keeps(work_dir, "is not a directory")),
        Ok(_) => {}
    }
    let Some(replaces) = &lineage.replaces else {
        return Err(keeps(work_dir, "lies there though the job's ledger does not say that it replaces a package"));
    };
    match std::fs::symlink_metadata(destination) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        // The new package is in place already: the old one may go.
        Ok(_) if packager.read_package(destination).is_ok_and(|p| p.job == lineage.job && !p.job.is_empty()) => {
            return Ok(());
        }
        _ => return Err(keeps(work_dir, "lies there beside something else in its place")),
    }
    match packager.read_package(&old) {
        Ok(package) if package.job == *replaces => {}
        Ok(_) => return Err(keeps(work_dir, "is a package of another job than the ledger names")),
        Err(failure) => {
            return Err(keeps(work_dir, &format!("is not the package that the ledger names ({})", failure.message)));
        }
    }
    std::fs::rename(&old, destination)
        .map_err(|e| Failure::io(FailureStage::Run, format!("cannot bring {} back", destination.display()), &e))
}
