//! Tilemaps: which tiles there are.

use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A node of a tilemap: 0 no tile, 1 a tile that ends, else its four children (upper left, upper right, lower left, lower right).
pub(crate) fn tilemap(there: &BTreeSet<(u32, u64, u64)>, level: u32, row: u64, column: u64) -> Value {
    if !there.contains(&(level, row, column)) {
        return json!(0);
    }
    let child = |k: u64| tilemap(there, level + 1, 2 * row + k / 2, 2 * column + k % 2);
    let children: Vec<Value> = (0..4).map(child).collect();
    if children.iter().all(|c| *c == json!(0)) { json!(1) } else { Value::Array(children) }
}

/// `tilemap/{level}/{row}/{col}/{w}/{h}`.
pub(crate) fn tilemap_block(parts: &[&str], exists: impl Fn(u32, u64, u64) -> bool) -> Option<Value> {
    let [level, top, left, width, height] = parts else { return None };
    let level: u32 = level.parse().ok()?;
    let (top, left): (u64, u64) = (top.parse().ok()?, left.parse().ok()?);
    let (width, height): (u64, u64) = (width.parse().ok()?, height.parse().ok()?);
    if width * height > 128 * 128 {
        return None;
    }
    let cells = (top..top + height).flat_map(|row| (left..left + width).map(move |column| (row, column)));
    let data: Vec<u8> = cells.map(|(row, column)| u8::from(exists(level, row, column))).collect();
    Some(json!({"adjusted": false, "location": {"left": left, "top": top, "width": width, "height": height}, "data": data}))
}
