//! Makes the package: stage → verify → rename.
//!
//! 1. Link the data files into `p13/` of the staging directory under fresh names.
//! 2. Write the map, the item documents and the thumbnail.
//! 3. Hash every file, write the manifest; write `package.info` last, so that a half-made package does not open.
//! 4. Open and verify the staged package down to every row and tile, by the same code that anybody else would use. A file is read
//!    for its hash once, here; its contents are read here unless they were read, with the same hash, after the export.
//! 5. Rename into place.

use crate::deep::verify_staged;
use crate::destination;
use crate::documents::{Documents, layers_of};
use crate::item_documents::{iteminfo, package_info, pkinfo};
use crate::job_manifest::manifest;
use crate::layout::{INFO_PATH, JOB_PATH, LayerData, MAP_FOLDER, MAP_NAME, thumbnail_path};
use crate::manifest::{MANIFEST_PATH, ManifestFile};
use crate::map_document::mobile_map;
use crate::stage::{self, Staged, failed, write_file, write_json};
use crate::verification::{Problem, Verification};
use crate::verify::{AlreadyRead, hash};
use offmap_disk::{atomic_file, sha256_of, side_by_side, threads_for};
use offmap_engine::{PackRequest, Packed};
use offmap_formats::package_files::Container;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Takes how many bytes of how many were read.
pub(crate) type Report = dyn Fn(u64, u64) + Send + Sync;

/// Makes the package. Blocks; see the module.
pub(crate) fn pack(request: &PackRequest, report: &Report, cancel: &CancellationToken) -> Result<Packed, Failure> {
    let staging = &request.staging_dir;
    let map_folder = staging.join(MAP_FOLDER);
    stage::begin(staging, &map_folder)?;
    let staged = stage::link(request, &map_folder, cancel)?;
    check(cancel)?;
    let passes = Passes::new(report);
    let files = write_documents(request, &staged.data, &map_folder, &passes, cancel)?;
    check(cancel)?;
    let verification = verify(request, &staged, files, &passes, cancel)?;
    atomic_file::sync_tree(staging, cancel).map_err(|e| match cancel.is_cancelled() {
        true => Failure::cancelled(),
        false => failed("cannot sync the package", &e),
    })?;
    check(cancel)?;
    match (request.replaces, request.overwrites) {
        (true, true) => destination::check_unchanged(&request.destination, cancel)?,
        (true, false) => destination::check_replaced(&request.destination, &request.layers)?,
        (false, _) => {}
    }
    destination::put_in_place(staging, &request.destination, request.replaces)?;
    passes.finish();
    Ok(Packed { path: request.destination.clone(), bytes: verification.bytes, files: verification.files })
}

fn check(cancel: &CancellationToken) -> Result<(), Failure> {
    if cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
}

/// Writes all documents; answers the files of the package with their hashes, as the manifest has them.
fn write_documents(
    request: &PackRequest,
    data: &HashMap<String, LayerData>,
    map_folder: &Path,
    passes: &Passes<'_>,
    cancel: &CancellationToken,
) -> Result<Vec<ManifestFile>, Failure> {
    let staging = &request.staging_dir;
    let documents = Documents {
        source: &request.source,
        plan: &request.plan,
        layers: &request.layers,
        data,
        items: &request.source.items_of_layers(),
        basemap: request.basemap.as_ref(),
        created: request.created,
        guid: Uuid::new_v4(),
        planned: layers_of(&request.plan),
        info: OnceCell::new(),
    };
    let secrets = &request.secrets;
    let clean = |mut json: Value| {
        secrets.scrub_json(&mut json);
        json
    };
    write_json(&map_folder.join(format!("{MAP_NAME}.mmap")), &clean(mobile_map(&documents)?))?;
    write_file(&staging.join(JOB_PATH), request.document.as_bytes())?;
    let scrubbed = |text: String| secrets.scrub_word(&text).into_owned().into_bytes();
    write_file(&staging.join("esriinfo/item.pkinfo"), &scrubbed(pkinfo(&documents)?))?;
    write_file(&staging.join("esriinfo/iteminfo.xml"), &scrubbed(iteminfo(&documents)?))?;
    if let Some(thumbnail) = &documents.item_info().thumbnail {
        write_file(&staging.join("esriinfo").join(thumbnail_path(thumbnail)), thumbnail.bytes())?;
    }
    let info = serde_json::to_vec(&clean(package_info(&documents)?)).map_err(|e| Failure::internal(e.to_string()))?;
    let files = hash_all(&Container::open(staging)?, &info, passes, cancel)?;
    let manifest = manifest(request, &documents, files.clone());
    let manifest = secrets.clean(&manifest).map_err(|e| Failure::internal(e.to_string()))?;
    let bytes = manifest.to_bytes().map_err(|e| Failure::internal(e.to_string()))?;
    write_file(&staging.join(MANIFEST_PATH), &bytes)?;
    write_file(&staging.join(INFO_PATH), &info)?;
    Ok(files)
}

