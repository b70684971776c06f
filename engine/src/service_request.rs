//! What an exporter is asked about.

use offmap_model::{Capability, GenerateOfflineMapParameters, LayerSecrets, MapLayer, OfflineMapSource, UtilityNetwork};
use serde_json::Value;
use std::sync::Arc;

/// All layers of a map that one exporter is asked about, of one service.
#[derive(Debug, Clone)]
pub struct ServiceRequest {
    /// Url of the service, as `Exporter::supports` named it.
    pub service_url: String,
    /// The layers, in the order of the map.
    pub layers: Vec<MapLayer>,
    /// The map and its surroundings.
    pub source: Arc<OfflineMapSource>,
    /// What the caller wants.
    pub parameters: Arc<GenerateOfflineMapParameters>,
    /// The map's utility networks on the service, without those whose entry was removed from the overrides.
    pub networks: Vec<UtilityNetwork>,
}

impl ServiceRequest {
    /// The secrets of all its layers: what goes with every request for them, to the origins of their urls only.
    #[must_use]
    pub fn secrets(&self) -> LayerSecrets {
        LayerSecrets::merged(self.layers.iter().map(|l| &l.secrets))
    }

    /// A layer of the request as its author wrote it, but for its secrets ([`WebMap::layer_json`](offmap_model::WebMap::layer_json)).
    #[must_use]
    pub fn layer_json(&self, layer: &MapLayer) -> Option<&Value> {
        self.source.web_map.layer_json(layer)
    }

    /// The capabilities of a service that can give every layer of the request.
    #[must_use]
    pub fn all_supported(&self) -> Vec<(String, Capability)> {
        self.layers.iter().map(|l| (l.id.clone(), Capability::Supported)).collect()
    }
}
