//! Areas as they are written: four numbers, Esri JSON, GeoJSON.

use super::area_of_interest::AreaOfInterest;
use super::esri::esri_area;
use super::geojson::geojson_polygons;
use super::limits::{MOST_VERTICES, SIMPLIFY};
use super::union::one_of;
use crate::failure::Failure;
use crate::geometry::{Envelope, SpatialReference};
use crate::json::{JsonBudget, Unread};
use serde_json::Value;

/// Largest text of an area: the most vertices, each with space for its numbers.
const LARGEST_AREA: JsonBudget = JsonBudget { bytes: 32 << 20, values: 4 * MOST_VERTICES + 10_000 };

fn bad(message: impl Into<String>) -> Failure {
    Failure::invalid_parameter(message)
}

impl AreaOfInterest {
    /// Reads `xmin,ymin,xmax,ymax[,wkid]`; the wkid is 4326 (degrees) if left out.
    ///
    /// # Errors
    /// If the text has not four or five numbers, or the area cannot be used (see [`AreaOfInterest::check`]).
    pub fn from_numbers(text: &str) -> Result<Self, Failure> {
        let way = "write xmin,ymin,xmax,ymax[,wkid], for instance 5.9,45.8,10.5,47.8";
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if !(4..=5).contains(&parts.len()) {
            return Err(bad(format!("area `{text}` has {} numbers, expected four or five: {way}", parts.len())));
        }
        let mut numbers = [0.0; 4];
        for (slot, part) in numbers.iter_mut().zip(&parts) {
            *slot = part.parse().map_err(|_| bad(format!("area `{text}`: `{part}` is not a number: {way}")))?;
        }
        let wkid = match parts.get(4) {
            Some(part) => part.parse().map_err(|_| bad(format!("area `{text}`: `{part}` is not a wkid: {way}")))?,
            None => 4326,
        };
        let [xmin, ymin, xmax, ymax] = numbers;
        let area = Self::Envelope(Envelope::new(xmin, ymin, xmax, ymax, SpatialReference::from_wkid(wkid)));
        area.check()?;
        Ok(area)
    }

    /// Reads an Esri geometry, feature or feature set, or a GeoJSON polygon, multipolygon, feature or collection.
    ///
    /// GeoJSON is longitude, latitude in WGS84 (RFC 7946 §4). Several polygons are united: the area is what lies in any of them.
    ///
    /// # Errors
    /// If the text is neither, or the area cannot be used (see [`AreaOfInterest::check`]).
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        let text = text.trim_start_matches('\u{feff}');
        let value = LARGEST_AREA.read(text.as_bytes()).map_err(|unread| match unread {
            Unread::NotJson(e) => bad(format!("the area is not JSON: {e}")),
            too_much => {
                bad(format!("the area is too large: {too_much}; an area has at most {MOST_VERTICES} vertices: {SIMPLIFY}"))
            }
        })?;
        let area = if value.get("type").and_then(Value::as_str).is_some_and(|t| t != "extent" && t != "polygon") {
            let mut polygons = Vec::new();
            geojson_polygons(&value, &mut polygons)?;
            Self::Polygon(one_of(polygons, Some(SpatialReference::wgs84()))?)
        } else {
            esri_area(value)?
        };
        area.check()?;
        Ok(area)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::signed_area;

    fn words(result: Result<AreaOfInterest, Failure>) -> String {
        result.expect_err("refused").message
    }

    #[test]
    fn an_area_without_a_spatial_reference_is_refused() {
        let text = r#"{"xmin":5,"ymin":45,"xmax":10,"ymax":48}"#;
        assert!(words(AreaOfInterest::from_json(text)).contains("no spatial reference"));
        let empty = r#"{"xmin":5,"ymin":45,"xmax":10,"ymax":48,"spatialReference":{}}"#;
        assert!(words(AreaOfInterest::from_json(empty)).contains("no spatial reference"));
    }

    #[test]
    fn empty_inverted_and_outside_areas_are_refused_by_name() {
        assert!(words(AreaOfInterest::from_numbers("5,45,5,48")).contains("empty"));
        assert!(words(AreaOfInterest::from_numbers("5,48,10,45")).contains("inverted"));
        assert!(words(AreaOfInterest::from_numbers("20,43,2,52")).contains("inverted"), "nobody means 342 degrees");
        assert!(words(AreaOfInterest::from_numbers("400000,5000000,300000,5100000,32632")).contains("inverted"));
        assert!(words(AreaOfInterest::from_numbers("45,5,48,100")).contains("outside the earth"));
        assert!(words(AreaOfInterest::from_numbers("1,2,3")).contains("has 3 numbers"));
        assert!(words(AreaOfInterest::from_numbers("1,2,3,NaN")).contains("not a number"));
        assert!(words(AreaOfInterest::from_numbers("1,2,3,4,32")).contains("wkid 32, which"));
        assert!(words(AreaOfInterest::from_numbers("1,2,3,4,4267")).contains("grid"));
        assert!(words(AreaOfInterest::from_json(r#"{"type":"Polygon","coordinates":[]}"#)).contains("no rings"));
        assert!(words(AreaOfInterest::from_json(r#"{"type":"Point","coordinates":[1,2]}"#)).contains("`Point`"));
        assert!(words(AreaOfInterest::from_json("[1]")).contains("neither Esri JSON"));
    }

    #[test]
    fn geojson_rings_turn_to_esri_order() {
        let text = r#"{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":
            [[[0,0],[10,0],[10,10],[0,10],[0,0]],[[2,2],[2,4],[4,4],[4,2],[2,2]]]}}"#;
        let AreaOfInterest::Polygon(p) = AreaOfInterest::from_json(text).expect("reads") else { panic!("a polygon") };
        assert!(signed_area(&p.rings[0]) < 0.0 && signed_area(&p.rings[1]) > 0.0);
        assert!(p.spatial_reference.expect("wgs84").is_wgs84());
    }

    #[test]
    fn the_extent_of_an_area_is_in_degrees() {
        let area = AreaOfInterest::from_numbers("0,0,1113194.9079327357,1118889.9748579594,102100").expect("reads");
        let [[a, b], [c, d]] = area.wgs84_extent().expect("projects");
        assert!(a.abs() < 1e-9 && b.abs() < 1e-9 && (c - 10.0).abs() < 1e-6 && (d - 10.0).abs() < 1e-6);
    }
}
