//! Verifies a package by what is in it: nothing but the package is needed.
//!
//! With a manifest: every file there with the right size and SHA-256, no file too many, the manifest itself unchanged, every
//! layer that it calls succeeded in the map with its data, and in an archive every byte of the zip structure. Without one (a
//! package of another writer): the documents can be read, every entry's checksum, every layer's file is there.

use crate::manifest::{MANIFEST_PATH, Manifest, ManifestFile};
use crate::mobile_map_package::{LARGEST_MANIFEST, MobileMapPackage, OfflineLayer};
use offmap_disk::hex;
use offmap_formats::archive::{DIRECTORY, audit};
use offmap_formats::package_files::Container;
use offmap_model::{ExportState, Failure, FailureKind, FailureStage};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Problems of a package that are named one by one; the rest is counted.
const MOST_PROBLEMS: usize = 1_000;

/// Something wrong with a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// What verifying a package found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The package.
    pub package: PathBuf,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Whether a manifest proves every file; false for packages of other writers.
    pub proven: bool,
    /// Whether nothing is missing by the manifest; `None` without one.
    pub complete: Option<bool>,
    /// What is missing by the manifest, in words: layers, and what layers that are there lack.
    pub lacking: Vec<String>,
    /// What of layers that are there could not be counted on their service, in words: it came unverified.
    pub not_counted: Vec<String>,
    /// Files that were looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// How many problems there are beside those that are named.
    pub more_problems: u64,
}

impl Verification {
    /// Adds a problem: it is named while there are not too many.
    pub(crate) fn problem(&mut self, file: &str, what: String) {
        self.ok = false;
        match self.problems.len() < MOST_PROBLEMS {
            true => self.problems.push(Problem { file: file.to_owned(), what }),
            false => self.more_problems += 1,
        }
    }
}

/// Verifies a package. Blocks: reads every byte.
///
/// # Errors
/// If there is no such package, or it cannot be read at all. What is wrong inside is in the [`Verification`].
pub fn verify(path: &Path) -> Result<Verification, Failure> {
    verify_until(path, &CancellationToken::new())
}

/// Verifies a package as [`verify`] does, until `cancel` is cancelled.
///
/// # Errors
/// As [`verify`]; also if it was cancelled.
pub fn verify_until(path: &Path, cancel: &CancellationToken) -> Result<Verification, Failure> {
    verify_opened(path, cancel, &|_| {}).map(|(found, _)| found)
}

