//! Plays faults.

use super::respond::{file, json_response, respond};
use crate::request::Call;
use crate::state::State;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use offmap_engine::testing::FaultAction;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Plays a fault in place of, or on top of, the regular answer.
pub(crate) async fn play(state: &Arc<State>, call: &Call, action: FaultAction) -> Response {
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
        FaultAction::Truncate(size) => truncated(state, call, size).await,
        FaultAction::Cut(size) => {
            let (bytes, _) = regular_body(state, call).await;
            let cut = bytes.slice(..size.min(bytes.len()));
            ([(header::CONTENT_TYPE, "application/octet-stream")], cut).into_response()
        }
        FaultAction::Grow(more) => grown(state, call, more).await,
        FaultAction::Drip(size, pause) => slow_transfer(state, call, size, pause).await,
        FaultAction::Delay(_) | FaultAction::Job(_) => respond(state, call, None).await,
    }
}

/// The answer without a fault.
async fn regular(state: &Arc<State>, call: &Call) -> Response {
    match call.path.strip_prefix("/presigned/") {
        Some(name) => file(&state.files.path().join(name), call).await,
        None => respond(state, call, None).await,
    }
}

/// The regular answer, slowly.
async fn slow_transfer(state: &Arc<State>, call: &Call, size: usize, pause: Duration) -> Response {
    let (head, body) = regular(state, call).await.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let length = HeaderValue::from(bytes.len());
    let pieces = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.max(1).min(rest.len()));
        Some((Ok::<_, Infallible>(piece), rest))
    });
    let mut response = Response::from_parts(head, Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

/// The regular answer's body, and its size in bytes.
async fn regular_body(state: &Arc<State>, call: &Call) -> (Bytes, usize) {
    let response = regular(state, call).await;
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    let size = bytes.len();
    (bytes, size)
}

/// A body whose stream fails after `start`: the connection breaks.
fn broken_body(start: Bytes, announced: Option<usize>) -> Response {
    let start = stream::once(std::future::ready(Ok(start)));
    // The start is sent off while the stream waits.
    let end = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("reset on request"))
    });
    let mut response = Response::new(Body::from_stream(start.chain(end)));
    if let Some(size) = announced {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    response
}

/// The start of the regular answer, and then the connection breaks.
async fn truncated(state: &Arc<State>, call: &Call, size: usize) -> Response {
    let (head, body) = regular(state, call).await.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let start = bytes.slice(..size.min(bytes.len()));
    let mut response = broken_body(start, Some(bytes.len()));
    // With the validator, so that the rest can be asked for.
    response.headers_mut().extend(head.headers);
    *response.status_mut() = head.status;
    response
}

/// The regular answer with so many zeros behind it.
async fn grown(state: &Arc<State>, call: &Call, more: u64) -> Response {
    const CHUNK: u64 = 1 << 16;
    let (bytes, all) = regular_body(state, call).await;
    let zeros = (0..more.div_ceil(CHUNK)).map(move |i| Bytes::from(vec![0; (more - i * CHUNK).min(CHUNK) as usize]));
    let parts = std::iter::once(bytes).chain(zeros).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(stream::iter(parts)));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(all as u64 + more));
    response
}
