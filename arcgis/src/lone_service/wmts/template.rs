//! Where the tiles of a layer are: a template with `{level}`, `{row}` and `{col}`.
//!
//! Source: OGC 07-057r7, §8.2.1.1 (KVP) and §10.2.1 (`ResourceURL`).

use super::capabilities::{Capabilities, Layer};
use crate::secret_query::without_pairs;
use crate::urls::parse_http;
use url::form_urlencoded::byte_serialize;

/// Formats that packages hold, best first.
const FORMATS: [&str; 6] = [
    "image/png",
    "image/jpeg",
    "image/jpg",
    "application/vnd.mapbox-vector-tile",
    "application/x-protobuf",
    "image/vnd.jpeg-png",
];

/// A template, and whether its tiles are vector tiles.
pub(super) fn of(capabilities: &Capabilities, layer: &Layer, set: &str, asked: &str) -> Result<(String, bool), String> {
    let offered: Vec<&str> =
        layer.formats.iter().map(String::as_str).chain(layer.resources.iter().map(|(f, _)| f.as_str())).collect();
    let plain = |format: &str| format.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = FORMATS.iter().find_map(|wanted| offered.iter().find(|offer| plain(offer) == *wanted));
    let Some(format) = format else {
        return Err(format!("has tiles as {} only, expected one of {}", offered.join(", "), FORMATS.join(", ")));
    };
    let is_vector = !format.starts_with("image/");
    let resource =
        layer.resources.iter().filter(|(of, _)| of == format).find_map(|(_, template)| filled(template, layer, set));
    if let Some(template) = resource {
        return Ok((template, is_vector));
    }
    // What says no place for it is asked where it was asked before.
    let at = capabilities.by_parameters.as_deref().unwrap_or(asked);
    Ok((with_parameters(at, layer, set, format)?, is_vector))
}

/// A template of the service, with all that is no place of a tile filled in; `None` where a place is not known.
fn filled(template: &str, layer: &Layer, set: &str) -> Option<String> {
    let mut rest = template;
    let mut url = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        url.push_str(before);
        match name.to_ascii_lowercase().as_str() {
            "tilematrix" => url.push_str("{level}"),
            "tilerow" => url.push_str("{row}"),
            "tilecol" => url.push_str("{col}"),
            "tilematrixset" => url.push_str(&in_path(set)),
            "style" => url.push_str(&in_path(&layer.style)),
            "layer" => url.push_str(&in_path(&layer.id)),
            other => {
                let dimension = layer.dimensions.iter().find(|(id, _)| id.eq_ignore_ascii_case(other))?;
                url.push_str(&in_path(&dimension.1));
            }
        }
        rest = behind;
    }
    url.push_str(rest);
    let has_all = ["{level}", "{row}", "{col}"].iter().all(|place| url.contains(place));
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    (has_all && is_http).then_some(url)
}

/// A value as a part of a path.
fn in_path(value: &str) -> String {
    byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20").replace("%3A", ":").replace("%2C", ",")
}

/// The question for a tile by parameters.
fn with_parameters(at: &str, layer: &Layer, set: &str, format: &str) -> Result<String, String> {
    let mut url = parse_http(at).map_err(|failure| failure.message)?;
    url.set_fragment(None);
    let mut parameters: Vec<(String, String)> = [
        ("SERVICE", "WMTS"),
        ("REQUEST", "GetTile"),
        ("VERSION", "1.0.0"),
        ("LAYER", &layer.id),
        ("STYLE", &layer.style),
        ("FORMAT", format),
        ("TILEMATRIXSET", set),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    parameters.extend(layer.dimensions.iter().cloned());
    let is_own = |name: &str| parameters.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    // Others, such as the name of a map or a key, stay; braces in them are no places of a template.
    let mut url = without_pairs(url, |name, _| is_own(name));
    let kept = url.query().map(|query| query.replace('{', "%7B").replace('}', "%7D"));
    url.set_query(kept.as_deref());
    url.query_pairs_mut().extend_pairs(parameters);
    Ok(format!("{url}&TILEMATRIX={{level}}&TILEROW={{row}}&TILECOL={{col}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Layer {
        Layer {
            id: "a b".to_owned(),
            style: "day".to_owned(),
            formats: vec!["image/webp".to_owned(), "image/jpeg".to_owned(), "image/png; mode=8bit".to_owned()],
            dimensions: vec![("Time".to_owned(), "2024-01-01".to_owned())],
            ..Layer::default()
        }
    }

    #[test]
    fn a_template_of_the_service_is_filled_with_all_but_the_places_of_tiles() {
        let mut layer = layer();
        layer.resources = vec![
            ("image/png; mode=8bit".to_owned(), "https://h/{Unknown}/{TileMatrix}/{TileRow}/{TileCol}".to_owned()),
            (
                "image/png; mode=8bit".to_owned(),
                "https://h/{Layer}/{style}/{Time}/{TileMatrixSet}/{TileMatrix}/{TileCol}/{TileRow}.png".to_owned(),
            ),
        ];
        let found = of(&Capabilities::default(), &layer, "EPSG:3857", "https://h/wmts").expect("a template");
        assert_eq!(found, ("https://h/a%20b/day/2024-01-01/EPSG:3857/{level}/{col}/{row}.png".to_owned(), false));
    }

    #[test]
    fn else_tiles_are_asked_for_by_parameters_and_others_stay() {
        let capabilities = Capabilities {
            by_parameters: Some("https://h/ows?map=/a.map&request=GetCapabilities".to_owned()),
            ..Capabilities::default()
        };
        let (template, _) = of(&capabilities, &layer(), "web", "https://other/").expect("a template");
        assert_eq!(
            template,
            "https://h/ows?map=/a.map&SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=a+b&STYLE=day&FORMAT=image%2Fpng%3B+mode%3D8bit\
             &TILEMATRIXSET=web&Time=2024-01-01&TILEMATRIX={level}&TILEROW={row}&TILECOL={col}"
        );
        let none = Layer { formats: vec!["image/webp".to_owned()], ..layer() };
        assert!(of(&capabilities, &none, "web", "https://other/").is_err_and(|words| words.contains("image/webp only")));
        let vector = Layer { formats: vec!["application/vnd.mapbox-vector-tile".to_owned()], ..layer() };
        assert!(of(&capabilities, &vector, "web", "https://other/").expect("a template").1);
    }
}
