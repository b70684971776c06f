//! Answers below `/arcgis` (the dialect of ArcGIS Server) and `/hosted` (that of ArcGIS Online).

use super::access::{check_api_key, check_token};
use super::dynamic;
use super::feature::feature;
use super::output::output;
use super::raster::raster;
use super::tile_export::exported_here;
use super::vector::vector;
use crate::answer::{Answer, Rest, RestError};
use crate::pattern::Pattern;
use crate::request::Call;
use crate::state::State;
use crate::tiles::{DETAIL, DETAIL_VECTOR, RASTER, VECTOR, raster_root};
use offmap_engine::testing::JobFault;
use serde_json::{Value, json};
use std::sync::Arc;

/// What needs no token: the server itself, and the list of its services.
fn directory(state: &State, path: &[&str]) -> Option<Value> {
    match path {
        ["rest", "info"] => Some(json!({"currentVersion": 11.2, "fullVersion": "11.2.0",
            "owningSystemUrl": format!("{}/portal", state.base()),
            "authInfo": {"isTokenBasedSecurity": true, "tokenServicesUrl": format!("{}/portal/sharing/rest/generateToken", state.base())}})),
        ["rest", "services"] => {
            let mut all: Vec<Value> =
                state.services.iter().map(|s| json!({"name": s.name, "type": "FeatureServer"})).collect();
            all.extend([&RASTER, &DETAIL].map(|s| json!({"name": s.title, "type": "MapServer"})));
            all.extend([&VECTOR, &DETAIL_VECTOR].map(|s| json!({"name": s.title, "type": "VectorTileServer"})));
            Some(json!({"currentVersion": 11.2, "folders": [], "services": all}))
        }
        _ => None,
    }
}

/// A tiled map that cannot be exported.
fn no_export() -> Value {
    let mut root = raster_root(&RASTER);
    root["mapName"] = json!("NoExport");
    root["documentInfo"]["Title"] = json!("NoExport");
    root["exportTilesAllowed"] = json!(false);
    root
}

/// Answers a call. `rest` is the path behind the folder, in parts.
pub(crate) fn answer(state: &Arc<State>, call: &Call, rest: &[&str], fault: Option<JobFault>) -> Rest<Answer> {
    let lower: Vec<String> = rest.iter().map(|p| p.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    if let Some(json) = directory(state, &lower) {
        return Ok(Answer::Json(json));
    }
    check_token(state, call)?;
    check_api_key(state, call)?;
    match lower.as_slice() {
        ["rest", "directories", "arcgisoutput", ..] => {
            let name = rest.get(3..).unwrap_or_default().join("/");
            output(state, call, &name)
        }
        ["rest", "services", name, "featureserver", tail @ ..] => {
            let service = state.service(name).ok_or_else(|| RestError::new(404, "Service not found."))?;
            feature(state, service, call, tail, fault)
        }
        ["rest", "services", "noexport", "mapserver"] => Ok(Answer::Json(exported_here(state, call, no_export()))),
        ["rest", "services", "noexport", "mapserver", tail @ ..] => raster(state, call, tail, &RASTER, fault),
        ["rest", "services", name @ ("world" | "detail"), "mapserver", tail @ ..] => {
            let scheme = if *name == "detail" { &DETAIL } else { &RASTER };
            raster(state, call, tail, scheme, fault)
        }
        ["rest", "services", "dynamic", "mapserver"] => Ok(Answer::Json(dynamic::map_root())),
        ["rest", "services", "dynamic", "mapserver", "export"] => dynamic::picture(call, Pattern::Map),
        ["rest", "services", "scenes", "imageserver"] => Ok(Answer::Json(dynamic::image_root())),
        ["rest", "services", "scenes", "imageserver", "exportimage"] => dynamic::picture(call, Pattern::Image),
        ["rest", "services", "relief", "imageserver", tail @ ..] => raster(state, call, tail, &RASTER, fault),
        [
            "rest",
            "services",
            service @ ("streets" | "streetsreduced" | "noexportstreets" | "detailstreets"),
            "vectortileserver",
            tail @ ..,
        ] => {
            let name = rest.get(6..).unwrap_or_default().join("/");
            let scheme = if *service == "detailstreets" { &DETAIL_VECTOR } else { &VECTOR };
            vector(state, call, tail, &name, scheme, fault)
        }
        _ => Ok(Answer::NotFound),
    }
}
