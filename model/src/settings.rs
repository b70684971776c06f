//! The author's offline settings: `applicationProperties.offline` of a web map.
//!
//! Source: web map specification, object `offline`.

use crate::number;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the map's author wants of an offline map. Absent in most maps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OfflineSettings {
    /// Of layers that can be edited.
    pub editable_layers: Option<EditableLayersSettings>,
    /// Of layers that can only be read.
    pub readonly_layers: Option<ReadonlyLayersSettings>,
    /// The basemap already on the device.
    #[serde(rename = "offlinebasemap")]
    pub offline_basemap: Option<OfflineBasemapSettings>,
    /// Layers and tables to keep online.
    pub connected_online_layers: Vec<ConnectedOnlineLayer>,
    /// Bits of `createReplica`'s `syncDataOptions` beside those that are asked by default.
    pub sync_data_options: Option<u32>,
    /// Of tables; an object, or a list of them.
    pub tables: Option<Value>,
}

/// `editableLayers`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EditableLayersSettings {
    /// What comes down.
    pub download: AuthoredDownload,
    /// What goes back.
    pub sync: AuthoredSync,
}

/// `editableLayers.download`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthoredDownload {
    /// Features and their attachments.
    #[default]
    FeaturesAndAttachments,
    /// Features only.
    Features,
    /// Only the schema.
    None,
}

/// `editableLayers.sync`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthoredSync {
    /// Both ways.
    #[default]
    SyncFeaturesAndAttachments,
    /// Features both ways, attachments up.
    SyncFeaturesUploadAttachments,
    /// Both only up.
    UploadFeaturesAndAttachments,
}

/// `readonlyLayers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadonlyLayersSettings {
    /// Whether attachments come down.
    pub download_attachments: bool,
}

impl Default for ReadonlyLayersSettings {
    fn default() -> Self {
        Self { download_attachments: true }
    }
}

/// `offlinebasemap`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OfflineBasemapSettings {
    /// File name of a `.tpk`, `.tpkx` or `.vtpk`.
    pub reference_basemap_name: Option<String>,
}

/// A member of `connectedOnlineLayers`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectedOnlineLayer {
    /// Id of a layer or table of the map.
    pub id: String,
}

impl OfflineSettings {
    /// Reads them, and says what of them was not understood: the default stands in its place. `None` where the map has none.
    pub(crate) fn read(value: Option<&Value>) -> Option<(Self, Vec<String>)> {
        let value = value.filter(|v| !v.is_null())?;
        let mut reader = Reader { warnings: Vec::new() };
        let empty = Map::new();
        let all = reader.object(value, "").unwrap_or(&empty);
        let part = |reader: &mut Reader, key: &str| {
            let found = all.get(key).filter(|v| !v.is_null())?;
            Some(reader.object(found, key).cloned().unwrap_or_default())
        };
        let editable_layers = part(&mut reader, "editableLayers").map(|o| EditableLayersSettings {
            download: reader.word(&o, "editableLayers", "download", "featuresAndAttachments, features, none"),
            sync: reader.word(
                &o,
                "editableLayers",
                "sync",
                "syncFeaturesAndAttachments, syncFeaturesUploadAttachments, uploadFeaturesAndAttachments",
            ),
        });
        let readonly_layers = part(&mut reader, "readonlyLayers").map(|o| ReadonlyLayersSettings {
            download_attachments: reader.flag(o.get("downloadAttachments"), "readonlyLayers.downloadAttachments"),
        });
        let offline_basemap = part(&mut reader, "offlinebasemap").map(|o| OfflineBasemapSettings {
            reference_basemap_name: reader.text(o.get("referenceBasemapName"), "offlinebasemap.referenceBasemapName"),
        });
        let connected_online_layers = reader.online_layers(all.get("connectedOnlineLayers"));
        let sync_data_options = reader.bits(all.get("syncDataOptions"));
        let tables = all.get("tables").filter(|v| !v.is_null()).cloned();
        let entries = match &tables {
            Some(Value::Array(list)) => list.iter().collect(),
            other => other.iter().collect::<Vec<_>>(),
        };
        for entry in entries {
            if let Some(entry) = reader.object(entry, "tables") {
                reader.flag(entry.get("includeRows"), "tables.includeRows");
            }
        }
        let settings =
            Self { editable_layers, readonly_layers, offline_basemap, connected_online_layers, sync_data_options, tables };
        Some((settings, reader.warnings))
    }

    /// Whether rows of standalone tables are wanted; true if the author said nothing.
    #[must_use]
    pub fn include_table_rows(&self) -> bool {
        let says_no = |v: &Value| v.get("includeRows").and_then(truth) == Some(false);
        match &self.tables {
            Some(Value::Array(list)) => !list.iter().any(says_no),
            Some(one) => !says_no(one),
            None => true,
        }
    }
}

/// Longest piece of what was found that a warning shows, in characters.
const SHOWN: usize = 80;

