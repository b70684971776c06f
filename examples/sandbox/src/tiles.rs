//! The tiled services: a raster map and vector tiles, and what both say of themselves.
//!
//! Written after the tile reference §2 to §5.

use crate::feature::{Rest, RestError, world_extent};
use crate::package::Cut;
use crate::request::Call;
use offmap_model::geometry::WEB_MERCATOR_HALF;
use offmap_model::{AreaOfInterest, Envelope, Polygon, SpatialReference};
use serde_json::{Value, json};

/// A tiling scheme of the Web Mercator quadtree.
#[derive(Debug, Clone)]
pub(crate) struct TileScheme {
    /// Name of the service.
    pub(crate) title: &'static str,
    /// Whether every tile of the world is there and says its level, row and column.
    pub(crate) labelled: bool,
    pub(crate) pixels: u32,
    scale0: f64,
    levels: u32,
    /// Deepest level that has tiles; fewer than the scheme lists, as in real services.
    pub(crate) max_lod: u32,
    pub(crate) max_export: u64,
    format: &'static str,
}

/// The raster map.
pub(crate) const RASTER: TileScheme = TileScheme {
    title: "World",
    labelled: false,
    pixels: 256,
    scale0: 591_657_527.591_555,
    levels: 19,
    max_lod: 9,
    max_export: 100_000,
    format: "PNG32",
};
/// The vector tiles.
pub(crate) const VECTOR: TileScheme = TileScheme {
    title: "Streets",
    labelled: false,
    pixels: 512,
    scale0: 295_828_763.795_777_5,
    levels: 17,
    max_lod: 8,
    max_export: 10_000,
    format: "pbf",
};
/// A raster map of every level to 19, anywhere.
pub(crate) const DETAIL: TileScheme = TileScheme { title: "Detail", labelled: true, levels: 20, max_lod: 19, ..RASTER };
/// Vector tiles of every level to 19, anywhere.
pub(crate) const DETAIL_VECTOR: TileScheme =
    TileScheme { title: "DetailStreets", labelled: true, levels: 20, max_lod: 19, ..VECTOR };

impl TileScheme {
    pub(crate) fn tile_width(&self, level: u32) -> f64 {
        2.0 * WEB_MERCATOR_HALF / f64::from(level).exp2()
    }

    pub(crate) fn tile_info(&self) -> Value {
        let lod = |level: u32| {
            let part = f64::from(level).exp2();
            json!({"level": level, "resolution": 2.0 * WEB_MERCATOR_HALF / f64::from(self.pixels) / part, "scale": self.scale0 / part})
        };
        json!({"rows": self.pixels, "cols": self.pixels, "dpi": 96, "format": self.format, "compressionQuality": 0,
            "origin": {"x": -WEB_MERCATOR_HALF, "y": WEB_MERCATOR_HALF}, "spatialReference": SpatialReference::web_mercator(),
            "lods": (0..self.levels).map(lod).collect::<Vec<_>>()})
    }
}

/// `MapServer?f=json`.
pub(crate) fn raster_root(scheme: &TileScheme) -> Value {
    let name = scheme.title;
    json!({
        "currentVersion": 11.2, "serviceDescription": "", "mapName": name, "description": "",
        "copyrightText": "Natural Earth, public domain", "supportsDynamicLayers": false, "singleFusedMapCache": true,
        "spatialReference": SpatialReference::web_mercator(), "tileInfo": scheme.tile_info(),
        "storageInfo": {"storageFormat": "esriMapCacheStorageModeCompactV2", "packetSize": 128},
        "initialExtent": world_extent(), "fullExtent": world_extent(), "minScale": 0, "maxScale": 0, "minLOD": 0,
        "maxLOD": scheme.max_lod, "units": "esriMeters", "supportedImageFormatTypes": "PNG32,PNG24,PNG,JPG",
        "documentInfo": {"Title": name, "Author": "", "Comments": ""}, "capabilities": "Map,TilesOnly,Tilemap",
        "layers": [{"id": 0, "name": "Countries", "parentLayerId": -1, "defaultVisibility": true, "subLayerIds": null,
            "minScale": 0, "maxScale": 0}],
        "tables": [], "exportTilesAllowed": true, "maxExportTilesCount": scheme.max_export, "tileServers": [], "resampling": false,
    })
}

