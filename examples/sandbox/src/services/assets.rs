//! A feature service with a group layer: it has an id as layers have, and no rows.

use super::fieldwork::{borders, countries, places};
use crate::data::Data;
use crate::feature::Layer;
use serde_json::json;
use std::sync::Arc;

/// Id of the group layer.
const GROUP: u32 = 9;

/// The layers; two of them stand in the group.
pub(crate) fn layers(data: &Data) -> Vec<Layer> {
    let inside = json!({"parentLayerId": GROUP});
    let group = json!({"type": "Group Layer", "geometryType": null, "fields": null, "objectIdField": null, "globalIdField": null,
        "subLayers": [{"id": 1, "name": "Borders"}, {"id": 2, "name": "Countries"}]});
    vec![
        Layer { relations: Vec::new(), ..places(data) },
        Layer { extra: inside.clone(), ..borders(data, 1) },
        Layer { extra: inside, ..countries(data, 2) },
        Layer { name: "Routes", ..borders(data, 3) },
        Layer { name: "Boundaries", fields: Vec::new(), extra: group, rows: Arc::default(), ..countries(data, GROUP) },
    ]
}
