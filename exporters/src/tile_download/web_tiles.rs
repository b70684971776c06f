//! Web tiled layers of a map: templates of urls, WMTS layers that a map viewer wrote as such, and OpenStreetMap.
//!
//! | layer | where its tiles are | its scheme |
//! | --- | --- | --- |
//! | `WebTiledLayer`, also one with `wmtsInfo`; `WMTS` | `templateUrl` with `{level}`, `{row}`, `{col}` (or `{z}`, `{y}`, `{x}`) and `{subDomain}` of `subDomains` | `tileInfo`, else the web's with 256 pixels |
//! | `OpenStreetMap` | the foundation's own servers, which forbid bulk download | the web's, levels 0 to 19 |
//!
//! Nothing is asked to plan them: the map says all of it.
//!
//! Source: web map specification, `webTiledLayer` and `openStreetMapLayer`.

use super::source::TileSource;
use super::template::TileTemplate;
use crate::tile_service::{TiledService, spatial_reference_not_supported};
use offmap_engine::{ServiceDescription, ServiceRequest};
use offmap_formats::tiles::{TileInfo, web_mercator_scheme};
use offmap_model::{Capability, CapabilityReason, DirectDownloadHosts, LayerType, MapLayer, OfflineMapSource};
use serde_json::Value;

const OPEN_STREET_MAP: &str = "https://tile.openstreetmap.org/{level}/{col}/{row}.png";
const OPEN_STREET_MAP_WORDS: &str = "© OpenStreetMap contributors (ODbL)";
/// Deepest level where nobody says.
const DEEPEST: u8 = 22;
const DEEPEST_OF_OPEN_STREET_MAP: u8 = 19;
/// Hosts of one layer, and bytes of a name of one.
const MOST_HOSTS: usize = 64;
const LONGEST_HOST: usize = 64;
/// Longest template, in bytes.
const LONGEST_TEMPLATE: usize = 2048;

/// Where the tiles of a layer are; `None` for a layer of another kind, or one whose template lacks a place.
pub(super) fn template_of(layer: &MapLayer, source: &OfflineMapSource) -> Option<TileTemplate> {
    let LayerType::Other(kind) = &layer.layer_type else { return None };
    match kind.as_str() {
        "OpenStreetMap" => Some(TileTemplate::new(OPEN_STREET_MAP)),
        "WebTiledLayer" | "WMTS" => read_template(source.web_map.layer_json(layer)?),
        _ => None,
    }
}

fn read_template(json: &Value) -> Option<TileTemplate> {
    let url = json.get("templateUrl").and_then(Value::as_str)?.trim();
    let url = [
        ("{z}", "{level}"),
        ("{y}", "{row}"),
        ("{x}", "{col}"),
        ("{column}", "{col}"),
        ("{TileMatrix}", "{level}"),
        ("{TileRow}", "{row}"),
        ("{TileCol}", "{col}"),
        ("{s}", "{subDomain}"),
    ]
    .into_iter()
    .fold(url.to_owned(), |url, (other, own)| url.replace(other, own));
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    let is_whole = ["{level}", "{row}", "{col}"].iter().all(|part| url.contains(part));
    if !is_http || !is_whole || url.len() > LONGEST_TEMPLATE {
        return None;
    }
    let named = json.get("subDomains").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_host = |name: &&str| {
        name.len() <= LONGEST_HOST
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
    };
    let sub_domains: Vec<String> =
        named.iter().take(MOST_HOSTS).filter_map(Value::as_str).filter(is_host).map(str::to_owned).collect();
    let is_complete = !url.contains("{subDomain}") || !sub_domains.is_empty();
    is_complete.then_some(TileTemplate { url, sub_domains })
}

