//! Which levels of a tiled service follow from the parameters of a job and the layers' own ranges of scales.
//!
//! Source: tile reference §9.

use crate::tile_service::TiledService;
use offmap_engine::ServiceRequest;
use offmap_formats::tiles::{Lod, cut_to_layers, levels_in_range};
use offmap_model::Failure;

/// The levels of raster tiles between the far and the near limit.
pub(crate) fn raster_levels(service: &TiledService, title: &str, request: &ServiceRequest) -> Result<Vec<u32>, Failure> {
    let wanted = &request.parameters;
    let cached = service.cached_levels();
    let drawn = |l: &offmap_model::MapLayer| (l.min_scale.unwrap_or(0.0), l.max_scale.unwrap_or(0.0));
    let drawn: Vec<(f64, f64)> = request.layers.iter().map(drawn).collect();
    let (min_scale, max_scale) = cut_to_layers(wanted.min_scale, wanted.max_scale, &drawn);
    let chosen = match min_scale > 0.0 && max_scale > 0.0 && min_scale <= max_scale {
        true => Vec::new(),
        false => levels_in_range(&service.tile_info.lods, min_scale, max_scale),
    };
    let ids: Vec<u32> = cached.iter().map(|l| l.level).filter(|id| chosen.iter().any(|l| l.level == *id)).collect();
    if ids.is_empty() {
        let scale = |i: Option<&Lod>| i.map_or(0.0, |l| l.scale.round());
        return Err(Failure::invalid_parameter(format!(
            "no level of \"{title}\" lies between minScale {min_scale} and maxScale {max_scale}; it has tiles from 1:{} to 1:{}",
            scale(cached.first()),
            scale(cached.last()),
        )));
    }
    Ok(ids)
}

/// The deepest level of vector tiles down to the near limit. Vector tiles ignore the far limit: a package without level 0 cannot be
/// drawn when zoomed out.
pub(crate) fn vector_max_level(service: &TiledService, title: &str, request: &ServiceRequest) -> Result<u32, Failure> {
    let drawn: Vec<(f64, f64)> = request.layers.iter().map(|l| (0.0, l.max_scale.unwrap_or(0.0))).collect();
    let (_, max_scale) = cut_to_layers(0.0, request.parameters.max_scale, &drawn);
    let chosen = levels_in_range(&service.tile_info.lods, 0.0, max_scale);
    let cached = service.cached_levels();
    let max_level = cached.iter().map(|l| l.level).filter(|id| chosen.iter().any(|l| l.level == *id)).max();
    max_level.ok_or_else(|| {
        Failure::invalid_parameter(format!(
            "no level of \"{title}\" lies at or above maxScale {max_scale}; its levels with tiles are {:?}",
            cached.iter().map(|l| l.level).collect::<Vec<_>>()
        ))
    })
}
