//! The layers of one service that one exporter is asked about.

use crate::registry::ErasedExporter;
use offmap_model::{
    CapabilityReason, Failure, MapLayer, OfflineMapParametersKey, SkippedLayer, UtilityNetwork, service_key,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// See the module.
pub(crate) struct Group {
    pub(crate) exporter: Arc<dyn ErasedExporter>,
    pub(crate) key: OfflineMapParametersKey,
    pub(crate) layers: Vec<MapLayer>,
    /// The map's utility networks on the service.
    pub(crate) networks: Vec<UtilityNetwork>,
}

impl Group {
    /// Takes the networks of its service that are in no group yet, where its exporter knows networks.
    pub(crate) fn take_networks(&mut self, networks: &mut HashMap<String, Vec<UtilityNetwork>>) {
        if !self.exporter.utility_network_parameters().is_empty() {
            self.networks.extend(networks.remove(&service_key(&self.key.service_url)).unwrap_or_default());
        }
    }
}

/// Groups by their keys, in the order of their first layers.
#[derive(Default)]
pub(crate) struct Groups {
    all: Vec<Group>,
    place_of: BTreeMap<OfflineMapParametersKey, usize>,
}

impl Groups {
    /// Adds a layer to the group of its exporter and service, or to a new one.
    pub(crate) fn add(&mut self, exporter: Arc<dyn ErasedExporter>, key: OfflineMapParametersKey, layer: MapLayer) {
        match self.place_of.get(&key).and_then(|at| self.all.get_mut(*at)) {
            Some(group) => group.layers.push(layer),
            None => {
                self.place_of.insert(key.clone(), self.all.len());
                self.all.push(Group { exporter, key, layers: vec![layer], networks: Vec::new() });
            }
        }
    }

    pub(crate) fn into_all(self) -> Vec<Group> {
        self.all
    }
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
