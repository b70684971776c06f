//! Finds the layers and tables of a map: groups are opened, ids are made unique, long texts are cut in the views.

use super::layer::{LONGEST_URL, LayerPlace, MapLayer};
use super::layer_type::LayerType;
use crate::failure::shortened;
use crate::layer_secrets::LayerSecrets;
use crate::number;
use crate::service_url::ServiceUrl;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Deepest nesting of group layers that is followed.
const MAX_GROUP_DEPTH: usize = 64;
/// Longest id of a layer that is used as it is, in bytes; a layer with a longer one is named by its place.
const LONGEST_ID: usize = 128;
/// Longest title and list of capabilities of a layer, in bytes: each is in many messages.
pub(super) const LONGEST_TITLE: usize = 256;
/// Longest title of a group that is kept with each of its layers, in bytes.
pub(super) const LONGEST_GROUP_TITLE: usize = 128;

/// All layers and tables, bottom to top.
pub(super) fn layers_of(map: &Map<String, Value>) -> Vec<MapLayer> {
    let mut all = Vec::new();
    let base = list_of(map.get("baseMap").and_then(|b| b.get("baseMapLayers")));
    let is_reference = |v: &Value| v.get("isReference").and_then(Value::as_bool).unwrap_or(false);
    for above in [false, true] {
        for (i, layer) in base.iter().enumerate().filter(|(_, v)| is_reference(v) == above) {
            let place = if above { LayerPlace::BasemapReference } else { LayerPlace::Basemap };
            collect(layer, &format!("/baseMap/baseMapLayers/{i}"), place, &[], &mut all);
        }
        if !above {
            for (i, layer) in list_of(map.get("operationalLayers")).iter().enumerate() {
                collect(layer, &format!("/operationalLayers/{i}"), LayerPlace::Operational, &[], &mut all);
            }
        }
    }
    for (i, table) in list_of(map.get("tables")).iter().enumerate() {
        collect(table, &format!("/tables/{i}"), LayerPlace::Table, &[], &mut all);
    }
    make_ids_unique(&mut all);
    all
}

/// The members of a list; none where it is missing or something else.
fn list_of(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// How many layers and tables a map has.
pub(super) fn count_layers(map: &Map<String, Value>) -> usize {
    let base = list_of(map.get("baseMap").and_then(|b| b.get("baseMapLayers")));
    let lists = [base, list_of(map.get("operationalLayers")), list_of(map.get("tables"))];
    lists.into_iter().flatten().map(|layer| count_of(layer, 0)).sum()
}

/// Layers and tables in a member of the map: one, or those of a group.
fn count_of(layer: &Value, depth: usize) -> usize {
    if layer.get("layerType").and_then(Value::as_str) != Some("GroupLayer") {
        return 1;
    }
    match depth >= MAX_GROUP_DEPTH {
        true => 0,
        false => list_of(layer.get("layers")).iter().map(|child| count_of(child, depth + 1)).sum(),
    }
}

fn collect(value: &Value, pointer: &str, place: LayerPlace, groups: &[String], all: &mut Vec<MapLayer>) {
    let Some(json) = value.as_object() else { return };
    let text = |key: &str| json.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    if json.get("layerType").and_then(Value::as_str) == Some("GroupLayer") {
        if groups.len() >= MAX_GROUP_DEPTH {
            return;
        }
        let mut groups = groups.to_vec();
        groups.push(shortened(text("title").or_else(|| text("id")).unwrap_or_default(), LONGEST_GROUP_TITLE));
        for (i, child) in json.get("layers").and_then(Value::as_array).into_iter().flatten().enumerate() {
            collect(child, &format!("{pointer}/layers/{i}"), place, &groups, all);
        }
        return;
    }
    let definition = json.get("layerDefinition").and_then(Value::as_object);
    let number = |key: &str| {
        let own = json.get(key).and_then(number::read::<f64>);
        own.or_else(|| definition.and_then(|d| d.get(key)).and_then(number::read))
    };
    let id =
        text("id").filter(|id| id.len() <= LONGEST_ID).unwrap_or_else(|| pointer.trim_start_matches('/').replace('/', "-"));
    let short_url = |key: &str| text(key).filter(|url| url.len() <= LONGEST_URL);
    let url = short_url("url");
    let named = || {
        let service = url.as_deref().and_then(ServiceUrl::parse)?;
        service.root().rsplit('/').nth(1).map(str::to_owned)
    };
    all.push(MapLayer {
        title: shortened(text("title").or_else(named).unwrap_or_else(|| id.clone()), LONGEST_TITLE),
        layer_type: LayerType::read(json, place == LayerPlace::Table),
        place,
        pointer: pointer.to_owned(),
        groups: groups.to_vec(),
        style_url: short_url("styleUrl"),
        item_id: text("itemId").filter(|id| id.len() <= LONGEST_ID),
        definition_expression: definition
            .and_then(|d| d.get("definitionExpression"))
            .and_then(Value::as_str)
            .filter(|t| !t.trim().is_empty())
            .map(str::to_owned),
        // The layer definition's word supersedes the layer's in newer maps.
        capabilities: definition
            .and_then(|d| d.get("capabilities"))
            .and_then(Value::as_str)
            .or_else(|| json.get("capabilities").and_then(Value::as_str))
            .map(|names| shortened(names, LONGEST_TITLE)),
        min_scale: number("minScale"),
        max_scale: number("maxScale"),
        has_feature_collection: json.get("featureCollection").is_some_and(Value::is_object),
        secrets: LayerSecrets::default(),
        id,
        url,
    });
}

fn make_ids_unique(layers: &mut [MapLayer]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for layer in layers {
        let count = seen.entry(layer.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            layer.id = format!("{}#{count}", layer.id);
        }
    }
}
