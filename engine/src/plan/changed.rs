//! Plans tasks anew whose data changed on their service since the plan was made.

use super::assemble::assemble;
use super::networks;
use super::warnings::shorten;
use crate::exporter::{PlanContext, ServiceRequest};
use crate::registry::ExporterRegistry;
use offmap_model::{ExportTask, Failure, MapLayer, OfflineMapPlan, OfflineMapSource};
use std::collections::HashMap;
use std::sync::Arc;

/// Tasks whose data changed on their service since the plan was made, planned anew, but for those whose exporter goes on all the same. A
/// service that does not answer changes nothing; the export will fail by itself. A task that cannot be planned anew, or not with all of
/// its layers, stays as it is with what was fetched for it, and a warning of the plan says so.
pub(crate) async fn changed_since(
    registry: &ExporterRegistry,
    source: &Arc<OfflineMapSource>,
    plan: &mut OfflineMapPlan,
    ctx: &PlanContext,
) -> Result<Vec<(usize, ExportTask)>, Failure> {
    let mut changed = Vec::new();
    let mut warnings = Vec::new();
    let layers = source.web_map.layers();
    let layers: HashMap<&str, (usize, &MapLayer)> = (0..).zip(layers).map(|(at, l)| (l.id.as_str(), (at, l))).collect();
    for (index, task) in plan.tasks.iter().enumerate().filter(|(_, t)| t.edit_date.is_some() && !t.carried) {
        let exporter = registry.by_name(&task.exporter)?;
        if exporter.outlasts_edits() {
            continue;
        }
        let request = request_of(task, source, &layers, plan);
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

/// The layers of a task as they are asked for.
fn request_of(
    task: &ExportTask,
    source: &Arc<OfflineMapSource>,
    layers: &HashMap<&str, (usize, &MapLayer)>,
    plan: &OfflineMapPlan,
) -> ServiceRequest {
    let mut layers: Vec<_> = task.layers.iter().filter_map(|t| layers.get(t.id.as_str())).collect();
    layers.sort_by_key(|(at, _)| *at);
    ServiceRequest {
        service_url: task.key.service_url.clone(),
        layers: layers.into_iter().map(|(_, layer)| (*layer).clone()).collect(),
        source: Arc::clone(source),
        parameters: Arc::new(plan.parameters.clone()),
        networks: networks::of_task(task, source),
    }
}
