//! Who may see a token, and where tokens come from.
//!
//! Source: `feature-service-rest` reference §6.2.

use super::{ArcGisClient, ServiceCall, host_of, parse_http};
use async_trait::async_trait;
use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;
use url::Url;

/// Where tokens come from. Asked when there is none, or when the last one was refused.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// A fresh token.
    ///
    /// # Errors
    /// If the portal refuses, or cannot be reached.
    async fn token(&self, client: &ArcGisClient) -> Result<String, Failure>;

    /// Whether asking again can give another token.
    fn renews(&self) -> bool {
        true
    }
}

/// Tokens, and the hosts that they are for.
#[derive(Clone, Default)]
pub struct Credentials {
    source: Option<Arc<dyn TokenSource>>,
    hosts: Vec<String>,
    referer: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_token = self.source.is_some();
        f.debug_struct("Credentials").field("has_token", &has_token).field("hosts", &self.hosts).finish_non_exhaustive()
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
        Self::from_source(FixedToken(token.into()))
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
        Self::from_source(source).with_referer(referer).for_address(portal)
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
        Self::from_source(source).for_address(portal)
    }

    /// Lets the host of an address see the token.
    ///
    /// # Errors
    /// If it is not an address.
    pub fn for_address(self, address: &str) -> Result<Self, Failure> {
        let url = parse_http(address)?;
        Ok(self.for_host(&host_of(&url)))
    }

    /// Lets a host see the token: `host` for any port, or `host:port`.
    #[must_use]
    pub fn for_host(mut self, host: &str) -> Self {
        self.hosts.push(host.trim().to_ascii_lowercase());
        self
    }

    /// Sends a `Referer` with every request that may carry the token.
    #[must_use]
    pub fn with_referer(mut self, referer: &str) -> Self {
        self.referer = Some(referer.to_owned());
        self
    }

    /// Whether there is a token but no host that may see it.
    #[must_use]
    pub fn is_for_nobody(&self) -> bool {
        self.source.is_some() && self.hosts.is_empty()
    }
}

struct FixedToken(String);

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self, _: &ArcGisClient) -> Result<String, Failure> {
        Ok(self.0.clone())
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
    async fn token(&self, client: &ArcGisClient) -> Result<String, Failure> {
        let call = ServiceCall::post(&format!("{}/sharing/rest/generateToken", self.portal))?
            .with("username", &self.user)
            .with("password", &self.password)
            .with("client", "referer")
            .with("referer", &self.referer)
            .with("expiration", 120)
            .in_stage(FailureStage::Read);
        token_in(&client.json_without_token(&call).await?, "token", &call)
    }
}

struct ApplicationToken {
    portal: String,
    client_id: String,
    client_secret: String,
}

#[async_trait]
impl TokenSource for ApplicationToken {
    async fn token(&self, client: &ArcGisClient) -> Result<String, Failure> {
        let call = ServiceCall::post(&format!("{}/sharing/rest/oauth2/token", self.portal))?
            .with("grant_type", "client_credentials")
            .with("client_id", &self.client_id)
            .with("client_secret", &self.client_secret)
            .in_stage(FailureStage::Read);
        token_in(&client.json_without_token(&call).await?, "access_token", &call)
    }
}

fn token_in(answer: &serde_json::Value, key: &str, call: &ServiceCall) -> Result<String, Failure> {
    let token = answer.get(key).and_then(serde_json::Value::as_str).filter(|t| !t.is_empty());
    token.map(str::to_owned).ok_or_else(|| {
        let message = format!("the token service's answer has no `{key}`");
        Failure::new(FailureOwner::Credentials, FailureKind::InvalidAnswer, FailureStage::Read, message)
            .at(call.url.as_str())
    })
}

/// Keeps the token that is in use; renews it once for all who wait.
#[derive(Debug)]
pub(super) struct TokenKeeper {
    credentials: Credentials,
    current: Mutex<Option<Arc<str>>>,
}

impl TokenKeeper {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, current: Mutex::new(None) }
    }

    /// Whether the host of an address may see the token. All hosts of ArcGIS Online share the token of its portal.
    pub(super) fn is_for(&self, url: &Url) -> bool {
        if self.credentials.source.is_none() {
            return false;
        }
        let with_port = host_of(url);
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let online = |h: &str| h == "arcgis.com" || h.ends_with(".arcgis.com");
        self.credentials
            .hosts
            .iter()
            .any(|h| *h == host || *h == with_port || (online(h) && online(&host) && url.scheme() == "https"))
    }

    pub(super) fn referer(&self) -> Option<&str> {
        self.credentials.referer.as_deref()
    }

    pub(super) async fn token(&self, client: &ArcGisClient) -> Result<Option<Arc<str>>, Failure> {
        let Some(source) = &self.credentials.source else { return Ok(None) };
        // The lock is held while a token is fetched: whoever else needs one waits for it instead of asking too.
        let mut current = self.current.lock().await;
        if current.is_none() {
            *current = Some(source.token(client).await?.into());
        }
        Ok(current.clone())
    }

    /// Drops a token that was refused, unless another one took its place already.
    pub(super) async fn forget(&self, refused: Option<&str>) {
        let renews = self.credentials.source.as_ref().is_some_and(|s| s.renews());
        let mut current = self.current.lock().await;
        if renews && current.as_deref() == refused {
            *current = None;
        }
    }
}

impl ArcGisClient {
    /// Asks a token service: no token goes with it, so that renewing cannot wait for itself.
    pub(super) async fn json_without_token(&self, call: &ServiceCall) -> Result<serde_json::Value, Failure> {
        let call = call.clone().with("f", "json");
        self.retried(&call, false, |client, call, _| async move {
            let response = client.send(&call, None).await?;
            client.read_json(&call, response).await
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_only_for_the_hosts_that_it_is_for() {
        let is_for = |credentials: &Credentials, address: &str| {
            TokenKeeper::new(credentials.clone()).is_for(&parse_http(address).expect("address"))
        };
        let own = Credentials::token("t").for_address("https://gis.city.example/portal").expect("address");
        assert!(is_for(&own, "https://GIS.city.example/arcgis/rest"));
        assert!(!is_for(&own, "https://gis.city.example.evil.example/"));
        assert!(!is_for(&own, "https://storage.example/x"));
        let port = Credentials::token("t").for_host("127.0.0.1:6080");
        assert!(is_for(&port, "http://127.0.0.1:6080/") && !is_for(&port, "http://127.0.0.1:6081/"));
        let online = Credentials::token("t").for_address("https://www.arcgis.com").expect("address");
        assert!(is_for(&online, "https://services1.arcgis.com/x") && !is_for(&online, "http://services1.arcgis.com/x"));
        assert!(!is_for(&Credentials::none(), "https://www.arcgis.com/"));
        assert!(!format!("{own:?}").contains("\"t\""));
    }
}
