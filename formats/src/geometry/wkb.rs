//! Well-known binary: OGC 06-103r4 clause 8.2, with z and m as ISO 13249-3 numbers them (+1000, +2000, +3000).
//!
//! Written is little endian, lines and polygons always as the multi type, so that all shapes of a layer have one type; outer rings
//! run counter-clockwise, holes clockwise. Read is either byte order, single and multi types, and also the flags of PostGIS for z, m
//! and an SRID. Types with curves, collections and surfaces are refused by name.

use super::error::{GeometryError, Shortage};
use super::kind::GeometryKind;
use super::model::Geometry;
use super::rings::{RingGroups, RingRef};

/// Type numbers.
const POINT: u32 = 1;
const LINE: u32 = 2;
const POLYGON: u32 = 3;
const MULTIPOINT: u32 = 4;
const MULTILINE: u32 = 5;
const MULTIPOLYGON: u32 = 6;
/// Names of the types that are refused, from number 7 on.
const REFUSED: [&str; 11] = [
    "a GeometryCollection",
    "a CircularString (curve)",
    "a CompoundCurve (curve)",
    "a CurvePolygon (curve)",
    "a MultiCurve (curve)",
    "a MultiSurface (curve)",
    "a Curve",
    "a Surface",
    "a PolyhedralSurface",
    "a TIN",
    "a Triangle",
];
/// Flags of PostGIS.
const FLAG_Z: u32 = 0x8000_0000;
const FLAG_M: u32 = 0x4000_0000;
const FLAG_SRID: u32 = 0x2000_0000;

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    shape: &'a Geometry,
    more: u32,
}

