//! The feature services: description, layers, queries, related records, attachments.
//!
//! Written after the `feature-service-rest` reference §2 and §5.

use crate::data::{Attachment, Data, Row, Shape};
use crate::request::Call;
use crate::state::lock;
use offmap_model::geometry::to_wgs84;
use offmap_model::{AreaOfInterest, Polygon, SpatialReference};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of one answer.
const MAX_RECORDS: usize = 1000;

/// An error as ArcGIS words it.
#[derive(Debug, Clone)]
pub(crate) struct RestError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) details: Vec<String>,
}

impl RestError {
    pub(crate) fn new(code: i64, message: &str) -> Self {
        Self { code, message: message.to_owned(), details: Vec::new() }
    }

    pub(crate) fn json(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message, "details": self.details}})
    }
}

pub(crate) type Rest<T> = Result<T, RestError>;

/// One end of a relationship: id, name, other layer, role, key field here.
type Relation = (i64, &'static str, u32, &'static str, &'static str);

/// A layer or table of a service.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) geometry: Option<&'static str>,
    /// Name, ArcGIS type, length, coded values.
    pub(crate) fields: Vec<(&'static str, &'static str, u32, Option<&'static [&'static str]>)>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) has_attachments: bool,
    /// Members that replace those of its description.
    pub(crate) extra: Value,
    pub(crate) rows: Arc<Vec<Row>>,
}

/// A feature service.
#[derive(Debug)]
pub(crate) struct FeatureService {
    pub(crate) name: &'static str,
    pub(crate) capabilities: &'static str,
    pub(crate) sync_enabled: bool,
    pub(crate) layers: Vec<Layer>,
    /// Members that replace those of its description.
    pub(crate) extra: Value,
    pub(crate) data: Arc<Data>,
    /// The rows' attributes as tables, so that a where clause is plain SQL.
    sql: Mutex<Connection>,
    edits: Mutex<Edits>,
}

/// What colleagues did.
#[derive(Debug, Default)]
struct Edits {
    /// Rows that are not there, by layer.
    absent: BTreeMap<u32, BTreeSet<i64>>,
    count: i64,
}

const KINDS: &[&str] = &["town", "city", "capital"];
const RESULTS: &[&str] = &["good", "worn", "broken"];

pub(crate) fn places(data: &Data) -> Layer {
    Layer {
        id: 0,
        name: "Places",
        geometry: Some("esriGeometryPoint"),
        fields: vec![
            ("NAME", "esriFieldTypeString", 80, None),
            ("COUNTRY", "esriFieldTypeString", 80, None),
            ("KIND", "esriFieldTypeInteger", 0, Some(KINDS)),
            ("SEEN", "esriFieldTypeDate", 8, None),
        ],
        relations: vec![(0, "Inspections", 5, "esriRelRoleOrigin", "GlobalID")],
        has_attachments: true,
        extra: Value::Null,
        rows: Arc::new(data.places.clone()),
    }
}

pub(crate) fn borders(data: &Data, id: u32) -> Layer {
    Layer {
        id,
        name: "Borders",
        geometry: Some("esriGeometryPolyline"),
        fields: vec![
            ("LEFT_SIDE", "esriFieldTypeString", 80, None),
            ("RIGHT_SIDE", "esriFieldTypeString", 80, None),
            ("LENGTH_KM", "esriFieldTypeDouble", 0, None),
        ],
        relations: Vec::new(),
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::new(data.borders.clone()),
    }
}

pub(crate) fn countries(data: &Data, id: u32) -> Layer {
    Layer {
        id,
        name: "Countries",
        geometry: Some("esriGeometryPolygon"),
        fields: vec![("NAME", "esriFieldTypeString", 80, None), ("ISO_CODE", "esriFieldTypeString", 12, None)],
        relations: Vec::new(),
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::new(data.countries.clone()),
    }
}

