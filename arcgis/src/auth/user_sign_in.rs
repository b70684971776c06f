//! The sign-in of a person at a portal, and where it is kept.
//!
//! Source: `feature-service-rest` reference §6.2; RFC 7009 for its end.

use super::token_answer::is_refusal;
use super::token_client::TokenClient;
use crate::call::ServiceCall;
use async_trait::async_trait;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The sign-in of a person at a portal: it holds a refresh token, by which access tokens are got until it ends. It is made by
/// [`SignInRequest::finish`](super::SignInRequest::finish) and used by [`Credentials::sign_in`](super::Credentials::sign_in).
///
/// As JSON it has the refresh token in it: it is to be kept where only its owner can read it. Its `Debug` hides the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserSignIn {
    pub(super) portal: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) username: Option<String>,
    /// Milliseconds since 1970.
    pub(super) issued_at: i64,
    pub(super) expires_at: Option<i64>,
    pub(super) refresh_token: String,
}

impl fmt::Debug for UserSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSignIn")
            .field("portal", &self.portal)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl UserSignIn {
    /// The root of the portal.
    #[must_use]
    pub fn portal(&self) -> &str {
        &self.portal
    }

    /// The application that the person signed in to.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The user, where the portal told it.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The secret of it.
    #[must_use]
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// When it ends, in milliseconds since 1970; `None` if the portal did not tell.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// The same for people, as `Fri, 27 Nov 2026 12:00:00 GMT`.
    #[must_use]
    pub fn expires_on(&self) -> Option<String> {
        let ms = u64::try_from(self.expires_at?).ok()?;
        // Years beyond 9999 have no such form.
        let end = Duration::from_millis(ms.min(253_402_300_799_000));
        Some(httpdate::fmt_http_date(UNIX_EPOCH + end))
    }

    /// Whether its end is behind us.
    #[must_use]
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.expires_at.is_some_and(|end| end <= now_ms)
    }

    /// Whether half of its life is behind us.
    pub(super) fn is_past_half(&self, now_ms: i64) -> bool {
        self.expires_at.is_some_and(|end| end.saturating_sub(now_ms) < now_ms.saturating_sub(self.issued_at))
    }

    /// Why it is of no use any more, and the way out.
    pub(super) fn ended(&self, why: &str) -> Failure {
        let (portal, client_id) = (&self.portal, &self.client_id);
        let of = self.username.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
        let message = format!(
            "the sign-in{of} at {portal} {why}; sign in again: `offmap login --portal {portal} --client-id {client_id}`, or end it: \
             `offmap logout --portal {portal}`"
        );
        Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message)
    }

    /// Ends it at the portal, so that its refresh token is of no use any more. Where it is kept, it stays: see
    /// [`SignInStore::remove`].
    ///
    /// # Errors
    /// If the portal cannot be reached, or does not end it: some releases of ArcGIS Enterprise cannot.
    pub async fn revoke(&self, client: &TokenClient) -> Result<(), Failure> {
        client.secrets().add(&self.refresh_token);
        let call = ServiceCall::post(&format!("{}/sharing/rest/oauth2/revokeToken", self.portal))?
            .with("client_id", &self.client_id)
            .with("auth_token", &self.refresh_token)
            .with("token_type_hint", "refresh_token")
            .in_stage(FailureStage::Read);
        match client.ask(&call).await {
            Ok(_) => Ok(()),
            // It is over already.
            Err(refused) if is_refusal(&refused) && self.is_over(client.clock().now_ms()) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }
}

/// Where sign-ins are kept between two runs: the system's keyring, a file, the database of a service with its own encryption. One store
/// is for one user of the host program, who has at most one sign-in at a portal.
///
/// What it is asked for holds a secret: it is not to be logged.
#[async_trait]
pub trait SignInStore: Send + Sync + 'static {
    /// The sign-in at a portal, by its root. Asked again when the portal refuses a refresh token: another process may have exchanged it.
    ///
    /// # Errors
    /// If it is there and cannot be read or trusted.
    async fn load(&self, portal: &str) -> Result<Option<UserSignIn>, Failure>;

    /// Keeps a sign-in in place of an older one at the same portal.
    ///
    /// # Errors
    /// If it cannot be kept.
    async fn save(&self, sign_in: &UserSignIn) -> Result<(), Failure>;

    /// Removes the sign-in at a portal; answers whether there was one.
    ///
    /// # Errors
    /// If it cannot be removed.
    async fn remove(&self, portal: &str) -> Result<bool, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_shows_no_token_and_goes_through_json() {
        let sign_in = UserSignIn {
            portal: "https://gis.city.example/portal".into(),
            client_id: "field".into(),
            redirect_uri: "http://127.0.0.1:1/".into(),
            username: Some("surveyor".into()),
            issued_at: 1_000,
            expires_at: Some(101_000),
            refresh_token: "a-refresh-token".into(),
        };
        let ended = sign_in.ended("has ended");
        assert!(!format!("{sign_in:?} {ended}").contains("a-refresh-token"));
        assert!(
            ended.to_string().contains("offmap login --portal https://gis.city.example/portal --client-id field"),
            "{ended}"
        );
        let json = serde_json::to_string(&sign_in).expect("JSON");
        assert_eq!(serde_json::from_str::<UserSignIn>(&json).expect("reads"), sign_in);
        assert_eq!(sign_in.expires_on().as_deref(), Some("Thu, 01 Jan 1970 00:01:41 GMT"));
        for (now, past_half, over) in
            [(1_000, false, false), (51_000, false, false), (51_001, true, false), (101_000, true, true)]
        {
            assert_eq!((sign_in.is_past_half(now), sign_in.is_over(now)), (past_half, over), "{now}");
        }
    }
}
