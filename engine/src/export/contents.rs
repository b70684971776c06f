//! Judges what an export downloaded by what is in its files.
//!
//! A layer whose data are damaged fails before it is called succeeded; its siblings do not. What is missing though the exporter did
//! not say so becomes a note of the layer.

use crate::data_reader::{DataPlace, DataReader, Wrong, unreadable};
use crate::packager::ReadContents;
use offmap_disk::safe_path;
use offmap_formats::Containers;
use offmap_formats::containers::Damages;
use offmap_model::{Artifact, ArtifactFile, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Judges the layers of an artifact; answers what is in its files whose hash is known. Reads every byte of them. Blocks.
///
/// Fails only where nothing can be said of any layer, as of a disk that cannot be read.
pub(super) fn judge(
    task: &ExportTask,
    containers: &Containers,
    work_dir: &Path,
    artifact: &mut Artifact,
    cancel: &CancellationToken,
) -> Result<ReadContents, Failure> {
    let titles: HashMap<&str, &str> = task.layers.iter().rev().map(|l| (l.id.as_str(), l.title.as_str())).collect();
    let Artifact { layers, files, .. } = artifact;
    let mut reader = DataReader::new(containers, cancel);
    for layer in layers.iter_mut().filter(|l| l.failure.is_none()) {
        let title = titles.get(layer.id.as_str()).map_or_else(|| layer.id.clone(), |title| (*title).to_owned());
        if let Err(failure) = judge_layer(&mut reader, work_dir, files, &title, layer)? {
            layer.failure = Some(failure.for_layer(&layer.id));
        }
    }
    let known = files.iter().filter(|file| file.sha256.is_some() && reader.knows(&file.extension)).filter_map(|file| {
        let (path, _) = safe_path::file(work_dir, &file.path).ok()?;
        Some((file.sha256.clone()?, reader.read(&path)?))
    });
    Ok(known.collect())
}

fn judge_layer(
    reader: &mut DataReader<'_>,
    root: &Path,
    files: &[ArtifactFile],
    title: &str,
    layer: &mut LayerArtifact,
) -> Result<Result<(), Failure>, Failure> {
    let Some(data) = layer.file.and_then(|index| files.get(index)) else { return Ok(Ok(())) };
    if !reader.knows(&data.extension) {
        return Ok(Ok(()));
    }
    let (file, _) = safe_path::file(root, &data.path).map_err(|e| unreadable(&data.path, &e))?;
    let folder = |folder: &ArtifactFile| -> Result<PathBuf, Failure> {
        safe_path::folder(root, &folder.path).map_err(|e| unreadable(&folder.path, &e))
    };
    let resources = layer.resources.and_then(|index| files.get(index)).map(folder).transpose()?;
    let place =
        DataPlace { file: &file, extension: &data.extension, resources: resources.as_deref(), item_id: layer.item_id };
    let judged = reader.judge((title, &mut layer.contents), &place, "its export")?;
    Ok(judged.map_err(|wrong| match wrong {
        Wrong::Unreadable(failure) => failure,
        Wrong::Damaged(damages) => damaged(title, &damages),
    }))
}

fn damaged(title: &str, damages: &Damages) -> Failure {
    let message = format!("what came of layer \"{title}\" is damaged: {}", damages.words());
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}
