//! Who may see a token, and where tokens come from.
//!
//! The portal's token goes to the hosts that it is for. Another server that wants one and says that it belongs to the portal
//! (`owningSystemUrl`) gets a token of its own, if the portal makes one for it (`generateToken` with `serverUrl`): the portal's
//! own token is never shown to it.
//!
//! Source: `feature-service-rest` reference §6.2.

use super::body::is_token_error;
use super::{ArcGisClient, ServiceCall, host_of, parse_http};
use async_trait::async_trait;
use dashmap::DashMap;
use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
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
    portal: Option<String>,
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
        Self::from_source(source).with_referer(referer).for_portal(portal)
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
        Self::from_source(source).for_portal(portal)
    }

    /// Says which portal the tokens are of: its host may see them, and servers that are federated with it get tokens of their own.
    ///
    /// # Errors
    /// If it is not an address.
    pub fn for_portal(self, portal: &str) -> Result<Self, Failure> {
        let own = self.for_address(portal)?;
        Ok(Self { portal: Some(portal.trim_end_matches('/').to_owned()), ..own })
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

fn token_in(answer: &Value, key: &str, call: &ServiceCall) -> Result<String, Failure> {
    let token = answer.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    token.map(str::to_owned).ok_or_else(|| {
        let message = format!("the token service's answer has no `{key}`");
        Failure::new(FailureOwner::Credentials, FailureKind::InvalidAnswer, FailureStage::Read, message)
            .at(call.url.as_str())
    })
}

/// A token, and who may see it.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: Arc<str>,
    /// The one server that it is for; `None` for the portal's token.
    server: Option<String>,
}

/// What is known of a server that the portal's token is not for.
enum Server {
    Unknown,
    /// It does not belong to the portal.
    Foreign,
    Federated(Arc<str>),
}

/// Keeps the tokens that are in use; renews each once for all who wait.
pub(super) struct TokenKeeper {
    credentials: Credentials,
    current: Mutex<Option<Arc<str>>>,
    servers: DashMap<String, Arc<Mutex<Server>>>,
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeeper").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

impl TokenKeeper {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, current: Mutex::new(None), servers: DashMap::new() }
    }

    /// Whether the host of an address may see the portal's token. All hosts of ArcGIS Online share the token of its portal.
    fn is_for(&self, url: &Url) -> bool {
        if self.credentials.source.is_none() {
            return false;
        }
        let with_port = host_of(url);
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        self.credentials
            .hosts
            .iter()
            .any(|h| *h == host || *h == with_port || (is_online(h) && is_online(&host) && url.scheme() == "https"))
    }

    /// Whether the host of an address may see a token.
    pub(super) fn may_see(&self, url: &Url, token: &Token) -> bool {
        match &token.server {
            Some(server) => *server == host_of(url),
            None => self.is_for(url),
        }
    }

    /// The `Referer` that tokens are bound to, for a request with a token or to a host that may see one.
    pub(super) fn referer(&self, url: &Url, with_token: bool) -> Option<&str> {
        self.credentials.referer.as_deref().filter(|_| with_token || self.is_for(url))
    }

    /// The token for an address, where there is one that its host may see.
    pub(super) async fn token(&self, client: &ArcGisClient, url: &Url) -> Result<Option<Token>, Failure> {
        if self.is_for(url) {
            return Ok(self.own(client).await?.map(|text| Token { text, server: None }));
        }
        let host = host_of(url);
        let Some(server) = self.servers.get(&host).map(|s| Arc::clone(&s)) else { return Ok(None) };
        Ok(match &*server.lock().await {
            Server::Federated(text) => Some(Token { text: Arc::clone(text), server: Some(host) }),
            _ => None,
        })
    }

    async fn own(&self, client: &ArcGisClient) -> Result<Option<Arc<str>>, Failure> {
        let Some(source) = &self.credentials.source else { return Ok(None) };
        // The lock is held while a token is fetched: whoever else needs one waits for it instead of asking too.
        let mut current = self.current.lock().await;
        if current.is_none() {
            *current = Some(source.token(client).await?.into());
        }
        Ok(current.clone())
    }

    /// Drops the portal's token that was refused, unless another one took its place already.
    async fn forget(&self, refused: &Arc<str>) {
        let renews = self.credentials.source.as_ref().is_some_and(|s| s.renews());
        let mut current = self.current.lock().await;
        if renews && current.as_ref() == Some(refused) {
            *current = None;
        }
    }

    /// A host refused a token, or wants one and got none: whether it is worth asking again, with another.
    pub(super) async fn refused(&self, client: &ArcGisClient, url: &Url, token: Option<&Token>) -> Result<bool, Failure> {
        if let Some(own) = token.filter(|t| t.server.is_none()) {
            self.forget(&own.text).await;
            return Ok(true);
        }
        let (Some(_), Some(portal)) = (&self.credentials.source, &self.credentials.portal) else { return Ok(false) };
        if self.is_for(url) {
            return Ok(false);
        }
        let new = || Arc::new(Mutex::new(Server::Unknown));
        let server = Arc::clone(&self.servers.entry(host_of(url)).or_insert_with(new));
        let mut server = server.lock().await;
        match (&*server, token) {
            (Server::Foreign, _) => return Ok(false),
            // Another request was quicker.
            (Server::Federated(now), refused) if refused.is_none_or(|r| r.text != *now) => return Ok(true),
            _ => {}
        }
        let Some(root) = belongs_to(client, url, portal).await? else {
            *server = Server::Foreign;
            return Ok(false);
        };
        *server = Server::Federated(self.server_token(client, portal, &root).await?);
        Ok(true)
    }

    /// Asks the portal for a token that is good for one of its servers.
    async fn server_token(&self, client: &ArcGisClient, portal: &str, root: &str) -> Result<Arc<str>, Failure> {
        let mut renewed = false;
        loop {
            let own = self.own(client).await?.unwrap_or_default();
            let mut call = ServiceCall::post(&format!("{portal}/sharing/rest/generateToken"))?
                .with("token", &own)
                .with("serverUrl", root)
                .with("expiration", 120)
                .in_stage(FailureStage::Read);
            if let Some(referer) = &self.credentials.referer {
                call = call.with("client", "referer").with("referer", referer);
            }
            match client.json_without_token(&call).await {
                Err(failure) if is_token_error(&failure) && !renewed => {
                    renewed = true;
                    self.forget(&own).await;
                }
                answer => return Ok(token_in(&answer?, "token", &call)?.into()),
            }
        }
    }
}

