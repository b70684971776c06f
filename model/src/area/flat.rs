//! Areas as other software writes them in Esri JSON: with Z and M, and with curves.

use crate::geometry::{Envelope, Polygon};
use serde::Deserialize;
use serde_json::Value;

/// An area whose coordinates are X and Y only.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Flat {
    Envelope(Envelope),
    Polygon(Polygon),
}

/// Members by which Esri JSON holds curves in place of straight lines.
const CURVES: [&str; 2] = ["curveRings", "curvePaths"];

/// Takes Z and M away, so that X and Y are left. Refuses curves: without their bends they would be another area.
pub(super) fn flat(mut value: Value) -> Result<Value, String> {
    let curved = |name: &str| {
        format!(
            "the area has curves (`{name}`), which are not supported; give it with straight lines (densify it, then write `rings`)"
        )
    };
    if let Some(name) = CURVES.into_iter().find(|name| value.get(*name).is_some_and(|v| !v.is_null())) {
        return Err(curved(name));
    }
    for ring in value.get_mut("rings").and_then(Value::as_array_mut).into_iter().flatten() {
        for point in ring.as_array_mut().into_iter().flatten() {
            match point {
                Value::Array(numbers) => numbers.truncate(2),
                // A segment of a curve stands where its end point would be.
                Value::Object(_) => return Err(curved("rings")),
                _ => {}
            }
        }
    }
    Ok(value)
}
