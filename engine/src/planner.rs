//! Map + parameters + overrides + what the services say → plan. Nothing is spent on any service here.
//!
//! 1. Check what can be judged without asking anybody.
//! 2. Sort the layers: left out, embedded, taken by an exporter (grouped by service), not supported.
//! 3. Ask each service, several at a time; merge defaults and overrides; let the exporter count and name its units.
//! 4. Judge the whole: the error policy, and an area that touches nothing.

use crate::exporter::{Examination, PlanContext, ServiceRequest, TaskPlan};
use crate::model::area::AreaOfInterest;
use crate::model::capability::{Capability, CapabilityReason};
use crate::model::failure::Failure;
use crate::model::overrides::{GenerateOfflineMapParameterOverrides, OfflineMapParametersKey};
use crate::model::parameters::{GenerateOfflineMapParameters, OnlineOnlyServicesOption};
use crate::model::plan::{EmbeddedLayer, ExportTask, OfflineMapPlan, SkippedLayer, TaskLayer};
use crate::model::source::OfflineMapSource;
use crate::model::web_map::MapLayer;
use crate::registry::{ErasedExporter, ExporterRegistry};
use futures_util::StreamExt as _;
use serde_json::Value;
use std::sync::Arc;

/// Services that are asked at a time.
const EXAMINED_AT_A_TIME: usize = 4;

/// The layers that one exporter takes from one service, before the service was asked.
struct Group {
    exporter: Arc<dyn ErasedExporter>,
    key: OfflineMapParametersKey,
    layers: Vec<MapLayer>,
}

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
    // 1.
    parameters.check()?;
    source.check()?;
    source.web_map.offline_settings()?;
    let shared = Arc::new(parameters.clone());
    let mut plan = OfflineMapPlan {
        parameters: parameters.clone(),
        tasks: Vec::new(),
        embedded: Vec::new(),
        skipped: Vec::new(),
        warnings: Vec::new(),
    };
    if source.item.as_ref().is_some_and(|i| !i.type_keywords.is_empty() && !i.has_keyword("Offline")) {
        plan.warnings.push("the map's author has not marked it for offline use (keyword Offline)".to_owned());
    }
    // 2.
    let groups = sort_layers(registry, source, parameters, &mut plan)?;
    if let Some(key) = overrides.keys().find(|key| !groups.iter().any(|g| g.key == *key)) {
        let known: Vec<String> = groups.iter().map(|g| g.key.to_string()).collect();
        return Err(Failure::invalid_parameter(format!(
            "the override {key} matches nothing in the map; known are: {}",
            known.join(", ")
        )));
    }
    // 3.
    let order: Vec<String> = source.web_map.layers().into_iter().map(|l| l.id).collect();
    let work = groups.into_iter().enumerate().map(|(i, group)| {
        let (source, parameters) = (Arc::clone(source), Arc::clone(&shared));
        let chosen = overrides.get(&group.key).cloned();
        async move { plan_group(i, group, source, parameters, chosen, ctx).await }
    });
    let mut running = futures_util::stream::iter(work).buffered(EXAMINED_AT_A_TIME);
    let mut touches = Vec::new();
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
                plan.tasks.push(*task);
                plan.skipped.extend(skipped);
                plan.warnings.extend(warnings);
            }
        }
    }
    // 4.
    let place = |id: &str| order.iter().position(|o| o == id);
    plan.skipped.sort_by_key(|s| place(&s.id));
    if let Some(failure) = plan.skipped.iter().find_map(|s| s.failure.clone()).filter(|_| !parameters.continue_on_errors) {
        return Err(failure);
    }
    if !touches.is_empty() && !touches.contains(&true) {
        return Err(Failure::invalid_parameter(format!(
            "the area of interest lies outside every service of the map; its extent in degrees is {:?}",
            parameters.area_of_interest.wgs84_extent()?
        )));
    }
    Ok(plan)
}

fn sort_layers(
    registry: &ExporterRegistry,
    source: &OfflineMapSource,
    parameters: &GenerateOfflineMapParameters,
    plan: &mut OfflineMapPlan,
) -> Result<Vec<Group>, Failure> {
    let mut groups: Vec<Group> = Vec::new();
    let keep_online = parameters.online_only_services_option == OnlineOnlyServicesOption::Include;
    let authored = authored_online(source, parameters)?;
    // A base map on the device takes the place of all base map layers.
    let own_basemap = parameters.include_basemap && !crate::basemap::is_wanted(parameters);
    for layer in source.web_map.layers() {
        if authored.contains(&layer.id) {
            // The author's word holds for layers that could go offline, too.
            plan.skipped.push(skipped(&layer, CapabilityReason::LeftOut, None, true));
        } else if layer.place.is_basemap() && !own_basemap {
            plan.skipped.push(skipped(&layer, CapabilityReason::LeftOut, None, false));
        } else if layer.has_feature_collection {
            plan.embedded.push(EmbeddedLayer { id: layer.id, title: layer.title });
        } else if let Some((exporter, url)) = registry.for_layer(&layer, source) {
            let key = OfflineMapParametersKey::new(url, exporter.parameters_type());
            match groups.iter_mut().find(|g| g.key == key) {
                Some(group) => group.layers.push(layer),
                None => groups.push(Group { exporter, key, layers: vec![layer] }),
            }
        } else {
            let has_address = layer.url.is_some() || layer.style_url.is_some();
            let (reason, words) = if has_address {
                (CapabilityReason::LayerTypeNotSupported, "this kind of layer has no offline form")
            } else {
                (CapabilityReason::NoServiceAddress, "the map gives no service address for it")
            };
            let failure = Failure::not_supported(format!(
                "layer \"{}\" ({}) cannot go offline: {words}",
                layer.title, layer.layer_type
            ));
            plan.skipped.push(skipped(&layer, reason, Some(failure), keep_online && has_address));
        }
    }
    Ok(groups)
}

