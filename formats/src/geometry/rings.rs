//! Which rings of a polygon are holes, and of which ring.
//!
//! Formats disagree on the direction of rings, and files on their own format, so rings are judged by where they lie: a ring inside
//! an even number of others is an outer one, inside an odd number a hole of the smallest of them. Only a shape whose rings would take
//! unreasonably long to compare, as no map has them, is judged by direction: whatever runs as its first ring is an outer one.

use super::kind::GeometryKind;
use super::model::Geometry;
use super::point_sides::{PointSides, Side};
use offmap_model::geometry::signed_area;
use std::ops::Range;

/// Comparisons of rings and edges for one shape.
const MOST_WORK: usize = 1 << 31;
/// Corners of a ring that are tried for one that is not on the other ring's edge.
const CORNERS: usize = 64;

/// A ring of a polygon, and how it is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingRef {
    /// Its points in the shape.
    pub points: Range<usize>,
    /// Whether they have to be read backwards, so that outer rings run counter-clockwise and holes clockwise.
    pub reversed: bool,
}

#[derive(Debug)]
struct Ring {
    points: Range<usize>,
    extent: [f64; 4],
    area: f64,
    /// How many rings it is within, and the smallest of them.
    depth: u32,
    within: Option<usize>,
    /// The outer ring whose hole it is.
    hole_of: Option<usize>,
}

/// The rings of one polygon after the other, sorted into polygons with their holes. Made to be used again and again.
///
/// ```
/// use offmap_formats::geometry::{Geometry, GeometryKind, RingGroups};
///
/// let mut shape = Geometry::default();
/// shape.begin(GeometryKind::Polygon, false, false);
/// for (low, high) in [(0.0, 9.0), (3.0, 6.0), (20.0, 30.0)] {
///     for [x, y] in [[low, low], [high, low], [high, high], [low, high]] {
///         shape.add_point([x, y], 0.0, 0.0);
///     }
///     shape.close_part();
/// }
/// let mut groups = RingGroups::default();
/// groups.sort(&shape);
/// let rings: Vec<usize> = groups.polygons().map(<[_]>::len).collect();
/// assert_eq!(rings, [2, 1]);
/// ```
#[derive(Debug, Default)]
pub struct RingGroups {
    rings: Vec<Ring>,
    by_x: Vec<usize>,
    sides: PointSides,
    sorted: Vec<RingRef>,
    ends: Vec<usize>,
    work: usize,
}

impl RingGroups {
    /// Sorts the rings of a shape; a shape that is no polygon has none.
    pub fn sort(&mut self, shape: &Geometry) {
        self.rings.clear();
        self.sorted.clear();
        self.ends.clear();
        self.work = 0;
        if shape.kind() != GeometryKind::Polygon {
            return;
        }
        for points in shape.part_ranges() {
            let ring = &shape.xy()[points.clone()];
            let [x, y] = ring[0];
            let extent = ring.iter().fold([x, y, x, y], |[a, b, c, d], [x, y]| [a.min(*x), b.min(*y), c.max(*x), d.max(*y)]);
            let area = signed_area(ring);
            self.rings.push(Ring { points, extent, area, depth: 0, within: None, hole_of: None });
        }
        if self.rings.len() > 1 && !self.nest(shape.xy()) {
            self.nest_by_direction();
        }
        self.arrange();
    }

