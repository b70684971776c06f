//! The area of interest: an envelope or polygon with a spatial reference, from Esri JSON, GeoJSON or four numbers.

use crate::area_json::{Flat, flat};
use crate::bounded_json::{JsonBudget, Unread};
use crate::failure::Failure;
use crate::geometry::{Envelope, Polygon, SpatialReference, signed_area};
use crate::projection::Projection;
use crate::union::united;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Most vertices of an area; more are refused.
pub const MOST_VERTICES: usize = 250_000;
const SIMPLIFY: &str = "simplify it, or give the envelope around it";
/// Largest text of an area: the most vertices, each with room for its numbers.
const LARGEST_AREA: JsonBudget = JsonBudget { bytes: 32 << 20, values: 4 * MOST_VERTICES + 10_000 };

/// The area to take offline.
///
/// As JSON it is an Esri envelope (`xmin, ymin, xmax, ymax, spatialReference`) or polygon (`rings, spatialReference`).
/// A missing spatial reference is an error, never a guess: bare degrees read as metres would select almost nothing. Z and M are
/// left out; curves are refused.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AreaOfInterest {
    /// A rectangle.
    Envelope(Envelope),
    /// A polygon; it filters features and tiles.
    Polygon(Polygon),
}

impl<'de> Deserialize<'de> for AreaOfInterest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = flat(Value::deserialize(deserializer)?).map_err(D::Error::custom)?;
        match serde_json::from_value(value) {
            Ok(Flat::Envelope(envelope)) => Ok(Self::Envelope(envelope)),
            Ok(Flat::Polygon(polygon)) => Ok(Self::Polygon(polygon)),
            Err(_) => Err(D::Error::custom(
                "an area is an Esri envelope (xmin, ymin, xmax, ymax) or polygon (rings of [x, y]) with its spatialReference",
            )),
        }
    }
}

impl From<Envelope> for AreaOfInterest {
    fn from(envelope: Envelope) -> Self {
        Self::Envelope(envelope)
    }
}

impl From<Polygon> for AreaOfInterest {
    fn from(polygon: Polygon) -> Self {
        Self::Polygon(polygon)
    }
}

