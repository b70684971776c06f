//! The one loop that every request runs in, whether it reads an answer or fetches a file.
//!
//! 1. The url is turned to where it is asked, unless it carries its own signature.
//! 2. The token of its host is asked for, and the request is sent.
//! 3. Where it is refused, it is sent again at once: by https, if the service wants that; with another token, if this one died; at the
//!    other place, if an answer named an inner host.
//! 4. Else it is sent again after a pause, as long as `retry` says.

use super::http::Transport;
use super::retry::{Pauses, Retries};
use crate::access::{Access, AccessRules, Token, TriedTokens};
use crate::call::ServiceCall;
use crate::inner_host::Turn;
use crate::metrics;
use crate::refused::Refused;
use crate::urls::host_of;
use async_trait::async_trait;
use offmap_model::Failure;
use offmap_model::layer_secrets::WITHHELD;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument as _, Span};
use url::Url;

/// What is asked for: one try of it.
#[async_trait]
pub(crate) trait Attempt: Send {
    type Output: Send;

    /// Sends the request once and reads the answer.
    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Self::Output, Refused>;

    /// How long it waits between tries.
    fn pauses(&self) -> Pauses {
        Pauses::Short
    }

    /// Bytes that are here of tries that failed.
    fn bytes_here(&self) -> u64 {
        0
    }
}

/// Where the tokens of a session come from.
#[async_trait]
pub(crate) trait Tokens: Send + Sync {
    /// Which host may see which token.
    fn rules(&self) -> &Arc<AccessRules>;

    /// The token for a url, where there is one that its host may see.
    async fn token(&self, url: &Url) -> Result<Option<Token>, Failure>;

    /// Whether there is another token to ask with after a request was refused.
    async fn another(
        &self,
        tried: &mut TriedTokens,
        url: &Url,
        token: Option<&Token>,
        refused: &Refused,
    ) -> Result<bool, Failure>;
}

/// The tries of one request.
struct Tries<'a> {
    transport: &'a Transport,
    tokens: &'a dyn Tokens,
    call: ServiceCall,
    retries: Retries,
    tried: TriedTokens,
    /// What the other place answered in this round, where there are two.
    elsewhere: Option<Refused>,
}

/// What follows a try that failed.
enum Next {
    AtOnce,
    After(Duration),
    GiveUp(Refused),
}

/// Runs one request until it succeeds, fails for good, or was tried long enough.
pub(crate) async fn run<A: Attempt>(
    transport: &Transport,
    tokens: &dyn Tokens,
    call: ServiceCall,
    attempt: &mut A,
) -> Result<A::Output, Refused> {
    let span = span_of(transport, &call);
    tried(transport, tokens, call, attempt).instrument(span).await
}

/// The span of a request: its host and path, without query and secrets.
fn span_of(transport: &Transport, call: &ServiceCall) -> Span {
    let path = |path: &str| {
        let path = transport.secrets().scrub(path).into_owned();
        call.secrets.values_to_hide().fold(path, |path, secret| path.replace(secret, WITHHELD))
    };
    tracing::info_span!("request", host = host_of(&call.url), path = path(call.url.path()))
}

async fn tried<A: Attempt>(
    transport: &Transport,
    tokens: &dyn Tokens,
    mut call: ServiceCall,
    attempt: &mut A,
) -> Result<A::Output, Refused> {
    call.deadline = call.within.map(|time| transport.deadline(time));
    let retries = Retries::new(attempt.pauses()).until(call.deadline);
    let mut tries = Tries { transport, tokens, call, retries, tried: TriedTokens::default(), elsewhere: None };
    loop {
        let before = attempt.bytes_here();
        let (refused, token) = match tries.access().await {
            Ok((access, token)) => match attempt.send(transport, &tries.call, &access).await {
                Ok(output) => {
                    tries.succeeded();
                    return Ok(output);
                }
                Err(refused) => (transport.scrubbed(&tries.call, refused), Some(token)),
            },
            // It was tried long enough; only who waits for more than that goes on.
            Err(failure) if tries.call.deadline.is_none() => return Err(failure.into()),
            Err(failure) => (Refused::from(failure), None),
        };
        match tries.next(refused, token, attempt.bytes_here().saturating_sub(before)).await {
            Next::AtOnce => {}
            Next::After(pause) => {
                metrics::retried(&tries.call.url);
                transport.clock().sleep(pause).await;
            }
            Next::GiveUp(refused) => return Err(refused),
        }
    }
}

impl Tries<'_> {
    /// Where the next try goes, and with what.
    async fn access(&mut self) -> Result<(Access, Option<Token>), Failure> {
        let token = match self.call.is_presigned() {
            true => None,
            false => {
                self.transport.relocate(self.tokens.rules(), &mut self.call.url);
                self.tokens.token(&self.call.url).await?
            }
        };
        Ok((Access::new(self.tokens.rules(), token.clone()), token))
    }

    fn succeeded(&self) {
        if let Some(places) = &self.call.places {
            self.transport.known_places().answered(places, self.elsewhere.is_some());
        }
    }

    /// Judges a try that failed; `token` is `None` where it failed for want of a token, `brought` are the bytes that it left.
    async fn next(&mut self, refused: Refused, token: Option<Option<Token>>, brought: u64) -> Next {
        let is_presigned = self.call.is_presigned();
        if !is_presigned && refused.wants_https && self.transport.moves().learn_https(&self.call.url) {
            return Next::AtOnce;
        }
        if brought > 0 {
            // Whoever brought something was good; a long file may outlive many tokens.
            self.tried = TriedTokens::default();
        }
        let another = match &token {
            Some(token) if !is_presigned => {
                self.tokens.another(&mut self.tried, &self.call.url, token.as_ref(), &refused).await
            }
            _ => Ok(false),
        };
        let refused = match another {
            Ok(true) => return Next::AtOnce,
            Ok(false) => refused,
            Err(failure) if self.call.deadline.is_some() => Refused::from(failure),
            Err(failure) => return Next::GiveUp(failure.into()),
        };
        let turn = match &mut self.call.places {
            Some(places) => self.transport.known_places().turn(places, &mut self.call.url, &mut self.elsewhere, refused),
            None => Turn::Failed(refused, self.call.url.clone()),
        };
        let Turn::Failed(refused, asked) = turn else { return Next::AtOnce };
        // A try that brought as much as a slow host must is a good one: only tries in a row that did not are counted.
        if brought > self.transport.options().least_of_a_timeout() {
            self.retries.restart();
        }
        let context = self.transport.retry_context();
        let is_repeatable = self.call.is_idempotent || refused.code == Some(429);
        match self.retries.after(&context, &asked, &refused).filter(|_| is_repeatable) {
            Some(pause) => Next::After(pause),
            None => {
                let failure = Box::new(self.retries.explain(&context, *refused.failure));
                Next::GiveUp(Refused { failure, ..refused })
            }
        }
    }
}
