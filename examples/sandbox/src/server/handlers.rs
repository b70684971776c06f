//! The handlers of the two hosts: of services and portal, and of the storage.

use super::answered::noted;
use super::faults::{at_random, strike, too_many};
use super::play::play;
use super::respond::{file, respond};
use crate::lock::lock;
use crate::request::Call;
use crate::state::State;
use axum::extract::{Request, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use offmap_engine::testing::FaultAction;
use std::sync::Arc;

/// Answers the number of the call in the log.
fn log(state: &State, call: &Call) -> usize {
    let mut log = lock(&state.log);
    log.push(call.logged(state.began.elapsed()));
    log.len() - 1
}

/// Answers every request to the services and the portal.
pub(crate) async fn handle(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    let call = Call::read(request).await;
    let number = log(&state, &call);
    let response = answer(&state, &call).await;
    noted(&state, number, response)
}

async fn answer(state: &Arc<State>, call: &Call) -> Response {
    state.let_colleagues_edit(&call.path);
    let action = too_many(state).or_else(|| strike(state, call)).or_else(|| at_random(state));
    let job_fault = match &action {
        Some(FaultAction::Job(fault)) => Some(fault.clone()),
        _ => None,
    };
    match action {
        Some(FaultAction::Job(_)) | None => {}
        Some(FaultAction::Delay(time)) => tokio::time::sleep(time).await,
        Some(action) => return play(state, call, action).await,
    }
    respond(state, call, job_fault).await
}

/// Answers requests to the storage, another host: presigned files that no token may come with.
pub(crate) async fn handle_storage(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    let call = Call::read(request).await;
    log(&state, &call);
    match strike(&state, &call).or_else(|| at_random(&state)) {
        Some(FaultAction::Delay(time)) => tokio::time::sleep(time).await,
        Some(action) => return play(&state, &call, action).await,
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
