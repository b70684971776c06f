//! Asks one service what it can do, and plans what can go offline of it.

use super::assemble::assemble;
use super::check::is_left_in;
use super::group::{Group, skipped};
use super::inputs::PlanInputs;
use super::warnings::{shorten, unlike_parameters};
use super::{counts, networks};
use crate::exporter::{PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use crate::registry::ErasedExporter;
use offmap_disk::run_blocking;
use offmap_model::{
    AreaOfInterest, Capability, CapabilityReason, Envelope, ExportTask, Failure, FailureKind,
    GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, MapLayer, OfflineMapParametersKey, OfflineMapSource,
    SkippedLayer, UtilityNetwork,
};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What every service is asked with.
pub(super) struct PlanRequest<'a> {
    pub(super) inputs: PlanInputs<'a>,
    pub(super) source: Arc<OfflineMapSource>,
    pub(super) parameters: Arc<GenerateOfflineMapParameters>,
    /// Whether its layers and its tables without an offline form stay online.
    pub(super) online: [bool; 2],
}

/// What came of asking one service.
pub(super) struct Planned {
    pub(super) exporter: Arc<dyn ErasedExporter>,
    pub(super) key: OfflineMapParametersKey,
    /// What is to be exported, and whether the area touches what the service has.
    pub(super) task: Option<(Box<ExportTask>, bool)>,
    /// Layers that cannot go offline, whatever exporter is asked.
    pub(super) skipped: Vec<SkippedLayer>,
    /// Layers that this exporter cannot export, by what the service says of itself, with the reason.
    pub(super) refused: Vec<(MapLayer, SkippedLayer)>,
    /// Networks of a service of which no layer is left.
    pub(super) networks: Vec<UtilityNetwork>,
    pub(super) warnings: Vec<String>,
}

fn all_skipped(failure: &Failure, reason: CapabilityReason, layers: &[MapLayer]) -> Vec<SkippedLayer> {
    layers.iter().map(|l| skipped(l, reason, Some(failure.clone()), false)).collect()
}

/// Why layers stay behind whose export cannot be planned.
fn reason_of(failure: &Failure) -> CapabilityReason {
    match failure.kind {
        FailureKind::InvalidParameter => CapabilityReason::NoLevelInRange,
        _ => CapabilityReason::ServiceNotUsable,
    }
}

/// The layers of an export that the service may refuse.
fn all_refused(task: &TaskPlan, request: &mut ServiceRequest, online: [bool; 2]) -> Vec<(MapLayer, SkippedLayer)> {
    let words = task.may_be_refused.clone().unwrap_or_default();
    let refused = |layer: MapLayer| {
        let (failure, online) = (Failure::not_supported(words.clone()), online[usize::from(layer.is_table())]);
        let reason = skipped(&layer, CapabilityReason::Other, Some(failure), online);
        (layer, reason)
    };
    std::mem::take(&mut request.layers).into_iter().map(refused).collect()
}

/// Asks a service and plans its layers.
pub(super) async fn plan_group(
    index: usize,
    group: Group,
    asked: PlanRequest<'_>,
    ctx: &PlanContext,
) -> Result<Planned, Failure> {
    let PlanRequest { inputs, source, parameters, online } = asked;
    let overrides = inputs.overrides;
    let Group { exporter, key, layers, networks } = group;
    let mut request = ServiceRequest { service_url: key.service_url.clone(), layers, source, parameters, networks };
    let nothing = |exporter, key, skipped| Planned {
        exporter,
        key,
        task: None,
        skipped,
        refused: Vec::new(),
        networks: Vec::new(),
        warnings: Vec::new(),
    };
    if let Some(forbidden) = forbidden(&*exporter, &request, online) {
        return Ok(Planned { refused: forbidden, networks: request.networks, ..nothing(exporter, key, Vec::new()) });
    }
    let found = match exporter.describe(&request, ctx).await {
        Ok(found) => found,
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(failure) => {
            let skipped = all_skipped(&failure, CapabilityReason::ServiceNotUsable, &request.layers);
            return Ok(nothing(exporter, key, skipped));
        }
    };
    let (refused, unknown) = divide(&mut request, &found, exporter.name(), online);
    let mut planned = Planned { refused, ..nothing(exporter, key, unknown) };
    if request.layers.is_empty() {
        planned.networks = request.networks;
        return Ok(planned);
    }
    let service = Service { exporter: &*planned.exporter, key: &planned.key, overrides, found: &found };
    let mut left = Vec::new();
    match service.plan(&mut request, &mut left, ctx).await {
        Ok((_, task)) if service.is_doubtful(&task, &request, inputs) => {
            planned.refused.extend(all_refused(&task, &mut request, online));
            planned.networks = request.networks;
        }
        Ok((chosen, task)) => {
            let touched = touched(&request, &found, &task).await?;
            planned.warnings = task.warnings.clone();
            let (task, out) = assemble(index, &planned.key, &*planned.exporter, &request, found, chosen, task);
            left.extend(out);
            planned.warnings.extend(unlike_parameters(&task, &request.layers));
            shorten(&mut planned.warnings);
            planned.task = (!task.layers.is_empty()).then(|| (Box::new(task), touched));
        }
        Err(failure) if failure.is_cancelled() => return Err(failure),
        // What the caller wrote is wrong for the whole job; what the service answers concerns its layers.
        Err(failure) if service.chosen().is_some() && failure.kind == FailureKind::InvalidParameter => return Err(failure),
        Err(failure) => left.extend(all_skipped(&failure, reason_of(&failure), &request.layers)),
    }
    planned.skipped.extend(left);
    Ok(planned)
}

