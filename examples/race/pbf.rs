//! Pages of points as `FeatureCollectionPBuffer`, written with the numbers of Esri's `FeatureCollection.proto`.

use crate::data::{self, FIELDS};
use serde_json::Value;

/// Steps of a degree, and the corner that they are counted from.
const STEP: f64 = 1e-9;
const CORNER: f64 = -400.0;

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn number(field: u64, n: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(n, out);
}

fn double(field: u64, n: f64, out: &mut Vec<u8>) {
    varint(field << 3 | 1, out);
    out.extend_from_slice(&n.to_le_bytes());
}

fn bytes(field: u64, content: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn zigzag(n: i64) -> u64 {
    (n as u64) << 1 ^ (n >> 63) as u64
}

fn field(name: &str, number_of_kind: u64, out: &mut Vec<u8>) {
    let mut own = Vec::new();
    bytes(1, name.as_bytes(), &mut own);
    number(2, number_of_kind, &mut own);
    bytes(3, name.as_bytes(), &mut own);
    bytes(13, &own, out);
}

/// `FieldType` of the proto file.
fn number_of(kind: &str) -> u64 {
    match kind {
        "SmallInteger" => 0,
        "Integer" => 1,
        "Double" => 3,
        "Date" => 5,
        "OID" => 6,
        "GlobalID" => 11,
        _ => 4,
    }
}

fn value(kind: &str, value: &Value) -> Vec<u8> {
    let mut own = Vec::new();
    match (kind, value) {
        (_, Value::String(text)) => bytes(1, text.as_bytes(), &mut own),
        ("Double", n) => double(3, n.as_f64().unwrap_or_default(), &mut own),
        ("Date", n) => number(6, n.as_u64().unwrap_or_default(), &mut own),
        ("OID", n) => number(5, n.as_u64().unwrap_or_default(), &mut own),
        (_, n) => number(4, zigzag(n.as_i64().unwrap_or_default()), &mut own),
    }
    own
}

fn feature(id: u64) -> Vec<u8> {
    let point = data::point(id);
    let (mut own, mut coords, mut shape) = (Vec::new(), Vec::new(), Vec::new());
    for (name, kind) in std::iter::once(("OBJECTID", "OID")).chain(FIELDS.iter().map(|(name, kind, _)| (*name, *kind))) {
        bytes(1, &value(kind, &point["attributes"][name]), &mut own);
    }
    for axis in ["x", "y"] {
        let steps = ((point["geometry"][axis].as_f64().unwrap_or_default() - CORNER) / STEP).round();
        varint(zigzag(steps as i64), &mut coords);
    }
    bytes(3, &coords, &mut shape);
    bytes(2, &shape, &mut own);
    own
}

/// The points from one id to another; `has_more` says whether others follow.
pub(crate) fn page(first: u64, last: u64, has_more: bool) -> Vec<u8> {
    let mut result = Vec::new();
    bytes(1, b"OBJECTID", &mut result);
    bytes(3, b"GlobalID", &mut result);
    let mut reference = Vec::new();
    number(1, 4326, &mut reference);
    bytes(8, &reference, &mut result);
    number(9, u64::from(has_more), &mut result);
    let (mut transform, mut per_axis) = (Vec::new(), Vec::new());
    number(1, 1, &mut transform);
    for n in [STEP, CORNER] {
        per_axis.clear();
        double(1, n, &mut per_axis);
        double(2, n, &mut per_axis);
        bytes(if n == STEP { 2 } else { 3 }, &per_axis, &mut transform);
    }
    bytes(12, &transform, &mut result);
    field("OBJECTID", number_of("OID"), &mut result);
    FIELDS.iter().for_each(|(name, kind, _)| field(name, number_of(kind), &mut result));
    (first..=last).for_each(|id| bytes(15, &feature(id), &mut result));
    let (mut query, mut all) = (Vec::new(), Vec::new());
    bytes(1, &result, &mut query);
    bytes(2, &query, &mut all);
    all
}
