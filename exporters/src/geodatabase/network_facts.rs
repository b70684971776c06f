//! What a service's description says of a utility network.
//!
//! That a layer is data of the network is told by the fields that every source of one has.

use serde_json::Value;

/// Fields that every source of a utility network has.
const FIELDS: [&str; 2] = ["ASSETGROUP", "ASSETTYPE"];

/// The release of a server, as a number or text.
pub(super) fn version(service: &Value) -> f64 {
    let found = service.get("currentVersion");
    let number = found.and_then(|v| v.as_f64().or_else(|| v.as_str()?.parse().ok()));
    number.filter(|n: &f64| n.is_finite()).unwrap_or(0.0)
}

/// The layer of a service's utility network.
pub(super) fn layer_of(service: &Value) -> Option<u32> {
    let id = service.pointer("/controllerDatasetLayers/utilityNetworkLayerId")?.as_u64()?;
    u32::try_from(id).ok()
}

/// Whether a layer is data of a utility network.
pub(super) fn is_data(layer: &Value) -> bool {
    let fields = layer.get("fields").and_then(Value::as_array);
    let has = |name: &str| {
        let mut names = fields.into_iter().flatten().filter_map(|f| f.get("name").and_then(Value::as_str));
        names.any(|n| n.eq_ignore_ascii_case(name))
    };
    FIELDS.into_iter().all(has)
}
