//! Which layer of a service a layer of a map is, by what the service says.

use super::row_filter::layer_id;
use super::service::FeatureService;
use super::service_layer::{ListedLayer, ServiceLayer};
use offmap_model::{Capability, CapabilityReason, Failure, FailureKind, FailureOwner, FailureStage, MapLayer};

/// The type of a layer that only holds others.
const GROUP: &str = "Group Layer";
/// Types of layers that have rows of their own.
const WITH_ROWS: [&str; 5] = ["Feature Layer", "Table", "Annotation Layer", "Dimension Layer", "Utility Network Layer"];
/// Layers that a message lists.
const MOST_LISTED: usize = 20;

/// The layer of the service that a map's layer names, if it has rows; else why there is none.
pub(crate) fn found<'a>(layer: &MapLayer, service: &'a FeatureService) -> Result<&'a ServiceLayer, Capability> {
    let title = &layer.title;
    let refused = |reason, words: String| Err(Capability::refused(reason, words));
    let Some(id) = layer_id(layer) else {
        let words = format!("its url names the service {}, expected one of its layers", service.root);
        return Err(not_found(title, &words, service));
    };
    if let Some(failure) = service.broken.get(&id) {
        let mut failure = failure.clone();
        failure.message = format!("\"{title}\": the service does not describe this layer: {}", failure.message);
        return Err(Capability::NotSupported(CapabilityReason::ServiceNotUsable, Box::new(failure)));
    }
    let Some(found) = service.layers.get(&id) else {
        return Err(not_found(title, &format!("{} has no layer {id}", service.root), service));
    };
    if service.network_layer == Some(id) {
        let words = format!("\"{title}\" is the utility network itself; it comes along with its data layers");
        return refused(CapabilityReason::LayerTypeNotSupported, words);
    }
    if found.kind == GROUP {
        let children = listed(service.listed.iter().filter(|l| l.parent == Some(i64::from(id))));
        let words = format!(
            "\"{title}\": layer {id} of {} is a group layer without rows of its own; put its layers in the map instead: {children}",
            service.root
        );
        return refused(CapabilityReason::LayerTypeNotSupported, words);
    }
    if !found.has_fields && !found.kind.is_empty() && !WITH_ROWS.contains(&found.kind.as_str()) {
        let words = format!(
            "\"{title}\": layer {id} of {} is of the type `{}` and has no fields; expected is one of {}",
            service.root,
            found.kind,
            WITH_ROWS.join(", ")
        );
        return refused(CapabilityReason::LayerTypeNotSupported, words);
    }
    Ok(found)
}

/// A url that leads to no layer: what the service has instead.
fn not_found(title: &str, words: &str, service: &FeatureService) -> Capability {
    let there = listed(service.listed.iter());
    let message = format!("\"{title}\": {words}; it has {there}; correct the url in the map");
    let failure = Failure::new(FailureOwner::Source, FailureKind::NotFound, FailureStage::Plan, message);
    Capability::NotSupported(CapabilityReason::LayerNotFound, Box::new(failure.with_url(&service.root)))
}

/// The first few of some layers, by id and name.
fn listed<'a>(mut layers: impl Iterator<Item = &'a ListedLayer>) -> String {
    let word = |l: &ListedLayer| match l.kind.as_str() {
        "" | "Feature Layer" => format!("{} `{}`", l.id, l.name),
        kind => format!("{} `{}` ({kind})", l.id, l.name),
    };
    let first: Vec<String> = layers.by_ref().take(MOST_LISTED).map(word).collect();
    match (first.is_empty(), layers.count()) {
        (true, _) => "none that it lists".to_owned(),
        (false, 0) => first.join(", "),
        (false, more) => format!("{} and {more} more", first.join(", ")),
    }
}