/// Warnings that are given; a hostile map could make as many as it has members.
const MOST_WARNINGS: usize = 20;

/// A boolean, also written as text.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// Reads member by member, and keeps what it did not understand.
struct Reader {
    warnings: Vec<String>,
}

impl Reader {
    fn warn(&mut self, path: &str, found: &Value, expected: &str, default: &str) {
        if self.warnings.len() >= MOST_WARNINGS {
            return;
        }
        let dot = if path.is_empty() { "" } else { "." };
        let text = found.to_string();
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        self.warnings.push(format!(
            "the author's setting `applicationProperties.offline{dot}{path}` is {shown}, expected {expected}; the default holds: {default}"
        ));
    }

    fn object<'a>(&mut self, value: &'a Value, path: &str) -> Option<&'a Map<String, Value>> {
        if !value.is_object() {
            self.warn(path, value, "an object", "as if it were not there");
        }
        value.as_object()
    }

    /// One of the words of an enumeration.
    fn word<T: DeserializeOwned + Default + Serialize>(
        &mut self,
        object: &Map<String, Value>,
        parent: &str,
        key: &str,
        known: &str,
    ) -> T {
        let Some(value) = object.get(key).filter(|v| !v.is_null()) else { return T::default() };
        serde_json::from_value(value.clone()).unwrap_or_else(|_| {
            let default = serde_json::to_value(T::default()).unwrap_or_default();
            let default = default.as_str().unwrap_or_default();
            self.warn(&format!("{parent}.{key}"), value, &format!("one of {known}"), default);
            T::default()
        })
    }

    fn flag(&mut self, value: Option<&Value>, path: &str) -> bool {
        let Some(value) = value.filter(|v| !v.is_null()) else { return true };
        truth(value).unwrap_or_else(|| {
            self.warn(path, value, "true or false", "true");
            true
        })
    }

    fn text(&mut self, value: Option<&Value>, path: &str) -> Option<String> {
        let value = value.filter(|v| !v.is_null())?;
        if !value.is_string() {
            self.warn(path, value, "a file name", "none");
        }
        value.as_str().filter(|t| !t.is_empty()).map(str::to_owned)
    }

    /// A whole number, also written as a float or as text.
    fn bits(&mut self, value: Option<&Value>) -> Option<u32> {
        let value = value.filter(|v| !v.is_null())?;
        let number = number::read(value);
        if number.is_none() {
            self.warn("syncDataOptions", value, "a whole number", "none beside those of offmap");
        }
        number
    }

    fn online_layers(&mut self, value: Option<&Value>) -> Vec<ConnectedOnlineLayer> {
        const PATH: &str = "connectedOnlineLayers";
        const EXPECTED: &str = "a list of {\"id\": \"<layer>\"}";
        let Some(value) = value.filter(|v| !v.is_null()) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.warn(PATH, value, EXPECTED, "none");
            return Vec::new();
        };
        let mut layers = Vec::new();
        for entry in list {
            match entry.get("id").and_then(Value::as_str) {
                Some(id) => layers.push(ConnectedOnlineLayer { id: id.to_owned() }),
                None => self.warn(PATH, entry, EXPECTED, "without it"),
            }
        }
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sloppy_forms_are_read_and_warnings_are_bounded() {
        let sloppy = json!({"syncDataOptions": "144", "readonlyLayers": {"downloadAttachments": "False"},
            "tables": [{"includeRows": "false"}], "connectedOnlineLayers": [{"id": "a"}]});
        let (settings, warnings) = OfflineSettings::read(Some(&sloppy)).expect("settings");
        assert_eq!((settings.sync_data_options, warnings.len()), (Some(144), 0));
        assert!(!settings.readonly_layers.clone().is_none_or(|r| r.download_attachments) && !settings.include_table_rows());
        assert_eq!(settings.connected_online_layers.len(), 1);
        let bits = |value: Value| {
            OfflineSettings::read(Some(&json!({"syncDataOptions": value}))).map(|(s, w)| (s.sync_data_options, w.len()))
        };
        assert_eq!(
            (bits(json!(144.0)), bits(json!(1.5)), bits(json!(-1))),
            (Some((Some(144), 0)), Some((None, 1)), Some((None, 1)))
        );
        let hostile = json!({"connectedOnlineLayers": vec![json!("x".repeat(1000)); 500]});
        let (settings, warnings) = OfflineSettings::read(Some(&hostile)).expect("settings");
        assert_eq!((settings.connected_online_layers.len(), warnings.len()), (0, MOST_WARNINGS));
        assert!(warnings.iter().all(|w| w.len() < 400), "what was found is cut");
        let (settings, warnings) = OfflineSettings::read(Some(&json!([1]))).expect("settings");
        assert_eq!((settings, warnings.len()), (OfflineSettings::default(), 1));
        assert_eq!(OfflineSettings::read(Some(&Value::Null)), None);
    }
}
