//! `GenerateOfflineMapParameterOverrides`: one service's parameters in place of the defaults.

use crate::failure::Failure;
use crate::parameters::DirectDownload;
use crate::parameters_key::OfflineMapParametersKey;
use crate::plan::OfflineMapPlan;
use crate::service_url::service_key;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Parameters per service that replace the exporters' defaults, and the layers and tables that stay online.
///
/// As JSON: `{"generateGeodatabaseParameters": {"<service url>": {…}}, "exportTileCacheParameters": {…},
/// "exportVectorTilesParameters": {…}, "onlineLayers": ["<layer id>"], "onlineTables": []}`; the inner object is the whole
/// parameter object of that exporter. Custom exporters add their own outer key. `"directDownload": {"<layer id>": "always"}` says of single
/// layers and tables what [`GenerateOfflineMapParameters::direct_download`](crate::GenerateOfflineMapParameters::direct_download) says of all,
/// and `"drawTiles": {"<layer id>": true}` what [`draw_tiles`](crate::GenerateOfflineMapParameters::draw_tiles) says.
///
/// A utility network of the map has an entry of its own beside that of its service, by its own url; what it says goes over the
/// service's entry, and removing it takes the network out of the offline map.
///
/// ```
/// use offmap_model::{GenerateOfflineMapParameterOverrides, OfflineMapParametersKey};
///
/// let service = "https://example.com/arcgis/rest/services/Sites/FeatureServer";
/// let key = OfflineMapParametersKey::new(service, "generateGeodatabaseParameters");
/// let mut overrides = GenerateOfflineMapParameterOverrides::default();
/// overrides.set(&key, &serde_json::json!({"layerOptions": []}))?;
/// // Scheme and letter case of the url do not matter.
/// let same = OfflineMapParametersKey::new(service.replace("https", "http").to_uppercase(), "generateGeodatabaseParameters");
/// assert!(overrides.get(&same).is_some());
/// # Ok::<(), offmap_model::Failure>(())
/// ```
///
/// As in the SDK a dictionary that is given is the whole dictionary: a service that has no entry in it is left out without an
/// error. What is not given at all follows the parameters. A key or id that matches nothing in the map is refused.
///
/// What an entry says supersedes the parameters for that service: `includeBasemap`, attachments, schema-only, definition
/// expressions, the update mode and the scales. `onlineLayers` and `onlineTables` supersede `onlineOnlyServicesOption`.
/// Source: ArcGIS Maps SDK reference, `GenerateOfflineMapParameterOverrides`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GenerateOfflineMapParameterOverrides {
    #[serde(default, rename = "onlineLayers", skip_serializing_if = "Option::is_none")]
    online_layers: Option<Vec<String>>,
    #[serde(default, rename = "onlineTables", skip_serializing_if = "Option::is_none")]
    online_tables: Option<Vec<String>>,
    #[serde(default, rename = "directDownload", skip_serializing_if = "BTreeMap::is_empty")]
    direct_download: BTreeMap<String, DirectDownload>,
    #[serde(default, rename = "drawTiles", skip_serializing_if = "BTreeMap::is_empty")]
    draw_tiles: BTreeMap<String, bool>,
    #[serde(flatten)]
    dictionaries: BTreeMap<String, BTreeMap<String, Value>>,
}

