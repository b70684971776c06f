//! Asks the services of a map, several at a time, and collects what they answer.
//!
//! Exporters are a ranked list that is judged after the service described itself: a layer that the first one cannot export is passed
//! on to the next one that supports it. Where none can, the reason of the first one is the layer's.

use super::check::is_left_in;
use super::group::{Group, Groups};
use super::inputs::PlanInputs;
use super::networks;
use super::service::{PlanRequest, Planned, plan_group};
use super::sort::keeps_online;
use crate::exporter::PlanContext;
use crate::registry::ErasedExporter;
use crate::ways::Way;
use futures_util::StreamExt as _;
use offmap_model::json::json_bytes;
use offmap_model::{
    CapabilityReason, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapParameters, MapLayer,
    OfflineMapParametersKey, OfflineMapPlan, SkippedLayer, TaskLayer, UtilityNetwork, service_key,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Services that are asked at a time.
const DESCRIBED_AT_A_TIME: usize = 4;
/// Largest description of all services together that a plan keeps, as JSON in bytes.
const LARGEST_PLAN: usize = 16 << 20;

/// What the services answered so far.
pub(super) struct Services<'a> {
    inputs: PlanInputs<'a>,
    /// The parameters that exporters get.
    parameters: Arc<GenerateOfflineMapParameters>,
    layers: &'a [MapLayer],
    plan: OfflineMapPlan,
    /// Networks that are in no group, by service.
    networks: HashMap<String, Vec<UtilityNetwork>>,
    /// Why the first exporter of a layer that was passed on cannot export it.
    refused: HashMap<String, SkippedLayer>,
    /// Tasks that are planned again with layers that were passed on to them: they come back if nothing comes of that. Their bytes stay
    /// counted.
    displaced: Vec<ExportTask>,
    /// Whether the area touches what each service has.
    touches: Vec<bool>,
    /// Size of the descriptions of all tasks.
    bytes: usize,
    /// Whether layers were passed on from exporter to exporter.
    has_passed_on: bool,
    /// Groups that were asked.
    asked: usize,
}

impl<'a> Services<'a> {
    pub(super) fn new(
        inputs: PlanInputs<'a>,
        parameters: Arc<GenerateOfflineMapParameters>,
        layers: &'a [MapLayer],
        networks: HashMap<String, Vec<UtilityNetwork>>,
        plan: OfflineMapPlan,
    ) -> Self {
        Self {
            inputs,
            parameters,
            layers,
            plan,
            networks,
            refused: HashMap::new(),
            displaced: Vec::new(),
            touches: Vec::new(),
            bytes: 0,
            has_passed_on: false,
            asked: 0,
        }
    }

    /// Asks the services of all groups, and of those that their layers are passed on to. Answers the plan, and whether the area
    /// touches what any of them has; `None` where nothing came of any.
    pub(super) async fn ask(
        mut self,
        mut groups: Vec<Group>,
        ctx: &PlanContext,
    ) -> Result<(OfflineMapPlan, Option<bool>), Failure> {
        let inputs = self.inputs;
        let online = [false, true].map(|tables| keeps_online(inputs.parameters, inputs.overrides, tables));
        while !groups.is_empty() {
            for group in &mut groups {
                let keys = group.exporter.utility_network_parameters();
                let left_out = networks::leave_out(&mut group.networks, &group.key, keys, inputs.overrides);
                self.plan.left_out_networks.extend(left_out);
            }
            let (begun, parameters) = (self.asked, Arc::clone(&self.parameters));
            self.asked += groups.len();
            let work = groups.into_iter().enumerate().map(|(i, group)| {
                let (source, parameters) = (Arc::clone(inputs.source), Arc::clone(&parameters));
                let request = PlanRequest { inputs, source, parameters, online };
                plan_group(begun + i, group, request, ctx)
            });
            let mut running = futures_util::stream::iter(work).buffered(DESCRIBED_AT_A_TIME);
            let mut next = Groups::default();
            loop {
                let planned = tokio::select! {
                    biased;
                    () = ctx.cancel.cancelled() => return Err(Failure::cancelled()),
                    planned = running.next() => planned,
                };
                let Some(planned) = planned.transpose()? else { break };
                self.collect(planned, &mut next);
            }
            drop(running);
            groups = self.with_their_tasks(next.into_all());
            self.has_passed_on = true;
        }
        let touches = (!self.touches.is_empty()).then(|| self.touches.contains(&true));
        Ok((self.plan, touches))
    }

