//! One handler for everything: reads the call, logs it, lets faults strike, checks the token, and finds who answers.

use crate::fault::Fault;
use crate::feature::{FeatureService, Rest, RestError};
use crate::package::{Cut, tilemap, write_tpkx, write_vtpk};
use crate::request::Call;
use crate::state::{Answer, JobKind, LoggedRequest, Look, State, lock};
use crate::tiles::{DETAIL, DETAIL_VECTOR, RASTER, TileScheme, VECTOR, cut_of, raster_layer, raster_root, vector_root};
use crate::{draw, portal, replica, vector};
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use offmap_engine::testing::{FaultAction, JobFault};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Levels of the full tilemap; deeper ones are asked for in blocks.
const FULL_TILEMAP_LEVELS: u32 = 4;

/// Answers every request to the services and the portal.
pub(crate) async fn handle(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    let call = Call::read(request).await;
    log(&state, &call);
    crate::colleague::edit(&state, &call.path);
    let action = too_many(&state).or_else(|| strike(&state, &call.path)).or_else(|| at_random(&state));
    let job_fault = match &action {
        Some(FaultAction::Job(fault)) => Some(fault.clone()),
        _ => None,
    };
    match action {
        Some(FaultAction::Job(_)) | None => {}
        Some(FaultAction::Delay(time)) => tokio::time::sleep(time).await,
        Some(action) => return act(&state, &call, action).await,
    }
    respond(&state, &call, job_fault).await
}

