//! Reads back a package that was made here, to complete it.

use crate::container::Container;
use crate::mobile_map_package::MobileMapPackage;
use crate::write::JOB_PATH;
use offmap_engine::{EarlierData, EarlierPackage, Failure, FailureKind, FailureStage, LayerOutcome};
use std::path::Path;

/// Reads the package at `path`, an unpacked directory.
pub(crate) fn read(path: &Path) -> Result<EarlierPackage, Failure> {
    let refused = |words: &str| {
        let mut failure = Failure::invalid_parameter(format!("the package {} cannot be completed: {words}", path.display()));
        failure.kind = FailureKind::NotSupported;
        failure.stage = FailureStage::Read;
        failure
    };
    if !path.is_dir() {
        return Err(refused("it is not an unpacked directory"));
    }
    let package = MobileMapPackage::open(path)?;
    let manifest = match package.manifest() {
        Some(Ok(manifest)) => manifest,
        Some(Err(words)) => return Err(refused(&format!("its manifest is damaged: {words}"))),
        None => return Err(refused("it has no manifest, so it was not made by offmap")),
    };
    let document = std::fs::read_to_string(path.join(JOB_PATH))
        .map_err(|e| refused(&format!("{JOB_PATH}, which names its map and area, cannot be read: {e}")))?;
    let layers = manifest.layers.iter().map(|l| LayerOutcome {
        id: l.id.clone(),
        title: l.title.clone(),
        is_table: l.is_table,
        state: l.state,
        planned: l.planned,
        got: l.got,
        attachments: l.attachments,
        missing_tiles: l.missing_tiles.clone(),
        missing_attachments: l.missing_attachments.clone(),
        notes: l.notes.clone(),
        count_unit: l.count_unit,
        bytes: l.file.as_deref().and_then(|f| manifest.files.iter().find(|m| m.path == f)).map_or(0, |f| f.bytes),
        failure: l.failure.clone(),
    });
    let data = package.maps().iter().flat_map(|m| &m.layers).filter_map(|l| {
        let data = l.data.as_ref().filter(|d| !d.outside && d.bytes.is_some())?;
        Some(EarlierData {
            id: l.id.clone(),
            file: path.join(&data.path),
            item_id: data.item_id,
            resources: data.resources.as_deref().map(|folder| path.join(folder)),
        })
    });
    Ok(EarlierPackage {
        job: manifest.job.clone(),
        document,
        layers: layers.collect(),
        data: data.collect(),
        // As the packager counts: every file, the manifest as well.
        bytes: Container::open(path)?.files()?.iter().map(|(_, bytes)| bytes).sum(),
    })
}
