//! On which side of a ring points lie, for many points in one pass along the ring.
//!
//! The points are sorted by their height, and the pass knows between which of them it is: an edge is compared with the points whose
//! height it reaches, and with no others.

/// Where a point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Inside,
    Outside,
    /// On an edge or corner.
    Edge,
}

/// A point, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// What the caller calls it.
    pub(super) name: (usize, usize),
    pub(super) side: Side,
    at: [f64; 2],
}

/// Points that are asked for at once. Made to be used again and again.
#[derive(Debug, Default)]
pub(super) struct PointSides {
    points: Vec<Asked>,
    heights: Vec<f64>,
}

impl PointSides {
    pub(super) fn clear(&mut self) {
        self.points.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub(super) fn ask(&mut self, name: (usize, usize), at: [f64; 2]) {
        self.points.push(Asked { name, side: Side::Outside, at });
    }

    /// The points by their names, with what the last [`find`](Self::find) found.
    pub(super) fn answers(&mut self) -> &[Asked] {
        self.points.sort_unstable_by_key(|p| p.name);
        &self.points
    }

    /// Finds the side of all points, and answers how many comparisons that took; where it takes more than `most`, not all are right.
    pub(super) fn find(&mut self, ring: &[[f64; 2]], most: usize) -> usize {
        self.points.sort_unstable_by(|a, b| a.at[1].total_cmp(&b.at[1]));
        self.heights.clear();
        self.heights.extend(self.points.iter().map(|p| p.at[1]));
        let Some(first) = ring.first() else { return 0 };
        let mut compared = ring.len();
        let mut place = self.place(first[1]);
        for edge in ring.windows(2) {
            let (next, count) = self.compare([edge[0], edge[1]], place);
            place = next;
            compared += count;
            if compared > most {
                break;
            }
        }
        compared
    }

    /// How many points are below a height.
    fn place(&self, y: f64) -> usize {
        self.heights.partition_point(|height| *height < y)
    }

    /// Compares an edge with the points of its heights, from the place of its first corner on; answers the place of its second corner,
    /// and how many comparisons there were.
    #[inline]
    fn compare(&mut self, [a, b]: [[f64; 2]; 2], place: usize) -> (usize, usize) {
        let (from, to) = (a[1], b[1]);
        if from.is_nan() || to.is_nan() {
            self.points.iter_mut().for_each(|point| point.meet([a, b]));
            return (self.place(to), self.points.len());
        }
        // Upwards as far as the edge goes, or as the points have the height of its first corner.
        let mut end = place;
        while self.heights.get(end).is_some_and(|height| *height <= from.max(to)) {
            self.points[end].meet([a, b]);
            end += 1;
        }
        if to > from {
            // Points at the height of the second corner are not below it.
            let level = self.heights[place..end].iter().rev().take_while(|height| **height == to).count();
            return (end - level, end - place);
        }
        let mut start = place;
        while start > 0 && self.heights[start - 1] >= to {
            start -= 1;
            self.points[start].meet([a, b]);
        }
        (start, end - start)
    }
}

impl Asked {
    /// What one more edge says.
    #[inline]
    fn meet(&mut self, edge: [[f64; 2]; 2]) {
        self.side = after(self.side, edge, self.at);
    }
}

/// The side of a point with one more edge.
#[inline]
fn after(side: Side, [a, b]: [[f64; 2]; 2], [x, y]: [f64; 2]) -> Side {
    let other = match side {
        Side::Edge => return Side::Edge,
        Side::Inside => Side::Outside,
        Side::Outside => Side::Inside,
    };
    let (left, right) = (a[0].min(b[0]), a[0].max(b[0]));
    if (a[1] > y) == (b[1] > y) {
        let level = a[1] == y && b[1] == y && left <= x && x <= right;
        return if level || a == [x, y] || b == [x, y] { Side::Edge } else { side };
    }
    if x < left {
        return other;
    }
    if x > right {
        return side;
    }
    let at = (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0];
    if at == x {
        return Side::Edge;
    }
    if x < at { other } else { side }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A star of many corners, its edges short and long.
    fn star(corners: u32) -> Vec<[f64; 2]> {
        let corner = |i: u32| {
            let (angle, reach) =
                (f64::from(i) / f64::from(corners) * std::f64::consts::TAU, if i.is_multiple_of(2) { 10.0 } else { 4.0 });
            [angle.cos() * reach, angle.sin() * reach]
        };
        (0..=corners).map(|i| corner(i % corners)).collect()
    }

    /// Steps with level edges, whose corners have the heights of the points.
    fn steps() -> Vec<[f64; 2]> {
        let mut ring: Vec<[f64; 2]> =
            (0..9).flat_map(|i| [[f64::from(i), f64::from(i)], [f64::from(i + 1), f64::from(i)]]).collect();
        ring.extend([[9.0, 9.0], [0.0, 9.0], [0.0, 0.0]]);
        ring
    }

    #[test]
    fn many_points_at_once_lie_where_each_lies_alone() {
        let broken = vec![[0.0, 0.0], [f64::NAN, f64::NAN], [4.0, 0.0], [4.0, 4.0], [0.0, 0.0]];
        for ring in [star(10), star(1_000), star(2_000), steps(), broken, vec![[0.0, 1.0]; 100], Vec::new()] {
            let mut points: Vec<[f64; 2]> =
                (-60..60).flat_map(|i| (-60..60).map(move |k| [f64::from(i) / 4.0, f64::from(k) / 4.0])).collect();
            points.extend(ring.iter().step_by(17));
            let mut sides = PointSides::default();
            points.iter().enumerate().for_each(|(name, at)| sides.ask((name, 0), *at));
            sides.find(&ring, usize::MAX);
            for (asked, at) in sides.answers().iter().zip(&points) {
                let alone = ring.windows(2).fold(Side::Outside, |side, edge| after(side, [edge[0], edge[1]], *at));
                assert_eq!(asked.side, alone, "{at:?}");
            }
        }
    }

    #[test]
    fn a_search_that_takes_too_long_ends() {
        // Each edge goes past all points.
        let ring: Vec<[f64; 2]> = (0..2_000).map(|i| [f64::from(i), f64::from(i % 2) * 2_000.0]).collect();
        let mut sides = PointSides::default();
        (0..1_000).for_each(|i| sides.ask((i, 0), [0.5, i as f64]));
        let compared = sides.find(&ring, 10_000);
        assert!((10_000..12_000).contains(&compared), "{compared}");
    }
}
