//! Spatial references, envelopes and polygons in Esri JSON, and the projection between WGS84 and Web Mercator.
//!
//! Axis order is always x, y: longitude before latitude in degrees. Rings follow Esri JSON: outer rings clockwise, holes
//! counter-clockwise, first point repeated at the end.

use crate::well_known_text;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Radius of the Web Mercator sphere in metres (EPSG:3857).
const EARTH_RADIUS: f64 = 6_378_137.0;
/// Half the width of the Web Mercator square in metres.
pub const WEB_MERCATOR_HALF: f64 = 20_037_508.342_787;
/// Latitude at which the Web Mercator square ends, in degrees.
pub const WEB_MERCATOR_MAX_LATITUDE: f64 = 85.051_128_779_806_6;

/// A spatial reference as ArcGIS writes it: a well-known id, or well-known text.
///
/// 102100 (Esri) and 3857 (EPSG) are the same spatial reference.
///
/// ```
/// use offmap_model::SpatialReference;
///
/// assert!(SpatialReference::from_wkid(3857).same_as(&SpatialReference::web_mercator()));
/// assert_eq!(SpatialReference::wgs84().to_string(), "wkid 4326");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Written")]
pub struct SpatialReference {
    /// Well-known id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wkid: Option<u32>,
    /// The id that replaced `wkid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_wkid: Option<u32>,
    /// Well-known text; the only member in answers of old services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wkt: Option<String>,
    /// Members that offmap does not read, such as vertical references.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A spatial reference as other software writes it: ids also as text or with decimals, or the latest one alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default, deserialize_with = "wkid")]
    wkid: Option<u32>,
    #[serde(default, deserialize_with = "latest_wkid")]
    latest_wkid: Option<u32>,
    #[serde(default)]
    wkt: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<Written> for SpatialReference {
    fn from(written: Written) -> Self {
        let Written { wkid, latest_wkid, wkt, extra } = written;
        // Services know `wkid`, so what has the latest alone is written with both.
        Self { wkid: wkid.or(latest_wkid), latest_wkid, wkt, extra }
    }
}

crate::number_fields! { wkid: Option<u32> = "wkid", latest_wkid: Option<u32> = "latestWkid" }

impl SpatialReference {
    /// WGS84 longitude and latitude in degrees, wkid 4326.
    #[must_use]
    pub fn wgs84() -> Self {
        Self { wkid: Some(4326), latest_wkid: Some(4326), ..Self::default() }
    }

    /// Web Mercator in metres, wkid 102100 (EPSG:3857).
    #[must_use]
    pub fn web_mercator() -> Self {
        Self { wkid: Some(102_100), latest_wkid: Some(3857), ..Self::default() }
    }

    /// The spatial reference of a bare number.
    #[must_use]
    pub fn from_wkid(wkid: u32) -> Self {
        match wkid {
            102_100 | 3857 => Self { wkid: Some(wkid), latest_wkid: Some(3857), ..Self::default() },
            _ => Self { wkid: Some(wkid), ..Self::default() },
        }
    }

    /// Whether this is Web Mercator under any of its numbers.
    #[must_use]
    pub fn is_web_mercator(&self) -> bool {
        const NUMBERS: [u32; 4] = [102_100, 3857, 102_113, 900_913];
        self.numbers().any(|id| NUMBERS.contains(&id))
    }

    /// Whether this is WGS84 in degrees.
    #[must_use]
    pub fn is_wgs84(&self) -> bool {
        self.numbers().any(|id| id == 4326)
    }

    /// Its numbers, the latest first; that of its text where it has none.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        let given = self.latest_wkid.or(self.wkid);
        let read = if given.is_none() { self.wkt.as_deref().and_then(well_known_text::number_of) } else { None };
        [self.latest_wkid, self.wkid, read].into_iter().flatten()
    }

    /// Whether both are the same spatial reference, whichever of its numbers each uses.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        if self.is_web_mercator() || self.is_wgs84() {
            return (self.is_web_mercator() && other.is_web_mercator()) || (self.is_wgs84() && other.is_wgs84());
        }
        match (self.numbers().next(), other.numbers().next()) {
            (Some(_), Some(_)) => self.numbers().any(|a| other.numbers().any(|b| a == b)),
            (None, None) => self.wkt.is_some() && self.wkt == other.wkt,
            _ => false,
        }
    }

    /// The id to name it by: the latest one.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.latest_wkid.or(self.wkid)
    }

    /// The name out of its well-known text, as `package.info` wants it.
    ///
    /// Known for WGS84, Web Mercator and spatial references given by text; for another number it is `EPSG:<wkid>`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.is_web_mercator() {
            return "WGS_1984_Web_Mercator_Auxiliary_Sphere".to_owned();
        }
        if self.is_wgs84() {
            return "GCS_WGS_1984".to_owned();
        }
        if let Some(name) = self.wkt.as_deref().and_then(|t| t.split('"').nth(1)) {
            return name.to_owned();
        }
        self.id().map_or_else(|| "Unknown".to_owned(), |id| format!("EPSG:{id}"))
    }
}

