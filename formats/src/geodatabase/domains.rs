//! Domains, subtypes and relationships out of the items of a geodatabase, or out of the JSON of its service.
//!
//! Source: mobile map package reference B.3, B.5; names of elements as in Esri's XML schema of geodatabases.

use super::definition::Element;
use crate::features::{Cardinality, Domain, DomainCode, DomainRule, Relationship, Subtype, Subtypes};
use serde_json::Value as Json;

/// A code in XML, by the type that is written beside it or by its looks.
fn code_of(text: &str, is_text: bool) -> DomainCode {
    if is_text {
        return DomainCode::Text(text.to_owned());
    }
    let number = text.parse().map(DomainCode::Integer).ok();
    let real = || text.parse().ok().filter(|n: &f64| n.is_finite()).map(DomainCode::Real);
    number.or_else(real).unwrap_or_else(|| DomainCode::Text(text.to_owned()))
}

/// A domain out of its definition.
pub(super) fn domain_of_xml(root: &Element) -> Option<Domain> {
    let name = root.child_text("DomainName")?.to_owned();
    let description = root.child_text("Description").unwrap_or_default().to_owned();
    let is_text = root.child_text("FieldType") == Some("esriFieldTypeString");
    let rule = match root.child("CodedValues") {
        Some(codes) => {
            let codes = codes.children_named("CodedValue").filter_map(|entry| {
                let code = entry.child("Code")?.text.trim();
                Some((code_of(code, is_text), entry.child_text("Name").unwrap_or(code).to_owned()))
            });
            DomainRule::Coded(codes.collect())
        }
        None => DomainRule::Range { min: root.child_number("MinValue")?, max: root.child_number("MaxValue")? },
    };
    Some(Domain { name, description, rule })
}

/// A domain out of the description of a service's field.
pub(super) fn domain_of_json(domain: &Json) -> Option<Domain> {
    let name = domain.get("name")?.as_str()?.to_owned();
    let description = domain.get("description").and_then(Json::as_str).unwrap_or_default().to_owned();
    let rule = if let Some(codes) = domain.get("codedValues").and_then(Json::as_array) {
        let codes = codes.iter().filter_map(|entry| {
            let code = match entry.get("code")? {
                Json::Number(n) => n.as_i64().map(DomainCode::Integer).or_else(|| n.as_f64().map(DomainCode::Real))?,
                Json::String(text) => DomainCode::Text(text.clone()),
                _ => return None,
            };
            let name = entry.get("name").and_then(Json::as_str).map_or_else(|| code.to_string(), str::to_owned);
            Some((code, name))
        });
        DomainRule::Coded(codes.collect())
    } else {
        let range = domain.get("range")?;
        DomainRule::Range { min: range.get(0)?.as_f64()?, max: range.get(1)?.as_f64()? }
    };
    Some(Domain { name, description, rule })
}

/// The subtypes of a layer out of its definition.
pub(super) fn subtypes_of_xml(root: &Element) -> Option<Subtypes> {
    let field = root.child_text("SubtypeFieldName")?.to_owned();
    let subtypes = root.child("Subtypes")?.children_named("Subtype").filter_map(|entry| {
        let infos = entry.child("FieldInfos").into_iter().flat_map(|infos| infos.children_named("SubtypeFieldInfo"));
        let domains =
            infos.filter_map(|i| Some((i.child_text("FieldName")?.to_owned(), i.child_text("DomainName")?.to_owned())));
        Some(Subtype {
            code: entry.child_text("SubtypeCode")?.parse().ok()?,
            name: entry.child_text("SubtypeName").unwrap_or_default().to_owned(),
            domains: domains.collect(),
        })
    });
    let subtypes: Vec<Subtype> = subtypes.collect();
    (!subtypes.is_empty()).then_some(Subtypes { field, subtypes })
}

/// The subtypes of a layer out of its service's description: `typeIdField` and `types`, else `subtypeField` and `subtypes`.
pub(super) fn subtypes_of_json(layer: &Json) -> Option<Subtypes> {
    subtypes_in(layer, ("typeIdField", "types", "id")).or_else(|| subtypes_in(layer, ("subtypeField", "subtypes", "code")))
}

fn subtypes_in(layer: &Json, (field, list, code): (&str, &str, &str)) -> Option<Subtypes> {
    let field = layer.get(field)?.as_str().filter(|name| !name.is_empty())?.to_owned();
    let subtypes = layer.get(list)?.as_array()?.iter().filter_map(|entry| {
        let domains = entry.get("domains").and_then(Json::as_object).into_iter().flatten();
        let domains = domains.filter_map(|(field, domain)| Some((field.clone(), domain.get("name")?.as_str()?.to_owned())));
        let name = entry.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        Some(Subtype { code: entry.get(code)?.as_i64()?, name, domains: domains.collect() })
    });
    let subtypes: Vec<Subtype> = subtypes.collect();
    (!subtypes.is_empty()).then_some(Subtypes { field, subtypes })
}

/// A relationship class; `None` for one of attachments, or without its keys.
pub(super) fn relationship_of_xml(root: &Element, name: &str) -> Option<Relationship> {
    if root.says("IsAttachmentRelationship") {
        return None;
    }
    let class = |list: &str| Some(bare(root.child(list)?.child_text("Name")?).to_owned());
    let key = |role: &str| {
        let keys = [root.child("OriginClassKeys"), root.child("DestinationClassKeys")].into_iter().flatten();
        let mut keys = keys.flat_map(|keys| keys.children_named("RelationshipClassKey"));
        let found = keys.find(|key| key.child_text("KeyRole") == Some(role))?;
        Some(found.child_text("ObjectKeyName")?.to_owned())
    };
    let cardinality = match root.child_text("Cardinality") {
        Some("esriRelCardinalityOneToOne") => Cardinality::OneToOne,
        Some("esriRelCardinalityManyToMany") => Cardinality::ManyToMany,
        _ => Cardinality::OneToMany,
    };
    Some(Relationship {
        name: bare(name).to_owned(),
        origin: class("OriginClassNames")?,
        origin_key: key("esriRelKeyRoleOriginPrimary")?,
        destination: class("DestinationClassNames")?,
        destination_key: key("esriRelKeyRoleOriginForeign")?,
        cardinality,
        is_composite: root.says("IsComposite"),
    })
}

/// The name of a dataset without its database.
pub(super) fn bare(name: &str) -> &str {
    name.strip_prefix("main.").unwrap_or(name)
}
