//! One layer of a Web Map Tile Service, by the address of its capabilities, as a web tiled layer of a map.
//!
//! Of the sets of tile matrices that a layer has, `GoogleMapsCompatible` is taken first, then others of Web Mercator, then any that is a
//! scheme (see `scheme`). Dimensions have their defaults, the style is the default one.
//!
//! Source: OGC 07-057r7 (WMTS 1.0.0).

mod capabilities;
mod scheme;
mod template;
mod xml;

use super::level_scale::LevelScale;
use capabilities::{Capabilities, Layer, Link, TileMatrixSet};
use offmap_model::failure::without_secrets;
use offmap_model::{Envelope, Failure, FailureKind, FailureOwner, FailureStage};
use scheme::Scheme;
use serde_json::{Value, json};
use url::Url;

/// Most bytes of capabilities.
pub(super) const MOST_BYTES: usize = 32 << 20;
/// Layers and reasons that a message lists.
const MOST_LISTED: usize = 50;

/// A layer, as a map has it.
pub(super) struct WmtsLayer {
    pub(super) title: String,
    pub(super) layer: Value,
    pub(super) extent: Envelope,
    pub(super) levels: Vec<LevelScale>,
    pub(super) has_vector_tiles: bool,
}

/// The address of capabilities; `None` for one of something else. One that names the service and no request asks for them.
pub(super) fn capabilities_url(url: &Url) -> Option<Url> {
    let asked =
        |name: &str| url.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned());
    if url.path().to_ascii_lowercase().ends_with("wmtscapabilities.xml") {
        return Some(url.clone());
    }
    let is_wmts = asked("service").is_some_and(|service| service.eq_ignore_ascii_case("WMTS"));
    match asked("request") {
        Some(request) => (is_wmts && request.eq_ignore_ascii_case("GetCapabilities")).then(|| url.clone()),
        None if is_wmts => {
            let mut url = url.clone();
            url.query_pairs_mut().append_pair("REQUEST", "GetCapabilities");
            Some(url)
        }
        None => None,
    }
}

/// Reads the answer of `asked`. `wanted` is the identifier or title of a layer; a service with one layer needs none.
pub(super) fn read(bytes: &[u8], asked: &str, wanted: Option<&str>) -> Result<WmtsLayer, Failure> {
    let shown = without_secrets(asked);
    let source = |kind, message: String| Failure::new(FailureOwner::Source, kind, FailureStage::Plan, message);
    let found = Capabilities::read(bytes);
    let found = found.map_err(|why| source(FailureKind::InvalidAnswer, format!("the answer of {shown} {why}")))?;
    let layer = chosen(&found, wanted)?;
    let mut refused = Vec::new();
    for (link, set) in in_order(&found, layer) {
        match scheme::read(set, link, layer) {
            Ok(scheme) => {
                let (template, is_vector) = template::of(&found, layer, &set.id, asked).map_err(|why| {
                    Failure::not_supported(format!("layer `{}` of {shown} {why}", layer.id.escape_debug()))
                })?;
                return Ok(as_map_layer(&found, layer, scheme, (&template, is_vector)));
            }
            Err(why) => refused.push(format!("`{}` {why}", set.id.escape_debug())),
        }
    }
    let why = match refused.is_empty() {
        true => "it names none that the service describes".to_owned(),
        false => refused.into_iter().take(MOST_LISTED).collect::<Vec<_>>().join("; "),
    };
    Err(Failure::not_supported(format!(
        "layer `{}` of {shown} has no set of tile matrices with one corner, one size of tiles and a known reference system: {why}; take \
         another layer, or write a template of its tiles with {{z}}, {{x}} and {{y}}",
        layer.id.escape_debug()
    )))
}

