//! Whether points lie in a ring, when many points are asked about a ring of many edges.
//!
//! The height of the ring is cut into slabs, and each slab lists the edges that reach into it: a point is compared with the edges of
//! its own slab only.

/// Rings of fewer edges are searched as they are.
const FEW: usize = 64;
/// Edges that a slab has, were all edges short.
const EDGES_OF_A_SLAB: usize = 8;
/// Entries of all slabs, for each edge: what long edges may cost.
const MOST_ENTRIES: usize = 8;

/// Where a point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Inside,
    Outside,
    /// On an edge or corner.
    Edge,
}

/// The slabs of one ring.
#[derive(Debug, Default)]
pub(super) struct Slabs {
    low: f64,
    per_unit: f64,
    /// For each slab the index of its first entry, and one more for the end.
    starts: Vec<u32>,
    edges: Vec<u32>,
}

impl Slabs {
    /// The slabs of a closed ring; `None` where they are not worth it.
    pub(super) fn of(ring: &[[f64; 2]]) -> Option<Self> {
        let edges = ring.len().checked_sub(1).filter(|edges| *edges >= FEW)?;
        let (low, high) = ring.iter().fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p[1]), high.max(p[1])));
        let height = high - low;
        if !(height.is_finite() && height > 0.0) {
            return None;
        }
        let mut count = edges / EDGES_OF_A_SLAB;
        while count > 1 {
            let slabs = Self { low, per_unit: count as f64 / height, ..Self::default() };
            let entries: usize = ring.windows(2).map(|e| slabs.reached(e, count)).map(|(a, b)| b - a + 1).sum();
            if entries <= edges * MOST_ENTRIES {
                return Some(slabs.filled(ring, count, entries));
            }
            count /= 4;
        }
        None
    }

    fn slab(&self, y: f64, count: usize) -> usize {
        // A slab before the first one or behind the last one is that one; what is cast is never negative.
        (((y - self.low) * self.per_unit).max(0.0) as usize).min(count - 1)
    }

    fn reached(&self, edge: &[[f64; 2]], count: usize) -> (usize, usize) {
        let (a, b) = (self.slab(edge[0][1], count), self.slab(edge[1][1], count));
        (a.min(b), a.max(b))
    }

    fn filled(mut self, ring: &[[f64; 2]], count: usize, entries: usize) -> Self {
        self.starts = vec![0; count + 2];
        for edge in ring.windows(2) {
            let (first, last) = self.reached(edge, count);
            self.starts[first + 2..=last + 2].iter_mut().for_each(|n| *n += 1);
        }
        for slab in 1..self.starts.len() {
            self.starts[slab] += self.starts[slab - 1];
        }
        self.edges = vec![0; entries];
        for (at, edge) in (0_u32..).zip(ring.windows(2)) {
            let (first, last) = self.reached(edge, count);
            for slab in first..=last {
                let next = &mut self.starts[slab + 1];
                self.edges[*next as usize] = at;
                *next += 1;
            }
        }
        self
    }

    /// Where a point lies, and how many edges were compared.
    pub(super) fn side(&self, ring: &[[f64; 2]], point: [f64; 2]) -> (Side, usize) {
        let slab = self.slab(point[1], self.starts.len() - 2);
        let entries = &self.edges[self.starts[slab] as usize..self.starts[slab + 1] as usize];
        (side(entries.iter().map(|e| [ring[*e as usize], ring[*e as usize + 1]]), point), entries.len())
    }
}

/// Where a point lies by edges, of which those that miss its height do not matter.
pub(super) fn side(edges: impl Iterator<Item = [[f64; 2]; 2]>, [x, y]: [f64; 2]) -> Side {
    let mut inside = false;
    for [a, b] in edges {
        if (a[1] > y) == (b[1] > y) {
            let level = a[1] == y && b[1] == y && a[0].min(b[0]) <= x && x <= a[0].max(b[0]);
            if level || a == [x, y] || b == [x, y] {
                return Side::Edge;
            }
            continue;
        }
        let at = (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0];
        if at == x {
            return Side::Edge;
        }
        inside ^= x < at;
    }
    if inside { Side::Inside } else { Side::Outside }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A star of many corners, its edges short and long.
    fn star(corners: u32) -> Vec<[f64; 2]> {
        let corner = |i: u32| {
            let (angle, reach) =
                (f64::from(i) / f64::from(corners) * std::f64::consts::TAU, if i % 2 == 0 { 10.0 } else { 4.0 });
            [angle.cos() * reach, angle.sin() * reach]
        };
        (0..=corners).map(|i| corner(i % corners)).collect()
    }

    #[test]
    fn slabs_judge_every_point_as_the_plain_search_does() {
        for corners in [100, 1_000, 5_000] {
            let ring = star(corners);
            let plain = |p| side(ring.windows(2).map(|w| [w[0], w[1]]), p);
            let slabs = Slabs::of(&ring);
            assert!(slabs.is_some() || corners == 5_000, "{corners}");
            let Some(slabs) = slabs else { continue };
            for i in -60..60 {
                for k in -60..60 {
                    let point = [f64::from(i) / 5.0, f64::from(k) / 5.0];
                    assert_eq!(slabs.side(&ring, point).0, plain(point), "{point:?}");
                }
            }
            assert_eq!(slabs.side(&ring, ring[17]).0, Side::Edge);
        }
        assert!(Slabs::of(&star(10)).is_none() && Slabs::of(&[[0.0, 1.0]; 100]).is_none());
    }
}
