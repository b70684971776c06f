//! Notes when an answer was handed to its connection as a whole.

use crate::lock::lock;
use crate::state::State;
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use std::sync::Arc;

/// Of one answer; noted when it is dropped, as its connection does with a body of which it has all.
struct Answered {
    state: Arc<State>,
    /// Number of its request in the log.
    number: usize,
    /// Bytes that are still to come.
    left: u64,
}

impl Drop for Answered {
    fn drop(&mut self) {
        if self.left == 0
            && let Some(request) = lock(&self.state.log).get_mut(self.number)
        {
            request.answered = Some(self.state.began.elapsed());
        }
    }
}

/// The answer to a request of the log, which is noted there once its connection has it. One whose length is not known before is not noted.
pub(super) fn noted(state: &Arc<State>, number: usize, response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let Some(left) = body.size_hint().exact() else { return Response::from_parts(head, body) };
    let mut answered = Answered { state: Arc::clone(state), number, left };
    if left == 0 {
        return Response::from_parts(head, body);
    }
    // A stream does not say how long it is.
    head.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(left));
    let body = body.into_data_stream().map(move |piece| {
        answered.left = answered.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        piece
    });
    Response::from_parts(head, Body::from_stream(body))
}
