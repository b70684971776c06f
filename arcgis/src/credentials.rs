//! Where tokens come from, and which hosts may see them.
//!
//! Source: `feature-service-rest` reference §6.2.

use crate::body;
use crate::client::{ArcGisClient, Refused, ServiceCall, parse_http};
use async_trait::async_trait;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, SecretRegistry};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

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
    async fn token(&self, client: &ArcGisClient) -> Result<AccessToken, Failure>;

    /// Whether asking again can give another token.
    fn renews(&self) -> bool {
        true
    }
}

/// A host that may see a token, and by which ports.
#[derive(Debug, Clone)]
pub(super) struct NamedHost {
    pub(super) name: String,
    ports: Ports,
    /// It was named by an `https` address, so no token goes there in the clear.
    pub(super) only_https: bool,
}

/// Ports at which a named host may see a token. What listens at another port of the host may be anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// `http` at 80, `https` at 443.
    Default,
    One(u16),
}

impl NamedHost {
    /// Reads `host` or `host:port`; `[…]` around an IPv6 address.
    fn read(text: &str) -> Self {
        let text = text.trim();
        let split = text.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
        let port = split.and_then(|(_, port)| port.parse().ok());
        let name = match (split, port) {
            (Some((name, _)), Some(_)) => name,
            _ => text,
        };
        // As addresses spell it; what is no host's name is nobody's.
        let spelt = url::Host::parse(name).map(|host| host.to_string()).unwrap_or_default();
        Self { name: spelt, ports: port.map_or(Ports::Default, Ports::One), only_https: false }
    }

    /// The host of an address. One by `http` is named by `https` as well, where both are on the default ports.
    fn of(url: &Url) -> Self {
        let name = url.host_str().unwrap_or_default().to_owned();
        Self { name, ports: url.port().map_or(Ports::Default, Ports::One), only_https: url.scheme() == "https" }
    }

    /// Whether an address is on this host and port, by whatever scheme.
    pub(super) fn is_of(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let is_port = match self.ports {
            Ports::Default => url.port().is_none(),
            Ports::One(one) => port == Some(one),
        };
        is_port && url.host_str() == Some(self.name.as_str())
    }

    /// Whether it is named without a port.
    pub(super) fn is_default(&self) -> bool {
        self.ports == Ports::Default
    }
}

/// Tokens, and the hosts that they are for. Hosts with tokens of their own are added by [`Credentials::and`].
#[derive(Clone, Default)]
pub struct Credentials {
    pub(super) source: Option<Arc<dyn TokenSource>>,
    pub(super) hosts: Vec<NamedHost>,
    pub(super) referer: Option<String>,
    pub(super) portal: Option<String>,
    /// What a password or token is known by.
    secrets: Vec<String>,
    others: Vec<Credentials>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_token = self.source.is_some();
        f.debug_struct("Credentials")
            .field("has_token", &has_token)
            .field("hosts", &self.hosts)
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

    /// Tokens for a user of a portal (`generateToken`), bound to a referer.
    ///
    /// # Errors
    /// If the portal's address is not one.
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
    /// If the portal's address is not one.
    pub fn application(portal: &str, client_id: &str, client_secret: &str) -> Result<Self, Failure> {
        let source = ApplicationToken {
            portal: portal.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
        };
        Self { secrets: vec![client_secret.to_owned()], ..Self::from_source(source) }.for_portal(portal)
    }

    /// Says which portal the tokens are of: its host may see them, and servers that are federated with it get tokens of their own.
    ///
    /// # Errors
    /// If it is not an address.
    pub fn for_portal(self, portal: &str) -> Result<Self, Failure> {
        let own = self.for_address(portal)?;
        Ok(Self { portal: Some(portal.trim_end_matches('/').to_owned()), ..own })
    }