/// Answers requests to the storage, another host: presigned files that no token may come with.
pub(crate) async fn handle_storage(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    let call = Call::read(request).await;
    log(&state, &call);
    match strike(&state, &call.path).or_else(|| at_random(&state)) {
        Some(FaultAction::Delay(time)) => tokio::time::sleep(time).await,
        Some(action) => return act(&state, &call, action).await,
        None => {}
    }
    if call.token().is_some() || call.authorization.is_some() {
        return (StatusCode::BAD_REQUEST, "Only one auth mechanism allowed").into_response();
    }
    match call.path.strip_prefix("/presigned/").filter(|_| call.text("sig").is_some()) {
        Some(name) => file(&state.files.path().join(name), &call).await,
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

fn log(state: &State, call: &Call) {
    let logged = LoggedRequest {
        method: call.method.clone(),
        host: call.host.clone(),
        path: call.path.clone(),
        parameters: call.parameters.clone(),
        has_token: call.token().is_some(),
        range: call.range.clone(),
        at: state.began.elapsed(),
    };
    lock(&state.log).push(logged);
}

/// The answer to a request beyond what a second allows.
fn too_many(state: &State) -> Option<FaultAction> {
    let allowed = state.options.requests_per_second?;
    let now = state.began.elapsed().as_secs();
    let mut second = lock(&state.second);
    if second.0 != now {
        *second = (now, 0);
    }
    second.1 += 1;
    (second.1 > allowed).then(|| FaultAction::Status(429, "Too many requests".into(), Some(1)))
}

/// A fault of an unreliable network, by the number of the request and the seed.
fn at_random(state: &State) -> Option<FaultAction> {
    let (percent, seed) = state.options.unreliable?;
    let number = lock(&state.log).len() as u64;
    // SplitMix64.
    let mut z = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    if z % 100 >= u64::from(percent) {
        return None;
    }
    let error = |code: i64| FaultAction::Body(RestError::new(code, "Error performing query operation").json());
    Some(match (z >> 32) % 7 {
        0 => FaultAction::Reset,
        1 => FaultAction::Status(503, "Service Unavailable".into(), None),
        2 => FaultAction::Status(429, "Too many requests".into(), Some(0)),
        3 => FaultAction::Status(500, "Internal Server Error".into(), None),
        4 => FaultAction::Truncate(40),
        5 => error(500),
        _ => error(504),
    })
}

fn strike(state: &State, path: &str) -> Option<FaultAction> {
    lock(&state.faults).iter_mut().find_map(|fault: &mut Fault| fault.strike(path))
}

async fn respond(state: &Arc<State>, call: &Call, job_fault: Option<JobFault>) -> Response {
    let answer = {
        let (state, call) = (Arc::clone(state), call.clone());
        // Queries and tiles are work; they are kept off the async threads.
        let runtime = tokio::runtime::Handle::current();
        let work = tokio::task::spawn_blocking(move || {
            let _entered = runtime.enter();
            route(&state, &call, job_fault)
        });
        work.await.unwrap_or_else(|_| Err(RestError::new(500, "The sandbox panicked.")))
    };
    match answer {
        Ok(Answer::Json(json)) if state.options.sloppy => sloppy_response(echoed(state, call, json)),
        Ok(Answer::Json(json)) => json_response(&echoed(state, call, json)),
        Ok(Answer::Bytes(kind, bytes)) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Ok(Answer::File(path)) => file(&path, call).await,
        Ok(Answer::NotFound) if call.wants_html() => StatusCode::NOT_FOUND.into_response(),
        Ok(Answer::NotFound) => {
            (StatusCode::NOT_FOUND, RestError::new(404, "Not found.").json().to_string()).into_response()
        }
        // A failure is normally HTTP 200 with an error object.
        Err(error) => json_response(&echoed(state, call, error.json())),
    }
}

/// An answer of a service that repeats what only it was to see.
fn echoed(state: &State, call: &Call, mut json: Value) -> Value {
    let key = state.options.api_key.as_ref().and_then(|(name, _)| call.text(name).map(str::to_owned));
    let secrets: Vec<String> = call.token().into_iter().chain(key).collect();
    if !state.options.echo || secrets.is_empty() || call.path.starts_with("/portal") {
        return json;
    }
    for pointer in ["/copyrightText", "/error/message"] {
        if let Some(Value::String(text)) = json.pointer_mut(pointer) {
            text.push_str(&format!(" (asked with {})", secrets.join(" and ")));
        }
    }
    json
}

/// Whether the call carries the API key that the services want.
fn check_api_key(state: &State, call: &Call) -> Rest<()> {
    match &state.options.api_key {
        Some((name, value)) if call.text(name) != Some(value) => Err(RestError::new(403, "An API key is required.")),
        _ => Ok(()),
    }
}

fn json_response(json: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json;charset=UTF-8")], json.to_string()).into_response()
}

/// JSON as some servers write it.
fn sloppy_response(mut json: Value) -> Response {
    fn with_floats(value: &mut Value) {
        match value {
            Value::Object(map) => map.values_mut().for_each(with_floats),
            Value::Array(list) => list.iter_mut().for_each(with_floats),
            Value::Number(number) => *value = number.as_f64().map_or(Value::Null, Value::from),
            _ => {}
        }
    }
    with_floats(&mut json);
    ([(header::CONTENT_TYPE, "application/json;charset=UTF-8")], format!("\u{feff}{json}")).into_response()
}

/// A file with length, validator and ranges.
async fn file(path: &Path, call: &Call) -> Response {
    let Ok(bytes) = tokio::fs::read(path).await else {
        return (StatusCode::NOT_FOUND, "gone").into_response();
    };
    let tag =
        format!("\"{:x}\"", bytes.iter().fold(bytes.len() as u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(*b))));
    let all = bytes.len();
    let from = call.range.as_deref().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let same = call.if_range.as_deref().is_none_or(|t| t == tag);
    let mut response = match from.filter(|from| same && *from < all) {
        Some(from) => {
            let part = Bytes::from(bytes).slice(from..);
            let range = format!("bytes {from}-{}/{all}", all - 1);
            (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], part).into_response()
        }
        None => bytes.into_response(),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Plays a fault in place of, or on top of, the right answer.
async fn act(state: &Arc<State>, call: &Call, action: FaultAction) -> Response {
    match action {
        FaultAction::Status(status, body, retry_after) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, body).into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        FaultAction::Body(json) => json_response(&json),
        FaultAction::Html => {
            ([(header::CONTENT_TYPE, "text/html")], "<!DOCTYPE html><title>Sign in</title>").into_response()
        }
        FaultAction::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        FaultAction::RedirectWith(status, to) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND), [(header::LOCATION, to)]).into_response()
        }
        FaultAction::Replace(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        FaultAction::Gzip(bytes) => {
            let kind = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_ENCODING, "gzip")];
            (kind, bytes).into_response()
        }
        FaultAction::Reset => broken_body(Bytes::new(), None),
        FaultAction::Truncate(size) => {
            let (head, body) = right(state, call).await.into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let start = bytes.slice(..size.min(bytes.len()));
            let mut response = broken_body(start, Some(bytes.len()));
            // With the validator, so that the rest can be asked for.
            response.headers_mut().extend(head.headers);
            *response.status_mut() = head.status;
            response
        }
        FaultAction::Cut(size) => {
            let (bytes, _) = whole(state, call).await;
            let cut = bytes.slice(..size.min(bytes.len()));
            ([(header::CONTENT_TYPE, "application/octet-stream")], cut).into_response()
        }
        FaultAction::Grow(more) => {
            let (bytes, all) = whole(state, call).await;
            const CHUNK: u64 = 1 << 16;
            let zeros = (0..more.div_ceil(CHUNK)).map(move |i| Bytes::from(vec![0; (more - i * CHUNK).min(CHUNK) as usize]));
            let parts = std::iter::once(bytes).chain(zeros).map(Ok::<_, std::convert::Infallible>);
            let mut response = Response::new(Body::from_stream(futures_util::stream::iter(parts)));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(all as u64 + more));
            response
        }
        FaultAction::Drip(size, pause) => drip(state, call, size, pause).await,
        FaultAction::Delay(_) | FaultAction::Job(_) => respond(state, call, None).await,
    }
}

