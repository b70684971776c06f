//! What a feature service and its layers state about themselves.
//!
//! Written after the `feature-service-rest` reference §2.

use super::abilities::MAX_RECORDS;
use super::layer::Layer;
use super::service::FeatureService;
use crate::answer::Rest;
use crate::extent::{no_extent, world_extent};
use offmap_model::SpatialReference;
use serde_json::{Value, json};

fn renderer(geometry: &str) -> Value {
    let symbol = match geometry {
        "esriGeometryPoint" => json!({"type": "esriSMS", "style": "esriSMSCircle", "color": [176, 58, 46, 255], "size": 7,
            "outline": {"color": [255, 255, 255, 255], "width": 1}}),
        "esriGeometryPolyline" => {
            json!({"type": "esriSLS", "style": "esriSLSSolid", "color": [160, 124, 156, 255], "width": 1.5})
        }
        _ => json!({"type": "esriSFS", "style": "esriSFSSolid", "color": [238, 234, 216, 80],
            "outline": {"type": "esriSLS", "style": "esriSLSSolid", "color": [143, 168, 181, 255], "width": 1}}),
    };
    json!({"type": "simple", "symbol": symbol, "label": "", "description": ""})
}

impl FeatureService {
    pub(crate) fn description(&self) -> Value {
        let list = |tables: bool| {
            let all = self.layers.iter().filter(|l| l.geometry.is_none() == tables);
            let entry = |l: &Layer| {
                let or = |key: &str, default: Value| l.extra.get(key).cloned().unwrap_or(default);
                json!({"id": l.id, "name": l.name, "parentLayerId": or("parentLayerId", json!(-1)), "defaultVisibility": true,
                "subLayerIds": null, "minScale": 0, "maxScale": 0, "type": or("type", json!(l.kind())),
                "geometryType": or("geometryType", json!(l.geometry))})
            };
            all.map(entry).collect::<Vec<_>>()
        };
        let is_empty = self.layers.iter().all(|l| l.rows.is_empty());
        let extent = if is_empty { no_extent() } else { world_extent() };
        let mut json = json!({
            "currentVersion": 11.2, "serviceDescription": "", "hasVersionedData": false, "supportsDisconnectedEditing": false,
            "hasStaticData": false, "maxRecordCount": MAX_RECORDS, "supportedQueryFormats": "JSON",
            "capabilities": self.capabilities, "description": "", "copyrightText": "Natural Earth, public domain",
            "spatialReference": SpatialReference::web_mercator(), "initialExtent": extent, "fullExtent": extent,
            "allowGeometryUpdates": self.is_editable(), "units": "esriMeters", "syncEnabled": self.sync_enabled,
            "layers": list(false), "tables": list(true),
        });
        if let (true, Some(json)) = (self.sync_enabled, json.as_object_mut()) {
            json.insert(
                "syncCapabilities".to_owned(),
                json!({"supportsRegisteringExistingData": true, "supportsSyncDirectionControl": true,
                    "supportsPerLayerSync": true, "supportsPerReplicaSync": true, "supportsSyncModelNone": true,
                    "supportsRollbackOnFailure": true, "supportsAsync": true, "supportsAttachmentsSyncDirection": true,
                    "supportedSyncDataOptions": 12}),
            );
        }
        if let (Some(extra), Some(json)) = (self.extra.as_object(), json.as_object_mut()) {
            json.extend(extra.clone());
        }
        json
    }

    pub(crate) fn layer_description(&self, id: u32) -> Rest<Value> {
        let layer = self.layer(id)?;
        let relations: Vec<Value> = layer
            .relations
            .iter()
            .map(|(id, name, other, role, key)| {
                json!({"id": id, "name": name, "relatedTableId": other, "cardinality": "esriRelCardinalityOneToMany",
                    "role": role, "keyField": key, "composite": false})
            })
            .collect();
        let mut json = json!({
            "currentVersion": 11.2, "id": id, "name": layer.name, "type": layer.kind(), "description": "",
            "copyrightText": "Natural Earth, public domain", "defaultVisibility": true, "relationships": relations,
            "isDataVersioned": false, "supportsAttachmentsByUploadId": true, "hasAttachments": layer.has_attachments,
            "hasM": false, "hasZ": false, "objectIdField": "OBJECTID", "globalIdField": "GlobalID",
            "displayField": layer.display_field(), "typeIdField": "", "fields": layer.fields_json(),
            "indexes": [{"name": "PK_OBJECTID", "fields": "OBJECTID", "isAscending": true, "isUnique": true, "description": ""}],
            "types": [], "templates": [], "capabilities": self.capabilities, "supportsStatistics": false,
            "allowGeometryUpdates": self.is_editable(), "editFieldsInfo": null,
            "editingInfo": {"lastEditDate": self.last_edit_date()}, "syncCanReturnChanges": true,
        });
        if let (Some(geometry), Some(json)) = (layer.geometry, json.as_object_mut()) {
            json.insert("geometryType".to_owned(), json!(geometry));
            json.insert("extent".to_owned(), world_extent());
            json.insert("minScale".to_owned(), json!(0));
            json.insert("maxScale".to_owned(), json!(0));
            json.insert(
                "drawingInfo".to_owned(),
                json!({"renderer": renderer(geometry), "transparency": 0, "labelingInfo": null}),
            );
        }
        if let Some(json) = json.as_object_mut() {
            json.extend(self.abilities.described());
            json.extend(layer.extra.as_object().cloned().unwrap_or_default());
        }
        Ok(self.abilities.outward(json))
    }
}
