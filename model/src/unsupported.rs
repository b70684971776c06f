//! Why a layer that no exporter supports cannot go offline: what was found in the map, what was expected, and a way out.
//!
//! Source: web map reference A.4.

use crate::capability::CapabilityReason;
use crate::failure::{Failure, FailureKind, FailureOwner, FailureStage, shortened, without_secrets};
use crate::layer_kinds;
use crate::service_url::ServiceUrl;
use crate::web_map::{LONGEST_URL, LayerType, MapLayer, WebMap};
use serde_json::Value;

/// Longest url in a message, in bytes.
const SHOWN_URL: usize = 256;
/// A service of a kind that is not known.
const UNKNOWN: &str = "no ArcGIS service that is known";
/// The kinds of layers that have an offline form.
const SUPPORTED: &str = "ArcGISFeatureLayer, SubtypeGroupLayer, ArcGISAnnotationLayer, ArcGISDimensionLayer, \
                         ArcGISTiledMapServiceLayer, ArcGISTiledImageServiceLayer and VectorTileLayer";

/// Judges a layer that no exporter supports.
pub fn judge(layer: &MapLayer, map: &WebMap) -> (CapabilityReason, Failure) {
    let json = member_at(map, &layer.pointer);
    let (reason, words) = reason_of(layer, json.unwrap_or(&Value::Null));
    let message = format!("layer \"{}\" ({}) cannot go offline: {words}", layer.title, layer.layer_type);
    let failure = match reason {
        // The map has to be changed; kept online it would be of no use either.
        CapabilityReason::NoServiceAddress => {
            Failure::new(FailureOwner::Source, FailureKind::NotFound, FailureStage::Plan, message)
        }
        _ => Failure::not_supported(message),
    };
    (reason, failure)
}

/// The member of a map at a JSON pointer.
fn member_at<'a>(map: &'a WebMap, pointer: &str) -> Option<&'a Value> {
    let (key, rest) = pointer.strip_prefix('/')?.split_once('/')?;
    map.json().get(key)?.pointer(&format!("/{rest}"))
}

fn reason_of(layer: &MapLayer, json: &Value) -> (CapabilityReason, String) {
    use CapabilityReason::{LayerTypeNotSupported, NoServiceAddress};
    let text = |key: &str| json.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    let is_collection = text("type").is_some_and(|t| t.eq_ignore_ascii_case("Feature Collection"));
    if let (true, Some(item)) = (is_collection, &layer.item_id) {
        let words = format!(
            "its features are in the portal item {item} (a feature collection), expected in a feature service or in the map itself; \
             save a copy of the layer in the map, or publish the item as a hosted feature layer"
        );
        return (LayerTypeNotSupported, words);
    }
    // Kinds without a service, such as OpenStreetMap, need no url.
    if let LayerType::Other(word) = &layer.layer_type {
        return (LayerTypeNotSupported, without_offline_form(word, layer, text("layerType").or(text("type"))));
    }
    let service = layer.service();
    let words = match (text("url"), &layer.url, &service) {
        (Some(long), None, _) => {
            format!("its url has {} bytes, expected at most {LONGEST_URL}; correct it in the map", long.len())
        }
        (Some(url), _, None) => {
            format!("its url `{}` is not an http or https url; correct it in the map", shown(url))
        }
        (None, ..) if layer.style_url.is_none() => match &layer.item_id {
            Some(item) => {
                format!("the map names the portal item {item} and no service url for it; add the item's url to the map")
            }
            None => "the map gives no service url for it; add one, or take the layer out of the map".to_owned(),
        },
        (.., service) => return (LayerTypeNotSupported, wrong_service(&layer.layer_type, service.as_ref())),
    };
    (NoServiceAddress, words)
}

fn shown(url: &str) -> String {
    shortened(without_secrets(url), SHOWN_URL)
}