/// The right answer.
async fn right(state: &Arc<State>, call: &Call) -> Response {
    match call.path.strip_prefix("/presigned/") {
        Some(name) => file(&state.files.path().join(name), call).await,
        None => respond(state, call, None).await,
    }
}

/// The right answer, slowly.
async fn drip(state: &Arc<State>, call: &Call, size: usize, pause: Duration) -> Response {
    let (head, body) = right(state, call).await.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let length = HeaderValue::from(bytes.len());
    let pieces = futures_util::stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.max(1).min(rest.len()));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    });
    let mut response = Response::from_parts(head, Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

/// The right answer's body.
async fn whole(state: &Arc<State>, call: &Call) -> (Bytes, usize) {
    let response = right(state, call).await;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    let size = bytes.len();
    (bytes, size)
}

/// A body whose stream fails after `start`: the connection breaks.
fn broken_body(start: Bytes, announced: Option<usize>) -> Response {
    use futures_util::StreamExt as _;
    let start = futures_util::stream::once(std::future::ready(Ok(start)));
    // The start is sent off while the stream waits.
    let end = futures_util::stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("reset on request"))
    });
    let mut response = Response::new(Body::from_stream(start.chain(end)));
    if let Some(size) = announced {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    response
}

/// Whether the call may see what it asks for.
pub(crate) fn check_token(state: &State, call: &Call) -> Rest<()> {
    if !state.options.secured {
        return Ok(());
    }
    let token = call.token().ok_or_else(|| RestError::new(499, "Token Required"))?;
    let tokens = lock(&state.tokens);
    let invalid = || RestError::new(498, "Invalid token.");
    let known = tokens.get(&token).filter(|t| t.until > Instant::now()).ok_or_else(invalid)?;
    let is_federated = call.host == state.federated();
    if known.server.is_some() != is_federated {
        return Err(invalid());
    }
    match &known.referer {
        Some(referer) if call.referer.as_deref() != Some(referer) => Err(invalid()),
        _ => Ok(()),
    }
}

fn route(state: &Arc<State>, call: &Call, fault: Option<JobFault>) -> Rest<Answer> {
    let parts: Vec<&str> = call.path.split('/').filter(|p| !p.is_empty()).collect();
    let (folder, rest) = parts.split_first().map_or(("", [].as_slice()), |(f, r)| (*f, r));
    let folder = folder.to_ascii_lowercase();
    match folder.as_str() {
        "portal" => {
            let open = ["generatetoken", "token", "info", "self", "rest", "sharing"];
            let last = rest.last().map(|l| l.to_ascii_lowercase()).unwrap_or_default();
            if !open.contains(&last.as_str()) {
                check_token(state, call)?;
            }
            portal::answer(state, call, rest)
        }
        // A file as any web server has it, for layers that are no ArcGIS service.
        "files" if rest == ["places.geojson"] => {
            Ok(Answer::Bytes("application/geo+json", include_bytes!("../data/places.geojson").to_vec()))
        }
        // A web adaptor has another name for the same services.
        "arcgis" | "hosted" | "server" => services(state, call, rest, folder == "hosted", fault),
        _ => Ok(Answer::NotFound),
    }
}