fn inspections(data: &Data) -> Layer {
    Layer {
        id: 5,
        name: "Place inspections",
        geometry: None,
        fields: vec![
            ("PLACE_ID", "esriFieldTypeGUID", 38, None),
            ("VISITED", "esriFieldTypeDate", 8, None),
            ("RESULT", "esriFieldTypeInteger", 0, Some(RESULTS)),
            ("REMARK", "esriFieldTypeString", 250, None),
        ],
        relations: vec![
            (0, "Places", 0, "esriRelRoleDestination", "PLACE_ID"),
            (1, "Measurements", 6, "esriRelRoleOrigin", "GlobalID"),
        ],
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::new(data.inspections.clone()),
    }
}

fn measurements(data: &Data) -> Layer {
    Layer {
        id: 6,
        name: "Measurements",
        geometry: None,
        fields: vec![
            ("INSPECTION_ID", "esriFieldTypeGUID", 38, None),
            ("QUANTITY", "esriFieldTypeString", 40, None),
            ("VALUE", "esriFieldTypeDouble", 0, None),
        ],
        relations: vec![(1, "Place inspections", 5, "esriRelRoleDestination", "INSPECTION_ID")],
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::new(data.measurements.clone()),
    }
}

/// Layers and a table as they are right after they were published.
fn empty(data: &Data) -> Vec<Layer> {
    let extra = json!({"extent": no_extent()});
    let emptied = |layer: Layer, extra: &Value| Layer { rows: Arc::default(), extra: extra.clone(), ..layer };
    vec![emptied(places(data), &extra), emptied(countries(data, 2), &extra), emptied(inspections(data), &Value::Null)]
}

/// The extent of a service without rows, as ArcGIS Server writes it.
fn no_extent() -> Value {
    json!({"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN", "spatialReference": SpatialReference::web_mercator()})
}

/// All feature services: editable, read-only, one without sync, and one without rows.
pub(crate) fn services(data: &Arc<Data>) -> rusqlite::Result<Vec<FeatureService>> {
    let editable = vec![places(data), borders(data, 1), countries(data, 2), inspections(data), measurements(data)];
    let words = "Create,Delete,Query,Sync,Update,Editing";
    let mut all = vec![
        FeatureService::new("Fieldwork", words, true, editable, data)?,
        FeatureService::new("Reference", "Query,Sync", true, vec![borders(data, 0), countries(data, 3)], data)?,
        FeatureService::new("Assets", words, true, crate::assets::layers(data), data)?,
        FeatureService::new("Awkward", words, true, crate::awkward::layers(&borders(data, 0)), data)?,
        FeatureService::new("OnlineOnly", "Query", false, vec![countries(data, 0)], data)?,
        FeatureService::new("Empty", words, true, empty(data), data)?,
    ];
    all.extend(crate::surveys::services(data)?);
    Ok(all)
}

impl FeatureService {
    pub(crate) fn new(
        name: &'static str,
        capabilities: &'static str,
        sync_enabled: bool,
        layers: Vec<Layer>,
        data: &Arc<Data>,
    ) -> rusqlite::Result<Self> {
        let sql = Connection::open_in_memory()?;
        sql.create_collation("GUID", |a, b| bare_guid(a).cmp(&bare_guid(b)))?;
        for layer in &layers {
            let names = layer.field_names();
            let columns: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
            let table = format!("layer{}", layer.id);
            sql.execute_batch(&format!("CREATE TABLE {table}({})", columns.join(",")))?;
            // ArcGIS Server compares GUIDs as text, ArcGIS Online by what they stand for.
            let collated = |name: &&str| format!("\"{name}\"{}", if layer.is_guid(name) { " COLLATE GUID" } else { "" });
            let collated: Vec<String> = names.iter().map(collated).collect();
            sql.execute_batch(&format!("CREATE TABLE hosted_{table}({})", collated.join(",")))?;
            let marks = vec!["?"; names.len()].join(",");
            let mut insert = sql.prepare(&format!("INSERT INTO {table} VALUES({marks})"))?;
            for row in layer.rows.iter() {
                insert.execute(params_from_iter(names.iter().map(|n| to_sql(row.attributes.get(*n)))))?;
            }
            sql.execute_batch(&format!("INSERT INTO hosted_{table} SELECT * FROM {table}"))?;
        }
        sql.pragma_update(None, "query_only", true)?;
        Ok(Self {
            name,
            capabilities,
            sync_enabled,
            layers,
            extra: Value::Null,
            data: Arc::clone(data),
            sql: Mutex::new(sql),
            edits: Mutex::default(),
        })
    }

