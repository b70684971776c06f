//! Projections between spatial references: own closed forms for WGS84 and Web Mercator, `proj4rs` for the rest.
//!
//! Everything passes through WGS84 longitude and latitude in degrees. Datum shifts by a grid file are not done: a spatial
//! reference that needs one is refused rather than used a hundred metres off.

use crate::failure::Failure;
use crate::geometry::{Envelope, SpatialReference, WEB_MERCATOR_HALF, to_web_mercator, to_wgs84};
use proj4rs::Proj;
use proj4rs::transform::transform;

/// A spatial reference as a pair of functions.
pub(crate) enum Projection {
    Degrees,
    Mercator,
    Other { own: Box<Proj>, wgs84: Box<Proj> },
}

impl Projection {
    /// Finds the projection of a spatial reference; the error is half a sentence on why there is none.
    pub(crate) fn of(spatial_reference: &SpatialReference) -> Result<Self, String> {
        if spatial_reference.is_wgs84() {
            return Ok(Self::Degrees);
        }
        if spatial_reference.is_web_mercator() {
            return Ok(Self::Mercator);
        }
        let mut ids = spatial_reference.numbers().peekable();
        if ids.peek().is_none() {
            return Err("which is given by text only, without a wkid or a name that is known".to_owned());
        }
        let definition = ids.filter_map(|id| u16::try_from(id).ok()).find_map(crs_definitions::from_code);
        let Some(definition) = definition else { return Err("which is not in the EPSG list".to_owned()) };
        let needs_grid = definition.proj4.contains("NAD27")
            || definition.proj4.split_whitespace().any(|w| w.starts_with("+nadgrids=") && w != "+nadgrids=@null");
        if needs_grid {
            return Err("whose datum needs a shift by grid files that offmap does not have".to_owned());
        }
        let read = |text: &str| Proj::from_proj_string(text).map_err(|e| format!("which cannot be projected ({e})"));
        let own = read(definition.proj4)?;
        if own.is_geocent() || !own.has_inverse() {
            return Err("which has no longitude and latitude".to_owned());
        }
        Ok(Self::Other { own: Box::new(own), wgs84: Box::new(read("+proj=longlat +datum=WGS84 +no_defs")?) })
    }

    /// Width of the world in its units, where x runs around it.
    pub(crate) fn world_width(&self) -> Option<f64> {
        match self {
            Self::Degrees => Some(360.0),
            Self::Mercator => Some(2.0 * WEB_MERCATOR_HALF),
            Self::Other { own, .. } => own.is_latlong().then_some(360.0),
        }
    }

    /// Longitude and latitude of a point; x beyond the dateline stays beyond it.
    pub(crate) fn to_wgs84(&self, point: [f64; 2]) -> Option<[f64; 2]> {
        match self {
            Self::Degrees => Some(point),
            Self::Mercator => Some(to_wgs84(point)),
            Self::Other { own, wgs84 } => shifted(own, wgs84, point),
        }
    }

    /// A point of a longitude and latitude.
    pub(crate) fn at_wgs84(&self, point: [f64; 2]) -> Option<[f64; 2]> {
        match self {
            Self::Degrees => Some(point),
            Self::Mercator => Some(to_web_mercator(point)),
            Self::Other { own, wgs84 } => shifted(wgs84, own, point),
        }
    }
}

/// Points of a spatial reference as WGS84 longitude and latitude.
pub struct ToDegrees(Projection);

impl ToDegrees {
    /// Finds out how.
    ///
    /// # Errors
    /// If it is not known by a number of the EPSG list, or needs grid files.
    pub fn of(spatial_reference: &SpatialReference) -> Result<Self, Failure> {
        let known = Projection::of(spatial_reference).map(Self);
        known.map_err(|why| Failure::not_supported(format!("{spatial_reference}, {why}")))
    }

    /// Longitude and latitude of a point; `None` for one that has no place on earth.
    #[must_use]
    pub fn degrees_at(&self, point: [f64; 2]) -> Option<[f64; 2]> {
        self.0.to_wgs84(point)
    }
}

impl SpatialReference {
    /// Checks that areas can be projected to it.
    ///
    /// # Errors
    /// If it is not known by a number of the EPSG list, or needs grid files.
    pub fn check(&self) -> Result<(), Failure> {
        Projection::of(self).map(drop).map_err(|why| Failure::invalid_parameter(format!("{self}, {why}")))
    }

