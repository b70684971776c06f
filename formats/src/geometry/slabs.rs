//! Whether points lie in a ring, when many points are asked about a ring of many edges.
//!
//! The height of the ring is cut into slabs, and each slab lists the edges that reach into it: a point is compared with the edges of
//! its own slab only.

/// Rings of fewer edges are searched as they are.
const FEW: usize = 64;
/// Edges that a slab has, were all edges short.
const EDGES_OF_A_SLAB: usize = 8;
/// Entries of all slabs, for each edge: what long edges may cost.
const MOST_ENTRIES: usize = 3;

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
        let first = ring[0][1];
        let (mut low, mut high, mut climbed, mut before) = (first, first, 0.0, first);
        for [_, y] in ring {
            (low, high) = (if *y < low { *y } else { low }, if *y > high { *y } else { high });
            climbed += (y - before).abs();
            before = *y;
        }
        let height = high - low;
        // An edge has an entry in its first slab, and one for each border between slabs that it crosses.
        let crossings = edges as f64 * (MOST_ENTRIES - 1) as f64;
        let count = (crossings * height / climbed).min((edges / EDGES_OF_A_SLAB) as f64);
        // A level ring has no slabs, nor one without numbers; the cast cannot overflow, as there are fewer than edges.
        if !(count >= 2.0 && height > 0.0 && height.is_finite()) {
            return None;
        }
        let slabs = Self { low, per_unit: count.floor() / height, ..Self::default() };
        Some(slabs.filled(ring, count as usize))
    }

    #[inline]
    fn slab(&self, y: f64, count: usize) -> usize {
        // A slab before the first one or behind the last one is that one; a cast of what is negative is 0.
        (((y - self.low) * self.per_unit) as usize).min(count - 1)
    }

    fn filled(mut self, ring: &[[f64; 2]], count: usize) -> Self {
        let slabs: Vec<u32> = ring.iter().map(|p| u32::try_from(self.slab(p[1], count)).unwrap_or(u32::MAX)).collect();
        let reach = |edge: &[u32]| (edge[0].min(edge[1]) as usize, edge[0].max(edge[1]) as usize);
        // How many edges begin and end in each slab, then how many there are in each, then where each begins.
        let mut changes = vec![0_i64; count + 1];
        for edge in slabs.windows(2) {
            let (first, last) = reach(edge);
            changes[first] += 1;
            changes[last + 1] -= 1;
        }
        self.starts = vec![0; count + 2];
        let (mut here, mut all) = (0_i64, 0_i64);
        for (slab, change) in changes.iter().enumerate() {
            here += change;
            self.starts[slab + 1] = u32::try_from(all).unwrap_or(u32::MAX);
            all += here;
        }
        self.edges = vec![0; usize::try_from(all).unwrap_or(0)];
        for (at, edge) in (0_u32..).zip(slabs.windows(2)) {
            let (first, last) = reach(edge);
            for next in &mut self.starts[first + 1..=last + 1] {
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
                (f64::from(i) / f64::from(corners) * std::f64::consts::TAU, if i.is_multiple_of(2) { 10.0 } else { 4.0 });
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
            let slabs = slabs.unwrap_or_else(|| panic!("{corners}"));
            assert!(slabs.edges.len() <= ring.len() * (MOST_ENTRIES + 1), "{corners}");
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