    pub(crate) fn layer(&self, id: u32) -> Rest<&Layer> {
        self.layers.iter().find(|l| l.id == id).ok_or_else(|| RestError::new(404, "Layer not found."))
    }

    /// Deletes and adds rows of a layer.
    pub(crate) fn edit(&self, layer: u32, deleted: &[i64], added: &[i64]) {
        let mut edits = lock(&self.edits);
        let absent = edits.absent.entry(layer).or_default();
        absent.extend(deleted);
        absent.retain(|id| !added.contains(id));
        edits.count += 1;
    }

    /// Whether a row is there now.
    pub(crate) fn has_row(&self, layer: u32, id: i64) -> bool {
        lock(&self.edits).absent.get(&layer).is_none_or(|absent| !absent.contains(&id))
    }

    pub(crate) fn is_editable(&self) -> bool {
        self.capabilities.contains("Editing")
    }

    pub(crate) fn description(&self) -> Value {
        let list = |tables: bool| {
            let all = self.layers.iter().filter(|l| l.geometry.is_none() == tables);
            let entry = |l: &Layer| {
                let or = |key: &str, usual: Value| l.extra.get(key).cloned().unwrap_or(usual);
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
            "types": [], "templates": [], "capabilities": self.capabilities, "maxRecordCount": MAX_RECORDS,
            "supportedQueryFormats": "JSON", "supportsStatistics": false, "supportsAdvancedQueries": true,
            "allowGeometryUpdates": self.is_editable(), "editFieldsInfo": null,
            "editingInfo": {"lastEditDate": 1_704_153_600_000_i64 + lock(&self.edits).count * 1000}, "syncCanReturnChanges": true,
            "advancedQueryCapabilities": {"supportsPagination": true, "supportsOrderBy": true, "supportsDistinct": false,
                "supportsStatistics": false, "supportsQueryAttachments": true, "supportsReturningQueryExtent": true},
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
        if let (Some(extra), Some(json)) = (layer.extra.as_object(), json.as_object_mut()) {
            json.extend(extra.clone());
        }
        Ok(json)
    }

    /// Ids of the rows that meet a where clause, in ascending order or as asked; a hosted service takes any spelling of a GUID,
    /// ArcGIS Server its own only (upper case in braces).
    pub(crate) fn ids_where(&self, layer: &Layer, clause: &str, order: &str, online: bool) -> Rest<Vec<i64>> {
        let bad = |_| RestError {
            details: vec!["'where' parameter is invalid".to_owned()],
            ..RestError::new(400, "Cannot perform query. Invalid query parameters.")
        };
        let sql = self.sql.lock().unwrap_or_else(PoisonError::into_inner);
        let table = if online { "hosted_layer" } else { "layer" };
        let text = format!("SELECT OBJECTID FROM {table}{} WHERE ({clause}) ORDER BY {order}", layer.id);
        let mut statement = sql.prepare(&text).map_err(bad)?;
        let ids: Vec<i64> = statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(bad)?;
        Ok(ids.into_iter().filter(|id| self.has_row(layer.id, *id)).collect())
    }

    /// The rows that a query selects, in order.
    pub(crate) fn select<'a>(&self, layer: &'a Layer, call: &Call) -> Rest<Vec<&'a Row>> {
        let area = area_of(call)?;
        let ids: Option<BTreeSet<i64>> =
            call.text("objectIds").map(|t| t.split(',').filter_map(|n| n.trim().parse().ok()).collect());
        let clause = match (call.text("where"), &ids, &area) {
            (Some(clause), _, _) => clause,
            (None, None, None) => return Err(RestError::new(400, "No where clause specified.")),
            _ => "1=1",
        };
        let order = call.text("orderByFields").unwrap_or("OBJECTID ASC");
        if !order.chars().all(|c| c.is_ascii_alphanumeric() || "_ ,".contains(c)) {
            return Err(RestError::new(400, "'orderByFields' parameter is invalid"));
        }
        let found = self.ids_where(layer, clause, order, call.is_online())?;
        let wanted = |id: &i64| ids.as_ref().is_none_or(|ids| ids.contains(id));
        let rows = found.into_iter().filter(wanted).filter_map(|id| layer.row(id));
        Ok(rows.filter(|r| area.as_ref().is_none_or(|a| r.shape.as_ref().is_some_and(|s| s.meets(a)))).collect())
    }