/// Answers below `/arcgis` (the dialect of ArcGIS Server) and `/hosted` (that of ArcGIS Online).
fn services(state: &Arc<State>, call: &Call, rest: &[&str], online: bool, fault: Option<JobFault>) -> Rest<Answer> {
    let lower: Vec<String> = rest.iter().map(|p| p.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match lower.as_slice() {
        ["rest", "info"] => {
            return Ok(Answer::Json(json!({"currentVersion": 11.2, "fullVersion": "11.2.0",
                "owningSystemUrl": format!("{}/portal", state.base()),
                "authInfo": {"isTokenBasedSecurity": true, "tokenServicesUrl": format!("{}/portal/sharing/rest/generateToken", state.base())}})));
        }
        ["rest", "services"] => {
            let mut all: Vec<Value> =
                state.services.iter().map(|s| json!({"name": s.name, "type": "FeatureServer"})).collect();
            all.extend([&RASTER, &DETAIL].map(|s| json!({"name": s.title, "type": "MapServer"})));
            all.extend([&VECTOR, &DETAIL_VECTOR].map(|s| json!({"name": s.title, "type": "VectorTileServer"})));
            return Ok(Answer::Json(json!({"currentVersion": 11.2, "folders": [], "services": all})));
        }
        _ => {}
    }
    check_token(state, call)?;
    check_api_key(state, call)?;
    let folder = if online { "hosted" } else { "arcgis" };
    match lower.as_slice() {
        ["rest", "directories", "arcgisoutput", ..] => {
            let name = rest.get(3..).unwrap_or_default().join("/");
            output(state, call, &name)
        }
        ["rest", "services", name, "featureserver", tail @ ..] => {
            let found = state.services.iter().position(|s| s.name.eq_ignore_ascii_case(name));
            let index = found.ok_or_else(|| RestError::new(404, "Service not found."))?;
            let service = state.services.get(index).ok_or_else(|| RestError::new(404, "Service not found."))?;
            let url = format!("{}/{folder}/rest/services/{}/FeatureServer", state.named(call), service.name);
            match tail {
                ["createreplica"] => replica::create(state, index, call, &url, online, fault),
                ["createreplica" | "jobs", job] => replica::status(state, call, job),
                tail => feature(state, service, call, tail),
            }
        }
        ["rest", "services", "noexport", "mapserver"] => {
            let mut root = raster_root(&RASTER);
            root["mapName"] = json!("NoExport");
            root["documentInfo"]["Title"] = json!("NoExport");
            root["exportTilesAllowed"] = json!(false);
            Ok(Answer::Json(root))
        }
        ["rest", "services", name @ ("world" | "detail"), "mapserver", tail @ ..] => {
            let scheme = if *name == "detail" { &DETAIL } else { &RASTER };
            raster(state, call, tail, scheme, online, fault)
        }
        ["rest", "services", "relief", "imageserver", tail @ ..] => raster(state, call, tail, &RASTER, online, fault),
        ["rest", "services", service @ ("streets" | "streetsreduced" | "detailstreets"), "vectortileserver", tail @ ..] => {
            let name = rest.get(6..).unwrap_or_default().join("/");
            let scheme = if *service == "detailstreets" { &DETAIL_VECTOR } else { &VECTOR };
            vector_tiles(state, call, tail, &name, scheme, online, fault)
        }
        _ => Ok(Answer::NotFound),
    }
}

fn feature(state: &State, service: &FeatureService, call: &Call, tail: &[&str]) -> Rest<Answer> {
    let number = |text: &str| text.parse::<i64>().map_err(|_| RestError::new(404, "Not found."));
    let layer = |text: &str| text.parse::<u32>().map_err(|_| RestError::new(400, "Invalid URL"));
    match tail {
        [] => Ok(Answer::Json(service.description())),
        ["layers"] => {
            let of = |tables: bool| {
                let ids = service.layers.iter().filter(move |l| l.geometry.is_none() == tables).map(|l| l.id);
                ids.filter_map(|id| service.layer_description(id).ok()).collect::<Vec<_>>()
            };
            Ok(Answer::Json(json!({"layers": of(false), "tables": of(true)})))
        }
        ["replicas"] => Ok(replica::list(state, service)),
        ["unregisterreplica"] => replica::unregister(state, service, call),
        [id] => service.layer_description(layer(id)?).map(Answer::Json),
        [id, "query"] => service.query(layer(id)?, call).map(Answer::Json),
        [id, "queryrelatedrecords"] => service.related(layer(id)?, call).map(Answer::Json),
        [id, "queryattachments"] => service.query_attachments(layer(id)?, call).map(Answer::Json),
        [id, parent, "attachments"] => service.attachments(layer(id)?, number(parent)?).map(Answer::Json),
        [id, parent, "attachments", attachment] => {
            let bytes = service.attachment(layer(id)?, number(parent)?, number(attachment)?)?;
            Ok(Answer::Bytes("image/png", bytes))
        }
        _ => Ok(Answer::NotFound),
    }
}

/// A file of a finished job, or the folder that it is in.
fn output(state: &State, call: &Call, name: &str) -> Rest<Answer> {
    if name.contains("..") {
        return Ok(Answer::NotFound);
    }
    let path = state.files.path().join(name);
    if !path.is_dir() {
        return Ok(Answer::File(path));
    }
    let names =
        std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let files: Vec<Value> = names
        .map(|n| json!({"name": n, "url": format!("{}/arcgis/rest/directories/arcgisoutput/{name}/{n}", state.named(call))}))
        .collect();
    Ok(Answer::Json(json!({"folders": [], "files": files})))
}

fn tile_address(parts: &[&str]) -> Option<(u32, u64, u64)> {
    let [level, row, column] = parts else { return None };
    let column = column.split('.').next()?;
    let (level, row, column) = (level.parse().ok()?, row.parse().ok()?, column.parse().ok()?);
    let side = 1_u64.checked_shl(level)?;
    (row < side && column < side).then_some((level, row, column))
}

/// `tilemap/{level}/{row}/{col}/{w}/{h}`.
fn tilemap_block(parts: &[&str], exists: impl Fn(u32, u64, u64) -> bool) -> Option<Value> {
    let [level, top, left, width, height] = parts else { return None };
    let level: u32 = level.parse().ok()?;
    let (top, left): (u64, u64) = (top.parse().ok()?, left.parse().ok()?);
    let (width, height): (u64, u64) = (width.parse().ok()?, height.parse().ok()?);
    if width * height > 128 * 128 {
        return None;
    }
    let cells = (top..top + height).flat_map(|row| (left..left + width).map(move |column| (row, column)));
    let data: Vec<u8> = cells.map(|(row, column)| u8::from(exists(level, row, column))).collect();
    Some(json!({"adjusted": false, "location": {"left": left, "top": top, "width": width, "height": height}, "data": data}))
}

fn raster(
    state: &Arc<State>,
    call: &Call,
    tail: &[&str],
    scheme: &'static TileScheme,
    online: bool,
    fault: Option<JobFault>,
) -> Rest<Answer> {
    let within = |level: u32, row: u64, column: u64| level <= scheme.max_lod && row < 1 << level && column < 1 << level;
    match tail {
        [] => Ok(Answer::Json(exported_here(state, call, raster_root(scheme)))),
        ["0"] => Ok(Answer::Json(raster_layer())),
        ["layers"] => Ok(Answer::Json(json!({"layers": [raster_layer()], "tables": []}))),
        ["legend"] => {
            Ok(Answer::Json(json!({"layers": [{"layerId": 0, "layerName": "Countries", "layerType": "Feature Layer",
            "minScale": 0, "maxScale": 0, "legend": []}]})))
        }
        ["tile", rest @ ..] => Ok(match tile_address(rest).filter(|(level, ..)| *level <= scheme.max_lod) {
            Some((level, row, column)) => Answer::Bytes("image/png", draw::tile(&state.data, scheme, level, row, column)),
            None => Answer::NotFound,
        }),
        ["tilemap", rest @ ..] => Ok(tilemap_block(rest, within).map_or(Answer::NotFound, Answer::Json)),
        ["exporttiles"] if !state.exports(call) => Err(RestError::new(400, "Export tiles is not enabled on this service.")),
        ["exporttiles"] => {
            if !call.flag("tilePackage", false) {
                return Err(RestError::new(400, "Only tilePackage=true is offered here."));
            }
            let cut = Cut { lost: state.options.lost_tiles, ..cut_of(call, scheme)? };
            let count = cut.count(scheme);
            let build = move |state: &State, path: &Path| write_tpkx(path, &state.data, &cut, scheme);
            submit(state, &format!("{}.tpkx", scheme.title), count, scheme.max_export, online, fault, build)
        }
        ["estimateexporttilessize"] => {
            let count = cut_of(call, scheme)?.count(scheme);
            let json = json!({"totalSize": count * 8000, "totalTilesToExport": count});
            Ok(Answer::Json(json!({"jobStatus": "esriJobSucceeded", "paramName": "out_service_url", "value": json})))
        }
        // ArcGIS Server keeps a raster service's jobs below exportTiles, ArcGIS Online below the root.
        ["exporttiles", "jobs", rest @ ..] if !online => job(state, call, rest),
        ["jobs", rest @ ..] if online => job(state, call, rest),
        _ => Ok(Answer::NotFound),
    }
}

fn vector_tiles(
    state: &Arc<State>,
    call: &Call,
    tail: &[&str],
    name: &str,
    scheme: &'static TileScheme,
    online: bool,
    fault: Option<JobFault>,
) -> Rest<Answer> {
    let exists = |level: u32, row: u64, column: u64| {
        level <= scheme.max_lod
            && row < 1 << level
            && column < 1 << level
            && vector::tile(&state.data, scheme, level, row, column).is_some()
    };
    match tail {
        [] => Ok(Answer::Json(exported_here(state, call, vector_root(scheme)))),
        ["tile", rest @ ..] => {
            let found = tile_address(rest).filter(|(level, ..)| *level <= scheme.max_lod);
            let tile = found.and_then(|(level, row, column)| vector::tile(&state.data, scheme, level, row, column));
            Ok(match tile.and_then(|t| gunzip(&t)) {
                Some(tile) => Answer::Bytes("application/x-protobuf", tile),
                None => Answer::NotFound,
            })
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
        ["resources", kind, ..] => portal::style_resource(state, "../../", kind, name),
        ["exporttiles"] if !state.exports(call) => Err(RestError::new(400, "Export tiles is not enabled on this service.")),
        ["exporttiles"] => {
            let cut = Cut { lost: state.options.lost_tiles, ..cut_of(call, scheme)? };
            let count = cut.count(scheme);
            let build = move |state: &State, path: &Path| write_vtpk(path, state, &cut, scheme);
            submit(state, &format!("{}.vtpk", scheme.title), count, scheme.max_export, online, fault, build)
        }
        ["jobs", rest @ ..] => job(state, call, rest),
        _ => Ok(Answer::NotFound),
    }
}

/// A description that says whether the host that was asked exports.
fn exported_here(state: &State, call: &Call, mut root: Value) -> Value {
    root["exportTilesAllowed"] = json!(state.exports(call));
    root
}

fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut out).ok()?;
    Some(out)
}

