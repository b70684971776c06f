//! Writes shapes as mobile geodatabases store them.
//!
//! Source: mobile map package reference B.6. All rings run counter-clockwise there. A line is written as simple, whether it crosses
//! itself or not: readers draw both alike.

use super::shape_blob::{FEW_POINTS, HAS_M, HAS_Z, KINDS, MAGIC, MULTIPART, SEPARATOR};
use crate::geometry::PrecisionGrid;
use crate::geometry::{Geometry, GeometryError, GeometryKind, RingGroups, RingRef};

/// Entities.
const POINT: u8 = 0x01;
const SIMPLE_LINE: u8 = 0x04;
const AREA: u8 = 0x08;
/// Bytes of coordinates whose number has four bytes.
const LONGEST: usize = (1 << 27) - 1;

/// Adds a number.
fn put(number: i64, out: &mut Vec<u8>) {
    let mut rest = number.unsigned_abs();
    // The lowest bits; the cast keeps them.
    let mut byte = (rest & 0x3f) as u8 | if number < 0 { 0x40 } else { 0 };
    rest >>= 6;
    while rest > 0 {
        out.push(byte | 0x80);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    out.push(byte);
}

pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    put(i64::try_from(count).unwrap_or(i64::MAX), out);
}

/// Writes shapes, its memory used again for each.
///
/// ```
/// use offmap_formats::geodatabase::{PrecisionGrid, ShapeBlobWriter, read_shape};
/// use offmap_formats::geometry::{Geometry, GeometryKind};
///
/// let (grid, mut shape, mut blob) = (PrecisionGrid::web_mercator(), Geometry::default(), Vec::new());
/// shape.begin(GeometryKind::Point, false, false);
/// shape.add_point([-13_175_535.5876, 4_028_719.3708], 0.0, 0.0);
/// shape.close_part();
/// ShapeBlobWriter::default().write(&shape, 3857, &grid, &mut blob)?;
/// let mut again = Geometry::default();
/// read_shape(&blob, &grid, &mut again)?;
/// assert_eq!(again, shape);
/// # Ok::<(), offmap_formats::geometry::GeometryError>(())
/// ```
#[derive(Debug, Default)]
pub struct ShapeBlobWriter {
    groups: RingGroups,
    parts: Vec<RingRef>,
    coordinates: Vec<u8>,
}

impl ShapeBlobWriter {
    /// Writes a shape into `out`, whose content is replaced.
    ///
    /// # Errors
    /// If it has more coordinates than the four bytes of their length can tell.
    pub fn write(
        &mut self,
        shape: &Geometry,
        srid: u32,
        grid: &PrecisionGrid,
        out: &mut Vec<u8>,
    ) -> Result<(), GeometryError> {
        self.sort_parts(shape);
        let class = KINDS.iter().find(|(_, kind)| *kind == shape.kind()).map_or(0, |(class, _)| *class);
        let is_parted = shape.kind() != GeometryKind::Multipoint;
        let many = if is_parted { self.parts.len() } else { shape.xy().len() };
        let separators = if is_parted { self.parts.len().saturating_sub(1) } else { 0 };
        let points = shape.xy().len() + separators;
        let entity = match shape.kind() {
            _ if points == 0 => 0,
            GeometryKind::Point | GeometryKind::Multipoint => POINT,
            GeometryKind::Line => SIMPLE_LINE,
            GeometryKind::Polygon => AREA,
        };
        out.clear();
        out.push(MAGIC);
        out.extend_from_slice(srid.to_le_bytes().get(..3).unwrap_or_default());
        out.extend_from_slice(&u32::try_from(points).unwrap_or(u32::MAX).to_le_bytes());
        out.push(class | if shape.has_z() { HAS_Z } else { 0 } | if shape.has_m() { HAS_M } else { 0 });
        out.push(entity | if many > 1 { MULTIPART } else { 0 });
        if points > FEW_POINTS {
            let [xmin, ymin, xmax, ymax] = shape.extent().unwrap_or_default();
            for line in [grid.x.line(xmin), grid.y.line(ymin), grid.x.line(xmax), grid.y.line(ymax)] {
                put(line, out);
            }
            if is_parted && many > 1 {
                put_count(many - 1, out);
                self.parts.iter().take(many - 1).for_each(|part| put_count(part.points.len() + 1, out));
            }
        }
        self.write_coordinates(shape, grid);
        if self.coordinates.len() > LONGEST {
            return Err(GeometryError::Count { stated: self.coordinates.len() as u64, most: LONGEST as u64 });
        }
        let before = out.len();
        put_count(self.coordinates.len(), out);
        out.resize(before + 4, 0);
        out.extend([1, u8::from(shape.has_z()), 0, 0]);
        out.extend_from_slice(&self.coordinates);
        Ok(())
    }

    /// The parts, rings in the order of their polygons.
    fn sort_parts(&mut self, shape: &Geometry) {
        self.parts.clear();
        if shape.kind() != GeometryKind::Polygon {
            self.parts.extend(shape.part_ranges().map(|points| RingRef { points, reversed: false }));
            return;
        }
        self.groups.sort(shape);
        for rings in self.groups.polygons() {
            let holes = rings.iter().enumerate();
            // Holes run as their outer ring does.
            self.parts
                .extend(holes.map(|(n, ring)| RingRef { points: ring.points.clone(), reversed: ring.reversed != (n > 0) }));
        }
    }

    fn write_coordinates(&mut self, shape: &Geometry, grid: &PrecisionGrid) {
        self.coordinates.clear();
        let out = &mut self.coordinates;
        let is_parted = shape.kind() != GeometryKind::Multipoint;
        let (mut x, mut y) = (0_i64, 0_i64);
        let mut step = |at: (i64, i64)| {
            put(at.0.wrapping_sub(x), out);
            put(at.1.wrapping_sub(y), out);
            (x, y) = at;
        };
        for (n, part) in self.parts.iter().enumerate() {
            if n > 0 && is_parted {
                step(SEPARATOR);
            }
            for at in order(part) {
                let [x, y] = shape.xy()[at];
                step((grid.x.line(x), grid.y.line(y)));
            }
        }
        for (values, axis) in [(shape.z(), grid.z), (shape.m(), grid.m)] {
            let mut before = 0_i64;
            for (n, part) in self.parts.iter().enumerate() {
                if values.is_empty() {
                    break;
                }
                if n > 0 && is_parted {
                    // The separator's own value, which readers ignore, is that of the point before it.
                    put(0, &mut self.coordinates);
                }
                for at in order(part) {
                    let line = axis.line(values[at]);
                    put(line.wrapping_sub(before), &mut self.coordinates);
                    before = line;
                }
            }
        }
    }
}

fn order(part: &RingRef) -> impl Iterator<Item = usize> + use<> {
    let points = part.points.clone();
    let (reversed, last) = (part.reversed, points.end + points.start);
    points.map(move |at| if reversed { last - 1 - at } else { at })
}
