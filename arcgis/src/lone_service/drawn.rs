//! Services that are drawn: those without a cache, and WMS.
//!
//! Source: `web-map-and-offline-api` reference A.4; WMS 1.3.0, §6.4.1 and §7.3.2 (names of parameters, in any letter case).

use super::found::{LoneService, Wanted, map_of};
use super::template;
use crate::secret_query::without_pairs;
use crate::urls::parse_http;
use crate::wms_parameters::is_wms_parameter;
use offmap_model::failure::without_secrets;
use offmap_model::{Failure, OfflineMapSource, WebMap};
use serde_json::{Map, Value, json};

/// The layer of a service without a cache.
pub(super) fn layer(title: &str, root: &str, kind: &str) -> Value {
    let layer_type = if kind == "imageserver" { "ArcGISImageServiceLayer" } else { "ArcGISMapServiceLayer" };
    json!({"id": "tiles", "title": title, "url": root, "layerType": layer_type})
}

/// A WMS by its url.
#[derive(Debug, PartialEq)]
pub(super) struct Wms {
    /// Without the parameters of requests.
    url: String,
    title: String,
    version: Option<String>,
    layers: Vec<String>,
    styles: Option<String>,
}

impl Wms {
    /// Reads a url that says that it is a WMS: by `SERVICE=WMS`, or by the last part of its path.
    pub(super) fn of(text: &str) -> Option<Self> {
        let url = parse_http(text).ok()?;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let one = |name: &str| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default().to_ascii_lowercase();
        let says = one("service").is_some_and(|service| service.eq_ignore_ascii_case("wms"));
        if !says && !matches!(last.as_str(), "wms" | "wmsserver") {
            return None;
        }
        let layers = one("layers").unwrap_or_default();
        Some(Self {
            title: url.host_str().unwrap_or("WMS").to_owned(),
            url: without_pairs(url.clone(), |name, _| is_wms_parameter(name)).to_string(),
            version: one("version"),
            layers: layers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            styles: one("styles").filter(|styles| !styles.is_empty()),
        })
    }

    /// The same as a map; all that the service draws where its url names no layers.
    pub(super) fn lone(self, wanted: Wanted) -> Result<LoneService, Failure> {
        if wanted != Wanted::Drawn {
            return Err(Failure::invalid_parameter(format!(
                "{} is a WMS, which has neither tiles nor features and draws pictures on request; --draw-tiles has it draw tiles, which are \
                 written to .pmtiles, .mbtiles or .tpkx",
                without_secrets(&self.url)
            )));
        }
        let mut layer = json!({"id": "tiles", "title": self.title, "layerType": "WMS", "url": self.url});
        if let Some(layer) = layer.as_object_mut() {
            self.say(layer);
        }
        let map = WebMap::from_value(map_of(&self.title, vec![layer], vec![]))?;
        let source = OfflineMapSource::from_web_map(map);
        let (extent, levels) = (Some(template::extent()), template::levels(false));
        Ok(LoneService {
            source,
            title: self.title,
            extent,
            levels,
            has_only_tiles: false,
            has_vector_tiles: Some(false),
            is_drawn: true,
        })
    }

    fn say(&self, layer: &mut Map<String, Value>) {
        if let Some(version) = &self.version {
            layer.insert("version".to_owned(), json!(version));
        }
        if !self.layers.is_empty() {
            layer.insert("visibleLayers".to_owned(), json!(self.layers));
        }
        if let Some(styles) = &self.styles {
            layer.insert("customParameters".to_owned(), json!({"STYLES": styles}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wms_is_known_by_its_url_and_its_layers_are_those_that_it_names() {
        let url = "https://h/cgi-bin/mapserv?map=/a.map&Service=wms&REQUEST=GetCapabilities&layers=land,roads&STYLES=,thin&version=1.1.1";
        let wms = Wms::of(url).expect("a WMS");
        assert_eq!(wms.url, "https://h/cgi-bin/mapserv?map=/a.map");
        assert_eq!((wms.version.as_deref(), wms.layers.join("+").as_str()), (Some("1.1.1"), "land+roads"));
        assert_eq!(wms.styles.as_deref(), Some(",thin"));
        assert!(Wms::of("https://h/geoserver/ows/WMS").is_some_and(|wms| wms.layers.is_empty()));
        assert!(Wms::of("https://h/arcgis/services/X/MapServer/WMSServer").is_some());
        for other in ["https://h/arcgis/rest/services/X/MapServer", "https://h/wms/x", "https://h/x?service=WFS"] {
            assert_eq!(Wms::of(other), None, "{other}");
        }
        let refused = wms.lone(Wanted::Tiles).expect_err("not drawn");
        assert!(refused.message.contains("--draw-tiles"), "{refused}");
        let lone = Wms::of(url).and_then(|wms| wms.lone(Wanted::Drawn).ok()).expect("a map");
        let layer = &lone.source.web_map.json()["operationalLayers"][0];
        assert_eq!((&layer["layerType"], &layer["visibleLayers"]), (&json!("WMS"), &json!(["land", "roads"])));
        assert!(lone.is_drawn);
    }
}
