//! What can be judged of a plan's inputs without asking any service.

use super::group::Group;
use super::inputs::PlanInputs;
use super::networks;
use super::warnings::first_names;
use offmap_disk::run_blocking;
use offmap_model::area::LONGEST_GEOMETRY;
use offmap_model::{
    Failure, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, MapLayer, OfflineMapParametersKey,
};
use std::collections::{BTreeSet, HashSet};
use tokio_util::sync::CancellationToken;

/// Names that a message lists.
const MOST_NAMES: usize = 20;

/// The parameters that exporters get: checked, and with an area that is short enough for the wire, so that the work on it takes no
/// longer for each service. Made off the async threads.
pub(super) async fn exporters_parameters(
    parameters: &GenerateOfflineMapParameters,
    cancel: &CancellationToken,
) -> Result<GenerateOfflineMapParameters, Failure> {
    let mut parameters = parameters.clone();
    let fired = cancel.clone();
    let work = run_blocking(move || {
        parameters.check()?;
        let area = parameters.area_of_interest.simplified_unless(LONGEST_GEOMETRY, &|| fired.is_cancelled());
        parameters.area_of_interest = area.ok_or_else(Failure::cancelled)?;
        Ok(parameters)
    });
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::cancelled()),
        parameters = work => parameters,
    }
}

/// Layers that the parameters and overrides name must be in the map.
pub(super) fn check_named_layers(inputs: PlanInputs<'_>, layers: &[MapLayer]) -> Result<(), Failure> {
    let PlanInputs { parameters, overrides, .. } = inputs;
    let ids: HashSet<&str> = layers.iter().map(|l| l.id.as_str()).collect();
    let important = parameters.layer_importance.keys().map(|id| ("layerImportance", id));
    let important = important.chain(parameters.error_budgets.keys().map(|id| ("errorBudgets", id)));
    let direct = overrides.direct_download().keys().map(|id| ("directDownload", id));
    let drawn = overrides.draw_tiles().keys().map(|id| ("drawTiles", id));
    let mut named = important.chain(direct).chain(drawn);
    match named.find(|(_, id)| !ids.contains(id.as_str())) {
        None => Ok(()),
        Some((key, id)) => {
            let known = names(layers.iter().map(|l| l.id.as_str()));
            let message = format!("{key} names `{id}`, which is not in the map; known are: {known}");
            Err(Failure::invalid_parameter(message))
        }
    }
}

/// The first few names of many, for a message.
pub(super) fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    first_names(MOST_NAMES, all)
}

/// Whether the overrides leave a service in: a dictionary that is given is the whole dictionary.
pub(super) fn is_left_in(key: &OfflineMapParametersKey, overrides: &GenerateOfflineMapParameterOverrides) -> bool {
    overrides.get(key).is_some() || !overrides.has_dictionary(&key.parameters_type)
}

/// An override that matches nothing is a mistake, not a wish.
pub(super) fn check_overrides(inputs: PlanInputs<'_>, groups: &[Group]) -> Result<(), Failure> {
    let PlanInputs { registry, source, overrides, .. } = inputs;
    if let Some(unknown) = overrides.parameters_types().find(|kind| !registry.parameters_types().any(|k| k == *kind)) {
        let known: Vec<&str> = registry.parameters_types().collect();
        return Err(Failure::invalid_parameter(format!(
            "the overrides have `{unknown}`; known are: {}, onlineLayers, onlineTables, directDownload, drawTiles",
            known.join(", ")
        )));
    }
    if overrides.keys().next().is_none() {
        return Ok(());
    }
    let of_networks = |g: &Group| g.networks.iter().map(|n| networks::key_of(n, &g.key.parameters_type)).collect::<Vec<_>>();
    let of_groups = |g: &Group| std::iter::once(g.key.clone()).chain(of_networks(g)).collect::<Vec<_>>();
    let fallbacks_of = |g: &Group| {
        let mut keys: Vec<(String, &str)> = Vec::new();
        for layer in &g.layers {
            let after = registry.after(g.exporter.name(), inputs.ways(&layer.id), layer, source);
            keys.extend(after.map(|(e, url)| (url, e.parameters_type())));
        }
        keys.into_iter().map(|(url, kind)| OfflineMapParametersKey::new(url, kind))
    };
    let fallbacks = groups.iter().flat_map(fallbacks_of);
    let known: BTreeSet<OfflineMapParametersKey> = groups.iter().flat_map(of_groups).chain(fallbacks).collect();
    match overrides.keys().find(|key| !known.contains(key)) {
        None => Ok(()),
        Some(key) => {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            let known = names(known.iter().map(String::as_str));
            let why = match &key.parameters_type {
                kind if registry.is_direct(kind) => "; its exporter downloads directly, which `directDownload` has to allow",
                kind if registry.is_drawing(kind) => "; its exporter draws, which `drawTiles` has to allow",
                _ => "",
            };
            let message = format!("the override {key} matches nothing in the map; known are: {known}{why}");
            Err(Failure::invalid_parameter(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lists_the_first_few_names() {
        assert_eq!(names(["a", "b"].into_iter()), "a, b");
        let many = vec!["a"; 25];
        assert!(names(many.iter().copied()).ends_with("a and 5 more"));
    }
}