/// What the map says of the layers of one template.
pub(super) fn describe(request: &ServiceRequest, template: TileTemplate) -> ServiceDescription<Option<TileSource>> {
    let first = request.layers.first();
    let json = first.and_then(|layer| request.layer_json(layer)).unwrap_or(&Value::Null);
    let is_osm = first.is_some_and(|layer| layer.layer_type.to_string() == "OpenStreetMap");
    let title = first.map(|layer| layer.title.clone()).unwrap_or_default();
    let said = |key: &str| json.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let attribution = said("copyright").map(str::to_owned).or_else(|| is_osm.then(|| OPEN_STREET_MAP_WORDS.to_owned()));
    let deepest = if is_osm { DEEPEST_OF_OPEN_STREET_MAP } else { DEEPEST };
    let scheme = json.get("tileInfo").filter(|info| info.is_object());
    let scheme = scheme.map(|info| serde_json::from_value::<TileInfo>(info.clone()));
    let hosts = &request.parameters.direct_download_hosts;
    let found = match scheme {
        Some(Err(error)) => Err((
            CapabilityReason::Other,
            format!("the `tileInfo` of \"{title}\" cannot be understood: {error}; correct it in the map"),
        )),
        Some(Ok(info)) => Ok(info),
        None => Ok(web_mercator_scheme(256, deepest)),
    };
    let found = found.and_then(|info| {
        let service = TiledService::of_template(&template.url, info, json.get("fullExtent"));
        let unsupported = spatial_reference_not_supported(&title, &service.tile_info.spatial_reference);
        if let Some(words) = unsupported {
            return Err((CapabilityReason::SpatialReferenceNotSupported, words));
        }
        match forbidden(hosts, &title, &template) {
            Some(words) => Err((CapabilityReason::DirectDownloadForbidden, words)),
            None => Ok(service),
        }
    });
    let (source, refused) = match found {
        Ok(service) => (Some(TileSource::web(service, template, title.clone(), attribution.clone())), None),
        Err(refused) => (None, Some(refused)),
    };
    let capability = |layer: &MapLayer| match &refused {
        Some((reason, words)) => (layer.id.clone(), Capability::refused(*reason, words.clone())),
        None => (layer.id.clone(), Capability::Supported),
    };
    let capabilities = request.layers.iter().map(capability).collect();
    let extent = source.as_ref().and_then(|source| source.service.extent_in());
    ServiceDescription::new(title, source, capabilities).with_extent(extent).with_attribution(attribution)
}

/// Why one of the hosts of a template is not downloaded from.
fn forbidden(hosts: &DirectDownloadHosts, title: &str, template: &TileTemplate) -> Option<String> {
    template.each_host().iter().find_map(|url| hosts.refused(title, url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::TileId;
    use serde_json::json;

    #[test]
    fn a_template_has_a_place_for_level_row_and_column() {
        let of = |template: &str| read_template(&json!({"templateUrl": template, "subDomains": ["a", "b", "c/d", ""]}));
        let place = TileId { level: 3, row: 1, column: 2 };
        for (template, url) in [
            ("https://h/{level}/{col}/{row}.png", "https://h/3/2/1.png"),
            ("https://{subDomain}.h/{z}/{x}/{y}", "https://b.h/3/2/1"),
            (
                "http://h/wmts?TileMatrix={level}&TileRow={row}&TileCol={col}",
                "http://h/wmts?TileMatrix=3&TileRow=1&TileCol=2",
            ),
        ] {
            assert_eq!(of(template).map(|t| t.url_of(place)).as_deref(), Some(url));
        }
        for bad in [
            "https://h/{level}/{row}.png",
            "ftp://h/{level}/{row}/{col}",
            "",
            &format!("https://h/{{level}}/{{row}}/{{col}}/{}", "x".repeat(3000)),
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        let lacking = json!({"templateUrl": "https://{subDomain}.h/{level}/{row}/{col}"});
        assert_eq!(read_template(&lacking), None, "nobody says which hosts");
        assert_eq!(of("https://h/{level}/{row}/{col}").map(|t| t.sub_domains), Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
