//! What a feature service says of itself, as far as a replica needs it.
//!
//! Source: `feature-service-rest` reference §2.

use super::{compatibility, network_facts};
use offmap_arcgis::body::{cut, cut_attribution, expect_description, not_a_number, number_in};
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_model::number::NotANumber;
use offmap_model::{
    AreaOfInterest, CapabilityReason, Envelope, Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets,
    SpatialReference, number,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// Ids of rows in one question for attachments.
const IDS_AT_A_TIME: usize = 500;
/// Most relationships of a layer; real ones have some ten.
const MOST_RELATIONSHIPS: usize = 1000;
/// Pages of attachments of so many rows.
const MOST_PAGES: usize = 1000;
/// Most layers of a service that are remembered by name.
const MOST_LISTED: usize = 1000;
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
    #[serde(default = "by_default")]
    pub(super) per_replica: bool,
    pub(super) none: bool,
    pub(super) attachments_direction: bool,
    pub(super) data_options: Option<u32>,
}

/// What a service can that says nothing of it.
fn by_default() -> bool {
    true
}

/// One end of a relationship.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relationship {
    #[serde(deserialize_with = "id")]
    pub(super) id: i64,
    #[serde(default, deserialize_with = "related_table_id")]
    pub(super) related_table_id: i64,
    #[serde(default)]
    pub(super) role: String,
    #[serde(default)]
    pub(super) key_field: String,
    #[serde(default)]
    pub(super) cardinality: String,
    /// The table that a relationship of many to many goes by.
    #[serde(default, deserialize_with = "relationship_table_id")]
    pub(super) relationship_table_id: Option<i64>,
}

offmap_model::number_fields! {
    id: i64 = "id",
    related_table_id: i64 = "relatedTableId",
    relationship_table_id: Option<i64> = "relationshipTableId",
}

impl Relationship {
    fn shortened(self) -> Self {
        Self { role: cut(&self.role), key_field: cut(&self.key_field), cardinality: cut(&self.cardinality), ..self }
    }

    pub(super) fn is_destination(&self) -> bool {
        self.role == "esriRelRoleDestination"
    }

    /// Whether rows are related by a table of their own: then no key of one row is a key of the other.
    pub(super) fn is_many_to_many(&self) -> bool {
        self.cardinality == "esriRelCardinalityManyToMany" || self.relationship_table_id.is_some()
    }
}

/// A layer or table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ServiceLayer {
    pub(super) name: String,
    pub(super) is_table: bool,
    /// Its `type`, such as `Annotation Layer`.
    #[serde(default)]
    pub(super) kind: String,
    /// Whether its description has fields.
    #[serde(default = "by_default")]
    pub(super) has_fields: bool,
    /// Whether it is data of a utility network.
    #[serde(default)]
    pub(super) in_network: bool,
    pub(super) global_id_field: Option<String>,
    #[serde(default)]
    pub(super) object_id_field: String,
    /// Whether rows can be asked for one by one in an order.
    #[serde(default)]
    pub(super) orders_rows: bool,
    pub(super) can_sync: bool,
    /// Whether its own capabilities allow editing; they may be fewer than the service's.
    pub(super) editable: bool,
    pub(super) has_attachments: bool,
    /// Whether attachments can be counted.
    pub(super) counts_attachments: bool,
    /// Whether it answers with a count alone; else the attachments are listed page by page.
    #[serde(default = "by_default")]
    pub(super) counts_attachments_only: bool,
    /// What keeps it from going offline, beside sync.
    pub(super) problem: Option<(CapabilityReason, String)>,
    pub(super) relationships: Vec<Relationship>,
    /// Whether it is a destination of something that the map does not have.
    #[serde(default)]
    pub(super) origin_outside: bool,
    pub(super) attribution: Option<String>,
    pub(super) edit_date: Option<i64>,
}

/// A layer or table as a service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedLayer {
    /// A number; the text that stands in its place where it is none.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// Id of the group layer around it.
    pub(super) parent: Option<i64>,
}

impl ListedLayer {
    fn read(entry: &Value) -> Self {
        let id = entry.get("id").unwrap_or(&Value::Null);
        Self {
            id: number::read::<u32>(id).map_or_else(|| cut(&id.to_string()), |id| id.to_string()),
            name: cut(words(entry, "name").unwrap_or_default()),
            kind: cut(words(entry, "type").unwrap_or_default()),
            parent: entry.get("parentLayerId").and_then(number::read),
        }
    }
}

