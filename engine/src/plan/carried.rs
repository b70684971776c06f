//! What a job that completes a package carries over from it, and how its plan changes by that.

use super::group::{Group, skipped};
use super::networks;
use crate::packager::{EarlierData, EarlierNetwork, EarlierPackage};
use offmap_model::{
    BytesSource, CapabilityReason, ExportState, ExportTask, LayerOutcome, MapLayer, OfflineMapParametersKey, OfflineMapPlan,
    TaskLayer, TaskNetwork, UtilityNetwork, service_key,
};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What a completing job carries over from the earlier package instead of asking a service.
pub(crate) struct Carried<'a> {
    pub(crate) earlier: &'a EarlierPackage,
    /// Ids of layers that succeeded and whose files are what the manifest promises.
    pub(crate) verified: &'a HashSet<String>,
}

impl Carried<'_> {
    fn outcome(&self, id: &str) -> Option<&LayerOutcome> {
        self.earlier.layers.iter().find(|l| l.id == id)
    }

    fn data(&self, id: &str) -> Option<(&LayerOutcome, &EarlierData)> {
        let outcome = self.outcome(id).filter(|_| self.verified.contains(id))?;
        Some((outcome, self.earlier.data.iter().find(|d| d.id == id)?))
    }

    /// Makes tasks of what is carried over, and answers the groups of what is still to be asked for.
    pub(crate) fn divide(&self, groups: Vec<Group>, layers: &[MapLayer], plan: &mut OfflineMapPlan) -> Vec<Group> {
        let mut rest = Vec::new();
        let mut keys: Vec<(String, OfflineMapParametersKey, String)> = Vec::new();
        let mut networks: Vec<(&EarlierNetwork, TaskNetwork)> = Vec::new();
        for mut group in groups {
            let name = group.exporter.name();
            let carried = keys.len();
            group.layers.retain(|layer| {
                if self.data(&layer.id).is_some() {
                    keys.push((layer.id.clone(), group.key.clone(), name.to_owned()));
                    return false;
                }
                // What was left out, or stays online, does so again without asking.
                let is_left = self.outcome(&layer.id).is_some_and(|o| o.state == ExportState::Skipped && !o.is_error());
                if is_left {
                    let online = self.earlier.without_data.contains(&layer.id);
                    plan.skipped.push(skipped(layer, CapabilityReason::LeftOut, None, online));
                }
                !is_left
            });
            if keys.len() > carried {
                // A network is in one file with the data layers that it had: it is not asked for without them.
                for network in std::mem::take(&mut group.networks) {
                    networks.extend(self.network(&network, &group.key.parameters_type));
                }
            }
            if !group.layers.is_empty() {
                rest.push(group);
            }
        }
        // What no exporter of this engine supports is carried over as well.
        plan.skipped.retain(|s| self.data(&s.id).is_none());
        for layer in layers.iter().filter(|l| self.data(&l.id).is_some()) {
            let known = keys.iter().find(|(id, ..)| *id == layer.id);
            let (_, key, exporter) = match known.cloned() {
                Some(known) => known,
                None => {
                    let data = self.data(&layer.id).map(|(_, data)| data);
                    let url = data.and_then(|d| d.url.clone()).unwrap_or_default();
                    let exporter = data.and_then(|d| d.exporter.clone()).unwrap_or_default();
                    (String::new(), OfflineMapParametersKey::new(url, ""), exporter)
                }
            };
            self.carry(layer, key, exporter, plan);
        }
        for (earlier, network) in networks {
            let holds = |task: &&mut ExportTask| {
                let file = task.layers.first().and_then(|l| self.data(&l.id)).map(|(_, d)| &d.file);
                task.carried && file == Some(&earlier.file)
            };
            if let Some(task) = plan.tasks.iter_mut().find(holds) {
                task.networks.push(network);
            }
        }
        rest
    }

    /// A utility network that is in the earlier package.
    fn network(&self, network: &UtilityNetwork, parameters_type: &str) -> Option<(&EarlierNetwork, TaskNetwork)> {
        let key = service_key(network.url.as_deref()?);
        let earlier = self.earlier.networks.iter().find(|n| service_key(&n.url) == key)?;
        let own = TaskNetwork {
            index: network.index,
            key: networks::key_of(network, parameters_type),
            parameters: Map::new(),
            service_layer_id: Some(earlier.service_layer_id),
        };
        Some((earlier, own))
    }

    /// Adds a layer to the task of its file, or to a new one.
    fn carry(&self, layer: &MapLayer, key: OfflineMapParametersKey, exporter: String, plan: &mut OfflineMapPlan) {
        let Some((outcome, data)) = self.data(&layer.id) else { return };
        let task_layer = TaskLayer {
            id: layer.id.clone(),
            title: layer.title.clone(),
            is_table: layer.is_table(),
            layer_type: layer.layer_type.clone(),
            url: layer.url.clone(),
            service_layer_id: None,
            expected: outcome.contents.planned,
            exact: false,
            attachments: data.attachments_planned,
        };
        // The manifest names the exporter that brought the layer; the one that would bring it now may be another.
        let exporter = data.exporter.clone().unwrap_or(exporter);
        let same = |task: &&mut ExportTask| {
            let file = task.layers.first().and_then(|l| self.data(&l.id)).map(|(_, d)| &d.file);
            task.carried
                && file == Some(&data.file)
                && (&task.key, &task.exporter, &task.attribution, task.edit_date)
                    == (&key, &exporter, &data.attribution, data.edit_date)
        };
        if let Some(task) = plan.tasks.iter_mut().find(same) {
            task.layers.push(task_layer);
            return;
        }
        plan.tasks.push(ExportTask {
            id: format!("carried-{:03}", plan.tasks.len()),
            exporter,
            key,
            title: layer.title.clone(),
            layers: vec![task_layer],
            units: Vec::new(),
            count_unit: outcome.count_unit,
            levels: Vec::new(),
            bytes: None,
            bytes_from: BytesSource::default(),
            requests: 0,
            limits: Vec::new(),
            parameters: Value::Null,
            service: Value::Null,
            attribution: data.attribution.clone(),
            edit_date: data.edit_date,
            carried: true,
            networks: Vec::new(),
        });
    }

    /// Warns where a service that was asked has newer data than what is carried over from it.
    pub(crate) fn warn_of_changes(&self, plan: &mut OfflineMapPlan) {
        let asked = || plan.tasks.iter().filter(|t| !t.carried);
        let changed = |task: &ExportTask| {
            let newer = |other: &ExportTask| other.key == task.key && other.edit_date > task.edit_date;
            task.carried && task.edit_date.is_some() && asked().any(newer)
        };
        let titles: Vec<String> =
            plan.tasks.iter().filter(|t| changed(t)).flat_map(|t| &t.layers).map(|l| format!("\"{}\"", l.title)).collect();
        if !titles.is_empty() {
            plan.warnings.push(format!(
                "the data of their service changed since the package was made; kept as they are: {}",
                titles.join(", ")
            ));
        }
    }
}
