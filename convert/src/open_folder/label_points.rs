//! Where the label of an area stands: one point in its largest part.

use super::tables::Tables;
use offmap_formats::features::{Feature, FeatureReader, LayerSchema, Relationship, TakeAttachment, TakeFeature};
use offmap_formats::geometry::{Geometry, GeometryKind};
use offmap_model::Failure;
use std::ops::Range;

/// Lines across an area along which the widest place is looked for.
const LINES: u32 = 16;

/// The areas of a table as points.
pub(super) struct LabelPoints<'a> {
    tables: &'a Tables,
    table: usize,
    layers: Vec<LayerSchema>,
}

impl<'a> LabelPoints<'a> {
    pub(super) fn of_table(tables: &'a Tables, table: usize) -> Self {
        let mut layers: Vec<LayerSchema> = tables.layers().get(table).cloned().into_iter().collect();
        for layer in &mut layers {
            layer.has_attachments = false;
            if let Some(geometry) = &mut layer.geometry {
                (geometry.kind, geometry.has_z, geometry.has_m) = (GeometryKind::Point, false, false);
            }
        }
        Self { tables, table, layers }
    }
}

impl FeatureReader for LabelPoints<'_> {
    fn layers(&self) -> &[LayerSchema] {
        &self.layers
    }

    fn relationships(&self) -> &[Relationship] {
        &[]
    }

    fn read_features(&self, _: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let mut point = Feature::default();
        self.tables.read_features(self.table, after, &mut |feature| {
            (point.row_id, point.object_id) = (feature.row_id, feature.object_id);
            point.values.clone_from(&feature.values);
            match feature.geometry().and_then(label_point) {
                None => point.drop_geometry(),
                Some(at) => {
                    let shape = point.new_geometry(GeometryKind::Point, false, false);
                    shape.add_point(at, 0.0, 0.0);
                    shape.close_part();
                }
            }
            take(&point)
        })
    }

    fn read_attachments(&self, _: usize, _: Option<i64>, _: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
        Ok(0)
    }
}

/// Twice the area of a ring, and its centre of mass where it has an area. Counted from its first point, as numbers far from 0 lose digits.
fn mass(ring: &[[f64; 2]]) -> (f64, Option<[f64; 2]>) {
    let Some([x0, y0]) = ring.first().copied() else { return (0.0, None) };
    let (mut twice, mut x, mut y) = (0.0, 0.0, 0.0);
    for pair in ring.windows(2) {
        let [ax, ay, bx, by] = [pair[0][0] - x0, pair[0][1] - y0, pair[1][0] - x0, pair[1][1] - y0];
        let cross = ax * by - bx * ay;
        (twice, x, y) = (twice + cross, x + (ax + bx) * cross, y + (ay + by) * cross);
    }
    let center = [x0 + x / (3.0 * twice), y0 + y / (3.0 * twice)];
    (twice.abs(), center.iter().all(|n| n.is_finite()).then_some(center))
}

/// Where a line across at a height enters and leaves the shape, from the left to the right.
fn crossings(shape: &Geometry, height: f64) -> Vec<f64> {
    let xy = shape.xy();
    let edges = shape.part_ranges().flat_map(|part: Range<usize>| xy[part].windows(2));
    let crossing = |edge: &[[f64; 2]]| {
        let ([ax, ay], [bx, by]) = (edge[0], edge[1]);
        ((ay > height) != (by > height)).then(|| ax + (height - ay) / (by - ay) * (bx - ax))
    };
    let mut all: Vec<f64> = edges.filter_map(crossing).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// A point of an area's largest part: its centre of mass where that is within the area, else the middle of a wide place.
fn label_point(shape: &Geometry) -> Option<[f64; 2]> {
    let xy = shape.xy();
    let largest = shape.part_ranges().max_by(|a, b| mass(&xy[a.clone()]).0.total_cmp(&mass(&xy[b.clone()]).0))?;
    let ring = &xy[largest];
    let (_, center) = mass(ring);
    let is_within = |[x, y]: [f64; 2]| crossings(shape, y).chunks_exact(2).any(|pair| pair[0] < x && x < pair[1]);
    if let Some(center) = center.filter(|center| is_within(*center)) {
        return Some(center);
    }
    let of = |axis: usize| ring.iter().map(move |at| at[axis]);
    let (low, high) = (of(1).fold(f64::INFINITY, f64::min), of(1).fold(f64::NEG_INFINITY, f64::max));
    let (left, right) = (of(0).fold(f64::INFINITY, f64::min), of(0).fold(f64::NEG_INFINITY, f64::max));
    let heights = (0..LINES).map(|line| low + (high - low) * (f64::from(line) + 0.5) / f64::from(LINES));
    let places = heights.flat_map(|height| {
        let all = crossings(shape, height);
        let pairs: Vec<[f64; 2]> = all.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        pairs.into_iter().filter(|[a, b]| *a >= left && *b <= right).map(move |[a, b]| (b - a, [(a + b) / 2.0, height]))
    });
    let widest = places.max_by(|a, b| a.0.total_cmp(&b.0));
    // What has no inside has corners.
    widest.map(|(_, at)| at).or(ring.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(rings: &[&[[f64; 2]]]) -> Geometry {
        let mut shape = Geometry::default();
        shape.begin(GeometryKind::Polygon, false, false);
        for ring in rings {
            ring.iter().for_each(|at| shape.add_point(*at, 0.0, 0.0));
            shape.close_part();
        }
        shape
    }

    #[test]
    fn a_label_stands_in_the_largest_part_and_never_in_a_hole() {
        let small: &[[f64; 2]] = &[[100.0, 0.0], [101.0, 0.0], [101.0, 1.0], [100.0, 1.0]];
        let large: &[[f64; 2]] = &[[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]];
        let near = |at: Option<[f64; 2]>, x: f64, y: f64| {
            let [found_x, found_y] = at.expect("a point");
            assert!((found_x - x).abs() < 1e-9 && (found_y - y).abs() < 1e-9, "{found_x} {found_y}");
        };
        near(label_point(&shape(&[small, large])), 5.0, 5.0);
        let hole: &[[f64; 2]] = &[[1.0, 1.0], [1.0, 9.0], [7.0, 9.0], [7.0, 1.0]];
        let [x, y] = label_point(&shape(&[large, hole])).expect("a point");
        assert!((0.0..10.0).contains(&y) && ((7.0..10.0).contains(&x) || !(1.0..9.0).contains(&y)), "{x} {y}");
        // A horseshoe, whose centre of mass is outside.
        let bent: &[[f64; 2]] =
            &[[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [8.0, 10.0], [8.0, 2.0], [2.0, 2.0], [2.0, 10.0], [0.0, 10.0]];
        let [x, y] = label_point(&shape(&[bent])).expect("a point");
        assert!(y < 2.0 && (4.0..6.0).contains(&x), "{x} {y}");
        assert_eq!(label_point(&shape(&[&[[3.0, 4.0], [3.0, 4.0]]])), Some([3.0, 4.0]));
        assert_eq!(label_point(&shape(&[])), None);
    }
}
