//! How the layers of a job ended so far, and what came of them.

use crate::export::JobShared;
use crate::packager::TaskArtifact;
use crate::plan::shorten;
use offmap_model::{
    Artifact, CountUnit, ExportState, ExportTask, Failure, LayerArtifact, LayerContents, LayerOutcome, Subject, TaskLayer,
};
use std::collections::HashMap;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// What came, one entry per task that came.
    pub(super) artifacts: Vec<TaskArtifact>,
    /// The failure that stops the job: under `continueOnErrors: false`, or of the disk.
    pub(super) fatal: Option<Failure>,
    pub(super) warnings: Vec<String>,
    of_layers: HashMap<String, LayerOutcome>,
}

/// A layer for which nothing was to be exported.
fn idle(id: &str, title: &str, is_table: bool, state: ExportState, failure: Option<Failure>) -> LayerOutcome {
    LayerOutcome {
        id: id.to_owned(),
        title: title.to_owned(),
        is_table,
        state,
        contents: LayerContents::default(),
        count_unit: CountUnit::Items,
        bytes: 0,
        failure,
    }
}

/// How a layer ended whose task ended with an artifact.
fn outcome_of(layer: &TaskLayer, task: &ExportTask, artifact: &Artifact, came: Option<&LayerArtifact>) -> LayerOutcome {
    let contents = came.map(|c| c.contents.clone()).unwrap_or_default();
    let file = came.and_then(|c| artifact.files.get(c.file?));
    let failure = came.and_then(|c| c.failure.clone()).map(|f| f.for_layer(&layer.id));
    LayerOutcome {
        id: layer.id.clone(),
        title: layer.title.clone(),
        is_table: layer.is_table,
        state: ExportState::ended(failure.as_ref()),
        contents: LayerContents { planned: contents.planned.or(layer.expected), ..contents },
        count_unit: task.count_unit,
        bytes: file.map_or(0, |f| f.bytes),
        failure,
    }
}

impl Outcomes {
    pub(super) fn new(warnings: Vec<String>) -> Self {
        Self { warnings, ..Self::default() }
    }

    /// Takes the end of a task and reports the end of each of its layers.
    pub(super) fn task_ended(&mut self, shared: &JobShared, index: usize, outcome: Result<Artifact, Failure>) {
        let Some(task) = shared.plan.tasks.get(index) else { return };
        let is_over = !outcome.as_ref().is_err_and(Failure::is_cancelled);
        let (artifact, failure) = match outcome {
            Ok(artifact) => (artifact, None),
            Err(failure) => (Artifact::default(), Some(failure)),
        };
        let came: HashMap<&str, &LayerArtifact> = artifact.layers.iter().rev().map(|l| (l.id.as_str(), l)).collect();
        for layer in &task.layers {
            let mut outcome = outcome_of(layer, task, &artifact, came.get(layer.id.as_str()).copied());
            if let Some(failure) = &failure {
                outcome.state = ExportState::ended(Some(failure));
                outcome.failure = Some(failure.clone().for_layer(&layer.id));
            }
            self.judge(shared, &outcome);
            self.report(shared, outcome);
        }
        if failure.is_none() {
            self.warnings.extend(artifact.warnings.iter().cloned());
            shorten(&mut self.warnings);
            self.artifacts.push(TaskArtifact { task: task.id.clone(), work_dir: shared.task_dir(task), artifact });
        }
        if is_over {
            shared.event_log.part_done(&task.id, 1.0, true);
        }
    }

    /// Whether the failure of a layer is the job's.
    fn judge(&mut self, shared: &JobShared, outcome: &LayerOutcome) {
        let Some(failure) = outcome.failure.as_ref().filter(|f| !f.is_cancelled()) else { return };
        tracing::warn!(layer = %outcome.title, %failure, "layer failed");
        // A full disk is not a layer's: the job ends, and can be resumed when there is room.
        let ends = shared.keep.layer_failed(failure) || shared.plan.parameters.stops_at(&outcome.id);
        if ends && self.fatal.is_none() {
            self.fatal = Some(failure.clone());
            shared.stop.cancel();
        }
    }

    /// Takes the layers that have no task.
    pub(super) fn idle_layers(&mut self, shared: &JobShared) {
        for s in &shared.plan.skipped {
            self.report(shared, idle(&s.id, &s.title, s.is_table, ExportState::Skipped, s.failure.clone()));
        }
        for e in &shared.plan.embedded {
            self.report(shared, idle(&e.id, &e.title, false, ExportState::Succeeded, None));
        }
    }

    fn report(&mut self, shared: &JobShared, outcome: LayerOutcome) {
        let subject = Subject::layer(outcome.is_table, &outcome.id, &outcome.title);
        shared.event_log.state(&subject, outcome.state, None, outcome.failure.clone());
        self.of_layers.insert(outcome.id.clone(), outcome);
    }

    /// All of them in the order of the map.
    pub(super) fn in_order(&self, shared: &JobShared) -> Vec<LayerOutcome> {
        shared.layers_of_map().order.iter().filter_map(|id| self.of_layers.get(id).cloned()).collect()
    }

    /// Why the job ends without a package, if it does.
    pub(super) fn failure(&mut self, shared: &JobShared, layers: &[LayerOutcome]) -> Option<Failure> {
        if shared.cancel.is_cancelled() {
            return Some(Failure::cancelled());
        }
        self.fatal.take().or_else(|| {
            let has_some = layers.iter().any(|l| l.state == ExportState::Succeeded);
            (!has_some).then(|| nothing_left(layers))
        })
    }
}

/// Every layer failed = the job failed, with the first layer's failure.
fn nothing_left(layers: &[LayerOutcome]) -> Failure {
    let first = layers.iter().find_map(|l| l.failure.clone());
    match first {
        Some(mut failure) => {
            failure.message = format!("no layer could be taken offline; the first: {}", failure.message);
            failure
        }
        None => {
            Failure::invalid_parameter("the map has nothing to take offline: it has no layers, or all of them were left out")
        }
    }
}
