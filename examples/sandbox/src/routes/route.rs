//! Finds who answers a call: the portal, a file, or the services.

use super::access::check_token;
use super::tile_path::tile_path;
use super::wms::wms;
use super::{portal, services};
use crate::answer::{Answer, Rest};
use crate::request::Call;
use crate::state::State;
use crate::tiles::{RASTER, raster_tile};
use offmap_engine::testing::JobFault;
use std::sync::Arc;

/// A tile of `{zoom}/{column}/{row}.png`.
fn xyz(state: &State, rest: &[&str]) -> Answer {
    let [zoom, column, row] = rest else { return Answer::NotFound };
    let row = row.trim_end_matches(".png");
    match tile_path(&[zoom, row, column]).filter(|(level, ..)| *level <= RASTER.max_lod) {
        Some((level, row, column)) => {
            Answer::Bytes("image/png", raster_tile::tile(&state.data, &RASTER, level, row, column))
        }
        None => Answer::NotFound,
    }
}

/// Answers a call. A fault of its job, if it starts one, is played when the job is polled.
pub(crate) fn route(state: &Arc<State>, call: &Call, fault: Option<JobFault>) -> Rest<Answer> {
    let parts: Vec<&str> = call.path.split('/').filter(|p| !p.is_empty()).collect();
    let (folder, rest) = parts.split_first().map_or(("", [].as_slice()), |(f, r)| (*f, r));
    let folder = folder.to_ascii_lowercase();
    match folder.as_str() {
        "portal" => {
            let open = ["generatetoken", "token", "info", "self", "rest", "sharing"];
            let last = rest.last().map(|l| l.to_ascii_lowercase()).unwrap_or_default();
            let signs_in = rest.iter().any(|part| part.eq_ignore_ascii_case("oauth2"));
            if !signs_in && !open.contains(&last.as_str()) {
                check_token(state, call)?;
            }
            portal::answer(state, call, rest)
        }
        // A file as any web server has it, for layers that are no ArcGIS service.
        "files" if rest == ["places.geojson"] => {
            Ok(Answer::Bytes("application/geo+json", include_bytes!("../../data/places.geojson").to_vec()))
        }
        // Pictures of a world map by zoom, column and row, as open tile servers have them.
        "xyz" => Ok(xyz(state, rest)),
        "wms" if rest.is_empty() => wms(call),
        // A web adaptor has another name for the same services.
        "arcgis" | "hosted" | "server" => services::answer(state, call, rest, fault),
        _ => Ok(Answer::NotFound),
    }
}
