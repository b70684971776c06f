//! The portal: items, web maps, and what it states about itself.

use super::sign_in;
use super::style_resource::style_resource;
use super::tokens::generate_token;
use crate::answer::{Answer, Rest, RestError};
use crate::draw::thumbnail;
use crate::ids::{AWKWARD_MAP, DETAIL_MAP, FIELD_MAP, FULL_MAP, HOSTED_MAP, MIXED_MAP, SERVICE_ITEM, STYLE_ITEM, USER};
use crate::maps::map_of;
use crate::request::Call;
use crate::state::State;
use offmap_model::Envelope;
use offmap_model::geometry::to_web_mercator;
use serde_json::{Value, json};

fn item_of(id: &str) -> Option<Value> {
    let (kind, title) = match id {
        FIELD_MAP => ("Web Map", "Field inspection"),
        HOSTED_MAP => ("Web Map", "Field inspection (hosted)"),
        MIXED_MAP => ("Web Map", "Field inspection with online layers"),
        FULL_MAP => ("Web Map", "Everything a map may hold"),
        AWKWARD_MAP => ("Web Map", "Layers that break a rule"),
        DETAIL_MAP => ("Web Map", "Every level anywhere"),
        SERVICE_ITEM => ("Feature Service", "Fieldwork"),
        STYLE_ITEM => ("Vector Tile Service", "Streets"),
        _ => return None,
    };
    let (attribution, terms) = match id {
        STYLE_ITEM => ("Streets by the sandbox", "<b>Not for navigation</b>"),
        _ => ("Natural Earth", "<b>Public domain</b>"),
    };
    Some(json!({
        "id": id, "owner": USER, "created": 1_704_067_200_000_i64, "modified": 1_704_153_600_000_i64, "title": title, "type": kind,
        "typeKeywords": ["Map", "Offline", "Web Map"], "description": "<p>Places to inspect &amp; the countries around them.</p>",
        "tags": ["inspection", "natural earth"], "snippet": "Places to inspect", "thumbnail": "thumbnail/map.png",
        "extent": [[-180.0, -85.0], [180.0, 85.0]], "spatialReference": null,
        "accessInformation": attribution, "licenseInfo": terms, "access": "public", "culture": "en-us",
    }))
}

fn not_found() -> RestError {
    RestError::new(400, "Item does not exist or is inaccessible.")
}

/// Answers below `/portal`. `rest` is the path after it in parts.
pub(crate) fn answer(state: &State, call: &Call, rest: &[&str]) -> Rest<Answer> {
    let lower: Vec<String> = rest.iter().map(|p| p.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match lower.as_slice() {
        ["sharing", "rest", "generatetoken"] => generate_token(state, call),
        ["sharing", "rest", "oauth2", what] | ["sharing", "oauth2", what] => Ok(sign_in::answer(state, call, what)),
        ["sharing", "rest", "community", "self"] => sign_in::user(state, call),
        ["sharing", "rest", "community", "users", name] if *name == USER => Ok(sign_in::person()),
        ["sharing", "rest"] | ["sharing"] => {
            Ok(Answer::Json(json!({"currentVersion": "2026.3", "enterpriseVersion": "11.2"})))
        }
        ["sharing", "rest", "info"] | ["rest", "info"] | ["info"] => Ok(Answer::Json(json!({
            "owningSystemUrl": format!("{}/portal", state.base()), "currentVersion": 11.2,
            "authInfo": {"isTokenBasedSecurity": true, "tokenServicesUrl": format!("{}/portal/sharing/rest/generateToken", state.base())}}))),
        ["sharing", "rest", "portals", "self"] => Ok(Answer::Json(json!({
            "id": "0123456789ABCDEF", "name": "Sandbox", "isPortal": true, "portalName": "offmap sandbox", "currentVersion": "2026.3",
            "supportsHostedServices": true, "allSSL": state.options.tls, "user": {"username": USER, "role": "org_user", "privileges": []},
            "helperServices": {"packaging": {"exportTilesMap": export_tiles_map(state)}}}))),
        ["sharing", "rest", "content", "items", id, "data"] => {
            let map = map_of(state, id);
            map.map(Answer::Json).ok_or_else(not_found)
        }
        ["sharing", "rest", "content", "items", _, "info", "thumbnail", _] => {
            let ([xmin, ymin], [xmax, ymax]) = (to_web_mercator([-12.0, 36.0]), to_web_mercator([30.0, 58.0]));
            let europe = Envelope { xmin, ymin, xmax, ymax, spatial_reference: None };
            Ok(Answer::Bytes("image/png", thumbnail(&state.data, &europe)))
        }
        ["sharing", "rest", "content", "items", id, "resources", kind, ..] if *id == STYLE_ITEM => {
            let name = rest.get(7..).unwrap_or_default().join("/");
            style_resource(state, &format!("{}/hosted/rest/services/Streets/VectorTileServer", state.base()), kind, &name)
        }
        ["sharing", "rest", "content", "items", id] => item_of(id).map(Answer::Json).ok_or_else(not_found),
        _ => Ok(Answer::NotFound),
    }
}

/// The hosts that export for others: with scheme and port, as a portal that is no ArcGIS Online has them.
fn export_tiles_map(state: &State) -> Vec<Value> {
    state.twin().map(|twin| json!({"source": state.base(), "export": format!("{twin}/")})).into_iter().collect()
}
