//! What an earlier package holds, judged by what is in its files: a layer that its manifest calls succeeded may be damaged, or
//! incomplete, since an older program wrote it or because what wrote it did not look.

use crate::containers::{Containers, Contents, Damages, ExpectedLayer, Reading, untold};
use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::model::note::{LayerNote, LayerNoteKind};
use crate::model::status::ExportState;
use crate::packager::EarlierPackage;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Reads the data of layers that succeeded, of those in `only` where it is given. A layer whose data are damaged has failed from then on;
/// what is missing and untold becomes its note. Answers the failures by layer. Blocks: reads every byte.
pub(crate) fn judge(
    earlier: &mut EarlierPackage,
    only: Option<&HashSet<String>>,
    containers: &Containers,
    cancel: &CancellationToken,
) -> Result<Vec<(String, Failure)>, Failure> {
    let reading = Reading { cancel, report: &|_| {} };
    let mut known: HashMap<PathBuf, Option<Result<Contents, Failure>>> = HashMap::new();
    let mut damaged = Vec::new();
    let succeeded = |state: ExportState| state == ExportState::Succeeded;
    for layer in earlier.layers.iter_mut().filter(|l| succeeded(l.state) && only.is_none_or(|ids| ids.contains(&l.id))) {
        let Some(data) = earlier.data.iter().find(|d| d.id == layer.id) else { continue };
        let read = match known.get(&data.file) {
            Some(read) => read.clone(),
            None => {
                let extension = data.file.extension().and_then(|e| e.to_str()).unwrap_or_default();
                let read = match containers.reader(extension).map(|reader| reader.read(&data.file, &reading)) {
                    Some(Err(failure)) if failure.is_cancelled() || failure.owner == FailureOwner::Storage => {
                        return Err(failure);
                    }
                    read => read,
                };
                known.insert(data.file.clone(), read.clone());
                read
            }
        };
        let failure = match read {
            None => continue,
            Some(Err(failure)) => failure,
            Some(Ok(contents)) => {
                let (title, item_id) = (layer.title.as_str(), data.item_id);
                let expected = ExpectedLayer { title, item_id, got: layer.got, attachments: layer.attachments };
                let mut damages: Damages = contents.damages.clone();
                let found = contents.differences(&expected, "the manifest");
                damages.add_all(found.named().iter().cloned(), found.more());
                if damages.is_empty() {
                    if data.resources.is_none() {
                        let new = untold(&contents.missing, &layer.notes).map(|name| format!("{name} of its style"));
                        let new: Vec<LayerNote> = new.map(|words| LayerNote::new(LayerNoteKind::Missing, words)).collect();
                        layer.notes.extend(new);
                    }
                    continue;
                }
                let message = format!("the data of layer \"{title}\" in the package are damaged: {}", damages.words());
                Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
            }
        };
        let failure = failure.for_layer(&layer.id);
        layer.state = ExportState::Failed;
        layer.failure = Some(failure.clone());
        damaged.push((layer.id.clone(), failure));
    }
    Ok(damaged)
}

/// Says again which layers were found damaged, as an earlier run did.
pub(crate) fn mark(earlier: &mut EarlierPackage, damaged: &[(String, Failure)]) {
    for layer in &mut earlier.layers {
        if let Some((_, failure)) = damaged.iter().find(|(id, _)| *id == layer.id) {
            layer.state = ExportState::Failed;
            layer.failure = Some(failure.clone());
        }
    }
}
