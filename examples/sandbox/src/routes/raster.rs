//! Raster tiles: map services and image services with a cache.

use super::tile_export::{export, exported_here, job};
use super::tile_path::tile_path;
use crate::answer::{Answer, Rest, RestError};
use crate::request::Call;
use crate::state::State;
use crate::tiles::{Cut, TileScheme, cut_of, raster_layer, raster_root, raster_tile, tilemap_block, write_tpkx};
use offmap_engine::testing::JobFault;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Answers a call to a service of raster tiles.
pub(crate) fn raster(
    state: &Arc<State>,
    call: &Call,
    tail: &[&str],
    scheme: &'static TileScheme,
    fault: Option<JobFault>,
) -> Rest<Answer> {
    let exists = |level: u32, row: u64, column: u64| level <= scheme.max_lod && row < 1 << level && column < 1 << level;
    match tail {
        [] => Ok(Answer::Json(exported_here(state, call, raster_root(scheme)))),
        ["0"] => Ok(Answer::Json(raster_layer())),
        ["layers"] => Ok(Answer::Json(json!({"layers": [raster_layer()], "tables": []}))),
        ["legend"] => {
            Ok(Answer::Json(json!({"layers": [{"layerId": 0, "layerName": "Countries", "layerType": "Feature Layer",
            "minScale": 0, "maxScale": 0, "legend": []}]})))
        }
        ["tile", rest @ ..] => Ok(match tile_path(rest).filter(|(level, ..)| *level <= scheme.max_lod) {
            Some((level, row, column)) => {
                Answer::Bytes("image/png", raster_tile::tile(&state.data, scheme, level, row, column))
            }
            None => Answer::NotFound,
        }),
        ["tilemap", ..] if state.options.no_tilemaps => Ok(Answer::NotFound),
        ["tilemap", rest @ ..] => Ok(tilemap_block(rest, exists).map_or(Answer::NotFound, Answer::Json)),
        ["exporttiles"] if state.exports(call) && !call.flag("tilePackage", false) => {
            Err(RestError::new(400, "Only tilePackage=true is offered here."))
        }
        ["exporttiles"] => {
            let write =
                |path: &Path, state: &State, cut: &Cut, scheme: &TileScheme| write_tpkx(path, &state.data, cut, scheme);
            export(state, call, scheme, "tpkx", fault, write)
        }
        ["estimateexporttilessize"] => {
            let count = cut_of(call, scheme)?.count(scheme);
            let json = json!({"totalSize": count * 8000, "totalTilesToExport": count});
            Ok(Answer::Json(json!({"jobStatus": "esriJobSucceeded", "paramName": "out_service_url", "value": json})))
        }
        // ArcGIS Server keeps a raster service's jobs below exportTiles, ArcGIS Online below the root.
        ["exporttiles", "jobs", rest @ ..] if !call.is_online() => job(state, call, rest),
        ["jobs", rest @ ..] if call.is_online() => job(state, call, rest),
        _ => Ok(Answer::NotFound),
    }
}
