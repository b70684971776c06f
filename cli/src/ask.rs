//! `offmap check` and `offmap plan`.

use crate::arguments::{Ask, Plan};
use crate::interrupt::or_interrupted;
use crate::plan_text;
use crate::setup;
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, Tone, fitted, out_behind, title_columns};
use offmap::arcgis::portal::ReadLimits;
use offmap::{CapabilityReason, GenerateOfflineMapParameterOverrides, LayerCapability};
use serde_json::{Value, json};

pub(crate) async fn check(arguments: Ask) -> Result<u8, Stop> {
    let setup = setup::prepare(&arguments.map, &arguments.access, &ReadLimits::default()).await?;
    let capabilities = or_interrupted(setup.task.capabilities_with_overrides(&setup.parameters, &setup.overrides)).await?;
    let all = || capabilities.layer_capabilities.iter().chain(&capabilities.table_capabilities);
    if arguments.json {
        let lacking: Vec<String> = all().filter(|c| c.is_error()).map(|c| format!("{}: {}", c.title, why(c))).collect();
        let json = json!({"hasErrors": capabilities.has_errors(), "lacking": lacking,
            "layerCapabilities": capabilities.layer_capabilities, "tableCapabilities": capabilities.table_capabilities});
        terminal::json(&json);
    } else {
        let title = title_columns(all().map(|c| c.title.as_str()), 34);
        for capability in all() {
            let (tone, word) = word(capability);
            out_behind(tone, &format!("{word:<8} {}  ", fitted(&capability.title, title)), &why(capability));
        }
    }
    Ok(if capabilities.has_errors() { INCOMPLETE } else { 0 })
}

fn word(capability: &LayerCapability) -> (Tone, &'static str) {
    match (capability.supports_offline, capability.remains_online) {
        (true, _) => (Tone::Good, "yes"),
        (false, true) => (Tone::Plain, "online"),
        (false, false) if capability.reason == Some(CapabilityReason::LeftOut) => (Tone::Plain, "left out"),
        (false, false) => (Tone::Bad, "no"),
    }
}

fn why(capability: &LayerCapability) -> String {
    match (&capability.failure, &capability.exporter) {
        (Some(failure), _) => match (&capability.direct_download, &capability.draw_tiles) {
            (Some(exporter), _) => {
                format!("{failure}; direct download would work (by {exporter}): give --direct when-not-exportable")
            }
            (None, Some(exporter)) => {
                format!("{failure}; drawing would work (by {exporter}): give --draw-tiles {}", capability.id)
            }
            (None, None) => failure.to_string(),
        },
        (None, Some(exporter)) => format!("{} by {exporter}", capability.layer_type),
        (None, None) => capability.layer_type.clone(),
    }
}

pub(crate) async fn plan(arguments: Plan) -> Result<u8, Stop> {
    let setup = setup::prepare(&arguments.ask.map, &arguments.ask.access, &ReadLimits::default()).await?;
    let plan = or_interrupted(setup.task.plan(&setup.parameters, &setup.overrides)).await?;
    if arguments.overrides_template {
        terminal::json(&json!(GenerateOfflineMapParameterOverrides::from_plan(&plan)));
    } else if arguments.ask.json {
        let mut json = json!({"plan": plan, "bytes": plan.bytes()});
        // A picture of a hundred kilobytes as text; the portal has it.
        if let Some(item) = json.pointer_mut("/plan/parameters/itemInfo").and_then(Value::as_object_mut) {
            item.remove("thumbnail");
        }
        terminal::json(&json);
    } else {
        plan_text::tell(&plan);
    }
    Ok(0)
}