    pub(crate) fn query(&self, id: u32, call: &Call) -> Rest<Value> {
        let layer = self.layer(id)?;
        let rows = self.select(layer, call)?;
        if call.flag("returnCountOnly", false) {
            return Ok(json!({"count": rows.len()}));
        }
        if call.flag("returnIdsOnly", false) {
            let ids: Vec<i64> = rows.iter().map(|r| r.id()).collect();
            return Ok(json!({"objectIdFieldName": "OBJECTID", "objectIds": ids}));
        }
        let offset = usize::try_from(call.number("resultOffset").unwrap_or(0)).unwrap_or(0);
        let limit =
            call.number("resultRecordCount").and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_RECORDS).min(MAX_RECORDS);
        let exceeded = rows.len() > offset + limit;
        let in_degrees = call.text("outSR").is_some_and(|t| t.contains("4326"));
        let fields: Option<HashSet<String>> =
            call.text("outFields").filter(|t| *t != "*").map(|t| t.split(',').map(|f| f.trim().to_owned()).collect());
        let with_geometry = call.flag("returnGeometry", true) && layer.geometry.is_some();
        let features: Vec<Value> = rows
            .iter()
            .skip(offset)
            .take(limit)
            .map(|row| {
                let kept = row.attributes.iter().filter(|(k, _)| fields.as_ref().is_none_or(|f| f.contains(*k)));
                let attributes: Map<String, Value> = kept.map(|(k, v)| (k.clone(), v.clone())).collect();
                let geometry = row.shape.as_ref().filter(|_| with_geometry).map(|s| geometry_json(s, in_degrees));
                match geometry {
                    Some(geometry) => json!({"attributes": attributes, "geometry": geometry}),
                    None => json!({"attributes": attributes}),
                }
            })
            .collect();
        let reference = if in_degrees { SpatialReference::wgs84() } else { SpatialReference::web_mercator() };
        let mut json = json!({"objectIdFieldName": "OBJECTID", "globalIdFieldName": "GlobalID",
            "uniqueIdField": {"name": "OBJECTID", "isSystemMaintained": true},
            "fields": layer.fields_json(), "features": features});
        if let Some(json) = json.as_object_mut() {
            if let Some(geometry) = layer.geometry {
                json.insert("geometryType".to_owned(), json!(geometry));
                json.insert("spatialReference".to_owned(), json!(reference));
            }
            if exceeded {
                json.insert("exceededTransferLimit".to_owned(), json!(true));
            }
        }
        Ok(json)
    }

    pub(crate) fn related(&self, id: u32, call: &Call) -> Rest<Value> {
        let layer = self.layer(id)?;
        let relation = call.number("relationshipId").unwrap_or(-1);
        let found = layer.relations.iter().find(|r| r.0 == relation);
        let (_, _, other, _, key) = found.ok_or_else(|| RestError::new(400, "Invalid relationshipId."))?;
        let other = self.layer(*other)?;
        let other_key = other.relations.iter().find(|r| r.0 == relation).map_or("", |r| r.4);
        let ids: Vec<i64> =
            call.text("objectIds").unwrap_or_default().split(',').filter_map(|n| n.trim().parse().ok()).collect();
        let groups: Vec<Value> = ids
            .iter()
            .filter_map(|id| layer.row(*id))
            .filter_map(|row| {
                let own = row.attributes.get(*key);
                let related = other.rows.iter().filter(|r| self.has_row(other.id, r.id()));
                let related = related.filter(|r| r.attributes.get(other_key) == own);
                let records: Vec<Value> = related.map(|r| json!({"attributes": r.attributes})).collect();
                (!records.is_empty()).then(|| json!({"objectId": row.id(), "relatedRecords": records}))
            })
            .collect();
        Ok(json!({"fields": other.fields_json(), "relatedRecordGroups": groups}))
    }

    fn photos_of(&self, layer: &Layer, parent: i64) -> impl Iterator<Item = &Attachment> {
        let has = layer.has_attachments;
        self.data.photos.iter().filter(move |a| has && a.parent == parent)
    }

    pub(crate) fn attachments(&self, id: u32, parent: i64) -> Rest<Value> {
        let layer = self.layer(id)?;
        let infos: Vec<Value> = self.photos_of(layer, parent).map(attachment_info).collect();
        Ok(json!({"attachmentInfos": infos}))
    }

    pub(crate) fn attachment(&self, id: u32, parent: i64, attachment: i64) -> Rest<Vec<u8>> {
        let found = self.photos_of(self.layer(id)?, parent).find(|a| a.id == attachment);
        found.map(|a| a.bytes.clone()).ok_or_else(|| RestError::new(404, "Attachment not found."))
    }

    pub(crate) fn query_attachments(&self, id: u32, call: &Call) -> Rest<Value> {
        let layer = self.layer(id)?;
        let clause = call.text("definitionExpression").unwrap_or("1=1");
        let by_id: Option<HashSet<i64>> =
            call.text("objectIds").map(|t| t.split(',').filter_map(|n| n.trim().parse().ok()).collect());
        let rows = self.ids_where(layer, clause, "OBJECTID ASC", call.is_online())?.into_iter();
        let groups: Vec<Value> = rows
            .filter(|id| by_id.as_ref().is_none_or(|ids| ids.contains(id)))
            .filter_map(|id| {
                let infos: Vec<Value> = self.photos_of(layer, id).map(attachment_info).collect();
                let parent = layer.row(id)?.text("GlobalID");
                (!infos.is_empty())
                    .then(|| json!({"parentObjectId": id, "parentGlobalId": parent, "attachmentInfos": infos}))
            })
            .collect();
        Ok(json!({"attachmentGroups": groups}))
    }
}