    /// The polygons: each an outer ring, and behind it its holes.
    pub fn polygons(&self) -> impl ExactSizeIterator<Item = &[RingRef]> + '_ {
        let begin = |n: usize| n.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ends.iter().enumerate().map(move |(n, end)| &self.sorted[begin(n)..*end])
    }

    /// Finds the ring whose hole each ring is; false if that takes too long.
    fn nest(&mut self, xy: &[[f64; 2]]) -> bool {
        self.by_x.clear();
        self.by_x.extend(0..self.rings.len());
        let rings = &self.rings;
        // What contains a ring comes before it.
        self.by_x.sort_by(|a, b| {
            let (a, b) = (&rings[*a], &rings[*b]);
            a.extent[0].total_cmp(&b.extent[0]).then(b.area.abs().total_cmp(&a.area.abs()))
        });
        for place in 0..self.by_x.len() {
            self.find_within(place, xy);
            if self.work > MOST_WORK {
                return false;
            }
        }
        for ring in &mut self.rings {
            ring.hole_of = ring.within.filter(|_| ring.depth % 2 == 1);
        }
        true
    }

    /// Finds the rings that are within one, which come behind it.
    fn find_within(&mut self, place: usize, xy: &[[f64; 2]]) {
        let outer = self.by_x[place];
        let Ring { points, extent, area, .. } = &self.rings[outer];
        let edges = &xy[points.clone()];
        self.sides.clear();
        for inner in &self.by_x[place + 1..] {
            let ring = &self.rings[*inner];
            if ring.extent[0] > extent[2] {
                break;
            }
            self.work += 1;
            let (o, i) = (extent, &ring.extent);
            let reaches = o[0] <= i[0] && o[1] <= i[1] && o[2] >= i[2] && o[3] >= i[3];
            if reaches && area.abs() > ring.area.abs() {
                self.sides.ask((*inner, 0), xy[ring.points.start]);
            }
        }
        if self.sides.is_empty() {
            return;
        }
        self.work += self.sides.find(edges, MOST_WORK.saturating_sub(self.work));
        let (mut inside, mut unclear) = (Vec::new(), Vec::new());
        for asked in self.sides.answers() {
            match asked.side {
                Side::Inside => inside.push(asked.name.0),
                Side::Outside => {}
                Side::Edge => unclear.push(asked.name.0),
            }
        }
        self.judge_by_more_corners(&unclear, edges, xy, &mut inside);
        for inner in inside {
            let within = self.rings[inner].within;
            let is_smaller = within.is_none_or(|best| self.rings[outer].area.abs() < self.rings[best].area.abs());
            let ring = &mut self.rings[inner];
            ring.depth += 1;
            if is_smaller {
                ring.within = Some(outer);
            }
        }
    }

    /// Rings whose first corner is on an edge of the other ring lie where their first corner lies that is on none.
    fn judge_by_more_corners(&mut self, unclear: &[usize], edges: &[[f64; 2]], xy: &[[f64; 2]], inside: &mut Vec<usize>) {
        if unclear.is_empty() {
            return;
        }
        self.sides.clear();
        for inner in unclear {
            for (corner, at) in xy[self.rings[*inner].points.clone()].iter().enumerate().take(CORNERS) {
                self.sides.ask((*inner, corner), *at);
            }
        }
        self.work += self.sides.find(edges, MOST_WORK.saturating_sub(self.work));
        for corners in self.sides.answers().chunk_by(|a, b| a.name.0 == b.name.0) {
            let side = corners.iter().map(|c| c.side).find(|side| *side != Side::Edge);
            // All along the other one's edge, and within its reach, is inside.
            if side.is_none_or(|side| side == Side::Inside) {
                inside.push(corners[0].name.0);
            }
        }
    }

    fn nest_by_direction(&mut self) {
        let direction = self.rings.first().map_or(1.0, |r| r.area.signum());
        let mut outer = 0;
        for (at, ring) in self.rings.iter_mut().enumerate() {
            match ring.area.signum() == direction {
                true => (outer, ring.hole_of) = (at, None),
                false => ring.hole_of = Some(outer),
            }
        }
    }

    /// Outer rings in the order of the shape, each with its holes.
    fn arrange(&mut self) {
        self.by_x.clear();
        self.by_x.extend(0..self.rings.len());
        let rings = &self.rings;
        self.by_x.sort_by_key(|at| (rings[*at].hole_of.unwrap_or(*at), rings[*at].hole_of.is_some(), *at));
        for at in &self.by_x {
            let ring = &self.rings[*at];
            if ring.hole_of.is_none() && !self.sorted.is_empty() {
                self.ends.push(self.sorted.len());
            }
            let runs_forward = ring.area > 0.0;
            let reversed = ring.area != 0.0 && runs_forward == ring.hole_of.is_some();
            self.sorted.push(RingRef { points: ring.points.clone(), reversed });
        }
        if !self.sorted.is_empty() {
            self.ends.push(self.sorted.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(squares: &[(f64, f64, f64, bool)]) -> Geometry {
        let mut shape = Geometry::default();
        shape.begin(GeometryKind::Polygon, false, false);
        for (x, y, size, clockwise) in squares {
            let mut ring = [[*x, *y], [x + size, *y], [x + size, y + size], [*x, y + size]];
            if *clockwise {
                ring.reverse();
            }
            ring.iter().for_each(|p| shape.add_point(*p, 0.0, 0.0));
            shape.close_part();
        }
        shape
    }

    /// For each polygon the x at which its rings begin, and whether they are turned round.
    fn sorted(shape: &Geometry) -> Vec<Vec<(f64, bool)>> {
        let mut groups = RingGroups::default();
        groups.sort(shape);
        let x = |r: &RingRef| shape.xy()[r.points.clone()].iter().map(|p| p[0]).fold(f64::MAX, f64::min);
        groups.polygons().map(|rings| rings.iter().map(|r| (x(r), r.reversed)).collect()).collect()
    }

    #[test]
    fn holes_and_islands_in_them_are_found_whatever_their_direction() {
        // An island in a lake of an island, a second lake, and a second island; holes come before their ring, too.
        for (outer, hole) in [(false, false), (false, true), (true, false), (true, true)] {
            let squares = [
                (20.0, 20.0, 5.0, hole),
                (0.0, 0.0, 100.0, outer),
                (10.0, 10.0, 40.0, hole),
                (15.0, 15.0, 20.0, outer),
                (60.0, 60.0, 10.0, hole),
                (200.0, 0.0, 10.0, outer),
            ];
            let expected = vec![
                vec![(0.0, outer), (10.0, !hole), (60.0, !hole)],
                vec![(15.0, outer), (20.0, !hole)],
                vec![(200.0, outer)],
            ];
            assert_eq!(sorted(&shape(&squares)), expected);
        }
    }

    #[test]
    fn a_hole_that_touches_its_ring_is_one_and_neighbours_are_none() {
        assert_eq!(sorted(&shape(&[(0.0, 0.0, 10.0, false), (0.0, 2.0, 3.0, false)])).len(), 1);
        assert_eq!(sorted(&shape(&[(0.0, 0.0, 10.0, false), (10.0, 2.0, 3.0, false)])).len(), 2);
        // Two rings at the same place are two outer rings: neither is larger.
        assert_eq!(sorted(&shape(&[(0.0, 0.0, 10.0, false), (0.0, 0.0, 10.0, false)])).len(), 2);
        assert!(sorted(&Geometry::default()).is_empty());
    }

    #[test]
    fn many_lakes_in_one_great_ring_are_its_holes() {
        let mut shape = Geometry::default();
        shape.begin(GeometryKind::Polygon, false, false);
        let corners = 20_000_u32;
        for i in 0..corners {
            let angle = f64::from(i) / f64::from(corners) * std::f64::consts::TAU;
            shape.add_point([1_000.0 * angle.cos(), 1_000.0 * angle.sin()], 0.0, 0.0);
        }
        shape.close_part();
        for i in 0..2_500_u32 {
            let (x, y) = (f64::from(i % 50) * 20.0 - 500.0, f64::from(i / 50) * 20.0 - 500.0);
            [[x, y], [x + 5.0, y], [x + 5.0, y + 5.0]].iter().for_each(|p| shape.add_point(*p, 0.0, 0.0));
            shape.close_part();
        }
        let mut groups = RingGroups::default();
        groups.sort(&shape);
        assert_eq!(groups.polygons().map(<[_]>::len).collect::<Vec<_>>(), [2_501]);
        assert!(groups.work < 5_000_000, "{} comparisons", groups.work);
    }
}