    /// Takes what came of one group.
    fn collect(&mut self, planned: Planned, next: &mut Groups) {
        let Planned { exporter, key, task, skipped, refused, networks, warnings } = planned;
        let displaced = self.displaced.iter().position(|t| t.key == key && t.exporter == exporter.name());
        let displaced = displaced.map(|at| self.displaced.remove(at));
        let (task, too_large) = match task {
            None => (None, Vec::new()),
            Some((task, touched)) => {
                self.touches.push(touched);
                match self.fitting(*task, displaced.as_ref()) {
                    Ok(task) => (Some(task), Vec::new()),
                    Err(layers) => (None, layers),
                }
            }
        };
        let before: HashSet<String> = displaced.iter().flat_map(|t| &t.layers).map(|l| l.id.clone()).collect();
        // Where nothing comes of a task that is planned again, its layers stay as they were planned.
        let stays = |id: &str| task.is_none() && before.contains(id);
        let refused: Vec<_> = refused.into_iter().filter(|(layer, _)| !stays(&layer.id)).collect();
        for layer in skipped.into_iter().chain(too_large).filter(|l| !stays(&l.id)) {
            // The reason of the first exporter is the layer's, whatever the next one fails for.
            self.keep_first_reason(&*exporter, layer);
        }
        for warning in warnings {
            // A task that is planned again for more layers warns again.
            if !self.has_passed_on || !self.plan.warnings.contains(&warning) {
                self.plan.warnings.push(warning);
            }
        }
        if !networks.is_empty() {
            self.networks.insert(service_key(&key.service_url), networks);
        }
        // A task for which there is no room leaves the one that it displaced in its place.
        self.plan.tasks.extend(task.or(displaced));
        for (layer, reason) in refused {
            self.pass_on(&*exporter, layer, reason, next);
        }
    }

    /// A task for which the plan has room, in place of the one that it displaces; else its layers, as skipped ones.
    fn fitting(&mut self, task: ExportTask, displaced: Option<&ExportTask>) -> Result<ExportTask, Vec<SkippedLayer>> {
        let before = displaced.map_or(0, |t| json_bytes(&t.service));
        let with_it = json_bytes(&task.service).saturating_add(self.bytes.saturating_sub(before));
        if with_it > LARGEST_PLAN {
            return Err(too_much_described(&task, with_it));
        }
        self.bytes = with_it;
        Ok(task)
    }

    /// Passes a layer on to the next exporter that supports it and that the overrides leave in.
    fn pass_on(&mut self, refusing: &dyn ErasedExporter, layer: MapLayer, reason: SkippedLayer, next: &mut Groups) {
        let PlanInputs { registry, source, overrides, .. } = self.inputs;
        let ways = self.inputs.ways(&layer.id);
        let fallback = registry.after(refusing.name(), ways, &layer, source).find_map(|(exporter, url)| {
            let key = OfflineMapParametersKey::new(url, exporter.parameters_type());
            is_left_in(&key, overrides).then_some((exporter, key))
        });
        match fallback {
            Some((exporter, key)) => {
                self.refused.entry(layer.id.clone()).or_insert(reason);
                next.add(exporter, key, layer);
            }
            None => self.keep_first_reason(refusing, reason),
        }
    }

    /// Skips a layer that nothing came of: the reason of its first exporter is the layer's. What an exporter that downloads directly or draws
    /// said after that one is a warning, because the caller asked for it by name.
    fn keep_first_reason(&mut self, exporter: &dyn ErasedExporter, last: SkippedLayer) {
        let Some(first) = self.refused.remove(&last.id) else {
            self.plan.skipped.push(last);
            return;
        };
        let done = match Way::of(exporter.downloads_directly(), exporter.draws_tiles()) {
            Way::Export => None,
            Way::Direct => Some("downloaded directly"),
            Way::Draw => Some("drawn"),
        };
        if let (Some(failure), Some(done)) = (last.failure, done) {
            self.plan.warnings.push(format!("\"{}\" is not {done} either: {}", last.title, failure.message));
        }
        self.plan.skipped.push(first);
    }

    /// Groups of which a task is planned already take its layers back, so that one service and exporter stay one task.
    fn with_their_tasks(&mut self, mut groups: Vec<Group>) -> Vec<Group> {
        for group in &mut groups {
            let same = |t: &ExportTask| !t.carried && t.key == group.key && t.exporter == group.exporter.name();
            if let Some(at) = self.plan.tasks.iter().position(same) {
                let task = self.plan.tasks.remove(at);
                let own: HashSet<&str> = task.layers.iter().map(|l| l.id.as_str()).collect();
                let is_in = |l: &&MapLayer| own.contains(l.id.as_str());
                let mut layers: Vec<MapLayer> = self.layers.iter().filter(is_in).cloned().collect();
                layers.append(&mut group.layers);
                group.layers = layers;
                group.networks = networks::of_task(&task, self.inputs.source);
                self.displaced.push(task);
            }
            group.take_networks(&mut self.networks);
        }
        groups
    }
}

/// The layers of a service with whose description the plan would be too large.
fn too_much_described(task: &ExportTask, bytes: usize) -> Vec<SkippedLayer> {
    let message = format!(
        "the description of \"{}\" is too large: with it the plan keeps {bytes} bytes, expected at most {LARGEST_PLAN}; take its layers with a map of their own",
        task.title
    );
    let failure = Failure::new(FailureOwner::Source, FailureKind::LimitExceeded, FailureStage::Plan, message);
    let failure = failure.with_url(&task.key.service_url);
    let left = |l: &TaskLayer| SkippedLayer {
        id: l.id.clone(),
        title: l.title.clone(),
        is_table: l.is_table,
        layer_type: l.layer_type.clone(),
        remains_online: false,
        reason: CapabilityReason::ServiceNotUsable,
        failure: Some(failure.clone().for_layer(&l.id)),
    };
    task.layers.iter().map(left).collect()
}
