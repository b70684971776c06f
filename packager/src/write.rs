//! Writes the package: stage → verify → rename.
//!
//! 1. Link what came home into `p13/` of the staging directory under fresh names.
//! 2. Write the map, the item documents and the thumbnail.
//! 3. Hash every file, write the manifest; write `package.info` last, so that a half-made package does not open.
//! 4. Open and verify the staged package down to every row and tile, by the same code that anybody else would use.
//! 5. Rename into place.

use crate::deep::verify_reporting;
use crate::manifest::{FORMAT, MANIFEST_PATH, Manifest, ManifestFile, ManifestLayer, VERSION};
use crate::offline_map::{Documents, LayerData, MAP_FOLDER, MAP_NAME, thumbnail_path};
use crate::verify::{Problem, hash};
use async_trait::async_trait;
use offmap_disk::{atomic_file, link_or_copy_until, run_blocking, safe_path};
use offmap_engine::{EarlierPackage, LocalBasemap, PackRequest, Packager, Packed, REPLACED, Replacement};
use offmap_formats::package_files::Container;
use offmap_model::{ExportState, Failure, FailureKind, FailureOwner, FailureStage, LayerOutcome};
use serde_json::Value;
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where the job that made a package is written down, to complete it later.
pub(crate) const JOB_PATH: &str = "offmap/job.json";

/// Makes mobile map packages as unpacked directories; [`write_mmpk`](crate::write_mmpk) zips one.
#[derive(Debug, Clone, Copy, Default)]
pub struct MobileMapPackager;

fn failed(what: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Package, what, error)
}

fn not_usable(message: String) -> Failure {
    Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Plan, message)
}

