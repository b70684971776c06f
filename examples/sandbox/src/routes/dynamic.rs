//! Services that draw on demand: a map service without a cache, and an image service.
//!
//! Written after ArcGIS REST API, Export Map and Export Image.

use crate::answer::{Answer, Rest, RestError};
use crate::extent::world_extent;
use crate::pattern::{Corner, Pattern, drawn};
use crate::request::Call;
use offmap_model::{Envelope, SpatialReference};
use serde_json::{Value, json};

/// Largest sides of a picture, width and height.
const LARGEST_MAP: (u32, u32) = (4096, 4096);
const LARGEST_IMAGE: (u32, u32) = (700, 4100);

/// `MapServer?f=json` of the service `Dynamic`: a group with two layers, and a layer that is not visible by default.
pub(super) fn map_root() -> Value {
    let layer = |id: u32, parent: i32, children: Value, visible: bool| {
        json!({"id": id, "name": format!("Layer {id}"), "parentLayerId": parent, "subLayerIds": children, "defaultVisibility": visible,
            "minScale": 0, "maxScale": 0})
    };
    json!({
        "currentVersion": 11.2, "mapName": "Dynamic", "copyrightText": "Drawn by the sandbox", "supportsDynamicLayers": true,
        "singleFusedMapCache": false, "spatialReference": SpatialReference::web_mercator(), "fullExtent": world_extent(),
        "initialExtent": world_extent(), "minScale": 0, "maxScale": 0, "units": "esriMeters",
        "supportedImageFormatTypes": "PNG32,PNG24,PNG,JPG", "documentInfo": {"Title": "Dynamic"}, "capabilities": "Map,Query,Data",
        "maxImageHeight": LARGEST_MAP.1, "maxImageWidth": LARGEST_MAP.0, "exportTilesAllowed": false, "tables": [],
        "layers": [layer(0, -1, json!([1, 2]), true), layer(1, 0, Value::Null, true), layer(2, 0, Value::Null, true),
            layer(3, -1, Value::Null, false)],
    })
}

/// `ImageServer?f=json` of the service `Scenes`.
pub(super) fn image_root() -> Value {
    json!({
        "currentVersion": 11.2, "name": "Scenes", "copyrightText": "Drawn by the sandbox", "singleFusedMapCache": false,
        "spatialReference": SpatialReference::web_mercator(), "fullExtent": world_extent(), "extent": world_extent(),
        "capabilities": "Image,Metadata", "bandCount": 3, "pixelType": "U8", "minScale": 0, "maxScale": 0,
        "maxImageHeight": LARGEST_IMAGE.1, "maxImageWidth": LARGEST_IMAGE.0,
    })
}

/// `export` and `exportImage`.
pub(super) fn picture(call: &Call, pattern: Pattern) -> Rest<Answer> {
    let bad = |detail: String| RestError::with_detail(400, "Invalid or missing input parameters.", &detail);
    let numbers = |name: &str| -> Vec<f64> {
        call.text(name).map(|text| text.split(',').filter_map(|n| n.trim().parse().ok()).collect()).unwrap_or_default()
    };
    let [xmin, ymin, xmax, ymax] = numbers("bbox")[..] else { return Err(bad("'bbox' has not four numbers".to_owned())) };
    let is_web_mercator = |name: &str| matches!(call.text(name), Some("102100" | "3857"));
    if !is_web_mercator("bboxSR") || !is_web_mercator("imageSR") {
        return Err(bad("'bboxSR' and 'imageSR' are 102100 or 3857 here".to_owned()));
    }
    let [width, height] = numbers("size")[..] else { return Err(bad("'size' has not two numbers".to_owned())) };
    let (width, height) = (width as u32, height as u32);
    let largest = if pattern == Pattern::Image { LARGEST_IMAGE } else { LARGEST_MAP };
    if width == 0 || height == 0 || width > largest.0 || height > largest.1 {
        return Err(RestError::new(400, "The requested image exceeds the size limit."));
    }
    if call.text("f") != Some("image") || !call.text("format").is_some_and(|format| format.starts_with("png")) {
        return Err(bad("only f=image and PNG are offered here".to_owned()));
    }
    let transparent = pattern == Pattern::Image || call.flag("transparent", false);
    let envelope = Envelope { xmin, ymin, xmax, ymax, spatial_reference: None };
    Ok(Answer::Bytes("image/png", drawn(pattern, &envelope, Corner::WEB_MERCATOR, (width, height), transparent)))
}
