//! The metadata of a file under the key `geo`.
//!
//! Source: GeoParquet 1.1.0, "File metadata" and "Column metadata"; PROJJSON 0.7.

use super::columns::CORNERS;
use crate::features::GeometryField;
use crate::geometry::GeometryKind;
use offmap_model::SpatialReference;
use serde_json::{Map, Value, json};

/// What is said of a spatial reference.
pub(super) enum Crs {
    /// WGS84 degrees, longitude first: what is meant where nothing is said.
    Usual,
    Known(Value),
    /// One that cannot be written as PROJJSON here.
    Unknown,
}

fn wgs84() -> Value {
    json!({
        "type": "GeographicCRS", "name": "WGS 84",
        "datum": { "type": "GeodeticReferenceFrame", "name": "World Geodetic System 1984",
            "ellipsoid": { "name": "WGS 84", "semi_major_axis": 6_378_137, "inverse_flattening": 298.257_223_563 } },
        "coordinate_system": { "subtype": "ellipsoidal", "axis": [
            { "name": "Geodetic latitude", "abbreviation": "Lat", "direction": "north", "unit": "degree" },
            { "name": "Geodetic longitude", "abbreviation": "Lon", "direction": "east", "unit": "degree" } ] },
        "id": { "authority": "EPSG", "code": 4326 },
    })
}

fn parameter(name: &str, value: f64, unit: &str, code: u32) -> Value {
    json!({ "name": name, "value": value, "unit": unit, "id": { "authority": "EPSG", "code": code } })
}

fn projected(name: &str, conversion: Value, axes: [&str; 2], code: u32) -> Value {
    let axis = |name: &str, short: &str, direction: &str| json!({ "name": name, "abbreviation": short, "direction": direction, "unit": "metre" });
    json!({
        "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json", "type": "ProjectedCRS", "name": name, "base_crs": wgs84(),
        "conversion": conversion,
        "coordinate_system": { "subtype": "Cartesian", "axis": [axis("Easting", axes[0], "east"), axis("Northing", axes[1], "north")] },
        "id": { "authority": "EPSG", "code": code },
    })
}

fn web_mercator() -> Value {
    let conversion = json!({
        "name": "Popular Visualisation Pseudo-Mercator",
        "method": { "name": "Popular Visualisation Pseudo Mercator", "id": { "authority": "EPSG", "code": 1024 } },
        "parameters": [
            parameter("Latitude of natural origin", 0.0, "degree", 8801),
            parameter("Longitude of natural origin", 0.0, "degree", 8802),
            parameter("False easting", 0.0, "metre", 8806),
            parameter("False northing", 0.0, "metre", 8807),
        ],
    });
    projected("WGS 84 / Pseudo-Mercator", conversion, ["X", "Y"], 3857)
}

/// The zone of UTM on WGS84 of a number: EPSG 32601 to 32660 in the north, 32701 to 32760 in the south.
fn utm(code: u32) -> Option<Value> {
    let (zone, letter, northing) = match code {
        32_601..=32_660 => (code - 32_600, 'N', 0.0),
        32_701..=32_760 => (code - 32_700, 'S', 10_000_000.0),
        _ => return None,
    };
    let conversion = json!({
        "name": format!("UTM zone {zone}{letter}"),
        "method": { "name": "Transverse Mercator", "id": { "authority": "EPSG", "code": 9807 } },
        "parameters": [
            parameter("Latitude of natural origin", 0.0, "degree", 8801),
            parameter("Longitude of natural origin", f64::from(zone) * 6.0 - 183.0, "degree", 8802),
            parameter("Scale factor at natural origin", 0.9996, "unity", 8805),
            parameter("False easting", 500_000.0, "metre", 8806),
            parameter("False northing", northing, "metre", 8807),
        ],
    });
    Some(projected(&format!("WGS 84 / UTM zone {zone}{letter}"), conversion, ["E", "N"], code))
}

/// That of a spatial reference.
pub(super) fn crs(reference: &SpatialReference) -> Crs {
    match reference {
        r if r.is_wgs84() => Crs::Usual,
        r if r.is_web_mercator() => Crs::Known(web_mercator()),
        r => r.id().and_then(utm).map_or(Crs::Unknown, Crs::Known),
    }
}

/// The words of a file with shapes.
pub(super) fn geo(field: &GeometryField, box_name: &str, has_shapes: bool, extent: Option<[f64; 4]>) -> Value {
    let kind = match field.kind {
        GeometryKind::Point => "Point",
        GeometryKind::Multipoint => "MultiPoint",
        GeometryKind::Line => "MultiLineString",
        GeometryKind::Polygon => "MultiPolygon",
    };
    let kinds: Vec<String> =
        if has_shapes { vec![format!("{kind}{}", if field.has_z { " Z" } else { "" })] } else { Vec::new() };
    let covering: Map<String, Value> =
        CORNERS.iter().map(|corner| ((*corner).to_owned(), json!([box_name, corner]))).collect();
    let mut column = json!({ "encoding": "WKB", "geometry_types": kinds, "covering": { "bbox": covering } });
    match crs(&field.spatial_reference) {
        Crs::Usual => {}
        Crs::Known(known) => column["crs"] = known,
        Crs::Unknown => column["crs"] = Value::Null,
    }
    if let Some(extent) = extent {
        column["bbox"] = json!(extent);
    }
    json!({ "version": "1.1.0", "primary_column": field.name, "columns": { &field.name: column } })
}
