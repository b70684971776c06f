//! `offmap check` and `offmap plan`.

use crate::arguments::{Ask, Plan};
use crate::interrupt::or_interrupted;
use crate::setup;
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, out};
use offmap::arcgis::portal::ReadLimits;
use offmap::{
    BytesSource, CapabilityReason, CountUnit, GenerateOfflineMapParameterOverrides, LayerCapability, OfflineMapPlan,
};
use serde_json::json;

pub(crate) async fn check(arguments: Ask) -> Result<u8, Stop> {
    let setup = setup::prepare(&arguments.map, &ReadLimits::default()).await?;
    let capabilities = or_interrupted(setup.task.capabilities_with_overrides(&setup.parameters, &setup.overrides)).await?;
    let all = || capabilities.layer_capabilities.iter().chain(&capabilities.table_capabilities);
    if arguments.json {
        let lacking: Vec<String> = all().filter(|c| c.is_error()).map(|c| format!("{}: {}", c.title, why(c))).collect();
        let json = json!({"hasErrors": capabilities.has_errors(), "lacking": lacking,
            "layerCapabilities": capabilities.layer_capabilities, "tableCapabilities": capabilities.table_capabilities});
        terminal::json(&json);
    } else {
        for capability in all() {
            out!("{:<8} {:<34} {}", word(capability), capability.title, why(capability));
        }
    }
    Ok(if capabilities.has_errors() { INCOMPLETE } else { 0 })
}

fn word(capability: &LayerCapability) -> &'static str {
    match (capability.supports_offline, capability.remains_online) {
        (true, _) => "yes",
        (false, true) => "online",
        (false, false) if capability.reason == Some(CapabilityReason::LeftOut) => "left out",
        (false, false) => "no",
    }
}

fn why(capability: &LayerCapability) -> String {
    match (&capability.failure, &capability.exporter) {
        (Some(failure), _) => failure.to_string(),
        (None, Some(exporter)) => format!("{} by {exporter}", capability.layer_type),
        (None, None) => capability.layer_type.clone(),
    }
}

pub(crate) async fn plan(arguments: Plan) -> Result<u8, Stop> {
    let setup = setup::prepare(&arguments.ask.map, &ReadLimits::default()).await?;
    let plan = or_interrupted(setup.task.plan(&setup.parameters, &setup.overrides)).await?;
    if arguments.overrides_template {
        terminal::json(&json!(GenerateOfflineMapParameterOverrides::from_plan(&plan)));
    } else if arguments.ask.json {
        terminal::json(&json!({"plan": plan, "bytes": plan.bytes()}));
    } else {
        tell(&plan);
    }
    Ok(0)
}

fn tell(plan: &OfflineMapPlan) {
    for task in &plan.tasks {
        out!("{} \"{}\" {}", task.exporter, task.title, task.key.service_url);
        for layer in &task.layers {
            let unit = match task.count_unit {
                CountUnit::Features => "rows",
                CountUnit::Tiles => "tiles",
                CountUnit::Items => "items",
            };
            let count = match (layer.expected, layer.exact) {
                (Some(n), true) => format!("{n} {unit}"),
                (Some(n), false) => format!("up to {n} {unit}"),
                (None, _) => "related rows".to_owned(),
            };
            let photos = layer.attachments.filter(|n| *n > 0).map_or_else(String::new, |n| format!(", {n} attachments"));
            out!("    {:<34} {count}{photos}", layer.title);
        }
        for level in &task.levels {
            out!("    level {:<3} 1:{:<12.0} {:>9} tiles", level.level_id, level.scale, level.tiles);
        }
        for limit in &task.limits {
            let exceeded = if limit.needed > limit.limit { " (exceeded)" } else { "" };
            out!("    {} {} of {}{exceeded}", limit.name, limit.needed, limit.limit);
        }
        if let Some(bytes) = task.bytes {
            let from = match task.bytes_from {
                BytesSource::ServiceEstimate => "by the service's estimate",
                BytesSource::Samples => "by samples",
                _ => "by typical sizes",
            };
            out!("    {} to {} bytes {from}, {} requests or more", bytes.min, bytes.max, task.requests);
        }
    }
    for skipped in &plan.skipped {
        let why = skipped.failure.as_ref().map_or_else(|| "left out".to_owned(), ToString::to_string);
        out!("without {:<30} {why}", skipped.title);
    }
    for warning in &plan.warnings {
        out!("note: {warning}");
    }
    let bytes = plan.bytes();
    out!("in all {} to {} bytes, estimated", bytes.min, bytes.max);
}
