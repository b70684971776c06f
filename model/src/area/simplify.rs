//! Fewer vertices for a polygon, in bounded time: every step takes time in line with the number of vertices, whatever their shape.
//!
//! 1. Straighten each ring within a tolerance, in one pass.
//! 2. Once few vertices are left: make plain rings of them and grow these by the tolerance, so that nothing is lost.
//! 3. See that every vertex of the polygon is inside; else, and while the text is too long, repeat with twice the tolerance.

use super::area_of_interest::AreaOfInterest;
use super::rings::{Ring, esri_rings, is_entangled};
use crate::geometry::{Envelope, Polygon, crosses_ray};
use crate::json::json_bytes;
use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::float::simplify::SimplifyShape as _;
use i_overlay::float::single::SingleFloatOverlay as _;
use i_overlay::mesh::float::outline::offset::OutlineOffset as _;
use i_overlay::mesh::float::style::{LineJoin, OutlineStyle};

/// Characters of a vertex in JSON, at least.
const SHORTEST_VERTEX: usize = 20;
/// Share of an area's size at which simplification begins.
const FIRST_TOLERANCE: f64 = 1e-6;
/// Angle of the pieces of a round corner, in radians.
const ROUND: f64 = 0.5;
/// How far round corners made of pieces stay behind a true arc, with a margin for the library's grid.
const ROUND_MARGIN: f64 = 1.05;
/// Bands of height in which the edges of a polygon are looked up.
const BANDS: usize = 1024;

/// The polygon with a text of at most `longest` characters, or the envelope around it; never less than the polygon. `None` when
/// `stop` says so, which is asked between the steps.
pub(super) fn simplified(polygon: &Polygon, longest: usize, stop: &dyn Fn() -> bool) -> Option<AreaOfInterest> {
    let too_long =
        |p: &Polygon| p.rings.iter().map(Vec::len).sum::<usize>().saturating_mul(2) > longest || json_bytes(p) > longest;
    let Some(e) = polygon.envelope().filter(|_| too_long(polygon)) else {
        return Some(AreaOfInterest::Polygon(polygon.clone()));
    };
    let size = (e.xmax - e.xmin).max(e.ymax - e.ymin);
    let mut tolerance = size * FIRST_TOLERANCE;
    while tolerance < size / 4.0 {
        if stop() {
            return None;
        }
        if let Some(rings) = grown(&polygon.rings, tolerance, longest / SHORTEST_VERTEX) {
            let result = Polygon { rings, spatial_reference: polygon.spatial_reference.clone() };
            if !too_long(&result)
                && Bands::of(&result).is_some_and(|b| polygon.rings.iter().flatten().all(|p| b.contains(*p)))
            {
                return Some(AreaOfInterest::Polygon(result));
            }
        }
        tolerance *= 2.0;
    }
    Some(AreaOfInterest::Envelope(e))
}

/// The rings straightened within a tolerance and grown by it; `None` while that leaves more than `most` vertices, or edges that
/// cross too often.
///
/// No point of a straightened ring passes over a point that is farther than the tolerance from it. So what was inside still is,
/// or lies within the tolerance of the new edges, by which these grow. A ring that is no wider than the tolerance, such as a small
/// island, becomes the box around it.
fn grown(rings: &[Ring], tolerance: f64, most: usize) -> Option<Vec<Ring>> {
    let mut straight: Vec<Ring> = Vec::new();
    let mut boxes: Vec<Ring> = Vec::new();
    let mut vertices = 0;
    for ring in rings {
        let line = straightened(ring, tolerance);
        if line.len() >= 3 {
            vertices += line.len();
            straight.push(line);
        } else if let Some(e) = Envelope::of(ring.iter().copied()) {
            let (left, right) = (e.xmin - tolerance, e.xmax + tolerance);
            let (low, high) = (e.ymin - tolerance, e.ymax + tolerance);
            boxes.push(vec![[left, low], [right, low], [right, high], [left, high]]);
            vertices += 4;
        }
        if vertices > most {
            return None;
        }
    }
    if is_entangled(straight.iter().chain(&boxes)) {
        return None;
    }
    let style = OutlineStyle::new(tolerance * ROUND_MARGIN).line_join(LineJoin::Round(ROUND));
    let plain = straight.simplify_shape(FillRule::EvenOdd);
    let mut shapes = plain.outline_as::<i64>(&style);
    if !boxes.is_empty() {
        shapes = shapes.overlay_as::<i64>(&boxes, OverlayRule::Union, FillRule::NonZero);
    }
    Some(esri_rings(shapes))
}

/// The line from a point along which the points that follow are straightened away.
struct Corridor {
    from: [f64; 2],
    /// Half the width.
    half: f64,
    farthest: f64,
    /// A direction, and how far the line may turn from it to either side.
    turn: Option<(f64, f64, f64)>,
}

