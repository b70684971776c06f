//! The layers that one exporter takes from one service, before anybody was asked.

use crate::registry::ErasedExporter;
use offmap_model::{CapabilityReason, Failure, MapLayer, OfflineMapParametersKey, SkippedLayer, UtilityNetwork};
use std::sync::Arc;

/// See the module.
pub(crate) struct Group {
    pub(crate) exporter: Arc<dyn ErasedExporter>,
    pub(crate) key: OfflineMapParametersKey,
    pub(crate) layers: Vec<MapLayer>,
    /// The map's utility networks on the service.
    pub(crate) networks: Vec<UtilityNetwork>,
}

/// A layer that will not go offline.
pub(crate) fn skipped(
    layer: &MapLayer,
    reason: CapabilityReason,
    failure: Option<Failure>,
    remains_online: bool,
) -> SkippedLayer {
    SkippedLayer {
        id: layer.id.clone(),
        title: layer.title.clone(),
        is_table: layer.is_table(),
        layer_type: layer.layer_type.clone(),
        remains_online,
        reason,
        // A layer that was asked to stay online is no failure.
        failure: failure.filter(|_| !remains_online).map(|f| f.for_layer(&layer.id)),
    }
}
