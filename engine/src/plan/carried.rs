//! What a job that completes a package carries over from it, and how its plan changes by that.

use super::group::{Group, skipped};
use super::networks;
use crate::packager::{EarlierData, EarlierNetwork, EarlierPackage};
use offmap_model::{
    BytesSource, CapabilityReason, ExportState, ExportTask, LayerOutcome, MapLayer, OfflineMapParametersKey, OfflineMapPlan,
    TaskLayer, TaskNetwork, UtilityNetwork, service_key,
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// What a completing job carries over from the earlier package instead of asking a service.
pub(crate) struct Carried<'a> {
    pub(crate) earlier: &'a EarlierPackage,
    /// Ids of layers that succeeded and whose files are what the manifest promises.
    pub(crate) verified: &'a HashSet<String>,
}

/// What the earlier package says of a layer, by its id.
struct Index<'a> {
    outcomes: HashMap<&'a str, &'a LayerOutcome>,
    /// Layers that are carried over.
    data: HashMap<&'a str, (&'a LayerOutcome, &'a EarlierData)>,
    /// Tasks of what is carried over, by what their layers have in common.
    tasks: BTreeMap<TaskKey<'a>, usize>,
}

/// Layers with the same are one task: their file, key, exporter, attribution and date.
type TaskKey<'a> = (&'a Path, OfflineMapParametersKey, String, Option<&'a str>, Option<i64>);

impl<'a> Index<'a> {
    /// The first one of an id counts.
    fn new(carried: &Carried<'a>) -> Self {
        let outcomes: HashMap<&str, &LayerOutcome> =
            carried.earlier.layers.iter().rev().map(|l| (l.id.as_str(), l)).collect();
        let good = carried.earlier.data.iter().rev().filter(|d| carried.verified.contains(&d.id));
        let data = good.filter_map(|d| Some((d.id.as_str(), (*outcomes.get(d.id.as_str())?, d)))).collect();
        Self { outcomes, data, tasks: BTreeMap::new() }
    }

    fn data(&self, id: &str) -> Option<(&'a LayerOutcome, &'a EarlierData)> {
        self.data.get(id).copied()
    }
}

impl Carried<'_> {
    /// Makes tasks of what is carried over, and answers the groups of what is still to be asked for.
    pub(crate) fn divide(&self, groups: Vec<Group>, layers: &[MapLayer], plan: &mut OfflineMapPlan) -> Vec<Group> {
        let mut index = Index::new(self);
        let without_data: HashSet<&str> = self.earlier.without_data.iter().map(String::as_str).collect();
        let mut rest = Vec::new();
        let mut keys: HashMap<String, (OfflineMapParametersKey, String)> = HashMap::new();
        let mut networks: Vec<(&EarlierNetwork, TaskNetwork)> = Vec::new();
        for mut group in groups {
            let name = group.exporter.name();
            let carried = keys.len();
            group.layers.retain(|layer| {
                if index.data(&layer.id).is_some() {
                    keys.entry(layer.id.clone()).or_insert_with(|| (group.key.clone(), name.to_owned()));
                    return false;
                }
                // What was left out, or stays online, does so again without asking.
                let outcome = index.outcomes.get(layer.id.as_str());
                let is_left = outcome.is_some_and(|o| o.state == ExportState::Skipped && !o.is_error());
                if is_left {
                    let online = without_data.contains(layer.id.as_str());
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
        plan.skipped.retain(|s| index.data(&s.id).is_none());
        for layer in layers {
            let Some((outcome, data)) = index.data(&layer.id) else { continue };
            let (key, exporter) = keys.remove(&layer.id).unwrap_or_else(|| {
                let url = data.url.clone().unwrap_or_default();
                (OfflineMapParametersKey::new(url, ""), data.exporter.clone().unwrap_or_default())
            });
            carry(layer, (outcome, data), (key, exporter), &mut index, plan);
        }
        for (earlier, network) in networks {
            let holds = |task: &&mut ExportTask| {
                let file = task.layers.first().and_then(|l| index.data(&l.id)).map(|(_, d)| &d.file);
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

    /// Warns where a service that was asked has newer data than what is carried over from it.
    pub(crate) fn warn_of_changes(&self, plan: &mut OfflineMapPlan) {
        let mut newest: BTreeMap<&OfflineMapParametersKey, Option<i64>> = BTreeMap::new();
        for task in plan.tasks.iter().filter(|t| !t.carried) {
            let date = newest.entry(&task.key).or_default();
            *date = (*date).max(task.edit_date);
        }
        let changed = |task: &ExportTask| {
            let newer = newest.get(&task.key).is_some_and(|newest| *newest > task.edit_date);
            task.carried && task.edit_date.is_some() && newer
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

/// Adds a layer to the task of its file, or to a new one.
fn carry<'a>(
    layer: &MapLayer,
    (outcome, data): (&'a LayerOutcome, &'a EarlierData),
    (key, exporter): (OfflineMapParametersKey, String),
    index: &mut Index<'a>,
    plan: &mut OfflineMapPlan,
) {
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
    let own = (data.file.as_path(), key.clone(), exporter.clone(), data.attribution.as_deref(), data.edit_date);
    let at = *index.tasks.entry(own).or_insert(plan.tasks.len());
    if let Some(task) = plan.tasks.get_mut(at) {
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
        direct_download: data.direct_download,
        drawn: data.drawn,
        carried: true,
        networks: Vec::new(),
    });
}
