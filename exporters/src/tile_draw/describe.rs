//! Asks what a service draws, and in which way the map wants it.

use super::arcgis_picture::{draws, format_of, largest};
use super::axis_order::is_north_first;
use super::drawing::Drawing;
use super::frame::FrameSize;
use super::image_service::ImageDrawing;
use super::layer::DrawnLayer;
use super::map_service;
use super::scheme::{self, Scheme};
use super::source::DrawSource;
use super::wms_capabilities::{Capabilities, LARGEST};
use super::wms_drawing::{WmsDrawing, WmsVersion, sent_to_wms};
use crate::tile_service::{DESCRIPTION, TiledService, spatial_reference_not_supported, text, title_of};
use offmap_arcgis::body::expect_description;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_disk::run_blocking;
use offmap_engine::{ServiceDescription, ServiceRequest};
use offmap_formats::tiles::levels_in_range;
use offmap_model::{
    AreaOfInterest, Capability, CapabilityReason, Envelope, Failure, FailureKind, FailureOwner, FailureStage, MapLayer,
    SpatialReference, number,
};
use serde_json::Value;
use std::collections::HashMap;

/// Dots of an inch that scales of tiling schemes count with.
const DPI: u32 = 96;
/// Most layers of a WMS in one request: their names are in its url.
const MOST_NAMES: usize = 1_000;
/// Media types of pictures, those with a transparent background first.
const MEDIA_TYPES: [&str; 6] =
    ["image/png", "image/png; mode=24bit", "image/png24", "image/png8", "image/png; mode=8bit", "image/jpeg"];

/// What a service says.
struct Answer {
    title: String,
    attribution: Option<String>,
    extent: Option<Envelope>,
    /// Far and near limit of what it draws.
    scales: (f64, f64),
    largest: (Option<u32>, Option<u32>),
    drawing: Result<(Drawing, Vec<String>), Refused>,
}

type Refused = (CapabilityReason, String);

/// Asks the service of a layer.
pub(super) async fn describe(
    client: &ArcGisClient,
    request: &ServiceRequest,
    layer: &MapLayer,
) -> Result<ServiceDescription<Option<DrawSource>>, Failure> {
    let scheme = scheme::of_map(client, request).await?;
    let json = request.layer_json(layer).unwrap_or(&Value::Null);
    let answer = match DrawnLayer::of(layer, Some(json)) {
        Some(DrawnLayer::Map(root)) => ask_map(client, layer, &root, json).await?,
        Some(DrawnLayer::Image(root)) => ask_image(client, layer, &root, json).await?,
        Some(DrawnLayer::Wms(url)) => ask_wms(client, layer, (&url, json), &scheme.info.spatial_reference).await?,
        None => return Err(Failure::internal("a layer is to be drawn that cannot be")),
    };
    let (title, attribution) = (answer.title.clone(), answer.attribution.clone());
    let found = source_of(request, answer, scheme);
    let (source, capability) = match found {
        Ok(source) => (Some(source), Capability::Supported),
        Err((reason, words)) => (None, Capability::refused(reason, words)),
    };
    let extent = source.as_ref().and_then(|source| source.service.extent_in());
    let capabilities = vec![(layer.id.clone(), capability)];
    Ok(ServiceDescription::new(title, source, capabilities).with_extent(extent).with_attribution(attribution))
}

