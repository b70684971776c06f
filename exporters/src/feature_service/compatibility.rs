//! What keeps a layer from going offline beside sync: the rules that Esri applies to a map, as far as the service shows them.
//!
//! Source: web map reference A.9. The words of SQL that a field may not be named by are those of SQLite that must be quoted.

use super::answer::{allows_editing, flag, text};
use offmap_model::CapabilityReason;
use serde_json::Value;
use std::collections::HashSet;

/// Longest name of a field.
const LONGEST_FIELD_NAME: usize = 128;
/// Words that cannot name a column unquoted (sqlite.org/lang_keywords, those that its parser never takes for a name).
const KEYWORDS: [&str; 51] = [
    "add",
    "all",
    "alter",
    "and",
    "as",
    "autoincrement",
    "between",
    "case",
    "check",
    "collate",
    "commit",
    "constraint",
    "create",
    "default",
    "deferrable",
    "delete",
    "distinct",
    "drop",
    "else",
    "escape",
    "exists",
    "foreign",
    "from",
    "group",
    "having",
    "in",
    "index",
    "insert",
    "into",
    "is",
    "isnull",
    "join",
    "limit",
    "not",
    "notnull",
    "null",
    "on",
    "or",
    "order",
    "primary",
    "references",
    "select",
    "set",
    "table",
    "then",
    "to",
    "transaction",
    "union",
    "unique",
    "update",
    "where",
];

