//! A feature service whose layers each break one of the rules for going offline.
//!
//! Written after the web map reference A.9.

use crate::feature::Layer;
use serde_json::{Value, json};

/// What each layer breaks, and the members of its description that show it.
fn rules() -> [(&'static str, Value); 10] {
    let field = |name: &str| json!({"name": name, "type": "esriFieldTypeString", "alias": name, "length": 20});
    let fields = |name: &str| json!([{"name": "OBJECTID", "type": "esriFieldTypeOID"}, field("LEFT_SIDE"), field(name)]);
    let relationship = json!([{"id": 7, "name": "To nowhere", "relatedTableId": 1, "role": "esriRelRoleOrigin",
        "cardinality": "esriRelCardinalityOneToMany", "keyField": "PARENT"}]);
    [
        ("Sound", json!({})),
        ("No global ids", json!({"globalIdField": ""})),
        ("Word of SQL", json!({"fields": fields("ORDER")})),
        ("Dashed index", json!({"indexes": [{"name": "GDB-1", "fields": "OBJECTID"}]})),
        ("Join view", json!({"isView": true, "isMultiServicesView": true})),
        ("Lost key", json!({"relationships": relationship})),
        ("Lost subtype", json!({"subtypeField": "SORT"})),
        ("Untracked view", json!({"isView": true, "editFieldsInfo": {"editorField": "last_editor"}})),
        ("Own features", json!({"ownershipBasedAccessControlForFeatures": {"allowOthersToQuery": false}})),
        ("No sync", json!({"capabilities": "Query,Update"})),
    ]
}

/// The layers, made from one sound layer.
pub(crate) fn layers(sound: &Layer) -> Vec<Layer> {
    let broken = (0..).zip(rules()).map(|(id, (name, extra))| Layer { id, name, extra, ..sound.clone() });
    broken.collect()
}

/// Names of the layers, by id.
pub(crate) fn names() -> Vec<&'static str> {
    rules().into_iter().map(|(name, _)| name).collect()
}
