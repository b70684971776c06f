//! One shape as flat lists of coordinates, made to be filled again and again without new memory.

use super::error::GeometryError;
use super::kind::GeometryKind;
use std::ops::Range;

/// One shape. Without points it is the empty shape of its kind; that a feature has no shape at all is said by its
/// [`Feature`](crate::features::Feature).
///
/// Shape of the data: `x, y` of all points one after the other, likewise `z` and `m` where there are any, and for each part the
/// index behind its last point. Rings of polygons are closed: their last point is their first one. Which rings are holes is not
/// stated, since formats disagree on the direction of rings: [`RingGroups`](super::RingGroups) finds out.
///
/// ```
/// use offmap_formats::geometry::{Geometry, GeometryKind};
///
/// let mut line = Geometry::default();
/// line.begin(GeometryKind::Line, true, false);
/// line.add_point([7.4, 46.9], 540.0, 0.0);
/// line.add_point([7.5, 46.8], 560.0, 0.0);
/// line.close_part();
/// assert_eq!((line.part_ranges().count(), line.xy().len(), line.z()), (1, 2, &[540.0, 560.0][..]));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Geometry {
    kind: GeometryKind,
    has_z: bool,
    has_m: bool,
    xy: Vec<[f64; 2]>,
    z: Vec<f64>,
    m: Vec<f64>,
    ends: Vec<u32>,
}

impl Geometry {
    /// Makes it the empty shape of a kind; memory is kept.
    pub fn begin(&mut self, kind: GeometryKind, has_z: bool, has_m: bool) {
        (self.kind, self.has_z, self.has_m) = (kind, has_z, has_m);
        self.xy.clear();
        self.z.clear();
        self.m.clear();
        self.ends.clear();
    }

    /// Adds a point to the part that is not closed yet. Without z or m their values are ignored.
    #[inline]
    pub fn add_point(&mut self, xy: [f64; 2], z: f64, m: f64) {
        self.xy.push(xy);
        if self.has_z {
            self.z.push(z);
        }
        if self.has_m {
            self.m.push(m);
        }
    }

    /// Ends a part. A ring that is open is closed; a part without points is none.
    pub fn close_part(&mut self) {
        let first = self.ends.last().copied().unwrap_or(0) as usize;
        if self.xy.len() <= first {
            return;
        }
        if self.kind == GeometryKind::Polygon && self.xy.get(first) != self.xy.last() {
            let values = (self.xy[first], self.z.get(first).copied(), self.m.get(first).copied());
            self.add_point(values.0, values.1.unwrap_or(0.0), values.2.unwrap_or(0.0));
        }
        // Bytes of a shape are counted in 32 bits, so its points are, too.
        self.ends.push(u32::try_from(self.xy.len()).unwrap_or(u32::MAX));
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> GeometryKind {
        self.kind
    }

    /// Whether its points have a height.
    #[must_use]
    pub fn has_z(&self) -> bool {
        self.has_z
    }

    /// Whether its points have a measure.
    #[must_use]
    pub fn has_m(&self) -> bool {
        self.has_m
    }

    /// Whether it has no points.
    #[must_use]
    pub fn has_no_points(&self) -> bool {
        self.xy.is_empty()
    }

    /// x and y of all points.
    #[must_use]
    pub fn xy(&self) -> &[[f64; 2]] {
        &self.xy
    }

    /// Heights of all points; none where [`has_z`](Self::has_z) is false. A height may be NaN: not known.
    #[must_use]
    pub fn z(&self) -> &[f64] {
        &self.z
    }

    /// Measures of all points; none where [`has_m`](Self::has_m) is false. A measure may be NaN: not known.
    #[must_use]
    pub fn m(&self) -> &[f64] {
        &self.m
    }

    /// For each part the range of its points.
    pub fn part_ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        let begin = |part: usize| part.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.ends.iter().enumerate().map(move |(part, end)| begin(part)..*end as usize)
    }

