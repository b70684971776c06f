//! Verifies a package by what is in it: nothing but the package is needed.
//!
//! With a manifest: every file there with the right size and SHA-256, no file too many, the manifest itself unchanged, every
//! layer that it calls succeeded in the map with its data, and in an archive every byte of the zip structure. Without one (a
//! package of another writer): the documents can be read, every entry's checksum, every layer's file is there.

use crate::layout::INFO_PATH;
use crate::manifest::{LARGEST_MANIFEST, MANIFEST_PATH, Manifest, ManifestFile};
use crate::mobile_map_package::MobileMapPackage;
use crate::offline_map::OfflineLayer;
use crate::verification::Verification;
use offmap_disk::hex;
use offmap_engine::ReadContents;
use offmap_formats::archive::{DIRECTORY, audit};
use offmap_formats::package_files::{Container, Listing};
use offmap_model::{ExportState, Failure, FailureKind, FailureStage};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// What of a package was read a moment ago by whoever verifies it, so that it is not read once more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlreadyRead<'a> {
    /// Files whose hashes are known, by their paths in the package.
    pub(crate) files: &'a BTreeMap<String, ManifestFile>,
    /// What is in data files, by the SHA-256 of their bytes.
    pub(crate) contents: &'a ReadContents,
}

/// Verifies a package. Blocks: reads every byte.
///
/// ```no_run
/// let found = offmap_packager::verify("alps".as_ref())?;
/// for problem in &found.problems {
///     println!("{}: {}", problem.file, problem.what);
/// }
/// println!("ok: {}, complete: {:?}", found.ok, found.complete);
/// # Ok::<_, offmap_model::Failure>(())
/// ```
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
    verify_opened(path, cancel, &|_| {}, None).map(|(found, _)| found)
}

/// Verifies a package as [`verify_until`] does, and answers it opened where it can be. `report` takes bytes that were read.
pub(crate) fn verify_opened(
    path: &Path,
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
    read: Option<&AlreadyRead<'_>>,
) -> Result<(Verification, Option<MobileMapPackage>), Failure> {
    let mut found = Verification::new(path);
    let Some((container, listing)) = list(path, &mut found)? else { return Ok((found, None)) };
    let is_sound = listing.refused.is_empty();
    listing.refused.into_iter().for_each(|(name, what)| found.problem(&name, what));
    let listed: BTreeMap<String, u64> = listing.files.into_iter().collect();
    let manifest = match listed.contains_key(MANIFEST_PATH) {
        true => Some(read_manifest(&container)),
        false => None,
    };
    if let Some(Err(what)) = &manifest {
        found.problem(MANIFEST_PATH, what.clone());
    }
    let promised = manifest.as_ref().and_then(|m| m.as_ref().ok());
    // Of an archive of ours every byte of the structure is known; that of others was checked when it was opened.
    if container.is_archive() && listed.contains_key(MANIFEST_PATH) {
        let damages =
            audit(path).map_err(|e| Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), &e))?;
        damages.into_iter().for_each(|damage| found.problem(&damage.entry, damage.what));
    }
    let hashed = |name: &str| match read.and_then(|read| read.files.get(name)) {
        Some(file) if listed.get(name) == Some(&file.bytes) => Ok((file.bytes, file.sha256.clone())),
        _ => hash(&container, name, cancel, report),
    };
    check_files(&listed, promised, hashed, &mut found)?;
    let mut opened = None;
    if is_sound {
        match MobileMapPackage::of(container, listed.clone(), manifest.clone()) {
            Ok(package) => {
                check_layers(&package, promised, &mut found);
                opened = Some(package);
            }
            Err(failure) => found.problem(INFO_PATH, failure.message),
        }
    }
    found.files = listed.len() as u64;
    if let Some(manifest) = promised {
        found.by_manifest = true;
        found.missing = manifest.missing();
        found.not_counted = manifest.not_counted();
        // An older program called a package complete that has all layers, whatever is missing of them.
        found.complete = Some(manifest.complete && found.missing.is_empty());
    }
    Ok((found, opened))
}

/// Opens a package's files; `None` where it is so damaged that nothing of it can be read, which is a problem.
fn list(path: &Path, found: &mut Verification) -> Result<Option<(Container, Listing)>, Failure> {
    let is_directory = path.is_dir();
    let container = match Container::open(path) {
        Ok(container) => container,
        // An archive whose structure is damaged is not read.
        Err(failure) if !is_directory && failure.kind == FailureKind::Corrupt => {
            found.problem(DIRECTORY, failure.message);
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    match container.list() {
        Ok(listing) => Ok(Some((container, listing))),
        Err(failure) if failure.kind == FailureKind::Corrupt => {
            found.problem("(directory of the package)", failure.message);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn read_manifest(container: &Container) -> Result<Manifest, String> {
    let bytes = container.read(MANIFEST_PATH, LARGEST_MANIFEST).map_err(|f| f.message)?;
    Manifest::read(&bytes)
}

/// Compares the files that are there with those of the manifest; without one each must be readable.
fn check_files(
    listed: &BTreeMap<String, u64>,
    manifest: Option<&Manifest>,
    hashed: impl Fn(&str) -> Result<(u64, String), Failure>,
    found: &mut Verification,
) -> Result<(), Failure> {
    let promised: HashMap<&str, &ManifestFile> =
        manifest.into_iter().flat_map(|m| &m.files).map(|f| (f.path.as_str(), f)).collect();
    for (name, size) in listed {
        found.bytes = found.bytes.saturating_add(*size);
        let expected = manifest.map(|_| promised.get(name.as_str()));
        match (hashed(name), expected) {
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
    for file in manifest.into_iter().flat_map(|m| &m.files).filter(|f| !listed.contains_key(&f.path)) {
        found.problem(&file.path, "it is in the manifest and not in the package".to_owned());
    }
    Ok(())
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

/// Checks that every layer's data are where the map says, and where the manifest says.
fn check_layers(package: &MobileMapPackage, manifest: Option<&Manifest>, found: &mut Verification) {
    for map in package.maps() {
        for layer in &map.layers {
            if let Some(data) = layer.data.as_ref().filter(|d| !d.outside && d.bytes.is_none()) {
                let what = format!("layer \"{}\" of {} has its data there, and it is missing", layer.title, map.path);
                found.problem(&data.path, what);
            }
        }
        let by_id: HashMap<&str, &OfflineLayer> = map.layers.iter().map(|l| (l.id.as_str(), l)).collect();
        for wanted in manifest.into_iter().flat_map(|m| &m.layers) {
            if wanted.state != ExportState::Succeeded || wanted.file.is_none() {
                continue;
            }
            let there = by_id.get(wanted.id.as_str()).and_then(|l| l.data.as_ref());
            if there.map(|d| &d.path) != wanted.file.as_ref() {
                found.problem(&map.path, format!("layer \"{}\" does not point to its data", wanted.title));
            }
        }
    }
}