/// `MapServer/0?f=json`: a legend layer; it has no data to ask for.
pub(crate) fn raster_layer() -> Value {
    json!({"currentVersion": 11.2, "id": 0, "name": "Countries", "type": "Feature Layer", "description": "",
        "geometryType": "esriGeometryPolygon", "copyrightText": "Natural Earth, public domain", "parentLayer": null,
        "subLayers": [], "minScale": 0, "maxScale": 0, "defaultVisibility": true, "extent": world_extent(), "capabilities": "Map",
        "fields": []})
}

/// `VectorTileServer?f=json`.
pub(crate) fn vector_root(scheme: &TileScheme) -> Value {
    let name = scheme.title;
    json!({
        "currentVersion": 11.2, "name": name, "copyrightText": "Natural Earth, public domain", "capabilities": "TilesOnly,Tilemap",
        "type": "indexedVector", "tileMap": "tilemap", "defaultStyles": "resources/styles", "tiles": ["tile/{z}/{y}/{x}.pbf"],
        "exportTilesAllowed": true, "maxExportTilesCount": scheme.max_export, "initialExtent": world_extent(),
        "fullExtent": world_extent(), "minScale": 0, "maxScale": 0, "tileInfo": scheme.tile_info(), "maxzoom": scheme.levels - 1, "minLOD": 0,
        "maxLOD": scheme.max_lod,
        "resourceInfo": {"styleVersion": 8, "tileCompression": "gzip",
            "cacheInfo": {"storageInfo": {"packetSize": 128, "storageFormat": "compactV2"}}},
    })
}

fn parse_levels(text: &str) -> Option<Vec<u32>> {
    let mut levels = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        levels.extend(first..=last);
    }
    (!levels.is_empty()).then_some(levels)
}

fn to_polygon(value: Value) -> Option<Polygon> {
    let area: AreaOfInterest = serde_json::from_value(value).ok()?;
    Some(area.project(&SpatialReference::web_mercator()).ok()?.polygon())
}

/// What an `exportTiles` asks for.
pub(crate) fn cut_of(call: &Call, scheme: &TileScheme) -> Rest<Cut> {
    let bad =
        |words: &str| RestError { details: vec![words.to_owned()], ..RestError::new(400, "Unable to complete operation.") };
    if !call.text("exportBy").unwrap_or("levelId").eq_ignore_ascii_case("levelId") {
        return Err(bad("only exportBy=levelId is offered here"));
    }
    let levels = call.text("levels").and_then(parse_levels).ok_or_else(|| bad("'levels' parameter is invalid"))?;
    if levels.iter().any(|l| *l > scheme.max_lod) {
        return Err(bad("a level without tiles was asked for"));
    }
    let extent: Envelope = match call.text("exportExtent").or_else(|| call.text("extent")) {
        None | Some("DEFAULT") => serde_json::from_value(world_extent()).map_err(|_| bad("no extent"))?,
        Some(text) if text.trim_start().starts_with('{') => {
            let mut extent: Envelope = serde_json::from_str(text).map_err(|_| bad("'exportExtent' parameter is invalid"))?;
            // Without a reference the numbers are read in the service's own.
            extent.spatial_reference.get_or_insert_with(SpatialReference::web_mercator);
            let area = AreaOfInterest::Envelope(extent).project(&SpatialReference::web_mercator());
            area.ok().and_then(|a| a.envelope()).ok_or_else(|| bad("'exportExtent' parameter is invalid"))?
        }
        Some(text) => {
            let numbers: Vec<f64> = text.split(',').filter_map(|n| n.trim().parse().ok()).collect();
            let [xmin, ymin, xmax, ymax] = numbers.as_slice() else {
                return Err(bad("'exportExtent' parameter is invalid"));
            };
            Envelope::new(*xmin, *ymin, *xmax, *ymax, SpatialReference::web_mercator())
        }
    };
    let feature = call.json("areaOfInterest").and_then(|v| v.pointer("/features/0/geometry").cloned());
    let polygon = feature.or_else(|| call.json("polygon")).and_then(to_polygon);
    Ok(Cut { levels, extent, polygon, lost: 0 })
}
