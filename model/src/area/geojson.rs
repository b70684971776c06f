//! Areas in GeoJSON (RFC 7946): the polygons of a geometry, feature or collection.

use super::rings::Ring;
use crate::failure::Failure;
use crate::geometry::signed_area;
use serde_json::Value;

fn bad(message: impl Into<String>) -> Failure {
    Failure::invalid_parameter(message)
}

/// The polygons of a geometry, feature or collection, each as its rings.
pub(super) fn geojson_polygons(value: &Value, polygons: &mut Vec<Vec<Ring>>) -> Result<(), Failure> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "FeatureCollection" => {
            for feature in value.get("features").and_then(Value::as_array).into_iter().flatten() {
                geojson_polygons(feature, polygons)?;
            }
            Ok(())
        }
        "GeometryCollection" => {
            for geometry in value.get("geometries").and_then(Value::as_array).into_iter().flatten() {
                geojson_polygons(geometry, polygons)?;
            }
            Ok(())
        }
        "Feature" => geojson_polygons(value.get("geometry").unwrap_or(&Value::Null), polygons),
        "Polygon" => push_polygon(value.get("coordinates").unwrap_or(&Value::Null), polygons),
        "MultiPolygon" => {
            for polygon in value.get("coordinates").and_then(Value::as_array).into_iter().flatten() {
                push_polygon(polygon, polygons)?;
            }
            Ok(())
        }
        other => Err(bad(format!("the area is a GeoJSON `{other}`, expected a Polygon or MultiPolygon"))),
    }
}

fn push_polygon(coordinates: &Value, polygons: &mut Vec<Vec<Ring>>) -> Result<(), Failure> {
    let wrong = || bad("a ring of the GeoJSON area is not a list of [longitude, latitude]");
    let mut rings = Vec::new();
    for (i, ring) in coordinates.as_array().ok_or_else(wrong)?.iter().enumerate() {
        let mut points = Vec::new();
        for position in ring.as_array().ok_or_else(wrong)? {
            let axis = |k: usize| position.get(k).and_then(Value::as_f64);
            points.push([axis(0).ok_or_else(wrong)?, axis(1).ok_or_else(wrong)?]);
        }
        // GeoJSON has outer rings counter-clockwise, Esri JSON clockwise.
        if (signed_area(&points) > 0.0) == (i == 0) {
            points.reverse();
        }
        rings.push(points);
    }
    polygons.push(rings);
    Ok(())
}