/// Accepts an export: each family in its own shape, and with its own way to say that it is too much.
fn submit(
    state: &Arc<State>,
    file: &str,
    count: u64,
    limit: u64,
    online: bool,
    fault: Option<JobFault>,
    build: impl FnOnce(&State, &Path) -> std::io::Result<()> + Send + 'static,
) -> Rest<Answer> {
    let name = file.split('.').next().unwrap_or_default().to_owned();
    if online && count > limit {
        let words = format!(
            "Unable to export the cache, estimated tile count({count}) is greater than the max export tiles count({limit}) that is set for the service."
        );
        return Err(RestError::new(500, &words));
    }
    let id = uuid::Uuid::new_v4();
    let job = if online { id.hyphenated().to_string() } else { format!("j{}", id.simple()) };
    let folder = state.files.path().join(&job);
    let path = folder.join(file);
    let kind = JobKind::Tiles { name: name.clone(), online };
    state.start(job.clone(), kind, fault, move |state| {
        if count > limit {
            return Err(format!(
                "ERROR 001564: Requested tile count({count}) exceeds the maximum allowed number of tiles({limit}) to be exported for service {name}:MapServer."
            ));
        }
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        // Written beside and renamed, so that the listing never shows half a file.
        let part = folder.with_extension("part");
        build(state, &part).and_then(|()| std::fs::rename(&part, &path)).map_err(|e| e.to_string())?;
        Ok(path)
    });
    Ok(Answer::Json(if online {
        json!({"id": id.simple().to_string(), "name": "export", "url": null, "status": "success", "itemId": null,
            "type": "Vector Tile Service", "jobId": job, "message": "success"})
    } else {
        json!({"jobId": job, "jobStatus": "esriJobSubmitted"})
    }))
}

