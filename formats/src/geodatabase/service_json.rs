//! Writes the JSON of `GDB_ServiceItems.ItemInfo`: the layer as its service would describe it.
//!
//! Source: mobile map package reference B.5; members as in the files named there.

use super::definition_xml::shape_type;
use super::link_xml::NewRelationship;
use super::new_fields::{NewColumn, Stored};
use super::new_layer::NewLayer;
use crate::features::{Cardinality, Domain, DomainCode, DomainRule};
use crate::geometry::GeometryKind;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn domain(domain: &Domain) -> Value {
    match &domain.rule {
        DomainRule::Coded(codes) => {
            let code = |code: &DomainCode| match code {
                DomainCode::Integer(n) => json!(n),
                DomainCode::Real(n) => json!(n),
                DomainCode::Text(text) => json!(text),
            };
            let codes: Vec<Value> = codes.iter().map(|(c, name)| json!({ "name": name, "code": code(c) })).collect();
            json!({ "type": "codedValue", "name": domain.name, "description": domain.description, "codedValues": codes })
        }
        DomainRule::Range { min, max } => {
            json!({ "type": "range", "name": domain.name, "description": domain.description, "range": [min, max] })
        }
    }
}

fn field(column: &NewColumn, domain: Value) -> Value {
    let mut field = json!({
        "name": column.name, "type": column.stored.esri_type(), "alias": column.alias, "domain": domain,
        "editable": false, "nullable": column.is_nullable,
    });
    let length = match column.stored {
        Stored::Text(length) => Some(length),
        Stored::Guid | Stored::GlobalId => Some(38),
        Stored::Date => Some(8),
        _ => None,
    };
    if let Some(length) = length {
        field["length"] = json!(length);
    }
    field
}

/// A plain symbol, as every layer is to be drawn somehow.
fn symbol(kind: GeometryKind) -> Value {
    let line = json!({ "type": "esriSLS", "style": "esriSLSSolid", "color": [110, 110, 110, 255], "width": 1 });
    match kind {
        GeometryKind::Point | GeometryKind::Multipoint => json!({
            "type": "esriSMS", "style": "esriSMSCircle", "color": [0, 112, 192, 255], "size": 6, "angle": 0, "xoffset": 0, "yoffset": 0,
            "outline": { "color": [255, 255, 255, 255], "width": 1 },
        }),
        GeometryKind::Line => line,
        GeometryKind::Polygon => {
            json!({ "type": "esriSFS", "style": "esriSFSSolid", "color": [198, 221, 247, 255], "outline": line })
        }
    }
}

fn types(layer: &NewLayer) -> Value {
    let Some(subtypes) = &layer.schema.subtypes else { return json!([]) };
    let types = subtypes.subtypes.iter().map(|subtype| {
        let domains: serde_json::Map<String, Value> = subtype
            .domains
            .iter()
            .filter_map(|(field, name)| {
                Some((layer.column_of(field)?.to_owned(), json!({ "type": "inherited", "name": name })))
            })
            .collect();
        json!({ "id": subtype.code, "name": subtype.name, "domains": domains, "templates": [] })
    });
    Value::Array(types.collect())
}

