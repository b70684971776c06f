//! The JSON documents of a package: `package.info`, `mobile_map.mmap` and the XML of `esriinfo`.
//!
//! Source: mobile map package reference A.2, A.3, A.5.

use crate::item_xml::ItemXml;
use offmap_engine::ReferenceBasemap;
use offmap_model::{
    ExportState, Failure, LayerItem, LayerOutcome, OfflineMapItemInfo, OfflineMapPlan, OfflineMapSource,
    OnlineOnlyServicesOption, SpatialReference, Thumbnail, UtilityNetwork, WebMap,
};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Base name of the map in a package.
pub(crate) const MAP_NAME: &str = "mobile_map";
/// Folder of the map and its data, whatever the SDK version that reads it.
pub(crate) const MAP_FOLDER: &str = "p13";
/// Package version that every SDK since 100.6 opens.
const PACKAGE_VERSION: &str = "3.2";
/// Version of the map document; not the web map's.
const MOBILE_MAP_VERSION: &str = "1.3";
/// Version word of `item.pkinfo`.
const PKINFO_VERSION: &str = "11.2";

/// What a layer of raster tiles is called.
const TILED: &str = "ArcGISTiledMapServiceLayer";

/// Where a layer's data are, relative to the map document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LayerData {
    /// File name beside the map.
    pub(crate) file: String,
    /// `GDB_ServiceItems.ItemId`.
    pub(crate) item_id: Option<i64>,
    /// Folder of item resources beside the map.
    pub(crate) resources: Option<String>,
}

/// Where a picture is below `esriinfo`: its name tells what it is.
pub(crate) fn thumbnail_path(thumbnail: &Thumbnail) -> String {
    format!("thumbnail/thumbnail.{}", thumbnail.extension())
}

/// What the documents of a package are made of.
#[derive(Debug)]
pub(crate) struct Documents<'a> {
    pub(crate) source: &'a OfflineMapSource,
    pub(crate) plan: &'a OfflineMapPlan,
    pub(crate) layers: &'a [LayerOutcome],
    pub(crate) data: &'a HashMap<String, LayerData>,
    pub(crate) items: &'a HashMap<String, &'a LayerItem>,
    pub(crate) basemap: Option<&'a ReferenceBasemap>,
    pub(crate) created: i64,
    pub(crate) guid: uuid::Uuid,
}

/// The map's own reference; older maps have none, then Web Mercator as their base maps.
fn reference_of(map: &WebMap) -> SpatialReference {
    map.spatial_reference().filter(|s| s.wkid.is_some() || s.wkt.is_some()).unwrap_or_else(SpatialReference::web_mercator)
}

/// Adds a source's words to those of the map, unless they are there already.
fn add_words(all: &mut String, words: Option<String>, between: &str) {
    let Some(words) = words.filter(|words| !all.contains(words.as_str())) else { return };
    if words.contains(all.as_str()) {
        *all = words;
    } else {
        all.push_str(between);
        all.push_str(&words);
    }
}

/// A URI relative to the map document; only what would break it is escaped.
fn uri(name: &str) -> String {
    format!("file:./{}", escaped_path(name))
}

fn escaped_path(path: &str) -> String {
    path.replace('%', "%25").replace(' ', "%20").replace('?', "%3F").replace('#', "%23")
}

