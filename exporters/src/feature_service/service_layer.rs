//! A layer or table of a feature service, as far as a replica needs it.
//!
//! Source: `feature-service-rest` reference §2.

use super::answer::{allows_editing, by_default, flag, has_word, text};
use super::{compatibility, network_facts};
use offmap_arcgis::body::{cut, cut_attribution};
use offmap_model::number::NotANumber;
use offmap_model::{CapabilityReason, number};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most relationships of a layer; real ones have some ten.
const MOST_RELATIONSHIPS: usize = 1000;

/// One end of a relationship.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Relationship {
    #[serde(deserialize_with = "id")]
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "related_table_id")]
    pub(crate) related_table_id: i64,
    #[serde(default)]
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) key_field: String,
    #[serde(default)]
    pub(crate) cardinality: String,
    /// The table that a relationship of many to many goes by.
    #[serde(default, deserialize_with = "relationship_table_id")]
    pub(crate) relationship_table_id: Option<i64>,
    #[serde(default)]
    pub(crate) name: String,
    /// Whether the rows of the destination go with those of the origin.
    #[serde(default)]
    pub(crate) composite: bool,
}

offmap_model::number_fields! {
    id: i64 = "id",
    related_table_id: i64 = "relatedTableId",
    relationship_table_id: Option<i64> = "relationshipTableId",
}

impl Relationship {
    fn shortened(self) -> Self {
        let (role, key_field, cardinality) = (cut(&self.role), cut(&self.key_field), cut(&self.cardinality));
        Self { role, key_field, cardinality, name: cut(&self.name), ..self }
    }

    pub(crate) fn is_destination(&self) -> bool {
        self.role == "esriRelRoleDestination"
    }

    /// Whether rows are related by a table of their own: then no key of one row is a key of the other.
    pub(crate) fn is_many_to_many(&self) -> bool {
        self.cardinality == "esriRelCardinalityManyToMany" || self.relationship_table_id.is_some()
    }
}

/// A layer or table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceLayer {
    pub(crate) name: String,
    pub(crate) is_table: bool,
    /// Its `type`, such as `Annotation Layer`.
    #[serde(default)]
    pub(crate) kind: String,
    /// Whether its description has fields.
    #[serde(default = "by_default")]
    pub(crate) has_fields: bool,
    /// Whether it is data of a utility network.
    #[serde(default)]
    pub(crate) in_network: bool,
    pub(crate) global_id_field: Option<String>,
    #[serde(default)]
    pub(crate) object_id_field: String,
    /// Whether rows can be asked for one by one in an order.
    #[serde(default)]
    pub(crate) orders_rows: bool,
    pub(crate) can_sync: bool,
    /// Whether its own capabilities allow editing; they may be fewer than the service's.
    pub(crate) editable: bool,
    pub(crate) has_attachments: bool,
    /// Whether attachments can be counted.
    pub(crate) counts_attachments: bool,
    /// Whether it answers with a count alone; else the attachments are listed page by page.
    #[serde(default = "by_default")]
    pub(crate) counts_attachments_only: bool,
    /// What keeps it from going offline, beside sync.
    pub(crate) problem: Option<(CapabilityReason, String)>,
    pub(crate) relationships: Vec<Relationship>,
    /// Whether it is a destination of something that the map does not have.
    #[serde(default)]
    pub(crate) origin_outside: bool,
    pub(crate) attribution: Option<String>,
    pub(crate) edit_date: Option<i64>,
}

/// A layer or table as a service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedLayer {
    /// A number; the text that stands in its place where it is none.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Id of the group layer around it.
    pub(crate) parent: Option<i64>,
}

impl ListedLayer {
    pub(crate) fn read(entry: &Value) -> Self {
        let id = entry.get("id").unwrap_or(&Value::Null);
        Self {
            id: number::read::<u32>(id).map_or_else(|| cut(&id.to_string()), |id| id.to_string()),
            name: cut(text(entry, "name").unwrap_or_default()),
            kind: cut(text(entry, "type").unwrap_or_default()),
            parent: entry.get("parentLayerId").and_then(number::read),
        }
    }
}

/// Reads the description of a layer; what it does not say itself, its service may.
pub(crate) fn read_layer(answer: &Value, service: &Value) -> Result<ServiceLayer, NotANumber> {
    let capabilities = text(answer, "capabilities").or_else(|| text(service, "capabilities")).unwrap_or("sync");
    let kind = text(answer, "type").unwrap_or_default();
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
    let is_oid = |f: &&Value| text(f, "type") == Some("esriFieldTypeOID");
    let object_id = text(answer, "objectIdField").or_else(|| text(fields?.iter().find(is_oid)?, "name"));
    Ok(ServiceLayer {
        name: cut(text(answer, "name").unwrap_or_default()),
        kind: cut(kind),
        has_fields: fields.is_some_and(|fields| !fields.is_empty()),
        in_network: network_facts::is_data(answer),
        is_table: kind == "Table" || (kind.is_empty() && answer.get("geometryType").is_none()),
        global_id_field: text(answer, "globalIdField").map(cut),
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
        attribution: text(answer, "copyrightText").map(cut_attribution),
        edit_date,
    })
}
