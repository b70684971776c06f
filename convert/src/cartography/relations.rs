//! Relationships between layers and tables, from what their services say of them.

use super::map::Relation;
use super::members::{list, number, text};
use serde_json::Value;

/// A layer as far as relationships name it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    id: String,
    /// The service's URL without its scheme, in lower case.
    service: String,
    /// The layer's id in the service.
    number: Option<f64>,
    relationships: Vec<Value>,
}

impl Described {
    pub(crate) fn new(id: &str, layer: &Value, description: &Value) -> Self {
        let url = text(layer, "url").unwrap_or_default().split('?').next().unwrap_or_default().trim_end_matches('/');
        let url = url.split_once("://").map_or(url, |(_, rest)| rest).to_ascii_lowercase();
        let (service, last) = url.rsplit_once('/').unwrap_or((&url, ""));
        let number = number(description, "id").or_else(|| last.parse().ok());
        // Layers without a URL are told apart by the file that they lie in.
        let file = text(layer, "path").unwrap_or_default().split('?').next().unwrap_or_default();
        let service = if service.is_empty() { file } else { service }.to_owned();
        Self { id: id.to_owned(), service, number, relationships: list(description, "relationships").to_vec() }
    }

    fn with_role(&self, role: &str) -> impl Iterator<Item = &Value> {
        self.relationships.iter().filter(move |relationship| text(relationship, "role") == Some(role))
    }
}

/// The relationships of which the map has both ends.
pub(crate) fn between(layers: &[Described]) -> Vec<Relation> {
    let mut all = Vec::new();
    for origin in layers {
        for relationship in origin.with_role("esriRelRoleOrigin") {
            let other = number(relationship, "relatedTableId");
            let ends =
                layers.iter().filter(|layer| layer.service == origin.service && layer.number == other && other.is_some());
            for destination in ends {
                let same = |end: &&Value| number(end, "id") == number(relationship, "id");
                let end = destination.with_role("esriRelRoleDestination").find(same);
                let keys = text(relationship, "keyField").zip(end.and_then(|end| text(end, "keyField")));
                let Some((key, foreign_key)) = keys else { continue };
                all.push(Relation {
                    name: text(relationship, "name").unwrap_or("relation").to_owned(),
                    referencing: destination.id.clone(),
                    foreign_key: foreign_key.to_owned(),
                    referenced: origin.id.clone(),
                    key: key.to_owned(),
                });
            }
        }
    }
    all
}
