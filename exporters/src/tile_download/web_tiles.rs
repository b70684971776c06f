//! Web tiled layers of a map: templates of urls, WMTS layers that a map viewer wrote as such, and OpenStreetMap.
//!
//! | layer | where its tiles are | its scheme |
//! | --- | --- | --- |
//! | `WebTiledLayer`, also one with `wmtsInfo`; `WMTS` | `templateUrl` with `{level}`, `{row}`, `{col}` (or `{z}`, `{y}`, `{x}`; `{-y}` is the row from the south) and `{subDomain}` of `subDomains`; a level that has a `levelValue` stands in the url by that | `tileInfo`, else the web's with 256 pixels |
//! | `OpenStreetMap` | the foundation's own servers, which forbid bulk download | the web's, levels 0 to 19 |
//!
//! Where `tileInfo` says `pbf` as its format, the tiles are vector tiles.
//!
//! Nothing is asked to plan them: the map says all of it. Layers of one template share a package where the map says the same of their
//! tiles: scheme, extent, hosts and parameters, but for those that say who asks.
//!
//! Source: web map specification, `webTiledLayer`, `lod` (`levelValue`) and `openStreetMapLayer`.

use super::source::TileSource;
use super::template::{ROW_FROM_SOUTH, TileTemplate};
use crate::tile_service::{MOST_LEVELS, TiledService, spatial_reference_not_supported};
use offmap_disk::sha256_of;
use offmap_engine::{ServiceDescription, ServiceRequest};
use offmap_formats::tiles::{Lod, TileInfo, web_mercator_scheme};
use offmap_model::{
    Capability, CapabilityReason, DirectDownloadHosts, LayerType, MapLayer, OfflineMapSource, has_sub_domain, sub_domains,
    with_sub_domain,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OPEN_STREET_MAP: &str = "https://tile.openstreetmap.org/{level}/{col}/{row}.png";
const OPEN_STREET_MAP_WORDS: &str = "© OpenStreetMap contributors (ODbL)";
/// Deepest level where nobody says.
const DEEPEST: u8 = 22;
const DEEPEST_OF_OPEN_STREET_MAP: u8 = 19;
/// Deepest level to which a scheme is compared with the web's, and how far resolutions may differ, of their size.
const DEEPEST_OF_SCHEMES: u8 = 30;
const ALIKE: f64 = 1e-6;
/// Longest template, and longest `levelValue`, in bytes.
const LONGEST_TEMPLATE: usize = 2048;
const LONGEST_LEVEL: usize = 256;
/// Members of a layer that say which tiles its template stands for.
const OF_TILES: [&str; 3] = ["tileInfo", "fullExtent", "subDomains"];

/// Digits of the mark of what a layer says of its tiles.
const MARK_DIGITS: usize = 8;

/// What a layer is grouped by: its template, and a mark of what the layer says of its tiles. Layers of which the map says the same share
/// a package, others do not.
pub(super) fn service_of(layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
    let url = template_of(layer, source)?.url;
    let json = source.web_map.layer_json(layer)?;
    let said = |key: &&str| json.get(*key).filter(|v| !v.is_null() && (*key != "subDomains" || has_sub_domain(&url)));
    let mut said: BTreeMap<&str, Value> = OF_TILES.iter().filter_map(|key| Some((*key, said(key)?.clone()))).collect();
    let deciding = layer.secrets.deciding();
    if !deciding.is_empty() {
        // Not what they are: a key of a task is written down.
        said.insert("parameters", json!(sha256_of(&serde_json::to_vec(&deciding).ok()?)));
    }
    if said.is_empty() {
        return Some(url);
    }
    let mark = sha256_of(&serde_json::to_vec(&said).ok()?);
    Some(format!("{url}#tiles-{}", mark.get(..MARK_DIGITS)?))
}

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
    ]
    .into_iter()
    .fold(with_sub_domain(url), |url, (other, own)| url.replace(other, own));
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    let row = if url.contains(ROW_FROM_SOUTH) { ROW_FROM_SOUTH } else { "{row}" };
    let is_whole = ["{level}", row, "{col}"].iter().all(|part| url.contains(part));
    if !is_http || !is_whole || url.len() > LONGEST_TEMPLATE {
        return None;
    }
    let sub_domains = json.as_object().map(sub_domains).unwrap_or_default();
    let is_complete = !has_sub_domain(&url) || !sub_domains.is_empty();
    is_complete.then_some(TileTemplate { url, sub_domains, ..TileTemplate::default() })
}

