//! Whether an area can be used, judged before anything is spent.

use super::area_of_interest::AreaOfInterest;
use super::limits::{MOST_VERTICES, SIMPLIFY};
use crate::failure::Failure;
use crate::geometry::{Envelope, Polygon, SpatialReference, signed_area};
use crate::projection::Projection;

/// By how much coordinates may be off where the earth ends, as a share.
const SLACK: f64 = 1.0 + 1e-9;

fn bad(message: impl Into<String>) -> Failure {
    Failure::invalid_parameter(message)
}

impl AreaOfInterest {
    /// Checks that the area can be used: a known spatial reference, finite numbers, some width and height, on the earth.
    ///
    /// In WGS84, its like, and Web Mercator an envelope whose `xmin` is above its `xmax` crosses the dateline (RFC 7946 §5.2), and
    /// coordinates may continue beyond it. One that would reach more than half around the world counts as inverted.
    ///
    /// # Errors
    /// A failure of the caller that names what is wrong and the way out.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(spatial_reference) = self.spatial_reference().filter(|s| s.id().is_some() || s.wkt.is_some()) else {
            return Err(bad("the area of interest has no spatial reference; add one, for instance {\"wkid\": 4326}"));
        };
        let projection = Projection::of(spatial_reference).map_err(|why| {
            bad(format!("the area of interest is in {spatial_reference}, {why}; give it in another, for instance 4326"))
        })?;
        if let Self::Polygon(polygon) = self {
            check_rings(polygon)?;
        }
        let Some(e) = self.envelope() else {
            return Err(bad("the area of interest is empty: it has no rings"));
        };
        if ![e.xmin, e.ymin, e.xmax, e.ymax].iter().all(|n| n.is_finite()) {
            return Err(bad("the area of interest has a coordinate that is not a number"));
        }
        let crosses = projection.world_width().is_some_and(|width| e.xmax + width - e.xmin <= width / 2.0);
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
        check_on_earth(&e, &projection, spatial_reference)
    }
}

fn check_rings(polygon: &Polygon) -> Result<(), Failure> {
    let vertices: usize = polygon.rings.iter().map(Vec::len).sum();
    if vertices > MOST_VERTICES {
        let message = format!("the area of interest has {vertices} vertices, expected at most {MOST_VERTICES}: {SIMPLIFY}");
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
    Ok(())
}

fn check_on_earth(e: &Envelope, projection: &Projection, spatial_reference: &SpatialReference) -> Result<(), Failure> {
    // Twice around: an area may continue beyond the dateline on either side.
    let is_too_wide = |width: f64| {
        let most = width * SLACK;
        e.xmin.abs().max(e.xmax.abs()) > most || (e.xmax - e.xmin).abs() > most
    };
    let corners = [[e.xmin, e.ymin], [e.xmin, e.ymax], [e.xmax, e.ymin], [e.xmax, e.ymax]];
    let on_earth = |p: [f64; 2]| projection.to_wgs84(p).is_some_and(|[_, lat]| lat.abs() <= 90.0 * SLACK);
    if !projection.world_width().is_some_and(is_too_wide) && corners.into_iter().all(on_earth) {
        return Ok(());
    }
    Err(bad(format!(
        "the area of interest reaches outside the earth: {}, {}, {}, {} in {spatial_reference}; are the axes swapped, or is it another reference?",
        e.xmin, e.ymin, e.xmax, e.ymax
    )))
}