impl Corridor {
    fn new(from: [f64; 2], half: f64) -> Self {
        Self { from, half, farthest: 0.0, turn: None }
    }

    /// Accepts a point if the line to it is near all points that were accepted before.
    fn accepts(&mut self, [x, y]: [f64; 2]) -> bool {
        let (dx, dy) = (x - self.from[0], y - self.from[1]);
        let distance = dx.hypot(dy);
        // The line may end behind its farthest point by half its width, so that nothing is farther than the width from it.
        if distance + self.half < self.farthest {
            return false;
        }
        let direction = dy.atan2(dx);
        let (middle, left, right) = self.turn.unwrap_or((direction, -std::f64::consts::PI, std::f64::consts::PI));
        let turned = around(direction - middle);
        if !(left..=right).contains(&turned) {
            return false;
        }
        self.farthest = self.farthest.max(distance);
        if distance > self.half {
            let spread = (self.half / distance).asin();
            self.turn = Some((middle, left.max(turned - spread), right.min(turned + spread)));
        }
        true
    }
}

/// An angle within half a turn to either side.
fn around(angle: f64) -> f64 {
    use std::f64::consts::{PI, TAU};
    match angle {
        a if a > PI => a - TAU,
        a if a < -PI => a + TAU,
        a => a,
    }
}

/// A closed ring straightened, as an open one: no vertex is farther than `tolerance` from the edge that takes its place. One pass.
fn straightened(ring: &[[f64; 2]], tolerance: f64) -> Ring {
    let Some(first) = ring.first().copied() else { return Vec::new() };
    let half = tolerance / 2.0;
    let mut kept = vec![first];
    let mut corridor = Corridor::new(first, half);
    let mut last = first;
    for point in ring.iter().skip(1).copied().chain([first]) {
        if !corridor.accepts(point) {
            kept.push(last);
            corridor = Corridor::new(last, half);
            corridor.accepts(point);
        }
        last = point;
    }
    kept
}

/// The edges of a polygon by bands of height, so that a point is compared with few of them.
struct Bands {
    low: f64,
    height: f64,
    edges: Vec<([f64; 2], [f64; 2])>,
    bands: Vec<Vec<u32>>,
}

impl Bands {
    fn of(polygon: &Polygon) -> Option<Self> {
        let e = polygon.envelope().filter(|e| e.ymax > e.ymin)?;
        let edges = polygon.rings.iter().flat_map(|ring| ring.windows(2).map(|w| (w[0], w[1]))).collect();
        let height = (e.ymax - e.ymin) / BANDS as f64;
        let mut all = Self { low: e.ymin, height, edges, bands: vec![Vec::new(); BANDS] };
        for (i, (a, b)) in (0..).zip(&all.edges) {
            let (first, last) = (all.band(a[1].min(b[1])), all.band(a[1].max(b[1])));
            all.bands.get_mut(first..=last).into_iter().flatten().for_each(|band| band.push(i));
        }
        Some(all)
    }

    fn band(&self, y: f64) -> usize {
        // Saturating by language: below the lowest band is the lowest.
        (((y - self.low) / self.height) as usize).min(BANDS - 1)
    }

