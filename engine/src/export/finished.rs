//! What a task downloaded before its job was interrupted.

use super::again::begin_anew;
use super::held::holds;
use super::job_shared::JobShared;
use crate::ledger::{TaskState, UnitRecord, UnitResult};
use offmap_disk::{hash_file_until, run_blocking, safe_path};
use offmap_model::{Artifact, ExportTask, Failure, FailureStage, LayerArtifact};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the task downloaded before the job was interrupted, if that is still there.
pub(super) async fn finished_before(shared: &Arc<JobShared>, task: &ExportTask) -> Result<Option<Artifact>, Failure> {
    let ledger = shared.ledger.task(&task.id);
    let TaskState::Finished(Some(artifact)) = ledger.state().await? else { return Ok(None) };
    let (root, task_dir) = (shared.work_dir.clone(), JobShared::task_dir_below(task));
    let (units, results) = (ledger.units().await?, ledger.results().await?);
    let cancel = shared.stop.clone();
    let (artifact, there) = run_blocking(move || {
        let there = is_there(&root, &task_dir, &artifact, (&units, &results), &cancel);
        Ok((artifact, there))
    })
    .await?;
    if shared.stop.is_cancelled() {
        // Nothing was found out.
        return Err(Failure::cancelled());
    }
    match there {
        Ok(()) => Ok(Some(artifact)),
        // What nobody who works here would leave is damage, and not something to fetch again in silence.
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Err(safe_path::judged(&format!("what was downloaded of \"{}\" is not usable", task.title), &e))
        }
        Err(e) if task.carried => {
            let message = format!("what was carried over of \"{}\" is not there any more", task.title);
            Err(Failure::io(FailureStage::Run, message, &e))
        }
        // What is there and different is not taken for a file that was downloaded; what it belongs to on the service is rolled back.
        Err(_) => {
            begin_anew(shared, task).await?;
            Ok(None)
        }
    }
}

/// Whether the files of an artifact are there with the sizes that the ledger knows and, where a unit's hash is known, with its bytes.
fn is_there(
    root: &Path,
    task_dir: &Path,
    artifact: &Artifact,
    (units, results): (&[UnitRecord], &[UnitResult]),
    cancel: &CancellationToken,
) -> std::io::Result<()> {
    let lacks_file = |l: &LayerArtifact| l.failure.is_none() && l.file.is_none_or(|file| file >= artifact.files.len());
    if let Some(layer) = artifact.layers.iter().find(|l| lacks_file(l)) {
        let message = format!("layer `{}` is said to be there and has no file", layer.id);
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
    }
    let results: HashMap<&Path, &UnitResult> = results.iter().rev().map(|r| (r.path.as_path(), r)).collect();
    let mut hashes: HashMap<u64, HashSet<&str>> = HashMap::new();
    for unit in units {
        if let (Some(bytes), Some(sha256)) = (unit.bytes, unit.sha256.as_deref()) {
            hashes.entry(bytes).or_default().insert(sha256);
        }
    }
    for file in &artifact.files {
        safe_path::check_relative(&file.path)?;
        let relative = task_dir.join(&file.path);
        let known_here = results.get(file.path.as_path());
        if file.is_folder {
            safe_path::folder(root, &relative)?;
            if known_here.is_some_and(|result| !holds(root, task_dir, result, cancel)) {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        } else {
            let (path, metadata) = safe_path::file(root, &relative)?;
            if metadata.len() != file.bytes {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(known) = hashes.get(&file.bytes)
                && !hash_file_until(&path, cancel).is_ok_and(|(_, sha256)| known.contains(sha256.as_str()))
            {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(())
}