impl Layer {
    pub(crate) fn kind(&self) -> &'static str {
        if self.geometry.is_some() { "Feature Layer" } else { "Table" }
    }

    fn display_field(&self) -> &'static str {
        self.fields.first().map_or("OBJECTID", |f| f.0)
    }

    pub(crate) fn field_names(&self) -> Vec<&'static str> {
        ["OBJECTID", "GlobalID"].into_iter().chain(self.fields.iter().map(|f| f.0)).collect()
    }

    fn is_guid(&self, name: &str) -> bool {
        name == "GlobalID" || self.fields.iter().any(|(field, kind, ..)| *field == name && *kind == "esriFieldTypeGUID")
    }

    pub(crate) fn row(&self, id: i64) -> Option<&Row> {
        // Ids start at 1 and have no gaps.
        self.rows.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    pub(crate) fn fields_json(&self) -> Vec<Value> {
        let field = |name: &str, kind: &str, length: u32, editable: bool, domain: Value| {
            let mut json = json!({"name": name, "type": kind, "alias": name, "nullable": editable, "editable": editable,
                "domain": domain, "defaultValue": null});
            if let (true, Some(json)) = (length > 0, json.as_object_mut()) {
                json.insert("length".to_owned(), json!(length));
            }
            json
        };
        let mut fields = vec![
            field("OBJECTID", "esriFieldTypeOID", 0, false, Value::Null),
            field("GlobalID", "esriFieldTypeGlobalID", 38, false, Value::Null),
        ];
        for (name, kind, length, values) in &self.fields {
            let domain = values.map_or(Value::Null, |values| {
                let coded: Vec<Value> =
                    values.iter().enumerate().map(|(code, name)| json!({"name": name, "code": code})).collect();
                json!({"type": "codedValue", "name": format!("{name}_values"), "codedValues": coded})
            });
            fields.push(field(name, kind, *length, true, domain));
        }
        fields
    }
}