/// A feature service with the layers that a map uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureService {
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
    /// Release of the server; 0 where it does not say.
    #[serde(default)]
    pub(super) version: f64,
    /// The layer of its utility network, where it has one.
    #[serde(default)]
    pub(super) network_layer: Option<u32>,
    /// Layers that could not be described, with the reason; not kept in the plan, which does not have them.
    #[serde(skip)]
    pub(super) broken: BTreeMap<u32, Failure>,
    /// What the service lists, for people; not kept in the plan.
    #[serde(skip)]
    pub(super) listed: Vec<ListedLayer>,
    /// Parameters of the map's layers that go with every request; supplied anew whenever this is read back.
    #[serde(skip)]
    pub(super) secrets: LayerSecrets,
}

/// Rows of a layer: those that meet a where clause (empty for all) and, where given, an area as it goes over the wire, up to an
/// object id.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowFilter<'a> {
    pub(super) layer: u32,
    pub(super) where_clause: &'a str,
    pub(super) area: Option<&'a AreaOfInterest>,
    pub(super) up_to: Option<i64>,
}

pub(super) fn flag(value: &Value, keys: &[&str]) -> Option<bool> {
    keys.iter().find_map(|key| value.get(*key)).and_then(Value::as_bool)
}

pub(super) fn words<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|t| !t.trim().is_empty())
}

/// The layers and tables that a service lists.
fn entries(answer: &Value) -> impl Iterator<Item = &Value> {
    ["layers", "tables"].into_iter().filter_map(|key| answer.get(key)?.as_array()).flatten()
}

impl FeatureService {
    /// With the secrets of its layers, which no plan holds.
    pub(super) fn with_secrets(self, secrets: &LayerSecrets) -> Self {
        Self { secrets: secrets.clone(), ..self }
    }

    /// Asks the service, and each of the layers that it lists among `wanted`.
    pub(super) async fn fetch(
        client: &ArcGisClient,
        root: &str,
        wanted: &[u32],
        secrets: &LayerSecrets,
    ) -> Result<Self, Failure> {
        let get = |url: &str| {
            let call = ServiceCall::get(url)?.with_secrets(secrets).in_stage(FailureStage::Plan);
            Ok::<_, Failure>(call.answer(AnswerKind::Description))
        };
        let answer = client.json(&get(root)?).await?;
        let mut service = Self::read(root, &answer, secrets)?;
        let listed: HashSet<u32> = entries(&answer).filter_map(|l| number::read(l.get("id")?)).collect();
        let in_map: HashSet<u32> = wanted.iter().copied().collect();
        for id in wanted.iter().copied().filter(|id| listed.contains(id)) {
            let url = format!("{root}/{id}");
            let call = get(&url)?;
            let described = async {
                let layer = client.json(&call).await?;
                expect_description(&layer, &url, "a layer", &["fields", "type", "name", "geometryType"])?;
                let mut layer = read_layer(&layer, &answer).map_err(|wrong| not_a_number(&wrong, &url))?;
                // The plan keeps what it needs: those to the map's own layers, and whether there are others above it.
                let of_map = |r: &Relationship| u32::try_from(r.related_table_id).is_ok_and(|id| in_map.contains(&id));
                layer.origin_outside = layer.relationships.iter().any(|r| r.is_destination() && !of_map(r));
                layer.relationships.retain(of_map);
                Ok::<_, Failure>(layer)
            };
            // A layer that is broken costs only itself; a host that does not answer is asked no more.
            match described.await {
                Ok(layer) => drop(service.layers.insert(id, layer)),
                Err(failure) if failure.owner == FailureOwner::Network || failure.is_cancelled() => return Err(failure),
                Err(failure) => drop(service.broken.insert(id, failure)),
            }
        }
        Ok(service)
    }

