//! Reads back a package that was made here, to complete it.

use crate::layout::JOB_PATH;
use crate::manifest::{MANIFEST_PATH, Manifest, ManifestFile, ManifestLayer};
use crate::mobile_map_package::MobileMapPackage;
use crate::offline_map::OfflineLayer;
use offmap_disk::safe_path;
use offmap_engine::{EarlierData, EarlierFile, EarlierNetwork, EarlierPackage};
use offmap_model::{ExportState, Failure, FailureKind, FailureStage, LayerOutcome};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Largest document of a job that is read, in bytes.
const LARGEST_JOB: u64 = 256 << 20;

/// Reads the package at `path`, an unpacked directory.
pub(crate) fn read(path: &Path) -> Result<EarlierPackage, Failure> {
    check_directory(path)?;
    // Before anything in it is opened: nothing but plain files is read or carried over.
    safe_path::check_tree(path).map_err(|e| refused(path, &format!("it is damaged: {e}")))?;
    let package = MobileMapPackage::open(path)?;
    let manifest = match package.manifest() {
        Some(Ok(manifest)) => manifest,
        Some(Err(what)) => return Err(refused(path, &format!("its manifest is damaged: {what}"))),
        None => return Err(refused(path, "it has no manifest, so it was not made by offmap")),
    };
    let document = read_job(path, &package)?;
    let sizes: HashMap<&str, u64> = manifest.files.iter().map(|f| (f.path.as_str(), f.bytes)).collect();
    let without_data = package.maps().iter().flat_map(|m| &m.layers).filter(|l| l.data.is_none()).map(|l| l.id.clone());
    let key = |l: &'_ ManifestLayer| Some((l.id.clone(), l.file.clone()?));
    // The first one of a layer and file counts.
    let promised: HashMap<(String, String), &ManifestLayer> =
        manifest.layers.iter().rev().filter_map(|l| Some((key(l)?, l))).collect();
    let data: Vec<EarlierData> =
        package.maps().iter().flat_map(|m| &m.layers).filter_map(|l| data_of(path, l, &promised)).collect();
    let networks = package.networks().into_iter().filter_map(|(network, file)| {
        let service_layer_id = u32::try_from(file.item_id?).ok()?;
        Some(EarlierNetwork { url: network.url?, file: path.join(&file.path), service_layer_id })
    });
    let plain = |f: &&ManifestFile| safe_path::check_relative(Path::new(&f.path)).is_ok();
    let files = manifest.files.iter().filter(plain).map(|f| EarlierFile {
        path: path.join(&f.path),
        bytes: f.bytes,
        sha256: f.sha256.clone(),
    });
    let all = package.files()?;
    let unlisted = all.iter().filter(|(name, _)| name != MANIFEST_PATH && !sizes.contains_key(name.as_str()));
    Ok(EarlierPackage {
        job: manifest.job.clone(),
        is_overwritten: false,
        document,
        layers: manifest.layers.iter().map(|l| outcome(l, &sizes)).collect(),
        without_data: without_data.collect(),
        lost: lost(&package, manifest, &data),
        data,
        document_file: path.join(JOB_PATH),
        networks: networks.collect(),
        files: files.collect(),
        unlisted: unlisted.map(|(name, _)| path.join(name)).collect(),
        // As the packager counts: every file, the manifest as well.
        bytes: all.iter().fold(0, |all: u64, (_, bytes)| all.saturating_add(*bytes)),
    })
}

fn refused(path: &Path, why: &str) -> Failure {
    let mut failure = Failure::invalid_parameter(format!("the package {} cannot be completed: {why}", path.display()));
    failure.kind = FailureKind::NotSupported;
    failure.stage = FailureStage::Read;
    failure
}

fn check_directory(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(metadata) if metadata.is_symlink() => Err(refused(path, "it is a link; name the directory that it leads to")),
        _ => Err(refused(path, "it is not an unpacked directory")),
    }
}

/// The job that made the package, as JSON.
fn read_job(path: &Path, package: &MobileMapPackage) -> Result<String, Failure> {
    let read = package.read(JOB_PATH, LARGEST_JOB).map_err(|f| f.message);
    let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(|e| e.to_string()));
    text.map_err(|why| refused(path, &format!("{JOB_PATH}, which names its map and area, cannot be read: {why}")))
}

fn outcome(layer: &ManifestLayer, sizes: &HashMap<&str, u64>) -> LayerOutcome {
    LayerOutcome {
        id: layer.id.clone(),
        title: layer.title.clone(),
        is_table: layer.is_table,
        state: layer.state,
        contents: layer.contents.clone(),
        count_unit: layer.count_unit,
        bytes: layer.file.as_deref().and_then(|f| sizes.get(f).copied()).unwrap_or(0),
        failure: layer.failure.clone(),
    }
}

/// Where the data of a layer are; the manifest and the map must mean the same file.
fn data_of(path: &Path, layer: &OfflineLayer, promised: &HashMap<(String, String), &ManifestLayer>) -> Option<EarlierData> {
    let data = layer.data.as_ref().filter(|d| !d.outside && d.bytes.is_some())?;
    let own = promised.get(&(layer.id.clone(), data.path.clone()))?;
    safe_path::check_relative(Path::new(&data.path)).ok()?;
    data.resources.as_deref().map_or(Ok(()), |folder| safe_path::check_relative(Path::new(folder))).ok()?;
    Some(EarlierData {
        id: layer.id.clone(),
        file: path.join(&data.path),
        item_id: data.item_id,
        resources: data.resources.as_deref().map(|folder| path.join(folder)),
        exporter: own.exporter.clone(),
        direct_download: own.direct_download,
        drawn: own.drawn,
        url: own.url.clone(),
        attachments_planned: own.attachments_planned,
        attribution: own.attribution.clone(),
        edit_date: own.edit_date,
    })
}

/// Layers that the manifest calls succeeded and whose data are not there, as a deep verification judges.
fn lost(package: &MobileMapPackage, manifest: &Manifest, data: &[EarlierData]) -> Vec<String> {
    let there: HashSet<&str> = data.iter().map(|d| d.id.as_str()).collect();
    let layers = package.maps().iter().flat_map(|m| &m.layers);
    let online = layers.filter(|l| l.data.is_none() && l.url.is_some());
    let online: HashSet<&str> = online.map(|l| l.id.as_str()).collect();
    let has_data = |l: &&ManifestLayer| l.file.is_some() || (l.contents.got > 0 && !online.contains(l.id.as_str()));
    let succeeded = manifest.layers.iter().filter(|l| l.state == ExportState::Succeeded);
    succeeded.filter(has_data).filter(|l| !there.contains(l.id.as_str())).map(|l| l.id.clone()).collect()
}
