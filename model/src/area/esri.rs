//! Areas in Esri JSON: an envelope, a polygon, a feature, or a set of features.

use super::area_of_interest::AreaOfInterest;
use super::flat::flat;
use super::union::one_of;
use crate::failure::Failure;
use serde_json::Value;

fn bad(message: impl Into<String>) -> Failure {
    Failure::invalid_parameter(message)
}

/// Reads an area; it is not checked yet.
pub(super) fn esri_area(mut value: Value) -> Result<AreaOfInterest, Failure> {
    if let Some(features) = value.get_mut("features").and_then(Value::as_array_mut) {
        let features = std::mem::take(features);
        let spatial_reference = value.get("spatialReference").cloned();
        return esri_feature_set(features, spatial_reference.as_ref());
    }
    if let Some(geometry) = value.get_mut("geometry") {
        return esri_area(geometry.take());
    }
    let value = flat(value).map_err(bad)?;
    if value.get("rings").is_none() && value.get("xmin").is_none() {
        return Err(bad(
            "the area is neither Esri JSON (an envelope with xmin, ymin, xmax, ymax or a polygon with rings) nor GeoJSON (a Polygon or MultiPolygon)",
        ));
    }
    serde_json::from_value(value).map_err(|_| {
        bad("the area is not an Esri envelope or polygon: its coordinates must be numbers, its rings lists of [x, y]")
    })
}

/// The features of a set as one area; one feature stays what it is.
fn esri_feature_set(features: Vec<Value>, spatial_reference: Option<&Value>) -> Result<AreaOfInterest, Failure> {
    let mut areas = Vec::new();
    for mut feature in features {
        if let (Some(known), Some(geometry)) =
            (spatial_reference, feature.get_mut("geometry").and_then(Value::as_object_mut))
        {
            geometry.entry("spatialReference").or_insert_with(|| known.clone());
        }
        areas.push(esri_area(feature)?);
    }
    if areas.len() == 1 {
        return areas.pop().ok_or_else(|| bad("the area's feature set has no features"));
    }
    let Some(first) = areas.first() else { return Err(bad("the area's feature set has no features, expected one or more")) };
    let spatial_reference = first.spatial_reference().cloned();
    let one = spatial_reference.clone().unwrap_or_default();
    let other =
        areas.iter().map(|a| a.spatial_reference().cloned().unwrap_or_default()).find(|s| *s != one && !s.same_as(&one));
    if let Some(other) = other {
        return Err(bad(format!("the features of the area are in {one} and in {other}, expected one spatial reference")));
    }
    let polygons = areas.into_iter().map(|a| a.unwrapped().polygon().rings).collect();
    Ok(AreaOfInterest::Polygon(one_of(polygons, spatial_reference)?))
}