/// What is drawn, in which scheme; else why nothing is.
fn source_of(request: &ServiceRequest, answer: Answer, scheme: Scheme) -> Result<DrawSource, Refused> {
    use CapabilityReason::{DirectDownloadForbidden, NoLevelInRange, Other, SpatialReferenceNotSupported};
    let Answer { title, attribution, extent, scales, largest, drawing } = answer;
    let (drawing, of_drawing) = drawing?;
    if let Some(words) = spatial_reference_not_supported(&title, &scheme.info.spatial_reference) {
        return Err((SpatialReferenceNotSupported, words));
    }
    if let Some(words) = request.parameters.direct_download_hosts.refused(&title, &drawing.url()) {
        return Err((DirectDownloadForbidden, words));
    }
    let size = FrameSize::of(&scheme.info, largest).map_err(|most| {
        let (width, height) = (scheme.info.cols, scheme.info.rows);
        let words = format!("\"{title}\" draws pictures of at most {most} pixels, and a tile has {width} × {height}");
        (Other, format!("{words}; its owner can allow larger ones (maxImageWidth, maxImageHeight)"))
    })?;
    let visible = levels_in_range(&scheme.info.lods, scales.0, scales.1);
    let drawn = |id: &&u32| visible.iter().any(|lod| lod.level == **id);
    let levels: Vec<u32> = scheme.levels.iter().filter(drawn).copied().collect();
    let (Some(first), Some(last)) = (levels.iter().min(), levels.iter().max()) else {
        let words = format!("\"{title}\" draws nothing at the scales of the map's tiles (1:{} to 1:{})", scales.0, scales.1);
        return Err((NoLevelInRange, format!("{words}; give the map a basemap with levels in between")));
    };
    let url = drawing.url();
    let mut service = TiledService::of_template(&url, scheme.info, None);
    service.tile_info.format = Some("PNG32".to_owned());
    (service.min_lod, service.max_lod) = (Some(*first), Some(*last));
    // An extent that cannot be projected cuts nothing off.
    let to = service.tile_info.spatial_reference.clone();
    let projected = extent.and_then(|extent| AreaOfInterest::from(extent).project(&to).ok()?.envelope());
    service.full_extent = projected;
    let warnings = of_drawing.into_iter().map(|words| format!("\"{title}\": {words}")).chain(scheme.warnings).collect();
    Ok(DrawSource { service, drawing, size, title, attribution, warnings })
}

async fn ask(client: &ArcGisClient, layer: &MapLayer, root: &str, what: &str) -> Result<Value, Failure> {
    let call = ServiceCall::get(root)?.with_secrets(&layer.secrets).in_stage(FailureStage::Plan);
    let answer = client.json(&call.answer(AnswerKind::Description)).await?;
    expect_description(&answer, root, what, DESCRIPTION)?;
    Ok(answer)
}

/// What map and image services say alike.
fn answer_of(root: &str, answer: &Value) -> Answer {
    let extent = ["fullExtent", "extent"].iter().find_map(|key| {
        let extent: Envelope = serde_json::from_value(answer.get(*key)?.clone()).ok()?;
        let sides = [extent.xmin, extent.ymin, extent.xmax, extent.ymax];
        let has_area = sides.iter().all(|n| n.is_finite()) && extent.xmax > extent.xmin && extent.ymax > extent.ymin;
        (has_area && extent.spatial_reference.is_some()).then_some(extent)
    });
    let scale = |key: &str| answer.get(key).and_then(number::read::<f64>).filter(|s| s.is_finite()).unwrap_or(0.0);
    Answer {
        title: title_of(root, answer),
        attribution: text(answer, "copyrightText"),
        extent,
        scales: (scale("minScale"), scale("maxScale")),
        largest: largest(answer),
        drawing: Err((CapabilityReason::Other, String::new())),
    }
}

async fn ask_map(client: &ArcGisClient, layer: &MapLayer, root: &str, json: &Value) -> Result<Answer, Failure> {
    let said = ask(client, layer, root, "a map service").await?;
    let mut answer = answer_of(root, &said);
    let drawing = draws(&said, "Map")
        .and_then(|()| format_of(&said))
        .and_then(|format| map_service::drawing((root, format), DPI, json, &said));
    let title = &answer.title;
    answer.drawing = match drawing {
        Ok((drawing, warnings)) => Ok((Drawing::Map(drawing), warnings)),
        Err(words) => Err((CapabilityReason::Other, format!("\"{title}\" {words}"))),
    };
    Ok(answer)
}

