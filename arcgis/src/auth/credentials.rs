//! Credentials: where tokens come from, and which hosts may see them.

use super::sign_in_token::SignInToken;
use super::source::{ApplicationToken, FixedToken, TokenSource, UserToken};
use super::user_sign_in::{SignInStore, UserSignIn};
use crate::access::{NamedHost, SessionHosts};
use crate::urls::parse_http;
use offmap_model::{Failure, SecretRegistry};
use std::fmt;
use std::sync::Arc;

/// Tokens, and the hosts that they are for. Hosts with tokens of their own are added by [`Credentials::and`].
///
/// ```
/// use offmap_arcgis::Credentials;
///
/// let portal = Credentials::user("https://gis.city.example/portal", "editor", "password", "https://app.city.example")?;
/// let both = portal.and(Credentials::token("key").for_host("tiles.example:6443"));
/// assert!(!both.is_for_nobody());
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Clone, Default)]
pub struct Credentials {
    source: Option<Arc<dyn TokenSource>>,
    access: SessionHosts,
    /// What a password or token is known by.
    secrets: Vec<String>,
    others: Vec<Credentials>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_token = self.source.is_some();
        f.debug_struct("Credentials")
            .field("has_token", &has_token)
            .field("hosts", &self.access.hosts)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// No token for anybody.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Tokens from a source, for no host yet.
    #[must_use]
    pub fn from_source(source: impl TokenSource) -> Self {
        Self { source: Some(Arc::new(source)), ..Self::default() }
    }

    /// One token that the caller has.
    #[must_use]
    pub fn token(token: impl Into<String>) -> Self {
        let token = token.into();
        Self { secrets: vec![token.clone()], ..Self::from_source(FixedToken(token)) }
    }

    /// Tokens for a user of a portal (`generateToken`), bound to a referer: the portal makes tokens that are good only with a `Referer` that
    /// begins with it, and it is sent with every request that carries one. A service puts its own public url there
    /// (`https://maps.city.example`); a program without one any url that is its own. It need not exist, and a restart must give the same.
    ///
    /// # Errors
    /// If the portal's url is not one.
    pub fn user(portal: &str, user: &str, password: &str, referer: &str) -> Result<Self, Failure> {
        let source = UserToken {
            portal: portal.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            referer: referer.to_owned(),
        };
        let own = Self { secrets: vec![password.to_owned()], ..Self::from_source(source) };
        own.with_referer(referer).for_portal(portal)
    }

    /// Tokens for an OAuth application of a portal (`client_credentials`).
    ///
    /// # Errors
    /// If the portal's url is not one.
    pub fn application(portal: &str, client_id: &str, client_secret: &str) -> Result<Self, Failure> {
        let source = ApplicationToken {
            portal: portal.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
        };
        Self { secrets: vec![client_secret.to_owned()], ..Self::from_source(source) }.for_portal(portal)
    }

    /// Tokens for a person who signed in with the browser ([`UserSignIn`]). They are renewed by the refresh token; one that is
    /// exchanged for another is saved in `store`.
    ///
    /// # Errors
    /// If the portal's url is not one.
    pub fn sign_in(sign_in: UserSignIn, store: Arc<dyn SignInStore>) -> Result<Self, Failure> {
        let (portal, secrets) = (sign_in.portal().to_owned(), vec![sign_in.refresh_token().to_owned()]);
        Self { secrets, ..Self::from_source(SignInToken::new(sign_in, store)) }.for_portal(&portal)
    }

    /// Says which portal the tokens are of: its host may see them, and servers that are federated with it get tokens of their own.
    ///
    /// # Errors
    /// If it is not a url.
    pub fn for_portal(self, portal: &str) -> Result<Self, Failure> {
        let own = self.for_url(portal)?;
        let portal = Some(portal.trim_end_matches('/').to_owned());
        Ok(Self { access: SessionHosts { portal, ..own.access }, ..own })
    }

    /// Lets the host of a url see the token, at the url's port: without one, at the default port only. If the url is `https`, by
    /// `https` only; an `http` url without a port names the host's `https` as well.
    ///
    /// # Errors
    /// If it is not a url.
    pub fn for_url(mut self, url: &str) -> Result<Self, Failure> {
        let url = parse_http(url)?;
        self.access.hosts.push(NamedHost::of(&url));
        Ok(self)
    }

    /// Lets a host see the token, by `http` as well: `host` for the default ports (80 and 443), or `host:port` for that port.
    #[must_use]
    pub fn for_host(mut self, host: &str) -> Self {
        self.access.hosts.push(NamedHost::read(host));
        self
    }

    /// Sends a `Referer` with every request that may carry the token.
    #[must_use]
    pub fn with_referer(mut self, referer: &str) -> Self {
        self.access.referer = Some(referer.to_owned());
        self
    }

    /// Adds tokens for other hosts: of a second portal, or of a server that stands alone. A host that both name is the first's.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.others.push(other);
        self
    }

    /// Whether there is a token but no host that may see it.
    #[must_use]
    pub fn is_for_nobody(&self) -> bool {
        (self.source.is_some() && self.access.hosts.is_empty()) || self.others.iter().any(Self::is_for_nobody)
    }

    /// The secrets of all of them, as far as they are known before a token is asked for.
    pub(crate) fn known_secrets(&self) -> SecretRegistry {
        fn add(registry: &SecretRegistry, credentials: &Credentials) {
            registry.add_all(credentials.secrets.iter().map(String::as_str));
            credentials.others.iter().for_each(|other| add(registry, other));
        }
        let registry = SecretRegistry::default();
        add(&registry, self);
        registry.pin();
        registry
    }

    /// Each of them that has a source, first to last: where its tokens come from, and its hosts.
    pub(super) fn sessions(mut self) -> Vec<(Arc<dyn TokenSource>, SessionHosts)> {
        let others = std::mem::take(&mut self.others);
        let own = self.source.map(|source| (source, self.access));
        own.into_iter().chain(others.into_iter().flat_map(Self::sessions)).collect()
    }
}
