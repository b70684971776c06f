//! Which fields of the layers come: those that are named, and those without which rows cannot be told apart, joined or understood.
//!
//! Object id, global id, shape, and the keys of relationships come always. The field of types or subtypes comes where a type gives one of
//! the named fields a domain of its own.
//!
//! Source: feature service reference §2.2 and §5.1 (`outFields`).

use super::service::{QueriedLayer, QueriedService};
use crate::feature_service::answer::text;
use offmap_model::Failure;
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// Types of fields that come always.
const ALWAYS: [&str; 3] = ["esriFieldTypeOID", "esriFieldTypeGlobalID", "esriFieldTypeGeometry"];
/// The members of a description that name the field of its types, with the types themselves.
const TYPES: [(&str, &str); 2] = [("typeIdField", "types"), ("subtypeField", "subtypes")];
/// Most fields that a message lists.
const MOST_LISTED: usize = 100;

/// What names of one field have in common.
fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

fn fields(layer: &QueriedLayer) -> impl Iterator<Item = &Value> {
    layer.description.get("fields").and_then(Value::as_array).into_iter().flatten()
}

fn names(layer: &QueriedLayer) -> impl Iterator<Item = &str> {
    fields(layer).filter_map(|field| text(field, "name"))
}

/// Checks that each name is a field of one of the layers, whatever its letter case.
///
/// # Errors
/// The first that is none, with the fields that there are.
pub(super) fn check(service: &QueriedService, layers: &[u32], out_fields: &[String]) -> Result<(), Failure> {
    let found: Vec<&QueriedLayer> = layers.iter().filter_map(|id| service.layers.get(id)).collect();
    let there: HashSet<String> = found.iter().copied().flat_map(names).map(folded).collect();
    let Some(unknown) = out_fields.iter().find(|wanted| !there.contains(&folded(wanted))) else { return Ok(()) };
    let known: BTreeSet<&str> = found.iter().copied().flat_map(names).collect();
    let more = if known.len() > MOST_LISTED { ", …" } else { "" };
    let known: Vec<&str> = known.into_iter().take(MOST_LISTED).collect();
    let whose = match found.as_slice() {
        [one] => format!("\"{}\" has no", text(&one.description, "name").unwrap_or(&service.service.title)),
        _ => format!("no layer of \"{}\" has a", service.service.title),
    };
    Err(Failure::invalid_parameter(format!(
        "{whose} field `{}`; there are: {}{more}; name some of these, in any letter case, or leave the fields out for all of them",
        unknown.escape_debug(),
        known.join(", ")
    )))
}

/// The service with the fields that come, of each layer.
pub(super) fn narrowed(mut service: QueriedService, out_fields: Option<&[String]>) -> QueriedService {
    let Some(out_fields) = out_fields else { return service };
    for (id, layer) in &mut service.layers {
        let relationships = service.service.layers.get(id).map(|l| l.relationships.as_slice()).unwrap_or_default();
        let mut kept: HashSet<String> = out_fields.iter().map(|name| folded(name)).collect();
        kept.extend(relationships.iter().map(|one| folded(&one.key_field)));
        kept.insert(folded(&layer.object_id_field));
        narrow(layer, kept);
    }
    service
}

/// Keeps the fields with some names, folded.
fn narrow(layer: &mut QueriedLayer, mut kept: HashSet<String>) {
    let always = |field: &&Value| text(field, "type").is_some_and(|word| ALWAYS.contains(&word));
    kept.extend(fields(layer).filter(always).filter_map(|field| text(field, "name")).map(folded));
    for (key, types) in TYPES {
        let Some(name) = text(&layer.description, key).map(str::to_owned) else { continue };
        let gives = |one: &Value| {
            let domains = one.get("domains").and_then(Value::as_object);
            // Without a domain of its own, a field has that of the layer.
            let own = |domain: &Value| domain.get("type").and_then(Value::as_str).is_none_or(|word| word != "inherited");
            domains.is_some_and(|all| all.iter().any(|(field, domain)| kept.contains(&folded(field)) && own(domain)))
        };
        if layer.description.get(types).and_then(Value::as_array).is_some_and(|all| all.iter().any(gives)) {
            kept.insert(folded(&name));
        }
    }
    let Some(description) = layer.description.as_object_mut() else { return };
    if let Some(Value::Array(all)) = description.get_mut("fields") {
        all.retain(|field| text(field, "name").is_some_and(|name| kept.contains(&folded(name))));
    }
    for (key, types) in TYPES {
        let is_kept = description.get(key).and_then(Value::as_str).is_some_and(|name| kept.contains(&folded(name)));
        if !is_kept {
            description.remove(key);
            description.remove(types);
        }
        for one in description.get_mut(types).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::Object(domains)) = one.get_mut("domains") {
                domains.retain(|field, _| kept.contains(&folded(field)));
            }
        }
    }
    layer.is_narrowed = true;
}

#[cfg(test)]
mod tests {
    use super::super::service::QueriedLayer;
    use super::*;
    use serde_json::json;

    fn layer() -> QueriedLayer {
        let field = |name: &str, word: &str| json!({"name": name, "type": format!("esriFieldType{word}")});
        let kinds =
            json!({"KIND": {"type": "codedValue", "name": "Kinds", "codedValues": []}, "NAME": {"type": "inherited"}});
        QueriedLayer::read(&json!({
            "name": "Trees", "objectIdField": "FID", "typeIdField": "SORT", "types": [{"id": 1, "name": "Oak", "domains": kinds}],
            "fields": [field("FID", "OID"), field("GlobalID", "GlobalID"), field("NAME", "String"), field("KIND", "String"),
                field("SORT", "Integer"), field("PARENT", "GUID"), field("Größe", "Double")],
        }))
        .expect("reads")
    }

    fn left(wanted: &[&str]) -> (Vec<String>, bool) {
        let mut layer = layer();
        narrow(&mut layer, wanted.iter().map(|name| folded(name)).collect());
        assert!(layer.is_narrowed);
        (names(&layer).map(str::to_owned).collect(), layer.description.get("types").is_some())
    }

    #[test]
    fn the_fields_that_are_named_come_with_those_that_rows_need() {
        let (fields, has_types) = left(&["name", " GRÖSSE", "größe"]);
        assert_eq!((fields, has_types), (["FID", "GlobalID", "NAME", "Größe"].map(str::to_owned).to_vec(), false));
        // A domain by type means nothing without the type.
        let (fields, has_types) = left(&["Kind"]);
        assert_eq!((fields, has_types), (["FID", "GlobalID", "KIND", "SORT"].map(str::to_owned).to_vec(), true));
        assert_eq!(left(&[]).0, ["FID", "GlobalID"]);
    }

    #[test]
    fn a_domain_of_a_field_that_does_not_come_goes_with_it() {
        let mut layer = layer();
        narrow(&mut layer, HashSet::from([folded("SORT")]));
        assert_eq!(layer.description["types"], json!([{"id": 1, "name": "Oak", "domains": {}}]));
    }
}
