//! Map + parameters + overrides + what the services say → plan. Nothing is spent on any service here.
//!
//! 1. Check what can be judged without asking anybody.
//! 2. Sort the layers: left out, embedded, taken by an exporter (grouped by service), not supported.
//! 3. Ask each service, several at a time; merge defaults and overrides; let the exporter count and name its units.
//! 4. Judge the whole: the error policy, and an area that touches nothing.

use crate::carried::Carried;
use crate::exporter::{PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use crate::group::{Group, skipped};
use crate::registry::{ErasedExporter, ExporterRegistry};
use crate::{counts, networks};
use futures_util::StreamExt as _;
use offmap_disk::run_blocking;
use offmap_model::area::LONGEST_GEOMETRY;
use offmap_model::failure::{LONGEST_ATTRIBUTION, LONGEST_SERVER_MESSAGE, shortened};
use offmap_model::json::json_bytes;
use offmap_model::plan::EmbeddedLayer;
use offmap_model::{
    AreaOfInterest, Capability, CapabilityReason, ExportTask, Failure, FailureKind, FailureOwner, FailureStage,
    GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, MapLayer, OfflineMapParametersKey, OfflineMapPlan,
    OfflineMapSource, OnlineOnlyServicesOption, SkippedLayer, TaskLayer, service_key, unsupported,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Services that are asked at a time.
const EXAMINED_AT_A_TIME: usize = 4;
/// Most services of one map.
const MOST_SERVICES: usize = 1000;
/// Largest description of all services together that a plan keeps, as JSON in bytes.
const LARGEST_PLAN: usize = 16 << 20;
/// Warnings that a plan keeps.
const MOST_WARNINGS: usize = 100;
/// The words around the number of warnings that were dropped.
const AND_MORE: (&str, &str) = ("and ", " more warnings");
/// Names that a message lists.
const MOST_NAMES: usize = 20;

enum Planned {
    Task(Box<ExportTask>, Vec<SkippedLayer>, Vec<String>, bool),
    Nothing(Vec<SkippedLayer>),
}

/// Makes the plan.
pub(crate) async fn plan(
    registry: &ExporterRegistry,
    source: &Arc<OfflineMapSource>,
    parameters: &GenerateOfflineMapParameters,
    overrides: &GenerateOfflineMapParameterOverrides,
    ctx: &PlanContext,
) -> Result<OfflineMapPlan, Failure> {
    plan_beside(registry, source, parameters, overrides, None, ctx).await
}

/// Makes the plan of a job that completes a package: what is carried over from it is a task that asks nobody, and only the rest is
/// asked for.
pub(crate) async fn plan_beside(
    registry: &ExporterRegistry,
    source: &Arc<OfflineMapSource>,
    parameters: &GenerateOfflineMapParameters,
    overrides: &GenerateOfflineMapParameterOverrides,
    carried: Option<&Carried<'_>>,
    ctx: &PlanContext,
) -> Result<OfflineMapPlan, Failure> {
    // 1.
    let shared = Arc::new(exporters_parameters(parameters, ctx).await?);
    source.check()?;
    source.web_map.check_size()?;
    let layers = source.web_map.layers();
    let ids: HashSet<&str> = layers.iter().map(|l| l.id.as_str()).collect();
    let important = parameters.layer_importance.keys().map(|id| ("layerImportance", id));
    let named = important.chain(parameters.error_budgets.keys().map(|id| ("errorBudgets", id)));
    if let Some((key, id)) = named.into_iter().find(|(_, id)| !ids.contains(id.as_str())) {
        let known = names(layers.iter().map(|l| l.id.as_str()));
        return Err(Failure::invalid_parameter(format!("{key} names `{id}`, which is not in the map; known are: {known}")));
    }
    let mut plan = OfflineMapPlan {
        parameters: parameters.clone(),
        tasks: Vec::new(),
        embedded: Vec::new(),
        skipped: Vec::new(),
        left_out_networks: Vec::new(),
        warnings: Vec::new(),
    };
    if source.item.as_ref().is_some_and(|i| !i.type_keywords.is_empty() && !i.has_keyword("Offline")) {
        plan.warnings.push("the map's author has not marked it for offline use (keyword Offline)".to_owned());
    }
    plan.warnings.extend(source.web_map.offline_settings_warnings());
    // 2.
    let mut groups = sort_layers(registry, source, parameters, overrides, &mut plan)?;
    let mut networks = networks::by_service(source);
    for group in groups.iter_mut().filter(|g| !g.exporter.utility_network_parameters().is_empty()) {
        group.networks = networks.remove(&service_key(&group.key.service_url)).unwrap_or_default();
    }
    check_overrides(registry, &groups, overrides)?;
    if groups.len() > MOST_SERVICES {
        let (found, way) = (groups.len(), "split it into several maps");
        let message =
            format!("the layers of the web map come from {found} services, expected at most {MOST_SERVICES}; {way}");
        return Err(Failure::new(FailureOwner::Caller, FailureKind::LimitExceeded, FailureStage::Plan, message));
    }
    // A dictionary that is given is the whole dictionary: what has no entry in it is left out.
    let (groups, dropped): (Vec<Group>, Vec<Group>) = groups
        .into_iter()
        .partition(|g| overrides.get(&g.key).is_some() || !overrides.has_dictionary(&g.key.parameters_type));
    for layer in dropped.iter().flat_map(|g| &g.layers) {
        plan.skipped.push(skipped(layer, CapabilityReason::LeftOut, None, false));
    }
    plan.left_out_networks.extend(dropped.iter().flat_map(|g| &g.networks).map(|n| n.index));
    let mut groups = match carried {
        Some(carried) => carried.divide(groups, &layers, &mut plan),
        None => groups,
    };
    for group in &mut groups {
        let keys = group.exporter.utility_network_parameters();
        plan.left_out_networks.extend(networks::leave_out(&mut group.networks, &group.key, keys, overrides));
    }
    // 3.
    let order: HashMap<String, usize> = layers.into_iter().map(|l| l.id).zip(0..).collect();
    let work = groups.into_iter().enumerate().map(|(i, group)| {
        let online = [false, true].map(|tables| keeps_online(parameters, overrides, tables));
        let asked = PlanRequest { source: Arc::clone(source), parameters: Arc::clone(&shared), overrides, online };
        async move { plan_group(i, group, asked, ctx).await }
    });
    let mut running = futures_util::stream::iter(work).buffered(EXAMINED_AT_A_TIME);
    let mut touches = Vec::new();
    let mut size = 0_usize;
    loop {
        let next = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(Failure::cancelled()),
            next = running.next() => next,
        };
        match next {
            None => break,
            Some(Err(failure)) => return Err(failure),
            Some(Ok(Planned::Nothing(skipped))) => plan.skipped.extend(skipped),
            Some(Ok(Planned::Task(task, skipped, warnings, touched))) => {
                touches.push(touched);
                plan.skipped.extend(skipped);
                plan.warnings.extend(warnings);
                let with_it = json_bytes(&task.service).saturating_add(size);
                if with_it > LARGEST_PLAN {
                    plan.skipped.extend(too_much_described(&task, with_it));
                } else {
                    size = with_it;
                    plan.tasks.push(*task);
                }
            }
        }
    }
    plan.warnings.extend(networks::warnings(&plan, source));
    // 4.
    plan.skipped.sort_by_key(|s| order.get(&s.id));
    shorten(&mut plan.warnings);
    let mut stopping = plan.skipped.iter().filter(|s| parameters.stops_at(&s.id));
    if let Some(failure) = stopping.find_map(|s| s.failure.clone()) {
        return Err(failure);
    }
    if let Some(carried) = carried {
        carried.warn_of_changes(&mut plan);
    } else if !touches.is_empty() && !touches.contains(&true) {
        return Err(Failure::invalid_parameter(format!(
            "the area of interest lies outside every service of the map; its extent in degrees is {:?}",
            parameters.area_of_interest.wgs84_extent()?
        )));
    }
    plan.warnings.extend(source.web_map.warnings().iter().cloned());
    ctx.secrets.scrub_plan(&mut plan);
    Ok(plan)
}

/// The parameters that exporters get: checked, and with an area that is short enough for the wire, so that the work on it takes no
/// longer for each service. Made off the async threads.
async fn exporters_parameters(
    parameters: &GenerateOfflineMapParameters,
    ctx: &PlanContext,
) -> Result<GenerateOfflineMapParameters, Failure> {
    let mut parameters = parameters.clone();
    let cancel = ctx.cancel.clone();
    let work = run_blocking(move || {
        parameters.check()?;
        let area = parameters.area_of_interest.simplified_unless(LONGEST_GEOMETRY, &|| cancel.is_cancelled());
        parameters.area_of_interest = area.ok_or_else(Failure::cancelled)?;
        Ok(parameters)
    });
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(Failure::cancelled()),
        parameters = work => parameters,
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
    let skipped = |l: &TaskLayer| SkippedLayer {
        id: l.id.clone(),
        title: l.title.clone(),
        is_table: l.is_table,
        layer_type: l.layer_type.clone(),
        remains_online: false,
        reason: CapabilityReason::ServiceNotUsable,
        failure: Some(failure.clone().for_layer(&l.id)),
    };
    task.layers.iter().map(skipped).collect()
}

/// Cuts warnings, and their number.
pub(crate) fn shorten(warnings: &mut Vec<String>) {
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    if more > 0 {
        // The last line counts those that were dropped before, too.
        let read = |w: &String| w.strip_prefix(AND_MORE.0)?.strip_suffix(AND_MORE.1)?.parse::<usize>().ok();
        let before: usize = warnings.iter().filter_map(read).sum();
        warnings.retain(|w| read(w).is_none());
        let dropped = warnings.len().saturating_sub(MOST_WARNINGS - 1);
        warnings.truncate(MOST_WARNINGS - 1);
        warnings.push(format!("{}{}{}", AND_MORE.0, before + dropped, AND_MORE.1));
    }
    for warning in warnings.iter_mut() {
        *warning = shortened(std::mem::take(warning), LONGEST_SERVER_MESSAGE);
    }
}

/// The first few names of many, for a message.
fn names<'a>(mut all: impl Iterator<Item = &'a str>) -> String {
    let first: Vec<&str> = all.by_ref().take(MOST_NAMES).collect();
    match all.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// An override that matches nothing is a mistake, not a wish.
fn check_overrides(
    registry: &ExporterRegistry,
    groups: &[Group],
    overrides: &GenerateOfflineMapParameterOverrides,
) -> Result<(), Failure> {
    if let Some(unknown) = overrides.parameters_types().find(|kind| !registry.parameters_types().any(|k| k == *kind)) {
        let known: Vec<&str> = registry.parameters_types().collect();
        return Err(Failure::invalid_parameter(format!(
            "the overrides have `{unknown}`; known are: {}, onlineLayers, onlineTables",
            known.join(", ")
        )));
    }
    let of_networks = |g: &Group| g.networks.iter().map(|n| networks::key_of(n, &g.key.parameters_type)).collect::<Vec<_>>();
    let of_groups = |g: &Group| std::iter::once(g.key.clone()).chain(of_networks(g)).collect::<Vec<_>>();
    let known: BTreeSet<OfflineMapParametersKey> = groups.iter().flat_map(of_groups).collect();
    match overrides.keys().find(|key| !known.contains(key)) {
        None => Ok(()),
        Some(key) => {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            let known = names(known.iter().map(String::as_str));
            Err(Failure::invalid_parameter(format!("the override {key} matches nothing in the map; known are: {known}")))
        }
    }
}

fn sort_layers(
    registry: &ExporterRegistry,
    source: &OfflineMapSource,
    parameters: &GenerateOfflineMapParameters,
    overrides: &GenerateOfflineMapParameterOverrides,
    plan: &mut OfflineMapPlan,
) -> Result<Vec<Group>, Failure> {
    let mut groups: Vec<Group> = Vec::new();
    let mut place_of: BTreeMap<OfflineMapParametersKey, usize> = BTreeMap::new();
    let layers = source.web_map.layers();
    let chosen = chosen_online(source, parameters, overrides, &layers)?;
    // A base map on the device takes the place of all base map layers.
    let local_basemap = crate::basemap::is_wanted(parameters);
    for layer in layers {
        let taken = registry.for_layer(&layer, source);
        let key = taken.as_ref().map(|(e, url)| OfflineMapParametersKey::new(url.clone(), e.parameters_type()));
        // An entry for a base map's service supersedes `includeBasemap`.
        let overridden = key.as_ref().is_some_and(|key| overrides.get(key).is_some());
        if chosen.contains(&layer.id) {
            // The author's word, and the caller's, hold for layers that could go offline, too.
            plan.skipped.push(skipped(&layer, CapabilityReason::LeftOut, None, true));
        } else if layer.place.is_basemap() && (local_basemap || !(parameters.include_basemap || overridden)) {
            plan.skipped.push(skipped(&layer, CapabilityReason::LeftOut, None, false));
        } else if layer.has_feature_collection {
            plan.embedded.push(EmbeddedLayer { id: layer.id, title: layer.title });
        } else if let Some(failure) = source.web_map.refusal(&layer) {
            plan.skipped.push(skipped(&layer, CapabilityReason::ServiceNotUsable, Some(failure), false));
        } else if let (Some((exporter, _)), Some(key)) = (taken, key) {
            match place_of.get(&key).and_then(|at| groups.get_mut(*at)) {
                Some(group) => group.layers.push(layer),
                None => {
                    place_of.insert(key.clone(), groups.len());
                    groups.push(Group { exporter, key, layers: vec![layer], networks: Vec::new() });
                }
            }
        } else {
            let (reason, failure) = unsupported::judge(&layer, &source.web_map);
            let exists = reason.is_online_only() || layer.item_id.is_some();
            let online = exists && keeps_online(parameters, overrides, layer.is_table());
            plan.skipped.push(skipped(&layer, reason, Some(failure), online));
        }
    }
    Ok(groups)
}

/// Whether layers or tables without an offline form stay online. Lists in the overrides say exactly which ones do.
fn keeps_online(
    parameters: &GenerateOfflineMapParameters,
    overrides: &GenerateOfflineMapParameterOverrides,
    tables: bool,
) -> bool {
    overrides.online(tables).is_none() && parameters.online_only_services_option == OnlineOnlyServicesOption::Include
}

/// Layers and tables that somebody named to stay online: the caller in the overrides, else the map's author where the caller
/// wants the author's word to hold.
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

/// What is asked of one service.
struct PlanRequest<'a> {
    source: Arc<OfflineMapSource>,
    parameters: Arc<GenerateOfflineMapParameters>,
    overrides: &'a GenerateOfflineMapParameterOverrides,
    /// Whether its layers and its tables without an offline form stay online.
    online: [bool; 2],
}

