//! Utility networks in a plan: each belongs to the task of its service and has an entry of its own in the overrides.
//!
//! Source: API reference B.5.

use crate::exporter::TaskPlan;
use offmap_model::{
    ExportTask, Failure, GenerateOfflineMapParameterOverrides, OfflineMapParametersKey, OfflineMapPlan, OfflineMapSource,
    OnlineOnlyServicesOption, TaskNetwork, UtilityNetwork, service_key,
};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Networks that are warned of one by one.
const MOST_WARNINGS: usize = 20;

/// The networks of a map by the service that they are part of.
pub(crate) fn by_service(source: &OfflineMapSource) -> HashMap<String, Vec<UtilityNetwork>> {
    let mut all: HashMap<String, Vec<UtilityNetwork>> = HashMap::new();
    for network in UtilityNetwork::of(&source.web_map) {
        if let Some(service) = &network.service_url {
            all.entry(service_key(service)).or_default().push(network);
        }
    }
    all
}

/// The key of a network's own entry.
pub(crate) fn key_of(network: &UtilityNetwork, parameters_type: &str) -> OfflineMapParametersKey {
    OfflineMapParametersKey::new(network.url.clone().unwrap_or_default(), parameters_type)
}

/// Takes the networks out that the overrides leave out: their dictionary is given, and neither an entry of their own nor the
/// service's speaks of them. Answers their places in the map.
pub(crate) fn leave_out(
    networks: &mut Vec<UtilityNetwork>,
    service: &OfflineMapParametersKey,
    keys: &[&str],
    overrides: &GenerateOfflineMapParameterOverrides,
) -> Vec<usize> {
    if !overrides.has_dictionary(&service.parameters_type) {
        return Vec::new();
    }
    let spoken_of = overrides.get(service).is_some_and(|entry| keys.iter().any(|key| entry.get(*key).is_some()));
    let mut out = Vec::new();
    networks.retain(|network| {
        let stays = spoken_of || overrides.get(&key_of(network, &service.parameters_type)).is_some();
        if !stays {
            out.push(network.index);
        }
        stays
    });
    out
}

/// A service's parameters with what the entries of its networks say over them.
pub(crate) fn with_entries(
    mut parameters: Value,
    networks: &[UtilityNetwork],
    service: &OfflineMapParametersKey,
    overrides: &GenerateOfflineMapParameterOverrides,
) -> Result<Value, Failure> {
    for network in networks {
        let key = key_of(network, &service.parameters_type);
        let Some(entry) = overrides.get(&key).filter(|_| key != *service) else { continue };
        let (Some(all), Some(entry)) = (parameters.as_object_mut(), entry.as_object()) else {
            return Err(Failure::invalid_parameter(format!("the override {key} is not a JSON object")));
        };
        all.extend(entry.clone());
    }
    Ok(parameters)
}

/// The networks of a planned task, each with its part of the parameters.
pub(crate) fn of_plan(
    task: &TaskPlan,
    networks: &[UtilityNetwork],
    service: &OfflineMapParametersKey,
    keys: &[&str],
    parameters: &Value,
) -> Vec<TaskNetwork> {
    let own: Map<String, Value> =
        keys.iter().filter_map(|key| Some(((*key).to_owned(), parameters.get(*key)?.clone()))).collect();
    let by_index: HashMap<usize, &UtilityNetwork> = networks.iter().map(|n| (n.index, n)).collect();
    let planned = task.networks.iter().filter_map(|planned| {
        let network = by_index.get(&planned.index)?;
        Some(TaskNetwork {
            index: planned.index,
            key: key_of(network, &service.parameters_type),
            parameters: own.clone(),
            service_layer_id: planned.service_layer_id,
        })
    });
    planned.collect()
}

/// The networks of a task, read from the map again.
pub(crate) fn of_task(task: &ExportTask, source: &OfflineMapSource) -> Vec<UtilityNetwork> {
    if task.networks.is_empty() {
        // The map is not read again for nothing: many tasks ask.
        return Vec::new();
    }
    let wanted: HashSet<usize> = task.networks.iter().map(|n| n.index).collect();
    let mut all = UtilityNetwork::of(&source.web_map);
    all.retain(|network| wanted.contains(&network.index));
    all
}

/// What is to be said of the networks that come with no task.
pub(crate) fn warnings(plan: &OfflineMapPlan, source: &OfflineMapSource) -> Vec<String> {
    let planned = plan.tasks.iter().flat_map(|t| &t.networks).map(|n| n.index);
    let known: HashSet<usize> = planned.chain(plan.left_out_networks.iter().copied()).collect();
    let keeps = plan.parameters.online_only_services_option == OnlineOnlyServicesOption::Include;
    let words = |network: UtilityNetwork| {
        let title = &network.title;
        match (&network.service_url, keeps) {
            (None, _) => {
                format!(
                    "the utility network \"{title}\" cannot be had offline: the map names no feature service of it; it stays as it is"
                )
            }
            (Some(url), true) => {
                format!(
                    "the utility network \"{title}\" cannot be had offline: no layer of {url} is taken; it stays with its online url"
                )
            }
            (Some(url), false) => {
                format!(
                    "the utility network \"{title}\" cannot be had offline: no layer of {url} is taken; it is left out of the map"
                )
            }
        }
    };
    let mut all = UtilityNetwork::of(&source.web_map);
    all.retain(|n| !known.contains(&n.index));
    let more = all.len().saturating_sub(MOST_WARNINGS);
    let mut warnings: Vec<String> = all.into_iter().take(MOST_WARNINGS).map(words).collect();
    if more > 0 {
        warnings.push(format!("{more} more utility networks cannot be had offline"));
    }
    warnings
}