    /// As [`Polygon::contains`].
    fn contains(&self, [x, y]: [f64; 2]) -> bool {
        let near = self.bands.get(self.band(y)).into_iter().flatten().filter_map(|i| self.edges.get(*i as usize));
        near.filter(|(a, b)| crosses_ray(*a, *b, [x, y])).count() % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{SpatialReference, signed_area};

    const LONGEST: usize = 100_000;

    fn polygon(rings: Vec<Ring>) -> Polygon {
        Polygon { rings, spatial_reference: Some(SpatialReference::wgs84()) }
    }

    /// A closed ring of so many vertices, by the reach at each share of a turn.
    fn ring(count: u32, reach: impl Fn(f64) -> f64) -> Ring {
        let at = |i: u32| {
            let share = f64::from(i % count) / f64::from(count);
            let (sin, cos) = (share * std::f64::consts::TAU).sin_cos();
            [8.0 + reach(share) * sin, 47.0 + reach(share) * cos]
        };
        (0..=count).map(at).collect()
    }

    /// Numbers between 0 and 1 that follow no order.
    fn scattered(i: f64) -> f64 {
        ((i * 12.9898).sin() * 43_758.545_3).fract().abs()
    }

    fn small(polygon: &Polygon) -> AreaOfInterest {
        let result = simplified(polygon, LONGEST, &|| false).expect("is not stopped");
        assert!(json_bytes(&result) <= LONGEST);
        let found = result.polygon();
        let bands = Bands::of(&found).expect("has a height");
        assert!(polygon.rings.iter().flatten().all(|p| bands.contains(*p) || matches!(result, AreaOfInterest::Envelope(_))));
        result
    }

    #[test]
    fn an_outline_of_many_vertices_keeps_its_size() {
        let rough = polygon(vec![ring(60_000, |s| 2.0 + 0.005 * scattered(s * 1e4) + 0.1 * (s * 300.0).sin())]);
        let AreaOfInterest::Polygon(result) = small(&rough) else { panic!("a polygon") };
        let size = |p: &Polygon| p.rings.iter().map(|r| signed_area(r)).sum::<f64>().abs();
        let (before, after) = (size(&rough), size(&result));
        assert!(after >= before && after < before * 1.05, "{before} {after}");
    }

    #[test]
    fn a_simple_shape_of_many_vertices_becomes_the_simple_shape() {
        let side = |a: [f64; 2], b: [f64; 2]| -> Ring {
            (0..16_000)
                .map(|i| f64::from(i) / 16_000.0)
                .map(|t| [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t])
                .collect()
        };
        let corners = [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]];
        let mut square: Ring = corners.windows(2).flat_map(|w| side(w[0], w[1])).collect();
        square.push([0.0, 0.0]);
        let AreaOfInterest::Polygon(result) = small(&polygon(vec![square])) else { panic!("a polygon") };
        assert!(result.rings.len() == 1 && result.rings[0].len() < 40, "{} vertices", result.rings[0].len());
        assert!((signed_area(&result.rings[0]).abs() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn small_islands_stay_and_so_do_holes() {
        let island = |i: u32| {
            let (x, y) = (f64::from(i % 20), f64::from(i / 20));
            ring(800, |_| 1e-7).iter().map(|[a, b]| [a + x, b + y]).collect::<Ring>()
        };
        let result = small(&polygon((0..400).map(island).collect())).polygon();
        assert!(result.rings.len() == 400, "{}", result.rings.len());
        let holed = polygon(vec![ring(60_000, |s| 2.0 + 0.01 * (s * 9e3).sin()), ring(9_000, |_| 1.0)]);
        let result = small(&holed).polygon();
        assert!(!result.contains([8.0, 47.0]) && result.contains([8.0, 48.5]));
    }

    #[test]
    fn shapes_that_were_made_to_take_long_end_as_something_that_holds_them() {
        // Edges that all cross each other, a comb of long teeth, a spiral, the same ring many times.
        let star = ring(60_000, |s| 2.0 + 0.0 * s).chunks(1).enumerate().fold(Vec::new(), |mut all: Ring, (i, p)| {
            let far = [16.0 - p[0][0], 94.0 - p[0][1]];
            all.extend(if i % 2 == 0 { [p[0], far] } else { [far, p[0]] });
            all
        });
        let closed = |mut ring: Ring| {
            ring.extend(ring.first().copied());
            ring
        };
        let tooth = |i: u32| [f64::from(i) * 1e-4, if i.is_multiple_of(2) { 0.0 } else { 3.0 + f64::from(i % 100) * 1e-3 }];
        let comb: Ring = (0..60_000).map(tooth).map(|[x, y]| [x + y, y - x]).collect();
        let spiral = |i: u32| {
            let turn = f64::from(i) / 60.0;
            [turn.cos() * turn * 1e-3, turn.sin() * turn * 1e-3]
        };
        let shapes = [
            vec![closed(star)],
            vec![closed(comb)],
            vec![closed((0..60_000).map(spiral).collect())],
            vec![ring(600, |s| 1.0 + scattered(s * 1e3)); 100],
        ];
        for rings in shapes {
            small(&polygon(rings));
        }
    }

    #[test]
    fn simplification_ends_when_it_is_told_to() {
        let rough = polygon(vec![ring(20_000, |s| 2.0 + 0.01 * scattered(s * 1e4))]);
        let asked = std::cell::Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        assert_eq!(simplified(&rough, LONGEST, &stop), None);
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn straightening_keeps_to_its_tolerance() {
        let rough = ring(5_000, |s| 2.0 + 0.01 * scattered(s * 1e4));
        for tolerance in [1e-4, 1e-2, 0.3] {
            let mut line = straightened(&rough, tolerance);
            assert!(line.len() < rough.len());
            line.push(line[0]);
            let near = |p: &[f64; 2]| {
                line.windows(2).any(|w| {
                    let (dx, dy) = (w[1][0] - w[0][0], w[1][1] - w[0][1]);
                    let length = dx * dx + dy * dy;
                    let t = if length > 0.0 { ((p[0] - w[0][0]) * dx + (p[1] - w[0][1]) * dy) / length } else { 0.0 };
                    let t = t.clamp(0.0, 1.0);
                    (p[0] - w[0][0] - t * dx).hypot(p[1] - w[0][1] - t * dy) <= tolerance
                })
            };
            assert!(rough.iter().all(near), "{tolerance}");
        }
    }
}