/// Verifies a package as [`verify_until`] does, and answers it opened where it can be. `report` takes bytes that were read.
pub(crate) fn verify_opened(
    path: &Path,
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
) -> Result<(Verification, Option<MobileMapPackage>), Failure> {
    let mut found = Verification {
        package: path.to_owned(),
        ok: true,
        proven: false,
        complete: None,
        lacking: Vec::new(),
        not_counted: Vec::new(),
        files: 0,
        bytes: 0,
        problems: Vec::new(),
        more_problems: 0,
    };
    let is_directory = path.is_dir();
    let container = match Container::open(path) {
        Ok(container) => container,
        // What is not a sound archive is not looked into.
        Err(failure) if !is_directory && failure.kind == FailureKind::Corrupt => {
            found.problem(DIRECTORY, failure.message);
            return Ok((found, None));
        }
        Err(failure) => return Err(failure),
    };
    let listing = match container.list() {
        Ok(listing) => listing,
        Err(failure) if failure.kind == FailureKind::Corrupt => {
            found.problem("(directory of the package)", failure.message);
            return Ok((found, None));
        }
        Err(failure) => return Err(failure),
    };
    let is_sound = listing.refused.is_empty();
    listing.refused.into_iter().for_each(|(name, what)| found.problem(&name, what));
    let listed: BTreeMap<String, u64> = listing.files.into_iter().collect();
    let manifest = listed.contains_key(MANIFEST_PATH).then(|| container.read(MANIFEST_PATH, LARGEST_MANIFEST));
    let manifest = match manifest {
        None => None,
        Some(bytes) => match bytes.map_err(|f| f.message).and_then(|b| Manifest::read(&b)) {
            Ok(manifest) => Some(manifest),
            Err(what) => {
                found.problem(MANIFEST_PATH, what);
                None
            }
        },
    };
    // Of an archive of ours every byte of the structure is known; that of others was checked when it was opened.
    if container.is_archive() && listed.contains_key(MANIFEST_PATH) {
        let damages =
            audit(path).map_err(|e| Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), &e))?;
        damages.into_iter().for_each(|damage| found.problem(&damage.entry, damage.what));
    }
    let promised: HashMap<&str, &ManifestFile> =
        manifest.iter().flat_map(|m| &m.files).map(|f| (f.path.as_str(), f)).collect();
    for (name, size) in &listed {
        found.bytes = found.bytes.saturating_add(*size);
        let expected = manifest.as_ref().map(|_| promised.get(name.as_str()));
        match (hash(&container, name, cancel, report), expected) {
            (Err(failure), _) if failure.is_cancelled() => return Err(failure),
            (Err(failure), _) => found.problem(name, failure.message),
            (Ok(_), Some(None)) if name != MANIFEST_PATH => found.problem(name, "it is not in the manifest".to_owned()),
            (Ok((bytes, sha)), Some(Some(f))) if bytes != f.bytes || sha != f.sha256 => {
                let what =
                    format!("it has {bytes} bytes with SHA-256 {sha}, the manifest says {} and {}", f.bytes, f.sha256);
                found.problem(name, what);
            }
            _ => {}
        }
    }
    for file in manifest.iter().flat_map(|m| &m.files).filter(|f| !listed.contains_key(&f.path)) {
        found.problem(&file.path, "it is in the manifest and not in the package".to_owned());
    }
    let mut opened = None;
    if is_sound {
        match MobileMapPackage::open(path) {
            Ok(package) => {
                look_at_layers(&package, manifest.as_ref(), &mut |file, what| found.problem(file, what));
                opened = Some(package);
            }
            Err(failure) => found.problem("package.info", failure.message),
        }
    }
    found.files = listed.len() as u64;
    if let Some(manifest) = &manifest {
        found.proven = true;
        found.lacking = manifest.lacking();
        found.not_counted = manifest.not_counted();
        // An older program called a package complete that has all layers, whatever they lack.
        found.complete = Some(manifest.complete && found.lacking.is_empty());
    }
    Ok((found, opened))
}

/// Size and SHA-256 of a file; reading an archive's entry to its end checks its CRC as well. `report` takes bytes that were read.
pub(crate) fn hash(
    container: &Container,
    name: &str,
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
) -> Result<(u64, String), Failure> {
    let mut hasher = Sha256::new();
    let bytes = container.copy(name, cancel, |part| {
        hasher.update(part);
        report(part.len() as u64);
        Ok(())
    })?;
    Ok((bytes, hex(hasher.finalize())))
}

fn look_at_layers(package: &MobileMapPackage, manifest: Option<&Manifest>, push: &mut impl FnMut(&str, String)) {
    for map in package.maps() {
        for layer in &map.layers {
            if let Some(data) = layer.data.as_ref().filter(|d| !d.outside && d.bytes.is_none()) {
                push(&data.path, format!("layer \"{}\" of {} has its data there, and it is missing", layer.title, map.path));
            }
        }
        let by_id: HashMap<&str, &OfflineLayer> = map.layers.iter().map(|l| (l.id.as_str(), l)).collect();
        for wanted in manifest.iter().flat_map(|m| &m.layers) {
            if wanted.state != ExportState::Succeeded || wanted.file.is_none() {
                continue;
            }
            let there = by_id.get(wanted.id.as_str()).and_then(|l| l.data.as_ref());
            if there.map(|d| &d.path) != wanted.file.as_ref() {
                push(&map.path, format!("layer \"{}\" does not point to its data", wanted.title));
            }
        }
    }
}