impl Writer<'_> {
    fn number(&mut self, n: usize) {
        // Points of a shape are counted in 32 bits.
        self.out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn head(&mut self, kind: u32) {
        self.out.push(1);
        self.out.extend_from_slice(&(kind + self.more).to_le_bytes());
    }

    fn point(&mut self, at: usize) {
        let [x, y] = self.shape.xy()[at];
        self.out.extend_from_slice(&x.to_le_bytes());
        self.out.extend_from_slice(&y.to_le_bytes());
        for list in [self.shape.z(), self.shape.m()] {
            if let Some(value) = list.get(at) {
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    fn points(&mut self, ring: &RingRef) {
        self.number(ring.points.len());
        if !self.shape.has_z() && !self.shape.has_m() {
            let start = self.out.len();
            self.out.resize(start + ring.points.len() * 16, 0);
            let places = self.out[start..].chunks_exact_mut(16);
            let points = &self.shape.xy()[ring.points.clone()];
            let write = |(place, [x, y]): (&mut [u8], &[f64; 2])| {
                place[..8].copy_from_slice(&x.to_le_bytes());
                place[8..].copy_from_slice(&y.to_le_bytes());
            };
            return match ring.reversed {
                true => places.zip(points.iter().rev()).for_each(write),
                false => places.zip(points).for_each(write),
            };
        }
        match ring.reversed {
            true => ring.points.clone().rev().for_each(|at| self.point(at)),
            false => ring.points.clone().for_each(|at| self.point(at)),
        }
    }
}

/// Adds a shape to `out`; `groups` is used to sort the rings of a polygon.
pub fn write(shape: &Geometry, groups: &mut RingGroups, out: &mut Vec<u8>) {
    let more = if shape.has_z() { 1_000 } else { 0 } + if shape.has_m() { 2_000 } else { 0 };
    out.reserve(shape.xy().len() * (16 + usize::from(shape.has_z()) * 8 + usize::from(shape.has_m()) * 8) + 32);
    let mut w = Writer { out, shape, more };
    match shape.kind() {
        GeometryKind::Point => {
            w.head(POINT);
            if shape.has_no_points() {
                // 12-128r19 requirement 152: quiet NaN, of these bits.
                let values = 2 + usize::from(shape.has_z()) + usize::from(shape.has_m());
                (0..values).for_each(|_| w.out.extend_from_slice(&0x7ff8_0000_0000_0000_u64.to_le_bytes()));
            } else {
                w.point(0);
            }
        }
        GeometryKind::Multipoint => {
            w.head(MULTIPOINT);
            w.number(shape.xy().len());
            for at in 0..shape.xy().len() {
                w.head(POINT);
                w.point(at);
            }
        }
        GeometryKind::Line => {
            w.head(MULTILINE);
            w.number(shape.part_ranges().len());
            for points in shape.part_ranges() {
                w.head(LINE);
                w.points(&RingRef { points, reversed: false });
            }
        }
        GeometryKind::Polygon => {
            groups.sort(shape);
            w.head(MULTIPOLYGON);
            w.number(groups.polygons().len());
            for rings in groups.polygons() {
                w.head(POLYGON);
                w.number(rings.len());
                rings.iter().for_each(|ring| w.points(ring));
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

/// Type number, and whether it has z and m.
type Head = (u32, bool, bool);

impl Reader<'_> {
    fn take<const N: usize>(&mut self, before: Shortage) -> Result<[u8; N], GeometryError> {
        let short = GeometryError::Short { before, bytes: self.bytes.len() };
        let bytes = self.bytes.get(self.at..self.at + N).and_then(|b| b.try_into().ok()).ok_or(short)?;
        self.at += N;
        Ok(bytes)
    }

    fn number(&mut self, before: Shortage) -> Result<u32, GeometryError> {
        let bytes = self.take(before)?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// A count of things of at least so many bytes each.
    fn count(&mut self, size: usize) -> Result<usize, GeometryError> {
        let stated = self.number(Shortage::Parts)?;
        let most = (self.bytes.len() - self.at) / size;
        let count = usize::try_from(stated).ok().filter(|n| *n <= most);
        count.ok_or(GeometryError::Count { stated: u64::from(stated), most: most as u64 })
    }

    fn head(&mut self) -> Result<Head, GeometryError> {
        self.little = match self.take::<1>(Shortage::Head)? {
            [0] => false,
            [1] => true,
            [found] => return Err(GeometryError::Magic { found, expected: "the byte order 0 or 1 of well-known binary" }),
        };
        let word = self.number(Shortage::Head)?;
        if word & FLAG_SRID != 0 {
            self.number(Shortage::Head)?;
        }
        let number = word & !(FLAG_Z | FLAG_M | FLAG_SRID);
        let (kind, more) = (number % 1_000, number / 1_000);
        let has_z = word & FLAG_Z != 0 || matches!(more, 1 | 3);
        let has_m = word & FLAG_M != 0 || matches!(more, 2 | 3);
        match kind {
            POINT..=MULTIPOLYGON if more <= 3 => Ok((kind, has_z, has_m)),
            _ => {
                let name = usize::try_from(kind).ok().and_then(|k| REFUSED.get(k.checked_sub(7)?));
                let kind = name.map_or_else(|| format!("of the unknown type {number}"), |name| (*name).to_owned());
                Err(GeometryError::Unsupported { kind })
            }
        }
    }

    fn value(&mut self) -> Result<f64, GeometryError> {
        let bytes = self.take(Shortage::Coordinates)?;
        Ok(if self.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    }

    /// Adds a point; one of NaN is the empty point.
    fn point(&mut self, head: Head, shape: &mut Geometry) -> Result<(), GeometryError> {
        let (x, y) = (self.value()?, self.value()?);
        let z = if head.1 { self.value()? } else { f64::NAN };
        let m = if head.2 { self.value()? } else { f64::NAN };
        match (x.is_nan() && y.is_nan(), x.is_finite() && y.is_finite()) {
            (true, _) if head.0 == POINT => Ok(()),
            (_, false) => Err(GeometryError::NotFinite),
            _ => {
                shape.add_point([x, y], z, m);
                Ok(())
            }
        }
    }

    fn part(&mut self, head: Head, shape: &mut Geometry) -> Result<(), GeometryError> {
        let size = 16 + usize::from(head.1) * 8 + usize::from(head.2) * 8;
        let count = self.count(size)?;
        shape.expect_points(count);
        for _ in 0..count {
            self.point(head, shape)?;
        }
        shape.close_part();
        Ok(())
    }

    fn polygon(&mut self, head: Head, shape: &mut Geometry) -> Result<(), GeometryError> {
        for _ in 0..self.count(4)? {
            self.part(head, shape)?;
        }
        Ok(())
    }

    fn members(&mut self, head: Head, shape: &mut Geometry) -> Result<(), GeometryError> {
        // Each has a byte order and a type.
        for _ in 0..self.count(5)? {
            let member = self.head()?;
            match member.0 {
                kind if kind + 3 != head.0 => {
                    return Err(GeometryError::Head("a part of it is of another type than the whole"));
                }
                POINT => self.point(member, shape)?,
                LINE => self.part(member, shape)?,
                _ => self.polygon(member, shape)?,
            }
        }
        Ok(())
    }
}

/// Reads a shape into `shape`.
///
/// # Errors
/// If the bytes are not well-known binary, or a type that offmap does not read.
pub fn read(bytes: &[u8], shape: &mut Geometry) -> Result<(), GeometryError> {
    let mut r = Reader { bytes, at: 0, little: true };
    let head = r.head()?;
    let kind = match head.0 {
        POINT => GeometryKind::Point,
        MULTIPOINT => GeometryKind::Multipoint,
        LINE | MULTILINE => GeometryKind::Line,
        _ => GeometryKind::Polygon,
    };
    shape.begin(kind, head.1, head.2);
    match head.0 {
        POINT => r.point(head, shape)?,
        LINE => r.part(head, shape)?,
        POLYGON => r.polygon(head, shape)?,
        _ => r.members(head, shape)?,
    }
    shape.close_part();
    Ok(())
}