fn is_online(host: &str) -> bool {
    host == "arcgis.com" || host.ends_with(".arcgis.com")
}

/// The root of the server at an address, if it says that it belongs to the portal. A portal that is asked by `https` has no
/// servers by `http`.
async fn belongs_to(client: &ArcGisClient, url: &Url, portal: &str) -> Result<Option<String>, Failure> {
    let Some(at) = url.path().to_ascii_lowercase().find("/rest/") else { return Ok(None) };
    let root = format!("{}{}", &url[..url::Position::BeforePath], url.path().get(..at).unwrap_or_default());
    if portal.starts_with("https:") && url.scheme() != "https" {
        return Ok(None);
    }
    let call = ServiceCall::get(&format!("{root}/rest/info"))?.in_stage(FailureStage::Read);
    let info = match client.json_without_token(&call).await {
        Ok(info) => info,
        // What may pass says nothing about whose the server is.
        Err(failure) if failure.owner == FailureOwner::Network || failure.retryable => return Err(failure),
        Err(_) => return Ok(None),
    };
    let owner = info.get("owningSystemUrl").and_then(Value::as_str).unwrap_or_default();
    let token_based = info.pointer("/authInfo/isTokenBasedSecurity").and_then(Value::as_bool) != Some(false);
    Ok((token_based && is_same_portal(owner, portal)).then_some(root))
}

/// Whether two addresses are of one portal; all of ArcGIS Online is one.
fn is_same_portal(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (parse_http(a), parse_http(b)) else { return false };
    let path = |url: &Url| url.path().trim_end_matches('/').to_ascii_lowercase();
    let (x, y) = (host_of(&a), host_of(&b));
    (is_online(&x) && is_online(&y)) || (x == y && path(&a) == path(&b))
}

impl ArcGisClient {
    /// Asks a token service: no token goes with it, so that renewing cannot wait for itself.
    /// Boxed, since a request with a token may end here.
    pub(super) fn json_without_token<'a>(
        &'a self,
        call: &'a ServiceCall,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let call = call.clone().with("f", "json");
            self.retried(&call, false, |client, call, _| async move {
                let response = client.send(&call, None).await?;
                client.read_json(&call, response).await
            })
            .await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_is_known_by_host_and_path() {
        assert!(is_same_portal("https://GIS.example/portal/", "https://gis.example/portal"));
        assert!(!is_same_portal("https://gis.example/other", "https://gis.example/portal"));
        assert!(!is_same_portal("https://evil.example/portal", "https://gis.example/portal"));
        assert!(is_same_portal("https://www.arcgis.com", "https://city.maps.arcgis.com"));
        assert!(!is_same_portal("", "https://gis.example/portal"));
    }

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
