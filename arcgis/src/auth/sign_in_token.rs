//! Tokens for a person who signed in: renewed by the refresh token, which is itself exchanged past half of its life.
//!
//! Source: `feature-service-rest` reference §6.2.

use super::source::{AccessToken, TokenSource};
use super::token_answer::{self, TokenAnswer, is_refusal, words};
use super::token_client::TokenClient;
use super::user_sign_in::{SignInStore, UserSignIn};
use crate::call::ServiceCall;
use crate::refused::Refused;
use async_trait::async_trait;
use offmap_model::{Failure, FailureStage};
use std::sync::Arc;
use tokio::sync::Mutex;

pub(super) struct SignInToken {
    current: Mutex<UserSignIn>,
    store: Arc<dyn SignInStore>,
}

impl SignInToken {
    pub(super) fn new(sign_in: UserSignIn, store: Arc<dyn SignInStore>) -> Self {
        Self { current: Mutex::new(sign_in), store }
    }

    /// Takes over what another process, or a newer sign-in, left in the store; answers whether that is another one.
    async fn reload(&self, current: &mut UserSignIn) -> Result<bool, Failure> {
        let kept = self.store.load(&current.portal).await?;
        let other = kept.filter(|kept| kept.refresh_token != current.refresh_token && kept.portal == current.portal);
        Ok(other.map(|other| *current = other).is_some())
    }

    /// Takes over what the token service answered.
    async fn take(&self, current: &mut UserSignIn, answer: TokenAnswer, now_ms: i64) -> AccessToken {
        if let Some((refresh_token, expires_at)) = answer.refresh.filter(|(token, _)| *token != current.refresh_token) {
            *current = UserSignIn { refresh_token, expires_at, issued_at: now_ms, ..current.clone() };
            if let Err(failure) = self.store.save(current).await {
                // The token is good; only the next run may have to sign in again.
                tracing::error!(%failure, portal = current.portal, "the renewed sign-in could not be kept");
            }
        }
        answer.token
    }
}

fn call(sign_in: &UserSignIn, grant: &str) -> Result<ServiceCall, Failure> {
    let call = ServiceCall::post(&format!("{}/sharing/rest/oauth2/token", sign_in.portal))?;
    Ok(call
        .with("client_id", &sign_in.client_id)
        .with("grant_type", grant)
        .with("refresh_token", &sign_in.refresh_token)
        .in_stage(FailureStage::Read))
}

/// Exchanges the refresh token for one that lives longer.
async fn exchange(client: &TokenClient, sign_in: &UserSignIn) -> Result<TokenAnswer, Refused> {
    let call = call(sign_in, "exchange_refresh_token")?.with("redirect_uri", &sign_in.redirect_uri).non_idempotent();
    token_answer::ask(client, &call).await
}

#[async_trait]
impl TokenSource for SignInToken {
    async fn token(&self, client: &TokenClient) -> Result<AccessToken, Failure> {
        let mut current = self.current.lock().await;
        let now = client.clock().now_ms();
        if current.is_over(now) && (!self.reload(&mut current).await? || current.is_over(now)) {
            let end = current.expires_on().unwrap_or_default();
            return Err(current.ended(&format!("ended on {end}")));
        }
        loop {
            client.secrets().add(&current.refresh_token);
            if current.is_past_half(now) {
                match exchange(client, &current).await {
                    Ok(answer) => return Ok(self.take(&mut current, answer, now).await),
                    Err(refused) => tracing::debug!(failure = %refused.failure, "a refresh token is not exchanged"),
                }
            }
            match token_answer::ask(client, &call(&current, "refresh_token")?).await {
                Ok(answer) => return Ok(self.take(&mut current, answer, now).await),
                Err(refused) if !is_refusal(&refused) => return Err(refused.into()),
                Err(refused) => {
                    if !self.reload(&mut current).await? || current.is_over(now) {
                        return Err(current.ended(&format!("is not accepted any more ({})", words(&refused))));
                    }
                }
            }
        }
    }
}