fn chosen<'a>(found: &'a Capabilities, wanted: Option<&str>) -> Result<&'a Layer, Failure> {
    let named = |layer: &Layer| match layer.title == layer.id {
        true => format!("`{}`", layer.id.escape_debug()),
        false => format!("`{}` ({})", layer.id.escape_debug(), layer.title.escape_debug()),
    };
    let listed = || {
        let more = if found.layers.len() > MOST_LISTED { ", …" } else { "" };
        found.layers.iter().take(MOST_LISTED).map(named).collect::<Vec<_>>().join(", ") + more
    };
    let Some(wanted) = wanted.map(str::trim) else {
        return match found.layers.as_slice() {
            [] => Err(Failure::new(
                FailureOwner::Source,
                FailureKind::InvalidAnswer,
                FailureStage::Plan,
                format!("\"{}\" names no layers", found.title),
            )),
            [one] => Ok(one),
            all => Err(Failure::invalid_parameter(format!(
                "\"{}\" has {} layers: {}; name one by --layer",
                found.title,
                all.len(),
                listed()
            ))),
        };
    };
    let is_id = |layer: &&Layer| layer.id == wanted;
    let is_alike = |layer: &&Layer| layer.id.eq_ignore_ascii_case(wanted) || layer.title.eq_ignore_ascii_case(wanted);
    let one = found.layers.iter().find(is_id).or_else(|| found.layers.iter().find(is_alike));
    one.ok_or_else(|| {
        Failure::invalid_parameter(format!(
            "\"{}\" has no layer `{}`; there are: {}",
            found.title,
            wanted.escape_debug(),
            listed()
        ))
    })
}

/// The sets of a layer, the best first.
fn in_order<'a>(found: &'a Capabilities, layer: &'a Layer) -> Vec<(&'a Link, &'a TileMatrixSet)> {
    let described = |link: &'a Link| Some((link, found.sets.iter().find(|set| set.id == link.set)?));
    let mut all: Vec<_> = layer.links.iter().filter_map(described).collect();
    let is_web = |set: &TileMatrixSet| ["3857", "900913", "3785"].iter().any(|code| set.crs.ends_with(code));
    all.sort_by_key(|(_, set)| match () {
        () if set.id.to_ascii_lowercase().starts_with("googlemapscompatible") => 0,
        () if is_web(set) => 1,
        () => 2,
    });
    all
}

