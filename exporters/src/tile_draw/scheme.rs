//! The scheme that tiles are drawn in: that of the map's basemap, so that they lie on its tiles at its levels.
//!
//! | lowest layer of the basemap that has tiles | scheme |
//! | --- | --- |
//! | raster tiled service | its `tileInfo`, with the levels that it has |
//! | vector tiled service in Web Mercator | the web's with 256 pixels: a level has the scale of the vector tiles' one above |
//! | vector tiled service in another reference | its `tileInfo` |
//! | web tiled layer | its `tileInfo`, else the web's |
//! | none, or one that does not answer | the web's |

use crate::raster_service;
use crate::tile_service::{DESCRIPTION, MOST_LEVELS, TiledService};
use crate::vector_service;
use offmap_arcgis::body::expect_description;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_engine::ServiceRequest;
use offmap_formats::tiles::{TileInfo, web_mercator_scheme};
use offmap_model::{Failure, FailureStage, LayerType, MapLayer};
use serde_json::Value;

/// Pixels of a tile, and the deepest level, where nobody says.
const PIXELS: u32 = 256;
const DEEPEST: u8 = 22;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scheme {
    pub(super) info: TileInfo,
    /// Ids of the levels that are drawn at all.
    pub(super) levels: Vec<u32>,
    pub(super) warnings: Vec<String>,
}

impl Scheme {
    fn of_web(deepest: u8) -> Self {
        Self::of_info(web_mercator_scheme(PIXELS, deepest))
    }

    fn of_info(info: TileInfo) -> Self {
        let levels = info.lods.iter().map(|lod| lod.level).collect();
        Self { info, levels, warnings: Vec::new() }
    }

    fn of_service(service: &TiledService, is_vector: bool) -> Self {
        let levels: Vec<u32> = service.cached_levels().iter().map(|lod| lod.level).collect();
        if is_vector && service.tile_info.spatial_reference.is_web_mercator() {
            let deepest = levels.iter().max().map_or(DEEPEST, |deepest| u8::try_from(deepest + 1).unwrap_or(DEEPEST));
            return Self::of_web(deepest.min(DEEPEST));
        }
        Self { info: service.tile_info.clone(), levels, warnings: Vec::new() }
    }
}

/// The scheme of a map. A basemap that does not answer costs its levels, and nothing else.
pub(super) async fn of_map(client: &ArcGisClient, request: &ServiceRequest) -> Result<Scheme, Failure> {
    let map = &request.source.web_map;
    let mut warnings = Vec::new();
    for layer in map.layers().iter().filter(|layer| layer.place.is_basemap()) {
        match of_layer(client, request, layer).await {
            Ok(Some(scheme)) => return Ok(Scheme { warnings, ..scheme }),
            Ok(None) => {}
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => warnings.push(format!(
                "the basemap layer \"{}\" does not say its tiling scheme, so tiles are drawn in that of the web: {}",
                layer.title, failure.message
            )),
        }
    }
    if let Some(other) = map.spatial_reference().filter(|sr| !sr.is_web_mercator()) {
        warnings.push(format!(
            "tiles are drawn in Web Mercator, because no basemap of the map, which is in {}, says a tiling scheme; give the map a tiled \
             basemap to have them drawn in its own",
            other.name()
        ));
    }
    Ok(Scheme { warnings, ..Scheme::of_web(DEEPEST) })
}

async fn of_layer(client: &ArcGisClient, request: &ServiceRequest, layer: &MapLayer) -> Result<Option<Scheme>, Failure> {
    let is_vector = layer.layer_type == LayerType::VectorTile;
    let root = match &layer.layer_type {
        LayerType::VectorTile => vector_service::service_of(layer, &request.source),
        LayerType::Other(kind) if kind == "OpenStreetMap" => return Ok(Some(Scheme::of_web(DEEPEST))),
        LayerType::Other(kind) if kind == "WebTiledLayer" || kind == "WMTS" => {
            let said = request.layer_json(layer).and_then(|json| json.get("tileInfo"));
            return Ok(Some(said.and_then(of_json).unwrap_or_else(|| Scheme::of_web(DEEPEST))));
        }
        _ => raster_service::service_of(layer),
    };
    let Some(root) = root else { return Ok(None) };
    let call = ServiceCall::get(&root)?.with_secrets(&layer.secrets).in_stage(FailureStage::Plan);
    let answer = client.json(&call.answer(AnswerKind::Description)).await?;
    expect_description(&answer, &root, "a tiled service", DESCRIPTION)?;
    if !is_vector && raster_service::not_tiled(&layer.title, &answer).is_some() {
        return Ok(None);
    }
    let service = TiledService::read(&root, &answer, &layer.secrets)?;
    Ok(Some(Scheme::of_service(&service, is_vector)))
}

/// A scheme as a map says it.
fn of_json(said: &Value) -> Option<Scheme> {
    let info: TileInfo = serde_json::from_value(said.clone()).ok()?;
    (!info.lods.is_empty() && info.lods.len() <= MOST_LEVELS).then(|| Scheme::of_info(info))
}