fn attachment_info(a: &Attachment) -> Value {
    json!({"id": a.id, "globalId": a.global_id, "parentGlobalId": a.parent_global_id, "name": a.name,
        "contentType": "image/png", "size": a.bytes.len(), "keywords": ""})
}

pub(crate) fn world_extent() -> Value {
    json!({"xmin": -20_037_508.342_787, "ymin": -20_037_508.342_787, "xmax": 20_037_508.342_787, "ymax": 20_037_508.342_787,
        "spatialReference": SpatialReference::web_mercator()})
}

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

/// What a GUID stands for, whatever its case and braces.
fn bare_guid(text: &str) -> String {
    text.trim_matches(['{', '}']).to_ascii_lowercase()
}

fn to_sql(value: Option<&Value>) -> Sql {
    match value {
        Some(Value::Number(n)) => n.as_i64().map_or_else(|| Sql::Real(n.as_f64().unwrap_or(0.0)), Sql::Integer),
        Some(Value::String(text)) => Sql::Text(text.clone()),
        _ => Sql::Null,
    }
}

fn geometry_json(shape: &Shape, in_degrees: bool) -> Value {
    let out = |p: &[f64; 2]| if in_degrees { to_wgs84(*p) } else { *p };
    let lists = |lines: &[Vec<[f64; 2]>]| lines.iter().map(|l| l.iter().map(out).collect::<Vec<_>>()).collect::<Vec<_>>();
    match shape {
        Shape::Point(p) => {
            let [x, y] = out(p);
            json!({"x": x, "y": y})
        }
        Shape::Lines(lines) => json!({"paths": lists(lines)}),
        Shape::Polygon(polygon) => json!({"rings": lists(&polygon.rings)}),
    }
}

fn reference_of(call: &Call) -> SpatialReference {
    let wkid = call.text("inSR").and_then(|t| t.parse().ok());
    let json = || serde_json::from_value(call.json("inSR")?).ok();
    wkid.map(SpatialReference::from_wkid).or_else(json).unwrap_or_else(SpatialReference::web_mercator)
}

/// The area of a query or replica in Web Mercator; without a reference the numbers are in the service's own.
pub(crate) fn area_of(call: &Call) -> Rest<Option<Polygon>> {
    let Some(text) = call.text("geometry") else { return Ok(None) };
    let invalid = || RestError::new(400, "'geometry' parameter is invalid");
    let area: AreaOfInterest = if text.trim_start().starts_with('{') {
        let mut json = call.json("geometry").ok_or_else(invalid)?;
        if let Some(json) = json.as_object_mut() {
            json.entry("spatialReference").or_insert_with(|| json!(reference_of(call)));
        }
        serde_json::from_value(json).map_err(|_| invalid())?
    } else {
        let numbers: Vec<f64> = text.split(',').filter_map(|n| n.trim().parse().ok()).collect();
        let [xmin, ymin, xmax, ymax] = numbers.as_slice() else { return Err(invalid()) };
        offmap_model::geometry::Envelope::new(*xmin, *ymin, *xmax, *ymax, reference_of(call)).into()
    };
    let area = area.project(&SpatialReference::web_mercator()).map_err(|f| RestError::new(400, &f.message))?;
    Ok(Some(area.polygon()))
}
