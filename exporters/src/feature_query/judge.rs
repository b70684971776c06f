//! Whether the rows of a layer can be asked for, by what its service says.

use super::service::QueriedService;
use crate::feature_service::found::found;
use crate::feature_service::row_filter::layer_id;
use offmap_formats::geodatabase::schema_of_service;
use offmap_model::{Capability, CapabilityReason, MapLayer, SpatialReference};

/// Judges a layer; the first thing that is in its way is named.
pub(super) fn judge(layer: &MapLayer, service: &QueriedService) -> Capability {
    let title = &layer.title;
    let found = match found(layer, &service.service) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let root = &service.service.root;
    let id = layer_id(layer).unwrap_or_default();
    if service.not_queried.contains(&id) {
        let words = format!(
            "\"{title}\": layer {id} of {root} does not answer queries (Query is missing in its capabilities); its owner can allow them"
        );
        return Capability::refused(CapabilityReason::Other, words);
    }
    let Some(queried) = service.layers.get(&id) else {
        let words =
            format!("\"{title}\": layer {id} of {root} has no field of object ids, so its rows cannot be told apart");
        return Capability::refused(CapabilityReason::Other, words);
    };
    let reference = SpatialReference::wgs84();
    if let Err(kind) = schema_of_service(&queried.description, &queried.object_id_field, reference) {
        let words = format!(
            "\"{title}\": the shapes of `{}` are of the type `{kind}`, expected are points, multipoints, polylines or polygons",
            found.name
        );
        return Capability::refused(CapabilityReason::LayerTypeNotSupported, words);
    }
    Capability::Supported
}
