//! Which layers vector tiles have, and which fields: what MBTiles and PMTiles say of them.
//!
//! Source: vector tile specification 2.1, §4 (`Tile`, `Layer`, `Feature`, `Value`); MBTiles 1.3, "Vector tileset metadata"; TileJSON 3.0.0,
//! §3.3 (`vector_layers`).

use crate::protobuf::{Field, fields, varint};
use crate::tile_writing::{GZIP, gunzipped};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most layers, most fields of all of them, and longest name of one in bytes; what is more is left out.
const MOST_LAYERS: usize = 256;
const MOST_FIELDS: usize = 10_000;
const LONGEST_NAME: usize = 256;
/// Largest tile that is looked at, without gzip.
const LARGEST: u64 = 16 << 20;

/// Numbers of fields: a layer of a tile; name, features, keys and values of a layer; tags of a feature.
const LAYER: u64 = 3;
const NAME: u64 = 1;
const FEATURE: u64 = 2;
const KEY: u64 = 3;
const VALUE: u64 = 4;
const TAGS: u64 = 2;

/// What the values of a field are, in the words of MBTiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Boolean,
    String,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Number => "Number",
            Self::Boolean => "Boolean",
            Self::String => "String",
        }
    }

    /// Of a value; `None` for an empty one.
    fn of(value: &[u8]) -> Option<Self> {
        let mut found = None;
        fields(value, |number, _| {
            found = match number {
                1 => Some(Self::String),
                2..=6 => Some(Self::Number),
                7 => Some(Self::Boolean),
                _ => found,
            };
            true
        })?;
        found
    }
}

/// Layers with their fields, of all tiles that were looked at.
#[derive(Debug, Default)]
pub(crate) struct VectorLayers {
    layers: BTreeMap<String, BTreeMap<String, Kind>>,
    /// How many fields all layers together have.
    count: usize,
}

impl VectorLayers {
    /// Looks at a tile, in gzip or not; one that is none says nothing.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let unpacked = bytes.starts_with(GZIP).then(|| gunzipped(bytes, LARGEST).unwrap_or_default());
        let bytes = unpacked.as_deref().unwrap_or(bytes);
        fields(bytes, |number, field| {
            if let (LAYER, Field::Bytes(layer)) = (number, field) {
                self.add_layer(layer);
            }
            true
        });
    }

    fn add_layer(&mut self, layer: &[u8]) -> Option<()> {
        let (mut name, mut keys, mut kinds) = (None, Vec::new(), Vec::new());
        fields(layer, |number, field| {
            match (number, field) {
                (NAME, Field::Bytes(text)) => name = std::str::from_utf8(text).ok(),
                (KEY, Field::Bytes(key)) => keys.push(std::str::from_utf8(key).ok()),
                (VALUE, Field::Bytes(value)) => kinds.push(Kind::of(value)),
                _ => {}
            }
            true
        })?;
        let name = name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME)?;
        if self.layers.len() >= MOST_LAYERS && !self.layers.contains_key(name) {
            return None;
        }
        self.layers.entry(name.to_owned()).or_default();
        fields(layer, |number, field| {
            if let (FEATURE, Field::Bytes(feature)) = (number, field) {
                fields(feature, |number, field| {
                    if let (TAGS, Field::Bytes(tags)) = (number, field) {
                        self.add_tags(name, tags, (&keys, &kinds));
                    }
                    true
                });
            }
            true
        })
    }

    /// Adds the keys of a feature, each with the number of its value behind it.
    fn add_tags(&mut self, layer: &str, mut tags: &[u8], (keys, kinds): (&[Option<&str>], &[Option<Kind>])) -> Option<()> {
        let known = self.layers.get_mut(layer)?;
        while !tags.is_empty() {
            let (key, value) = (varint(&mut tags)?, varint(&mut tags)?);
            let key = keys.get(usize::try_from(key).ok()?).copied().flatten().filter(|key| key.len() <= LONGEST_NAME);
            let kind = kinds.get(usize::try_from(value).ok()?).copied().flatten();
            let (Some(key), Some(kind)) = (key, kind) else { continue };
            match known.get_mut(key) {
                Some(known) if *known != kind => *known = Kind::String,
                Some(_) => {}
                None if self.count < MOST_FIELDS => {
                    self.count += 1;
                    known.insert(key.to_owned(), kind);
                }
                None => {}
            }
        }
        Some(())
    }

    /// `vector_layers`.
    pub(crate) fn into_json(self) -> Value {
        let of = |fields: BTreeMap<String, Kind>| -> Map<String, Value> {
            fields.into_iter().map(|(name, kind)| (name, json!(kind.word()))).collect()
        };
        self.layers.into_iter().map(|(id, fields)| json!({"id": id, "fields": of(fields)})).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile_writing::gzip;

    fn with(number: u8, inner: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, inner.len() as u8][..], inner].concat()
    }

    /// A layer of one feature that has each of some keys with the value beside it.
    fn layer(name: &str, pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let tags: Vec<u8> = (0..pairs.len() as u8).flat_map(|n| [n, n]).collect();
        let mut inner = [with(1, name.as_bytes()), with(2, &with(2, &tags))].concat();
        pairs.iter().for_each(|(key, _)| inner.extend(with(3, key.as_bytes())));
        pairs.iter().for_each(|(_, value)| inner.extend(with(4, value)));
        with(3, &inner)
    }

    #[test]
    fn layers_and_fields_are_those_of_all_tiles_and_what_is_no_tile_says_nothing() {
        let text = with(1, b"Bern");
        let (double, whole, flag) = ([0x19, 0, 0, 0, 0, 0, 0, 0, 0], [0x20, 7], [0x38, 1]);
        let mut found = VectorLayers::default();
        found.add(&[layer("water", &[("name", &text), ("depth", &double)]), layer("empty", &[])].concat());
        found.add(&gzip(&layer("water", &[("salt", &flag), ("depth", &whole)])));
        found.add(&layer("roads", &[("class", &text), ("oneway", &flag)]));
        found.add(&layer("roads", &[("class", &whole)]));
        for wrong in [&b""[..], b"\x1f\x8bno", b"\x1a\x7f", b"PNG", &layer("", &[])] {
            found.add(wrong);
        }
        let expected = json!([
            {"id": "empty", "fields": {}},
            {"id": "roads", "fields": {"class": "String", "oneway": "Boolean"}},
            {"id": "water", "fields": {"depth": "Number", "name": "String", "salt": "Boolean"}},
        ]);
        assert_eq!(found.into_json(), expected);
    }

    #[test]
    fn names_are_bounded() {
        let mut found = VectorLayers::default();
        for n in 0..2 * MOST_LAYERS {
            found.add(&layer(&format!("l{n:04}"), &[(&format!("f{n}"), &[0x20, 7])]));
        }
        for n in 0..2 * MOST_FIELDS {
            found.add(&layer("l0000", &[(&format!("g{n}"), &[0x20, 7])]));
        }
        assert_eq!((found.layers.len(), found.count), (MOST_LAYERS, MOST_FIELDS));
    }
}