impl GenerateOfflineMapParameterOverrides {
    /// Reads them from JSON.
    ///
    /// # Errors
    /// If it is not an object of objects, a service is named twice, or an online list is not one of ids.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        let read: Self = serde_json::from_str(text)
            .map_err(|e| Failure::invalid_parameter(format!("the overrides cannot be used: {e}")))?;
        for (kind, dictionary) in &read.dictionaries {
            let mut seen = std::collections::HashSet::new();
            if let Some(url) = dictionary.keys().find(|url| !seen.insert(service_key(url))) {
                return Err(Failure::invalid_parameter(format!("the overrides name {url} twice in {kind}")));
            }
        }
        Ok(read)
    }

    /// The parameters of every task of a plan, and what stays online: a template to edit.
    #[doc(alias = "createGenerateOfflineMapParameterOverrides")]
    #[must_use]
    pub fn from_plan(plan: &OfflineMapPlan) -> Self {
        let mut dictionaries: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for task in &plan.tasks {
            let dictionary = dictionaries.entry(task.key.parameters_type.clone()).or_default();
            let mut parameters = task.parameters.clone();
            for network in &task.networks {
                // A utility network's part stands in its own entry.
                if network.key != task.key {
                    dictionary.insert(network.key.service_url.clone(), Value::Object(network.parameters.clone()));
                    if let Some(parameters) = parameters.as_object_mut() {
                        parameters.retain(|key, _| !network.parameters.contains_key(key));
                    }
                }
            }
            dictionary.insert(task.key.service_url.clone(), parameters);
        }
        let online = |tables: bool| {
            let all = plan.skipped.iter().filter(|s| s.remains_online && s.is_table == tables);
            Some(all.map(|s| s.id.clone()).collect())
        };
        let fetched = || plan.tasks.iter().filter(|t| !t.carried);
        let direct = fetched().filter(|t| t.direct_download).flat_map(|t| &t.layers);
        let direct_download = direct.map(|l| (l.id.clone(), DirectDownload::Always)).collect();
        let drawn = fetched().filter(|t| t.drawn).flat_map(|t| &t.layers);
        let draw_tiles = drawn.map(|l| (l.id.clone(), true)).collect();
        Self { online_layers: online(false), online_tables: online(true), direct_download, draw_tiles, dictionaries }
    }

    /// Layers that stay in the offline map with their online url; `None` leaves that to `onlineOnlyServicesOption`.
    pub fn set_online_layers(&mut self, ids: Option<Vec<String>>) {
        self.online_layers = ids;
    }

    /// The same for tables.
    pub fn set_online_tables(&mut self, ids: Option<Vec<String>>) {
        self.online_tables = ids;
    }

    /// Ids of layers or tables that stay online, where they were given.
    #[must_use]
    pub fn online(&self, tables: bool) -> Option<&[String]> {
        if tables { self.online_tables.as_deref() } else { self.online_layers.as_deref() }
    }

    /// Sets whether a layer or table is downloaded directly, in place of what the parameters say.
    pub fn set_direct_download(&mut self, layer: impl Into<String>, direct: DirectDownload) {
        self.direct_download.insert(layer.into(), direct);
    }

    /// Whether single layers and tables, by id, are downloaded directly.
    #[must_use]
    pub fn direct_download(&self) -> &BTreeMap<String, DirectDownload> {
        &self.direct_download
    }

    /// Sets whether a layer is drawn tile by tile, in place of what the parameters say.
    pub fn set_draw_tiles(&mut self, layer: impl Into<String>, draws: bool) {
        self.draw_tiles.insert(layer.into(), draws);
    }

    /// Whether single layers, by id, are drawn tile by tile.
    #[must_use]
    pub fn draw_tiles(&self) -> &BTreeMap<String, bool> {
        &self.draw_tiles
    }

    /// Leaves the layers of a service out of the offline map. The dictionary of that type is then given: services that have no
    /// entry in it are left out, too, so start from [`Self::from_plan`].
    pub fn remove(&mut self, key: &OfflineMapParametersKey) {
        let dictionary = self.dictionaries.entry(key.parameters_type.clone()).or_default();
        dictionary.retain(|url, _| service_key(url) != service_key(&key.service_url));
    }

    /// Whether the dictionary of a parameter type is given.
    #[must_use]
    pub fn has_dictionary(&self, parameters_type: &str) -> bool {
        self.dictionaries.contains_key(parameters_type)
    }

    /// The parameter types whose dictionaries are given.
    pub fn parameters_types(&self) -> impl Iterator<Item = &str> {
        self.dictionaries.keys().map(String::as_str)
    }

    /// Sets the parameters of one service.
    ///
    /// # Errors
    /// If they cannot be written as JSON.
    pub fn set(&mut self, key: &OfflineMapParametersKey, parameters: &impl Serialize) -> Result<(), Failure> {
        let value = serde_json::to_value(parameters)
            .map_err(|e| Failure::invalid_parameter(format!("the override for {key} is not JSON: {e}")))?;
        let dictionary = self.dictionaries.entry(key.parameters_type.clone()).or_default();
        dictionary.retain(|url, _| service_key(url) != service_key(&key.service_url));
        dictionary.insert(key.service_url.clone(), value);
        Ok(())
    }

    /// The override for a key, where there is one.
    #[must_use]
    pub fn get(&self, key: &OfflineMapParametersKey) -> Option<&Value> {
        let wanted = service_key(&key.service_url);
        let dictionary = self.dictionaries.get(&key.parameters_type)?;
        dictionary.iter().find(|(url, _)| service_key(url) == wanted).map(|(_, value)| value)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = OfflineMapParametersKey> + '_ {
        self.dictionaries
            .iter()
            .flat_map(|(kind, all)| all.keys().map(|url| OfflineMapParametersKey::new(url.clone(), kind.clone())))
    }
}
