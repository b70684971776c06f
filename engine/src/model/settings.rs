//! The author's offline settings: `applicationProperties.offline` of a web map.
//!
//! Source: web map specification, object `offline`.

use super::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the map's author wants of an offline map. Absent in most maps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OfflineSettings {
    /// Of layers that can be edited.
    pub editable_layers: Option<EditableLayersSettings>,
    /// Of layers that can only be read.
    pub readonly_layers: Option<ReadonlyLayersSettings>,
    /// The base map already on the device.
    #[serde(rename = "offlinebasemap")]
    pub offline_basemap: Option<OfflineBasemapSettings>,
    /// Layers and tables to keep online.
    pub connected_online_layers: Vec<ConnectedOnlineLayer>,
    /// Bit set of `createReplica`'s `syncDataOptions`.
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
    pub(crate) fn read(value: Option<&Value>) -> Result<Option<Self>, Failure> {
        let Some(value) = value.filter(|v| !v.is_null()) else { return Ok(None) };
        serde_json::from_value(value.clone()).map(Some).map_err(|e| {
            let message = format!("`applicationProperties.offline` of the web map cannot be understood: {e}");
            Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Read, message)
        })
    }

    /// Whether rows of standalone tables are wanted; true if the author said nothing.
    #[must_use]
    pub fn include_table_rows(&self) -> bool {
        let says_no = |v: &Value| v.get("includeRows").and_then(Value::as_bool) == Some(false);
        match &self.tables {
            Some(Value::Array(list)) => !list.iter().any(says_no),
            Some(one) => !says_no(one),
            None => true,
        }
    }
}
