//! The portal: items, web maps, tokens.

use crate::feature::{Rest, RestError};
use crate::maps::{AWKWARD_MAP, DETAIL_MAP, FIELD_MAP, FULL_MAP, HOSTED_MAP, MIXED_MAP, map_of};
use crate::request::Call;
use crate::server::check_token;
use crate::state::{Answer, State, lock};
use crate::{draw, vector};
use offmap_model::Envelope;
use offmap_model::geometry::to_web_mercator;
use serde_json::{Value, json};

/// User, password and OAuth application that the portal knows.
pub const USER: &str = "surveyor";
/// See [`USER`].
pub const PASSWORD: &str = "not-a-secret";
/// OAuth client id.
pub const CLIENT_ID: &str = "sandbox-app";
/// OAuth client secret.
pub const CLIENT_SECRET: &str = "sandbox-secret";

/// An item that is no web map.
pub const SERVICE_ITEM: &str = "f1e1d0a9000000000000000000000004";
/// A vector tile style.
pub const STYLE_ITEM: &str = "f1e1d0a9000000000000000000000005";

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
    RestError { details: Vec::new(), ..RestError::new(400, "Item does not exist or is inaccessible.") }
}

/// Answers below `/portal`. `rest` is the path after it in parts.
pub(crate) fn answer(state: &State, call: &Call, rest: &[&str]) -> Rest<Answer> {
    let lower: Vec<String> = rest.iter().map(|p| p.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match lower.as_slice() {
        ["sharing", "rest", "generatetoken"] => generate_token(state, call),
        ["sharing", "rest", "oauth2", "token"] => Ok(oauth_token(state, call)),
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
            Ok(Answer::Bytes("image/png", draw::map_picture(&state.data, &europe, 200, 133)))
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

/// Style, sprites and fonts, of the service or of the item.
pub(crate) fn style_resource(state: &State, source: &str, kind: &str, name: &str) -> Rest<Answer> {
    let ratio = if name.contains("@2x") { 2 } else { 1 };
    Ok(match (kind, name.rsplit_once('.')) {
        ("styles", _) => Answer::Json(vector::style(state.options.style.as_ref(), source)),
        ("sprites", Some((_, "png"))) => Answer::Bytes("image/png", draw::sprite(ratio)),
        ("sprites", Some((_, "json"))) => Answer::Json(vector::sprite_index(ratio)),
        ("fonts", Some((path, "pbf"))) => {
            let font = path.rsplit_once('/');
            let glyphs = font.and_then(|(font, range)| vector::glyphs(&state.options.fonts, font, range));
            glyphs.map_or(Answer::NotFound, |glyphs| Answer::Bytes("application/x-protobuf", glyphs))
        }
        _ => Answer::NotFound,
    })
}

fn generate_token(state: &State, call: &Call) -> Rest<Answer> {
    if let (Some(token), Some(server)) = (call.text("token"), call.text("serverurl")) {
        return server_token(state, call, token, server);
    }
    let known = call.text("username") == Some(USER) && call.text("password") == Some(PASSWORD);
    if call.method != "POST" || !known {
        let details = vec!["Invalid username or password.".to_owned()];
        return Err(RestError { details, ..RestError::new(400, "Unable to generate token.") });
    }
    let bound = call.text("client").is_some_and(|c| c == "referer");
    let (token, expires) = state.mint(call.text("referer").filter(|_| bound).map(str::to_owned), None);
    Ok(Answer::Json(json!({"token": token, "expires": expires, "ssl": state.options.tls})))
}

/// A token for a server of the portal, for who has one of the portal's.
fn server_token(state: &State, call: &Call, token: &str, server: &str) -> Rest<Answer> {
    check_token(state, call)?;
    let host = server.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if call.method != "POST" || host != state.federated() {
        let details = vec![format!("{server} is not federated with this portal.")];
        return Err(RestError { details, ..RestError::new(400, "Unable to generate token.") });
    }
    let referer = lock(&state.tokens).get(token).and_then(|t| t.referer.clone());
    let (token, expires) = state.mint(referer, Some(host.to_owned()));
    Ok(Answer::Json(json!({"token": token, "expires": expires, "ssl": state.options.tls})))
}

fn oauth_token(state: &State, call: &Call) -> Answer {
    if call.text("client_id") != Some(CLIENT_ID) || call.text("client_secret") != Some(CLIENT_SECRET) {
        return Answer::Json(json!({"error": {"code": 400, "error": "invalid_client_id",
            "error_description": "Invalid client_id", "message": "Invalid client_id", "details": []}}));
    }
    let (token, _) = state.mint(None, None);
    Answer::Json(json!({"access_token": token, "expires_in": state.options.token_life.as_secs()}))
}