    /// Lets the host of an address see the token, at the address's port: without one, at the default port only. If the address is
    /// `https`, by `https` only; an `http` address without a port names the host's `https` as well.
    ///
    /// # Errors
    /// If it is not an address.
    pub fn for_address(mut self, address: &str) -> Result<Self, Failure> {
        let url = parse_http(address)?;
        self.hosts.push(NamedHost::of(&url));
        Ok(self)
    }

    /// Lets a host see the token, by `http` as well: `host` for the default ports (80 and 443), or `host:port` for that port.
    #[must_use]
    pub fn for_host(mut self, host: &str) -> Self {
        self.hosts.push(NamedHost::read(host));
        self
    }

    /// Sends a `Referer` with every request that may carry the token.
    #[must_use]
    pub fn with_referer(mut self, referer: &str) -> Self {
        self.referer = Some(referer.to_owned());
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
        (self.source.is_some() && self.hosts.is_empty()) || self.others.iter().any(Self::is_for_nobody)
    }

    /// The secrets of all of them, as far as they are known before a token is asked for.
    pub(super) fn known_secrets(&self) -> SecretRegistry {
        fn add(registry: &SecretRegistry, credentials: &Credentials) {
            registry.add_all(credentials.secrets.iter().map(String::as_str));
            credentials.others.iter().for_each(|other| add(registry, other));
        }
        let registry = SecretRegistry::default();
        add(&registry, self);
        registry.pin();
        registry
    }

    /// Each of them by itself, first to last.
    pub(super) fn each(mut self) -> Vec<Self> {
        let others = std::mem::take(&mut self.others);
        std::iter::once(self).chain(others.into_iter().flat_map(Self::each)).collect()
    }
}

struct FixedToken(String);

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self, _: &ArcGisClient) -> Result<AccessToken, Failure> {
        Ok(AccessToken::new(self.0.clone()))
    }

    fn renews(&self) -> bool {
        false
    }
}

struct UserToken {
    portal: String,
    user: String,
    password: String,
    referer: String,
}

#[async_trait]
impl TokenSource for UserToken {
    async fn token(&self, client: &ArcGisClient) -> Result<AccessToken, Failure> {
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

struct ApplicationToken {
    portal: String,
    client_id: String,
    client_secret: String,
}

#[async_trait]
impl TokenSource for ApplicationToken {
    async fn token(&self, client: &ArcGisClient) -> Result<AccessToken, Failure> {
        let call = ServiceCall::post(&format!("{}/sharing/rest/oauth2/token", self.portal))?
            .with("grant_type", "client_credentials")
            .with("client_id", &self.client_id)
            .with("client_secret", &self.client_secret)
            .in_stage(FailureStage::Read);
        let answer = client.json_without_token(&call).await?;
        let token = token_in(&answer, "access_token", &call)?;
        let life = body::number_in::<u64>(&answer, "expires_in", call.url.as_str())?;
        Ok(AccessToken { life: life.map(Duration::from_secs), ..token })
    }
}

/// Asks `generateToken`; `expires` is in milliseconds since 1970.
pub(super) async fn generated_token(client: &ArcGisClient, call: &ServiceCall) -> Result<AccessToken, Refused> {
    let answer = client.json_without_token(call).await?;
    let token = token_in(&answer, "token", call)?;
    let expires = body::number_in::<i64>(&answer, "expires", call.url.as_str())?;
    // An end that is behind us is a clock that goes wrong, here or there: then the server's refusal is waited for.
    let left = expires.and_then(|end| u64::try_from(end.checked_sub(client.clock().now_ms())?).ok());
    Ok(AccessToken { life: left.map(Duration::from_millis), ..token })
}

fn token_in(answer: &Value, key: &str, call: &ServiceCall) -> Result<AccessToken, Failure> {
    let token = answer.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    token.map(AccessToken::new).ok_or_else(|| {
        let message = format!("the token service's answer has no `{key}`");
        Failure::new(FailureOwner::Credentials, FailureKind::InvalidAnswer, FailureStage::Read, message)
            .with_url(call.url.as_str())
    })
}
