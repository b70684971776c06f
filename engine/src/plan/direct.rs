//! Which layers could be downloaded directly, though their `directDownload` is `never`.

use super::check::exporters_parameters;
use super::group::Groups;
use super::inputs::PlanInputs;
use super::service::{PlanRequest, plan_group};
use crate::exporter::PlanContext;
use futures_util::{StreamExt as _, TryStreamExt as _};
use offmap_model::{CapabilityReason, DirectDownload, Failure, MapLayer, OfflineMapParametersKey, OfflineMapPlan};
use std::collections::HashMap;
use std::sync::Arc;

/// Services that are asked at a time.
const ASKED_AT_A_TIME: usize = 4;

/// The layers of a plan that cannot go offline, but could with `directDownload` `whenNotExportable`: layer id → name of the exporter. Their
/// services are asked as for a plan. Layers that stay behind on purpose, or whose service does not answer, are asked for by nobody.
pub(crate) async fn offer_direct(
    inputs: PlanInputs<'_>,
    plan: &OfflineMapPlan,
    ctx: &PlanContext,
) -> Result<HashMap<String, &'static str>, Failure> {
    let PlanInputs { registry, source, parameters, .. } = inputs;
    let is_asked_for = |reason| !matches!(reason, CapabilityReason::LeftOut | CapabilityReason::ServiceNotUsable);
    let refused = plan.skipped.iter().filter(|s| is_asked_for(s.reason));
    let refused = refused.filter(|s| inputs.direct_download(&s.id) == DirectDownload::Never);
    let layers: HashMap<String, MapLayer> = source.web_map.layers().into_iter().map(|l| (l.id.clone(), l)).collect();
    let mut groups = Groups::default();
    for layer in refused.filter_map(|s| layers.get(&s.id)) {
        let mut all = registry.supporting(DirectDownload::Always, layer, source);
        if let Some((exporter, url)) = all.next().filter(|(e, _)| e.downloads_directly()) {
            let key = OfflineMapParametersKey::new(url, exporter.parameters_type());
            groups.add(exporter, key, layer.clone());
        }
    }
    let groups = groups.into_all();
    if groups.is_empty() {
        return Ok(HashMap::new());
    }
    let for_exporters = Arc::new(exporters_parameters(parameters, &ctx.cancel).await?);
    let work = groups.into_iter().enumerate().map(|(i, group)| {
        let (source, parameters) = (Arc::clone(source), Arc::clone(&for_exporters));
        plan_group(i, group, PlanRequest { inputs, source, parameters, online: [false; 2] }, ctx)
    });
    let planned: Vec<_> = futures_util::stream::iter(work).buffered(ASKED_AT_A_TIME).try_collect().await?;
    let names = planned.into_iter().filter_map(|p| Some((p.exporter.name(), p.task?.0)));
    Ok(names.flat_map(|(name, task)| task.layers.into_iter().map(move |l| (l.id, name))).collect())
}
