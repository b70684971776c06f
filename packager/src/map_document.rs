//! The document of the map, `mobile_map.mmap`: the web map with a `path` at every layer that has its data in the package.
//!
//! Source: mobile map package reference A.3.

use crate::documents::Documents;
use crate::layout::MAP_NAME;
use offmap_engine::ReferenceBasemap;
use offmap_model::{Failure, LayerOutcome, OnlineOnlyServicesOption, SpatialReference, UtilityNetwork};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Version of the map document; not the web map's.
const MOBILE_MAP_VERSION: &str = "1.3";
/// Layer type of raster tiles.
const TILED: &str = "ArcGISTiledMapServiceLayer";
/// Keywords that the map's item gets beside its own.
const TYPE_KEYWORDS: [&str; 4] = ["Mobile Map", "2D", "ArcGIS Runtime", "Mobile"];

/// `mobile_map.mmap`: the item, and the map.
pub(crate) fn mobile_map(documents: &Documents<'_>) -> Result<Value, Failure> {
    let info = documents.item_info();
    let item = documents.source.item.as_ref();
    let mut keywords: Vec<String> = item.map(|i| i.type_keywords.clone()).unwrap_or_default();
    for keyword in TYPE_KEYWORDS {
        if !keywords.iter().any(|k| k == keyword) {
            keywords.push(keyword.to_owned());
        }
    }
    let mut json = json!({
        "created": documents.created,
        "extent": documents.extent()?,
        "guid": uuid::Uuid::new_v4().simple().to_string(),
        "id": uuid::Uuid::new_v4().simple().to_string(),
        "modified": documents.created,
        "name": MAP_NAME,
        "spatialReference": documents.spatial_reference().name(),
        "title": info.title,
        "type": "Mobile Map",
        "typeKeywords": keywords,
    });
    if let Some(json) = json.as_object_mut() {
        if let Some(id) = item.map(|i| &i.id).filter(|id| !id.is_empty()) {
            json.insert("originalPortalItemId".to_owned(), json!(id));
        }
        if let Some(portal) = &documents.source.portal_url {
            json.insert("portalUrl".to_owned(), json!(portal));
        }
    }
    Ok(json!({"item": json, "map": map(documents)}))
}

fn map(documents: &Documents<'_>) -> Value {
    let mut map = Value::Object(documents.source.web_map.json().clone());
    let mut removed = edit_layers(documents, &mut map);
    // From the end of each list, so that the pointers before stay right. Layers come in the order of drawing, which is not
    // the order of the lists where a basemap mixes reference layers in.
    removed.sort_by_key(|pointer| std::cmp::Reverse(indices(pointer)));
    for pointer in &removed {
        remove_at(&mut map, pointer);
    }
    edit_networks(documents, &mut map);
    if let (Some(basemap), Some(map)) = (documents.basemap, map.as_object_mut()) {
        map.insert("baseMap".to_owned(), local_basemap(basemap));
    }
    if let Some(map) = map.as_object_mut() {
        for key in ["operationalLayers", "tables"] {
            if let Some(list) = map.get_mut(key).and_then(Value::as_array_mut) {
                list.retain_mut(|layer| !is_empty_group(layer));
            }
        }
        edit_root(documents, map);
    }
    remove_withheld(&mut map);
    map
}

/// Points layers to their data; answers the pointers of those that are neither in the package nor online nor embedded.
fn edit_layers(documents: &Documents<'_>, map: &mut Value) -> Vec<String> {
    let outcomes: HashMap<&str, &LayerOutcome> = documents.layers.iter().map(|l| (l.id.as_str(), l)).collect();
    let skipped = documents.plan.skipped.iter();
    let online: HashSet<&str> = skipped.filter(|s| s.remains_online).map(|s| s.id.as_str()).collect();
    let embedded: HashSet<&str> = documents.plan.embedded.iter().map(|e| e.id.as_str()).collect();
    let mut removed = Vec::new();
    for layer in documents.source.web_map.layers() {
        let Some(json) = map.pointer_mut(&layer.pointer).and_then(Value::as_object_mut) else { continue };
        let id = layer.id.as_str();
        match documents.data.get(id).filter(|_| outcomes.contains_key(id)) {
            Some(data) => {
                let query = data.item_id.map(|n| format!("?itemId={n}")).unwrap_or_default();
                json.insert("path".to_owned(), json!(format!("{}{query}", uri(&data.file))));
                set_offline_type(json, &data.file);
                if let Some(folder) = &data.resources {
                    json.insert("itemPath".to_owned(), json!(uri(folder)));
                }
            }
            None if online.contains(id) || embedded.contains(id) => {}
            None => removed.push(layer.pointer.clone()),
        }
    }
    removed
}

/// A utility network that is in the package gets its path; one that is not is removed, unless what is only online is to stay.
fn edit_networks(documents: &Documents<'_>, map: &mut Value) {
    let Some(list) = map.get_mut("utilityNetworks").and_then(Value::as_array_mut) else { return };
    let mut paths: HashMap<usize, String> = HashMap::new();
    for task in &documents.plan.tasks {
        let Some(data) = task.layers.iter().find_map(|l| documents.data.get(&l.id)) else { continue };
        for network in &task.networks {
            if let Some(id) = network.service_layer_id {
                paths.insert(network.index, format!("{}?itemId={id}", uri(&data.file)));
            }
        }
    }
    let keeps = documents.plan.parameters.online_only_services_option == OnlineOnlyServicesOption::Include;
    let networks = UtilityNetwork::of(&documents.source.web_map).into_iter();
    let of_service: HashSet<usize> = networks.filter(|n| n.service_url.is_some()).map(|n| n.index).collect();
    let left_out: HashSet<usize> = documents.plan.left_out_networks.iter().copied().collect();
    let mut index = 0;
    list.retain_mut(|network| {
        let this = index;
        index += 1;
        match (paths.get(&this), network.as_object_mut()) {
            (Some(path), Some(network)) => {
                network.insert("path".to_owned(), json!(path));
                true
            }
            // What names no service is not offmap's to judge.
            _ => !left_out.contains(&this) && (keeps || !of_service.contains(&this)),
        }
    });
    if list.is_empty()
        && let Some(map) = map.as_object_mut()
    {
        map.remove("utilityNetworks");
    }
}