/// The scheme that a layer says, with the words by which its levels stand in urls.
fn read_scheme(title: &str, said: &Value) -> Result<(TileInfo, BTreeMap<u32, String>), String> {
    let wrong =
        |words: String| format!("the `tileInfo` of \"{title}\" cannot be understood: {words}; correct it in the map");
    let info: TileInfo = serde_json::from_value(said.clone()).map_err(|e| wrong(e.to_string()))?;
    let lods = said.get("lods").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if lods.len() > MOST_LEVELS {
        return Err(wrong(format!("it has {} levels, expected at most {MOST_LEVELS}", lods.len())));
    }
    let mut values = BTreeMap::new();
    for (lod, json) in info.lods.iter().zip(lods) {
        let value = match json.get("levelValue") {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(wrong(format!("the levelValue of level {} is neither text nor a number", lod.level))),
        };
        if value.len() > LONGEST_LEVEL {
            return Err(wrong(format!("a levelValue has {} bytes, expected at most {LONGEST_LEVEL}", value.len())));
        }
        if !value.is_empty() {
            values.insert(lod.level, value);
        }
    }
    Ok((info, values))
}

/// Why a template cannot be filled in a scheme; its rows can only be counted from the south where level n has 2ⁿ of them.
fn not_from_south(title: &str, template: &TileTemplate, info: &TileInfo) -> Option<String> {
    let web = web_mercator_scheme(info.cols, DEEPEST_OF_SCHEMES);
    let is_web = |lod: &Lod| {
        let same = web.lods.iter().find(|other| other.level == lod.level);
        same.is_some_and(|other| (lod.resolution / other.resolution - 1.0).abs() < ALIKE)
    };
    let begins = (info.origin.x - web.origin.x).abs() < 1.0 && (info.origin.y - web.origin.y).abs() < 1.0;
    let is_web_scheme = begins && info.rows == info.cols && info.lods.iter().all(is_web);
    (template.url.contains(ROW_FROM_SOUTH) && !is_web_scheme).then(|| {
        format!("the template of \"{title}\" counts rows from the south ({{-y}}), and its scheme is not the web's; write it with {{y}}")
    })
}

