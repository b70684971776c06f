//! Answers as HTTP.

use crate::answer::{Answer, RestError};
use crate::request::Call;
use crate::routes::route;
use crate::state::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use offmap_engine::testing::JobFault;
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// The answer of the services or the portal.
pub(crate) async fn respond(state: &Arc<State>, call: &Call, job_fault: Option<JobFault>) -> Response {
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
        Ok(Answer::Gzip(kind, bytes)) => gzip_response(kind, bytes, call.accepts_gzip),
        Ok(Answer::File(path)) => file(&path, call).await,
        Ok(Answer::Page(status, page)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
        }
        Ok(Answer::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
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

pub(crate) fn json_response(json: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json;charset=UTF-8")], json.to_string()).into_response()
}

fn gzip_response(kind: &'static str, bytes: Vec<u8>, is_accepted: bool) -> Response {
    if is_accepted {
        return ([(header::CONTENT_TYPE, kind), (header::CONTENT_ENCODING, "gzip")], bytes).into_response();
    }
    let mut opened = Vec::new();
    match GzDecoder::new(bytes.as_slice()).read_to_end(&mut opened) {
        Ok(_) => ([(header::CONTENT_TYPE, kind)], opened).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
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
pub(crate) async fn file(path: &Path, call: &Call) -> Response {
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
