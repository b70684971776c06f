//! Shapes as mobile geodatabases store them: whole numbers on the grid of their layer, each point relative to the one before.
//!
//! Source: mobile map package reference B.6. In short, little endian:
//!
//! | bytes | content |
//! | --- | --- |
//! | 1, 3, 4 | 0x64, srid, number of points (those that part the parts included) |
//! | 1, 1 | class (0x04 point, 0x08 multipoint, 0x14 line, 0x18 polygon; +2 with z, +1 with m), entity (+0x40 multipart) |
//! | | with more than 10 points: xmin, ymin, xmax, ymax; where multipart the number of parts less one, points of each but the last |
//! | 4, 4 | bytes of coordinates as a number, what is left of the four is ignored; flags: 1, 1 if z |
//! | | x and y of each point, then z of each, then m of each |
//!
//! A number's first byte has the bits continue, minus, and six of the value; the others continue, and seven of it. Parts are parted by
//! a point at (-1, 0) of the grid; multipoints have none. That m is the last list is what the reference holds likely.

use crate::geometry::PrecisionGrid;
use crate::geometry::{Geometry, GeometryError, GeometryKind, Shortage};

/// First byte.
pub(super) const MAGIC: u8 = 0x64;
/// Bytes of the fixed part, and of length and flags behind the list of parts.
const HEAD: usize = 10;
const TAIL: usize = 8;
/// Shapes of more points have an envelope.
pub(super) const FEW_POINTS: usize = 10;
/// Bits of the class beside the kind.
pub(super) const HAS_Z: u8 = 0x02;
pub(super) const HAS_M: u8 = 0x01;
/// Bit of the entity.
pub(super) const MULTIPART: u8 = 0x40;
/// Grid position of the point between two parts.
pub(super) const SEPARATOR: (i64, i64) = (-1, 0);

pub(super) const KINDS: [(u8, GeometryKind); 4] = [
    (0x04, GeometryKind::Point),
    (0x08, GeometryKind::Multipoint),
    (0x14, GeometryKind::Line),
    (0x18, GeometryKind::Polygon),
];

/// What the head of a shape states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeHead {
    /// Its spatial reference in the file.
    pub srid: u32,
    /// Its kind.
    pub kind: GeometryKind,
    /// Whether points have heights.
    pub has_z: bool,
    /// Whether points have measures.
    pub has_m: bool,
    /// xmin, ymin, xmax, ymax in lines of the grid; shapes of few points have none.
    pub envelope: Option<[i64; 4]>,
}

#[derive(Clone, Copy)]
struct Numbers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Numbers<'_> {
    /// The next number.
    #[inline]
    fn take(&mut self) -> Option<i64> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        let mut value = u64::from(first & 0x3f);
        let mut more = first & 0x80 != 0;
        let mut shift = 6;
        while more {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            // The value is one of 63 bits; zeros beyond them change nothing.
            if shift > 62 || (shift > 56 && bits >> (63 - shift) != 0) {
                if bits != 0 {
                    return None;
                }
            } else {
                value |= bits << shift;
            }
            shift = (shift + 7).min(70);
            more = byte & 0x80 != 0;
        }
        let value = i64::try_from(value).ok()?;
        Some(if first & 0x40 == 0 { value } else { -value })
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.take()?).ok()
    }
}

/// Where the coordinates are: the place of length and flags.
struct Layout {
    head: ShapeHead,
    points: usize,
    multipart: bool,
    tail: usize,
}

fn short(before: Shortage, bytes: &[u8]) -> GeometryError {
    GeometryError::Short { before, bytes: bytes.len() }
}

fn layout(bytes: &[u8]) -> Result<Layout, GeometryError> {
    let fixed: &[u8; HEAD] = bytes.first_chunk().ok_or(short(Shortage::Head, bytes))?;
    let [magic, s0, s1, s2, p0, p1, p2, p3, class, entity] = *fixed;
    if magic != MAGIC {
        return Err(GeometryError::Magic { found: magic, expected: "0x64" });
    }
    let stated = u32::from_le_bytes([p0, p1, p2, p3]);
    // Each point has at least one byte for each of its numbers.
    let values = 2 + usize::from(class & HAS_Z != 0) + usize::from(class & HAS_M != 0);
    let most = bytes.len().saturating_sub(HEAD + TAIL) / values;
    let points = usize::try_from(stated).ok().filter(|points| *points <= most);
    let points = points.ok_or(GeometryError::Count { stated: u64::from(stated), most: most as u64 })?;
    let kind = KINDS.iter().find(|(word, _)| *word == class & !(HAS_Z | HAS_M)).map(|(_, kind)| *kind);
    let Some(kind) = kind else {
        let kind = format!("of the class 0x{class:02X}, which may be one with curves or a multipatch");
        return Err(GeometryError::Unsupported { kind });
    };
    let multipart = entity & MULTIPART != 0;
    let mut numbers = Numbers { bytes, at: HEAD };
    let mut envelope = None;
    if points > FEW_POINTS {
        let mut corners = [0; 4];
        for corner in &mut corners {
            *corner = numbers.take().ok_or(short(Shortage::Envelope, bytes))?;
        }
        envelope = Some(corners);
    }
    let after_envelope = numbers.at;
    let mut tail = after_envelope;
    if multipart && points > FEW_POINTS {
        // No file shows whether multipoints have the list as well, so it is one only if the lengths agree with it.
        let listed = parts_end(numbers, points);
        match kind {
            GeometryKind::Multipoint => tail = listed.filter(|at| has_right_length(bytes, *at)).unwrap_or(tail),
            _ => tail = listed.ok_or(short(Shortage::Parts, bytes))?,
        }
    }
    let head = ShapeHead {
        srid: u32::from_le_bytes([s0, s1, s2, 0]),
        kind,
        has_z: class & HAS_Z != 0,
        has_m: class & HAS_M != 0,
        envelope,
    };
    Ok(Layout { head, points, multipart, tail })
}