/// Hashes all files of the staged package, and `package.info` that is still to be written.
fn hash_all(
    container: &Container,
    info: &[u8],
    passes: &Passes<'_>,
    cancel: &CancellationToken,
) -> Result<Vec<ManifestFile>, Failure> {
    let staged = container.files()?;
    let all = staged.iter().fold(0, |all: u64, (_, bytes)| all.saturating_add(*bytes));
    passes.expect(all);
    let mut files = side_by_side(&staged, threads_for(staged.len(), all), |(path, _)| -> Result<_, Failure> {
        let (bytes, sha256) = hash(container, path, cancel, &|bytes| passes.read(bytes)).map_err(of_the_disk)?;
        Ok(ManifestFile { path: path.clone(), bytes, sha256 })
    })?;
    files.push(ManifestFile { path: INFO_PATH.to_owned(), bytes: info.len() as u64, sha256: sha256_of(info) });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Verifies the staged package; a problem is a failure. Files have the hashes that their exporters know, or they are read once more
/// to say what is wrong with them.
fn verify(
    request: &PackRequest,
    staged: &Staged,
    files: Vec<ManifestFile>,
    passes: &Passes<'_>,
    cancel: &CancellationToken,
) -> Result<Verification, Failure> {
    let known = |path: &str| staged.sha256.get(path.strip_prefix(MAP_FOLDER)?.strip_prefix('/')?);
    let mut changed = Vec::new();
    for file in &files {
        if let Some(known) = known(&file.path).filter(|known| **known != file.sha256) {
            let what = format!("it has SHA-256 {}, it had {known} when it was exported", file.sha256);
            changed.push(Problem { file: file.path.clone(), what });
        }
    }
    // Documents were written after the last look at them, so they are read back.
    let data = files.into_iter().filter(|f| known(&f.path).is_some());
    let files = data.map(|f| (f.path.clone(), f)).collect();
    let read = AlreadyRead { files: &files, contents: &request.contents };
    let report = |bytes| passes.read(bytes);
    let mut found = verify_staged(&request.staging_dir, &request.containers, cancel, &report, &read).map_err(of_the_disk)?;
    changed.into_iter().for_each(|problem| found.add(problem));
    let Some(problem) = found.problems.first() else { return Ok(found) };
    let failure = not_verified(problem, found.problems.len() as u64 - 1 + found.more_problems);
    Err(match found.problems.iter().find_map(|p| layer_of(&p.file, &staged.data)) {
        Some(layer) => failure.for_layer(layer),
        None => failure,
    })
}

/// What cannot be read of the staged package is the disk's matter: it was written a moment ago.
fn of_the_disk(mut failure: Failure) -> Failure {
    if !failure.is_cancelled() {
        failure.owner = FailureOwner::Storage;
        if failure.kind == FailureKind::NotFound {
            failure.kind = FailureKind::Io;
        }
    }
    failure
}

/// Times that the bytes of a package are read at most: for their hashes, and for what is in them.
const PASSES: u64 = 2;

/// How far the reading of a staged package is.
struct Passes<'a> {
    report: &'a Report,
    done: AtomicU64,
    all: AtomicU64,
}

impl<'a> Passes<'a> {
    fn new(report: &'a Report) -> Self {
        Self { report, done: AtomicU64::new(0), all: AtomicU64::new(1) }
    }

    /// How many bytes the package has.
    fn expect(&self, bytes: u64) {
        self.all.store(bytes.saturating_mul(PASSES).max(1), Ordering::Relaxed);
    }

    fn read(&self, bytes: u64) {
        let all = self.all.load(Ordering::Relaxed);
        let done = self.done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        // All is done when the package is at its place.
        (self.report)(done.min(all - 1), all);
    }

    fn finish(&self) {
        let all = self.all.load(Ordering::Relaxed);
        (self.report)(all, all);
    }
}

/// A package that does not verify is not put in place. Its data were judged good after the export, so the disk has damaged them.
fn not_verified(first: &Problem, others: u64) -> Failure {
    let more = if others == 0 { String::new() } else { format!(" and {others} more") };
    let message = format!(
        "the package that was just written does not verify ({}: {}{more}), so it was not put in place; check the disk, then resume \
         the job: what is damaged is fetched again",
        first.file, first.what
    );
    Failure::new(FailureOwner::Storage, FailureKind::Corrupt, FailureStage::Package, message)
}

/// The layer whose data or resources a file of the package is, or is a part of.
fn layer_of<'a>(file: &str, data: &'a HashMap<String, LayerData>) -> Option<&'a str> {
    let name = file.strip_prefix(MAP_FOLDER)?.strip_prefix('/')?;
    let is_in = |own: &str| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let of = |d: &LayerData| is_in(&d.file) || d.resources.as_deref().is_some_and(is_in);
    data.iter().find(|(_, d)| of(d)).map(|(id, _)| id.as_str())
}
