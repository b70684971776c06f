//! The area of a query or replica.

use crate::answer::{Rest, RestError};
use crate::extent::from_numbers;
use crate::request::Call;
use offmap_model::{AreaOfInterest, Polygon, SpatialReference};
use serde_json::json;

fn spatial_reference_of(call: &Call) -> SpatialReference {
    let wkid = call.text("inSR").and_then(|t| t.parse().ok());
    let json = || serde_json::from_value(call.json("inSR")?).ok();
    wkid.map(SpatialReference::from_wkid).or_else(json).unwrap_or_else(SpatialReference::web_mercator)
}

/// The area in Web Mercator; without a spatial reference the numbers are in the service's own.
pub(crate) fn area_of(call: &Call) -> Rest<Option<Polygon>> {
    let Some(text) = call.text("geometry") else { return Ok(None) };
    let invalid = || RestError::new(400, "'geometry' parameter is invalid");
    let area: AreaOfInterest = if text.trim_start().starts_with('{') {
        let mut json = call.json("geometry").ok_or_else(invalid)?;
        if let Some(json) = json.as_object_mut() {
            json.entry("spatialReference").or_insert_with(|| json!(spatial_reference_of(call)));
        }
        serde_json::from_value(json).map_err(|_| invalid())?
    } else {
        from_numbers(text, spatial_reference_of(call)).ok_or_else(invalid)?.into()
    };
    let area = area.project(&SpatialReference::web_mercator()).map_err(|f| RestError::new(400, &f.message))?;
    Ok(Some(area.polygon()))
}
