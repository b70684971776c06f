//! `syncDataOptions`: what a replica holds beside rows.
//!
//! Source: feature service reference §2.1 (bits), API reference B.5 (what is asked by default).

use super::parameters::{GenerateGeodatabaseParameters, UtilityNetworkSyncMode};
use crate::feature_service::service::SyncCapabilities;
use crate::feature_service::service_layer::ServiceLayer;
use offmap_model::{LayerType, MapLayer};

pub(super) const ANNOTATIONS: u32 = 1;
pub(super) const DIMENSIONS: u32 = 2;
pub(super) const CONTINGENT_VALUES: u32 = 4;
pub(super) const ATTRIBUTE_RULES: u32 = 8;
pub(super) const NETWORK_SYSTEM: u32 = 16;
pub(super) const FULL_ANNOTATIONS: u32 = 32;
pub(super) const NETWORK_MISSING_LAYERS: u32 = 128;
pub(super) const NETWORK_TOPOLOGY: u32 = 1024;

/// The bits that the parameters ask for; the service may offer fewer.
pub(super) fn wanted(parameters: &GenerateGeodatabaseParameters) -> u32 {
    let on = |flag: bool, bits: u32| if flag { bits } else { 0 };
    let network = match parameters.utility_network_sync_mode {
        UtilityNetworkSyncMode::None => 0,
        UtilityNetworkSyncMode::SyncSystemTables => NETWORK_SYSTEM | NETWORK_MISSING_LAYERS,
        UtilityNetworkSyncMode::SyncSystemAndTopologyTables => NETWORK_SYSTEM | NETWORK_MISSING_LAYERS | NETWORK_TOPOLOGY,
    };
    // The author's bits of a network are a choice of its mode, which the caller may have changed.
    let of_network = NETWORK_SYSTEM | NETWORK_MISSING_LAYERS | NETWORK_TOPOLOGY;
    on(parameters.sync_annotations, ANNOTATIONS | FULL_ANNOTATIONS)
        | on(parameters.sync_dimensions, DIMENSIONS)
        | on(parameters.sync_contingent_values, CONTINGENT_VALUES)
        | on(parameters.sync_attribute_rules, ATTRIBUTE_RULES)
        | network
        | (parameters.sync_data_options.unwrap_or(0) & !of_network)
}

/// Why a layer's kind is in no replica of its service, in words; `None` where it is.
pub(super) fn not_offered(layer: &MapLayer, found: &ServiceLayer, sync: &SyncCapabilities) -> Option<String> {
    let is = |kind: LayerType, word: &str| layer.layer_type == kind || found.kind.eq_ignore_ascii_case(word);
    let (word, bits) = if is(LayerType::Annotation, "Annotation Layer") {
        ("annotation", ANNOTATIONS | FULL_ANNOTATIONS)
    } else if is(LayerType::Dimension, "Dimension Layer") {
        ("dimension", DIMENSIONS)
    } else {
        return None;
    };
    let offered = sync.data_options.unwrap_or(0);
    (offered & bits == 0).then(|| {
        format!(
            "it is an {word} layer, and the service's replicas hold none (supportedSyncDataOptions is {offered}, without bit {}); a newer release of the server can",
            bits & !FULL_ANNOTATIONS
        )
        .replace("an dimension", "a dimension")
    })
}
