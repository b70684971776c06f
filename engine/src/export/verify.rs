//! "Done" means planned = got, verified.

use crate::ledger::UnitRecord;
use offmap_disk::safe_path;
use offmap_model::{
    Artifact, ArtifactFile, CountUnit, ErrorBudget, ExportTask, Failure, FailureKind, FailureOwner, FailureStage,
    GenerateOfflineMapParameters, LayerArtifact, LayerContents, Missing, TaskLayer,
};
use std::collections::HashMap;
use std::path::Path;

/// A task that ended though one of its units is not finished.
pub(super) fn unfinished(task: &ExportTask, unit: UnitRecord) -> Failure {
    let message = format!("unit `{}` of \"{}\" was planned and is {}", unit.id, task.title, unit.state);
    incomplete(message).for_unit(unit.id)
}

/// Every layer is in the artifact, every file is there, and zero came only if zero was planned. Fails as a
/// whole where a promise of the exporter is broken; a layer that is incomplete has its own failure from then on.
pub(super) fn verify(
    task: &ExportTask,
    parameters: &GenerateOfflineMapParameters,
    work_dir: &Path,
    artifact: &mut Artifact,
) -> Result<(), Failure> {
    measure(task, work_dir, artifact)?;
    let files = artifact.files.len();
    let mut place_of: HashMap<String, usize> = HashMap::new();
    for (at, layer) in artifact.layers.iter().enumerate() {
        place_of.entry(layer.id.clone()).or_insert(at);
    }
    for layer in &task.layers {
        let Some(got) = place_of.get(&layer.id).and_then(|at| artifact.layers.get_mut(*at)) else {
            let failure = incomplete(format!("nothing was downloaded for layer \"{}\"", layer.title)).for_layer(&layer.id);
            artifact.layers.push(LayerArtifact {
                id: layer.id.clone(),
                contents: LayerContents { planned: layer.expected, ..LayerContents::default() },
                failure: Some(failure),
                ..LayerArtifact::default()
            });
            continue;
        };
        if got.failure.is_none() {
            let budget = parameters.error_budgets.get(&layer.id).copied().unwrap_or_default();
            count_missing(task.count_unit, budget, &mut got.contents);
            let (warnings, failure) = match too_little(layer, got, files) {
                Some(failure) => (Vec::new(), Some(failure)),
                None => by_budget(layer, budget, &got.contents),
            };
            artifact.warnings.extend(warnings);
            got.failure = failure.map(|f| f.for_layer(&layer.id));
        }
    }
    Ok(())
}

/// Fills in the sizes of the files; all of them must be there.
fn measure(task: &ExportTask, work_dir: &Path, artifact: &mut Artifact) -> Result<(), Failure> {
    for file in &mut artifact.files {
        file.bytes = bytes_of(work_dir, file).map_err(|e| {
            Failure::internal(format!(
                "exporter `{}` names {}, which is not a file or folder in its work directory: {e}",
                task.exporter,
                file.path.display()
            ))
        })?;
    }
    Ok(())
}

/// Size of a file of an artifact; a folder has none.
fn bytes_of(root: &Path, file: &ArtifactFile) -> std::io::Result<u64> {
    match file.is_folder {
        true => safe_path::folder(root, &file.path).map(|_| 0),
        false => safe_path::file(root, &file.path).map(|(_, metadata)| metadata.len()),
    }
}

/// The failure of a layer of which less came than was planned, or nothing though nobody counted zero.
fn too_little(layer: &TaskLayer, got: &LayerArtifact, files: usize) -> Option<Failure> {
    let contents = &got.contents;
    let short = match contents.planned {
        // Those that are missing are judged by the layer's error budget.
        Some(planned) if contents.got > 0 && contents.missing_features.is_some() => planned < contents.got,
        Some(planned) if layer.exact => planned != contents.got,
        Some(planned) => contents.got == 0 && planned > 0,
        None => contents.got == 0,
    };
    (short || got.file.is_none_or(|f| f >= files)).then(|| {
        let planned = contents.planned.map_or_else(|| "an unknown number".to_owned(), |p| p.to_string());
        incomplete(format!("layer \"{}\": {planned} planned, {} downloaded", layer.title, contents.got))
    })
}

/// Counts what is missing of a layer, where it has an error budget for it and its exporter did not say.
fn count_missing(count_unit: CountUnit, budget: ErrorBudget, contents: &mut LayerContents) {
    let missing = contents.planned.and_then(|planned| Missing::between(planned, contents.got));
    let place = match count_unit {
        CountUnit::Tiles if budget.missing_tiles.is_some() => &mut contents.missing_tiles,
        CountUnit::Features if budget.missing_features.is_some() => &mut contents.missing_features,
        _ => return,
    };
    if place.is_none() {
        *place = missing;
    }
}

/// Judges what is missing of a layer by its error budget: warnings of what it allows, and the failure where it does not.
fn by_budget(layer: &TaskLayer, budget: ErrorBudget, contents: &LayerContents) -> (Vec<String>, Option<Failure>) {
    let mut warnings = Vec::new();
    let mut failed = None;
    let mut judge = |what: &str, missing: &Missing, judged: Result<(), Failure>| match judged {
        Ok(()) if missing.count > 0 => {
            warnings.push(format!("layer \"{}\": {}; its error budget allows that", layer.title, missing.words(what)));
        }
        Ok(()) => {}
        Err(failure) => failed = Some(failure),
    };
    if let Some(tiles) = contents.missing_tiles.as_ref().filter(|_| budget.missing_tiles.is_some()) {
        judge("tiles", tiles, budget.judge_tiles(&layer.title, tiles));
    }
    if let Some(features) = &contents.missing_features {
        judge("features", features, budget.judge_features(&layer.title, features));
    }
    if let Some(attachments) = &contents.missing_attachments {
        judge("attachments", attachments, budget.judge_attachments(&layer.title, attachments));
    }
    (warnings, failed)
}

fn incomplete(message: String) -> Failure {
    Failure::new(FailureOwner::Source, FailureKind::Incomplete, FailureStage::Check, message)
}
