//! Where tokens come from: the caller, `generateToken` of a portal for a user, OAuth for an application, or the host program.
//!
//! Source: `feature-service-rest` reference §6.2.

use super::token_client::TokenClient;
use crate::body;
use crate::call::ServiceCall;
use crate::refused::Refused;
use async_trait::async_trait;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// A token, and how long it is good for.
#[derive(Clone)]
pub struct AccessToken {
    pub(super) text: String,
    pub(super) life: Option<Duration>,
}

impl AccessToken {
    /// A token that is good until it is refused.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), life: None }
    }

    /// Says how long it is good for from now on: a new one is asked for somewhat before the end, at most five minutes.
    #[must_use]
    pub fn expires_in(self, life: Duration) -> Self {
        Self { life: Some(life), ..self }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("life", &self.life).finish_non_exhaustive()
    }
}

/// Where tokens come from. Asked when there is none, when the last one is about to end, or when it was refused.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// A fresh token.
    ///
    /// # Errors
    /// If the portal refuses, or cannot be reached.
    async fn token(&self, client: &TokenClient) -> Result<AccessToken, Failure>;

    /// Whether asking again can give another token.
    fn renews(&self) -> bool {
        true
    }
}

/// A token that the caller has.
pub(super) struct FixedToken(pub(super) String);

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self, _: &TokenClient) -> Result<AccessToken, Failure> {
        Ok(AccessToken::new(self.0.clone()))
    }

    fn renews(&self) -> bool {
        false
    }
}

/// `generateToken` of a portal, bound to a referer.
pub(super) struct UserToken {
    pub(super) portal: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) referer: String,
}

#[async_trait]
impl TokenSource for UserToken {
    async fn token(&self, client: &TokenClient) -> Result<AccessToken, Failure> {
        let call = ServiceCall::post(&format!("{}/sharing/rest/generateToken", self.portal))?
            .with("username", &self.user)
            .with("password", &self.password)
            .with("client", "referer")
            .with("referer", &self.referer)
            .with("expiration", 120)
            .in_stage(FailureStage::Read);
        Ok(generated_token(client, &call).await?)
    }
}

/// `client_credentials` of an OAuth application.
pub(super) struct ApplicationToken {
    pub(super) portal: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
}

#[async_trait]
impl TokenSource for ApplicationToken {
    async fn token(&self, client: &TokenClient) -> Result<AccessToken, Failure> {
        let call = ServiceCall::post(&format!("{}/sharing/rest/oauth2/token", self.portal))?
            .with("grant_type", "client_credentials")
            .with("client_id", &self.client_id)
            .with("client_secret", &self.client_secret)
            .in_stage(FailureStage::Read);
        let answer = client.json(&call).await?;
        let token = token_in(&answer, "access_token", &call)?;
        let life = body::number_in::<u64>(&answer, "expires_in", call.url.as_str())?;
        Ok(AccessToken { life: life.map(Duration::from_secs), ..token })
    }
}

/// Asks `generateToken`; `expires` is in milliseconds since 1970.
pub(super) async fn generated_token(client: &TokenClient, call: &ServiceCall) -> Result<AccessToken, Refused> {
    let answer = client.ask(call).await?;
    let token = token_in(&answer, "token", call)?;
    let expires = body::number_in::<i64>(&answer, "expires", call.url.as_str())?;
    // An end that is behind us is a clock that goes wrong, here or there: then the server's refusal is waited for.
    let left = expires.and_then(|end| u64::try_from(end.checked_sub(client.clock().now_ms())?).ok());
    Ok(AccessToken { life: left.map(Duration::from_millis), ..token })
}

pub(super) fn token_in(answer: &Value, key: &str, call: &ServiceCall) -> Result<AccessToken, Failure> {
    let token = answer.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    token.map(AccessToken::new).ok_or_else(|| {
        let message = format!("the token service's answer has no `{key}`");
        Failure::new(FailureOwner::Credentials, FailureKind::InvalidAnswer, FailureStage::Read, message)
            .with_url(call.url.as_str())
    })
}
