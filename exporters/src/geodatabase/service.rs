//! What a feature service says of itself, as far as a replica needs it.
//!
//! Source: `feature-service-rest` reference §2.

use super::compatibility;
use crate::client::body::{cut, cut_attribution, expect_description};
use crate::client::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_engine::{
    AreaOfInterest, CapabilityReason, Envelope, Failure, FailureKind, FailureOwner, FailureStage, SpatialReference,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};

/// Ids of rows in one question for attachments.
const IDS_AT_A_TIME: usize = 500;
/// Most relationships of a layer; real ones have some ten.
const MOST_RELATIONSHIPS: usize = 1000;
/// Words of a `capabilities` list that mean editing.
const EDITING: [&str; 4] = ["editing", "create", "update", "delete"];

/// Whether a comma list of capabilities has a word, in any letter case.
pub(super) fn has_word(list: &str, word: &str) -> bool {
    list.split(',').any(|w| w.trim().eq_ignore_ascii_case(word))
}

/// Whether a comma list of capabilities allows editing.
pub(super) fn allows_editing(list: &str) -> bool {
    EDITING.iter().any(|w| has_word(list, w))
}

/// `syncCapabilities`, in either spelling, with the documented meaning of absence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SyncCapabilities {
    pub(super) is_async: bool,
    pub(super) per_layer: bool,
    pub(super) none: bool,
    pub(super) attachments_direction: bool,
    pub(super) data_options: Option<u32>,
}

/// One end of a relationship.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relationship {
    pub(super) id: i64,
    #[serde(default)]
    pub(super) related_table_id: i64,
    #[serde(default)]
    pub(super) role: String,
    #[serde(default)]
    pub(super) key_field: String,
}

impl Relationship {
    fn shortened(self) -> Self {
        Self { role: cut(&self.role), key_field: cut(&self.key_field), ..self }
    }

    pub(super) fn is_destination(&self) -> bool {
        self.role == "esriRelRoleDestination"
    }
}

/// A layer or table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ServiceLayer {
    pub(super) name: String,
    pub(super) is_table: bool,
    pub(super) global_id_field: Option<String>,
    pub(super) can_sync: bool,
    /// Whether its own capabilities allow editing; they may be fewer than the service's.
    pub(super) editable: bool,
    pub(super) has_attachments: bool,
    /// Whether attachments can be counted.
    pub(super) counts_attachments: bool,
    /// What keeps it from going offline, beside sync.
    pub(super) problem: Option<(CapabilityReason, String)>,
    pub(super) relationships: Vec<Relationship>,
    pub(super) attribution: Option<String>,
    pub(super) edit_date: Option<i64>,
}

/// A feature service with the layers that a map uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FeatureService {
    pub(super) root: String,
    pub(super) title: String,
    pub(super) capabilities: String,
    pub(super) sync_enabled: bool,
    pub(super) editable: bool,
    /// `createReplica` fails on such a service unless the client says that it knows unknown time references.
    pub(super) unknown_time_zone: bool,
    /// Whether it is a view on another service.
    pub(super) is_view: bool,
    pub(super) sync: SyncCapabilities,
    pub(super) extent: Option<Envelope>,
    pub(super) attribution: Option<String>,
    pub(super) spatial_reference: Option<SpatialReference>,
    pub(super) layers: BTreeMap<u32, ServiceLayer>,
    pub(super) custom_parameters: Map<String, Value>,
}

/// Rows of a layer: those that meet a where clause (empty for all) and, where given, an area as it goes over the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowFilter<'a> {
    pub(super) layer: u32,
    pub(super) where_clause: &'a str,
    pub(super) area: Option<&'a AreaOfInterest>,
}

pub(super) fn flag(value: &Value, keys: &[&str]) -> Option<bool> {
    keys.iter().find_map(|key| value.get(*key)).and_then(Value::as_bool)
}

pub(super) fn words<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|t| !t.trim().is_empty())
}

/// Milliseconds from a number or, as some servers send it, a text.
fn milliseconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|s| s.parse().ok()))
}