fn edit_root(documents: &Documents<'_>, map: &mut Map<String, Value>) {
    let spatial_reference = documents.spatial_reference();
    map.insert("version".to_owned(), json!(MOBILE_MAP_VERSION));
    map.insert("authoringApp".to_owned(), json!("offmap"));
    map.insert("authoringAppVersion".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    map.entry("referenceScale").or_insert(json!(0));
    map.entry("operationalLayers").or_insert(json!([]));
    map.entry("baseMap").or_insert(json!({"baseMapLayers": [], "title": ""}));
    map.insert("spatialReference".to_owned(), json!(spatial_reference));
    // The author's offline settings were applied; the rest of the properties stays.
    if let Some(properties) = map.get_mut("applicationProperties").and_then(Value::as_object_mut) {
        properties.remove("offline");
    }
    let viewpoint = json!({"targetGeometry": viewpoint(documents, &spatial_reference)});
    let state = map.entry("initialState").or_insert(json!({}));
    if let Some(state) = state.as_object_mut() {
        state.insert("viewpoint".to_owned(), viewpoint);
    }
}

/// What the map shows first: the area, in the map's spatial reference where it can be projected.
fn viewpoint(documents: &Documents<'_>, spatial_reference: &SpatialReference) -> Option<offmap_model::Envelope> {
    let area = &documents.plan.parameters.area_of_interest;
    area.project(spatial_reference).unwrap_or_else(|_| area.clone()).envelope()
}

/// A URI relative to the map document; only what would break it is escaped.
fn uri(name: &str) -> String {
    format!("file:./{}", escaped_path(name))
}

fn escaped_path(path: &str) -> String {
    path.replace('%', "%25").replace(' ', "%20").replace('?', "%3F").replace('#', "%23")
}

/// A basemap of one layer, by the path to a file on the device. A relative directory counts from the parent directory of the
/// package, two levels above the map's document.
fn local_basemap(basemap: &ReferenceBasemap) -> Value {
    let name = basemap.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let title = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
    let directory = basemap.directory.to_string_lossy().replace('\\', "/");
    let directory = directory.trim_end_matches('/');
    let path = if basemap.directory.is_absolute() {
        format!("file://{}", escaped_path(&format!("{directory}/{name}")))
    } else {
        format!("file:../../{}", escaped_path(&format!("{}/{name}", directory.trim_start_matches("./"))))
    };
    json!({"title": title, "baseMapLayers": [{"id": "reference-basemap", "title": title, "layerType": basemap.says.layer_type,
        "path": path, "visibility": true, "opacity": 1}]})
}

/// Removes the parameters of layers: their values are secrets, which the map does not hold any more.
fn remove_withheld(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in ["customParameters", "customLayerParameters"] {
                if map.get(key).is_some_and(|v| v.as_object().is_some_and(|all| all.values().all(Value::is_null))) {
                    map.remove(key);
                }
            }
            map.values_mut().for_each(remove_withheld);
        }
        Value::Array(list) => list.iter_mut().for_each(remove_withheld),
        _ => {}
    }
}

/// The tiles of an image service, of a template or of what was drawn are a tiled layer once they are in a package; the manifest keeps the online type.
fn set_offline_type(layer: &mut Map<String, Value>, file: &str) {
    let is_tile_package = file.rsplit('.').next().is_some_and(|e| matches!(e, "tpk" | "tpkx"));
    const OTHERS: [&str; 7] = [
        "ArcGISImageServiceLayer",
        "ArcGISMapServiceLayer",
        "ArcGISTiledImageServiceLayer",
        "WebTiledLayer",
        "OpenStreetMap",
        "WMS",
        "WMTS",
    ];
    let of_images = |name: &Value| name.as_str().is_some_and(|name| OTHERS.contains(&name));
    let untyped = !layer.contains_key("layerType");
    for key in ["layerType", "type"] {
        if is_tile_package && layer.get(key).is_some_and(of_images) {
            layer.insert(key.to_owned(), json!(TILED));
        }
    }
    if is_tile_package && untyped {
        // In old maps the type follows from the url; that of a file says nothing of it.
        layer.insert("layerType".to_owned(), json!(TILED));
    }
}

/// The numbers of a pointer, for ordering within a list.
fn indices(pointer: &str) -> Vec<usize> {
    pointer.split('/').filter_map(|part| part.parse().ok()).collect()
}

fn remove_at(map: &mut Value, pointer: &str) {
    let Some((list, index)) = pointer.rsplit_once('/') else { return };
    if let (Some(list), Ok(index)) = (map.pointer_mut(list).and_then(Value::as_array_mut), index.parse::<usize>())
        && index < list.len()
    {
        list.remove(index);
    }
}

/// Whether this is a group that has nothing left; groups in it are emptied first.
fn is_empty_group(layer: &mut Value) -> bool {
    if layer.get("layerType").and_then(Value::as_str) != Some("GroupLayer") {
        return false;
    }
    match layer.get_mut("layers").and_then(Value::as_array_mut) {
        Some(children) => {
            children.retain_mut(|child| !is_empty_group(child));
            children.is_empty()
        }
        None => true,
    }
}