/// Where the result of a hosted service is: presigned on the storage, or where the server says that it is itself.
fn result_url(state: &State, name: &str) -> String {
    match &state.options.inner_host {
        Some(inner) => format!("{inner}/arcgis/rest/directories/arcgisoutput/{name}"),
        None => format!("{}/presigned/{name}?sig=abc&se=2099", state.storage()),
    }
}

/// A look at an export job, its result, or its cancel.
fn job(state: &State, call: &Call, tail: &[&str]) -> Rest<Answer> {
    let gone = || RestError::new(400, "Job not found in Job Registry or the registry record is unavailable.");
    match tail {
        [id, "cancel"] => {
            let mut all = lock(&state.jobs);
            all.get_mut(*id).ok_or_else(gone)?.cancelled = true;
            Ok(Answer::Json(json!({"jobId": id, "jobStatus": "esriJobCancelling"})))
        }
        [id, "results", _] => {
            let folder = format!("{}/arcgis/rest/directories/arcgisoutput/{id}", state.named(call));
            Ok(Answer::Json(json!({"paramName": "out_service_url", "dataType": "GPString", "value": folder})))
        }
        [id] => {
            let answer = state.look(id, |job, look| {
                let JobKind::Tiles { name, online } = &job.kind else { return None };
                let message = |kind: &str, words: &str| json!([{"type": format!("esriJobMessageType{kind}"), "description": words}]);
                Some(match look {
                    Look::Running => json!({"jobId": id, "jobStatus": "esriJobExecuting", "messages": message("Informative", "Exporting tiles"),
                        "progress": {"type": "step", "message": format!("Exporting {name}"), "percent": (job.looks * 20).min(95)}}),
                    Look::Failed(words) => json!({"jobId": id, "jobStatus": "esriJobFailed", "messages": message("Error", &words)}),
                    Look::WithErrors => json!({"jobId": id, "jobStatus": "esriJobFailed", "message": "completed with errors"}),
                    Look::Cancelled => json!({"jobId": id, "jobStatus": "esriJobCancelled", "messages": []}),
                    Look::Done(path) if *online => {
                        let inside = path.strip_prefix(state.files.path()).unwrap_or(&path).to_string_lossy().into_owned();
                        json!({"jobId": id, "jobStatus": "esriJobSucceeded", "type": "EXPORTTILES",
                            "output": {"outputUrl": [result_url(state, &inside)], "itemId": null}})
                    }
                    Look::Done(_) => json!({"jobId": id, "jobStatus": "esriJobSucceeded", "messages": message("Informative", "Done"),
                        "results": {"out_service_url": {"paramUrl": "results/out_service_url"}}}),
                })
            });
            answer.flatten().map(Answer::Json).ok_or_else(gone)
        }
        _ => Ok(Answer::NotFound),
    }
}
