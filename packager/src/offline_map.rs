//! A map of a package: its layers, and where their data are.
//!
//! Source: mobile map package reference A.3 (reading rule).

use offmap_disk::path as names;
use offmap_formats::package_files::damaged;
use offmap_model::{Failure, LayerPlace, MapLayer, UtilityNetwork, WebMap};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of the titles of groups, as often as they stand around a layer.
const MAX_GROUP_TITLES: usize = 64 << 20;

/// Where a layer's data are in a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LayerFile {
    /// Path in the package; for a file outside, the URI as the map has it.
    pub path: String,
    /// `GDB_ServiceItems.ItemId`.
    pub item_id: Option<i64>,
    /// Folder of style, sprites and fonts that goes with it.
    pub resources: Option<String>,
    /// Whether it is outside the package, as a reference basemap is.
    pub outside: bool,
    /// Size in bytes; `None` if it is not there.
    pub bytes: Option<u64>,
}

/// A layer or table of a map in a package.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OfflineLayer {
    /// Id in the map.
    pub id: String,
    /// Title.
    pub title: String,
    /// Kind of layer.
    pub layer_type: String,
    /// Where in the map.
    pub place: LayerPlace,
    /// Titles of the groups around it.
    pub groups: Vec<String>,
    /// URL of its service.
    pub url: Option<String>,
    /// Its data; `None` for a layer that is online or has its data in the map.
    pub data: Option<LayerFile>,
}

/// A map in a package.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OfflineMap {
    /// Base name of its document.
    pub name: String,
    /// Path of its document in the package.
    pub path: String,
    /// Title.
    pub title: String,
    /// Item of the online map.
    pub original_portal_item_id: Option<String>,
    /// Its portal.
    pub portal_url: Option<String>,
    /// Layers and tables.
    pub layers: Vec<OfflineLayer>,
    /// The map as web map JSON.
    #[serde(skip)]
    pub map: WebMap,
}

impl OfflineMap {
    /// Reads the document `path` of a package that has these files.
    pub(crate) fn read(
        package: &Path,
        files: &BTreeMap<String, u64>,
        (name, path): (&str, &str),
        mut document: Value,
    ) -> Result<Self, Failure> {
        let folder = folder_of(path);
        let item = document.get("item").cloned().unwrap_or(Value::Null);
        let map = document.get_mut("map").map(Value::take).unwrap_or(Value::Null);
        let map = WebMap::from_value(map).map_err(|f| damaged(package, format!("{path}: {}", f.message)))?;
        let json = map.json();
        let lists = ["/operationalLayers", "/baseMap/baseMapLayers", "/tables"];
        let titles = lists.iter().fold(0_usize, |all, list| all.saturating_add(group_titles(at(json, list), 0)));
        if titles > MAX_GROUP_TITLES {
            let most = MAX_GROUP_TITLES >> 20;
            let what = format!("{path}: titles of groups around its layers exceed {most} MiB");
            return Err(damaged(package, what));
        }
        let layer = |layer: &MapLayer| {
            let own = |key: &str| at(json, &layer.pointer).and_then(|l| l.get(key)).and_then(Value::as_str);
            OfflineLayer {
                data: own("path").map(|uri| layer_file(folder, uri, own("itemPath"), files)),
                layer_type: layer.layer_type.to_string(),
                id: layer.id.clone(),
                title: layer.title.clone(),
                place: layer.place,
                groups: layer.groups.clone(),
                url: layer.url.clone(),
            }
        };
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            title: text(&item, "title").unwrap_or_else(|| name.to_owned()),
            original_portal_item_id: text(&item, "originalPortalItemId"),
            portal_url: text(&item, "portalUrl"),
            layers: map.layers().iter().map(layer).collect(),
            map,
        })
    }

    /// Where the data of a layer's JSON are, by its members `path` and `itemPath`, in the package of these files.
    pub(crate) fn place_of(&self, layer: &Value, files: &BTreeMap<String, u64>) -> Option<LayerFile> {
        let own = |key: &str| layer.get(key).and_then(Value::as_str);
        own("path").map(|uri| layer_file(folder_of(&self.path), uri, own("itemPath"), files))
    }

    /// The utility networks of the map that have their data in the package.
    pub(crate) fn networks(&self, files: &BTreeMap<String, u64>) -> Vec<(UtilityNetwork, LayerFile)> {
        let list = self.map.json().get("utilityNetworks").and_then(Value::as_array).cloned().unwrap_or_default();
        let own = |network: UtilityNetwork| {
            let uri = list.get(network.index)?.get("path")?.as_str()?;
            let file = layer_file(folder_of(&self.path), uri, None, files);
            (!file.outside && file.bytes.is_some()).then_some((network, file))
        };
        UtilityNetwork::of(&self.map).into_iter().filter_map(own).collect()
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Resolves a relative URI of a map document that lies in `folder`; `None` where it leads out of the package.
fn resolve(folder: &str, uri: &str) -> Option<String> {
    let relative = uri.strip_prefix("file:").unwrap_or(uri).trim_start_matches("./");
    let relative = relative.replace("%20", " ").replace("%3F", "?").replace("%23", "#").replace("%25", "%");
    if relative.starts_with('/') || relative.contains('\\') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    // What is no path of a package is not in it.
    names::check(&path).is_ok().then_some(path)
}

/// Reads the `path` of a layer in a map document that lies in `folder`.
fn layer_file(folder: &str, uri: &str, resources: Option<&str>, files: &BTreeMap<String, u64>) -> LayerFile {
    let (file, query) = uri.split_once('?').unwrap_or((uri, ""));
    let item_id = query.split('&').find_map(|part| part.strip_prefix("itemId=")?.parse().ok());
    match resolve(folder, file) {
        Some(path) => LayerFile {
            bytes: files.get(&path).copied(),
            path,
            item_id,
            resources: resources.and_then(|uri| resolve(folder, uri)),
            outside: false,
        },
        None => LayerFile { path: uri.to_owned(), item_id, resources: None, outside: true, bytes: None },
    }
}

/// A member of a document that is a text and not empty.
fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

/// Bytes of the titles of groups, each counted for every layer in it.
fn group_titles(layers: Option<&Value>, around: usize) -> usize {
    let layers = layers.and_then(Value::as_array).into_iter().flatten();
    layers.fold(0_usize, |all, layer| {
        let own = match layer.get("layerType").and_then(Value::as_str) == Some("GroupLayer") {
            true => {
                let title = layer.get("title").or_else(|| layer.get("id")).and_then(Value::as_str).map_or(0, str::len);
                group_titles(layer.get("layers"), around.saturating_add(title))
            }
            false => around,
        };
        all.saturating_add(own)
    })
}

/// The part of a map that a layer's pointer leads to.
fn at<'a>(map: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let pointer = pointer.strip_prefix('/')?;
    let (first, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
    map.get(first)?.pointer(rest)
}