    /// Reads what the service says of itself; its layers are not in it yet.
    pub(super) fn read(root: &str, answer: &Value, secrets: &LayerSecrets) -> Result<Self, Failure> {
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
                per_replica: flag(&sync, &["supportsPerReplicaSync"]).unwrap_or_else(by_default),
                none: flag(&sync, &["supportsSyncModelNone"]).unwrap_or(false),
                attachments_direction: flag(&sync, &["supportsAttachmentsSyncDirection"]).unwrap_or(false),
                data_options: number_in(&sync, "supportedSyncDataOptions", root)?,
            },
            extent: extent.and_then(|e| serde_json::from_value(e).ok()),
            attribution: words(answer, "copyrightText").map(cut_attribution),
            spatial_reference: answer.get("spatialReference").cloned().and_then(|v| serde_json::from_value(v).ok()),
            layers: BTreeMap::new(),
            version: network_facts::version(answer),
            network_layer: network_facts::layer_of(answer).map_err(|wrong| not_a_number(&wrong, root))?,
            broken: BTreeMap::new(),
            listed: entries(answer).take(MOST_LISTED).map(ListedLayer::read).collect(),
            secrets: secrets.clone(),
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

    /// The one layer among some that a refusal of the service names: by its id or, in quotation marks or as a word, by its name.
    pub(super) fn layer_in(&self, failure: &Failure, among: &[u32]) -> Option<u32> {
        if failure.owner != FailureOwner::Source || failure.kind != FailureKind::ServiceError {
            return None;
        }
        let words = failure.server_message.as_deref().unwrap_or_default().to_lowercase();
        let numbers = ids_named(&words);
        let named = |name: &str| !name.is_empty() && has_whole(&words, &name.to_lowercase());
        let is_named = |id: &&u32| numbers.contains(id) || self.layers.get(id).is_some_and(|l| named(&l.name));
        let found: Vec<u32> = among.iter().filter(is_named).copied().collect();
        match found.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    fn query(&self, rows: &RowFilter<'_>) -> Result<ServiceCall, Failure> {
        let RowFilter { layer, where_clause, area, up_to } = *rows;
        let filter = if where_clause.is_empty() { "1=1" } else { where_clause };
        let filter = match (up_to, self.layers.get(&layer)) {
            (Some(highest), Some(described)) => format!("({filter}) AND {} <= {highest}", described.object_id_field),
            _ => filter.to_owned(),
        };
        let call = ServiceCall::post(&format!("{}/{layer}/query", self.root))?
            .with_secrets(&self.secrets)
            .with("where", filter)
            .in_stage(FailureStage::Plan);
        let Some(area) = area else { return Ok(call) };
        Ok(call
            .with("geometry", json!(area))
            .with("geometryType", geometry_type(area))
            .with("inSR", json!(area.spatial_reference()))
            .with("spatialRel", "esriSpatialRelIntersects"))
    }

    /// The highest object id of a layer, 0 for one without rows; `None` where the service cannot tell it in one row.
    pub(super) async fn highest_id(&self, client: &ArcGisClient, layer: u32) -> Option<i64> {
        let described = self.layers.get(&layer).filter(|l| l.orders_rows)?;
        let field = &described.object_id_field;
        let all = RowFilter { layer, where_clause: "", area: None, up_to: None };
        let call = self.query(&all).ok()?;
        let call = call
            .with("outFields", field)
            .with("orderByFields", format!("{field} DESC"))
            .with("resultRecordCount", 1)
            .with("returnGeometry", false)
            .in_stage(FailureStage::Submit)
            .answer(AnswerKind::Small);
        let answer = match client.json(&call).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::debug!(%failure, layer, "the highest object id is not known");
                return None;
            }
        };
        let rows = answer.get("features")?.as_array()?;
        match rows.as_slice() {
            [] => Some(0),
            [one] => number::read(one.get("attributes")?.get(field)?),
            // It does not order or limit rows as it says.
            _ => None,
        }
    }

    async fn counted(&self, client: &ArcGisClient, layer: u32, call: &ServiceCall) -> Result<u64, Failure> {
        let answer = client.json(&call.clone().answer(AnswerKind::Small)).await?;
        let url = format!("{}/{layer}", self.root);
        number_in(&answer, "count", &url)?.ok_or_else(|| self.not_counted(layer, "count"))
    }

    fn not_counted(&self, layer: u32, key: &str) -> Failure {
        let message = format!("the count of layer {layer} has no `{key}`");
        let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message);
        failure.with_url(&format!("{}/{layer}", self.root))
    }

    /// The service's own count of the attachments of the rows that meet a filter: the rows' ids first, then their attachments.
    pub(super) async fn count_attachments(&self, client: &ArcGisClient, rows: &RowFilter<'_>) -> Result<u64, Failure> {
        let layer = rows.layer;
        let call = self.query(rows)?.with("returnIdsOnly", true).with("returnGeometry", false);
        let call = call.answer(AnswerKind::Description);
        let answer = client.json(&call).await?;
        // `null` are the ids of no rows; an answer without them counts nothing, which is not the same as zero.
        if answer.get("objectIds").is_none() {
            return Err(self.not_counted(layer, "objectIds"));
        }
        let ids: Vec<i64> = number_in(&answer, "objectIds", &format!("{}/{layer}", self.root))?.unwrap_or_default();
        let mut total = 0_u64;
        for some in ids.chunks(IDS_AT_A_TIME) {
            let list: Vec<String> = some.iter().map(ToString::to_string).collect();
            total = self.attachments_of(client, layer, &list.join(",")).await?.saturating_add(total);
        }
        Ok(total)
    }

    /// Attachments of some rows, page by page where the service does not count them.
    async fn attachments_of(&self, client: &ArcGisClient, layer: u32, ids: &str) -> Result<u64, Failure> {
        let counts_only = self.layers.get(&layer).is_none_or(|l| l.counts_attachments_only);
        let mut total = 0_u64;
        for _ in 0..MOST_PAGES {
            let mut call = ServiceCall::post(&format!("{}/{layer}/queryAttachments", self.root))?
                .with_secrets(&self.secrets)
                .with("objectIds", ids)
                .in_stage(FailureStage::Plan)
                .answer(AnswerKind::Description);
            if counts_only {
                call = call.with("returnCountOnly", true);
            }
            if total > 0 {
                call = call.with("resultOffset", total);
            }
            let answer = client.json(&call).await?;
            // Servers answer with one count, with a count for each group, or with the groups themselves.
            let count_in = |value: &Value| number_in::<u64>(value, "count", &format!("{}/{layer}", self.root));
            if let Some(count) = count_in(&answer)? {
                return Ok(count);
            }
            let Some(groups) = answer.get("attachmentGroups").and_then(Value::as_array) else {
                return Err(self.not_counted(layer, "attachmentGroups"));
            };
            let mut here = 0_u64;
            for group in groups {
                let listed = group.get("attachmentInfos").and_then(Value::as_array).map_or(0, |l| l.len() as u64);
                here = here.saturating_add(count_in(group)?.unwrap_or(listed));
            }
            total = total.saturating_add(here);
            if here == 0 || !flag(&answer, &["exceededTransferLimit"]).unwrap_or(false) {
                return Ok(total);
            }
        }
        let message = format!("layer {layer} lists the attachments of {IDS_AT_A_TIME} rows on more than {MOST_PAGES} pages");
        Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message))
    }
}