async fn plan_group(index: usize, group: Group, asked: PlanRequest<'_>, ctx: &PlanContext) -> Result<Planned, Failure> {
    let PlanRequest { source, parameters, overrides, online } = asked;
    let mut request = ServiceRequest {
        service_url: group.key.service_url.clone(),
        layers: group.layers,
        source,
        parameters,
        networks: group.networks,
    };
    let all_skipped = |failure: &Failure, reason: CapabilityReason, layers: &[MapLayer]| -> Vec<SkippedLayer> {
        layers.iter().map(|l| skipped(l, reason, Some(failure.clone()), false)).collect()
    };
    let found = match group.exporter.describe(&request, ctx).await {
        Ok(found) => found,
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(failure) => {
            return Ok(Planned::Nothing(all_skipped(&failure, CapabilityReason::ServiceNotUsable, &request.layers)));
        }
    };
    let mut left = Vec::new();
    let capabilities: HashMap<&str, &Capability> = found.capabilities.iter().rev().map(|(id, c)| (id.as_str(), c)).collect();
    request.layers.retain(|layer| match capabilities.get(layer.id.as_str()) {
        Some(Capability::Supported) => true,
        Some(Capability::NotSupported(reason, failure)) => {
            let online = online[usize::from(layer.is_table())] && reason.is_online_only();
            left.push(skipped(layer, *reason, Some((**failure).clone()), online));
            false
        }
        None => {
            let failure = Failure::internal(format!("exporter `{}` said nothing of this layer", group.exporter.name()));
            left.push(skipped(layer, CapabilityReason::ServiceNotUsable, Some(failure), false));
            false
        }
    });
    if request.layers.is_empty() {
        return Ok(Planned::Nothing(left));
    }
    let chosen = overrides.get(&group.key).cloned();
    let overridden = chosen.is_some();
    let planned = async {
        let chosen_now = |request: &ServiceRequest| {
            let chosen = match &chosen {
                Some(chosen) => chosen.clone(),
                None => group.exporter.default_parameters(request, &found)?,
            };
            networks::with_entries(chosen, &request.networks, &group.key, overrides)
        };
        let mut parameters = chosen_now(&request)?;
        let mut task = group.exporter.plan(&request, &found, &parameters, ctx).await?;
        // A number that cannot be is its layer's failure. The others are planned without it, once.
        for again in [!overridden, false] {
            let absurd = counts::absurd(&task);
            if absurd.is_empty() {
                break;
            }
            for (id, failure) in absurd {
                let at = request.layers.iter().position(|l| l.id == id).map(|i| request.layers.remove(i));
                task.layers.retain(|l| l.id != id);
                left.extend(at.map(|l| {
                    skipped(&l, CapabilityReason::ServiceNotUsable, Some(failure.with_url(&request.service_url)), false)
                }));
            }
            task.bytes = None;
            if again && !request.layers.is_empty() {
                parameters = chosen_now(&request)?;
                task = group.exporter.plan(&request, &found, &parameters, ctx).await?;
            }
        }
        Ok::<_, Failure>((parameters, task))
    };
    match planned.await {
        Ok((chosen, task)) => {
            // What was counted inside the area outweighs what a service says of its extent.
            let counted = task.layers.iter().any(|l| l.exact && l.expected.is_some_and(|n| n > 0));
            let area = &request.parameters.area_of_interest;
            let touched = match found.extent.clone().filter(|_| !counted && !task.is_empty) {
                None => true,
                Some(extent) => {
                    let area = area.clone();
                    run_blocking(move || Ok(touches(&extent, &area))).await?
                }
            };
            let mut warnings = task.warnings.clone();
            shorten(&mut warnings);
            let (task, out) = assemble(index, &group.key, &*group.exporter, &request, found, chosen, task);
            left.extend(out);
            Ok(match task.layers.is_empty() {
                true => Planned::Nothing(left),
                false => Planned::Task(Box::new(task), left, warnings, touched),
            })
        }
        Err(failure) if failure.is_cancelled() => Err(failure),
        // What the caller wrote is wrong for the whole job; what the service answers concerns its layers.
        Err(failure) if overridden && failure.kind == FailureKind::InvalidParameter => Err(failure),
        Err(failure) => {
            let reason = match failure.kind {
                FailureKind::InvalidParameter => CapabilityReason::NoLevelInRange,
                _ => CapabilityReason::ServiceNotUsable,
            };
            left.extend(all_skipped(&failure, reason, &request.layers));
            Ok(Planned::Nothing(left))
        }
    }
}

