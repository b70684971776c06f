//! Rings of polygons: plain lists of points, without a spatial reference.

use crate::geometry::{segments_cross, signed_area};

pub(super) type Ring = Vec<[f64; 2]>;

/// An edge of a ring, from point to point.
type Edge = ([f64; 2], [f64; 2]);

/// Edges of open rings that are compared for crossings, all with all.
pub(super) const MOST_EDGES: usize = 10_000;
/// Pairs that are compared.
pub(super) const MOST_PAIRS: usize = 100_000_000;
/// Crossings beyond those of neighbours up to which edges are made into plain rings: each becomes a vertex.
const MOST_CROSSINGS: usize = 20_000;
/// Pairs of edges that meet at a vertex or along a common border, for each edge.
const MEETINGS_PER_EDGE: usize = 10;

/// Shapes of the library (outer rings counter-clockwise, open) as Esri rings (outer rings clockwise, closed).
pub(super) fn esri_rings(shapes: Vec<Vec<Ring>>) -> Vec<Ring> {
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

/// Whether edges of open rings are many, or cross each other so often that making plain rings of them takes long.
pub(super) fn is_entangled<'a>(rings: impl Iterator<Item = &'a Ring>) -> bool {
    let mut edges: Vec<Edge> = Vec::new();
    for ring in rings {
        let ends = ring.iter().skip(1).chain(ring.first());
        edges.extend(ring.iter().copied().zip(ends.copied()));
        if edges.len() > MOST_EDGES {
            return true;
        }
    }
    // Neighbours touch, which is no crossing.
    let most = MOST_CROSSINGS + 2 * edges.len();
    cross_more_often(edges, most)
}

/// Whether edges of closed rings cross so often, or reach past each other so often, that uniting the rings would take long.
pub(super) fn overlap_often<'a>(rings: impl Iterator<Item = &'a Ring>) -> bool {
    let edges: Vec<Edge> = rings.flat_map(|ring| ring.windows(2).map(|w| (w[0], w[1]))).collect();
    let most = MOST_CROSSINGS + MEETINGS_PER_EDGE * edges.len();
    cross_more_often(edges, most)
}

/// Whether so many pairs of edges cross, or reach past each other, that it takes long. From left to right, so that only edges that
/// have some x in common are compared.
fn cross_more_often(mut edges: Vec<Edge>, crossings: usize) -> bool {
    edges.sort_by(|a, b| a.0[0].min(a.1[0]).total_cmp(&b.0[0].min(b.1[0])));
    let (mut pairs, mut crossings) = (MOST_PAIRS, crossings);
    for (i, (a, b)) in edges.iter().enumerate() {
        let (right, low, high) = (a[0].max(b[0]), a[1].min(b[1]), a[1].max(b[1]));
        for (c, d) in edges.iter().skip(i + 1).take_while(|(c, d)| c[0].min(d[0]) <= right) {
            let Some(rest) = pairs.checked_sub(1) else { return true };
            pairs = rest;
            if c[1].min(d[1]) <= high && low <= c[1].max(d[1]) && segments_cross(*a, *b, *c, *d) {
                let Some(rest) = crossings.checked_sub(1) else { return true };
                crossings = rest;
            }
        }
    }
    false
}

/// What of closed rings lies between two meridians, with edges along these: the same ground by the even-odd rule. One pass.
pub(super) fn clipped(rings: &[Ring], left: f64, right: f64) -> Vec<Ring> {
    let cut = |ring: &Ring, x: f64, sign: f64| -> Ring {
        let mut out = Vec::new();
        for w in ring.windows(2) {
            let (a, b) = (sign * (w[0][0] - x), sign * (w[1][0] - x));
            if a >= 0.0 {
                out.push(w[0]);
            }
            if (a > 0.0 && b < 0.0) || (a < 0.0 && b > 0.0) {
                out.push([x, w[0][1] + (w[1][1] - w[0][1]) * a / (a - b)]);
            }
        }
        out.extend(out.first().copied());
        out
    };
    rings.iter().map(|r| cut(&cut(r, left, 1.0), right, -1.0)).filter(|r| r.len() >= 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_clipped_between_two_meridians() {
        let square = vec![[0.0, 0.0], [0.0, 4.0], [4.0, 4.0], [4.0, 0.0], [0.0, 0.0]];
        let parts = clipped(std::slice::from_ref(&square), 1.0, 3.0);
        assert_eq!(parts.iter().map(|r| signed_area(r)).sum::<f64>(), -8.0);
        assert!(clipped(&[square], 5.0, 6.0).is_empty());
    }
}