/// A layer or table, with its id in the file and the relationships that it is an end of. `ids` tells the ids of tables.
fn describe(layer: &NewLayer, id: i64, relationships: &[NewRelationship], ids: &dyn Fn(&str) -> Option<i64>) -> Value {
    let schema = &layer.schema;
    let mut fields = vec![json!({
        "name": layer.key, "type": "esriFieldTypeOID", "alias": layer.key, "domain": null, "editable": false, "nullable": false,
    })];
    let domains = schema.fields.iter().map(|f| f.domain.as_ref().map_or(Value::Null, |d| domain(d)));
    fields.extend(layer.columns.iter().zip(domains).map(|(column, domain)| field(column, domain)));
    fields.extend(layer.own_global_id().map(|column| field(&column, Value::Null)));
    let display = layer.columns.iter().find(|c| matches!(c.stored, Stored::Text(_))).map_or(&layer.key, |c| &c.name);
    let type_field = schema.subtypes.as_ref().and_then(|s| layer.column_of(&s.field)).unwrap_or_default();
    let mut info = json!({
        "currentVersion": 10.5, "id": id, "name": schema.title, "type": if layer.shape.is_some() { "Feature Layer" } else { "Table" },
        "description": schema.description, "copyrightText": "", "defaultVisibility": true, "isDataVersioned": false,
        "relationships": related(layer, relationships, ids), "minScale": 0, "maxScale": 0,
        "hasAttachments": schema.has_attachments, "htmlPopupType": "esriServerHTMLPopupTypeAsHTMLText",
        "objectIdField": layer.key, "globalIdField": layer.global_id.as_ref().map_or("", |(name, _)| name),
        "displayField": display, "typeIdField": type_field, "fields": fields, "types": types(layer), "templates": [],
        "dateFieldsTimeReference": { "timeZone": "UTC", "respectsDaylightSaving": false },
        "maxRecordCount": 1000, "supportedQueryFormats": "JSON", "capabilities": "Query",
    });
    if let (Some(geometry), Some(shape)) = (&schema.geometry, &layer.shape) {
        let reference =
            json!({ "wkid": shape.reference.wkid, "latestWkid": shape.reference.latest_wkid, "wkt": shape.reference.wkt });
        let reference: serde_json::Map<String, Value> = match (reference, shape.reference.wkid) {
            (Value::Object(all), Some(_)) => all.into_iter().filter(|(name, v)| name != "wkt" && !v.is_null()).collect(),
            (Value::Object(all), None) => all.into_iter().filter(|(_, v)| !v.is_null()).collect(),
            _ => serde_json::Map::new(),
        };
        info["geometryType"] = json!(shape_type(geometry.kind));
        (info["hasZ"], info["hasM"]) = (json!(geometry.has_z), json!(geometry.has_m));
        if let Some([xmin, ymin, xmax, ymax]) = layer.progress.extent {
            info["extent"] =
                json!({ "xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax, "spatialReference": reference });
        }
        let renderer = json!({ "type": "simple", "symbol": symbol(geometry.kind), "label": "", "description": "" });
        info["drawingInfo"] = json!({ "renderer": renderer, "transparency": 0, "labelingInfo": null });
    }
    info
}

fn related(layer: &NewLayer, relationships: &[NewRelationship], ids: &dyn Fn(&str) -> Option<i64>) -> Value {
    let mut all = Vec::new();
    let listed = relationships.iter().filter(|r| !r.is_of_attachments);
    for (id, relationship) in (0_i64..).zip(listed) {
        let cardinality = match relationship.cardinality {
            Cardinality::OneToOne => "esriRelCardinalityOneToOne",
            Cardinality::OneToMany => "esriRelCardinalityOneToMany",
            Cardinality::ManyToMany => "esriRelCardinalityManyToMany",
        };
        let ends = [
            (&relationship.origin, &relationship.origin_key, "esriRelRoleOrigin", &relationship.destination),
            (&relationship.destination, &relationship.destination_key, "esriRelRoleDestination", &relationship.origin),
        ];
        for (own, key, role, other) in ends {
            if let Some(other) = ids(other).filter(|_| *own == layer.table) {
                all.push(json!({
                    "id": id, "name": relationship.name, "relatedTableId": other, "cardinality": cardinality, "role": role,
                    "keyField": key, "composite": relationship.is_composite,
                }));
            }
        }
    }
    Value::Array(all)
}

/// Ids of the layers: their own, else those behind.
fn item_ids(layers: &[NewLayer]) -> BTreeMap<String, i64> {
    let mut used = BTreeSet::new();
    let mut ids = BTreeMap::new();
    for layer in layers {
        if let Some(id) = layer.schema.item_id.filter(|id| *id >= 0 && used.insert(*id)) {
            ids.insert(layer.table.clone(), id);
        }
    }
    let mut next = used.last().map_or(0, |last| last + 1);
    for layer in layers {
        if !ids.contains_key(&layer.table) {
            ids.insert(layer.table.clone(), next);
            next += 1;
        }
    }
    ids
}

/// Lists the layers and tables of the service.
pub(super) fn add_services(
    connection: &Connection,
    layers: &[NewLayer],
    relationships: &[NewRelationship],
) -> rusqlite::Result<()> {
    let ids = item_ids(layers);
    let id_of = |table: &str| ids.get(table).copied();
    let add = "INSERT INTO GDB_ServiceItems(DatasetName, ItemType, ItemId, ItemInfo) VALUES(?1, 1, ?2, ?3)";
    for layer in layers {
        let id = id_of(&layer.table).unwrap_or_default();
        let info = describe(layer, id, relationships, &id_of).to_string();
        connection.execute(add, params![layer.table, id, info])?;
    }
    Ok(())
}