async fn ask_image(client: &ArcGisClient, layer: &MapLayer, root: &str, json: &Value) -> Result<Answer, Failure> {
    let said = ask(client, layer, root, "an image service").await?;
    let mut answer = answer_of(root, &said);
    let format = draws(&said, "Image").and_then(|()| format_of(&said));
    let title = &answer.title;
    let has_renderer = json.pointer("/layerDefinition/drawingInfo").is_some_and(Value::is_object);
    let own = "the map draws it by a renderer of its own (layerDefinition), and the service draws it its own way";
    answer.drawing = match format {
        Ok(format) => {
            let drawing = ImageDrawing::new(root, format, json, layer.definition_expression.as_deref());
            Ok((Drawing::Image(drawing), has_renderer.then(|| own.to_owned()).into_iter().collect()))
        }
        Err(words) => Err((CapabilityReason::Other, format!("\"{title}\" {words}"))),
    };
    Ok(answer)
}

/// Names of the layers of a WMS that the map has visible, the lowest first; `None` where it names none at all.
fn wms_layers(json: &Value) -> Option<Vec<String>> {
    let list = |key: &str| json.get(key).and_then(Value::as_array).map(Vec::as_slice);
    let name = |value: &Value| value.as_str().map(str::to_owned).filter(|name| !name.is_empty());
    let of_map = list("layers").unwrap_or_default();
    let named: Vec<String> = of_map.iter().filter_map(|layer| name(layer.get("name")?)).collect();
    if let Some(visible) = list("visibleLayers") {
        // They are a set; the order of drawing is that of the map's layers, those that it does not have on top.
        let mut visible: Vec<String> = visible.iter().filter_map(name).collect();
        let places: HashMap<&str, usize> = named.iter().enumerate().rev().map(|(at, name)| (name.as_str(), at)).collect();
        visible.sort_by_key(|name| places.get(name.as_str()).copied().unwrap_or(usize::MAX));
        return Some(visible);
    }
    (!named.is_empty()).then_some(named)
}

/// The names by which a WMS may offer a spatial reference, the usual one first.
fn crs_names(to: &SpatialReference) -> Vec<String> {
    let codes: Vec<String> = match to {
        _ if to.is_web_mercator() => ["3857", "102100", "900913", "102113"].map(str::to_owned).to_vec(),
        _ if to.is_wgs84() => vec!["4326".to_owned()],
        _ => [to.latest_wkid, to.wkid].into_iter().flatten().map(|id| id.to_string()).collect(),
    };
    let mut names: Vec<String> = codes.into_iter().map(|code| format!("EPSG:{code}")).collect();
    if to.is_wgs84() {
        names.push("CRS:84".to_owned());
    }
    names
}

async fn ask_wms(
    client: &ArcGisClient,
    layer: &MapLayer,
    (url, json): (&str, &Value),
    to: &SpatialReference,
) -> Result<Answer, Failure> {
    let said = json.get("version").and_then(Value::as_str).and_then(WmsVersion::read).unwrap_or(WmsVersion::V130);
    let secrets = sent_to_wms(&layer.secrets.of_service());
    let call = ServiceCall::get(url)?.with_secrets_in_url(&secrets).in_stage(FailureStage::Plan);
    let call = call.with("SERVICE", "WMS").with("REQUEST", "GetCapabilities").with("VERSION", said.word());
    let wrong = |kind, words: String| {
        Failure::new(FailureOwner::Source, kind, FailureStage::Plan, format!("{url} does not answer like a WMS: {words}"))
            .with_url(url)
    };
    let bytes = client.bytes(&call, LARGEST).await?;
    let bytes = bytes.ok_or_else(|| wrong(FailureKind::NotFound, "there is nothing (404)".to_owned()))?;
    let (layer, json, to) = (layer.clone(), json.clone(), to.clone());
    let asked = url.to_owned();
    let judged = run_blocking(move || Ok(wms_answer(&bytes, &layer, (&asked, &json), &to))).await?;
    judged.map_err(|(kind, words)| wrong(kind, words))
}

