//! Map + parameters + overrides + what the services say → plan. Nothing is spent on any service here.
//!
//! 1. Check what can be judged without asking anybody.
//! 2. Sort the layers: left out, embedded, supported by an exporter (grouped by service), not supported.
//! 3. Ask each service, several at a time; merge defaults and overrides; let the exporter count and name its units.
//! 4. Judge the whole: the error policy, and an area that touches nothing.

use super::carried::Carried;
use super::check::{check_named_layers, check_overrides, exporters_parameters, is_left_in};
use super::group::{Group, skipped};
use super::inputs::PlanInputs;
use super::networks;
use super::services::Services;
use super::sort::sort_layers;
use super::warnings::shorten;
use crate::exporter::PlanContext;
use offmap_model::{CapabilityReason, Failure, FailureKind, FailureOwner, FailureStage, OfflineMapPlan};
use std::collections::HashMap;
use std::sync::Arc;

/// Most services of one map.
const MOST_SERVICES: usize = 1000;

/// Makes the plan. For a job that completes a package, what is carried over from it is a task that asks nobody, and only the rest is
/// asked for.
pub(crate) async fn plan(
    inputs: PlanInputs<'_>,
    carried: Option<&Carried<'_>>,
    ctx: &PlanContext,
) -> Result<OfflineMapPlan, Failure> {
    let PlanInputs { source, parameters, .. } = inputs;
    // 1.
    let for_exporters = Arc::new(exporters_parameters(parameters, &ctx.cancel).await?);
    source.check()?;
    source.web_map.check_size()?;
    let layers = source.web_map.layers();
    check_named_layers(inputs, layers)?;
    let mut plan = empty(inputs);
    // 2.
    let mut groups = sort_layers(inputs, layers, &mut plan)?;
    let mut networks = networks::by_service(source);
    groups.iter_mut().for_each(|group| group.take_networks(&mut networks));
    check_overrides(inputs, &groups)?;
    check_number(groups.len())?;
    let groups = left_in(inputs, groups, &mut plan);
    let groups = match carried {
        Some(carried) => carried.divide(groups, layers, &mut plan),
        None => groups,
    };
    // 3.
    let services = Services::new(inputs, for_exporters, layers, networks, plan);
    let (mut plan, touches) = services.ask(groups, ctx).await?;
    plan.warnings.extend(networks::warnings(&plan, source));
    // 4.
    let order: HashMap<&str, usize> = layers.iter().map(|l| l.id.as_str()).zip(0..).collect();
    plan.skipped.sort_by_key(|s| order.get(s.id.as_str()));
    shorten(&mut plan.warnings);
    let mut stopping = plan.skipped.iter().filter(|s| parameters.stops_at(&s.id));
    if let Some(failure) = stopping.find_map(|s| s.failure.clone()) {
        return Err(failure);
    }
    if let Some(carried) = carried {
        carried.warn_of_changes(&mut plan);
    } else if touches == Some(false) {
        return Err(Failure::invalid_parameter(format!(
            "the area of interest lies outside every service of the map; its extent in degrees is {:?}",
            parameters.area_of_interest.wgs84_extent()?
        )));
    }
    plan.warnings.extend(source.web_map.warnings().iter().cloned());
    ctx.secrets.scrub_plan(&mut plan);
    Ok(plan)
}

/// A plan without layers, and what is worth knowing of the map.
fn empty(inputs: PlanInputs<'_>) -> OfflineMapPlan {
    let source = inputs.source;
    let mut warnings = Vec::new();
    if source.item.as_ref().is_some_and(|i| !i.type_keywords.is_empty() && !i.has_keyword("Offline")) {
        warnings.push("the map's author has not marked it for offline use (keyword Offline)".to_owned());
    }
    warnings.extend(source.web_map.offline_settings_warnings());
    OfflineMapPlan {
        parameters: inputs.parameters.clone(),
        tasks: Vec::new(),
        embedded: Vec::new(),
        skipped: Vec::new(),
        left_out_networks: Vec::new(),
        warnings,
    }
}

fn check_number(services: usize) -> Result<(), Failure> {
    if services <= MOST_SERVICES {
        return Ok(());
    }
    let way = "split it into several maps";
    let message =
        format!("the layers of the web map come from {services} services, expected at most {MOST_SERVICES}; {way}");
    Err(Failure::new(FailureOwner::Caller, FailureKind::LimitExceeded, FailureStage::Plan, message))
}

/// The groups that the overrides leave in: a dictionary that is given is the whole dictionary, and what has no entry in it is left
/// out.
fn left_in(inputs: PlanInputs<'_>, groups: Vec<Group>, plan: &mut OfflineMapPlan) -> Vec<Group> {
    let (groups, dropped): (Vec<Group>, Vec<Group>) =
        groups.into_iter().partition(|group| is_left_in(&group.key, inputs.overrides));
    for layer in dropped.iter().flat_map(|g| &g.layers) {
        plan.skipped.push(skipped(layer, CapabilityReason::LeftOut, None, false));
    }
    plan.left_out_networks.extend(dropped.iter().flat_map(|g| &g.networks).map(|n| n.index));
    groups
}