/// Tasks whose data changed on their service since the plan was made, planned anew. A service that does not answer tells nothing;
/// the export will. A task that cannot be planned anew, or not with all of its layers, stays as it is with what was fetched for it,
/// and a warning of the plan says so.
pub(crate) async fn changed_since(
    registry: &ExporterRegistry,
    source: &Arc<OfflineMapSource>,
    plan: &mut OfflineMapPlan,
    ctx: &PlanContext,
) -> Result<Vec<(usize, ExportTask)>, Failure> {
    let mut changed = Vec::new();
    let mut warnings = Vec::new();
    for (index, task) in plan.tasks.iter().enumerate().filter(|(_, t)| t.edit_date.is_some() && !t.carried) {
        let exporter = registry.by_name(&task.exporter)?;
        let request = crate::resume::request_of(task, source, plan);
        let found = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(Failure::cancelled()),
            found = exporter.describe(&request, ctx) => found,
        };
        let Ok(found) = found else { continue };
        if found.edit_date.is_none() || found.edit_date == task.edit_date {
            continue;
        }
        let planned = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(Failure::cancelled()),
            planned = exporter.plan(&request, &found, &task.parameters, ctx) => planned,
        };
        let parameters = task.parameters.clone();
        let assembled = planned.map(|planned| assemble(index, &task.key, &*exporter, &request, found, parameters, planned));
        let (anew, why) = match assembled {
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => (None, Some(failure)),
            Ok((_, left)) if !left.is_empty() => (None, left.into_iter().find_map(|l| l.failure)),
            Ok((anew, _)) => (Some(anew), None),
        };
        let Some(anew) = anew else {
            let why = why.map_or_else(|| "some of its layers are not planned".to_owned(), |failure| failure.to_string());
            let words = format!("the data of \"{}\" changed since and cannot be planned anew: {why}", task.title);
            warnings.push(ctx.secrets.scrub(&words).into_owned());
            continue;
        };
        let mut anew = ExportTask { id: task.id.clone(), ..anew };
        ctx.secrets.scrub_task(&mut anew);
        changed.push((index, anew));
    }
    plan.warnings.extend(warnings);
    shorten(&mut plan.warnings);
    Ok(changed)
}