impl std::fmt::Display for SpatialReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.wkid.or(self.latest_wkid), &self.wkt) {
            (Some(wkid), _) => write!(f, "wkid {wkid}"),
            (None, Some(_)) => f.write_str(&self.name()),
            (None, None) => f.write_str("no spatial reference"),
        }
    }
}

/// An axis-parallel rectangle in map units.
///
/// ```
/// use offmap_model::{AreaOfInterest, Envelope, SpatialReference};
///
/// let alps = Envelope::new(5.9, 45.8, 10.5, 47.8, SpatialReference::wgs84());
/// assert!(alps.contains([7.4, 46.9]));
/// AreaOfInterest::from(alps).check()?;
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// West or left edge.
    pub xmin: f64,
    /// South or lower edge.
    pub ymin: f64,
    /// East or right edge.
    pub xmax: f64,
    /// North or upper edge.
    pub ymax: f64,
    /// The spatial reference of the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spatial_reference: Option<SpatialReference>,
}

impl Envelope {
    /// Makes an envelope in a spatial reference.
    #[must_use]
    pub fn new(xmin: f64, ymin: f64, xmax: f64, ymax: f64, spatial_reference: SpatialReference) -> Self {
        Self { xmin, ymin, xmax, ymax, spatial_reference: Some(spatial_reference) }
    }

    /// Whether both have a point in common; both must be in one spatial reference.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.xmin <= other.xmax && other.xmin <= self.xmax && self.ymin <= other.ymax && other.ymin <= self.ymax
    }

    /// Whether a point lies inside or on the edge.
    #[must_use]
    pub fn contains(&self, point: [f64; 2]) -> bool {
        (self.xmin..=self.xmax).contains(&point[0]) && (self.ymin..=self.ymax).contains(&point[1])
    }

    /// The envelope of points, or `None` without any.
    pub fn of(points: impl IntoIterator<Item = [f64; 2]>) -> Option<Self> {
        points.into_iter().fold(None, |all: Option<Self>, [x, y]| {
            let mut e = all.unwrap_or(Self { xmin: x, ymin: y, xmax: x, ymax: y, spatial_reference: None });
            e.xmin = e.xmin.min(x);
            e.ymin = e.ymin.min(y);
            e.xmax = e.xmax.max(x);
            e.ymax = e.ymax.max(y);
            Some(e)
        })
    }

    /// Its four corners as one clockwise ring.
    #[must_use]
    pub fn ring(&self) -> Vec<[f64; 2]> {
        vec![
            [self.xmin, self.ymin],
            [self.xmin, self.ymax],
            [self.xmax, self.ymax],
            [self.xmax, self.ymin],
            [self.xmin, self.ymin],
        ]
    }
}

/// A polygon of one or more rings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Polygon {
    /// Closed rings of x, y.
    pub rings: Vec<Vec<[f64; 2]>>,
    /// The spatial reference of the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spatial_reference: Option<SpatialReference>,
}

impl Polygon {
    /// Its envelope, or `None` without points.
    #[must_use]
    pub fn envelope(&self) -> Option<Envelope> {
        let mut envelope = Envelope::of(self.rings.iter().flatten().copied())?;
        envelope.spatial_reference.clone_from(&self.spatial_reference);
        Some(envelope)
    }

    /// Whether a point lies inside (even-odd rule over all rings).
    #[must_use]
    pub fn contains(&self, point: [f64; 2]) -> bool {
        self.edges().filter(|(a, b)| crosses_ray(*a, *b, point)).count() % 2 == 1
    }

    /// Whether the polygon and a rectangle of the same spatial reference have a point in common.
    #[must_use]
    pub fn intersects_envelope(&self, envelope: &Envelope) -> bool {
        self.contains([envelope.xmin, envelope.ymin])
            || self.rings.iter().flatten().any(|p| envelope.contains(*p))
            || self.edges().any(|(a, b)| {
                let ring = envelope.ring();
                ring.windows(2).any(|side| segments_cross(a, b, side[0], side[1]))
            })
    }

    /// Whether two polygons of one spatial reference have a point in common.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        let first = |p: &Self| p.rings.iter().flatten().next().copied();
        first(other).is_some_and(|p| self.contains(p))
            || first(self).is_some_and(|p| other.contains(p))
            || self.crosses_line(other.rings.iter().map(Vec::as_slice))
    }

    /// Whether any edge crosses any of the lines.
    pub fn crosses_line<'a>(&self, lines: impl IntoIterator<Item = &'a [[f64; 2]]>) -> bool {
        lines.into_iter().any(|line| {
            line.windows(2).any(|s| {
                let Some(reach) = Envelope::of([s[0], s[1]]) else { return false };
                self.edges().any(|(a, b)| {
                    Envelope::of([a, b]).is_some_and(|e| e.intersects(&reach)) && segments_cross(a, b, s[0], s[1])
                })
            })
        })
    }

    fn edges(&self) -> impl Iterator<Item = ([f64; 2], [f64; 2])> + '_ {
        self.rings.iter().flat_map(|ring| ring.windows(2).map(|w| (w[0], w[1])))
    }
}