    /// `[xmin, ymin, xmax, ymax]` of its points, or `None` without any.
    #[must_use]
    pub fn extent(&self) -> Option<[f64; 4]> {
        let [x, y] = self.xy.first().copied()?;
        let wider = |[a, b, c, d]: [f64; 4], [x, y]: &[f64; 2]| [a.min(*x), b.min(*y), c.max(*x), d.max(*y)];
        Some(self.xy.iter().fold([x, y, x, y], wider))
    }

    /// Lowest and highest number of a list, NaN aside.
    pub(crate) fn reach(values: &[f64]) -> Option<[f64; 2]> {
        let finite = values.iter().copied().filter(|v| !v.is_nan());
        finite.fold(None, |all: Option<[f64; 2]>, v| Some(all.map_or([v, v], |[low, high]| [low.min(v), high.max(v)])))
    }

    /// Makes it what another one is, into its own memory.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        (self.kind, self.has_z, self.has_m) = (other.kind, other.has_z, other.has_m);
        self.xy.clone_from(&other.xy);
        self.z.clone_from(&other.z);
        self.m.clone_from(&other.m);
        self.ends.clone_from(&other.ends);
    }

    /// Changes x and y of every point.
    pub(crate) fn map_xy(&mut self, change: impl Fn([f64; 2]) -> [f64; 2]) {
        self.xy.iter_mut().for_each(|at| *at = change(*at));
    }

    /// Makes it what all shapes of its layer are: heights and measures that it has not are not known.
    pub(crate) fn fit(&mut self, kind: GeometryKind, has_z: bool, has_m: bool) -> Result<(), GeometryError> {
        if self.kind != kind {
            return Err(GeometryError::Kind { found: self.kind, expected: kind });
        }
        if (self.has_z && !has_z) || (self.has_m && !has_m) {
            return Err(GeometryError::Head("its points have heights or measures, those of its layer have none"));
        }
        if has_z && !self.has_z {
            self.z.resize(self.xy.len(), f64::NAN);
        }
        if has_m && !self.has_m {
            self.m.resize(self.xy.len(), f64::NAN);
        }
        (self.has_z, self.has_m) = (has_z, has_m);
        Ok(())
    }

    /// Takes heights or measures from it.
    pub(crate) fn forget(&mut self, z: bool, m: bool) {
        if z {
            self.z.clear();
        }
        if m {
            self.m.clear();
        }
        (self.has_z, self.has_m) = (self.has_z && !z, self.has_m && !m);
    }

    /// Makes room for points that are known to come.
    pub(crate) fn expect_points(&mut self, count: usize) {
        self.xy.reserve(count);
        if self.has_z {
            self.z.reserve(count);
        }
        if self.has_m {
            self.m.reserve(count);
        }
    }

    /// Lists to fill with coordinates directly: x and y, z, m.
    pub(crate) fn coordinates_mut(&mut self) -> (&mut Vec<[f64; 2]>, &mut Vec<f64>, &mut Vec<f64>) {
        (&mut self.xy, &mut self.z, &mut self.m)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_rings_are_closed_with_their_heights_and_parts_without_points_are_none() {
        let mut shape = Geometry::default();
        shape.begin(GeometryKind::Polygon, true, true);
        shape.close_part();
        for (x, y, z) in [(0.0, 0.0, 5.0), (1.0, 0.0, 6.0), (1.0, 1.0, 7.0)] {
            shape.add_point([x, y], z, -z);
        }
        shape.close_part();
        shape.close_part();
        assert!(shape.part_ranges().eq(std::iter::once(0..4)));
        assert_eq!((shape.xy()[3], shape.z()[3], shape.m()[3]), ([0.0, 0.0], 5.0, -5.0));
        assert_eq!(shape.extent(), Some([0.0, 0.0, 1.0, 1.0]));
        assert_eq!(Geometry::reach(&[f64::NAN, 2.0, -1.0]), Some([-1.0, 2.0]));
        shape.begin(GeometryKind::Line, false, false);
        assert!(shape.has_no_points() && shape.extent().is_none() && shape.z().is_empty());
    }
}