    /// Metres of its unit; of a degree, those at the equator of its ellipsoid (OGC 07-057r7, §6.1).
    ///
    /// # Errors
    /// Why there are none, in half a sentence: it is not known by a number of the EPSG list, or needs grid files.
    pub fn meters_per_unit(&self) -> Result<f64, String> {
        let of_degree = |radius: f64| radius.to_radians();
        Ok(match Projection::of(self).map_err(|why| format!("{self}, {why}"))? {
            Projection::Degrees => of_degree(WEB_MERCATOR_HALF / std::f64::consts::PI),
            Projection::Mercator => 1.0,
            Projection::Other { own, .. } if own.is_latlong() => of_degree(own.ellipse_parameters().0),
            Projection::Other { own, .. } => own.to_meter(),
        })
    }

    /// The whole world in it, where x runs around it; for Web Mercator its square.
    #[must_use]
    pub fn world(&self) -> Option<Envelope> {
        let half = Projection::of(self).ok()?.world_width()? / 2.0;
        let top = if self.is_web_mercator() { half } else { 90.0 };
        Some(Envelope::new(-half, -top, half, top, self.clone()))
    }
}

fn shifted(from: &Proj, to: &Proj, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
    let mut at = if from.is_latlong() { (x.to_radians(), y.to_radians(), 0.0) } else { (x, y, 0.0) };
    transform(from, to, &mut at).ok()?;
    let mut out = if to.is_latlong() { [at.0.to_degrees(), at.1.to_degrees()] } else { [at.0, at.1] };
    if from.is_latlong() && to.is_latlong() {
        // The library brings longitudes back into ±180.
        out[0] += 360.0 * ((x - out[0]) / 360.0).round();
    }
    out.iter().all(|n| n.is_finite()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wkid: u32, point: [f64; 2]) -> [f64; 2] {
        let projection = Projection::of(&SpatialReference::from_wkid(wkid)).expect("known");
        let there = projection.at_wgs84(point).expect("projects");
        let back = projection.to_wgs84(there).expect("projects back");
        assert!((back[0] - point[0]).abs() < 1e-7 && (back[1] - point[1]).abs() < 1e-7, "{wkid}: {back:?}");
        there
    }

    #[test]
    fn a_unit_has_its_metres() {
        let of = |wkid| SpatialReference::from_wkid(wkid).meters_per_unit().expect("known");
        // 2263 is in feet of the United States, 4258 in degrees.
        for (wkid, metres) in
            [(4326, 111_319.490_793), (4258, 111_319.490_793), (3857, 1.0), (25_832, 1.0), (2263, 1200.0 / 3937.0)]
        {
            assert!((of(wkid) - metres).abs() < 1e-6, "{wkid}: {}", of(wkid));
        }
        assert!(SpatialReference::from_wkid(1).meters_per_unit().is_err());
    }

    #[test]
    fn points_become_degrees_and_what_is_not_known_is_said() {
        let swiss = ToDegrees::of(&SpatialReference::from_wkid(2056)).expect("is known");
        let [x, y] = swiss.degrees_at([2_600_000.0, 1_200_000.0]).expect("a place");
        assert!((x - 7.438_63).abs() < 1e-4 && (y - 46.951_08).abs() < 1e-4, "{x} {y}");
        let failure = ToDegrees::of(&SpatialReference::from_wkid(1)).err().expect("unknown");
        assert!(failure.message.contains("wkid 1"), "{failure}");
    }

    #[test]
    fn positions_agree_with_published_ones() {
        // By pyproj (PROJ 9), to the millimetre: UTM 32N, MGA zone 55, New Zealand, UTM 18N on NAD83.
        for (wkid, lon, lat, x, y) in [
            (32632, 8.0, 47.0, 423_974.687_9, 5_205_649.347_7),
            (28355, 146.5, -42.0, 458_591.133_3, 5_350_102.875_0),
            (2193, 178.0, -18.0, 2_129_860.987_5, 8_002_657.182_7),
            (26918, -75.5, 40.25, 457_476.114_1, 4_455_625.261_0),
        ] {
            let [a, b] = at(wkid, [lon, lat]);
            assert!((a - x).abs() < 1e-3 && (b - y).abs() < 1e-3, "{wkid}: {a} {b}");
        }
        for geographic in [4269, 4283, 7844, 4258] {
            let [x, y] = at(geographic, [8.0, 47.0]);
            assert!((x - 8.0).abs() < 1e-4 && (y - 47.0).abs() < 1e-4);
        }
    }

    #[test]
    fn what_cannot_be_projected_is_refused_with_the_reason() {
        let words = |wkid| Projection::of(&SpatialReference::from_wkid(wkid)).err().expect("refused");
        assert!(words(32).contains("not in the EPSG list"));
        assert!(words(4267).contains("grid"));
        let text = SpatialReference { wkt: Some("PROJCS[\"Local\"]".to_owned()), ..SpatialReference::default() };
        assert!(Projection::of(&text).err().expect("refused").contains("text only"));
    }
}
