//! Tile packages of raster tiles (`.tpkx`).
//!
//! Written after the tile reference §13.

use super::bundle::{Zip, put_tiles};
use super::cut::Cut;
use super::raster_tile;
use super::scheme::TileScheme;
use crate::data::Data;
use crate::draw::thumbnail;
use offmap_model::SpatialReference;
use serde_json::json;
use std::io;
use std::path::Path;

/// Writes a `.tpkx`.
pub(crate) fn write_tpkx(path: &Path, data: &Data, cut: &Cut, scheme: &TileScheme) -> io::Result<()> {
    let name = scheme.title;
    let mut zip = Zip::new(path)?;
    let (first, last) = (cut.levels.iter().min().copied().unwrap_or(0), cut.levels.iter().max().copied().unwrap_or(0));
    let root = json!({
        "name": name, "version": 1.0, "serviceDescription": "", "minLOD": first, "maxLOD": last, "minScale": 0, "maxScale": 0,
        "resampling": false, "spatialReference": SpatialReference::web_mercator(), "units": "esriMeters",
        "tileInfo": scheme.tile_info(), "tileImageInfo": {"format": "PNG32", "compressionQuality": 0},
        "storageInfo": {"storageFormat": "esriMapCacheStorageModeCompactV2", "packetSize": 128},
        "initialExtent": cut.web_mercator(), "fullExtent": cut.web_mercator(), "exportTilesAllowed": false, "layers": [],
    });
    // This key comes first: readers know the file by it.
    let root = format!("{{\"tileBundlesPath\":\"./tile\",{}", root.to_string().get(1..).unwrap_or_default());
    let guid = uuid::Uuid::new_v4().to_string().to_uppercase();
    let info = json!({
        "creator": "offmap sandbox", "name": name, "guid": guid, "version": 1.0, "created": 1_704_067_200_000_i64, "snippet": "",
        "description": "", "summary": "", "title": name, "tags": "sandbox", "type": "Compact Tile Package",
        "typeKeywords": ["Compact Tile Package", "Tile Package", "tpkx"], "thumbnail": "./thumbnail.png", "extent": cut.wgs84(),
    });
    zip.put_json("iteminfo.json", &info)?;
    zip.put("root.json", root.as_bytes())?;
    zip.put("thumbnail.png", &thumbnail(data, &cut.extent))?;
    put_tiles(&mut zip, "tile", cut, scheme, |level, row, column| {
        Some(raster_tile::tile(data, scheme, level, row, column))
    })?;
    zip.finish()
}
