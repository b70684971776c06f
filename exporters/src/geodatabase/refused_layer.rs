//! Which layer a refusal of the service is about.

use crate::feature_service::service::FeatureService;
use offmap_model::{Failure, FailureKind, FailureOwner};

/// The one layer among some that a refusal of the service names: by its id or, in quotation marks or as a word, by its name.
pub(super) fn layer_in(service: &FeatureService, failure: &Failure, among: &[u32]) -> Option<u32> {
    if failure.owner != FailureOwner::Source || failure.kind != FailureKind::ServiceError {
        return None;
    }
    let words = failure.server_message.as_deref().unwrap_or_default().to_lowercase();
    let numbers = ids_named(&words);
    let named = |name: &str| !name.is_empty() && has_whole(&words, &name.to_lowercase());
    let is_named = |id: &&u32| numbers.contains(id) || service.layers.get(id).is_some_and(|l| named(&l.name));
    let found: Vec<u32> = among.iter().filter(is_named).copied().collect();
    match found.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// Numbers behind the word `layer` or `table`, as in `layer 3`, `layerId: 3`, `Layer id [3]`.
fn ids_named(message: &str) -> Vec<u32> {
    let parts: Vec<&str> = message.split(|c: char| !c.is_alphanumeric()).filter(|p| !p.is_empty()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_service::service_layer::read_layer;
    use offmap_model::{FailureStage, LayerSecrets};
    use serde_json::{Value, json};

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
            layer_in(&service, &failure.with_server_message(words), &all)
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
        assert_eq!(layer_in(&service, &network.with_server_message("layer 3"), &all), None);
    }
}
