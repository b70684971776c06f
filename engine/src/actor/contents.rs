//! Judges what an export brought by what is in its files, with the readers that a package is verified with.
//!
//! A layer whose data are damaged fails before anybody is told that it succeeded; its siblings do not. What is missing though the
//! exporter did not say so becomes a note of the layer.

use crate::context::ExportContext;
use crate::packager::ReadContents;
use crate::resource_folder::{self, unreadable};
use offmap_disk::safe_path;
use offmap_formats::containers::{Damages, ExpectedLayer, Reading, Resources, notes_of_missing, of_the_layer};
use offmap_formats::{Containers, Contents, containers};
use offmap_model::{Artifact, ArtifactFile, ExportTask, Failure, FailureKind, FailureOwner, FailureStage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Index of a file, and of the folder of resources that goes with it.
type Place = (usize, Option<usize>);

/// What was read at one place.
struct Read {
    contents: Result<Arc<Contents>, Failure>,
    resources: Option<Resources>,
}

/// Judges the layers of an artifact; answers what is in its files whose hash is known. Reads every byte of them, off the async
/// threads.
///
/// Fails only where nothing can be said of any layer, as of a disk that cannot be read.
pub(crate) async fn judge(
    task: &ExportTask,
    ctx: &ExportContext,
    containers: &Containers,
    work_dir: &Path,
    artifact: &mut Artifact,
) -> Result<ReadContents, Failure> {
    let came = artifact.layers.iter().filter(|l| l.failure.is_none());
    let places: BTreeSet<Place> = came.filter_map(|l| Some((l.file?, l.resources))).collect();
    let (files, root) = (artifact.files.clone(), work_dir.to_owned());
    let (readers, cancel) = (containers.clone(), ctx.cancel_token().clone());
    let read = ctx.blocking(move || read_all(&readers, &root, &files, &places, &cancel)).await?;
    let known = read.iter().filter_map(|((file, _), read)| {
        let sha256 = artifact.files.get(*file)?.sha256.clone()?;
        Some((sha256, Arc::clone(read.contents.as_ref().ok()?)))
    });
    let known = known.collect();
    for layer in artifact.layers.iter_mut().filter(|l| l.failure.is_none()) {
        let Some(read) = layer.file.and_then(|file| read.get(&(file, layer.resources))) else { continue };
        let title = task.layers.iter().find(|l| l.id == layer.id).map_or(layer.id.as_str(), |l| l.title.as_str());
        let contents = match &read.contents {
            Ok(contents) => contents,
            Err(failure) => {
                layer.failure = Some(failure.clone().for_layer(&layer.id));
                continue;
            }
        };
        let (item_id, got, attachments) = (layer.item_id, layer.contents.got, layer.contents.attachments);
        let expected = ExpectedLayer { title, item_id, got, attachments };
        match containers::judge(contents, read.resources.as_ref(), &expected, "its export") {
            Ok(missing) => layer.contents.notes.extend(notes_of_missing(missing, &layer.contents.notes)),
            Err(damages) => layer.failure = Some(damaged(title, &damages).for_layer(&layer.id)),
        }
    }
    Ok(known)
}

fn damaged(title: &str, damages: &Damages) -> Failure {
    let message = format!("what came of layer \"{title}\" is damaged: {}", damages.words());
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

fn read_all(
    containers: &Containers,
    root: &Path,
    files: &[ArtifactFile],
    places: &BTreeSet<Place>,
    cancel: &CancellationToken,
) -> Result<BTreeMap<Place, Read>, Failure> {
    let reading = Reading { cancel, report: &|_| {} };
    let mut known: BTreeMap<usize, Result<Arc<Contents>, Failure>> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for place in places {
        let Some(file) = files.get(place.0) else { continue };
        let Some(reader) = containers.reader(&file.extension) else { continue };
        let contents = match known.get(&place.0) {
            Some(contents) => contents.clone(),
            None => {
                let (path, _) = safe_path::file(root, &file.path).map_err(|e| unreadable(&file.path, &e))?;
                let contents = of_the_layer(reader.read(&path, &reading).map(Arc::new))?;
                known.insert(place.0, contents.clone());
                contents
            }
        };
        let resources = match place.1.and_then(|index| files.get(index)) {
            None => None,
            Some(folder) => {
                let path = safe_path::folder(root, &folder.path).map_err(|e| unreadable(&folder.path, &e))?;
                Some(of_the_layer(resource_folder::read(reader, &path))?)
            }
        };
        let (contents, resources) = match resources.transpose() {
            Ok(resources) => (contents, resources),
            Err(failure) => (contents.and(Err(failure)), None),
        };
        all.insert(*place, Read { contents, resources });
    }
    Ok(all)
}
