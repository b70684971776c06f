//! An area in other references, across the dateline, and small enough for the wire.
//!
//! | what | source |
//! | --- | --- |
//! | `xmin` above `xmax`, rings cut at the antimeridian | RFC 7946 §5.2, §3.1.9 |
//! | an area over the dateline is asked for in parts within ±180 | tile reference §10 |
//! | no geometry text over 100,000 characters | tile reference §10 |
//!
//! That an area may cross the dateline at all is this project's; the ArcGIS workflow names it as a limitation.

use crate::area::AreaOfInterest;
use crate::failure::Failure;
use crate::geometry::{Envelope, Polygon, SpatialReference, signed_area};
use crate::projection::Projection;
use crate::simplify;
use crate::simplify::{clipped, is_entangled};
use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::float::single::SingleFloatOverlay as _;

/// Longest text of a geometry in a request.
pub const LONGEST_GEOMETRY: usize = 100_000;
/// Vertices that projecting adds to the edges of an area, all in all.
const MOST_ADDED: f64 = 20_000.0;
/// What touches the dateline, as a share of the world's width.
const TOUCHES: f64 = 1e-9;

fn bad(message: impl Into<String>) -> Failure {
    Failure::invalid_parameter(message)
}

impl AreaOfInterest {
    /// The area in one piece: x goes on beyond the dateline where the area crosses it.
    ///
    /// Read are an envelope whose `xmin` is above its `xmax`, and a polygon whose rings were cut at the dateline. Another area
    /// stays as it is.
    #[must_use]
    pub fn unwrapped(&self) -> Self {
        let width = self.spatial_reference().and_then(|s| Projection::of(s).ok()?.world_width());
        let Some(width) = width else { return self.clone() };
        match self {
            Self::Envelope(e) if e.xmin > e.xmax => Self::Envelope(Envelope { xmax: e.xmax + width, ..e.clone() }),
            Self::Envelope(_) => self.clone(),
            Self::Polygon(p) => {
                let reach = |r: &Vec<[f64; 2]>| Envelope::of(r.iter().copied()).map_or((0.0, 0.0), |e| (e.xmin, e.xmax));
                let (half, near) = (width / 2.0, width * TOUCHES);
                let east = p.rings.iter().any(|r| reach(r).0 >= 0.0 && (reach(r).1 - half).abs() <= near);
                let west = p.rings.iter().any(|r| reach(r).1 <= 0.0 && (reach(r).0 + half).abs() <= near);
                let one_sided = p.rings.iter().all(|r| reach(r).0 >= 0.0 || reach(r).1 <= 0.0);
                if !(east && west && one_sided) {
                    return self.clone();
                }
                let moved = |r: &Vec<[f64; 2]>| -> Vec<[f64; 2]> {
                    let shift = if reach(r).0 < 0.0 { width } else { 0.0 };
                    r.iter().map(|[x, y]| [x + shift, *y]).collect()
                };
                Self::Polygon(Polygon { rings: p.rings.iter().map(moved).collect(), ..p.clone() })
            }
        }
    }

    /// Whether it reaches over the dateline.
    #[must_use]
    pub fn crosses_dateline(&self) -> bool {
        self.parts().len() > 1
    }

