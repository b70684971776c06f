//! Stages the package: links data files under fresh names, writes documents.

use crate::layout::LayerData;
use offmap_disk::{link_or_copy_until, safe_path, side_by_side, threads_for};
use offmap_engine::{PackRequest, TaskArtifact};
use offmap_model::{Artifact, ArtifactFile, ExportState, Failure, FailureOwner, FailureStage, LayerArtifact};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What was staged.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// Where each layer's data are, by its id.
    pub(crate) data: HashMap<String, LayerData>,
    /// SHA-256 of data files as their exporters know it, by their names.
    pub(crate) sha256: HashMap<String, String>,
}

/// A failure of the disk while the package is made.
pub(crate) fn failed(what: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Package, what, error)
}

/// Makes an empty staging directory with the folder of the map. What an interrupted packing left is not trusted.
pub(crate) fn begin(staging: &Path, map_folder: &Path) -> Result<(), Failure> {
    let emptied = match std::fs::remove_dir_all(staging) {
        Err(e) if e.kind() == ErrorKind::NotADirectory => std::fs::remove_file(staging),
        other => other,
    };
    match emptied {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed("cannot empty the staging directory", &e)),
        _ => {}
    }
    std::fs::create_dir_all(map_folder).map_err(|e| failed("cannot stage the package", &e))
}

/// Links the files and folders of the layers that succeeded.
pub(crate) fn link(request: &PackRequest, map_folder: &Path, cancel: &CancellationToken) -> Result<Staged, Failure> {
    let mut staged = Staged::default();
    let succeeded = request.layers.iter().filter(|l| l.state == ExportState::Succeeded);
    let succeeded: HashSet<&str> = succeeded.map(|l| l.id.as_str()).collect();
    let is_wanted = |layer: &&LayerArtifact| succeeded.contains(layer.id.as_str());
    // Links cost no time by their bytes.
    let threads = threads_for(request.artifacts.len(), 0);
    let names = side_by_side(&request.artifacts, threads, |task| -> Result<_, Failure> {
        let mut names: Vec<Option<String>> = vec![None; task.artifact.files.len()];
        for index in task.artifact.layers.iter().filter(is_wanted).flat_map(|l| [l.file, l.resources]).flatten() {
            let (Some(file), Some(slot)) = (task.artifact.files.get(index), names.get_mut(index)) else { continue };
            if slot.is_none() {
                *slot = Some(link_one(task, file, map_folder, cancel)?);
            }
        }
        Ok(names)
    })?;
    for (task, names) in request.artifacts.iter().zip(&names) {
        staged.sha256.extend(hashes(&task.artifact, names));
        let name = |index: Option<usize>| index.and_then(|i| names.get(i).cloned().flatten());
        for layer in task.artifact.layers.iter().filter(is_wanted) {
            if let Some(file) = name(layer.file) {
                let resources = name(layer.resources);
                staged.data.insert(layer.id.clone(), LayerData { file, item_id: layer.item_id, resources });
            }
        }
    }
    Ok(staged)
}

/// The hashes that are known of an artifact's files, by the names that these got.
fn hashes<'a>(artifact: &'a Artifact, names: &'a [Option<String>]) -> impl Iterator<Item = (String, String)> + 'a {
    artifact.files.iter().zip(names).filter_map(|(file, name)| Some((name.clone()?, file.sha256.clone()?)))
}

/// Links a file or folder into the package; answers its name there.
fn link_one(
    task: &TaskArtifact,
    file: &ArtifactFile,
    map_folder: &Path,
    cancel: &CancellationToken,
) -> Result<String, Failure> {
    let guid = Uuid::new_v4().hyphenated().to_string();
    let plain = file.extension.chars().all(|c| c.is_ascii_alphanumeric());
    let name = match (file.is_folder, plain && !file.extension.is_empty()) {
        (true, _) => guid,
        (false, true) => format!("{guid}.{}", file.extension),
        (false, false) => return Err(Failure::internal(format!("`{}` is no file extension", file.extension))),
    };
    // What was good after the export and is not any more is the disk's.
    let odd = |e| {
        let what = format!("what was downloaded for task `{}` is not usable", task.task);
        Failure { owner: FailureOwner::Storage, ..safe_path::judged(&what, &e) }
    };
    let from = match file.is_folder {
        true => safe_path::folder(&task.work_dir, &file.path),
        false => safe_path::file(&task.work_dir, &file.path).map(|(path, _)| path),
    };
    // Linked, not moved: an interrupted packing begins again.
    link_or_copy_until(&from.map_err(odd)?, &map_folder.join(&name), cancel)?;
    Ok(name)
}

/// Writes a file of the package; it is on the disk when the whole of the staging directory is synced.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let shown = path.display();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| failed(format!("cannot make {}", parent.display()), &e))?;
    }
    let written = File::create(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| failed(format!("cannot write {shown}"), &e))
}

/// Writes a JSON document of the package.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), Failure> {
    write_file(path, &serde_json::to_vec(value).map_err(|e| Failure::internal(e.to_string()))?)
}