#[async_trait]
impl Packager for MobileMapPackager {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        let shown = destination.display();
        match std::fs::symlink_metadata(destination) {
            Ok(metadata) if metadata.is_symlink() => {
                return Err(not_usable(format!(
                    "the destination {shown} is a link; name the directory that it leads to, or one that is absent"
                )));
            }
            Ok(metadata) if !metadata.is_dir() => {
                return Err(not_usable(format!(
                    "the destination {shown} is not a directory; name one that is absent or empty"
                )));
            }
            Ok(_) => {
                let mut entries = std::fs::read_dir(destination)
                    .map_err(|e| not_usable(format!("the destination {shown} cannot be read: {e}")))?;
                if entries.next().is_some() {
                    return Err(not_usable(format!(
                        "the destination {shown} is not empty; name a directory that is absent or empty"
                    )));
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(not_usable(format!("the destination {shown} cannot be used: {e}"))),
        }
        if destination.file_name().is_none() {
            return Err(not_usable(format!("the destination {shown} has no name; name a directory")));
        }
        let parent = destination.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !parent.is_dir() {
            return Err(not_usable(format!(
                "the destination's parent {} is not a directory; make it first",
                parent.display()
            )));
        }
        Ok(())
    }

    fn read_package(&self, package: &Path) -> Result<EarlierPackage, Failure> {
        crate::earlier::read(package)
    }

    fn read_basemap(&self, file: &Path) -> Result<LocalBasemap, Failure> {
        crate::basemap::read(file)
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        run_blocking(move || pack(&request, &*report, &cancel)).await
    }
}

fn pack(request: &PackRequest, report: &dyn Fn(u64, u64), cancel: &CancellationToken) -> Result<Packed, Failure> {
    let go_on = || if cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) };
    let staging = &request.staging_dir;
    // What an interrupted packing left is not trusted.
    let emptied = match std::fs::remove_dir_all(staging) {
        Err(e) if e.kind() == ErrorKind::NotADirectory => std::fs::remove_file(staging),
        other => other,
    };
    match emptied {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed("cannot empty the staging directory", &e)),
        _ => {}
    }
    let map_folder = staging.join(MAP_FOLDER);
    std::fs::create_dir_all(&map_folder).map_err(|e| failed("cannot stage the package", &e))?;
    // 1.
    let data = stage(request, &map_folder, cancel)?;
    go_on()?;
    // 2.
    let documents = Documents {
        source: &request.source,
        plan: &request.plan,
        layers: &request.layers,
        data: &data,
        items: &request.source.items_of_layers(),
        basemap: request.basemap.as_ref(),
        created: request.created,
        guid: Uuid::new_v4(),
    };
    let secrets = &request.secrets;
    let clean = |mut json: Value| {
        secrets.scrub_json(&mut json);
        json
    };
    write_json(&map_folder.join(format!("{MAP_NAME}.mmap")), &clean(documents.mobile_map()?))?;
    write_file(&staging.join(JOB_PATH), request.document.as_bytes())?;
    let scrubbed = |text: String| secrets.scrub_word(&text).into_owned().into_bytes();
    write_file(&staging.join("esriinfo/item.pkinfo"), &scrubbed(documents.pkinfo()?))?;
    write_file(&staging.join("esriinfo/iteminfo.xml"), &scrubbed(documents.iteminfo()?))?;
    if let Some(thumbnail) = &documents.item_info().thumbnail {
        write_file(&staging.join("esriinfo").join(thumbnail_path(thumbnail)), thumbnail.bytes())?;
    }
    // 3.
    let info = serde_json::to_vec(&clean(documents.package_info()?)).map_err(|e| Failure::internal(e.to_string()))?;
    let info_path = staging.join("package.info");
    let container = Container::open(staging)?;
    let all = container.files()?.iter().fold(0, |all: u64, (_, bytes)| all.saturating_add(*bytes));
    let passes = Passes { report, done: Cell::new(0), all: all.saturating_mul(PASSES).max(1) };
    let files = hash_all(&container, &info, &passes, cancel)?;
    let manifest = manifest(request, &documents, &data, files);
    let manifest = secrets.clean(&manifest).map_err(|e| Failure::internal(e.to_string()))?;
    let bytes = manifest.to_bytes().map_err(|e| Failure::internal(e.to_string()))?;
    write_file(&staging.join(MANIFEST_PATH), &bytes)?;
    write_file(&info_path, &info)?;
    go_on()?;
    // 4.
    let proof = verify_reporting(staging, &request.containers, cancel, &|bytes| passes.read(bytes)).map_err(of_the_disk)?;
    if let Some(problem) = proof.problems.first() {
        let failure = not_verified(problem, proof.problems.len() as u64 - 1 + proof.more_problems);
        return Err(match proof.problems.iter().find_map(|p| layer_of(&p.file, &data)) {
            Some(layer) => failure.for_layer(layer),
            None => failure,
        });
    }
    atomic_file::sync_tree(staging, cancel).map_err(|e| match cancel.is_cancelled() {
        true => Failure::cancelled(),
        false => failed("cannot sync the package", &e),
    })?;
    go_on()?;
    // 5.
    if request.replaces {
        keeps_all(&request.destination, &request.layers)?;
    }
    put_in_place(staging, &request.destination, request.replaces)?;
    report(passes.all, passes.all);
    Ok(Packed { path: request.destination.clone(), bytes: proof.bytes, files: proof.files })
}

