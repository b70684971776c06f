//! Which layers are drawn, and where.

use offmap_disk::sha256_of;
use offmap_model::{LayerType, MapLayer, OfflineMapSource};
use serde_json::Value;

/// Digits of the mark of a layer.
const MARK_DIGITS: usize = 8;

/// A layer whose service draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DrawnLayer {
    /// The root of a map service.
    Map(String),
    /// The root of an image service.
    Image(String),
    /// Where a WMS answers.
    Wms(String),
}

impl DrawnLayer {
    /// What a layer is, with its JSON in the map; `None` for a layer of another kind.
    pub(super) fn of(layer: &MapLayer, json: Option<&Value>) -> Option<Self> {
        let word = match &layer.layer_type {
            LayerType::TiledMapService | LayerType::TiledImageService => "",
            LayerType::Other(word) => word.as_str(),
            _ => return None,
        };
        if word == "WMS" {
            let said = json.and_then(|json| json.get("mapUrl")).and_then(Value::as_str);
            let is_http = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
            let url = said.map(str::trim).filter(is_http).or(layer.url.as_deref())?;
            return Some(Self::Wms(url.trim_end_matches(['?', '&']).to_owned()));
        }
        if !matches!(word, "" | "ArcGISMapServiceLayer" | "ArcGISImageServiceLayer") {
            return None;
        }
        let service = layer.service()?;
        let root = service.root().to_owned();
        match service.kind().as_str() {
            "mapserver" => Some(Self::Map(root)),
            "imageserver" => Some(Self::Image(root)),
            _ => None,
        }
    }
}

/// The service of a layer: each layer is drawn by itself, as the map says of it alone.
pub(super) fn service_of(layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
    let url = match DrawnLayer::of(layer, source.web_map.layer_json(layer))? {
        DrawnLayer::Map(root) => format!("{root}/export"),
        DrawnLayer::Image(root) => format!("{root}/exportImage"),
        DrawnLayer::Wms(url) => url,
    };
    let between = if url.contains('?') { '&' } else { '?' };
    let mark = sha256_of(layer.id.as_bytes());
    Some(format!("{url}{between}bbox={{bbox}}#layer-{}", mark.get(..MARK_DIGITS)?))
}
