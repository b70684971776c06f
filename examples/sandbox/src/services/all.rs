//! The list of all feature services.

use super::capabilities::{EDITABLE, ONLINE_ONLY, READ_ONLY};
use super::fieldwork::{borders, countries, inspections, measurements, places};
use super::{assets, awkward, open_data, surveys};
use crate::data::Data;
use crate::extent::no_extent;
use crate::feature::{FeatureService, Layer};
use serde_json::{Value, json};
use std::sync::Arc;

/// Layers and a table as they are right after they were published.
fn empty(data: &Data) -> Vec<Layer> {
    let extra = json!({"extent": no_extent()});
    let emptied = |layer: Layer, extra: &Value| Layer { rows: Arc::default(), extra: extra.clone(), ..layer };
    vec![emptied(places(data), &extra), emptied(countries(data, 2), &extra), emptied(inspections(data), &Value::Null)]
}

/// All feature services: editable, read-only, one without sync, one without rows, and those of rarer kinds.
pub(crate) fn all(data: &Arc<Data>) -> Vec<FeatureService> {
    let make =
        |name, capabilities, layers| FeatureService::new(name, capabilities, capabilities != ONLINE_ONLY, layers, data);
    let editable = vec![places(data), borders(data, 1), countries(data, 2), inspections(data), measurements(data)];
    let mut all = vec![
        make("Fieldwork", EDITABLE, editable),
        make("Reference", READ_ONLY, vec![borders(data, 0), countries(data, 3)]),
        make("Assets", EDITABLE, assets::layers(data)),
        make("Awkward", EDITABLE, awkward::layers(&borders(data, 0))),
        make("OnlineOnly", ONLINE_ONLY, vec![countries(data, 0)]),
        make("Empty", EDITABLE, empty(data)),
    ];
    all.extend(surveys::services(data));
    all.extend(open_data::services(data));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_of_every_service_can_be_asked_with_a_where_clause() {
        for service in all(&Data::shared()) {
            for layer in &service.layers {
                for online in [false, true] {
                    let ids = service.ids_where(layer, "1=1", "OBJECTID", online).map_err(|e| e.message);
                    let rows = ids.unwrap_or_else(|e| panic!("{} {}: {e}", service.name, layer.name));
                    assert_eq!(rows.len(), layer.rows.len(), "{} {}", service.name, layer.name);
                }
            }
        }
    }
}