/// Layers and tables that the map's author keeps online, where the caller wants the author's word to hold.
fn authored_online(source: &OfflineMapSource, parameters: &GenerateOfflineMapParameters) -> Result<Vec<String>, Failure> {
    if parameters.online_only_services_option != OnlineOnlyServicesOption::UseAuthoredSettings {
        return Ok(Vec::new());
    }
    let settings = source.web_map.offline_settings()?.unwrap_or_default();
    Ok(settings.connected_online_layers.into_iter().map(|l| l.id).collect())
}

fn skipped(layer: &MapLayer, reason: CapabilityReason, failure: Option<Failure>, remains_online: bool) -> SkippedLayer {
    SkippedLayer {
        id: layer.id.clone(),
        title: layer.title.clone(),
        is_table: layer.is_table(),
        layer_type: layer.layer_type.clone(),
        remains_online,
        reason,
        // A layer that was asked to stay online is no failure.
        failure: failure.filter(|_| !remains_online).map(|f| f.for_layer(&layer.id)),
    }
}

async fn plan_group(
    index: usize,
    group: Group,
    source: Arc<OfflineMapSource>,
    parameters: Arc<GenerateOfflineMapParameters>,
    chosen: Option<Value>,
    ctx: &PlanContext,
) -> Result<Planned, Failure> {
    let keep_online = parameters.online_only_services_option == OnlineOnlyServicesOption::Include;
    let mut request =
        ServiceRequest { service_url: group.key.service_url.clone(), layers: group.layers, source, parameters };
    let all_skipped = |failure: &Failure, reason: CapabilityReason, layers: &[MapLayer]| -> Vec<SkippedLayer> {
        layers.iter().map(|l| skipped(l, reason, Some(failure.clone()), false)).collect()
    };
    let found = match group.exporter.examine(&request, ctx).await {
        Ok(found) => found,
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(failure) => {
            return Ok(Planned::Nothing(all_skipped(&failure, CapabilityReason::ServiceNotUsable, &request.layers)));
        }
    };
    let mut left = Vec::new();
    request.layers.retain(|layer| match found.capabilities.iter().find(|(id, _)| *id == layer.id).map(|(_, c)| c) {
        Some(Capability::Supported) => true,
        Some(Capability::NotSupported(reason, failure)) => {
            let online = keep_online && *reason == CapabilityReason::SyncNotEnabled;
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
    let overridden = chosen.is_some();
    let planned = async {
        let chosen = match chosen {
            Some(chosen) => chosen,
            None => group.exporter.default_parameters(&request, &found)?,
        };
        let task = group.exporter.plan(&request, &found, &chosen, ctx).await?;
        Ok::<_, Failure>((chosen, task))
    };
    match planned.await {
        Ok((chosen, task)) => {
            // What was counted inside the area outweighs what a service says of its extent.
            let counted = task.layers.iter().any(|l| l.exact && l.expected.is_some_and(|n| n > 0));
            let area = &request.parameters.area_of_interest;
            let touched = counted || found.extent.as_ref().is_none_or(|e| touches(e, area));
            let warnings = task.warnings.clone();
            let (task, out) = assemble(index, &group.key, &*group.exporter, &request, found, chosen, task);
            left.extend(out);
            Ok(match task.layers.is_empty() {
                true => Planned::Nothing(left),
                false => Planned::Task(Box::new(task), left, warnings, touched),
            })
        }
        Err(failure) if failure.is_cancelled() => Err(failure),
        // What the caller wrote is wrong for the whole job; what the service answers concerns its layers.
        Err(failure) if overridden && failure.kind == crate::model::failure::FailureKind::InvalidParameter => Err(failure),
        Err(failure) => {
            let reason = match failure.kind {
                crate::model::failure::FailureKind::InvalidParameter => CapabilityReason::NoLevelInRange,
                _ => CapabilityReason::ServiceNotUsable,
            };
            left.extend(all_skipped(&failure, reason, &request.layers));
            Ok(Planned::Nothing(left))
        }
    }
}

fn touches(extent: &crate::model::geometry::Envelope, area: &AreaOfInterest) -> bool {
    let Some(reference) = &extent.spatial_reference else { return true };
    match area.project(reference) {
        Ok(area) => area.polygon().intersects_envelope(extent),
        Err(_) => true,
    }
}

fn assemble(
    index: usize,
    key: &OfflineMapParametersKey,
    exporter: &dyn ErasedExporter,
    request: &ServiceRequest,
    found: Examination,
    parameters: Value,
    task: TaskPlan,
) -> (ExportTask, Vec<SkippedLayer>) {
    let mut layers = Vec::new();
    let mut left = Vec::new();
    for layer in &request.layers {
        match task.layers.iter().find(|p| p.id == layer.id) {
            Some(p) => layers.push(TaskLayer {
                id: layer.id.clone(),
                title: layer.title.clone(),
                is_table: layer.is_table(),
                layer_type: layer.layer_type.clone(),
                url: layer.url.clone(),
                service_layer_id: p.service_layer_id,
                expected: p.expected,
                exact: p.exact,
            }),
            None => left.push(skipped(layer, CapabilityReason::LeftOut, None, false)),
        }
    }
    let task = ExportTask {
        id: format!("{index:03}-{}", exporter.name()),
        exporter: exporter.name().to_owned(),
        key: key.clone(),
        title: found.title,
        layers,
        units: task.units,
        count_unit: task.count_unit,
        levels: task.levels,
        bytes: task.bytes,
        limits: task.limits,
        parameters,
        service: found.service,
        attribution: found.attribution,
        edit_date: found.edit_date,
    };
    (task, left)
}
