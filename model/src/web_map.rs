//! The ArcGIS web map, read without losing what offmap does not know.
//!
//! The map stays JSON as it came; [`WebMap::layers`] gives typed views on it, each with the JSON pointer of its place. So
//! unknown keys survive into the offline map by construction.
//! Source: web map specification 2.37; recorded maps of versions 2.1 to 2.35.

use crate::bounded_json::{JsonBudget, Unread};
use crate::failure::{Failure, FailureKind, FailureOwner, FailureStage, shortened};
use crate::geometry::SpatialReference;
use crate::secrets::LayerSecrets;
use crate::service_url::ServiceUrl;
use crate::settings::OfflineSettings;
use crate::withheld::{Origin, Withheld};
use crate::{layer_kinds, number, withheld};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use url::Url;

/// Deepest nesting of group layers that is followed.
const MAX_GROUP_DEPTH: usize = 64;
/// Most layers and tables of a map; maps of thousands are not drawn by any client.
pub const MOST_LAYERS: usize = 10_000;
/// Longest id of a layer that is used as it is, in bytes; a layer with a longer one is named by its place.
const LONGEST_ID: usize = 128;
/// Longest title and list of capabilities of a layer, and longest word for its kind, in bytes: each is in many messages.
const LONGEST_TITLE: usize = 256;
const LONGEST_TYPE: usize = 64;
/// Longest title of a group that is kept with each of its layers, in bytes.
const LONGEST_GROUP_TITLE: usize = 128;
/// Longest address of a layer, in bytes; a longer one is none.
pub(super) const LONGEST_URL: usize = 2048;

/// A web map: `operationalLayers`, `baseMap`, `tables` and everything else as it came, but for its secrets.
///
/// The values of `customParameters`, tokens and keys in urls are taken out as the map is read ([`MapLayer::secrets`] has what is
/// sent with requests): neither [`WebMap::json`] nor the serialised form has them. In their place is `null`.
#[derive(Debug, Clone, PartialEq)]
pub struct WebMap {
    json: Map<String, Value>,
    withheld: Withheld,
}

impl Serialize for WebMap {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WebMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(Map::deserialize(deserializer)?, Origin::Document))
    }
}

/// What kind of layer a map says it is; the JSON is the specification's `layerType`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LayerType {
    /// `ArcGISFeatureLayer`.
    Feature,
    /// A member of `tables[]`, which has no `layerType`.
    Table,
    /// `SubtypeGroupLayer` or `SubtypeGroupTable`.
    SubtypeGroup,
    /// `ArcGISAnnotationLayer`.
    Annotation,
    /// `ArcGISDimensionLayer`.
    Dimension,
    /// `ArcGISTiledMapServiceLayer`.
    TiledMapService,
    /// `ArcGISTiledImageServiceLayer`.
    TiledImageService,
    /// `VectorTileLayer`.
    VectorTile,
    /// Any other word.
    Other(String),
}

impl fmt::Display for LayerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Feature => "ArcGISFeatureLayer",
            Self::Table => "table",
            Self::SubtypeGroup => "SubtypeGroupLayer",
            Self::Annotation => "ArcGISAnnotationLayer",
            Self::Dimension => "ArcGISDimensionLayer",
            Self::TiledMapService => "ArcGISTiledMapServiceLayer",
            Self::TiledImageService => "ArcGISTiledImageServiceLayer",
            Self::VectorTile => "VectorTileLayer",
            Self::Other(word) => word,
        })
    }
}

impl LayerType {
    fn read(json: &Map<String, Value>, is_table: bool) -> Self {
        let text = |key: &str| json.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
        // Base maps, and maps of 2.0 and 2.1, name the kind by `type`; `Feature Collection` there is none.
        let is_kind = |t: &&str| t.contains("Layer") || layer_kinds::without_offline_form(t).is_some();
        let word = text("layerType").or_else(|| text("type").filter(is_kind));
        match word {
            Some("ArcGISFeatureLayer") if is_table => Self::Table,
            Some("ArcGISFeatureLayer") => Self::Feature,
            Some("SubtypeGroupLayer" | "SubtypeGroupTable") => Self::SubtypeGroup,
            Some("ArcGISAnnotationLayer") => Self::Annotation,
            Some("ArcGISDimensionLayer") => Self::Dimension,
            Some("ArcGISTiledMapServiceLayer") => Self::TiledMapService,
            Some("ArcGISTiledImageServiceLayer") => Self::TiledImageService,
            Some("VectorTileLayer") => Self::VectorTile,
            Some(other) => Self::Other(shortened(other, LONGEST_TYPE)),
            None if is_table => Self::Table,
            None => Self::guess(json),
        }
    }