    /// The area as pieces that each lie within the world: one, or two where it crosses the dateline.
    ///
    /// An envelope gives envelopes, a polygon polygons. Pieces share at most an edge, so nothing is in two of them.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let whole = self.unwrapped();
        let width = whole.spatial_reference().and_then(|s| Projection::of(s).ok()?.world_width());
        let (Some(width), Some(e)) = (width, whole.envelope()) else { return vec![whole] };
        let half = width / 2.0;
        let slack = width * TOUCHES;
        if e.xmin >= -half - slack && e.xmax <= half + slack {
            return vec![whole];
        }
        let mut parts = Vec::new();
        for turn in [-1.0, 0.0, 1.0] {
            let shift = turn * width;
            let (left, right) = (e.xmin.max(shift - half), e.xmax.min(shift + half));
            if right - left <= slack {
                continue;
            }
            match &whole {
                Self::Envelope(e) => {
                    parts.push(Self::Envelope(Envelope { xmin: left - shift, xmax: right - shift, ..e.clone() }));
                }
                Self::Polygon(p) => {
                    let rings = if is_entangled(p.rings.iter()) {
                        clipped(&p.rings, left, right)
                    } else {
                        let window = vec![[left, e.ymin], [left, e.ymax], [right, e.ymax], [right, e.ymin]];
                        esri_rings(p.rings.overlay_as::<i64>(&window, OverlayRule::Intersect, FillRule::EvenOdd))
                    };
                    let rings =
                        rings.into_iter().map(|r| r.into_iter().map(|[x, y]| [(x - shift).clamp(-half, half), y]).collect());
                    let rings: Vec<Vec<[f64; 2]>> = rings.collect();
                    if !rings.is_empty() {
                        parts.push(Self::Polygon(Polygon { rings, spatial_reference: p.spatial_reference.clone() }));
                    }
                }
            }
        }
        parts
    }

    /// The pieces of the area in another reference, each within the world: see [`AreaOfInterest::parts`].
    ///
    /// # Errors
    /// As [`AreaOfInterest::project`].
    pub fn parts_in(&self, to: &SpatialReference) -> Result<Vec<Self>, Failure> {
        Ok(self.unwrapped().project(to)?.parts())
    }

    /// The area for one request: within the world (two pieces become one polygon), and simplified if its text is too long.
    #[must_use]
    pub fn for_wire(&self) -> Self {
        let mut parts = self.parts();
        let one = match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                let rings = parts.iter().flat_map(|p| p.polygon().rings).collect();
                Self::Polygon(Polygon { rings, spatial_reference: self.spatial_reference().cloned() })
            }
            (None, _) => self.clone(),
        };
        one.simplified(LONGEST_GEOMETRY)
    }

    /// The area with fewer vertices, so that its JSON has at most `longest` characters. Never smaller than it was: lines are
    /// straightened within a tolerance, and the whole is grown by it.
    #[must_use]
    pub fn simplified(&self, longest: usize) -> Self {
        self.simplified_unless(longest, &|| false).unwrap_or_else(|| self.clone())
    }

    /// The same; `None` if `stop`, which is asked between the steps, says so.
    #[must_use]
    pub fn simplified_unless(&self, longest: usize, stop: &dyn Fn() -> bool) -> Option<Self> {
        match self {
            Self::Envelope(_) => Some(self.clone()),
            Self::Polygon(polygon) => simplify::simplified(polygon, longest, stop),
        }
    }

    /// Projects the area; x beyond the dateline stays beyond it, and an edge that is long stays long: only an envelope whose `xmin`
    /// is above its `xmax` crosses the dateline. An envelope becomes the envelope around its edges, however they bend; edges of a
    /// polygon are densified. What lies around a pole reaches all longitudes up to it.
    ///
    /// # Errors
    /// If either reference is unknown, or part of the area has no place in the other one.
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
        let find = |reference: &SpatialReference| {
            let failed = |words| bad(format!("cannot project the area of interest from {from} to {to}, {words}"));
            Projection::of(reference).map_err(failed)
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

impl SpatialReference {
    /// Checks that areas can be brought into it.
    ///
    /// # Errors
    /// If it is not known by a number of the EPSG list, or needs grid files.
    pub fn check(&self) -> Result<(), Failure> {
        Projection::of(self).map(drop).map_err(|words| bad(format!("{self}, {words}")))
    }

    /// The whole world in it, where x runs around it; for Web Mercator its square.
    #[must_use]
    pub fn world(&self) -> Option<Envelope> {
        let half = Projection::of(self).ok()?.world_width()? / 2.0;
        let top = if self.is_web_mercator() { half } else { 90.0 };
        Some(Envelope::new(-half, -top, half, top, self.clone()))
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

/// A closed ring in another reference; `None` where a point has no place in it.
///
/// x runs around the world in some references, so a point has many. Where it does in both, the one that the source has is kept,
/// and so is every step from point to point. Out of a plane reference points come within one turn: there a step of more than half
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

/// Shapes of the library (outer rings counter-clockwise, open) as Esri rings (outer rings clockwise, closed).
pub(super) fn esri_rings(shapes: Vec<Vec<Vec<[f64; 2]>>>) -> Vec<Vec<[f64; 2]>> {
    let mut rings = Vec::new();
    for shape in shapes {
        for (i, mut ring) in shape.into_iter().enumerate() {
            ring.extend(ring.first().copied());
            if (signed_area(&ring) > 0.0) == (i == 0) {
                ring.reverse();
            }
            if ring.len() >= 4 {
                rings.push(ring);
            }
        }
    }
    rings
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
    fn three_ways_to_write_an_area_over_the_dateline_mean_the_same() {
        let cut = r#"{"type":"MultiPolygon","coordinates":[
            [[[175,-22],[180,-22],[180,-10],[175,-10],[175,-22]]], [[[-180,-22],[-170,-22],[-170,-10],[-180,-10],[-180,-22]]]]}"#;
        for text in ["175,-22,-170,-10", "175,-22,190,-10", "-185,-22,-170,-10", cut] {
            let area = area(text);
            let parts = area.parts();
            assert_eq!(parts.len(), 2, "{text}");
            let mut reaches: Vec<[f64; 2]> = parts.iter().map(reach).collect();
            reaches.sort_by(|a, b| b[0].total_cmp(&a[0]));
            for (found, expected) in reaches.iter().zip([[175.0, 180.0], [-180.0, -170.0]]) {
                assert!(
                    (found[0] - expected[0]).abs() < 1e-6 && (found[1] - expected[1]).abs() < 1e-6,
                    "{text}: {reaches:?}"
                );
            }
            let wire = area.for_wire().polygon();
            assert!(wire.contains([178.0, -18.0]) && wire.contains([-175.0, -18.0]) && !wire.contains([0.0, -18.0]));
            let [[xmin, _], [xmax, _]] = area.wgs84_extent().expect("an extent");
            assert!((xmax - xmin - 15.0).abs() < 1e-6, "{text}: in one piece");
        }
        assert!(!area("175,-22,180,-10").crosses_dateline());
        assert!(!area("-180,-90,180,90").crosses_dateline());
    }

    #[test]
    fn a_slanted_polygon_is_cut_at_the_dateline_and_loses_nothing() {
        let triangle = area(r#"{"rings":[[[175,-20],[180,-10],[189,-15],[175,-20]]],"spatialReference":{"wkid":4326}}"#);
        let mercator = triangle.parts_in(&SpatialReference::web_mercator()).expect("projects");
        assert_eq!(mercator.len(), 2);
        let parts = triangle.parts();
        let size = |a: &AreaOfInterest| a.polygon().rings.iter().map(|r| signed_area(r)).sum::<f64>();
        let sum: f64 = parts.iter().map(size).sum();
        assert!((sum - size(&triangle.unwrapped())).abs() < 1e-6, "{sum}");
        assert!(sum < 0.0, "outer rings are clockwise");
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

    #[test]
    fn a_polygon_of_very_many_vertices_shrinks_in_text_and_never_in_ground() {
        let count = 4_000;
        let star = |radius: f64, wave: f64| -> Vec<[f64; 2]> {
            let point = |i: i32| {
                let angle = f64::from(i % count) / f64::from(count) * std::f64::consts::TAU;
                let r = radius * (1.0 + wave * (angle * 40.0).sin());
                [8.0 + r * angle.sin(), 47.0 + r * angle.cos()]
            };
            (0..=count).map(point).collect()
        };
        let hole: Vec<[f64; 2]> = star(0.5, 0.01).into_iter().rev().collect();
        let polygon = Polygon { rings: vec![star(2.0, 0.02), hole], spatial_reference: Some(SpatialReference::wgs84()) };
        let area = AreaOfInterest::Polygon(polygon.clone());
        let small = area.for_wire();
        assert!(serde_json::to_string(&small).expect("JSON").len() <= LONGEST_GEOMETRY);
        let result = small.polygon();
        assert!(polygon.rings.iter().flatten().all(|p| result.contains(*p)), "every vertex is still inside");
        assert!(!result.contains([8.0, 47.0]), "the hole is still a hole");
        assert!(!result.contains([8.0, 49.5]), "and it has not grown beyond reason");
        let same = AreaOfInterest::from_numbers("5,45,10,48").expect("an area");
        assert_eq!(same.for_wire(), same);
    }
}