/// Numbers behind the word `layer` or `table`, as in `layer 3`, `layerId: 3`, `Layer id [3]`.
fn ids_named(words: &str) -> Vec<u32> {
    let parts: Vec<&str> = words.split(|c: char| !c.is_alphanumeric()).filter(|p| !p.is_empty()).collect();
    let is_layer = |w: &str| matches!(w, "layer" | "layerid" | "table" | "tableid" | "sublayer");
    let mut ids = Vec::new();
    for (at, part) in parts.iter().enumerate().filter(|(_, p)| is_layer(p)) {
        let next =
            parts.get(at + 1).filter(|w| !(*part == "layer" || *part == "table") || **w != "id").or(parts.get(at + 2));
        ids.extend(next.and_then(|n| n.parse::<u32>().ok()));
    }
    ids
}

/// Whether a text has a name as whole words.
fn has_whole(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|t| t.chars().next());
        ![before, after].into_iter().flatten().any(|c| c.is_alphanumeric() || c == '_')
    })
}

/// ArcGIS's word for the kind of an area's geometry.
pub(super) fn geometry_type(area: &AreaOfInterest) -> &'static str {
    match area {
        AreaOfInterest::Envelope(_) => "esriGeometryEnvelope",
        AreaOfInterest::Polygon(_) => "esriGeometryPolygon",
    }
}

