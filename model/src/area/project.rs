//! Areas in another spatial reference.

use super::area_of_interest::AreaOfInterest;
use crate::failure::Failure;
use crate::geometry::{Envelope, Polygon, SpatialReference, signed_area};
use crate::projection::Projection;

/// Vertices that projecting adds to the edges of an area, all in all.
const MOST_ADDED: f64 = 20_000.0;

fn bad(message: impl Into<String>) -> Failure {
    Failure::invalid_parameter(message)
}

impl AreaOfInterest {
    /// The pieces of the area in another spatial reference, each within the world: see [`AreaOfInterest::parts`].
    ///
    /// # Errors
    /// As [`AreaOfInterest::project`].
    pub fn parts_in(&self, to: &SpatialReference) -> Result<Vec<Self>, Failure> {
        Ok(self.unwrapped().project(to)?.parts())
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

    /// Projects the area; x beyond the dateline stays beyond it, and an edge that is long stays long: only an envelope whose `xmin`
    /// is above its `xmax` crosses the dateline. An envelope becomes the envelope around its edges, however they bend; edges of a
    /// polygon are densified. What lies around a pole reaches all longitudes up to it.
    ///
    /// # Errors
    /// If either spatial reference is unknown, or part of the area has no place in the other one.
    pub fn project(&self, to: &SpatialReference) -> Result<Self, Failure> {
        let Some(from) = self.spatial_reference() else {
            return Err(bad("the area of interest has no spatial reference"));
        };
        if from.same_as(to) {
            return Ok(self.clone());
        }
        if matches!(self, Self::Envelope(e) if e.xmin > e.xmax) {
            let whole = self.unwrapped();
            if whole != *self {
                return whole.project(to);
            }
        }
        let find = |spatial_reference: &SpatialReference| {
            let failed = |why| bad(format!("cannot project the area of interest from {from} to {to}, {why}"));
            Projection::of(spatial_reference).map_err(failed)
        };
        let (source, target) = (find(from)?, find(to)?);
        let straight = source.world_width().is_some() && target.world_width().is_some();
        let nowhere = || bad(format!("part of the area of interest ({from}) has no place in {to}"));
        let line = |points: Vec<[f64; 2]>| projected(&points, &source, &target).ok_or_else(nowhere);
        Ok(match self {
            Self::Envelope(e) => {
                let longest = ((e.xmax - e.xmin).max(e.ymax - e.ymin) / 64.0).max(f64::MIN_POSITIVE);
                let around = Envelope::of(line(densify(&e.ring(), longest, false))?).ok_or_else(nowhere)?;
                Self::Envelope(Envelope { spatial_reference: Some(to.clone()), ..around })
            }
            Self::Polygon(p) => {
                let longest: f64 = if source.world_width() == Some(360.0) { 0.5 } else { 50_000.0 };
                // An area of many long edges gets longer pieces, so that it does not grow out of all measure.
                let edges = p.rings.iter().flat_map(|r| r.windows(2));
                let reach: f64 = edges.map(|w| (w[1][0] - w[0][0]).abs().max((w[1][1] - w[0][1]).abs())).sum();
                let longest = longest.max(reach / MOST_ADDED);
                let mut rings: Vec<_> =
                    p.rings.iter().map(|r| line(densify(r, longest, straight))).collect::<Result<_, _>>()?;
                if let (Some(width), None) = (target.world_width(), source.world_width()) {
                    keep_together(&mut rings, width);
                }
                Self::Polygon(Polygon { rings, spatial_reference: Some(to.clone()) })
            }
        })
    }
}

/// Brings rings that came within one turn of the world, each by itself, into the turn of the first: a hole stays in its polygon.
fn keep_together(rings: &mut [Vec<[f64; 2]>], width: f64) {
    let middle = |ring: &Vec<[f64; 2]>| Envelope::of(ring.iter().copied()).map(|e| (e.xmin + e.xmax) / 2.0);
    let Some(first) = rings.first().and_then(middle) else { return };
    for ring in rings {
        let turns = middle(ring).map_or(0.0, |own| ((first - own) / width).round());
        ring.iter_mut().for_each(|point| point[0] += turns * width);
    }
}

/// A closed ring in another spatial reference; `None` where a point has no place in it.
///
/// x runs around the world in some spatial references, so a point has many. Where it does in both, the one that the source has is kept,
/// and so is every step from point to point. Out of a plane spatial reference points come within one turn: there a step of more than half
/// the world is none that the source has, as its edges were densified.
fn projected(ring: &[[f64; 2]], source: &Projection, target: &Projection) -> Option<Vec<[f64; 2]>> {
    let mut out: Vec<[f64; 2]> = Vec::with_capacity(ring.len());
    let mut latitudes = 0.0;
    for point in ring {
        let degrees = source.to_wgs84(*point)?;
        let mut at = target.at_wgs84(degrees)?;
        latitudes += degrees[1];
        if let Some(width) = target.world_width() {
            let own = source.world_width().map(|w| point[0] / w * width);
            if let Some(near) = own.or(out.last().map(|before| before[0])) {
                at[0] += width * ((near - at[0]) / width).round();
            }
        }
        out.push(at);
    }
    let (Some(first), Some(last), Some(width)) = (out.first().copied(), out.last().copied(), target.world_width()) else {
        return Some(out);
    };
    if source.world_width().is_none() && (last[0] - first[0]).abs() > width / 2.0 {
        // Once around a pole: the ring closes there.
        let pole = target.at_wgs84([0.0, f64::copysign(90.0, latitudes)])?[1];
        out.extend([[last[0], pole], [first[0], pole], first]);
        if (signed_area(&out) > 0.0) != (signed_area(ring) > 0.0) {
            out.reverse();
        }
    }
    Some(out)
}

/// Adds points to edges so that no piece is longer than `longest` units; parallels and meridians only where they bend.
fn densify(ring: &[[f64; 2]], longest: f64, straight: bool) -> Vec<[f64; 2]> {
    let mut out = Vec::with_capacity(ring.len());
    for w in ring.windows(2) {
        let (dx, dy) = (w[1][0] - w[0][0], w[1][1] - w[0][1]);
        out.push(w[0]);
        if !straight || (dx != 0.0 && dy != 0.0) {
            let pieces = (dx.abs().max(dy.abs()) / longest).ceil().clamp(1.0, 256.0);
            let mut k = 1.0;
            while k < pieces {
                out.push([w[0][0] + dx * k / pieces, w[0][1] + dy * k / pieces]);
                k += 1.0;
            }
        }
    }
    out.extend(ring.last());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::to_web_mercator;

    fn area(text: &str) -> AreaOfInterest {
        match text.starts_with('{') {
            true => AreaOfInterest::from_json(text).expect("an area"),
            false => AreaOfInterest::from_numbers(text).expect("an area"),
        }
    }

    fn reach(area: &AreaOfInterest) -> [f64; 2] {
        area.envelope().map(|e| [e.xmin, e.xmax]).expect("not empty")
    }

    #[test]
    fn a_projected_polygon_keeps_its_slanted_edges() {
        let triangle = area(r#"{"rings":[[[0,0],[40,60],[40,0],[0,0]]],"spatialReference":{"wkid":4326}}"#);
        let projected = triangle.project(&SpatialReference::web_mercator()).expect("projects").polygon();
        assert!(projected.rings[0].len() > 100);
        // The middle of the slanted edge, projected, lies on the projected edge, not beside it.
        let [x, y] = to_web_mercator([20.0, 30.0]);
        assert!(projected.contains([x + 2_000.0, y]) && !projected.contains([x - 2_000.0, y]));
    }

    #[test]
    fn an_area_in_utm_or_nad83_covers_the_same_ground() {
        let utm = area("400000,5200000,450000,5250000,32632");
        let degrees = utm.project(&SpatialReference::wgs84()).expect("projects").envelope().expect("not empty");
        // All four corners are inside the envelope around the bent edges.
        let projection = Projection::of(&SpatialReference::from_wkid(32632)).expect("known");
        for corner in
            [[400_000.0, 5_200_000.0], [400_000.0, 5_250_000.0], [450_000.0, 5_200_000.0], [450_000.0, 5_250_000.0]]
        {
            assert!(degrees.contains(projection.to_wgs84(corner).expect("projects")));
        }
        assert!(degrees.xmin > 7.6 && degrees.xmax < 8.4 && degrees.ymin > 46.9 && degrees.ymax < 47.5, "{degrees:?}");
        let fiji = area("175,-22,-170,-10,4269");
        assert_eq!(fiji.parts_in(&SpatialReference::web_mercator()).expect("projects").len(), 2);
        // New Zealand's grid runs over the dateline without noticing; back in degrees it is in one piece.
        let grid = area("2000000,5400000,2400000,5600000,2193").project(&SpatialReference::wgs84()).expect("projects");
        let [left, right] = reach(&grid);
        assert!(left < 180.0 && right > 180.0 && right - left < 10.0, "{left} {right}");
    }

    #[test]
    fn a_hole_across_the_dateline_stays_in_its_polygon_in_a_plane_reference() {
        // UTM zone 60S reaches over the dateline at 750 km or so from its false origin; squares of 400 km and 100 km on it.
        let square = |half: f64, clockwise: bool| {
            let (x, y) = (813_000.0, 8_000_000.0);
            let mut ring = vec![[x - half, y - half], [x - half, y + half], [x + half, y + half], [x + half, y - half]];
            if !clockwise {
                // Begins on the other side of the dateline.
                ring = vec![ring[2], ring[1], ring[0], ring[3]];
            }
            ring.extend(ring.first().copied());
            ring
        };
        let rings = vec![square(200_000.0, true), square(50_000.0, false)];
        let holed = AreaOfInterest::Polygon(Polygon { rings, spatial_reference: Some(SpatialReference::from_wkid(32760)) });
        for to in [SpatialReference::wgs84(), SpatialReference::web_mercator()] {
            let projected = holed.project(&to).expect("projects");
            let parts = projected.parts();
            assert_eq!(parts.len(), 2, "{to}");
            let covers = |lon: f64| {
                let at = if to.is_wgs84() { [lon, -18.0] } else { to_web_mercator([lon, -18.0]) };
                parts.iter().any(|p| p.polygon().contains(at))
            };
            for (lon, inside) in [
                (176.0, false),
                (179.0, true),
                (179.8, false),
                (-179.9, false),
                (-179.0, true),
                (-177.0, false),
                (0.0, false),
            ] {
                assert_eq!(covers(lon), inside, "{to}: {lon}");
            }
        }
    }

    #[test]
    fn an_extent_in_degrees_begins_within_the_world() {
        for (text, expected) in [
            ("-185,-22,-170,-10", [175.0, 190.0]),
            ("175,-22,-170,-10", [175.0, 190.0]),
            ("-180,-90,180,90", [-180.0, 180.0]),
            ("-180,10,120,40", [-180.0, 120.0]),
            ("190,10,200,40", [-170.0, -160.0]),
            ("-1500000,-1500000,1500000,1500000,3413", [-180.0, 180.0]),
        ] {
            let [[xmin, _], [xmax, _]] = area(text).wgs84_extent().expect("an extent");
            assert!((xmin - expected[0]).abs() < 1e-6 && (xmax - expected[1]).abs() < 1e-6, "{text}: {xmin} {xmax}");
        }
    }
}