/// The first rule that a layer breaks, with what was found and expected.
pub(crate) fn problem(layer: &Value, service: &Value) -> Option<(CapabilityReason, String)> {
    let empty = Vec::new();
    let list = |key: &str| layer.get(key).and_then(Value::as_array).unwrap_or(&empty);
    let name_of = |v: &Value| v.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let fields: Vec<String> = list("fields").iter().map(name_of).collect();
    let known: HashSet<String> = fields.iter().map(|f| f.to_ascii_lowercase()).collect();
    let has_field = |name: &str| known.contains(&name.to_ascii_lowercase());
    let knows_fields = !fields.is_empty();

    if let Some(long) = fields.iter().find(|f| f.chars().count() > LONGEST_FIELD_NAME) {
        let words = format!("a field's name has {} characters, expected at most {LONGEST_FIELD_NAME}", long.chars().count());
        return Some((CapabilityReason::FieldNotSupported, words));
    }
    if let Some(word) = fields.iter().find(|f| KEYWORDS.contains(&f.to_ascii_lowercase().as_str())) {
        let words = format!("its field `{word}` is named by a word of SQL; its owner can rename it");
        return Some((CapabilityReason::FieldNotSupported, words));
    }
    if let Some(index) = list("indexes").iter().map(name_of).find(|n| n.contains(['+', '-'])) {
        let words = format!("the name of its index `{index}` has a + or - in it; its owner can make the index anew");
        return Some((CapabilityReason::IndexNotSupported, words));
    }
    let joined = layer.pointer("/adminLayerInfo/viewLayerDefinition/table/relatedTables").and_then(Value::as_array);
    if joined.is_some_and(|t| !t.is_empty()) || flag(layer, &["isMultiServicesView"]) == Some(true) {
        let words = "it is a view that joins several layers; take the layers themselves".to_owned();
        return Some((CapabilityReason::JoinView, words));
    }
    let key_of = |r: &Value| text(r, "keyField").map(str::to_owned);
    if let Some(key) = list("relationships").iter().filter_map(key_of).find(|key| knows_fields && !has_field(key)) {
        let words = format!("the key field `{key}` of one of its relationships is missing");
        return Some((CapabilityReason::RelationshipKeyMissing, words));
    }
    if let Some(subtype) = text(layer, "subtypeField").filter(|f| knows_fields && !has_field(f)) {
        return Some((CapabilityReason::SubtypeFieldMissing, format!("its subtype field `{subtype}` is missing")));
    }
    let is_view = [layer, service].iter().any(|v| flag(v, &["isView"]) == Some(true));
    let editable = text(layer, "capabilities").or_else(|| text(service, "capabilities")).is_some_and(allows_editing);
    let tracking = layer.get("editFieldsInfo").and_then(Value::as_object);
    if let Some(missing) = tracking
        .into_iter()
        .flat_map(serde_json::Map::values)
        .filter_map(Value::as_str)
        .find(|f| is_view && editable && knows_fields && !f.is_empty() && !has_field(f))
    {
        let words = format!("it is an editable view without the editor tracking field `{missing}` of its source");
        return Some((CapabilityReason::EditorTrackingMissing, words));
    }
    let access = [layer, service].into_iter().find_map(|v| v.get("ownershipBasedAccessControlForFeatures"));
    if access.and_then(|a| flag(a, &["allowOthersToQuery"])) == Some(false) {
        let words = "its service shows everybody their own features only (ownership-based access)".to_owned();
        return Some((CapabilityReason::OwnershipBasedAccess, words));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reason(layer: Value) -> Option<CapabilityReason> {
        problem(&layer, &json!({"capabilities": "Query,Sync,Update"})).map(|(reason, _)| reason)
    }

    #[test]
    fn fields_that_esri_s_rule_refuses_are_named() {
        let fields = |name: &str| json!({"fields": [{"name": "OBJECTID"}, {"name": name}]});
        assert_eq!(reason(fields("ORDER")), Some(CapabilityReason::FieldNotSupported));
        assert_eq!(reason(fields("group")), Some(CapabilityReason::FieldNotSupported));
        assert_eq!(reason(fields(&"x".repeat(129))), Some(CapabilityReason::FieldNotSupported));
        assert_eq!(reason(fields(&"x".repeat(128))), None);
        assert_eq!(reason(fields("ORDER_NO")), None);
    }

    #[test]
    fn indexes_join_views_and_ownership_are_seen() {
        assert_eq!(reason(json!({"indexes": [{"name": "a-b"}]})), Some(CapabilityReason::IndexNotSupported));
        assert_eq!(reason(json!({"indexes": [{"name": "a_b"}]})), None);
        assert_eq!(reason(json!({"isMultiServicesView": true})), Some(CapabilityReason::JoinView));
        let view = json!({"adminLayerInfo": {"viewLayerDefinition": {"table": {"relatedTables": [{"name": "b"}]}}}});
        assert_eq!(reason(view), Some(CapabilityReason::JoinView));
        let access = |others: bool| json!({"ownershipBasedAccessControlForFeatures": {"allowOthersToQuery": others}});
        assert_eq!(reason(access(false)), Some(CapabilityReason::OwnershipBasedAccess));
        assert_eq!(reason(access(true)), None);
    }

    #[test]
    fn missing_keys_subtypes_and_tracking_fields_are_seen() {
        let with = |rest: Value| {
            let mut layer = json!({"fields": [{"name": "OBJECTID"}, {"name": "KIND"}]});
            layer.as_object_mut().expect("an object").extend(rest.as_object().cloned().expect("an object"));
            reason(layer)
        };
        let key = |field: &str| json!({"relationships": [{"id": 0, "keyField": field}]});
        assert_eq!(with(key("PLACE_ID")), Some(CapabilityReason::RelationshipKeyMissing));
        assert_eq!(with(key("objectid")), None);
        assert_eq!(with(json!({"subtypeField": "SORT"})), Some(CapabilityReason::SubtypeFieldMissing));
        assert_eq!(with(json!({"subtypeField": ""})), None);
        let tracked = |is_view: bool| json!({"isView": is_view, "editFieldsInfo": {"editorField": "last_editor"}});
        assert_eq!(with(tracked(true)), Some(CapabilityReason::EditorTrackingMissing));
        assert_eq!(with(tracked(false)), None);
    }
}