impl Documents<'_> {
    /// What the caller wants on the package, else what the item says, else what is known of the map.
    pub(crate) fn item_info(&self) -> OfflineMapItemInfo {
        let item = self.source.item.as_ref();
        let of_map = item.map(|i| OfflineMapItemInfo::from_item(i, self.source.thumbnail.clone())).unwrap_or_default();
        let mut info = self.plan.parameters.item_info.clone().unwrap_or_else(|| of_map.clone());
        if info.title.is_empty() {
            let base = self.source.web_map.json().get("baseMap").and_then(|b| b.get("title")).and_then(Value::as_str);
            info.title = base.unwrap_or("Offline map").to_owned();
        }
        // What the caller wrote stands as it is; the manifest has the words of the sources beside it.
        let attribution_is_the_map_s = info.access_information == of_map.access_information;
        let terms_are_the_map_s = info.terms_of_use == of_map.terms_of_use;
        for layer in self.layers.iter().filter(|l| l.state == ExportState::Succeeded) {
            if attribution_is_the_map_s {
                add_words(&mut info.access_information, self.attribution(&layer.id), "; ");
            }
            if terms_are_the_map_s {
                add_words(&mut info.terms_of_use, self.terms_of_use(&layer.id), "<br>");
            }
        }
        info
    }

    /// Attribution of a layer's data: the service's, and that of the layer's item.
    pub(crate) fn attribution(&self, layer: &str) -> Option<String> {
        let task = self.plan.tasks.iter().find(|t| t.layers.iter().any(|l| l.id == layer));
        let mut all = task.and_then(|t| t.attribution.clone()).unwrap_or_default();
        add_words(&mut all, self.items.get(layer).and_then(|i| i.access_information.clone()), "; ");
        Some(all).filter(|text| !text.trim().is_empty())
    }

    /// Terms of use of a layer's item.
    pub(crate) fn terms_of_use(&self, layer: &str) -> Option<String> {
        self.items.get(layer)?.license_info.clone().filter(|text| !text.trim().is_empty())
    }

    /// The offline map's reference: that of a base map on the device, else the map's own.
    fn reference(&self) -> SpatialReference {
        let basemap = self.basemap.and_then(|b| b.says.spatial_reference.clone());
        basemap.unwrap_or_else(|| reference_of(&self.source.web_map))
    }

    fn extent(&self) -> Result<[[f64; 2]; 2], Failure> {
        self.plan.parameters.area_of_interest.wgs84_extent()
    }

    /// `package.info`: one line, keys in order.
    pub(crate) fn package_info(&self) -> Result<Value, Failure> {
        let info = self.item_info();
        let mut json = json!({
            "created": self.created,
            "extent": self.extent()?,
            "guid": self.guid.simple().to_string(),
            "maps": [MAP_NAME],
            "modified": self.created,
            "name": MAP_NAME,
            "spatialReference": self.reference().name(),
            "title": info.title,
            "type": "Mobile Map Package",
            "typeKeywords": ["Mobile Map Package", "Map", "2D", "ArcGIS Runtime", "mmpk", "Mobile"],
            "version": PACKAGE_VERSION,
        });
        let texts = [
            ("snippet", &info.snippet),
            ("description", &info.description),
            ("accessInformation", &info.access_information),
            ("licenseInfo", &info.terms_of_use),
        ];
        if let Some(json) = json.as_object_mut() {
            for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                json.insert(key.to_owned(), json!(text));
            }
            if !info.tags.is_empty() {
                json.insert("tags".to_owned(), json!(info.tags));
            }
            if let Some(thumbnail) = &info.thumbnail {
                json.insert("thumbnail".to_owned(), json!(thumbnail.data_uri()));
            }
        }
        Ok(json)
    }

    /// `mobile_map.mmap`: the item, and the web map with a `path` at every layer that came home.
    pub(crate) fn mobile_map(&self) -> Result<Value, Failure> {
        let info = self.item_info();
        let item = self.source.item.as_ref();
        let mut keywords: Vec<String> = item.map(|i| i.type_keywords.clone()).unwrap_or_default();
        for word in ["Mobile Map", "2D", "ArcGIS Runtime", "Mobile"] {
            if !keywords.iter().any(|k| k == word) {
                keywords.push(word.to_owned());
            }
        }
        let mut json = json!({
            "created": self.created,
            "extent": self.extent()?,
            "guid": uuid::Uuid::new_v4().simple().to_string(),
            "id": uuid::Uuid::new_v4().simple().to_string(),
            "modified": self.created,
            "name": MAP_NAME,
            "spatialReference": self.reference().name(),
            "title": info.title,
            "type": "Mobile Map",
            "typeKeywords": keywords,
        });
        if let Some(json) = json.as_object_mut() {
            if let Some(id) = item.map(|i| &i.id).filter(|id| !id.is_empty()) {
                json.insert("originalPortalItemId".to_owned(), json!(id));
            }
            if let Some(portal) = &self.source.portal_url {
                json.insert("portalUrl".to_owned(), json!(portal));
            }
        }
        Ok(json!({"item": json, "map": self.map()}))
    }

    fn map(&self) -> Value {
        let mut map = Value::Object(self.source.web_map.json().clone());
        let outcomes: HashMap<&str, &LayerOutcome> = self.layers.iter().map(|l| (l.id.as_str(), l)).collect();
        let online: HashSet<&str> = self.plan.skipped.iter().filter(|s| s.remains_online).map(|s| s.id.as_str()).collect();
        let embedded: HashSet<&str> = self.plan.embedded.iter().map(|e| e.id.as_str()).collect();
        let mut gone = Vec::new();
        for layer in self.source.web_map.layers() {
            let Some(json) = map.pointer_mut(&layer.pointer).and_then(Value::as_object_mut) else { continue };
            let id = layer.id.as_str();
            match self.data.get(id).filter(|_| outcomes.contains_key(id)) {
                Some(data) => {
                    let query = data.item_id.map(|n| format!("?itemId={n}")).unwrap_or_default();
                    json.insert("path".to_owned(), json!(format!("{}{query}", uri(&data.file))));
                    as_it_is_offline(json, &data.file);
                    if let Some(folder) = &data.resources {
                        json.insert("itemPath".to_owned(), json!(uri(folder)));
                    }
                }
                None if online.contains(id) || embedded.contains(id) => {}
                None => gone.push(layer.pointer),
            }
        }
        // From the end of each list, so that the pointers before stay right. Layers come in the order of drawing, which is not
        // the order of the lists where a base map mixes reference layers in.
        gone.sort_by_key(|pointer| std::cmp::Reverse(indices(pointer)));
        for pointer in &gone {
            remove_at(&mut map, pointer);
        }
        self.edit_networks(&mut map);
        if let (Some(basemap), Some(map)) = (self.basemap, map.as_object_mut()) {
            map.insert("baseMap".to_owned(), local_basemap(basemap));
        }
        if let Some(map) = map.as_object_mut() {
            for key in ["operationalLayers", "tables"] {
                if let Some(list) = map.get_mut(key).and_then(Value::as_array_mut) {
                    list.retain_mut(|layer| !is_empty_group(layer));
                }
            }
            self.edit_root(map);
        }
        without_withheld(&mut map);
        map
    }

    /// A utility network that came along gets its path; one that did not goes, unless what is only online is to stay.
    fn edit_networks(&self, map: &mut Value) {
        let Some(list) = map.get_mut("utilityNetworks").and_then(Value::as_array_mut) else { return };
        let mut paths: HashMap<usize, String> = HashMap::new();
        for task in &self.plan.tasks {
            let Some(data) = task.layers.iter().find_map(|l| self.data.get(&l.id)) else { continue };
            for network in &task.networks {
                if let Some(id) = network.service_layer_id {
                    paths.insert(network.index, format!("{}?itemId={id}", uri(&data.file)));
                }
            }
        }
        let keeps = self.plan.parameters.online_only_services_option == OnlineOnlyServicesOption::Include;
        let of_service: HashSet<usize> = UtilityNetwork::of(&self.source.web_map)
            .into_iter()
            .filter(|n| n.service_url.is_some())
            .map(|n| n.index)
            .collect();
        let left_out: HashSet<usize> = self.plan.left_out_networks.iter().copied().collect();
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

    fn edit_root(&self, map: &mut Map<String, Value>) {
        let reference = self.reference();
        map.insert("version".to_owned(), json!(MOBILE_MAP_VERSION));
        map.insert("authoringApp".to_owned(), json!("offmap"));
        map.insert("authoringAppVersion".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        map.entry("referenceScale").or_insert(json!(0));
        map.entry("operationalLayers").or_insert(json!([]));
        map.entry("baseMap").or_insert(json!({"baseMapLayers": [], "title": ""}));
        map.insert("spatialReference".to_owned(), json!(reference));
        // The author's offline settings have done their work; the rest of the properties stay.
        if let Some(properties) = map.get_mut("applicationProperties").and_then(Value::as_object_mut) {
            properties.remove("offline");
        }
        let area = &self.plan.parameters.area_of_interest;
        let area = area.project(&reference).unwrap_or_else(|_| area.clone());
        let viewpoint = json!({"targetGeometry": area.envelope()});
        let state = map.entry("initialState").or_insert(json!({}));
        if let Some(state) = state.as_object_mut() {
            state.insert("viewpoint".to_owned(), viewpoint);
        }
    }

    /// `esriinfo/item.pkinfo`.
    pub(crate) fn pkinfo(&self) -> Result<String, Failure> {
        let guid = self.guid.hyphenated().to_string().to_uppercase();
        let mut xml = ItemXml::new("pkinfo")?;
        for (name, text) in [
            ("ID", guid.as_str()),
            ("name", MAP_NAME),
            ("version", PKINFO_VERSION),
            ("size", "-1"),
            ("created", ""),
            ("type", "Mobile Map Package"),
            ("servable", "false"),
            ("packagelocation", ""),
            ("pkinfolocation", ""),
        ] {
            xml.element(name, text)?;
        }
        xml.finish()
    }

    /// `esriinfo/iteminfo.xml`; times are seconds here.
    pub(crate) fn iteminfo(&self) -> Result<String, Failure> {
        let info = self.item_info();
        let guid = self.guid.hyphenated().to_string().to_uppercase();
        let seconds = (self.created / 1000).to_string();
        let [[xmin, ymin], [xmax, ymax]] = self.extent()?;
        let mut xml = ItemXml::new("ESRI_ItemInformation")?;
        for (name, text) in [
            ("name", MAP_NAME),
            ("guid", &guid),
            ("version", "1.0"),
            ("created", &seconds),
            ("modified", &seconds),
            ("catalogpath", ""),
            ("snippet", &info.snippet),
            ("description", &info.description),
            ("summary", &info.snippet),
            ("title", &info.title),
            ("tags", &info.tags.join(",")),
            ("type", "Mobile Map Package"),
        ] {
            xml.element(name, text)?;
        }
        xml.begin("typekeywords")?;
        for keyword in ["Mobile Map Package", "Map", "2D", "ArcGIS Runtime", "mmpk", "Mobile"] {
            xml.element("typekeyword", keyword)?;
        }
        xml.end()?;
        let thumbnail = info.thumbnail.as_ref().map(thumbnail_path).unwrap_or_default();
        for (name, text) in [("thumbnail", thumbnail.as_str()), ("documentation", ""), ("url", "")] {
            xml.element(name, text)?;
        }
        xml.begin("extent")?;
        for (name, number) in [("xmin", xmin), ("ymin", ymin), ("xmax", xmax), ("ymax", ymax)] {
            xml.element(name, &number.to_string())?;
        }
        xml.end()?;
        for (name, text) in [
            ("spatialreference", &self.reference().name()),
            ("minScale", &self.plan.parameters.min_scale.to_string()),
            ("maxScale", &self.plan.parameters.max_scale.to_string()),
            ("datalastModifiedTime", &seconds),
            ("accessinformation", &info.access_information),
            ("licenseinfo", &info.terms_of_use),
        ] {
            xml.element(name, text)?;
        }
        xml.finish()
    }
}

/// A base map of one layer, by the path to a file on the device. A relative directory counts from the parent directory of the
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
fn without_withheld(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in ["customParameters", "customLayerParameters"] {
                if map.get(key).is_some_and(|v| v.as_object().is_some_and(|all| all.values().all(Value::is_null))) {
                    map.remove(key);
                }
            }
            map.values_mut().for_each(without_withheld);
        }
        Value::Array(list) => list.iter_mut().for_each(without_withheld),
        _ => {}
    }
}

/// The tiles of an image service are a tiled layer once they are in a package; the manifest keeps the online type.
fn as_it_is_offline(layer: &mut Map<String, Value>, file: &str) {
    let is_tile_package = file.rsplit('.').next().is_some_and(|e| matches!(e, "tpk" | "tpkx"));
    let of_images = |word: &Value| {
        word.as_str().is_some_and(|w| matches!(w, "ArcGISImageServiceLayer" | "ArcGISTiledImageServiceLayer"))
    };
    let untyped = !layer.contains_key("layerType");
    for key in ["layerType", "type"] {
        if is_tile_package && layer.get(key).is_some_and(of_images) {
            layer.insert(key.to_owned(), json!(TILED));
        }
    }
    if is_tile_package && untyped {
        // Old maps leave it to the address, which says nothing of a file.
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
