//! Shapes as geometry blobs (mobile map package reference B.6).

use crate::data::Shape;
use offmap_model::Envelope;
use offmap_model::geometry::signed_area;

/// Grid of Web Mercator geometries.
const FALSE_X: f64 = -20_037_700.0;
const FALSE_Y: f64 = -30_241_100.0;
const XY_UNITS: f64 = 10_000.0;
const SRID: u32 = 3857;

/// A number of the geometry blob: first byte continue, sign, six bits; then continue, seven bits.
fn varint(mut n: u64, negative: bool, out: &mut Vec<u8>) {
    let mut byte = (n & 0x3f) as u8 | if negative { 0x40 } else { 0 };
    n >>= 6;
    while n > 0 {
        out.push(byte | 0x80);
        byte = (n & 0x7f) as u8;
        n >>= 7;
    }
    out.push(byte);
}

fn signed(n: i64, out: &mut Vec<u8>) {
    varint(n.unsigned_abs(), n < 0, out);
}

fn grid([x, y]: [f64; 2]) -> (i64, i64) {
    (((x - FALSE_X) * XY_UNITS).round() as i64, ((y - FALSE_Y) * XY_UNITS).round() as i64)
}

/// A shape as a geometry blob.
pub(crate) fn blob(shape: &Shape) -> Vec<u8> {
    let (class, entity, parts): (u8, u8, Vec<Vec<[f64; 2]>>) = match shape {
        Shape::Point(p) => (0x04, 0x01, vec![vec![*p]]),
        Shape::Lines(lines) => (0x14, 0x04, lines.clone()),
        Shape::Polygon(polygon) => {
            let mut rings = polygon.rings.clone();
            for ring in &mut rings {
                // All rings run counter-clockwise here, whatever REST does.
                if signed_area(ring) < 0.0 {
                    ring.reverse();
                }
            }
            (0x18, 0x08, rings)
        }
    };
    let multipart = parts.len() > 1;
    let points: usize = parts.iter().map(Vec::len).sum::<usize>() + parts.len().saturating_sub(1);
    let mut out = vec![0x64];
    out.extend_from_slice(SRID.to_le_bytes().get(..3).unwrap_or_default());
    out.extend_from_slice(&u32::try_from(points).unwrap_or(u32::MAX).to_le_bytes());
    out.push(class);
    out.push(entity | if multipart { 0x40 } else { 0 });
    if points > 10 {
        let envelope = Envelope::of(parts.iter().flatten().copied());
        for corner in envelope.iter().flat_map(|e| [[e.xmin, e.ymin], [e.xmax, e.ymax]]) {
            let (x, y) = grid(corner);
            signed(x, &mut out);
            signed(y, &mut out);
        }
        if multipart {
            varint(parts.len() as u64 - 1, false, &mut out);
            for part in parts.iter().take(parts.len() - 1) {
                varint(part.len() as u64 + 1, false, &mut out);
            }
        }
    }
    let mut coordinates = Vec::new();
    let mut last = (0, 0);
    let mut put = |point: (i64, i64)| {
        signed(point.0 - last.0, &mut coordinates);
        signed(point.1 - last.1, &mut coordinates);
        last = point;
    };
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            put((-1, 0));
        }
        part.iter().for_each(|p| put(grid(*p)));
    }
    let mut length = Vec::new();
    varint(coordinates.len() as u64, false, &mut length);
    length.resize(4, 0);
    out.extend(length);
    out.extend([1, 0, 0, 0]);
    out.extend(coordinates);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_written_as_the_worked_example_of_a_real_file() {
        let x = 68_621_644_124.0 / XY_UNITS + FALSE_X;
        let y = 342_698_193_708.0 / XY_UNITS + FALSE_Y;
        let hex: String = blob(&Shape::Point([x, y])).iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(hex, "64110F000100000004010C000000010000009CC5D9A2FF03ACCCBBA6F913");
    }
}
