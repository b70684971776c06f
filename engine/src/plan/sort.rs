//! Sorts the layers of a map before any service is asked.

use super::check::names;
use super::group::{Group, Groups, skipped};
use super::inputs::PlanInputs;
use crate::basemap;
use offmap_model::plan::EmbeddedLayer;
use offmap_model::{
    CapabilityReason, Failure, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, MapLayer,
    OfflineMapParametersKey, OfflineMapPlan, OfflineMapSource, OnlineOnlyServicesOption, unsupported,
};
use std::collections::HashSet;

/// Sorts the layers of a map: those that are left out, embedded, or not supported go into the plan, the others into groups, each of
/// the first exporter that supports it.
pub(super) fn sort_layers(
    inputs: PlanInputs<'_>,
    layers: &[MapLayer],
    plan: &mut OfflineMapPlan,
) -> Result<Vec<Group>, Failure> {
    let PlanInputs { registry, source, parameters, overrides } = inputs;
    let mut groups = Groups::default();
    let chosen = chosen_online(source, parameters, overrides, layers)?;
    // A basemap on the device takes the place of all basemap layers.
    let local_basemap = basemap::is_wanted(parameters);
    for layer in layers {
        let supporting = registry.supporting(inputs.ways(&layer.id), layer, source).next();
        let key = supporting.as_ref().map(|(e, url)| OfflineMapParametersKey::new(url.clone(), e.parameters_type()));
        // An entry for a basemap's service supersedes `includeBasemap`.
        let overridden = key.as_ref().is_some_and(|key| overrides.get(key).is_some());
        if chosen.contains(&layer.id) {
            // What the author and the caller chose holds for layers that could go offline, too.
            plan.skipped.push(skipped(layer, CapabilityReason::LeftOut, None, true));
        } else if layer.place.is_basemap() && (local_basemap || !(parameters.include_basemap || overridden)) {
            plan.skipped.push(skipped(layer, CapabilityReason::LeftOut, None, false));
        } else if layer.has_feature_collection {
            plan.embedded.push(EmbeddedLayer { id: layer.id.clone(), title: layer.title.clone() });
        } else if let Some(failure) = source.web_map.refusal(layer) {
            plan.skipped.push(skipped(layer, CapabilityReason::ServiceNotUsable, Some(failure), false));
        } else if let (Some((exporter, _)), Some(key)) = (supporting, key) {
            groups.add(exporter, key, layer.clone());
        } else {
            let (reason, failure) = unsupported::judge(layer, &source.web_map);
            let exists = reason.is_online_only() || layer.item_id.is_some();
            let online = exists && keeps_online(parameters, overrides, layer.is_table());
            plan.skipped.push(skipped(layer, reason, Some(failure), online));
        }
    }
    Ok(groups.into_all())
}

/// Whether layers or tables without an offline form stay online. Lists in the overrides say exactly which ones do.
pub(super) fn keeps_online(
    parameters: &GenerateOfflineMapParameters,
    overrides: &GenerateOfflineMapParameterOverrides,
    tables: bool,
) -> bool {
    overrides.online(tables).is_none() && parameters.online_only_services_option == OnlineOnlyServicesOption::Include
}

/// Layers and tables that somebody named to stay online: the caller in the overrides, else the map's author where the caller
/// wants the author's choice to hold.
fn chosen_online(
    source: &OfflineMapSource,
    parameters: &GenerateOfflineMapParameters,
    overrides: &GenerateOfflineMapParameterOverrides,
    layers: &[MapLayer],
) -> Result<HashSet<String>, Failure> {
    let mut chosen = HashSet::new();
    let mut authored = None;
    for tables in [false, true] {
        let Some(ids) = overrides.online(tables) else {
            if parameters.online_only_services_option == OnlineOnlyServicesOption::UseAuthoredSettings {
                let settings = match &authored {
                    Some(settings) => settings,
                    None => authored.insert(source.web_map.offline_settings().unwrap_or_default()),
                };
                let ids: HashSet<&str> = settings.connected_online_layers.iter().map(|c| c.id.as_str()).collect();
                let named = |l: &&MapLayer| ids.contains(l.id.as_str());
                chosen.extend(layers.iter().filter(|l| l.is_table() == tables).filter(named).map(|l| l.id.clone()));
            }
            continue;
        };
        let list = if tables { "onlineTables" } else { "onlineLayers" };
        let there = || layers.iter().filter(|l| l.is_table() == tables).map(|l| l.id.as_str());
        let all: HashSet<&str> = there().collect();
        if let Some(id) = ids.iter().find(|id| !all.contains(id.as_str())) {
            let message = format!("{list} names `{id}`, which is not in the map; known are: {}", names(there()));
            return Err(Failure::invalid_parameter(message));
        }
        chosen.extend(ids.iter().cloned());
    }
    Ok(chosen)
}