fn as_map_layer(found: &Capabilities, layer: &Layer, scheme: Scheme, (template, is_vector): (&str, bool)) -> WmtsLayer {
    let Scheme { levels, extent, mut tile_info } = scheme;
    if is_vector && let Some(info) = tile_info.as_object_mut() {
        info.insert("format".to_owned(), json!("pbf"));
    }
    let title: String = layer.title.chars().take(200).collect();
    let layer = json!({
        "id": "tiles",
        "title": title,
        "layerType": "WebTiledLayer",
        "templateUrl": template,
        "tileInfo": tile_info,
        "fullExtent": extent,
        "copyright": found.provider,
    });
    WmtsLayer { title, layer, extent, levels, has_vector_tiles: is_vector }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABILITIES: &str = r#"<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1">
      <ows:ServiceIdentification><ows:Title>Maps</ows:Title></ows:ServiceIdentification>
      <ows:ServiceProvider><ows:ProviderName>The office</ows:ProviderName></ows:ServiceProvider>
      <Contents>
        <Layer><ows:Title>Relief</ows:Title><ows:Identifier>relief</ows:Identifier>
          <Style><ows:Identifier>other</ows:Identifier></Style><Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>
          <Format>image/png</Format>
          <TileMatrixSetLink><TileMatrixSet>local</TileMatrixSet></TileMatrixSetLink>
          <TileMatrixSetLink><TileMatrixSet>GoogleMapsCompatible</TileMatrixSet>
            <TileMatrixSetLimits><TileMatrixLimits><TileMatrix>1</TileMatrix><MinTileRow>0</MinTileRow><MaxTileRow>0</MaxTileRow>
              <MinTileCol>1</MinTileCol><MaxTileCol>1</MaxTileCol></TileMatrixLimits></TileMatrixSetLimits></TileMatrixSetLink>
          <ResourceURL format="image/png" resourceType="tile" template="https://h/{style}/{TileMatrixSet}/{TileMatrix}/{TileRow}/{TileCol}.png"/>
        </Layer>
        <Layer><ows:Title>Plan</ows:Title><ows:Identifier>plan</ows:Identifier><Format>image/png</Format>
          <TileMatrixSetLink><TileMatrixSet>local</TileMatrixSet></TileMatrixSetLink></Layer>
        <TileMatrixSet><ows:Identifier>local</ows:Identifier><ows:SupportedCRS>urn:ogc:def:crs:X::local</ows:SupportedCRS></TileMatrixSet>
        <TileMatrixSet><ows:Identifier>GoogleMapsCompatible</ows:Identifier><ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>
          <TileMatrix><ows:Identifier>0</ows:Identifier><ScaleDenominator>559082264.0287178</ScaleDenominator>
            <TopLeftCorner>-20037508.3427892 20037508.3427892</TopLeftCorner><TileWidth>256</TileWidth><TileHeight>256</TileHeight>
            <MatrixWidth>1</MatrixWidth><MatrixHeight>1</MatrixHeight></TileMatrix>
          <TileMatrix><ows:Identifier>1</ows:Identifier><ScaleDenominator>279541132.0143589</ScaleDenominator>
            <TopLeftCorner>-20037508.3427892 20037508.3427892</TopLeftCorner><TileWidth>256</TileWidth><TileHeight>256</TileHeight>
            <MatrixWidth>2</MatrixWidth><MatrixHeight>2</MatrixHeight></TileMatrix>
        </TileMatrixSet>
      </Contents></Capabilities>"#;

    #[test]
    fn a_layer_is_a_web_tiled_layer_of_the_best_of_its_sets() {
        let found = read(CAPABILITIES.as_bytes(), "https://h/wmts", Some("RELIEF")).expect("a layer");
        assert_eq!(found.layer["templateUrl"], "https://h/default/GoogleMapsCompatible/{level}/{row}/{col}.png");
        assert_eq!((found.title.as_str(), &found.layer["copyright"]), ("Relief", &json!("The office")));
        assert_eq!(found.levels.iter().map(|l| l.level).collect::<Vec<_>>(), [0, 1]);
        // Only the quarter that the limits leave.
        assert!(found.extent.xmin.abs() < 1.0 && found.extent.ymin.abs() < 1.0, "{:?}", found.extent);
        // A coarser level that reaches further is not cut by a finer one.
        let world = "<TileMatrixLimits><TileMatrix>0</TileMatrix><MinTileRow>0</MinTileRow><MaxTileRow>0</MaxTileRow>\
            <MinTileCol>0</MinTileCol><MaxTileCol>0</MaxTileCol></TileMatrixLimits>";
        let both = CAPABILITIES.replace("<TileMatrixSetLimits>", &format!("<TileMatrixSetLimits>{world}"));
        let found = read(both.as_bytes(), "https://h/wmts", Some("relief")).expect("a layer");
        assert!(found.extent.xmin < -20_000_000.0 && found.extent.ymin < -20_000_000.0, "{:?}", found.extent);
    }

    #[test]
    fn what_cannot_be_chosen_or_read_is_refused_with_a_way_out() {
        let refused = |bytes: &[u8], layer| read(bytes, "https://h/wmts?token=abc", layer).err().expect("refused").message;
        let several = refused(CAPABILITIES.as_bytes(), None);
        assert!(several.contains("2 layers: `relief` (Relief), `plan` (Plan); name one by --layer"), "{several}");
        assert!(refused(CAPABILITIES.as_bytes(), Some("Road")).contains("no layer `Road`; there are: `relief`"));
        let local = refused(CAPABILITIES.as_bytes(), Some("plan"));
        assert!(local.contains("`local` is in `urn:ogc:def:crs:X::local`") && !local.contains("abc"), "{local}");
        let exception = b"<ows:ExceptionReport xmlns:ows='u'><ows:Exception><ows:ExceptionText>no key</ows:ExceptionText></ows:Exception></ows:ExceptionReport>";
        assert!(refused(exception, None).contains("is an exception: no key"));
        assert!(refused(b"<html></html>", None).contains("`html`, expected `Capabilities`"));
    }

    #[test]
    fn the_address_of_capabilities_is_known_by_its_words() {
        let of = |url: &str| capabilities_url(&Url::parse(url).expect("a url")).map(|url| url.to_string());
        for url in ["https://h/1.0.0/WMTSCapabilities.xml?k=1", "https://h/ows?service=wmts&request=getcapabilities"] {
            assert_eq!(of(url).as_deref(), Some(url));
        }
        assert_eq!(of("https://h/ows?SERVICE=WMTS").as_deref(), Some("https://h/ows?SERVICE=WMTS&REQUEST=GetCapabilities"));
        for url in
            ["https://h/ows?service=WMS&request=GetCapabilities", "https://h/ows?service=WMTS&request=GetTile", "https://h/"]
        {
            assert_eq!(of(url), None, "{url}");
        }
    }
}
