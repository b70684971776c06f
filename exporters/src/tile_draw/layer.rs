//! Which layers are drawn, and where.

use offmap_arcgis::{is_wms_parameter, without_pairs};
use offmap_disk::sha256_of;
use offmap_model::{LayerType, MapLayer, OfflineMapSource};
use serde_json::Value;
use url::Url;

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
            return Some(Self::Wms(without_requests(url)?));
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

/// The url of a WMS without the parameters of a request, which maps have there as well: those of a request come anew.
fn without_requests(url: &str) -> Option<String> {
    let mut url = without_pairs(Url::parse(url).ok()?, |name, _| is_wms_parameter(name));
    let kept = url.query().map(|query| query.trim_matches('&').to_owned()).filter(|query| !query.is_empty());
    url.set_query(kept.as_deref());
    url.set_fragment(None);
    Some(url.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_requests_are_not_kept_in_the_url_of_a_wms() {
        let url = "https://h/cgi?map=/a.map&SERVICE=WMS&Request=GetCapabilities&version=1.1.1&";
        assert_eq!(without_requests(url).as_deref(), Some("https://h/cgi?map=/a.map"));
        let url = "https://h/cgi?map=/caf%E9%20a.map&%53ERVICE=WMS&nocache&#x";
        assert_eq!(without_requests(url).as_deref(), Some("https://h/cgi?map=/caf%E9%20a.map&nocache"), "as it is written");
        assert_eq!(without_requests("https://h/wms?").as_deref(), Some("https://h/wms"));
    }
}