    /// Maps of 2.0 and 2.1 may lack `layerType`: the address decides.
    fn guess(json: &Map<String, Value>) -> Self {
        if json.get("featureCollection").is_some() {
            return Self::Feature;
        }
        let url = json.get("url").and_then(Value::as_str).and_then(ServiceUrl::parse);
        match url.as_ref().map(|u| (u.kind(), u.layer_id())) {
            Some((kind, Some(_))) if kind == "featureserver" || kind == "mapserver" => Self::Feature,
            // Whether the service has a single fused cache is for the exporter to see.
            Some((kind, None)) if kind == "mapserver" => Self::TiledMapService,
            Some((kind, _)) if kind == "imageserver" => Self::Other("ArcGISImageServiceLayer".to_owned()),
            Some((kind, _)) if kind == "vectortileserver" => Self::VectorTile,
            _ => Self::Other("unknown".to_owned()),
        }
    }
}

impl Serialize for LayerType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LayerType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let json = Map::from_iter([("layerType".to_owned(), Value::String(word.clone()))]);
        Ok(if word == "table" { Self::Table } else { Self::read(&json, false) })
    }
}

/// Where in the map a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LayerPlace {
    /// `operationalLayers[]`, in a group or not.
    Operational,
    /// `baseMap.baseMapLayers[]`.
    Basemap,
    /// The same with `isReference`: drawn above the operational layers.
    BasemapReference,
    /// `tables[]`.
    Table,
}

impl LayerPlace {
    /// Whether it belongs to the base map.
    #[must_use]
    pub fn is_basemap(self) -> bool {
        matches!(self, Self::Basemap | Self::BasemapReference)
    }
}

/// A typed view on one layer or table of a web map. Groups are not in it, their children are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MapLayer {
    /// Unique id; the map's own where it has one that is unique.
    pub id: String,
    /// Title for people; not unique.
    pub title: String,
    /// What kind of layer.
    pub layer_type: LayerType,
    /// Where in the map.
    pub place: LayerPlace,
    /// JSON pointer (RFC 6901) of its place in the map.
    pub pointer: String,
    /// Titles of the groups around it, outermost first.
    pub groups: Vec<String>,
    /// Address of the service or service layer.
    pub url: Option<String>,
    /// Address of a vector tile style.
    pub style_url: Option<String>,
    /// Portal item of the service or style.
    pub item_id: Option<String>,
    /// The author's filter, an SQL where clause.
    pub definition_expression: Option<String>,
    /// Words by which the author narrowed what this map may do with the layer.
    pub capabilities: Option<String>,
    /// Far limit of drawing as a scale denominator, 0 or absent for none.
    pub min_scale: Option<f64>,
    /// Near limit of drawing as a scale denominator, 0 or absent for none.
    pub max_scale: Option<f64>,
    /// Whether its data are in the map itself.
    pub has_feature_collection: bool,
    /// Its `customParameters` and the query of its urls, to be sent with every request for this layer to the origin of its url.
    /// They have no serialised form.
    #[serde(skip)]
    pub secrets: LayerSecrets,
}

impl MapLayer {
    /// Whether it is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.place == LayerPlace::Table
    }

    /// The service and layer id that its `url` names.
    #[must_use]
    pub fn service(&self) -> Option<ServiceUrl> {
        self.url.as_deref().and_then(ServiceUrl::parse)
    }
}

impl WebMap {
    /// How large a web map may be, with the features that it holds.
    pub const BUDGET: JsonBudget = JsonBudget { bytes: 16 << 20, values: 500_000 };