impl FeatureService {
    /// Asks the service, and each of the layers that it lists among `wanted`.
    pub(super) async fn fetch(
        client: &ArcGisClient,
        root: &str,
        wanted: &[u32],
        custom_parameters: &Map<String, Value>,
    ) -> Result<Self, Failure> {
        let get = |address: &str| {
            let call = ServiceCall::get(address)?.with_all(custom_parameters).in_stage(FailureStage::Plan);
            Ok::<_, Failure>(call.answer(AnswerKind::Description))
        };
        let answer = client.json(&get(root)?).await?;
        let mut service = Self::read(root, &answer, custom_parameters)?;
        let lists = ["layers", "tables"].into_iter().filter_map(|key| answer.get(key)?.as_array());
        let listed: HashSet<u64> = lists.flatten().filter_map(|l| l.get("id")?.as_u64()).collect();
        let in_map: HashSet<u32> = wanted.iter().copied().collect();
        for id in wanted.iter().copied().filter(|id| listed.contains(&u64::from(*id))) {
            let address = format!("{root}/{id}");
            let layer = client.json(&get(&address)?).await?;
            expect_description(&layer, &address, "a layer", &["fields", "type", "name", "geometryType"])?;
            let mut layer = read_layer(&layer, &answer);
            // The plan keeps what it needs: those to the map's own layers.
            let of_map = |r: &Relationship| u32::try_from(r.related_table_id).is_ok_and(|id| in_map.contains(&id));
            layer.relationships.retain(of_map);
            service.layers.insert(id, layer);
        }
        Ok(service)
    }

    /// Reads what the service says of itself; its layers are not in it yet.
    pub(super) fn read(root: &str, answer: &Value, custom_parameters: &Map<String, Value>) -> Result<Self, Failure> {
        let capabilities = cut(words(answer, "capabilities").unwrap_or_default());
        expect_description(answer, root, "a feature service", &["layers", "tables", "capabilities"])?;
        let sync = answer.get("syncCapabilities").cloned().unwrap_or(Value::Null);
        let extent = answer.get("fullExtent").or_else(|| answer.get("initialExtent")).cloned();
        Ok(Self {
            root: root.to_owned(),
            title: root.rsplit('/').nth(1).unwrap_or(root).to_owned(),
            // The flag decides, not the presence of `syncCapabilities`.
            sync_enabled: flag(answer, &["syncEnabled"]).unwrap_or(false) && has_word(&capabilities, "sync"),
            editable: allows_editing(&capabilities),
            is_view: flag(answer, &["isView"]).unwrap_or(false),
            unknown_time_zone: flag(answer, &["datesInUnknownTimezone"]).unwrap_or(false),
            capabilities,
            sync: SyncCapabilities {
                is_async: flag(&sync, &["supportsAsync", "supportsASync"]).unwrap_or(false),
                per_layer: flag(&sync, &["supportsPerLayerSync"]).unwrap_or(false),
                none: flag(&sync, &["supportsSyncModelNone"]).unwrap_or(false),
                attachments_direction: flag(&sync, &["supportsAttachmentsSyncDirection"]).unwrap_or(false),
                data_options: sync
                    .get("supportedSyncDataOptions")
                    .and_then(Value::as_u64)
                    .and_then(|n| u32::try_from(n).ok()),
            },
            extent: extent.and_then(|e| serde_json::from_value(e).ok()),
            attribution: words(answer, "copyrightText").map(cut_attribution),
            spatial_reference: answer.get("spatialReference").cloned().and_then(|v| serde_json::from_value(v).ok()),
            layers: BTreeMap::new(),
            custom_parameters: custom_parameters.clone(),
        })
    }

    /// Where the data lie, with a reference; `None` for the empty or unreadable extents of services without data.
    pub(super) fn extent_in(&self) -> Option<Envelope> {
        let mut extent = self.extent.clone()?;
        extent.spatial_reference = extent.spatial_reference.or_else(|| self.spatial_reference.clone());
        let has_area = extent.xmax > extent.xmin && extent.ymax > extent.ymin;
        (has_area && extent.spatial_reference.is_some()).then_some(extent)
    }

    /// The service's own count of the rows that meet a where clause and, where given, an area.
    pub(super) async fn count(&self, client: &ArcGisClient, rows: &RowFilter<'_>) -> Result<u64, Failure> {
        let call = self.query(rows)?.with("returnCountOnly", true).with("returnGeometry", false);
        self.counted(client, rows.layer, &call).await
    }

    fn query(&self, rows: &RowFilter<'_>) -> Result<ServiceCall, Failure> {
        let RowFilter { layer, where_clause, area } = *rows;
        let filter = if where_clause.is_empty() { "1=1" } else { where_clause };
        let call = ServiceCall::post(&format!("{}/{layer}/query", self.root))?
            .with_all(&self.custom_parameters)
            .with("where", filter)
            .in_stage(FailureStage::Plan);
        let Some(area) = area else { return Ok(call) };
        Ok(call
            .with("geometry", json!(area))
            .with("geometryType", geometry_type(area))
            .with("inSR", json!(area.spatial_reference()))
            .with("spatialRel", "esriSpatialRelIntersects"))
    }

