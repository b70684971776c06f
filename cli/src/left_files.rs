//! What `offmap fetch` and `offmap convert` left beside the files that they were to write.

use crate::fetch_package::{Claim, destination_of, package_of_lock};
use offmap::packager::MobileMapPackage;
use offmap::{Failure, FailureStage, Leftover};
use offmap_convert::left_half::LeftHalf;
use offmap_disk::safe_path;
use std::path::{Path, PathBuf};

/// Something that was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeftFile {
    /// The half of a file or folder.
    Half(LeftHalf),
    /// A package that was fetched, and of which the file was not written; or no more than the lock of one.
    Package {
        /// Where it lies.
        path: PathBuf,
        /// The file that was to be written of it.
        destination: PathBuf,
        /// Its size.
        bytes: u64,
        /// Whether a process makes the file of it, or goes on with it.
        in_use: bool,
    },
}

impl LeftFile {
    /// Those in a directory, and those of a file that was to be written there. Blocks.
    pub(crate) fn find(place: &Path) -> Vec<Self> {
        let place: PathBuf = std::path::absolute(place).unwrap_or_else(|_| place.to_owned()).components().collect();
        let mut found: Vec<Self> = LeftHalf::find(&place).into_iter().map(Self::Half).collect();
        let list = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
        let mut packages: Vec<PathBuf> = list(&place).collect();
        let beside = place.parent().into_iter().flat_map(list);
        let package = |path: &Path| package_of_lock(path).unwrap_or_else(|| path.to_owned());
        packages.extend(beside.filter(|path| *path == place || destination_of(&package(path)).as_ref() == Some(&place)));
        packages.sort();
        found.extend(packages.iter().filter_map(|path| Self::package(path).or_else(|| Self::lock(path))));
        found
    }

    /// A directory with such a name, and with a package of offmap in it.
    fn package(path: &Path) -> Option<Self> {
        let destination = destination_of(path)?;
        if !std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            return None;
        }
        MobileMapPackage::open(path).ok()?.manifest()?.ok()?;
        let is_written = LeftHalf::find(&destination).iter().any(|half| half.in_use);
        // A job that completes it has its own directory beside it, and is told by that.
        let has_job = Leftover::find(path).is_ok_and(|left| left.iter().any(|job| job.destination == path));
        let (bytes, in_use) = (safe_path::size_of(path), is_written || has_job || Claim::is_held(path));
        Some(Self::Package { path: path.to_owned(), destination, bytes, in_use })
    }

    /// The lock of a package that is not there, and that no job makes.
    fn lock(path: &Path) -> Option<Self> {
        let package = package_of_lock(path)?;
        let is_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0);
        let has_job = Leftover::find(&package).is_ok_and(|left| left.iter().any(|job| job.destination == package));
        if !is_file || package.exists() || has_job {
            return None;
        }
        let (destination, in_use) = (destination_of(&package)?, Claim::is_held(&package));
        Some(Self::Package { path: path.to_owned(), destination, bytes: 0, in_use })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Half(half) => &half.path,
            Self::Package { path, .. } => path,
        }
    }

    /// What was to be written.
    pub(crate) fn destination(&self) -> &Path {
        match self {
            Self::Half(half) => &half.destination,
            Self::Package { destination, .. } => destination,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Half(half) => half.bytes,
            Self::Package { bytes, .. } => *bytes,
        }
    }

    pub(crate) fn in_use(&self) -> bool {
        match self {
            Self::Half(half) => half.in_use,
            Self::Package { in_use, .. } => *in_use,
        }
    }

    /// Removes it. Blocks.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        match self {
            Self::Half(half) => half.remove(),
            Self::Package { path, .. } => {
                let lock = package_of_lock(path);
                let _claim = Claim::take(lock.as_deref().unwrap_or(path))?;
                match lock {
                    // It goes with the claim.
                    Some(_) => Ok(()),
                    None => std::fs::remove_dir_all(path)
                        .map_err(|e| Failure::io(FailureStage::Run, format!("cannot remove {}", path.display()), &e)),
                }
            }
        }
    }
}
