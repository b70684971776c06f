//! Extents as services state them.

use offmap_model::{Envelope, SpatialReference};
use serde_json::{Value, json};

/// The extent of a service with rows or tiles: all of Web Mercator.
pub(crate) fn world_extent() -> Value {
    json!({"xmin": -20_037_508.342_787, "ymin": -20_037_508.342_787, "xmax": 20_037_508.342_787, "ymax": 20_037_508.342_787,
        "spatialReference": SpatialReference::web_mercator()})
}

/// The extent of a service without rows, as ArcGIS Server writes it.
pub(crate) fn no_extent() -> Value {
    json!({"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN", "spatialReference": SpatialReference::web_mercator()})
}

/// An envelope in Web Mercator, as JSON.
pub(crate) fn web_mercator_json(e: &Envelope) -> Value {
    json!({"xmin": e.xmin, "ymin": e.ymin, "xmax": e.xmax, "ymax": e.ymax, "spatialReference": SpatialReference::web_mercator()})
}

/// An envelope written as four numbers with commas.
pub(crate) fn from_numbers(text: &str, spatial_reference: SpatialReference) -> Option<Envelope> {
    let numbers: Vec<f64> = text.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let [xmin, ymin, xmax, ymax] = numbers.as_slice() else { return None };
    Some(Envelope::new(*xmin, *ymin, *xmax, *ymax, spatial_reference))
}