/// What the capabilities of a WMS say of a layer of a map. Blocks: they may have very many layers.
fn wms_answer(
    bytes: &[u8],
    layer: &MapLayer,
    (url, json): (&str, &Value),
    to: &SpatialReference,
) -> Result<Answer, (FailureKind, String)> {
    let capabilities = Capabilities::read(bytes).map_err(|words| (FailureKind::InvalidAnswer, words))?;
    let names = wms_layers(json).unwrap_or_else(|| capabilities.top_names());
    if names.len() > MOST_NAMES {
        let found = format!("the map has {} layers of it visible, expected at most {MOST_NAMES}", names.len());
        return Err((FailureKind::LimitExceeded, found));
    }
    let title = capabilities.title.clone().unwrap_or_else(|| layer.title.clone());
    let drawing = wms_drawing(&capabilities, (url, &title), names.clone(), to);
    let sides = capabilities.extent(&names).filter(|[west, south, east, north]| west < east && south < north);
    let extent = sides.map(|[west, south, east, north]| {
        // Poles lie at no finite place of Web Mercator.
        Envelope::new(west, south.max(-90.0), east, north.min(90.0), SpatialReference::wgs84())
    });
    let attribution = capabilities.attribution(&names).or_else(|| text(json, "copyright"));
    Ok(Answer {
        title,
        attribution,
        extent,
        scales: (0.0, 0.0),
        largest: capabilities.largest,
        drawing: drawing.map(|drawing| (Drawing::Wms(drawing), Vec::new())),
    })
}

fn wms_drawing(
    found: &Capabilities,
    (url, title): (&str, &str),
    layers: Vec<String>,
    to: &SpatialReference,
) -> Result<WmsDrawing, Refused> {
    let refused = |words: String| (CapabilityReason::Other, format!("\"{title}\" {words}"));
    let version = found.version.ok_or_else(|| refused("is a WMS of a version that is not 1.1.1 or 1.3.0".to_owned()))?;
    if layers.is_empty() {
        return Err(refused("has no visible layer in the map; switch one on there (visibleLayers)".to_owned()));
    }
    found.check(&layers).map_err(refused)?;
    let crs = found.crs(&layers, &crs_names(to)).map_err(|offered| {
        let words = format!("draws in {}, and tiles of the map are in {}", offered.join(", "), to.name());
        (
            CapabilityReason::SpatialReferenceNotSupported,
            format!("\"{title}\" {words}; give the map a basemap in one of those"),
        )
    })?;
    let offers = |media: &&&str| found.formats.iter().any(|format| format.eq_ignore_ascii_case(media));
    let format = MEDIA_TYPES.iter().find(offers);
    let format = format.ok_or_else(|| refused(format!("draws {}, expected PNG or JPEG", found.formats.join(", "))))?;
    let epsg = crs.split_once(':').filter(|(authority, _)| authority.eq_ignore_ascii_case("EPSG"));
    let is_north_first = epsg.and_then(|(_, code)| code.parse().ok()).is_some_and(is_north_first);
    Ok(WmsDrawing { url: url.to_owned(), version, layers, crs, is_north_first, format: (*format).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_layers_of_a_wms_are_those_that_the_map_has_visible() {
        let layers = json!([{"name": "land"}, {"name": "roads"}, {"title": "a group"}]);
        let of = |json: Value| wms_layers(&json);
        let names = |of: &[&str]| Some(of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(json!({"layers": layers, "visibleLayers": ["roads"]})), names(&["roads"]));
        assert_eq!(of(json!({"layers": layers})), names(&["land", "roads"]));
        assert_eq!(of(json!({"layers": layers, "visibleLayers": []})), names(&[]));
        // The order of drawing is that of the map's layers; those that it does not have are on top, in their own.
        assert_eq!(
            of(json!({"layers": layers, "visibleLayers": ["towns", "roads", "land", "rivers"]})),
            names(&["land", "roads", "towns", "rivers"])
        );
        assert_eq!(of(json!({"layers": []})), None);
        assert_eq!(of(json!({})), None);
    }

    #[test]
    fn a_spatial_reference_is_asked_by_its_usual_name_first() {
        assert_eq!(crs_names(&SpatialReference::web_mercator())[0], "EPSG:3857");
        assert_eq!(crs_names(&SpatialReference::wgs84()), ["EPSG:4326", "CRS:84"]);
        assert_eq!(crs_names(&SpatialReference::from_wkid(2056)), ["EPSG:2056"]);
    }
}
