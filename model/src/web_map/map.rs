//! The ArcGIS web map, read without losing what offmap does not know.
//!
//! The map stays JSON as it came; [`WebMap::layers`] gives typed views on it, each with the JSON pointer of its place. So
//! unknown keys survive into the offline map by construction.
//! Source: web map specification 2.37; recorded maps of versions 2.1 to 2.35.

use super::layer::MapLayer;
use super::layers::{count_layers, layers_of};
use super::withheld;
use super::withheld::{Origin, Withheld, urls_of};
use crate::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::geometry::SpatialReference;
use crate::json::{JsonBudget, Unread};
use crate::settings::OfflineSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Most layers and tables of a map; maps of thousands are not drawn by any client.
pub const MOST_LAYERS: usize = 10_000;
/// A web map: `operationalLayers`, `baseMap`, `tables` and everything else as it came, but for its secrets.
///
/// The values of `customParameters`, tokens and keys in urls are taken out as the map is read ([`MapLayer::secrets`] has what is
/// sent with requests): neither [`WebMap::json`] nor the serialised form has them. In their place is `null`.
///
/// ```
/// use offmap_model::{LayerType, WebMap};
///
/// let map = WebMap::from_json(
///     r#"{"version": "2.35", "myKey": 7, "operationalLayers": [{
///         "id": "sites", "title": "Sites", "layerType": "ArcGISFeatureLayer",
///         "url": "https://example.com/arcgis/rest/services/Sites/FeatureServer/0"}]}"#,
/// )?;
/// let layers = map.layers();
/// assert_eq!((layers[0].title.as_str(), &layers[0].layer_type), ("Sites", &LayerType::Feature));
/// assert_eq!(map.json()["myKey"], 7, "what offmap does not know stays");
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone)]
pub struct WebMap {
    json: Map<String, Value>,
    withheld: Withheld,
    /// The views on `json` with what `withheld` has of them, once somebody asks.
    layers: OnceLock<Arc<[MapLayer]>>,
}

impl PartialEq for WebMap {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json && self.withheld == other.withheld
    }
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

impl WebMap {
    /// How large a web map may be, with the features that it holds.
    pub const BUDGET: JsonBudget = JsonBudget { bytes: 16 << 20, values: 500_000 };

    /// Reads a web map.
    ///
    /// # Errors
    /// If the text is not JSON, not an object, has neither layers nor tables nor a basemap, or is larger than
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
        let count = count_layers(&self.json);
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
        Self { json, withheld, layers: OnceLock::new() }
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

    /// All layers and tables, bottom to top: basemap, operational layers (groups opened), reference layers, tables. They are made
    /// once, and shared by the copies of a map.
    #[must_use]
    pub fn layers(&self) -> &[MapLayer] {
        self.layers.get_or_init(|| {
            let mut all = layers_of(&self.json);
            for layer in &mut all {
                layer.secrets = self.withheld.layers.get(&layer.pointer).cloned().unwrap_or_default();
            }
            all.into()
        })
    }

    /// A layer or table as its author wrote it, but for its secrets: with the keys that [`MapLayer`] does not know.
    ///
    /// ```
    /// use offmap_model::WebMap;
    ///
    /// let layer = serde_json::json!({"id": "sites", "layerType": "GeoJSON", "url": "https://h/sites.json", "refreshInterval": 5});
    /// let map = WebMap::from_value(serde_json::json!({"operationalLayers": [layer]}))?;
    /// let sites = &map.layers()[0];
    /// assert_eq!(map.layer_json(sites).and_then(|json| json["refreshInterval"].as_i64()), Some(5));
    /// # Ok::<(), offmap_model::Failure>(())
    /// ```
    #[must_use]
    pub fn layer_json(&self, layer: &MapLayer) -> Option<&Value> {
        let (first, rest) = layer.pointer.strip_prefix('/')?.split_once('/')?;
        self.json.get(first)?.pointer(&format!("/{rest}"))
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

    /// The texts that were taken out of the map, as far as they are kept: at least one where there was any. Some may be ordinary words.
    pub fn secret_texts(&self) -> impl Iterator<Item = &str> {
        self.withheld.values.texts()
    }

    /// Those of them that are to be taken out of whatever is written or shown: each has the name of a secret, or can hardly be an
    /// ordinary word. At most [`MOST_SECRETS`](crate::layer_secrets::MOST_SECRETS), of
    /// [`MOST_SECRET_BYTES`](crate::layer_secrets::MOST_SECRET_BYTES) together.
    ///
    /// ```
    /// use offmap_model::WebMap;
    ///
    /// let parameters = serde_json::json!({"region": "Switzerland", "apiKey": "0123456789"});
    /// let layer = serde_json::json!({"id": "a", "url": "https://h/x.json", "customParameters": parameters});
    /// let map = WebMap::from_value(serde_json::json!({"operationalLayers": [layer]}))?;
    /// assert_eq!(map.texts_to_hide().collect::<Vec<_>>(), ["0123456789"]);
    /// # Ok::<(), offmap_model::Failure>(())
    /// ```
    pub fn texts_to_hide(&self) -> impl Iterator<Item = &str> {
        self.withheld.values.sought()
    }

    /// Titles of layers that need secrets which were not kept.
    #[must_use]
    pub fn layers_without_secrets(&self) -> Vec<String> {
        self.layers().iter().filter(|l| !l.secrets.missing().is_empty()).map(|l| l.title.clone()).collect()
    }

    /// Takes the secrets that are missing from the same map, read again. A layer is known by its id and the origin of its url; one
    /// that is refused there is refused here.
    pub fn supply_secrets(&mut self, from: &Self) {
        self.layers.take();
        let known: HashMap<&str, &MapLayer> = from.layers().iter().map(|l| (l.id.as_str(), l)).collect();
        for layer in layers_of(&self.json) {
            let Some(known) = known.get(layer.id.as_str()) else { continue };
            let Some(mut own) = self.withheld.release(&layer) else { continue };
            let urls = self.layer_json(&layer).and_then(Value::as_object).map(urls_of).unwrap_or_default();
            own.supply(&known.secrets, &urls);
            if let Some(failure) = from.withheld.refused.get(&known.pointer).filter(|_| !own.missing().is_empty()) {
                self.withheld.refused.insert(layer.pointer.clone(), failure.clone().for_layer(&layer.id));
            }
            self.withheld.admit(&layer, own);
        }
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

#[cfg(test)]
mod tests {
    use super::super::layer::LayerPlace;
    use super::super::layer_type::LayerType;
    use super::super::layers::{LONGEST_GROUP_TITLE, LONGEST_TITLE};
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
        let layer = &map.layers()[0];
        assert_eq!((layer.id.as_str(), layer.url.as_deref()), ("operationalLayers-0-layers-0", None));
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