type Ring = Vec<[f64; 2]>;

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

    /// The reference of its coordinates.
    #[must_use]
    pub fn spatial_reference(&self) -> Option<&SpatialReference> {
        match self {
            Self::Envelope(e) => e.spatial_reference.as_ref(),
            Self::Polygon(p) => p.spatial_reference.as_ref(),
        }
    }

    /// The smallest envelope around it, in its own reference; `None` for a polygon without points.
    #[must_use]
    pub fn envelope(&self) -> Option<Envelope> {
        match self {
            Self::Envelope(e) => Some(e.clone()),
            Self::Polygon(p) => p.envelope(),
        }
    }

    /// The area as a polygon, in its own reference.
    #[must_use]
    pub fn polygon(&self) -> Polygon {
        match self {
            Self::Envelope(e) => Polygon { rings: vec![e.ring()], spatial_reference: e.spatial_reference.clone() },
            Self::Polygon(p) => p.clone(),
        }
    }

    /// Checks that the area can be used: a known reference, finite numbers, some width and height, on the earth.
    ///
    /// In WGS84, its like, and Web Mercator an envelope whose `xmin` is above its `xmax` crosses the dateline (RFC 7946 §5.2), and
    /// coordinates may go on beyond it. One that would reach more than half around the world is taken for inverted.
    ///
    /// # Errors
    /// A failure of the caller that names what is wrong and the way out.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(reference) = self.spatial_reference().filter(|s| s.id().is_some() || s.wkt.is_some()) else {
            return Err(bad("the area of interest has no spatial reference; add one, for instance {\"wkid\": 4326}"));
        };
        let projection = Projection::of(reference).map_err(|words| {
            bad(format!("the area of interest is in {reference}, {words}; give it in another, for instance 4326"))
        })?;
        if let Self::Polygon(polygon) = self {
            let vertices: usize = polygon.rings.iter().map(Vec::len).sum();
            if vertices > MOST_VERTICES {
                let message =
                    format!("the area of interest has {vertices} vertices, expected at most {MOST_VERTICES}: {SIMPLIFY}");
                return Err(bad(message));
            }
            for (i, ring) in polygon.rings.iter().enumerate() {
                if ring.len() < 4 || ring.first() != ring.last() {
                    return Err(bad(format!(
                        "ring {i} of the area of interest has {} points; a ring needs four or more and ends where it began",
                        ring.len()
                    )));
                }
            }
        }
        let Some(e) = self.envelope() else {
            return Err(bad("the area of interest is empty: it has no rings"));
        };
        if ![e.xmin, e.ymin, e.xmax, e.ymax].iter().all(|n| n.is_finite()) {
            return Err(bad("the area of interest has a coordinate that is not a number"));
        }
        let world = projection.world_width();
        let crosses = world.is_some_and(|width| e.xmax + width - e.xmin <= width / 2.0);
        if e.ymin > e.ymax || (e.xmin > e.xmax && !crosses) {
            return Err(bad(format!(
                "the area of interest is inverted: xmin {}, ymin {}, xmax {}, ymax {}; the smaller number comes first, unless a narrow area crosses the dateline",
                e.xmin, e.ymin, e.xmax, e.ymax
            )));
        }
        let is_flat = matches!(self, Self::Polygon(p) if p.rings.iter().all(|r| signed_area(r) == 0.0));
        if e.xmin == e.xmax || e.ymin == e.ymax || is_flat {
            return Err(bad("the area of interest is empty: it has no width or no height"));
        }
        let outside = || {
            bad(format!(
                "the area of interest reaches outside the earth: {}, {}, {}, {} in {reference}; are the axes swapped, or is it another reference?",
                e.xmin, e.ymin, e.xmax, e.ymax
            ))
        };
        let slack = 1.0 + 1e-9;
        if let Some(width) = world {
            // Twice around: an area may go on beyond the dateline on either side.
            if e.xmin.abs().max(e.xmax.abs()) > width * slack || (e.xmax - e.xmin).abs() > width * slack {
                return Err(outside());
            }
        }
        let corners = [[e.xmin, e.ymin], [e.xmin, e.ymax], [e.xmax, e.ymin], [e.xmax, e.ymax]];
        let on_earth = |p: [f64; 2]| projection.to_wgs84(p).is_some_and(|[_, lat]| lat.abs() <= 90.0 * slack);
        if !corners.into_iter().all(on_earth) {
            return Err(outside());
        }
        Ok(())
    }

    /// The envelope in WGS84 degrees, as `[[xmin, ymin], [xmax, ymax]]`: the form of portal items and packages.
    ///
    /// `xmin` is within ±180; where the area crosses the dateline, `xmax` is above 180.
    ///
    /// # Errors
    /// If the area cannot be projected.
    pub fn wgs84_extent(&self) -> Result<[[f64; 2]; 2], Failure> {
        match self.unwrapped().project(&SpatialReference::wgs84())?.envelope() {
            // Areas around a pole reach all longitudes.
            Some(e) if e.xmax - e.xmin >= 360.0 * (1.0 - 1e-12) => Ok([[-180.0, e.ymin], [180.0, e.ymax]]),
            Some(e) => {
                let turns = 360.0 * ((e.xmin + 180.0) / 360.0).floor();
                Ok([[e.xmin - turns, e.ymin], [e.xmax - turns, e.ymax]])
            }
            None => Err(bad("the area of interest is empty")),
        }
    }
}

fn esri_area(mut value: Value) -> Result<AreaOfInterest, Failure> {
    if let Some(features) = value.get_mut("features").and_then(Value::as_array_mut) {
        let features = std::mem::take(features);
        let reference = value.get("spatialReference").cloned();
        return esri_feature_set(features, reference.as_ref());
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
fn esri_feature_set(features: Vec<Value>, reference: Option<&Value>) -> Result<AreaOfInterest, Failure> {
    let mut areas = Vec::new();
    for mut feature in features {
        if let (Some(reference), Some(geometry)) = (reference, feature.get_mut("geometry").and_then(Value::as_object_mut)) {
            geometry.entry("spatialReference").or_insert_with(|| reference.clone());
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

/// Several polygons as one.
fn one_of(polygons: Vec<Vec<Ring>>, spatial_reference: Option<SpatialReference>) -> Result<Polygon, Failure> {
    let vertices: usize = polygons.iter().flatten().map(Vec::len).sum();
    if vertices > MOST_VERTICES {
        // The check says so by name.
        return Ok(Polygon { rings: polygons.into_iter().flatten().collect(), spatial_reference });
    }
    let count = polygons.len();
    let rings = united(polygons).ok_or_else(|| {
        bad(format!(
            "the {count} polygons of the area overlap in too many places; unite them first, or give the envelope around them"
        ))
    })?;
    Ok(Polygon { rings, spatial_reference })
}

/// The polygons of a geometry, feature or collection, each as its rings.
fn geojson_polygons(value: &Value, polygons: &mut Vec<Vec<Ring>>) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
