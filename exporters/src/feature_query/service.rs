//! What a feature or map service says of itself, as far as its rows are asked for page by page.
//!
//! Source: feature service reference §2 and §5.1.

use crate::feature_service::answer::{flag, has_word, text};
use crate::feature_service::service::FeatureService;
use offmap_arcgis::ArcGisClient;
use offmap_arcgis::body::cut;
use offmap_model::{Failure, LayerSecrets, number};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Rows of a page where the layer says nothing; the default of old servers.
const DEFAULT_PAGE: u64 = 1000;
/// Most rows of a page, whatever the layer allows.
const LARGEST_PAGE: u64 = 2000;
/// Members of a description that say what the rows are.
const KEPT: [&str; 11] = [
    "name",
    "type",
    "description",
    "geometryType",
    "hasZ",
    "hasM",
    "fields",
    "typeIdField",
    "types",
    "subtypeField",
    "subtypes",
];
/// Members of a field, of a type and of a subtype that do.
const KEPT_OF_FIELD: [&str; 6] = ["name", "type", "alias", "length", "nullable", "domain"];
const KEPT_OF_TYPE: [&str; 4] = ["id", "code", "name", "domains"];

/// By what the pages of a layer are asked for, in the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Paging {
    /// `resultOffset` in the order of the object ids.
    Offset,
    /// From one object id to another.
    IdRange,
    /// Lists of object ids.
    IdList,
}

/// A layer or table whose rows are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct QueriedLayer {
    /// Its description, but for what the rows do not need.
    pub(super) description: Value,
    pub(super) object_id_field: String,
    pub(super) paging: Paging,
    pub(super) orders: bool,
    /// Rows of a page.
    pub(super) page: u64,
    pub(super) speaks_pbf: bool,
    pub(super) has_statistics: bool,
    /// Whether it can be asked as it was at a moment.
    pub(super) has_moments: bool,
    /// Whether the description has only the fields that are wanted; not so in the plan.
    #[serde(skip)]
    pub(super) is_narrowed: bool,
}

/// A service with the layers whose rows are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueriedService {
    pub(super) service: FeatureService,
    pub(super) layers: BTreeMap<u32, QueriedLayer>,
    /// Layers whose capabilities have no `Query`; not kept in the plan, which does not have them.
    #[serde(skip)]
    pub(super) not_queried: Vec<u32>,
}

fn kept_of(value: &Value, keys: &[&str]) -> Value {
    let members = value.as_object().into_iter().flatten();
    Value::Object(members.filter(|(key, _)| keys.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect())
}

fn trimmed(description: &Value) -> Value {
    let mut kept = Map::new();
    for key in KEPT {
        let Some(value) = description.get(key).filter(|value| !value.is_null()) else { continue };
        let value = match (key, value) {
            ("fields", Value::Array(all)) => all.iter().map(|one| kept_of(one, &KEPT_OF_FIELD)).collect(),
            ("types" | "subtypes", Value::Array(all)) => all.iter().map(|one| kept_of(one, &KEPT_OF_TYPE)).collect(),
            (_, Value::String(words)) => Value::String(cut(words)),
            (_, value) => value.clone(),
        };
        kept.insert(key.to_owned(), value);
    }
    Value::Object(kept)
}

/// The field of a layer's object ids; `None` where it has none that can stand in a clause.
fn object_id_field(layer: &Value) -> Option<String> {
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.$#".contains(c));
    let named = text(layer, "objectIdField").or_else(|| text(layer, "objectIdFieldName")).filter(is_name);
    let is_id = |field: &&Value| text(field, "type") == Some("esriFieldTypeOID");
    let typed = || text(layer.get("fields")?.as_array()?.iter().find(is_id)?, "name").filter(is_name);
    named.or_else(typed).map(str::to_owned)
}

impl QueriedLayer {
    /// Reads a description; `None` where nothing tells its rows apart.
    pub(super) fn read(layer: &Value) -> Option<Self> {
        let can = |key: &str| layer.get("advancedQueryCapabilities").and_then(|a| flag(a, &[key])).unwrap_or(false);
        let orders = can("supportsOrderBy") || flag(layer, &["supportsAdvancedQueries"]).unwrap_or(false);
        let by_clause = can("supportsPagination") || orders || flag(layer, &["useStandardizedQueries"]).is_some();
        let moments = |of: &Value| flag(of, &["supportsQueryWithHistoricMoment"]).unwrap_or(false);
        let formats = text(layer, "supportedQueryFormats").unwrap_or_default();
        let most = layer.get("maxRecordCount").and_then(number::read::<u64>).filter(|most| *most > 0);
        Some(Self {
            object_id_field: object_id_field(layer)?,
            paging: match (can("supportsPagination"), can("supportsOrderBy") || orders, by_clause) {
                (true, true, _) => Paging::Offset,
                (_, _, true) => Paging::IdRange,
                _ => Paging::IdList,
            },
            orders,
            page: most.unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE),
            speaks_pbf: has_word(formats, "pbf"),
            has_statistics: can("supportsStatistics") || flag(layer, &["supportsStatistics"]).unwrap_or(false),
            has_moments: [layer.get("advancedQueryCapabilities"), layer.get("archivingInfo")]
                .into_iter()
                .flatten()
                .any(moments),
            description: trimmed(layer),
            is_narrowed: false,
        })
    }
}

