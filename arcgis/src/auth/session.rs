//! A session: credentials of one kind, and the token that was got with them.

use super::source::{AccessToken, TokenSource};
use super::token_client::TokenClient;
use offmap_model::{Clock, Failure};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long before its end a token is renewed; a fifth of its life if that is less.
const RENEW_BEFORE: Duration = Duration::from_mins(5);

/// A token that is kept.
pub(super) struct Issued {
    pub(super) text: Arc<str>,
    /// Milliseconds since 1970; `None` if it is good until it is refused.
    renew_at: Option<i64>,
}

impl Issued {
    pub(super) fn new(token: AccessToken, now_ms: i64) -> Self {
        let life = token.life.filter(|life| !life.is_zero());
        let due = life.and_then(|life| i64::try_from((life - RENEW_BEFORE.min(life / 5)).as_millis()).ok());
        Self { text: token.text.into(), renew_at: due.map(|due| now_ms.saturating_add(due)) }
    }

    /// Puts another in its place if its end is near; if there is no other, this one stays until it is refused.
    pub(super) async fn renew_if_due(&mut self, clock: &dyn Clock, ask: impl Future<Output = Result<AccessToken, Failure>>) {
        if self.renew_at.is_none_or(|at| clock.now_ms() < at) {
            return;
        }
        match ask.await {
            Ok(token) => *self = Self::new(token, clock.now_ms()),
            Err(failure) => {
                tracing::debug!(%failure, "a token is about to end and could not be renewed yet");
                self.renew_at = None;
            }
        }
    }
}

/// Credentials, and the token that was got with them.
pub(super) struct Session {
    source: Arc<dyn TokenSource>,
    current: Mutex<Option<Issued>>,
}

impl Session {
    pub(super) fn new(source: Arc<dyn TokenSource>) -> Self {
        Self { source, current: Mutex::new(None) }
    }

    /// Asks for a token, and keeps it as a secret of the client before anything is done with it.
    async fn ask(&self, client: &TokenClient) -> Result<AccessToken, Failure> {
        let token = self.source.token(client).await?;
        client.secrets().add(&token.text);
        Ok(token)
    }

    /// The token that is in use, renewed if its end is near.
    pub(super) async fn token(&self, client: &TokenClient) -> Result<Arc<str>, Failure> {
        let clock = client.clock();
        // The lock is held while a token is fetched: whoever else needs one waits for it instead of asking too.
        let mut current = self.current.lock().await;
        if let Some(issued) = &mut *current {
            if self.source.renews() {
                issued.renew_if_due(&*clock, self.ask(client)).await;
            }
            return Ok(Arc::clone(&issued.text));
        }
        let token = self.ask(client).await?;
        Ok(Arc::clone(&current.insert(Issued::new(token, clock.now_ms())).text))
    }

    /// Drops the token that was refused, unless another one took its place already.
    pub(super) async fn forget(&self, refused: &Arc<str>) {
        let mut current = self.current.lock().await;
        if self.source.renews() && current.as_ref().is_some_and(|issued| issued.text == *refused) {
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_five_minutes_or_a_fifth_of_its_life_ahead() {
        let due = |life: Duration| Issued::new(AccessToken::new("t").expires_in(life), 1000).renew_at;
        assert_eq!(due(Duration::from_hours(2)), Some(1000 + 115 * 60_000));
        assert_eq!(due(Duration::from_secs(10)), Some(9000));
        assert_eq!(due(Duration::ZERO), None);
        assert_eq!(due(Duration::MAX), None);
        assert_eq!(Issued::new(AccessToken::new("t"), 1000).renew_at, None);
    }
}
