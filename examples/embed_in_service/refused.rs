//! Failures as answers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use offmap::{Failure, FailureKind, FailureOwner as Owner, FailureStage};

/// A failure as an answer: its owner says who has to act.
pub(crate) struct Refused(pub(crate) Failure);

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match (self.0.owner, self.0.kind, self.0.stage) {
            (Owner::Limit, ..) | (_, FailureKind::Throttled, _) => StatusCode::SERVICE_UNAVAILABLE,
            (_, FailureKind::TimedOut, _) => StatusCode::GATEWAY_TIMEOUT,
            (_, FailureKind::NotFound, _) => StatusCode::NOT_FOUND,
            // Nothing is wrong with the request; the job is not in a state for it.
            (Owner::Caller, _, FailureStage::Run) => StatusCode::CONFLICT,
            (Owner::Caller, ..) => StatusCode::BAD_REQUEST,
            (Owner::Credentials, ..) => StatusCode::FORBIDDEN,
            (Owner::Source | Owner::Network, ..) => StatusCode::BAD_GATEWAY,
            (Owner::Storage, ..) => StatusCode::INSUFFICIENT_STORAGE,
            (Owner::Engine, ..) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // A queue that is full moves on.
        let later = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([(header::RETRY_AFTER, HeaderValue::from(30))]);
        (status, later, Json(self.0)).into_response()
    }
}