pub(super) fn read_layer(answer: &Value, service: &Value) -> Result<ServiceLayer, NotANumber> {
    let capabilities = words(answer, "capabilities").or_else(|| words(service, "capabilities")).unwrap_or("sync");
    let kind = words(answer, "type").unwrap_or_default();
    let list = answer.get("relationships").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let too_many = (list.len() > MOST_RELATIONSHIPS).then(|| {
        let words = format!("it has {} relationships, expected at most {MOST_RELATIONSHIPS}", list.len());
        (CapabilityReason::ServiceNotUsable, words)
    });
    let editing = answer.get("editingInfo").unwrap_or(&Value::Null);
    let mut edit_date = None;
    for key in ["lastEditDate", "dataLastEditDate"] {
        edit_date = edit_date.max(number::member::<i64>(editing, key)?);
    }
    let mut relationships = Vec::new();
    for relationship in list.iter().take(MOST_RELATIONSHIPS) {
        for key in ["id", "relatedTableId", "relationshipTableId"] {
            number::member::<i64>(relationship, key)?;
        }
        relationships.extend(Relationship::deserialize(relationship).ok().map(Relationship::shortened));
    }
    let can = |key: &str| answer.get("advancedQueryCapabilities").and_then(|a| flag(a, &[key]));
    let fields = answer.get("fields").and_then(Value::as_array);
    let is_oid = |f: &&Value| words(f, "type") == Some("esriFieldTypeOID");
    let object_id = words(answer, "objectIdField").or_else(|| words(fields?.iter().find(is_oid)?, "name"));
    Ok(ServiceLayer {
        name: cut(words(answer, "name").unwrap_or_default()),
        kind: cut(kind),
        has_fields: fields.is_some_and(|fields| !fields.is_empty()),
        in_network: network_facts::is_data(answer),
        is_table: kind == "Table" || (kind.is_empty() && answer.get("geometryType").is_none()),
        global_id_field: words(answer, "globalIdField").map(cut),
        object_id_field: cut(object_id.unwrap_or("OBJECTID")),
        orders_rows: can("supportsPagination").unwrap_or(false) && can("supportsOrderBy").unwrap_or(false),
        can_sync: has_word(capabilities, "sync"),
        editable: allows_editing(capabilities),
        has_attachments: flag(answer, &["hasAttachments"]).unwrap_or(false),
        counts_attachments: can("supportsQueryAttachments").unwrap_or(false),
        counts_attachments_only: can("supportsQueryAttachmentsCountOnly").unwrap_or(true),
        problem: too_many.or_else(|| compatibility::problem(answer, service)).map(|(reason, words)| (reason, cut(&words))),
        origin_outside: false,
        relationships,
        attribution: words(answer, "copyrightText").map(cut_attribution),
        edit_date,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_that_a_refusal_names_is_found() {
        let mut service =
            FeatureService::read("https://h/S/FeatureServer", &json!({"layers": []}), &LayerSecrets::default())
                .expect("reads");
        for (id, name) in [(0, "Places"), (3, "Trees"), (5, "Place inspections"), (12, "")] {
            let layer = read_layer(&json!({"name": name, "type": "Feature Layer"}), &Value::Null);
            service.layers.insert(id, layer.expect("reads"));
        }
        let all = [0, 3, 5, 12];
        let named = |words: &str| {
            let failure = Failure::new(FailureOwner::Source, FailureKind::ServiceError, FailureStage::Submit, "refused");
            service.layer_in(&failure.with_server_message(words), &all)
        };
        for (words, layer) in [
            ("Layer 3 does not support sync.", Some(3)),
            ("layerId: 12 is broken", Some(12)),
            ("Invalid layer id [5]", Some(5)),
            ("Table 'Place inspections' has no GlobalID", Some(5)),
            ("The dataset TREES is locked", Some(3)),
            ("Place is full", None),
            ("Trees and Places are locked", None),
            ("Error 3: unable to create replica", None),
            ("layer 99 is unknown", None),
            ("", None),
        ] {
            assert_eq!(named(words), layer, "{words}");
        }
        let network = Failure::new(FailureOwner::Network, FailureKind::Unavailable, FailureStage::Submit, "x");
        assert_eq!(service.layer_in(&network.with_server_message("layer 3"), &all), None);
    }
}
