//! Who may ask: tokens and API keys.

use crate::answer::{Rest, RestError};
use crate::lock::lock;
use crate::request::Call;
use crate::state::State;
use std::time::Instant;

/// Whether the call has the token that what it asks for needs.
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
    if known.is_visitor && call.path.to_ascii_lowercase().contains("/fieldwork/") {
        return Err(RestError::new(403, "You do not have permissions to access this resource or perform this operation."));
    }
    match &known.referer {
        Some(referer) if call.referer.as_deref() != Some(referer) => Err(invalid()),
        _ => Ok(()),
    }
}

/// Whether the call carries the API key that the services want.
pub(crate) fn check_api_key(state: &State, call: &Call) -> Rest<()> {
    match &state.options.api_key {
        Some((name, value)) if call.text(name) != Some(value) => Err(RestError::new(403, "An API key is required.")),
        _ => Ok(()),
    }
}