impl QueriedService {
    /// Asks the service, and each of the layers that it lists among `wanted`.
    pub(super) async fn fetch(
        client: &ArcGisClient,
        root: &str,
        wanted: &[u32],
        secrets: &LayerSecrets,
    ) -> Result<Self, Failure> {
        let (mut layers, mut said) = (BTreeMap::new(), BTreeMap::new());
        let read = |id: u32, description: &Value| {
            layers.extend(QueriedLayer::read(description).map(|layer| (id, layer)));
            said.insert(id, text(description, "capabilities").map(str::to_owned));
        };
        let service = FeatureService::fetch_with(client, root, wanted, secrets, read).await?;
        // A layer that says nothing of it can what its service can; where neither says anything, it is asked.
        let can_query = |own: &Option<String>| {
            let words = own.as_deref().unwrap_or(&service.capabilities);
            words.trim().is_empty() || has_word(words, "query")
        };
        let not_queried = said.iter().filter(|(_, own)| !can_query(own)).map(|(id, _)| *id).collect();
        Ok(Self { service, layers, not_queried })
    }

    /// With the secrets of its layers, which no plan holds.
    pub(super) fn with_secrets(self, secrets: &LayerSecrets) -> Self {
        Self { service: self.service.with_secrets(secrets), ..self }
    }
}

/// Reads an answer as a layer's description, for fuzzing.
pub(super) fn read_any_layer(answer: &Value) {
    if let Some(layer) = QueriedLayer::read(answer) {
        let reference = offmap_model::SpatialReference::wgs84();
        let _ = offmap_formats::geodatabase::schema_of_service(&layer.description, &layer.object_id_field, reference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_layer_is_asked_by_what_it_can() {
        let paging = |abilities: Value| {
            let mut layer = json!({"objectIdField": "ID"});
            layer.as_object_mut().expect("an object").extend(abilities.as_object().cloned().expect("an object"));
            QueriedLayer::read(&layer).expect("reads").paging
        };
        let advanced = |abilities: Value| json!({"advancedQueryCapabilities": abilities});
        assert_eq!(paging(advanced(json!({"supportsPagination": true, "supportsOrderBy": true}))), Paging::Offset);
        // Pages without an order may repeat rows.
        assert_eq!(paging(advanced(json!({"supportsPagination": true}))), Paging::IdRange);
        assert_eq!(paging(json!({"supportsAdvancedQueries": true})), Paging::IdRange);
        assert_eq!(paging(json!({})), Paging::IdList);
    }

    #[test]
    fn the_field_of_object_ids_need_not_be_called_so_and_has_to_be_there() {
        let fields = json!([{"name": "KEY", "type": "esriFieldTypeOID"}, {"name": "A", "type": "esriFieldTypeString", "editable": true}]);
        let layer =
            QueriedLayer::read(&json!({"fields": fields, "maxRecordCount": "100000", "supportedQueryFormats": "JSON, PBF",
            "drawingInfo": {"renderer": {}}}));
        let layer = layer.expect("reads");
        assert_eq!((layer.object_id_field.as_str(), layer.page, layer.speaks_pbf), ("KEY", 2000, true));
        assert_eq!(layer.description["fields"][1], json!({"name": "A", "type": "esriFieldTypeString"}));
        assert!(layer.description.get("drawingInfo").is_none());
        assert_eq!(QueriedLayer::read(&json!({"fields": [], "objectIdField": "1=1) OR (1"})), None);
    }
}
