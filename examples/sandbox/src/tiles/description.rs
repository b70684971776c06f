//! What the tiled services state about themselves.
//!
//! Written after the tile reference §3 to §5.

use super::scheme::TileScheme;
use crate::extent::world_extent;
use offmap_model::SpatialReference;
use serde_json::{Value, json};

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
