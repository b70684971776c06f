//! The name of the package that `offmap fetch` makes beside its file, and who works with it.
//!
//! The job that makes the package, and the conversion that reads it, are two: between them nobody else locks anything. So the command
//! holds a lock of its own beside the package, from before the job to behind the conversion.

use offmap::{Failure, FailureKind, FailureOwner, FailureStage};
use offmap_disk::safe_path;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Digits that tell what was asked for.
const DIGITS: usize = 8;
/// Before them, behind the name of the file.
const MARK: &str = ".fetch-";

/// Ends the name of the file that is locked.
const LOCK: &str = ".lock";
/// How long a lock is tried for that somebody may only look at, or that was removed meanwhile.
const GLANCE: Duration = Duration::from_millis(200);

/// The package of a file, by a digest of what was asked for.
pub(crate) fn package_of(file: &Path, digest: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!("{MARK}{}", digest.get(..DIGITS).unwrap_or_default()));
    file.with_file_name(name)
}

/// The file that a package was to become; `None` for what has no such name.
pub(crate) fn destination_of(package: &Path) -> Option<PathBuf> {
    let (file, digits) = package.file_name()?.to_str()?.rsplit_once(MARK)?;
    let is_digest = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_digest && !file.is_empty()).then(|| package.with_file_name(file))
}

/// The package that a lock is of; `None` for what is no lock.
pub(crate) fn package_of_lock(path: &Path) -> Option<PathBuf> {
    let package = path.with_file_name(path.file_name()?.to_str()?.strip_suffix(LOCK)?);
    destination_of(&package).map(|_| package)
}

/// A package that this process works with; until it is dropped no other one does.
#[derive(Debug)]
pub(crate) struct Claim {
    file: Option<File>,
    path: PathBuf,
}

impl Claim {
    fn path_of(package: &Path) -> PathBuf {
        let mut name = package.as_os_str().to_owned();
        name.push(LOCK);
        PathBuf::from(name)
    }

    /// Takes a package, be it there or not. Blocks.
    pub(crate) fn take(package: &Path) -> Result<Self, Failure> {
        let path = Self::path_of(package);
        let failed = |e: &std::io::Error| Failure::io(FailureStage::Plan, format!("cannot lock {}", path.display()), e);
        let deadline = Instant::now() + GLANCE;
        loop {
            let file = safe_path::open_to_write(&path).map_err(|e| failed(&e))?;
            match file.try_lock() {
                // Who had it before may have removed it since it was opened.
                Ok(()) if is_at(&file, &path) => return Ok(Self { file: Some(file), path }),
                // Who only looks at it has it for an instant.
                Ok(()) | Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(GLANCE / 20),
                Ok(()) | Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(e)) => return Err(failed(&e)),
            }
        }
        let message = format!("another offmap works with {}; wait for its end", package.display());
        Err(Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Plan, message))
    }

    /// Whether another process works with a package. Blocks.
    pub(crate) fn is_held(package: &Path) -> bool {
        let opened = safe_path::open_file(&Self::path_of(package));
        opened.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that stays says nothing: nobody has locked it.
        let _ = std::fs::remove_file(&self.path);
        self.file = None;
    }
}

/// Whether a file still lies at its path.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let place = |found: std::fs::Metadata| (found.dev(), found.ino());
        file.metadata().ok().map(place) == std::fs::symlink_metadata(path).ok().map(place)
    }
    #[cfg(not(unix))]
    {
        // An open file is not removed there.
        file.metadata().is_ok() && path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_works_with_a_package_and_nothing_stays_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let package = dir.path().join("a.gpkg.fetch-01234567");
        let claim = Claim::take(&package).expect("takes");
        assert!(Claim::is_held(&package));
        assert_eq!(package_of_lock(&claim.path).as_ref(), Some(&package));
        let refused = Claim::take(&package).expect_err("held");
        assert!(refused.message.contains("another offmap works with"), "{refused}");
        drop(claim);
        assert!(!Claim::is_held(&package));
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
        assert_eq!(package_of_lock(Path::new("/data/Cargo.lock")), None);
    }

    #[test]
    fn who_only_looks_whether_a_package_is_worked_with_keeps_nobody_from_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let package = dir.path().join("a.gpkg.fetch-01234567");
        // As `is_held` has it for an instant: until the one who wants it has tried it in vain.
        let file = File::create(Claim::path_of(&package)).expect("makes");
        file.lock_shared().expect("locks");
        let (to, looks) = std::sync::mpsc::channel();
        let taking = std::thread::spawn(move || {
            to.send(Instant::now()).expect("is there");
            (Claim::take(&package).map(drop), Instant::now())
        });
        let began = looks.recv().expect("begins");
        while began.elapsed() < GLANCE / 4 {
            std::thread::yield_now();
        }
        drop(file);
        let (taken, ended) = taking.join().expect("ends");
        // A machine that stood still meanwhile says nothing.
        assert!(taken.is_ok() || ended - began > GLANCE * 2, "{taken:?}");
    }

    #[test]
    fn a_package_is_known_by_the_name_that_it_gets() {
        let file = Path::new("/data/a.fetch-x.gpkg");
        let package = package_of(file, "0123456789abcdef");
        assert_eq!(package, Path::new("/data/a.fetch-x.gpkg.fetch-01234567"));
        assert_eq!(destination_of(&package).as_deref(), Some(file));
        for other in ["a.gpkg", ".fetch-01234567", "a.fetch-0123456", "a.fetch-0123456G", "a.fetch-01234567.new"] {
            assert_eq!(destination_of(&Path::new("/data").join(other)), None, "{other}");
        }
    }
}
