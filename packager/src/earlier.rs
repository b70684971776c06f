//! Reads back a package that was made here, to complete it.

use crate::manifest::{MANIFEST_PATH, ManifestFile, ManifestLayer};
use crate::mobile_map_package::MobileMapPackage;
use crate::write::JOB_PATH;
use offmap_disk::safe_path;
use offmap_engine::{EarlierData, EarlierFile, EarlierNetwork, EarlierPackage};
use offmap_model::{ExportState, Failure, FailureKind, FailureStage, LayerOutcome};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Largest document of a job that is read, in bytes.
const LARGEST_JOB: u64 = 256 << 20;

/// Reads the package at `path`, an unpacked directory.
pub(crate) fn read(path: &Path) -> Result<EarlierPackage, Failure> {
    let refused = |words: &str| {
        let mut failure = Failure::invalid_parameter(format!("the package {} cannot be completed: {words}", path.display()));
        failure.kind = FailureKind::NotSupported;
        failure.stage = FailureStage::Read;
        failure
    };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(metadata) if metadata.is_symlink() => {
            return Err(refused("it is a link; name the directory that it leads to"));
        }
        _ => return Err(refused("it is not an unpacked directory")),
    }
    // Before anything in it is opened: nothing but plain files is read or carried over.
    safe_path::check_tree(path).map_err(|e| refused(&format!("it is damaged: {e}")))?;
    let package = MobileMapPackage::open(path)?;
    let manifest = match package.manifest() {
        Some(Ok(manifest)) => manifest,
        Some(Err(words)) => return Err(refused(&format!("its manifest is damaged: {words}"))),
        None => return Err(refused("it has no manifest, so it was not made by offmap")),
    };
    let document = package.read(JOB_PATH, LARGEST_JOB).map_err(|f| f.message);
    let document = document.and_then(|bytes| String::from_utf8(bytes).map_err(|e| e.to_string()));
    let document =
        document.map_err(|words| refused(&format!("{JOB_PATH}, which names its map and area, cannot be read: {words}")))?;
    let sizes: HashMap<&str, u64> = manifest.files.iter().map(|f| (f.path.as_str(), f.bytes)).collect();
    let layers = manifest.layers.iter().map(|l| LayerOutcome {
        id: l.id.clone(),
        title: l.title.clone(),
        is_table: l.is_table,
        state: l.state,
        contents: l.contents.clone(),
        count_unit: l.count_unit,
        bytes: l.file.as_deref().and_then(|f| sizes.get(f).copied()).unwrap_or(0),
        failure: l.failure.clone(),
    });
    let data = package.maps().iter().flat_map(|m| &m.layers).filter_map(|l| {
        let data = l.data.as_ref().filter(|d| !d.outside && d.bytes.is_some())?;
        // The manifest and the map must mean the same file.
        let own = manifest.layers.iter().find(|m| m.id == l.id && m.file.as_deref() == Some(data.path.as_str()))?;
        safe_path::check_relative(Path::new(&data.path)).ok()?;
        data.resources.as_deref().map_or(Ok(()), |folder| safe_path::check_relative(Path::new(folder))).ok()?;
        Some(EarlierData {
            id: l.id.clone(),
            file: path.join(&data.path),
            item_id: data.item_id,
            resources: data.resources.as_deref().map(|folder| path.join(folder)),
            exporter: own.exporter.clone(),
            url: own.url.clone(),
            attachments_planned: own.attachments_planned,
            attribution: own.attribution.clone(),
            edit_date: own.edit_date,
        })
    });
    let without_data = package.maps().iter().flat_map(|m| &m.layers).filter(|l| l.data.is_none()).map(|l| l.id.clone());
    let data: Vec<EarlierData> = data.collect();
    let lost = {
        let there: HashSet<&str> = data.iter().map(|d| d.id.as_str()).collect();
        let online: HashSet<&str> = package
            .maps()
            .iter()
            .flat_map(|m| &m.layers)
            .filter(|l| l.data.is_none() && l.url.is_some())
            .map(|l| l.id.as_str())
            .collect();
        // As a deep look at it judges.
        let has_data = |l: &&ManifestLayer| l.file.is_some() || (l.contents.got > 0 && !online.contains(l.id.as_str()));
        let succeeded = manifest.layers.iter().filter(|l| l.state == ExportState::Succeeded);
        succeeded.filter(has_data).filter(|l| !there.contains(l.id.as_str())).map(|l| l.id.clone()).collect()
    };
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
        document,
        layers: layers.collect(),
        data,
        without_data: without_data.collect(),
        lost,
        document_file: path.join(JOB_PATH),
        networks: networks.collect(),
        files: files.collect(),
        unlisted: unlisted.map(|(name, _)| path.join(name)).collect(),
        // As the packager counts: every file, the manifest as well.
        bytes: all.iter().fold(0, |all: u64, (_, bytes)| all.saturating_add(*bytes)),
    })
}