    /// Reads a web map.
    ///
    /// # Errors
    /// If the text is not JSON, not an object, has neither layers nor tables nor a base map, or is larger than
    /// [`WebMap::BUDGET`] or [`MOST_LAYERS`] allow.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        Self::from_bytes(text.as_bytes())
    }

    /// The same of a text that may be none.
    ///
    /// # Errors
    /// As [`WebMap::from_json`].
    pub fn from_bytes(text: &[u8]) -> Result<Self, Failure> {
        let value = Self::BUDGET.read(text).map_err(|unread| match unread {
            Unread::NotJson(e) => {
                let start = text.trim_ascii_start();
                let start = start.get(..start.len().min(40)).unwrap_or_default().escape_ascii();
                unreadable(format!("the web map is not JSON ({e}); it starts with `{start}`"))
            }
            too_much => too_large(format!("the web map is too large to be read: {too_much}")),
        })?;
        Self::from_value(value)
    }

    /// Takes a web map that was parsed already.
    ///
    /// # Errors
    /// As [`WebMap::from_json`].
    pub fn from_value(value: Value) -> Result<Self, Failure> {
        let Value::Object(json) = value else {
            return Err(unreadable("the web map is not a JSON object".to_owned()));
        };
        if let Some(error) = json.get("error") {
            return Err(unreadable("the web map is an error answer".to_owned()).with_server_message(error.to_string()));
        }
        let known = ["operationalLayers", "baseMap", "tables"];
        if !known.iter().any(|key| json.contains_key(*key)) {
            return Err(unreadable(not_a_map(&json)));
        }
        for key in ["operationalLayers", "tables"] {
            if json.get(key).is_some_and(|v| !v.is_array() && !v.is_null()) {
                return Err(unreadable(format!("`{key}` of the web map is not a list")));
            }
        }
        let map = Self::of(json, Origin::Author);
        map.check_size()?;
        Ok(map)
    }

    /// Checks the number of layers and tables.
    ///
    /// # Errors
    /// If there are more than [`MOST_LAYERS`].
    pub fn check_size(&self) -> Result<(), Failure> {
        let base = list_of(self.json.get("baseMap").and_then(|b| b.get("baseMapLayers")));
        let lists = [base, list_of(self.json.get("operationalLayers")), list_of(self.json.get("tables"))];
        let count: usize = lists.into_iter().flatten().map(|layer| count_of(layer, 0)).sum();
        if count <= MOST_LAYERS {
            return Ok(());
        }
        let message =
            format!("the web map has {count} layers and tables, expected at most {MOST_LAYERS}; split it into several maps");
        Err(too_large(message))
    }

    fn of(mut json: Map<String, Value>, origin: Origin) -> Self {
        let layers = layers_of(&json);
        let withheld = withheld::withhold(&mut json, &layers, origin);
        Self { json, withheld }
    }

    /// The whole map as it came, but for its secrets.
    #[must_use]
    pub fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// The map's own spatial reference; older maps have none.
    #[must_use]
    pub fn spatial_reference(&self) -> Option<SpatialReference> {
        self.json.get("spatialReference").and_then(|v| serde_json::from_value(v.clone()).ok())
    }

    /// The web map specification's version of the map, such as `2.35`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.json.get("version").and_then(Value::as_str)
    }

    /// The author's offline settings, `None` where the map has none. What is not understood of them has its default
    /// ([`Self::offline_settings_warnings`]).
    #[must_use]
    pub fn offline_settings(&self) -> Option<OfflineSettings> {
        self.read_offline_settings().map(|(settings, _)| settings)
    }

    /// What of the author's offline settings is not understood, in words.
    #[must_use]
    pub fn offline_settings_warnings(&self) -> Vec<String> {
        self.read_offline_settings().map(|(_, warnings)| warnings).unwrap_or_default()
    }

    fn read_offline_settings(&self) -> Option<(OfflineSettings, Vec<String>)> {
        OfflineSettings::read(self.json.get("applicationProperties").and_then(|v| v.get("offline")))
    }

    /// All layers and tables, bottom to top: base map, operational layers (groups opened), reference layers, tables.
    #[must_use]
    pub fn layers(&self) -> Vec<MapLayer> {
        let mut all = layers_of(&self.json);
        for layer in &mut all {
            layer.secrets = self.withheld.layers.get(&layer.pointer).cloned().unwrap_or_default();
        }
        all
    }

    /// Why a layer cannot be asked for at all, or not without secrets that were not kept.
    pub fn refusal(&self, layer: &MapLayer) -> Option<Failure> {
        let refused = self.withheld.refused.get(&layer.pointer).cloned();
        refused.or_else(|| layer.secrets.missing_failure(&layer.title)).map(|f| f.for_layer(&layer.id))
    }

    /// Things worth knowing of what was taken out of the map.
    pub fn warnings(&self) -> &[String] {
        &self.withheld.warnings
    }

    /// Every text that was taken out of the map.
    pub fn secret_texts(&self) -> impl Iterator<Item = &str> {
        self.withheld.values.0.iter().map(String::as_str)
    }

    /// Titles of layers that need secrets which were not kept.
    #[must_use]
    pub fn layers_without_secrets(&self) -> Vec<String> {
        self.layers().into_iter().filter(|l| !l.secrets.missing().is_empty()).map(|l| l.title).collect()
    }

    /// Takes the secrets that are missing from the same map, read again. A layer is known by its id and the origin of its url.
    pub fn supply_secrets(&mut self, from: &Self) {
        let known: HashMap<String, LayerSecrets> = from.layers().into_iter().map(|l| (l.id, l.secrets)).collect();
        for layer in layers_of(&self.json) {
            let urls: Vec<Url> =
                [&layer.url, &layer.style_url].into_iter().flatten().filter_map(|u| Url::parse(u).ok()).collect();
            if let (Some(own), Some(known)) = (self.withheld.layers.get_mut(&layer.pointer), known.get(&layer.id)) {
                own.supply(known, &urls);
                self.withheld.values.0.extend(own.values().map(str::to_owned));
            }
        }
        self.withheld.values.0.sort_unstable();
        self.withheld.values.0.dedup();
    }
}

