//! What the layers of the maps need: found by reading each map once without data.

use super::feature_set::FeatureSet;
use crate::cartography::Map;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, json};
use offmap_packager::{MobileMapPackage, OfflineMap};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a map's document, and memory that it may need.
const LARGEST_DOCUMENT: u64 = 64 << 20;
const DOCUMENT_MEMORY: u64 = 512 << 20;
/// Layers of a map, those of groups and collections as well.
const MOST_LAYERS: usize = 5_000;
/// Members of a map that list layers.
const LISTS: [&str; 4] = ["operationalLayers", "baseMapLayers", "tables", "layers"];
/// Endings of files of tiles.
const TILES: [&str; 5] = ["tpk", "tpkx", "vtpk", "mbtiles", "pmtiles"];

/// A file of tiles with the folder of its style.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TileNeed {
    pub(super) file: String,
    pub(super) resources: Option<String>,
}

/// What a layer needs.
#[derive(Debug, Clone)]
pub(super) enum Need {
    /// A table of a geodatabase.
    Features {
        /// The geodatabase.
        file: String,
        /// By which number the map names the layer.
        item_id: Option<i64>,
    },
    /// Features that lie in the map.
    Set(Arc<FeatureSet>),
    /// Tiles.
    Tiles(TileNeed),
    /// Something that is not in the package, or not of a kind that becomes part of the folder.
    Nothing(String),
}

/// A map, and the needs of its layers in the order in which they are read.
pub(super) struct MapNeeds {
    pub(super) name: String,
    pub(super) title: String,
    /// Its document in the package.
    pub(super) path: String,
    pub(super) document: Value,
    pub(super) needs: Vec<Need>,
    pub(super) titles: Vec<String>,
    /// Whether the map itself labels the layer.
    pub(super) labelled: Vec<bool>,
}

/// Reads all maps of a package.
pub(super) fn of_maps(package: &MobileMapPackage) -> Result<Vec<MapNeeds>, Failure> {
    let damaged = |what: String| Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, what);
    if package.maps().is_empty() {
        return Err(damaged(format!("{} lists no map", package.path().display())));
    }
    let of_map = |map: &OfflineMap| {
        let bytes = package.read(&map.path, LARGEST_DOCUMENT)?;
        let document: Value =
            json::read(&bytes, DOCUMENT_MEMORY).map_err(|what| damaged(format!("{}: {what}", map.path)))?;
        let layers = layers_in(&document);
        if layers > MOST_LAYERS {
            return Err(damaged(format!("{} has {layers} layers, expected at most {MOST_LAYERS}", map.path)));
        }
        let (mut needs, mut titles, mut labelled) = (Vec::new(), Vec::new(), Vec::new());
        let read = Map::from_web_map(&document, &mut |layer| {
            needs.push(need_of(package, map, layer, needs.len()));
            titles.push(title_of(layer));
            labelled.push(layer.get("layerDefinition").is_some_and(has_labels));
            None
        });
        let title = if read.title.is_empty() { map.title.clone() } else { read.title };
        Ok(MapNeeds { name: map.name.clone(), title, path: map.path.clone(), document, needs, titles, labelled })
    };
    package.maps().iter().map(of_map).collect()
}

/// How many layers a document lists.
fn layers_in(value: &Value) -> usize {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| {
                let own = if LISTS.contains(&key.as_str()) { member.as_array().map_or(0, Vec::len) } else { 0 };
                own.saturating_add(layers_in(member))
            })
            .fold(0, usize::saturating_add),
        Value::Array(list) => list.iter().map(layers_in).fold(0, usize::saturating_add),
        _ => 0,
    }
}

/// Whether the drawing of a layer labels its features.
pub(super) fn has_labels(layer: &Value) -> bool {
    layer.pointer("/drawingInfo/labelingInfo").and_then(Value::as_array).is_some_and(|labels| !labels.is_empty())
}

/// The name of a layer for people.
pub(super) fn title_of(layer: &Value) -> String {
    let text = |key: &str| layer.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    text("title").or(text("id")).unwrap_or("a layer without a name").to_owned()
}

fn need_of(package: &MobileMapPackage, map: &OfflineMap, layer: &Value, number: usize) -> Need {
    if layer.get("featureSet").is_some_and(Value::is_object) {
        let of_map = map.map.json().get("spatialReference");
        return match FeatureSet::read(layer, of_map, format!("{}#{number}", map.name), title_of(layer)) {
            Ok(set) => Need::Set(Arc::new(set)),
            Err(why) => Need::Nothing(why),
        };
    }
    let Some(found) = package.file_of_layer(map, layer) else {
        let is_online = layer.get("url").is_some_and(Value::is_string);
        return Need::Nothing(match is_online {
            true => "it is online: the package has no data of it".to_owned(),
            false => "it has no data in the package".to_owned(),
        });
    };
    if found.outside {
        return Need::Nothing(format!("its file lies outside the package ({})", found.path));
    }
    if found.bytes.is_none() {
        return Need::Nothing(format!("its file {} is not in the package", found.path));
    }
    let ending = Path::new(&found.path).extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match ending.as_str() {
        "geodatabase" => Need::Features { file: found.path, item_id: found.item_id },
        ending if TILES.contains(&ending) => Need::Tiles(TileNeed { file: found.path, resources: found.resources }),
        _ => Need::Nothing(format!("its file {} is of a kind that is not converted", found.path)),
    }
}

/// The files of tiles that maps draw, with the title of the first layer that does.
pub(super) fn tile_layers(maps: &[MapNeeds]) -> Vec<(TileNeed, String)> {
    let mut seen = HashSet::new();
    let each = maps.iter().flat_map(|map| map.needs.iter().zip(&map.titles));
    let tiles = each.filter_map(|(need, title)| match need {
        Need::Tiles(tiles) if seen.insert(tiles.clone()) => Some((tiles.clone(), title.clone())),
        _ => None,
    });
    tiles.collect()
}
