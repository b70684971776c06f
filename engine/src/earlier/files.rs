//! How the files of an earlier package are, compared with what its manifest promises.

use crate::packager::EarlierPackage;
use offmap_disk::hash_file_until;
use offmap_formats::containers::Damages;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, LayerOutcome};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// How the files of a package are, compared with what its manifest promises.
#[derive(Debug, Default)]
pub(crate) struct PackageFiles {
    /// Those that are as promised, and those that are not, with the words for it.
    states: BTreeMap<PathBuf, Option<&'static str>>,
}

/// What is wrong with a file that is there and different, and about one that is not there.
const CHANGED: &str = "is not as its manifest says";
const GONE: &str = "is gone";

impl PackageFiles {
    /// Reads every file that the manifest promises. Blocks.
    pub(crate) fn read(earlier: &EarlierPackage, cancel: &CancellationToken) -> Result<Self, Failure> {
        let mut states = BTreeMap::new();
        for file in &earlier.files {
            let state = match hash_file_until(&file.path, cancel) {
                Ok((bytes, sha256)) if bytes == file.bytes && sha256 == file.sha256 => None,
                Err(failure) if failure.is_cancelled() => return Err(failure),
                Err(_) if file.path.symlink_metadata().is_err() => Some(GONE),
                _ => Some(CHANGED),
            };
            states.insert(file.path.clone(), state);
        }
        Ok(Self { states })
    }

    /// What is wrong with a file, or with one of a folder.
    pub(super) fn wrong_at(&self, path: &Path) -> Option<(PathBuf, &'static str)> {
        let mut own = self.states.range(path.to_owned()..).take_while(|(p, _)| p.starts_with(path)).peekable();
        if own.peek().is_none() {
            // Nothing promises it.
            return Some((path.to_owned(), CHANGED));
        }
        own.find_map(|(p, state)| Some((p.clone(), (*state)?)))
    }

    fn differences(&self, package: &Path, earlier: &EarlierPackage, counts: impl Fn(&Path, &str) -> bool) -> Damages {
        let mut found = Damages::default();
        for (path, state) in &self.states {
            if let Some(words) = state.filter(|words| counts(path, words)) {
                found.add(format!("{} {words}", shown(package, path)));
            }
        }
        earlier.unlisted.iter().for_each(|path| found.add(format!("{} was added", shown(package, path))));
        found
    }

    /// Checks that nothing in a package was changed since it was made. Data of layers that somebody edited, and files that somebody
    /// added, would be destroyed by completing it. What is gone is made anew, and the job that it was made by is no loss.
    ///
    /// # Errors
    /// If there are such; the message names them.
    pub(crate) fn check_unchanged(&self, package: &Path, earlier: &EarlierPackage) -> Result<(), Failure> {
        let found = self.differences(package, earlier, |path, words| words == CHANGED && *path != earlier.document_file);
        if found.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the package {} was changed since it was made ({}); another in its place would destroy that, so it stays as it is: save \
             what was changed (synchronise or copy it), remove the changed files, which are then fetched again, and complete it, or \
             take the map to another place",
            package.display(),
            found.words()
        );
        Err(Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Read, message))
    }

    /// Checks that a package none of whose layers failed is complete: by the same files that verifying it looks at.
    ///
    /// # Errors
    /// If a file was changed, is gone, or was added; the message names them.
    pub(crate) fn check_complete(&self, package: &Path, earlier: &EarlierPackage) -> Result<(), Failure> {
        let found = self.differences(package, earlier, |_, _| true);
        if found.is_empty() || earlier.layers.iter().any(LayerOutcome::is_error) {
            return Ok(());
        }
        let message = format!(
            "the package {} has all of its layers and is not as it was made ({}); it stays as it is: bring its files back from a \
             copy, or take the map to another place",
            package.display(),
            found.words()
        );
        Err(Failure::new(FailureOwner::Storage, FailureKind::Corrupt, FailureStage::Check, message))
    }
}

fn shown(package: &Path, path: &Path) -> String {
    path.strip_prefix(package).unwrap_or(path).display().to_string()
}