fn layers_of(map: &Map<String, Value>) -> Vec<MapLayer> {
    let mut all = Vec::new();
    let base = list_of(map.get("baseMap").and_then(|b| b.get("baseMapLayers")));
    let is_reference = |v: &Value| v.get("isReference").and_then(Value::as_bool).unwrap_or(false);
    for reference in [false, true] {
        for (i, layer) in base.iter().enumerate().filter(|(_, v)| is_reference(v) == reference) {
            let place = if reference { LayerPlace::BasemapReference } else { LayerPlace::Basemap };
            collect(layer, &format!("/baseMap/baseMapLayers/{i}"), place, &[], &mut all);
        }
        if !reference {
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

/// What a JSON object is that is no web map, as far as its keys tell.
fn not_a_map(json: &Map<String, Value>) -> String {
    let has = |key: &str| json.contains_key(key);
    let found = if has("layers") && has("sources") {
        "it looks like a vector tile style; give the web map whose layer is drawn by it"
    } else if has("typeKeywords") && has("id") {
        "it looks like the description of a portal item; give its id, or the url of its `/data`"
    } else if has("currentVersion") || has("capabilities") || has("serviceItemId") {
        "it looks like the description of a service or of one of its layers; add it to a web map, and give that"
    } else if has("type") && (has("features") || has("coordinates")) {
        "it looks like GeoJSON; a file of an area is given as --area"
    } else {
        "give a web map as Map Viewer saves it"
    };
    format!("this is not a web map: it has none of `operationalLayers`, `baseMap` and `tables`; {found}")
}

fn too_large(message: String) -> Failure {
    Failure::new(FailureOwner::Caller, FailureKind::LimitExceeded, FailureStage::Read, message)
}

fn unreadable(message: String) -> Failure {
    Failure::new(FailureOwner::Caller, FailureKind::InvalidAnswer, FailureStage::Read, message)
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
    let address = |key: &str| text(key).filter(|url| url.len() <= LONGEST_URL);
    let url = address("url");
    let named = url.as_deref().and_then(ServiceUrl::parse).map(|u| u.root().to_owned());
    let named = named.and_then(|root| root.rsplit('/').nth(1).map(str::to_owned));
    all.push(MapLayer {
        title: shortened(text("title").or(named).unwrap_or_else(|| id.clone()), LONGEST_TITLE),
        layer_type: LayerType::read(json, place == LayerPlace::Table),
        place,
        pointer: pointer.to_owned(),
        groups: groups.to_vec(),
        style_url: address("styleUrl"),
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
            .map(|words| shortened(words, LONGEST_TITLE)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn groups_are_opened_and_every_place_is_told() {
        let map = WebMap::from_value(json!({
            "operationalLayers": [{"layerType": "GroupLayer", "title": "G", "layers": [
                {"layerType": "GroupLayer", "title": "H", "layers": [
                    {"id": "a", "layerType": "ArcGISFeatureLayer", "url": "https://h/rest/services/S/FeatureServer/0",
                     "layerDefinition": {"definitionExpression": "X > 1", "minScale": 5000}}]}]},
                {"id": "a", "layerType": "WMS"}],
            "baseMap": {"baseMapLayers": [
                {"id": "r", "layerType": "VectorTileLayer", "isReference": true},
                {"id": "b", "type": "VectorTileLayer", "styleUrl": "https://h/root.json"}]},
            "tables": [{"url": "https://h/rest/services/S/FeatureServer/3"}],
        }))
        .expect("reads");
        let layers = map.layers();
        let ids: Vec<_> = layers.iter().map(|l| l.id.as_str()).collect();
        assert_eq!(ids, ["b", "a", "a#2", "r", "tables-0"]);
        assert_eq!(layers[1].groups, ["G", "H"]);
        assert_eq!(layers[1].pointer, "/operationalLayers/0/layers/0/layers/0");
        assert_eq!(layers[1].definition_expression.as_deref(), Some("X > 1"));
        assert_eq!(layers[1].min_scale, Some(5000.0));
        assert_eq!(layers[2].layer_type, LayerType::Other("WMS".into()));
        assert_eq!(layers[3].place, LayerPlace::BasemapReference);
        assert_eq!(layers[4].layer_type, LayerType::Table);
        assert_eq!(layers[4].service().and_then(|s| s.layer_id()), Some(3));
    }

    #[test]
    fn long_words_of_a_map_are_kept_in_it_and_cut_in_the_views() {
        let long = "x".repeat(1 << 20);
        let layer =
            json!({"id": long, "title": long, "url": format!("https://h/{long}/FeatureServer/0"), "layerType": long});
        let group = json!({"layerType": "GroupLayer", "title": long, "layers": [layer]});
        let map = WebMap::from_value(json!({"operationalLayers": [group]})).expect("reads");
        assert_eq!(map.json()["operationalLayers"][0]["title"], long.as_str());
        let layer = map.layers().remove(0);
        assert_eq!((layer.id.as_str(), layer.url), ("operationalLayers-0-layers-0", None));
        assert!(layer.title.len() <= LONGEST_TITLE && layer.groups[0].len() <= LONGEST_GROUP_TITLE);
    }

    #[test]
    fn what_is_not_a_web_map_is_refused() {
        let layers = |n: usize| format!("{{\"operationalLayers\":[{}1]}}", "1,".repeat(n - 1));
        assert!(WebMap::from_json(&layers(MOST_LAYERS)).is_ok());
        let swollen = format!("{{\"operationalLayers\":[],\"x\":[{}1]}}", "{\"a\":1},".repeat(50_000));
        for (text, words) in [
            (layers(MOST_LAYERS + 1).as_str(), "has 10001 layers and tables, expected at most 10000"),
            (swollen.as_str(), "more than 500000 values"),
            ("<html>", "not JSON"),
            ("[]", "not a JSON object"),
            ("{\"title\":\"x\"}", "not a web map"),
            ("{\"operationalLayers\":{}}", "not a list"),
            ("{\"error\":{\"code\":400}}", "error answer"),
        ] {
            let failure = WebMap::from_json(text).expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
        }
    }
}