/// The place behind the list of parts.
fn parts_end(mut numbers: Numbers<'_>, points: usize) -> Option<usize> {
    let parts = numbers.count().filter(|parts| *parts < points)?;
    let mut all = 0_usize;
    for _ in 0..parts {
        all = all.checked_add(numbers.count()?).filter(|all| *all <= points)?;
    }
    Some(numbers.at)
}

/// The stated length of the coordinates; its number has at most four bytes, and the rest of the four says nothing.
fn stated_length(bytes: &[u8], tail: usize) -> Option<usize> {
    Numbers { bytes: bytes.get(..tail + 4)?, at: tail }.count()
}

fn has_right_length(bytes: &[u8], tail: usize) -> bool {
    bytes.len().checked_sub(tail + TAIL).is_some_and(|found| stated_length(bytes, tail) == Some(found))
}

/// What the head of a shape states, without its points.
///
/// # Errors
/// If it is no shape, or of a kind that offmap does not read.
pub fn read_shape_head(bytes: &[u8]) -> Result<ShapeHead, GeometryError> {
    layout(bytes).map(|layout| layout.head)
}

/// Reads a shape into `shape`, whose memory is used.
///
/// # Errors
/// If it is no shape, of a kind that offmap does not read, or its bytes end too early.
pub fn read_shape(bytes: &[u8], grid: &PrecisionGrid, shape: &mut Geometry) -> Result<(), GeometryError> {
    let Layout { head, points, multipart, tail } = layout(bytes)?;
    shape.begin(head.kind, head.has_z, head.has_m);
    let start = tail + TAIL;
    let found = bytes.len().checked_sub(start).ok_or(short(Shortage::Coordinates, bytes))?;
    let stated = stated_length(bytes, tail).ok_or(GeometryError::Number)?;
    if stated != found {
        return Err(GeometryError::Length { stated: stated as u64, found: found as u64 });
    }
    shape.expect_points(points);
    let mut numbers = Numbers { bytes, at: start };
    let is_parted = multipart && head.kind != GeometryKind::Multipoint;
    match is_parted {
        false => read_points(&mut numbers, points, grid, shape)?,
        true => read_parts(&mut numbers, points, grid, shape)?,
    }
    if numbers.at != bytes.len() {
        let found = (numbers.at - start) as u64;
        return Err(GeometryError::Length { stated: stated as u64, found });
    }
    if head.kind == GeometryKind::Point && points > 1 {
        return Err(GeometryError::Head("it is a point and has more than one"));
    }
    Ok(())
}

/// x and y of one part; its heights and measures.
fn read_points(
    numbers: &mut Numbers<'_>,
    points: usize,
    grid: &PrecisionGrid,
    shape: &mut Geometry,
) -> Result<(), GeometryError> {
    let (has_z, has_m) = (shape.has_z(), shape.has_m());
    let (xy, z, m) = shape.coordinates_mut();
    let (mut x, mut y) = (0_i64, 0_i64);
    for _ in 0..points {
        (x, y) = (next(numbers, x)?, next(numbers, y)?);
        xy.push([grid.x.coordinate(x), grid.y.coordinate(y)]);
    }
    for (values, axis, wanted) in [(z, grid.z, has_z), (m, grid.m, has_m)] {
        let mut value = 0_i64;
        for _ in 0..if wanted { points } else { 0 } {
            value = next(numbers, value)?;
            values.push(axis.coordinate(value));
        }
    }
    shape.close_part();
    Ok(())
}

/// x and y of many parts; heights and measures come behind all of them, one for each separator as well.
fn read_parts(
    numbers: &mut Numbers<'_>,
    points: usize,
    grid: &PrecisionGrid,
    shape: &mut Geometry,
) -> Result<(), GeometryError> {
    // The heights begin where x and y of all points end, so they are read in step with them.
    let mut heights = *numbers;
    let (has_z, has_m) = (shape.has_z(), shape.has_m());
    if has_z || has_m {
        skip(&mut heights, points * 2)?;
    }
    let mut measures = heights;
    if has_z && has_m {
        skip(&mut measures, points)?;
    }
    let (mut x, mut y, mut z, mut m) = (0_i64, 0_i64, 0_i64, 0_i64);
    for _ in 0..points {
        (x, y) = (next(numbers, x)?, next(numbers, y)?);
        if has_z {
            z = next(&mut heights, z)?;
        }
        if has_m {
            m = next(&mut measures, m)?;
        }
        if (x, y) == SEPARATOR {
            shape.close_part();
        } else {
            shape.add_point([grid.x.coordinate(x), grid.y.coordinate(y)], grid.z.coordinate(z), grid.m.coordinate(m));
        }
    }
    shape.close_part();
    numbers.at = numbers.at.max(if has_z { heights.at } else { 0 }).max(if has_m { measures.at } else { 0 });
    Ok(())
}

fn skip(numbers: &mut Numbers<'_>, count: usize) -> Result<(), GeometryError> {
    (0..count).try_for_each(|_| next(numbers, 0).map(|_| ()))
}

#[inline]
fn next(numbers: &mut Numbers<'_>, before: i64) -> Result<i64, GeometryError> {
    let is_at_end = numbers.at >= numbers.bytes.len();
    match numbers.take() {
        Some(step) => before.checked_add(step).ok_or(GeometryError::Number),
        None if is_at_end || numbers.at >= numbers.bytes.len() => Err(short(Shortage::Coordinates, numbers.bytes)),
        None => Err(GeometryError::Number),
    }
}
