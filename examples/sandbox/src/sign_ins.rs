//! People who sign in: pages that are open, codes, and refresh tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What an application asked for when it sent the browser.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    /// PKCE, by S256.
    pub(crate) challenge: Option<String>,
}

/// Everything that is between the page and the token.
#[derive(Debug, Default)]
pub(crate) struct SignIns {
    /// By the `oauth_state` of the page.
    pages: HashMap<String, Asked>,
    codes: HashMap<String, (Asked, Instant)>,
    /// Refresh token → application, end.
    refresh: HashMap<String, (String, Instant)>,
}

fn new_id() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

impl SignIns {
    /// Opens a page; answers its `oauth_state`.
    pub(crate) fn open(&mut self, asked: Asked) -> String {
        let id = new_id();
        self.pages.insert(id.clone(), asked);
        id
    }

    pub(crate) fn page(&self, id: &str) -> Option<&Asked> {
        self.pages.get(id)
    }

    /// The person signed in, or refused: the page is over.
    pub(crate) fn close(&mut self, id: &str) -> Option<Asked> {
        self.pages.remove(id)
    }

    pub(crate) fn code(&mut self, asked: Asked, life: Duration) -> String {
        let code = new_id();
        self.codes.insert(code.clone(), (asked, Instant::now() + life));
        code
    }

    /// Uses a code up.
    ///
    /// # Errors
    /// Why it is not good.
    pub(crate) fn redeem(&mut self, code: &str, by: &Asked, verifier: Option<&str>) -> Result<(), &'static str> {
        let (asked, until) = self.codes.remove(code).ok_or("Invalid authorization code.")?;
        if until <= Instant::now() {
            return Err("The authorization code has expired.");
        }
        if asked.client_id != by.client_id || asked.redirect_uri != by.redirect_uri {
            return Err("Invalid redirect_uri.");
        }
        let is_verified = |challenge: &String| {
            verifier.is_some_and(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == *challenge)
        };
        match asked.challenge.as_ref().is_none_or(is_verified) {
            true => Ok(()),
            false => Err("Invalid code_verifier."),
        }
    }

    pub(crate) fn refresh_token(&mut self, client_id: &str, life: Duration) -> String {
        let token = new_id();
        self.refresh.insert(token.clone(), (client_id.to_owned(), Instant::now() + life));
        token
    }

    /// Whether an application may renew by a refresh token.
    ///
    /// # Errors
    /// Code and reason why not.
    pub(crate) fn check(&self, token: &str, client_id: &str) -> Result<(), (i64, &'static str)> {
        match self.refresh.get(token) {
            Some((owner, until)) if owner == client_id && *until > Instant::now() => Ok(()),
            Some((owner, _)) if owner == client_id => Err((498, "The refresh_token has expired.")),
            _ => Err((400, "Invalid refresh_token.")),
        }
    }

    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        self.refresh.remove(token).is_some()
    }

    pub(crate) fn refresh_tokens(&self) -> Vec<String> {
        self.refresh.iter().filter(|(_, (_, until))| *until > Instant::now()).map(|(token, _)| token.clone()).collect()
    }

    pub(crate) fn end_all(&mut self) {
        *self = Self::default();
    }
}
