//! What an earlier package holds, judged by what is in its files: a layer that its manifest calls succeeded may be gone, changed,
//! damaged, or incomplete, since an older program wrote it or because what wrote it did not look.

use super::files::PackageFiles;
use crate::data_reader::{DataPlace, DataReader, Wrong};
use crate::packager::{EarlierData, EarlierPackage};
use offmap_formats::Containers;
use offmap_model::{ExportState, Failure, FailureKind, FailureOwner, FailureStage, LayerOutcome};
use std::collections::{HashMap, HashSet};
use tokio_util::sync::CancellationToken;

fn damaged(title: &str, words: &str) -> Failure {
    let message = format!("the data of layer \"{title}\" in the package are damaged: {words}");
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

/// Judges the data of one layer.
fn own_data(
    reader: &mut DataReader<'_>,
    layer: &mut LayerOutcome,
    data: &EarlierData,
) -> Result<Result<(), Failure>, Failure> {
    let place = DataPlace {
        file: &data.file,
        extension: data.file.extension().and_then(|e| e.to_str()).unwrap_or_default(),
        resources: data.resources.as_deref(),
        item_id: data.item_id,
    };
    let judged = reader.judge((&layer.title, &mut layer.contents), &place, "the manifest")?;
    Ok(judged.map_err(|wrong| match wrong {
        Wrong::Unreadable(failure) => failure,
        Wrong::Damaged(damages) => damaged(&layer.title, &damages.words()),
    }))
}

/// How the layers of an earlier package are.
pub(crate) struct Judged {
    /// How its files are.
    pub(crate) files: PackageFiles,
    /// Layers that succeeded, and whose data are there and good.
    pub(crate) good: HashSet<String>,
    /// Why the others that its manifest calls succeeded are not.
    pub(crate) failed: Vec<(String, Failure)>,
}

/// Reads all of a package. A layer that its manifest calls succeeded and whose data are gone, changed or damaged inside has failed from
/// then on; what is missing and not noted becomes its note. Blocks: reads every byte.
pub(crate) fn judge(
    earlier: &mut EarlierPackage,
    containers: &Containers,
    cancel: &CancellationToken,
) -> Result<Judged, Failure> {
    let files = PackageFiles::read(earlier, cancel)?;
    let mut reader = DataReader::new(containers, cancel);
    let mut judged = Judged { files, good: HashSet::new(), failed: Vec::new() };
    let data: HashMap<&str, &EarlierData> = earlier.data.iter().map(|d| (d.id.as_str(), d)).collect();
    let lost: HashSet<&str> = earlier.lost.iter().map(String::as_str).collect();
    for layer in earlier.layers.iter_mut().filter(|l| l.state == ExportState::Succeeded) {
        let found = match data.get(layer.id.as_str()) {
            None if lost.contains(layer.id.as_str()) => Err(damaged(&layer.title, "they are not there")),
            // It is online, or embedded in the map.
            None => continue,
            Some(own) => {
                let paths = [Some(&own.file), own.resources.as_ref()];
                match paths.into_iter().flatten().find_map(|path| judged.files.wrong_at(path)) {
                    Some((path, words)) => {
                        let name = path.file_name().unwrap_or_default().to_string_lossy();
                        Err(damaged(&layer.title, &format!("{name} {words}")))
                    }
                    None => own_data(&mut reader, layer, own)?,
                }
            }
        };
        match found {
            Ok(()) => drop(judged.good.insert(layer.id.clone())),
            Err(failure) => {
                let failure = failure.for_layer(&layer.id);
                layer.state = ExportState::Failed;
                layer.failure = Some(failure.clone());
                judged.failed.push((layer.id.clone(), failure));
            }
        }
    }
    Ok(judged)
}

/// Marks the layers again that an earlier run found damaged.
pub(crate) fn mark(earlier: &mut EarlierPackage, damaged: &[(String, Failure)]) {
    let damaged: HashMap<&str, &Failure> = damaged.iter().rev().map(|(id, failure)| (id.as_str(), failure)).collect();
    for layer in &mut earlier.layers {
        if let Some(failure) = damaged.get(layer.id.as_str()).copied() {
            layer.state = ExportState::Failed;
            layer.failure = Some(failure.clone());
        }
    }
}
