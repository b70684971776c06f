//! Requests to services that make tokens, which go without a token.

use crate::access::{AccessRules, Token, TriedTokens};
use crate::answer_kind::AnswerKind;
use crate::call::ServiceCall;
use crate::refused::Refused;
use crate::transport::{self, JsonAnswer, Tokens, Transport};
use async_trait::async_trait;
use offmap_model::{Clock, Failure, SecretRegistry};
use serde_json::Value;
use std::sync::Arc;
use url::Url;

/// What a `TokenSource` asks with: the client's connections, limits, retries and rules, and no token, so that a
/// renewal cannot wait for itself.
#[derive(Debug, Clone)]
pub struct TokenClient {
    transport: Transport,
    rules: Arc<AccessRules>,
}

impl TokenClient {
    pub(crate) fn new(transport: &Transport, rules: &Arc<AccessRules>) -> Self {
        Self { transport: transport.clone(), rules: Arc::clone(rules) }
    }

    /// Asks and reads a JSON answer; an `error` member is a failure.
    ///
    /// # Errors
    /// What the network, the host or the service says.
    pub async fn json(&self, call: &ServiceCall) -> Result<Value, Failure> {
        Ok(self.ask(call).await?)
    }

    /// The same, with what a try that failed leaves.
    pub(super) async fn ask(&self, call: &ServiceCall) -> Result<Value, Refused> {
        let call = call.clone().answer(AnswerKind::Small).with("f", "json");
        let tokens = NoTokens { rules: Arc::clone(&self.rules) };
        transport::run(&self.transport, &tokens, call, &mut JsonAnswer { error_in: |_| None }).await
    }

    /// The clock by which tokens are renewed.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.transport.clock()
    }

    pub(super) fn secrets(&self) -> &SecretRegistry {
        self.transport.secrets()
    }
}

struct NoTokens {
    rules: Arc<AccessRules>,
}

#[async_trait]
impl Tokens for NoTokens {
    fn rules(&self) -> &Arc<AccessRules> {
        &self.rules
    }

    async fn token(&self, _: &Url) -> Result<Option<Token>, Failure> {
        Ok(None)
    }

    async fn another(&self, _: &mut TriedTokens, _: &Url, _: Option<&Token>, _: &Refused) -> Result<bool, Failure> {
        Ok(false)
    }
}