/// What the map says of the layers of one template.
pub(super) fn describe(request: &ServiceRequest, mut template: TileTemplate) -> ServiceDescription<Option<TileSource>> {
    let first = request.layers.first();
    let json = first.and_then(|layer| request.layer_json(layer)).unwrap_or(&Value::Null);
    let is_osm = first.is_some_and(|layer| layer.layer_type.to_string() == "OpenStreetMap");
    let title = first.map(|layer| layer.title.clone()).unwrap_or_default();
    let said = |key: &str| json.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let attribution = said("copyright").map(str::to_owned).or_else(|| is_osm.then(|| OPEN_STREET_MAP_WORDS.to_owned()));
    let deepest = if is_osm { DEEPEST_OF_OPEN_STREET_MAP } else { DEEPEST };
    let scheme = json.get("tileInfo").filter(|info| info.is_object());
    let hosts = &request.parameters.direct_download_hosts;
    let found = match scheme.map(|said| read_scheme(&title, said)) {
        Some(Err(words)) => Err((CapabilityReason::Other, words)),
        Some(Ok((info, level_values))) => {
            template.level_values = level_values;
            Ok(info)
        }
        None => Ok(web_mercator_scheme(256, deepest)),
    };
    let found = found.and_then(|info| {
        let service = TiledService::of_template(&template.url, info, json.get("fullExtent"));
        let unsupported = spatial_reference_not_supported(&title, &service.tile_info.spatial_reference);
        if let Some(words) = unsupported {
            return Err((CapabilityReason::SpatialReferenceNotSupported, words));
        }
        if let Some(words) = not_from_south(&title, &template, &service.tile_info) {
            return Err((CapabilityReason::Other, words));
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

/// Why the hosts of a template are not downloaded from, where one forbids it.
fn forbidden(hosts: &DirectDownloadHosts, title: &str, template: &TileTemplate) -> Option<String> {
    hosts.refused_hosts(title, template.each_host().iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::TileId;
    use offmap_model::{OfflineMapParametersKey, WebMap};

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

    fn source_of(layers: Vec<Value>) -> OfflineMapSource {
        let map = json!({"operationalLayers": layers});
        OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
    }

    #[test]
    fn layers_share_a_package_only_where_the_map_says_the_same_of_their_tiles() {
        let scheme = |resolution: f64| {
            json!({"rows": 256, "cols": 256, "origin": {"x": 0, "y": 0}, "spatialReference": {"wkid": 2056},
                "lods": [{"level": 0, "resolution": resolution, "scale": 1}]})
        };
        let layer = |url: &str, more: Value| {
            let mut layer = json!({"layerType": "WebTiledLayer", "title": "T", "templateUrl": url});
            layer.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            layer
        };
        let (one, several) = ("https://h/{level}/{row}/{col}", "https://{subDomain}.h/{level}/{row}/{col}");
        let layers = vec![
            layer(one, json!({})),
            layer(one, json!({"subDomains": ["a"]})),
            layer(one, json!({"tileInfo": scheme(10.0)})),
            layer(one, json!({"tileInfo": scheme(10.0), "opacity": 0.5})),
            layer(one, json!({"tileInfo": scheme(20.0)})),
            layer(several, json!({"subDomains": ["a", "b"]})),
            layer(several, json!({"subDomains": ["c"]})),
            layer(&one.replace("h/", "h/A/"), json!({})),
            layer(&one.replace("h/", "h/a/"), json!({})),
            layer(one, json!({"customParameters": {"time": "2020", "apiKey": "0123456789abcdef"}})),
            layer(one, json!({"customParameters": {"TIME": "2020"}})),
            layer(one, json!({"customParameters": {"time": "2021"}})),
            layer(several, json!({"subDomains": ["d"]})),
            layer(&several.replace("{subDomain}", "{s}"), json!({"subDomains": ["d"]})),
        ];
        let count = layers.len();
        let source = source_of(layers);
        let of_layer = |layer: &MapLayer| {
            OfflineMapParametersKey::new(service_of(layer, &source).expect("a service"), "tileDownloadParameters")
        };
        let keys: Vec<_> = source.web_map.layers().iter().map(of_layer).collect();
        assert_eq!(keys[0].service_url, one, "nothing more is said");
        assert!(keys.iter().all(|key| !key.service_url.contains("2020") && !key.service_url.contains("0123456789abcdef")));
        for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
            let alike = [(0, 1), (2, 3), (9, 10), (12, 13)];
            assert_eq!(keys[a] == keys[b], alike.contains(&(a, b)), "{a} {b}: {} {}", keys[a], keys[b]);
        }
    }

    #[test]
    fn rows_are_counted_from_the_south_in_the_web_s_scheme_only() {
        let template = read_template(&json!({"templateUrl": "https://h/{z}/{x}/{-y}.png"})).expect("a template");
        for pixels in [256, 512] {
            assert_eq!(not_from_south("T", &template, &web_mercator_scheme(pixels, 20)), None);
        }
        let mut other = web_mercator_scheme(256, 5);
        other.lods[3].resolution *= 1.5;
        assert!(not_from_south("T", &template, &other).is_some_and(|words| words.contains("write it with {y}")));
        assert_eq!(not_from_south("T", &TileTemplate::new("https://h/{level}/{col}/{row}"), &other), None);
    }

    #[test]
    fn a_level_stands_in_urls_by_its_value_where_its_scheme_has_one() {
        let scheme = |value: Value| {
            json!({"rows": 256, "cols": 256, "origin": {"x": 0, "y": 0}, "spatialReference": {"wkid": 102_100},
                "lods": [{"level": 5, "levelValue": value, "resolution": 10, "scale": 1}, {"level": 6, "resolution": 5, "scale": 1}]})
        };
        let read = |value| read_scheme("T", &scheme(value)).map(|(_, values)| values.into_iter().collect::<Vec<_>>());
        assert_eq!(read(json!("EPSG:900913:5")), Ok(vec![(5, "EPSG:900913:5".to_owned())]));
        assert_eq!(read(json!(17)), Ok(vec![(5, "17".to_owned())]));
        assert_eq!(read(Value::Null), Ok(Vec::new()));
        for bad in [json!(["x"]), json!("x".repeat(300))] {
            assert!(read(bad).is_err_and(|words| words.contains("levelValue") && words.contains("correct it in the map")));
        }
        let mut many = scheme(Value::Null);
        let lods = (0..200).map(|level| json!({"level": level, "resolution": 10, "scale": 1}));
        many["lods"] = lods.collect();
        assert!(read_scheme("T", &many).is_err_and(|words| words.contains("200 levels, expected at most 100")));
    }
}
