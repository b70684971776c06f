//! What a service's description says of a utility network.
//!
//! That a layer is data of the network is told by the fields that every source of one has.

use offmap_model::number;
use offmap_model::number::NotANumber;
use serde_json::Value;

/// Fields that every source of a utility network has.
const FIELDS: [&str; 2] = ["ASSETGROUP", "ASSETTYPE"];

/// The release of a server, as a number or text.
pub(crate) fn version(service: &Value) -> f64 {
    service.get("currentVersion").and_then(number::read).unwrap_or(0.0)
}

/// The layer of a service's utility network.
pub(crate) fn layer_of(service: &Value) -> Result<Option<u32>, NotANumber> {
    let layers = service.get("controllerDatasetLayers").unwrap_or(&Value::Null);
    number::member(layers, "utilityNetworkLayerId")
}

/// Whether a layer is data of a utility network.
pub(crate) fn is_data(layer: &Value) -> bool {
    let fields = layer.get("fields").and_then(Value::as_array);
    let has = |name: &str| {
        let mut names = fields.into_iter().flatten().filter_map(|f| f.get("name").and_then(Value::as_str));
        names.any(|n| n.eq_ignore_ascii_case(name))
    };
    FIELDS.into_iter().all(has)
}
