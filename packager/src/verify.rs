//! Verifies a package by what is in it: nothing but the package is needed.
//!
//! With a manifest: every file there with the right size and SHA-256, no file too many, the manifest itself unchanged, every
//! layer that it calls succeeded in the map with its data, and in an archive every byte of the zip structure. Without one (a
//! package of another writer): the documents can be read, every entry's checksum, every layer's file is there.

use crate::archive::{DIRECTORY, audit};
use crate::container::Container;
use crate::manifest::{MANIFEST_PATH, Manifest, ManifestFile, ManifestLayer};
use crate::mobile_map_package::{LARGEST_MANIFEST, MobileMapPackage, OfflineLayer};
use offmap_engine::{ExportState, Failure, FailureKind, FailureStage, LayerNoteKind, hex};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

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
    /// Whether every layer that was wanted is there; `None` without manifest.
    pub complete: Option<bool>,
    /// What layers that are there lack by the manifest, in words: tiles and attachments.
    pub lacking: Vec<String>,
    /// What of layers that are there could not be counted on their service, in words: it came unverified.
    pub not_counted: Vec<String>,
    /// Files that were looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
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
    verify_with(path, cancel, &mut |_| {})
}

/// Verifies a package as [`verify_until`] does; `on_read` is told of every piece that was read, in bytes.
pub(crate) fn verify_with(
    path: &Path,
    cancel: &CancellationToken,
    on_read: &mut dyn FnMut(u64),
) -> Result<Verification, Failure> {
    let mut problems = Vec::new();
    let mut push = |file: &str, what: String| problems.push(Problem { file: file.to_owned(), what });
    let is_directory = path.is_dir();
    let container = match Container::open(path) {
        Ok(container) => container,
        // What is not a sound archive is not looked into.
        Err(failure) if !is_directory && failure.kind == FailureKind::Corrupt => {
            push(DIRECTORY, failure.message);
            return Ok(finish(path, None, 0, 0, problems));
        }
        Err(failure) => return Err(failure),
    };
    let listing = match container.list() {
        Ok(listing) => listing,
        Err(failure) if failure.kind == FailureKind::Corrupt => {
            push("(directory of the package)", failure.message);
            return Ok(finish(path, None, 0, 0, problems));
        }
        Err(failure) => return Err(failure),
    };
    let is_sound = listing.refused.is_empty();
    listing.refused.into_iter().for_each(|(name, what)| push(&name, what));
    let listed: BTreeMap<String, u64> = listing.files.into_iter().collect();
    let manifest = listed.contains_key(MANIFEST_PATH).then(|| container.read(MANIFEST_PATH, LARGEST_MANIFEST));
    let manifest = match manifest {
        None => None,
        Some(bytes) => match bytes.map_err(|f| f.message).and_then(|b| Manifest::read(&b)) {
            Ok(manifest) => Some(manifest),
            Err(what) => {
                push(MANIFEST_PATH, what);
                None
            }
        },
    };
    // Of an archive of ours every byte of the structure is known; that of others was checked when it was opened.
    if container.is_archive() && listed.contains_key(MANIFEST_PATH) {
        let damages =
            audit(path).map_err(|e| Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), &e))?;
        damages.into_iter().for_each(|(file, what)| push(&file, what));
    }
    let mut bytes = 0_u64;
    let promised: HashMap<&str, &ManifestFile> =
        manifest.iter().flat_map(|m| &m.files).map(|f| (f.path.as_str(), f)).collect();
    for (name, size) in &listed {
        bytes = bytes.saturating_add(*size);
        let expected = manifest.as_ref().map(|_| promised.get(name.as_str()));
        match (hash(&container, name, cancel, on_read), expected) {
            (Err(failure), _) if failure.is_cancelled() => return Err(failure),
            (Err(failure), _) => push(name, failure.message),
            (Ok(_), Some(None)) if name != MANIFEST_PATH => push(name, "it is not in the manifest".to_owned()),
            (Ok((found, sha)), Some(Some(f))) if found != f.bytes || sha != f.sha256 => {
                push(
                    name,
                    format!("it has {found} bytes with SHA-256 {sha}, the manifest says {} and {}", f.bytes, f.sha256),
                );
            }
            _ => {}
        }
    }
    for file in manifest.iter().flat_map(|m| &m.files).filter(|f| !listed.contains_key(&f.path)) {
        push(&file.path, "it is in the manifest and not in the package".to_owned());
    }
    if is_sound {
        match MobileMapPackage::open(path) {
            Ok(package) => look_at_layers(&package, manifest.as_ref(), &mut push),
            Err(failure) => push("package.info", failure.message),
        }
    }
    Ok(finish(path, manifest.as_ref(), listed.len() as u64, bytes, problems))
}

fn finish(path: &Path, manifest: Option<&Manifest>, files: u64, bytes: u64, problems: Vec<Problem>) -> Verification {
    let lacking = |l: &ManifestLayer| {
        let parts = [("tiles", &l.missing_tiles), ("attachments", &l.missing_attachments)];
        let words = parts.into_iter().filter_map(|(what, m)| m.as_ref().map(|m| format!("{}: {}", l.title, m.words(what))));
        words.collect::<Vec<_>>()
    };
    let taken = manifest.into_iter().flat_map(|m| &m.layers).filter(|l| l.state == ExportState::Succeeded);
    let not_counted = |l: &ManifestLayer| {
        let notes = l.notes.iter().filter(|n| n.kind == LayerNoteKind::NotCounted);
        notes.map(|n| format!("{}: {}", l.title, n.message)).collect::<Vec<_>>()
    };
    Verification {
        package: path.to_owned(),
        ok: problems.is_empty(),
        proven: manifest.is_some(),
        complete: manifest.map(|m| m.complete),
        lacking: taken.clone().flat_map(lacking).collect(),
        not_counted: taken.flat_map(not_counted).collect(),
        files,
        bytes,
        problems,
    }
}

/// Size and SHA-256 of a file; reading an archive's entry to its end checks its CRC as well.
pub(crate) fn hash(
    container: &Container,
    name: &str,
    cancel: &CancellationToken,
    on_read: &mut dyn FnMut(u64),
) -> Result<(u64, String), Failure> {
    let mut hasher = Sha256::new();
    let bytes = container.copy(name, cancel, |part| {
        hasher.update(part);
        on_read(part.len() as u64);
        Ok(())
    })?;
    Ok((bytes, hex(&hasher.finalize())))
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
