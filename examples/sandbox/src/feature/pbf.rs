//! `f=pbf`, written byte by byte, so that it shares nothing with who reads it.
//!
//! Written after the `feature-service-rest` reference §5.2.

use crate::data::{Row, Shape};
use serde_json::{Map, Value};

/// Metres or degrees of one step of the grid, and where it begins.
const MERCATOR: (f64, f64, f64) = (0.0001, -20_037_700.0, -30_241_100.0);
const DEGREES: (f64, f64, f64) = (0.000_000_001, -400.0, -400.0);

const LENGTHS: u64 = 2;

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        // The low seven bits.
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn number(field: u64, n: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(n, out);
}

fn double(field: u64, n: f64, out: &mut Vec<u8>) {
    varint(field << 3 | 1, out);
    out.extend(n.to_le_bytes());
}

fn bytes(field: u64, content: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | LENGTHS, out);
    varint(content.len() as u64, out);
    out.extend(content);
}

fn message(field: u64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    write(&mut content);
    bytes(field, &content, out);
}

/// A value; one that is null is an empty message.
fn value(value: &Value, is_id: bool, is_date: bool, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => bytes(1, text.as_bytes(), out),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(id), _) if is_id => number(5, id as u64, out),
            (Some(ms), _) if is_date => number(8, zigzag(ms), out),
            (Some(n), _) => number(4, zigzag(n), out),
            (None, Some(n)) => double(3, n, out),
            (None, None) => {}
        },
        _ => {}
    }
}

/// The parts of a shape; the geometry's number in the format.
fn parts(shape: &Shape) -> (u64, Vec<Vec<[f64; 2]>>) {
    match shape {
        Shape::Point(at) => (0, vec![vec![*at]]),
        Shape::Lines(lines) => (2, lines.clone()),
        Shape::Polygon(polygon) => (3, polygon.rings.clone()),
    }
}

/// A field of the answer.
pub(super) struct PbfField<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
}

/// What an answer holds.
pub(super) struct Collection<'a> {
    pub(super) id_name: &'a str,
    pub(super) fields: Vec<PbfField<'a>>,
    /// Rows with the attributes as they are written.
    pub(super) rows: Vec<(Map<String, Value>, &'a Row)>,
    pub(super) with_geometry: bool,
    pub(super) in_degrees: bool,
    pub(super) exceeded: bool,
    pub(super) out: &'a dyn Fn(&[f64; 2]) -> [f64; 2],
}

impl Collection<'_> {
    fn geometry(&self, shape: &Shape, out: &mut Vec<u8>) {
        let (scale, x0, y0) = if self.in_degrees { DEGREES } else { MERCATOR };
        let (kind, parts) = parts(shape);
        if kind > 0 {
            number(1, kind, out);
        }
        let (mut lengths, mut coords) = (Vec::new(), Vec::new());
        for part in &parts {
            varint(part.len() as u64, &mut lengths);
            let (mut x, mut y) = (0_i64, 0_i64);
            for point in part {
                let [px, py] = (self.out)(point);
                // From the upper left corner: y grows downwards.
                let at = (((px - x0) / scale).round() as i64, ((y0 - py) / scale).round() as i64);
                varint(zigzag(at.0 - x), &mut coords);
                varint(zigzag(at.1 - y), &mut coords);
                (x, y) = at;
            }
        }
        // Points come without their lengths.
        if kind > 0 {
            bytes(2, &lengths, out);
        }
        bytes(3, &coords, out);
    }

    fn transform(&self, out: &mut Vec<u8>) {
        let (scale, x0, y0) = if self.in_degrees { DEGREES } else { MERCATOR };
        message(2, out, |out| {
            double(1, scale, out);
            double(2, scale, out);
        });
        message(3, out, |out| {
            double(1, x0, out);
            double(2, y0, out);
        });
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut all = Vec::new();
        message(2, &mut all, |out| message(1, out, |out| self.result(out)));
        all
    }

    fn result(&self, out: &mut Vec<u8>) {
        bytes(1, self.id_name.as_bytes(), out);
        if self.with_geometry {
            message(8, out, |out| {
                let (wkid, latest) = if self.in_degrees { (4326, 4326) } else { (102_100, 3857) };
                number(1, wkid, out);
                number(2, latest, out);
            });
            message(12, out, |out| self.transform(out));
        }
        if self.exceeded {
            number(9, 1, out);
        }
        for field in &self.fields {
            message(13, out, |out| bytes(1, field.name.as_bytes(), out));
        }
        for (attributes, row) in &self.rows {
            message(15, out, |out| {
                for field in &self.fields {
                    let (is_id, is_date) = (field.kind == "esriFieldTypeOID", field.kind == "esriFieldTypeDate");
                    let of_row = attributes.get(field.name).unwrap_or(&Value::Null);
                    message(1, out, |out| value(of_row, is_id, is_date, out));
                }
                if let Some(shape) = row.shape.as_ref().filter(|_| self.with_geometry) {
                    message(2, out, |out| self.geometry(shape, out));
                }
            });
        }
    }
}
