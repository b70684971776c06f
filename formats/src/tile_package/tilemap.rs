//! The tilemap of a vector tile package: which tiles there are, as a tree. An array is a tile that continues with its four children
//! (upper left, upper right, lower left, lower right), 1 a tile that ends, 0 none.
//!
//! Source: tile reference §14.

use crate::tiles::TileRows;
use offmap_model::number::read;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where it is.
pub(super) const TILEMAP: &str = "p12/tilemap/root.json";
/// Levels of the deepest tilemap that is read: rows and columns keep within 32 bits.
const DEEPEST: u32 = 31;

/// The tiles of a tilemap (`{"index": …}`), level by level.
///
/// # Errors
/// What is wrong with it, in words.
pub fn tiles(tilemap: &Value) -> Result<BTreeMap<u32, TileRows>, String> {
    let Some(index) = tilemap.get("index") else {
        return Err("tilemap/root.json has no `index`".to_owned());
    };
    let mut levels: BTreeMap<u32, TileRows> = BTreeMap::new();
    let mut todo = vec![(0_u32, 0_u64, 0_u64, index)];
    while let Some((level, row, column, node)) = todo.pop() {
        match node {
            Value::Array(children) if children.len() == 4 && level < DEEPEST => {
                let child = |(k, node): (u64, _)| (level + 1, 2 * row + k / 2, 2 * column + k % 2, node);
                todo.extend((0..).zip(children).map(child));
            }
            Value::Array(children) => {
                return Err(format!(
                    "tilemap/root.json has a node of {} children on level {level}, expected 4 and at most {DEEPEST} levels",
                    children.len()
                ));
            }
            number => match read::<u64>(number) {
                Some(0) => continue,
                Some(_) => {}
                None => return Err("tilemap/root.json has something else than numbers and lists in it".to_owned()),
            },
        }
        levels.entry(level).or_default().add(row, column);
    }
    Ok(levels.into_iter().map(|(level, rows)| (level, rows.coalesce())).collect())
}

/// The tilemap that has a node where either has one.
pub(super) fn join(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let mut joined = x.clone();
            if let (Some(a), Some(b)) = (x.get("index"), y.get("index")) {
                joined.insert("index".to_owned(), join(a, b));
            }
            Value::Object(joined)
        }
        (Value::Array(x), Value::Array(y)) => x.iter().zip(y).map(|(a, b)| join(a, b)).collect(),
        (Value::Array(_), _) => a.clone(),
        (_, Value::Array(_)) => b.clone(),
        _ if read(a) == Some(0_u64) => b.clone(),
        _ => a.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tilemap_is_counted_level_by_level() {
        let levels = tiles(&json!({"index": [0, 1, [1, 0, 0, 0], 0]})).expect("reads");
        let tiles_of = |(level, rows): (&u32, &TileRows)| (*level, rows.each().collect::<Vec<_>>());
        let expected = [(0, vec![(0, 0)]), (1, vec![(0, 1), (1, 0)]), (2, vec![(2, 0)])];
        assert_eq!(levels.iter().map(tiles_of).collect::<Vec<_>>(), expected);
        for bad in [json!({"index": [0, 1]}), json!({"index": "x"}), json!({})] {
            assert!(tiles(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tilemaps_are_joined_node_by_node() {
        let a = json!({"index": [0, 1, [1, 0, 0, 0], 0]});
        let b = json!({"index": [1, [0, 1, 0, 0], [0, 1, 0, 0], 0]});
        assert_eq!(join(&a, &b), json!({"index": [1, [0, 1, 0, 0], [1, 1, 0, 0], 0]}));
    }
}
