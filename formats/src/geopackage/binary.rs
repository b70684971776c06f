//! Shapes as GeoPackages store them: a header with an envelope, then well-known binary.
//!
//! Source: OGC 12-128r19, 2.1.3. Written is little endian. Shapes of lines, polygons and multipoints have an envelope, with heights
//! and measures where there are any; a point is its own envelope and has none.

use crate::geometry::{Geometry, GeometryError, GeometryKind, RingGroups, Shortage, wkb};

/// First bytes: `GP`, version 1.
const MAGIC: [u8; 3] = [b'G', b'P', 0];
/// Bytes before the envelope.
const HEAD: usize = 8;
/// Bits of the flags.
const LITTLE_ENDIAN: u8 = 0x01;
const EMPTY: u8 = 0x10;
const EXTENDED: u8 = 0x20;
/// Numbers in an envelope, by its code.
const NUMBERS: [usize; 5] = [0, 4, 6, 6, 8];

/// What the header of a shape says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// Spatial reference.
    pub srs_id: i32,
    /// Whether the shape has no points.
    pub is_empty: bool,
    /// `[xmin, ymin, xmax, ymax]`.
    pub envelope: Option<[f64; 4]>,
    /// Where the well-known binary begins.
    pub size: usize,
}

/// Writes a shape into `out`, whose content is replaced, and returns its `[xmin, ymin, xmax, ymax]`.
pub fn write(shape: &Geometry, srs_id: i32, groups: &mut RingGroups, out: &mut Vec<u8>) -> Option<[f64; 4]> {
    out.clear();
    let extent = shape.extent();
    let reach = |wanted: bool, values: &[f64]| if wanted { Geometry::reach(values) } else { None };
    let has_envelope = extent.is_some() && shape.kind() != GeometryKind::Point;
    let (z, m) = (reach(has_envelope, shape.z()), reach(has_envelope, shape.m()));
    let code = match (has_envelope, z.is_some(), m.is_some()) {
        (false, ..) => 0,
        (true, false, false) => 1,
        (true, true, false) => 2,
        (true, false, true) => 3,
        (true, true, true) => 4,
    };
    out.extend_from_slice(&MAGIC);
    out.push(LITTLE_ENDIAN | code << 1 | if extent.is_none() { EMPTY } else { 0 });
    out.extend_from_slice(&srs_id.to_le_bytes());
    if let (Some([xmin, ymin, xmax, ymax]), true) = (extent, has_envelope) {
        let numbers = [xmin, xmax, ymin, ymax].into_iter().chain(z.into_iter().flatten()).chain(m.into_iter().flatten());
        numbers.for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    }
    wkb::write(shape, groups, out);
    extent
}

/// Reads the header of a shape.
///
/// # Errors
/// If it is none, or of an extended type.
pub fn read_header(bytes: &[u8]) -> Result<Header, GeometryError> {
    let short = GeometryError::Short { before: Shortage::Head, bytes: bytes.len() };
    let head: &[u8; HEAD] = bytes.first_chunk().ok_or(short)?;
    let [g, p, version, flags, srs @ ..] = *head;
    if [g, p, version] != MAGIC {
        return Err(GeometryError::Magic { found: g, expected: "`GP` and version 1 of a GeoPackage" });
    }
    if flags & EXTENDED != 0 {
        return Err(GeometryError::Unsupported { kind: "of an extended GeoPackage type".to_owned() });
    }
    let is_little = flags & LITTLE_ENDIAN != 0;
    let code = usize::from(flags >> 1 & 7);
    let numbers = *NUMBERS.get(code).ok_or(GeometryError::Head("its envelope has a code that is not known"))?;
    let number = |n: usize| {
        let at = HEAD + n * 8;
        let bytes: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(if is_little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    };
    let size = HEAD + numbers * 8;
    if bytes.len() < size {
        return Err(GeometryError::Short { before: Shortage::Envelope, bytes: bytes.len() });
    }
    let envelope = match (number(0), number(2), number(1), number(3)) {
        (Some(xmin), Some(ymin), Some(xmax), Some(ymax)) if numbers > 0 => Some([xmin, ymin, xmax, ymax]),
        _ => None,
    };
    let srs_id = if is_little { i32::from_le_bytes(srs) } else { i32::from_be_bytes(srs) };
    Ok(Header { srs_id, is_empty: flags & EMPTY != 0, envelope, size })
}

/// Reads a shape into `shape`, whose memory is used.
///
/// # Errors
/// If it is none, or of a type that offmap does not read.
pub fn read(bytes: &[u8], shape: &mut Geometry) -> Result<Header, GeometryError> {
    let header = read_header(bytes)?;
    wkb::read(&bytes[header.size..], shape)?;
    Ok(header)
}
