//! What the token service of a portal answers to who signs in as a person.

use super::source::{AccessToken, token_in};
use super::token_client::TokenClient;
use crate::body;
use crate::call::ServiceCall;
use crate::refused::Refused;
use offmap_model::Failure;
use serde_json::Value;
use std::time::Duration;

/// An access token, and what came with it.
pub(super) struct TokenAnswer {
    pub(super) token: AccessToken,
    /// A refresh token, and when it ends, in milliseconds since 1970.
    pub(super) refresh: Option<(String, Option<i64>)>,
    pub(super) username: Option<String>,
}

/// Asks the token service. What it answers is kept as secret before anything is done with it.
pub(super) async fn ask(client: &TokenClient, call: &ServiceCall) -> Result<TokenAnswer, Refused> {
    let answer = client.ask(call).await?;
    Ok(read(client, call, &answer)?)
}

fn read(client: &TokenClient, call: &ServiceCall, answer: &Value) -> Result<TokenAnswer, Failure> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    client.secrets().add_all(["access_token", "refresh_token"].into_iter().filter_map(text));
    let seconds = |key: &str| body::number_in::<u64>(answer, key, call.url.as_str());
    let token = token_in(answer, "access_token", call)?;
    let token = AccessToken { life: seconds("expires_in")?.map(Duration::from_secs), ..token };
    let life = seconds("refresh_token_expires_in")?;
    let life_ms = life.map(|seconds| i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX));
    let until = life_ms.map(|life| client.clock().now_ms().saturating_add(life));
    let refresh = text("refresh_token").map(|token| (token.to_owned(), until));
    Ok(TokenAnswer { token, refresh, username: text("username").map(body::cut) })
}

/// Whether the token service itself said no, for good: not the network, not a service out of order.
pub(super) fn is_refusal(refused: &Refused) -> bool {
    !refused.failure.retryable && matches!(refused.code, Some(0 | 400 | 401 | 403 | 498 | 499))
}

/// The service's own words of a refusal.
pub(super) fn words(refused: &Refused) -> String {
    refused.failure.server_message.clone().unwrap_or_else(|| refused.failure.message.clone())
}