/// Whether an edge crosses the ray that runs from a point to the right.
pub(crate) fn crosses_ray(a: [f64; 2], b: [f64; 2], [x, y]: [f64; 2]) -> bool {
    (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0]
}

/// Whether two segments touch or cross.
pub(crate) fn segments_cross(a: [f64; 2], b: [f64; 2], c: [f64; 2], d: [f64; 2]) -> bool {
    let turn = |p: [f64; 2], q: [f64; 2], r: [f64; 2]| (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
    let within = |p: [f64; 2], q: [f64; 2], r: [f64; 2]| Envelope::of([p, q]).is_some_and(|e| e.contains(r));
    let (t1, t2, t3, t4) = (turn(c, d, a), turn(c, d, b), turn(a, b, c), turn(a, b, d));
    if ((t1 > 0.0) != (t2 > 0.0)) && ((t3 > 0.0) != (t4 > 0.0)) && t1 != 0.0 && t2 != 0.0 && t3 != 0.0 && t4 != 0.0 {
        return true;
    }
    (t1 == 0.0 && within(c, d, a))
        || (t2 == 0.0 && within(c, d, b))
        || (t3 == 0.0 && within(a, b, c))
        || (t4 == 0.0 && within(a, b, d))
}

/// Signed area of a ring: negative for a clockwise one (y up).
#[must_use]
pub fn signed_area(ring: &[[f64; 2]]) -> f64 {
    ring.windows(2).map(|w| w[0][0] * w[1][1] - w[1][0] * w[0][1]).sum::<f64>() / 2.0
}

/// Projects longitude and latitude in degrees to Web Mercator metres; latitudes beyond the square are clamped.
#[must_use]
pub fn to_web_mercator([lon, lat]: [f64; 2]) -> [f64; 2] {
    let lat = lat.clamp(-WEB_MERCATOR_MAX_LATITUDE, WEB_MERCATOR_MAX_LATITUDE);
    [EARTH_RADIUS * lon.to_radians(), EARTH_RADIUS * (std::f64::consts::FRAC_PI_4 + lat.to_radians() / 2.0).tan().ln()]
}

/// Projects Web Mercator metres to longitude and latitude in degrees.
#[must_use]
pub fn to_wgs84([x, y]: [f64; 2]) -> [f64; 2] {
    let lat = 2.0 * (y / EARTH_RADIUS).exp().atan() - std::f64::consts::FRAC_PI_2;
    [(x / EARTH_RADIUS).to_degrees(), lat.to_degrees()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_mercator_agrees_with_the_closed_form() {
        let [x, y] = to_web_mercator([-118.357_85, 33.999_384]);
        // The position of the first trailhead in the sample geodatabase.
        assert!((x + 13_175_535.6).abs() < 1.0, "{x}");
        assert!((y - 4_028_719.4).abs() < 1.0, "{y}");
        let [lon, lat] = to_wgs84([x, y]);
        assert!((lon + 118.357_85).abs() < 1e-9 && (lat - 33.999_384).abs() < 1e-9);
        assert!((to_web_mercator([180.0, 90.0])[1] - WEB_MERCATOR_HALF).abs() < 1e-3);
    }

    #[test]
    fn one_reference_has_many_numbers() {
        assert!(SpatialReference::from_wkid(3857).same_as(&SpatialReference::web_mercator()));
        assert!(!SpatialReference::wgs84().same_as(&SpatialReference::web_mercator()));
        assert!(SpatialReference::from_wkid(25832).same_as(&SpatialReference::from_wkid(25832)));
        assert!(!SpatialReference::default().same_as(&SpatialReference::from_wkid(25832)));
    }

    #[test]
    fn a_polygon_with_a_hole_does_not_contain_the_hole() {
        let square = |x0: f64, x1: f64| vec![[x0, x0], [x0, x1], [x1, x1], [x1, x0], [x0, x0]];
        let p = Polygon { rings: vec![square(0.0, 10.0), square(4.0, 6.0)], spatial_reference: None };
        assert!(p.contains([1.0, 1.0]) && !p.contains([5.0, 5.0]) && !p.contains([11.0, 5.0]));
        let e = |a: f64, b: f64| Envelope { xmin: a, ymin: a, xmax: b, ymax: b, spatial_reference: None };
        assert!(p.intersects_envelope(&e(9.0, 20.0)));
        assert!(p.intersects_envelope(&e(-5.0, 20.0)));
        assert!(!p.intersects_envelope(&e(4.5, 5.5)));
        assert!(!p.intersects_envelope(&e(11.0, 12.0)));
    }
}