/// Links files and folders under fresh names; answers where each layer's data are.
fn stage(
    request: &PackRequest,
    map_folder: &Path,
    cancel: &CancellationToken,
) -> Result<HashMap<String, LayerData>, Failure> {
    let mut data = HashMap::new();
    let succeeded = |id: &str| request.layers.iter().any(|l| l.id == id && l.state == ExportState::Succeeded);
    for task in &request.artifacts {
        let wanted: Vec<_> = task.artifact.layers.iter().filter(|l| succeeded(&l.id)).collect();
        let mut names: Vec<Option<String>> = vec![None; task.artifact.files.len()];
        for index in wanted.iter().flat_map(|l| [l.file, l.resources]).flatten() {
            let (Some(file), Some(slot)) = (task.artifact.files.get(index), names.get_mut(index)) else { continue };
            if slot.is_some() {
                continue;
            }
            let guid = Uuid::new_v4().hyphenated().to_string();
            let plain = file.extension.chars().all(|c| c.is_ascii_alphanumeric());
            let name = match (file.is_folder, plain && !file.extension.is_empty()) {
                (true, _) => guid,
                (false, true) => format!("{guid}.{}", file.extension),
                (false, false) => return Err(Failure::internal(format!("`{}` is no file extension", file.extension))),
            };
            // What was good when it came home and is not any more is the disk's.
            let odd = |e| {
                let what = format!("what came home for task `{}` is not usable", task.task);
                Failure { owner: FailureOwner::Storage, ..safe_path::judged(&what, &e) }
            };
            let from = match file.is_folder {
                true => safe_path::folder(&task.work_dir, &file.path),
                false => safe_path::file(&task.work_dir, &file.path).map(|(path, _)| path),
            };
            let from = from.map_err(odd)?;
            // Linked, not moved: an interrupted packing begins again.
            link_or_copy_until(&from, &map_folder.join(&name), cancel)?;
            *slot = Some(name);
        }
        let name = |index: Option<usize>| index.and_then(|i| names.get(i).cloned().flatten());
        for layer in wanted {
            if let Some(file) = name(layer.file) {
                let resources = name(layer.resources);
                data.insert(layer.id.clone(), LayerData { file, item_id: layer.item_id, resources });
            }
        }
    }
    Ok(data)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let shown = path.display();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| failed(format!("cannot make {}", parent.display()), &e))?;
    }
    let written = File::create(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|e| failed(format!("cannot write {shown}"), &e))
}

fn write_json(path: &Path, value: &Value) -> Result<(), Failure> {
    write_file(path, &serde_json::to_vec(value).map_err(|e| Failure::internal(e.to_string()))?)
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

/// Times that the bytes of a package are read: for the manifest, to verify the files, to verify what is in them.
const PASSES: u64 = 3;
/// How far the reading of a staged package is.
struct Passes<'a> {
    report: &'a dyn Fn(u64, u64),
    done: Cell<u64>,
    all: u64,
}

impl Passes<'_> {
    fn read(&self, bytes: u64) {
        // All is done when the package is at its place.
        self.done.set(self.done.get().saturating_add(bytes).min(self.all - 1));
        (self.report)(self.done.get(), self.all);
    }
}

