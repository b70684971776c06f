//! Which layers are those of raster tiled services, and whether such a service has tiles, whichever way they come.

use offmap_model::{CapabilityReason, LayerType, MapLayer};
use serde_json::Value;

/// The service of a raster tiled layer.
pub(crate) fn service_of(layer: &MapLayer) -> Option<String> {
    let tiled = matches!(layer.layer_type, LayerType::TiledMapService | LayerType::TiledImageService);
    // A cached service that the map draws dynamically may still have tiles; whether it is one, the service says.
    let other = matches!(&layer.layer_type, LayerType::Other(word) if word == "ArcGISImageServiceLayer");
    let service = layer.service()?;
    let kind = service.kind();
    ((tiled || other) && matches!(kind.as_str(), "mapserver" | "imageserver")).then(|| service.root().to_owned())
}

/// Why a service of raster tiles has none to take, and what of it is needed where it has some.
pub(crate) fn not_tiled(title: &str, answer: &Value) -> Option<(CapabilityReason, String)> {
    let is_fused = answer.get("singleFusedMapCache").and_then(Value::as_bool).unwrap_or(false);
    let is_tiled = is_fused && answer.get("tileInfo").is_some_and(Value::is_object);
    let words = || {
        format!(
            "\"{title}\" draws on demand (no single fused cache), so it has no tiles to take offline; drawTiles has it draw them"
        )
    };
    (!is_tiled).then(|| (CapabilityReason::NotTiled, words()))
}