    async fn counted(&self, client: &ArcGisClient, layer: u32, call: &ServiceCall) -> Result<u64, Failure> {
        let answer = client.json(&call.clone().answer(AnswerKind::Small)).await?;
        answer.get("count").and_then(Value::as_u64).ok_or_else(|| {
            let message = format!("the count of layer {layer} has no `count`");
            let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message);
            failure.at(&format!("{}/{layer}", self.root))
        })
    }

    /// The service's own count of the attachments of the rows that meet a filter: the rows' ids first, then their attachments.
    pub(super) async fn count_attachments(&self, client: &ArcGisClient, rows: &RowFilter<'_>) -> Result<u64, Failure> {
        let layer = rows.layer;
        let call = self.query(rows)?.with("returnIdsOnly", true).with("returnGeometry", false);
        let call = call.answer(AnswerKind::Description);
        let answer = client.json(&call).await?;
        let ids = answer.get("objectIds").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut total = 0;
        for some in ids.chunks(IDS_AT_A_TIME) {
            let list: Vec<String> = some.iter().filter_map(object_id).map(|id| id.to_string()).collect();
            let call = ServiceCall::post(&format!("{}/{layer}/queryAttachments", self.root))?
                .with_all(&self.custom_parameters)
                .with("objectIds", list.join(","))
                .with("returnCountOnly", true)
                .in_stage(FailureStage::Plan)
                .answer(AnswerKind::Description);
            let answer = client.json(&call).await?;
            // Servers answer with one count, with a count for each group, or with the groups themselves.
            let group = |g: &Value| {
                let list = g.get("attachmentInfos").and_then(Value::as_array).map_or(0, |l| l.len() as u64);
                g.get("count").and_then(Value::as_u64).unwrap_or(list)
            };
            let groups = answer.get("attachmentGroups").and_then(Value::as_array);
            total += match answer.get("count").and_then(Value::as_u64) {
                Some(count) => count,
                None => groups.into_iter().flatten().map(group).fold(0, u64::saturating_add),
            };
        }
        Ok(total)
    }
}

/// An id of a row; some servers send numbers as floats, some as text (reference §5.1).
fn object_id(value: &Value) -> Option<i64> {
    let text = || value.as_str().and_then(|t| t.parse::<f64>().ok());
    value.as_i64().or_else(|| value.as_f64().or_else(text).map(|n| n as i64))
}

/// ArcGIS's word for the kind of an area's geometry.
pub(super) fn geometry_type(area: &AreaOfInterest) -> &'static str {
    match area {
        AreaOfInterest::Envelope(_) => "esriGeometryEnvelope",
        AreaOfInterest::Polygon(_) => "esriGeometryPolygon",
    }
}

pub(super) fn read_layer(answer: &Value, service: &Value) -> ServiceLayer {
    let capabilities = words(answer, "capabilities").or_else(|| words(service, "capabilities")).unwrap_or("sync");
    let kind = words(answer, "type").unwrap_or_default();
    let list = answer.get("relationships").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let too_many = (list.len() > MOST_RELATIONSHIPS).then(|| {
        let words = format!("it has {} relationships, expected at most {MOST_RELATIONSHIPS}", list.len());
        (CapabilityReason::ServiceNotUsable, words)
    });
    let dates = ["lastEditDate", "dataLastEditDate"];
    let counts = answer.get("advancedQueryCapabilities").and_then(|a| flag(a, &["supportsQueryAttachments"]));
    ServiceLayer {
        name: cut(words(answer, "name").unwrap_or_default()),
        is_table: kind == "Table" || (kind.is_empty() && answer.get("geometryType").is_none()),
        global_id_field: words(answer, "globalIdField").map(cut),
        can_sync: has_word(capabilities, "sync"),
        editable: allows_editing(capabilities),
        has_attachments: flag(answer, &["hasAttachments"]).unwrap_or(false),
        counts_attachments: counts.unwrap_or(false),
        problem: too_many.or_else(|| compatibility::problem(answer, service)).map(|(reason, words)| (reason, cut(&words))),
        relationships: list
            .iter()
            .take(MOST_RELATIONSHIPS)
            .filter_map(|r| Relationship::deserialize(r).ok())
            .map(Relationship::shortened)
            .collect(),
        attribution: words(answer, "copyrightText").map(cut_attribution),
        edit_date: answer.get("editingInfo").and_then(|e| dates.iter().filter_map(|d| milliseconds(e.get(*d)?)).max()),
    }
}