/// Why the layers of a host whose terms forbid it are not downloaded directly or drawn: it is not even asked what it has. A template may stand for
/// several hosts, each of which its exporter judges.
fn forbidden(
    exporter: &dyn ErasedExporter,
    request: &ServiceRequest,
    online: [bool; 2],
) -> Option<Vec<(MapLayer, SkippedLayer)>> {
    let hosts = &request.parameters.direct_download_hosts;
    // A request that is drawn has its placeholders in its query.
    let is_template = request.service_url.split(['?', '#']).next().is_some_and(|at| at.contains('{'));
    let is_past_export = exporter.downloads_directly() || exporter.draws_tiles();
    let is_forbidden = is_past_export && !is_template && hosts.refusal(&request.service_url).is_some();
    let refused = |layer: &MapLayer| {
        let words = hosts.refused(&layer.title, &request.service_url).unwrap_or_default();
        let online = online[usize::from(layer.is_table())];
        let reason = CapabilityReason::DirectDownloadForbidden;
        (layer.clone(), skipped(layer, reason, Some(Failure::not_supported(words)), online))
    };
    is_forbidden.then(|| request.layers.iter().map(refused).collect())
}

/// Takes the layers out of a request that the exporter refuses after the service described itself, and those of which it says
/// nothing.
fn divide(
    request: &mut ServiceRequest,
    found: &ServiceDescription,
    exporter: &str,
    online: [bool; 2],
) -> (Vec<(MapLayer, SkippedLayer)>, Vec<SkippedLayer>) {
    let (mut refused, mut unknown) = (Vec::new(), Vec::new());
    let capabilities: HashMap<&str, &Capability> = found.capabilities.iter().rev().map(|(id, c)| (id.as_str(), c)).collect();
    request.layers.retain(|layer| match capabilities.get(layer.id.as_str()) {
        Some(Capability::Supported) => true,
        Some(Capability::NotSupported(reason, failure)) => {
            let online = online[usize::from(layer.is_table())] && reason.is_online_only();
            refused.push((layer.clone(), skipped(layer, *reason, Some((**failure).clone()), online)));
            false
        }
        None => {
            let failure = Failure::internal(format!("exporter `{exporter}` said nothing of this layer"));
            unknown.push(skipped(layer, CapabilityReason::ServiceNotUsable, Some(failure), false));
            false
        }
    });
    (refused, unknown)
}

/// A service that described itself to an exporter.
struct Service<'a> {
    exporter: &'a dyn ErasedExporter,
    key: &'a OfflineMapParametersKey,
    overrides: &'a GenerateOfflineMapParameterOverrides,
    found: &'a ServiceDescription,
}

impl Service<'_> {
    /// The parameters that the caller wrote for it.
    fn chosen(&self) -> Option<&Value> {
        self.overrides.get(self.key)
    }

    /// Whether the service may refuse the export, and all layers may be downloaded directly. What the caller wrote for the export is tried.
    fn is_doubtful(&self, task: &TaskPlan, request: &ServiceRequest, inputs: PlanInputs<'_>) -> bool {
        let PlanInputs { registry, source, parameters, overrides } = inputs;
        let hosts = &parameters.direct_download_hosts;
        let has_other_way = |layer: &MapLayer| {
            let mut after = registry.after(self.exporter.name(), inputs.ways(&layer.id), layer, source);
            after.any(|(e, url)| {
                let may = e.downloads_directly() && hosts.refusal(&url).is_none();
                may && is_left_in(&OfflineMapParametersKey::new(url, e.parameters_type()), overrides)
            })
        };
        task.may_be_refused.is_some() && self.chosen().is_none() && request.layers.iter().all(has_other_way)
    }

    /// The caller's parameters, else those that follow from the layers of the request.
    fn parameters(&self, request: &ServiceRequest) -> Result<Value, Failure> {
        let parameters = match self.chosen() {
            Some(chosen) => chosen.clone(),
            None => self.exporter.default_parameters(request, self.found)?,
        };
        networks::with_entries(parameters, &request.networks, self.key, self.overrides)
    }

    /// Lets the exporter plan. A number that cannot be is its layer's failure: the others are planned without it, once.
    async fn plan(
        &self,
        request: &mut ServiceRequest,
        left: &mut Vec<SkippedLayer>,
        ctx: &PlanContext,
    ) -> Result<(Value, TaskPlan), Failure> {
        let mut parameters = self.parameters(request)?;
        let mut task = self.exporter.plan(request, self.found, &parameters, ctx).await?;
        for again in [self.chosen().is_none(), false] {
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
                parameters = self.parameters(request)?;
                task = self.exporter.plan(request, self.found, &parameters, ctx).await?;
            }
        }
        Ok((parameters, task))
    }
}

/// Whether the area touches what the service has.
async fn touched(request: &ServiceRequest, found: &ServiceDescription, task: &TaskPlan) -> Result<bool, Failure> {
    // What was counted inside the area outweighs what a service says of its extent.
    let counted = task.layers.iter().any(|l| l.exact && l.expected.is_some_and(|n| n > 0));
    match found.extent.clone().filter(|_| !counted && !task.is_empty) {
        None => Ok(true),
        Some(extent) => {
            let area = request.parameters.area_of_interest.clone();
            run_blocking(move || Ok(touches(&extent, &area))).await
        }
    }
}

fn touches(extent: &Envelope, area: &AreaOfInterest) -> bool {
    let Some(spatial_reference) = &extent.spatial_reference else { return true };
    // An extent may go on beyond the dateline as an area may.
    let extents: Vec<_> = AreaOfInterest::from(extent.clone()).parts().iter().filter_map(AreaOfInterest::envelope).collect();
    match area.parts_in(spatial_reference) {
        Ok(parts) => parts.iter().any(|part| {
            let polygon = part.polygon();
            extents.iter().any(|extent| polygon.intersects_envelope(extent))
        }),
        Err(_) => true,
    }
}