fn touches(extent: &offmap_model::Envelope, area: &AreaOfInterest) -> bool {
    let Some(reference) = &extent.spatial_reference else { return true };
    // An extent may go on beyond the dateline as an area may.
    let extents: Vec<_> = AreaOfInterest::from(extent.clone()).parts().iter().filter_map(AreaOfInterest::envelope).collect();
    match area.parts_in(reference) {
        Ok(parts) => parts.iter().any(|part| {
            let polygon = part.polygon();
            extents.iter().any(|extent| polygon.intersects_envelope(extent))
        }),
        Err(_) => true,
    }
}

fn assemble(
    index: usize,
    key: &OfflineMapParametersKey,
    exporter: &dyn ErasedExporter,
    request: &ServiceRequest,
    found: ServiceDescription,
    parameters: Value,
    task: TaskPlan,
) -> (ExportTask, Vec<SkippedLayer>) {
    let mut layers = Vec::new();
    let mut left = Vec::new();
    let planned: HashMap<&str, &crate::exporter::LayerPlan> = task.layers.iter().rev().map(|p| (p.id.as_str(), p)).collect();
    for layer in &request.layers {
        match planned.get(layer.id.as_str()) {
            Some(p) => layers.push(TaskLayer {
                id: layer.id.clone(),
                title: layer.title.clone(),
                is_table: layer.is_table(),
                layer_type: layer.layer_type.clone(),
                url: layer.url.clone(),
                service_layer_id: p.service_layer_id,
                expected: p.expected,
                exact: p.exact,
                attachments: p.attachments,
            }),
            None => left.push(match task.failed.iter().find(|(id, _)| *id == layer.id) {
                Some((_, failure)) => skipped(layer, CapabilityReason::ServiceNotUsable, Some(failure.clone()), false),
                None => skipped(layer, CapabilityReason::LeftOut, None, false),
            }),
        }
    }
    let networks = networks::of_plan(&task, &request.networks, key, exporter.utility_network_parameters(), &parameters);
    let task = ExportTask {
        networks,
        id: format!("{index:03}-{}", exporter.name()),
        exporter: exporter.name().to_owned(),
        key: key.clone(),
        title: shortened(found.title, LONGEST_SERVER_MESSAGE),
        layers,
        units: task.units,
        count_unit: task.count_unit,
        levels: task.levels,
        bytes: task.bytes,
        bytes_from: task.bytes_from,
        requests: task.requests,
        limits: task.limits,
        parameters,
        service: found.service,
        attribution: found.attribution.map(|words| shortened(words, LONGEST_ATTRIBUTION)),
        edit_date: found.edit_date,
        carried: false,
    };
    (task, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_cut_in_length_and_number_and_those_left_out_are_counted() {
        let mut all: Vec<String> = (0..250).map(|i| format!("warning {i} {}", "x".repeat(5_000))).collect();
        shorten(&mut all);
        assert_eq!((all.len(), all.last().map(String::as_str)), (MOST_WARNINGS, Some("and 151 more warnings")));
        assert!(all.iter().all(|w| w.len() <= LONGEST_SERVER_MESSAGE));
        all.extend(["one".to_owned(), "two".to_owned()]);
        shorten(&mut all);
        assert_eq!((all.len(), all.last().map(String::as_str)), (MOST_WARNINGS, Some("and 153 more warnings")));
        let mut few = vec!["one".to_owned()];
        shorten(&mut few);
        assert_eq!(few, ["one"]);
    }

    #[test]
    fn a_message_lists_the_first_few_names() {
        assert_eq!(names(["a", "b"].into_iter()), "a, b");
        let many = vec!["a"; 25];
        assert!(names(many.iter().copied()).ends_with("a and 5 more"));
    }
}
