//! Files of a package as files of their own, which the readers of their formats want.

use super::staging::{Staging, failed};
use offmap_disk::{atomic_file, safe_path};
use offmap_model::Failure;
use offmap_packager::MobileMapPackage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The files of a package.
pub(super) struct DataFiles<'a> {
    package: &'a MobileMapPackage,
    staging: &'a Staging,
    cancel: &'a CancellationToken,
}

impl<'a> DataFiles<'a> {
    pub(super) fn new(package: &'a MobileMapPackage, staging: &'a Staging, cancel: &'a CancellationToken) -> Self {
        Self { package, staging, cancel }
    }

    /// An error once nobody wants the folder any more.
    pub(super) fn go_on(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
    }

    pub(super) fn cancel(&self) -> &CancellationToken {
        self.cancel
    }

    /// All files with their sizes, by path.
    pub(super) fn sizes(&self) -> Result<BTreeMap<String, u64>, Failure> {
        Ok(self.package.files()?.into_iter().collect())
    }

    /// Where a file is; one of an archive is taken out of it.
    pub(super) fn at(&self, name: &str) -> Result<PathBuf, Failure> {
        if !self.package.is_archive() {
            // The caller named the package itself, so that a link at its place is followed.
            let root = std::fs::canonicalize(self.package.path()).unwrap_or_else(|_| self.package.path().to_owned());
            let found = safe_path::file(&root, Path::new(name));
            let what = format!("`{name}` of the package cannot be read");
            return found.map(|(path, _)| path).map_err(|e| safe_path::judged(&what, &e));
        }
        let sizes = self.sizes()?;
        let number = sizes.keys().position(|known| known == name).unwrap_or(sizes.len());
        let ending = Path::new(name).extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let plain: String = ending.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        let to = self.staging.work_path(&format!("{number}.{plain}"))?;
        if std::fs::symlink_metadata(&to).is_ok_and(|found| found.is_file()) {
            return Ok(to);
        }
        let new = atomic_file::beside(&to);
        let cannot = |e: std::io::Error| failed(format!("cannot take `{name}` out of the archive"), &e);
        crate::half::remove(&new).map_err(cannot)?;
        self.package.extract_until(name, &new, self.cancel)?;
        atomic_file::put(&new, &to).map_err(cannot)?;
        Ok(to)
    }

    /// Gives a file of an archive back that is not needed any more.
    pub(super) fn done_with(&self, path: &Path) -> Result<(), Failure> {
        match self.package.is_archive() {
            true => crate::half::remove(path).map_err(|e| failed(format!("cannot remove {}", path.display()), &e)),
            false => Ok(()),
        }
    }

    /// The bytes of a small file.
    pub(super) fn bytes_of(&self, name: &str, most: u64) -> Result<Vec<u8>, Failure> {
        self.package.read(name, most)
    }
}
