//! Tokens of the portal, and for the servers that are federated with it.

use super::access::check_token;
use crate::answer::{Answer, Rest, RestError};
use crate::ids::{CLIENT_ID, CLIENT_SECRET, PASSWORD, USER, VISITOR, VISITOR_PASSWORD};
use crate::lock::lock;
use crate::request::Call;
use crate::state::State;
use serde_json::json;

pub(crate) fn generate_token(state: &State, call: &Call) -> Rest<Answer> {
    if let (Some(token), Some(server)) = (call.text("token"), call.text("serverurl")) {
        return server_token(state, call, token, server);
    }
    let named = (call.text("username").unwrap_or_default(), call.text("password").unwrap_or_default());
    let is_visitor = named == (VISITOR, VISITOR_PASSWORD);
    if call.method != "POST" || !(is_visitor || named == (USER, PASSWORD)) {
        return Err(RestError::with_detail(400, "Unable to generate token.", "Invalid username or password."));
    }
    let bound = call.text("client").is_some_and(|c| c == "referer");
    let referer = call.text("referer").filter(|_| bound).map(str::to_owned);
    let (token, expires) = state.mint_for(is_visitor, referer, None);
    Ok(Answer::Json(json!({"token": token, "expires": expires, "ssl": state.options.tls})))
}

/// A token for a server of the portal, for who has one of the portal's.
fn server_token(state: &State, call: &Call, token: &str, server: &str) -> Rest<Answer> {
    check_token(state, call)?;
    let host = server.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if call.method != "POST" || host != state.federated() {
        let detail = format!("{server} is not federated with this portal.");
        return Err(RestError::with_detail(400, "Unable to generate token.", &detail));
    }
    let own = lock(&state.tokens).get(token).map(|t| (t.is_visitor, t.referer.clone()));
    let (is_visitor, referer) = own.unwrap_or_default();
    let (token, expires) = state.mint_for(is_visitor, referer, Some(host.to_owned()));
    Ok(Answer::Json(json!({"token": token, "expires": expires, "ssl": state.options.tls})))
}

/// `client_credentials` of the application.
pub(super) fn application_token(state: &State, call: &Call) -> Answer {
    if call.text("client_id") != Some(CLIENT_ID) || call.text("client_secret") != Some(CLIENT_SECRET) {
        return Answer::Json(json!({"error": {"code": 400, "error": "invalid_client_id",
            "error_description": "Invalid client_id", "message": "Invalid client_id", "details": []}}));
    }
    let (token, _) = state.mint(None, None);
    Answer::Json(json!({"access_token": token, "expires_in": state.options.token_life.as_secs()}))
}
