//! Vector tiles.

use super::style_resource::style_resource;
use super::tile_export::{export, exported_here, job};
use super::tile_path::tile_path;
use crate::answer::{Answer, Rest};
use crate::request::Call;
use crate::state::State;
use crate::tiles::{Cut, TileScheme, tilemap, tilemap_block, vector_root, vector_tile, write_vtpk};
use offmap_engine::testing::JobFault;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Levels of the full tilemap; deeper ones are asked for in blocks.
const FULL_TILEMAP_LEVELS: u32 = 4;

/// Answers a call to a service of vector tiles. `name` is the path of a resource as it was written.
pub(crate) fn vector(
    state: &Arc<State>,
    call: &Call,
    tail: &[&str],
    name: &str,
    scheme: &'static TileScheme,
    fault: Option<JobFault>,
) -> Rest<Answer> {
    let exists = |level: u32, row: u64, column: u64| {
        level <= scheme.max_lod
            && row < 1 << level
            && column < 1 << level
            && vector_tile::tile(&state.data, scheme, level, row, column).is_some()
    };
    match tail {
        [] => Ok(Answer::Json(exported_here(state, call, vector_root(scheme)))),
        ["tilemap", ..] if state.options.no_tilemaps => Ok(Answer::NotFound),
        ["tile", rest @ ..] => {
            let found = tile_path(rest).filter(|(level, ..)| *level <= scheme.max_lod);
            let tile = found.and_then(|(level, row, column)| vector_tile::tile(&state.data, scheme, level, row, column));
            Ok(tile.map_or(Answer::NotFound, |tile| Answer::Gzip("application/x-protobuf", tile)))
        }
        ["tilemap"] => {
            let levels = (0..=FULL_TILEMAP_LEVELS)
                .flat_map(|l| (0..1_u64 << l).flat_map(move |r| (0..1_u64 << l).map(move |c| (l, r, c))));
            let there: BTreeSet<(u32, u64, u64)> = levels.filter(|(l, r, c)| exists(*l, *r, *c)).collect();
            Ok(Answer::Json(json!({"index": tilemap(&there, 0, 0, 0)})))
        }
        ["tilemap", rest @ ..] => Ok(tilemap_block(rest, exists).map_or(Answer::NotFound, Answer::Json)),
        ["resources", "info", ..] => {
            Ok(Answer::Json(json!({"resourceInfo": ["../styles/root.json", "../sprites/sprite.json",
            "../sprites/sprite.png", "../sprites/sprite@2x.json", "../sprites/sprite@2x.png"]})))
        }
        ["resources", kind, ..] => style_resource(state, "../../", kind, name),
        ["exporttiles"] => {
            let write = |path: &Path, state: &State, cut: &Cut, scheme: &TileScheme| {
                write_vtpk(path, &state.data, &state.options, cut, scheme)
            };
            export(state, call, scheme, "vtpk", fault, write)
        }
        ["jobs", rest @ ..] => job(state, call, rest),
        _ => Ok(Answer::NotFound),
    }
}