/// A package that does not verify is not put in place. What it is made of was judged good when it came, so the disk has damaged it.
fn not_verified(first: &Problem, others: u64) -> Failure {
    let more = if others == 0 { String::new() } else { format!(" and {others} more") };
    let message = format!(
        "the package that was just written does not verify ({}: {}{more}), so it was not put in place; check the disk, then let the \
         job go on: what is damaged is fetched again",
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

/// Hashes all files of the staged package, and `package.info` that is still to be written.
fn hash_all(
    container: &Container,
    info: &[u8],
    passes: &Passes<'_>,
    cancel: &CancellationToken,
) -> Result<Vec<ManifestFile>, Failure> {
    let mut files = Vec::new();
    for (path, _) in container.files()? {
        let (bytes, sha256) = hash(container, &path, cancel, &|bytes| passes.read(bytes)).map_err(of_the_disk)?;
        files.push(ManifestFile { path, bytes, sha256 });
    }
    files.push(ManifestFile {
        path: "package.info".to_owned(),
        bytes: info.len() as u64,
        sha256: crate::manifest::sha256_of(info),
    });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn manifest(
    request: &PackRequest,
    documents: &Documents<'_>,
    data: &HashMap<String, LayerData>,
    files: Vec<ManifestFile>,
) -> Manifest {
    let info = documents.item_info();
    let said = |text: String| Some(text).filter(|t| !t.is_empty());
    let tasks = &request.plan.tasks;
    let online: HashMap<String, String> =
        request.source.web_map.layers().into_iter().map(|l| (l.id, l.layer_type.to_string())).collect();
    let layers = request.layers.iter().map(|l| {
        let task = tasks.iter().find(|t| t.layers.iter().any(|x| x.id == l.id));
        let own = task.and_then(|t| t.layers.iter().find(|x| x.id == l.id));
        let url = own.and_then(|x| x.url.clone()).or_else(|| task.map(|t| t.key.service_url.clone()));
        ManifestLayer {
            id: l.id.clone(),
            title: l.title.clone(),
            is_table: l.is_table,
            layer_type: online.get(&l.id).cloned(),
            state: l.state,
            contents: l.contents.clone(),
            attachments_planned: own.and_then(|x| x.attachments),
            count_unit: l.count_unit,
            file: data.get(&l.id).map(|d| format!("{MAP_FOLDER}/{}", d.file)),
            url: url.map(|a| offmap_model::failure::without_secrets(&a)),
            exporter: task.map(|t| t.exporter.clone()),
            edit_date: task.and_then(|t| t.edit_date),
            attribution: documents.attribution(&l.id),
            terms_of_use: documents.terms_of_use(&l.id),
            failure: l.failure.clone(),
        }
    });
    let layers: Vec<ManifestLayer> = layers.collect();
    let said_by_exporters = request.artifacts.iter().flat_map(|a| &a.artifact.warnings);
    Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        digest: String::new(),
        generator: format!("offmap {}", env!("CARGO_PKG_VERSION")),
        job: request.job.clone(),
        created: request.created,
        complete: Manifest::is_complete(&layers),
        portal_url: request.source.portal_url.clone(),
        item_id: request.source.item.as_ref().map(|i| i.id.clone()),
        access_information: said(info.access_information),
        terms_of_use: said(info.terms_of_use),
        area_of_interest: request.plan.parameters.area_of_interest.clone(),
        min_scale: request.plan.parameters.min_scale,
        max_scale: request.plan.parameters.max_scale,
        files,
        layers,
        warnings: request.plan.warnings.iter().chain(said_by_exporters).cloned().collect(),
    }
}

/// The last look before the swap: the package that is there now loses nothing.
fn keeps_all(destination: &Path, layers: &[LayerOutcome]) -> Result<(), Failure> {
    match crate::earlier::read(destination)?.replaced_by(layers) {
        Replacement::Loses(what) => {
            let shown = destination.display();
            let message = format!("the new package would hold less: {what}; the package {shown} stays as it is");
            Err(Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Package, message))
        }
        Replacement::Gains | Replacement::Same => Ok(()),
    }
}

fn put_in_place(staging: &Path, destination: &Path, replaces: bool) -> Result<(), Failure> {
    let old = staging.with_file_name(REPLACED);
    if replaces {
        std::fs::rename(destination, &old)
            .map_err(|e| failed(format!("cannot put the package at {} aside", destination.display()), &e))?;
    }
    // A rename onto an empty directory is one step; where the system refuses it, the empty directory goes first. A directory
    // that is not empty any more makes both fail and stays as it is.
    let renamed = std::fs::rename(staging, destination).or_else(|refused| match std::fs::remove_dir(destination) {
        Ok(()) => std::fs::rename(staging, destination),
        // What is worth telling is why the package could not be put there.
        Err(_) => Err(refused),
    });
    if renamed.is_err() && replaces {
        // The old package goes back; if that fails too, resuming the job does it.
        let _ = std::fs::rename(&old, destination);
    }
    renamed.map_err(|e| failed(format!("cannot put the package in place at {}", destination.display()), &e))?;
    if let Some(parent) = destination.parent() {
        atomic_file::sync_dir(parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_cannot_be_put_in_place_says_what_the_rename_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let staging = dir.path().join("package");
        std::fs::create_dir(&staging).expect("makes");
        // A directory cannot be moved into itself; that nothing is there to be removed is not the reason.
        let failure = put_in_place(&staging, &staging.join("inside"), false).expect_err("refused");
        let own = std::fs::rename(&staging, staging.join("inside")).expect_err("refused");
        assert!(failure.message.ends_with(&own.to_string()), "{failure}: {own}");
        // An empty directory at the place is no obstacle.
        let place = dir.path().join("place");
        std::fs::create_dir(&place).expect("makes");
        assert_eq!(put_in_place(&staging, &place, false), Ok(()));
        assert!(place.is_dir() && !staging.exists());
    }
}
