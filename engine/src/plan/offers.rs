//! Which layers could be downloaded directly or drawn, though nobody allowed it.

use super::check::exporters_parameters;
use super::group::Groups;
use super::inputs::PlanInputs;
use super::service::{PlanRequest, plan_group};
use crate::exporter::PlanContext;
use crate::ways::{Way, Ways};
use futures_util::{StreamExt as _, TryStreamExt as _};
use offmap_model::{
    CapabilityReason, DirectDownload, Failure, MapLayer, OfflineMapParametersKey, OfflineMapPlan, SkippedLayer,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Services that are asked at a time.
const ASKED_AT_A_TIME: usize = 4;

/// Layer id → name of the exporter.
type Offered = HashMap<String, &'static str>;

/// What the layers of a plan could that cannot go offline.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Be downloaded directly, with `directDownload` `whenNotExportable`.
    pub(crate) direct: Offered,
    /// Be drawn, with `drawTiles`; those that could be downloaded directly are not among them.
    pub(crate) drawn: Offered,
}

/// The layers of a plan that cannot go offline, but could if it were allowed. Their services are asked as for a plan. Layers that stay
/// behind on purpose, or whose service does not answer, are asked for by nobody.
pub(crate) async fn offers(inputs: PlanInputs<'_>, plan: &OfflineMapPlan, ctx: &PlanContext) -> Result<Offers, Failure> {
    let is_asked_for = |reason| !matches!(reason, CapabilityReason::LeftOut | CapabilityReason::ServiceNotUsable);
    let refused: Vec<&SkippedLayer> = plan.skipped.iter().filter(|s| is_asked_for(s.reason)).collect();
    let never = refused.iter().map(|s| s.id.as_str()).filter(|id| inputs.direct_download(id) == DirectDownload::Never);
    let direct = offered(inputs, never, Way::Direct, ctx).await?;
    let others = refused.iter().map(|s| s.id.as_str()).filter(|id| !inputs.draws_tiles(id) && !direct.contains_key(*id));
    let drawn = offered(inputs, others, Way::Draw, ctx).await?;
    Ok(Offers { direct, drawn })
}

/// Those of some layers that the first exporter of a way could take.
async fn offered<'a>(
    inputs: PlanInputs<'_>,
    ids: impl Iterator<Item = &'a str>,
    way: Way,
    ctx: &PlanContext,
) -> Result<Offered, Failure> {
    let PlanInputs { registry, source, parameters, .. } = inputs;
    let layers: HashMap<&str, &MapLayer> = source.web_map.layers().iter().map(|l| (l.id.as_str(), l)).collect();
    let mut groups = Groups::default();
    for layer in ids.filter_map(|id| layers.get(id)) {
        let ways = Ways { direct: DirectDownload::Always, draws: true };
        let mut all = registry.supporting(ways, layer, source);
        if let Some((exporter, url)) = all.find(|(e, _)| Way::of(e.downloads_directly(), e.draws_tiles()) == way) {
            let key = OfflineMapParametersKey::new(url, exporter.parameters_type());
            groups.add(exporter, key, (*layer).clone());
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