/// A layer of a kind that goes offline by another kind of service than its url names.
fn wrong_service(layer_type: &LayerType, service: Option<&ServiceUrl>) -> String {
    let kind = service.map(ServiceUrl::kind).unwrap_or_default();
    let is_tiled = matches!(layer_type, LayerType::TiledMapService | LayerType::TiledImageService | LayerType::VectorTile);
    if kind == "mapserver" && !is_tiled {
        return "its service is a map service, which can be queried only; a replica needs a feature service".to_owned();
    }
    let expected = match layer_type {
        LayerType::VectorTile => "a vector tile service (…/VectorTileServer)",
        _ if is_tiled => "a tiled map or image service (…/MapServer or …/ImageServer)",
        _ => "a layer of a feature service (…/FeatureServer/0)",
    };
    let url = service.map(|s| shown(s.root())).unwrap_or_default();
    let found = service.and_then(ServiceUrl::kind_name).unwrap_or(UNKNOWN);
    format!("its url {url} is that of {found}, expected that of {expected}; correct it in the map")
}

/// Why a kind of layer has no offline form; `found` is its word in the map.
fn without_offline_form(word: &str, layer: &MapLayer, found: Option<&str>) -> String {
    if let Some(known) = layer_kinds::without_offline_form(word) {
        return known.to_owned();
    }
    if found.is_some() {
        return format!("the kind of layer `{word}` is not known; supported are {SUPPORTED}");
    }
    match layer.url.as_deref() {
        Some(url) => format!(
            "the map names no `layerType` for it, and its url {} is that of {}; supported are {SUPPORTED}",
            shown(url),
            layer.service().and_then(|s| s.kind_name()).unwrap_or(UNKNOWN)
        ),
        None => format!("the map names neither a `layerType` nor a url for it; supported are {SUPPORTED}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(layer: Value) -> (CapabilityReason, String) {
        let map = WebMap::from_value(json!({"operationalLayers": [{"layerType": "GroupLayer", "layers": [layer]}]}));
        let map = map.expect("a map");
        let (reason, failure) = judge(map.layers().first().expect("a layer"), &map);
        (reason, failure.message)
    }

    #[test]
    fn what_was_found_and_a_way_out_are_named() {
        use CapabilityReason::{LayerTypeNotSupported as Kind, NoServiceAddress as NoUrl};
        let feature = "ArcGISFeatureLayer";
        for (layer, reason, words) in [
            (
                json!({"layerType": feature, "type": "Feature Collection", "itemId": "abc"}),
                Kind,
                "portal item abc (a feature collection)",
            ),
            (json!({"layerType": feature, "itemId": "abc"}), NoUrl, "names the portal item abc and no service url"),
            (json!({"layerType": feature}), NoUrl, "no service url"),
            (
                json!({"layerType": feature, "url": "ftp://h/x?token=secret"}),
                NoUrl,
                "`ftp://h/x` is not an http or https url",
            ),
            (
                json!({"layerType": feature, "url": "/rest/services/X/FeatureServer/0"}),
                NoUrl,
                "`/rest/services/X/FeatureServer/0` is not",
            ),
            (
                json!({"layerType": feature, "url": format!("https://h/{}", "x".repeat(3000))}),
                NoUrl,
                "has 3010 bytes, expected at most 2048",
            ),
            (
                json!({"layerType": feature, "url": "https://h/S/MapServer/0"}),
                Kind,
                "a map service, which can be queried only",
            ),
            (
                json!({"layerType": feature, "url": "https://h/S/ImageServer"}),
                Kind,
                "is that of an image service, expected that of a layer of a feature service",
            ),
            (
                json!({"layerType": "VectorTileLayer", "url": "https://h/S/MapServer"}),
                Kind,
                "expected that of a vector tile service",
            ),
            (
                json!({"layerType": "HologramLayer", "url": "https://h/S"}),
                Kind,
                "kind of layer `HologramLayer` is not known; supported are",
            ),
            (
                json!({"url": "https://h/S/SceneServer"}),
                Kind,
                "no `layerType` for it, and its url https://h/S/SceneServer is that of a scene service",
            ),
            (json!({"layerType": "WMS", "url": "https://h/ows"}), Kind, "draws pictures on request"),
        ] {
            let (found, message) = judged(layer.clone());
            assert_eq!(found, reason, "{layer}: {message}");
            assert!(message.contains(words) && !message.contains("secret"), "{layer}: {message}");
        }
    }
}
