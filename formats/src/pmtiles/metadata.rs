//! The metadata: one JSON object (§5).

use crate::tile_set::TileSetInfo;
use offmap_model::number;
use serde_json::{Map, Value};

/// Says how large tiles are where that is not what their format lets expect; other readers pass it over.
const TILE_SIZE: &str = "tile_size";

/// What a set says of itself; `tile_size` in pixels.
pub(super) fn write(info: &TileSetInfo, tile_size: u32) -> Value {
    let mut metadata = info.vector.clone();
    let texts = [("name", &info.name), ("description", &info.description), ("attribution", &info.attribution)];
    for (key, text) in texts {
        if let Some(text) = text {
            metadata.insert(key.to_owned(), Value::from(text.as_str()));
        }
    }
    if info.format.is_vector() {
        metadata.entry("vector_layers").or_insert_with(|| Value::Array(Vec::new()));
    } else if tile_size != 256 {
        metadata.insert(TILE_SIZE.to_owned(), Value::from(tile_size));
    }
    Value::Object(metadata)
}

/// The size of tiles that it says.
pub(super) fn tile_size(metadata: &Map<String, Value>) -> Option<u32> {
    metadata.get(TILE_SIZE).and_then(number::read::<u32>)
}

/// Takes over what it says of the set.
pub(super) fn read(metadata: &Map<String, Value>, info: &mut TileSetInfo) {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    info.name = text("name");
    info.description = text("description");
    info.attribution = text("attribution");
    for key in ["vector_layers", "tilestats"] {
        if let Some(value) = metadata.get(key) {
            info.vector.insert(key.to_owned(), value.clone());
        }
    }
}
