//! What can go offline, and why not.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};

/// Why a layer cannot go offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum CapabilityReason {
    /// No exporter supports this kind of layer.
    LayerTypeNotSupported,
    /// The layer names no service.
    NoServiceAddress,
    /// The feature service does not allow sync.
    SyncNotEnabled,
    /// The service's replicas hold no annotations or no dimensions (`supportedSyncDataOptions`).
    SyncDataOptionsNotOffered,
    /// The tiled service does not allow export.
    ExportTilesNotAllowed,
    /// The service has tiles in its description but draws on demand.
    NotTiled,
    /// A vector tile style with more than one source.
    MultipleSources,
    /// The service has no such layer.
    LayerNotFound,
    /// The layer has no global ids, which sync needs.
    GlobalIdMissing,
    /// A field's name is longer than 128 characters or a word of SQL.
    FieldNotSupported,
    /// An index's name has a `+` or `-` in it.
    IndexNotSupported,
    /// The layer is a view that joins several layers.
    JoinView,
    /// The key field of a relationship is missing.
    RelationshipKeyMissing,
    /// The field that holds the subtype is missing.
    SubtypeFieldMissing,
    /// An editable view has not its source's editor tracking fields.
    EditorTrackingMissing,
    /// The service hides features of other people.
    OwnershipBasedAccess,
    /// The service's tiles are in a spatial reference that the area cannot be projected to.
    SpatialReferenceNotSupported,
    /// The terms of the host forbid that its data are downloaded directly, and the service does not export them.
    DirectDownloadForbidden,
    /// No level of the service lies in the range of scales.
    NoLevelInRange,
    /// The service cannot be reached or answers with an error.
    ServiceNotUsable,
    /// The caller or the map's author left it out.
    LeftOut,
    /// A reason of an exporter that is not offmap's own; its failure says which, and the way out. The layer counts as online-only.
    Other,
}

impl CapabilityReason {
    /// Whether the layer is online-only in the SDK's sense: it, or its service, is one that cannot be taken offline.
    /// `onlineOnlyServicesOption` keeps those online. A service that does not answer, a layer that is not there and a range of
    /// scales without a level are no such reasons: the layer could go offline, or is of no use online either.
    #[must_use]
    pub fn is_online_only(self) -> bool {
        match self {
            Self::LayerTypeNotSupported
            | Self::SyncNotEnabled
            | Self::SyncDataOptionsNotOffered
            | Self::ExportTilesNotAllowed
            | Self::NotTiled
            | Self::MultipleSources
            | Self::GlobalIdMissing
            | Self::FieldNotSupported
            | Self::IndexNotSupported
            | Self::JoinView
            | Self::RelationshipKeyMissing
            | Self::SubtypeFieldMissing
            | Self::EditorTrackingMissing
            | Self::OwnershipBasedAccess
            | Self::SpatialReferenceNotSupported
            | Self::DirectDownloadForbidden
            | Self::Other => true,
            Self::NoServiceAddress | Self::LayerNotFound | Self::NoLevelInRange | Self::ServiceNotUsable | Self::LeftOut => {
                false
            }
        }
    }
}

/// Whether one layer or table can go offline.
#[doc(alias = "OfflineCapability")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerCapability {
    /// Id of the layer or table.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether it is a table.
    pub is_table: bool,
    /// Kind of layer, as the map says.
    pub layer_type: String,
    /// Whether it goes offline. False for one that somebody asked to stay online or leave out: its service is not asked.
    pub supports_offline: bool,
    /// Whether it stays in the map with its online url.
    pub remains_online: bool,
    /// The exporter that supports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exporter: Option<String>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<CapabilityReason>,
    /// The same as a failure, with the service's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The exporter by which it could be downloaded directly, where it cannot go offline because `directDownload` is `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_download: Option<String>,
    /// The exporter by which it could be drawn tile by tile, where it cannot go offline because `drawTiles` is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw_tiles: Option<String>,
}

impl LayerCapability {
    /// Whether it cannot go offline though nobody asked to leave it out or to keep it online.
    #[must_use]
    pub fn is_error(&self) -> bool {
        !self.supports_offline && self.reason != Some(CapabilityReason::LeftOut)
    }
}

/// What can go offline of a map.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineMapCapabilities {
    /// Of each layer.
    pub layer_capabilities: Vec<LayerCapability>,
    /// Of each table.
    pub table_capabilities: Vec<LayerCapability>,
}

impl OfflineMapCapabilities {
    /// Whether at least one layer or table cannot go offline; those that were left out or kept online on purpose do not count.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        let mut all = self.layer_capabilities.iter().chain(&self.table_capabilities);
        all.any(LayerCapability::is_error)
    }
}

/// An exporter's word on one layer: yes, or why not.
#[derive(Debug, Clone, PartialEq)]
pub enum Capability {
    /// It can go offline.
    Supported,
    /// It cannot.
    NotSupported(CapabilityReason, Box<Failure>),
}

impl Capability {
    /// A refusal with its words, which name what was found and the way out. An exporter of your own whose reason has no name of its own
    /// says [`CapabilityReason::Other`].
    ///
    /// ```
    /// use offmap_model::{Capability, CapabilityReason};
    ///
    /// let words = "\"Sites\" is of version 1 of the format, expected 2 or later; save it again with a newer program";
    /// let refused = Capability::refused(CapabilityReason::Other, words);
    /// assert_ne!(refused, Capability::Supported);
    /// ```
    #[must_use]
    pub fn refused(reason: CapabilityReason, message: impl Into<String>) -> Self {
        Self::NotSupported(reason, Box::new(Failure::not_supported(message)))
    }
}
