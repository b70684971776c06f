//! The tokens that are in use: who may see which, and when each is renewed.
//!
//! A token goes to the hosts that it is for. Another server that wants one and says that it belongs to a portal
//! (`owningSystemUrl`) gets a token of its own, if the portal makes one for it (`generateToken` with `serverUrl`): the portal's
//! own token is never shown to it.
//!
//! Where a host was named by an `https` address, no token goes there in the clear: an `http` address without a port, as old web
//! maps have them, is asked by `https`; with a port of its own it gets no token.
//!
//! Source: `feature-service-rest` reference §6.2.

use super::body::is_token_error;
use super::credentials::{AccessToken, Credentials, NamedHost, TokenSource, generated_token};
use super::{AnswerKind, ArcGisClient, ServiceCall, by_https, host_of, parse_http};
use dashmap::DashMap;
use offmap_engine::{Clock, Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// How long before its end a token is renewed; a fifth of its life if that is less.
const AHEAD: Duration = Duration::from_mins(5);

/// A token as a request carries it.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: Arc<str>,
    grant: Arc<Grant>,
    /// The origin of the one server that it is for; `None` for all hosts of the grant.
    server: Option<String>,
}

/// A token that is kept.
struct Issued {
    text: Arc<str>,
    /// Milliseconds since 1970; `None` if it is good until it is refused.
    renew_at: Option<i64>,
}

impl Issued {
    fn new(token: AccessToken, now_ms: i64) -> Self {
        let life = token.life.filter(|life| !life.is_zero());
        let due = life.and_then(|life| i64::try_from((life - AHEAD.min(life / 5)).as_millis()).ok());
        Self { text: token.text.into(), renew_at: due.map(|due| now_ms.saturating_add(due)) }
    }

    /// Takes another in its place if its end is near; if there is no other, this one stays until it is refused.
    async fn renew_if_due(&mut self, clock: &dyn Clock, ask: impl Future<Output = Result<AccessToken, Failure>>) {
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
struct Grant {
    source: Arc<dyn TokenSource>,
    credentials: Credentials,
    current: Mutex<Option<Issued>>,
}

impl Grant {
    async fn token(&self, client: &ArcGisClient) -> Result<Arc<str>, Failure> {
        let clock = &client.inner.clock;
        // The lock is held while a token is fetched: whoever else needs one waits for it instead of asking too.
        let mut current = self.current.lock().await;
        if let Some(issued) = &mut *current {
            if self.source.renews() {
                issued.renew_if_due(&**clock, self.source.token(client)).await;
            }
            return Ok(Arc::clone(&issued.text));
        }
        let token = self.source.token(client).await?;
        Ok(Arc::clone(&current.insert(Issued::new(token, clock.now_ms())).text))
    }

    /// Drops the token that was refused, unless another one took its place already.
    async fn forget(&self, refused: &Arc<str>) {
        let mut current = self.current.lock().await;
        if self.source.renews() && current.as_ref().is_some_and(|issued| issued.text == *refused) {
            *current = None;
        }
    }
}

/// A server that is federated with a grant's portal.
struct FederatedServer {
    grant: Arc<Grant>,
    portal: String,
    root: String,
}

impl FederatedServer {
    /// Asks the portal for a token that is good for the server.
    async fn token(&self, client: &ArcGisClient) -> Result<AccessToken, Failure> {
        let mut renewed = false;
        loop {
            let own = self.grant.token(client).await?;
            let mut call = ServiceCall::post(&format!("{}/sharing/rest/generateToken", self.portal))?
                .with("token", &own)
                .with("serverUrl", &self.root)
                .with("expiration", 120)
                .in_stage(FailureStage::Read);
            if let Some(referer) = &self.grant.credentials.referer {
                call = call.with("client", "referer").with("referer", referer);
            }
            match generated_token(client, &call).await {
                Err(failure) if is_token_error(&failure) && !renewed => {
                    renewed = true;
                    self.grant.forget(&own).await;
                }
                answer => return answer,
            }
        }
    }
}

/// What is known of a server that no grant is for.
enum Server {
    Unknown,
    /// It belongs to none of the portals.
    Foreign,
    Federated(FederatedServer, Issued),
}

/// Keeps the tokens that are in use; renews each once for all who wait.
pub(super) struct TokenKeeper {
    grants: Vec<Arc<Grant>>,
    /// By origin.
    servers: DashMap<String, Arc<Mutex<Server>>>,
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.grants.iter().map(|g| &g.credentials)).finish()
    }
}

impl TokenKeeper {
    pub(super) fn new(credentials: Credentials) -> Self {
        let grant = |credentials: Credentials| {
            let source = Arc::clone(credentials.source.as_ref()?);
            Some(Arc::new(Grant { source, credentials, current: Mutex::new(None) }))
        };
        Self { grants: credentials.each().into_iter().filter_map(grant).collect(), servers: DashMap::new() }
    }

    /// Whose token the host of an address may see. A host that is named comes before ArcGIS Online's rule that all of its hosts
    /// share the token of its portal.
    fn grant_for(&self, url: &Url) -> Option<&Arc<Grant>> {
        let is_safe = url.scheme() == "https";
        let named = self.named(url, |h| is_safe || !h.only_https);
        let shared = is_safe && url.host_str().is_some_and(is_online);
        let online = |g: &Grant| g.credentials.hosts.iter().any(|h| is_online(&h.name));
        named.or_else(|| self.grants.iter().find(|g| shared && online(g)))
    }

    /// Who names the host of an address in such a way.
    fn named(&self, url: &Url, fits: impl Fn(&NamedHost) -> bool) -> Option<&Arc<Grant>> {
        let (host, with_port) = (url.host_str().unwrap_or_default(), host_of(url));
        let is_it = |h: &NamedHost| (h.name == host || h.name == with_port) && fits(h);
        self.grants.iter().find(|g| g.credentials.hosts.iter().any(is_it))
    }

    /// Whether the host of an `http` address is for tokens by `https` only.
    fn is_withheld(&self, url: &Url) -> bool {
        url.scheme() == "http" && self.grant_for(url).is_none() && self.named(url, |h| h.only_https).is_some()
    }

    /// Raises an `http` address without a port to `https` where it is known that the host has it: all of ArcGIS Online, and hosts
    /// that were named so.
    pub(super) fn raise(&self, url: &mut Url) {
        if url.scheme() != "http" || url.port().is_some() {
            return;
        }
        let host = url.host_str().unwrap_or_default();
        if is_online(host) || host.ends_with(".arcgisonline.com") || self.is_withheld(url) {
            by_https(url);
        }
    }

    /// Whether the host of an address may see a token.
    pub(super) fn may_see(&self, url: &Url, token: &Token) -> bool {
        match &token.server {
            Some(server) => *server == origin_of(url),
            None => self.grant_for(url).is_some_and(|grant| Arc::ptr_eq(grant, &token.grant)),
        }
    }

    /// The `Referer` that tokens are bound to, for a request with a token or to a host that may see one.
    pub(super) fn referer<'a>(&'a self, url: &Url, token: Option<&'a Token>) -> Option<&'a str> {
        let grant = token.map(|t| &t.grant).or_else(|| self.grant_for(url))?;
        grant.credentials.referer.as_deref()
    }

    /// The token for an address, where there is one that its host may see.
    pub(super) async fn token(&self, client: &ArcGisClient, url: &Url) -> Result<Option<Token>, Failure> {
        if let Some(grant) = self.grant_for(url) {
            return Ok(Some(Token { text: grant.token(client).await?, grant: Arc::clone(grant), server: None }));
        }
        let origin = origin_of(url);
        let Some(server) = self.servers.get(&origin).map(|s| Arc::clone(&s)) else { return Ok(None) };
        let mut server = server.lock().await;
        let Server::Federated(federated, issued) = &mut *server else { return Ok(None) };
        issued.renew_if_due(&*client.inner.clock, federated.token(client)).await;
        Ok(Some(Token { text: Arc::clone(&issued.text), grant: Arc::clone(&federated.grant), server: Some(origin) }))
    }

    /// A host refused a token, or wants one and got none: whether it is worth asking again, with another.
    pub(super) async fn refused(&self, client: &ArcGisClient, url: &Url, token: Option<&Token>) -> Result<bool, Failure> {
        if let Some(own) = token.filter(|t| t.server.is_none()) {
            own.grant.forget(&own.text).await;
            return Ok(true);
        }
        if self.is_withheld(url) {
            let message = format!(
                "the service wants a token; the one for {} goes by https only, and the address is http: correct it in the map, \
                 or name {} as a host that may see the token in the clear",
                url.host_str().unwrap_or_default(),
                host_of(url)
            );
            let failure = Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message);
            return Err(failure.at(url.as_str()));
        }
        if self.grant_for(url).is_some() {
            return Ok(false);
        }
        let new = || Arc::new(Mutex::new(Server::Unknown));
        let server = Arc::clone(&self.servers.entry(origin_of(url)).or_insert_with(new));
        let mut server = server.lock().await;
        match (&*server, token) {
            (Server::Foreign, _) => return Ok(false),
            // Another request was quicker.
            (Server::Federated(_, issued), refused) if refused.is_none_or(|r| r.text != issued.text) => return Ok(true),
            _ => {}
        }
        let Some(federated) = self.federated(client, url).await? else {
            *server = Server::Foreign;
            return Ok(false);
        };
        let token = federated.token(client).await?;
        *server = Server::Federated(federated, Issued::new(token, client.inner.clock.now_ms()));
        Ok(true)
    }

    /// The server at an address, if it says that it belongs to one of the portals. A portal that is asked by `https` has no
    /// servers by `http`.
    async fn federated(&self, client: &ArcGisClient, url: &Url) -> Result<Option<FederatedServer>, Failure> {
        let Some(at) = url.path().to_ascii_lowercase().find("/rest/") else { return Ok(None) };
        let root = format!("{}{}", &url[..url::Position::BeforePath], url.path().get(..at).unwrap_or_default());
        let reachable = |portal: &str| url.scheme() == "https" || !portal.starts_with("https:");
        let own = self.grants.iter().filter_map(|g| Some((g, g.credentials.portal.as_deref()?)));
        let portals: Vec<_> = own.filter(|(_, portal)| reachable(portal)).collect();
        if portals.is_empty() {
            return Ok(None);
        }
        let call = ServiceCall::get(&format!("{root}/rest/info"))?.in_stage(FailureStage::Read);
        let info = match client.json_without_token(&call).await {
            Ok(info) => info,
            // What may pass says nothing about whose the server is.
            Err(failure) if failure.owner == FailureOwner::Network || failure.retryable => return Err(failure),
            Err(_) => return Ok(None),
        };
        if info.pointer("/authInfo/isTokenBasedSecurity").and_then(Value::as_bool) == Some(false) {
            return Ok(None);
        }
        let owner = info.get("owningSystemUrl").and_then(Value::as_str).unwrap_or_default();
        let found = portals.into_iter().find(|(_, portal)| is_same_portal(owner, portal));
        Ok(found.map(|(grant, portal)| FederatedServer { grant: Arc::clone(grant), portal: portal.to_owned(), root }))
    }
}

/// Scheme, host and port.
fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_online(host: &str) -> bool {
    host == "arcgis.com" || host.ends_with(".arcgis.com")
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
            let call = call.clone().answer(AnswerKind::Small).with("f", "json");
            self.retried(call, false, |client, call, _| async move {
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
            TokenKeeper::new(credentials.clone()).grant_for(&parse_http(address).expect("address")).is_some()
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

    #[test]
    fn a_host_that_was_named_by_https_sees_no_token_in_the_clear() {
        let url = |address: &str| parse_http(address).expect("address");
        let raised = |keeper: &TokenKeeper, address: &str| {
            let mut url = url(address);
            keeper.raise(&mut url);
            url
        };
        let safe =
            TokenKeeper::new(Credentials::token("t").for_address("https://gis.city.example/portal").expect("address"));
        assert!(safe.grant_for(&url("https://gis.city.example:6443/x")).is_some());
        assert!(safe.grant_for(&url("http://gis.city.example:6080/x")).is_none());
        assert_eq!(raised(&safe, "http://gis.city.example/x?a=b").as_str(), "https://gis.city.example/x?a=b");
        assert_eq!(raised(&safe, "http://gis.city.example:6080/x").as_str(), "http://gis.city.example:6080/x");
        assert_eq!(raised(&safe, "http://elsewhere.example/x").scheme(), "http");
        assert_eq!(raised(&safe, "http://services1.arcgis.com/x").scheme(), "https");
        assert_eq!(raised(&safe, "http://services.arcgisonline.com/x").scheme(), "https");
        assert_eq!(raised(&safe, "http://notarcgis.com/x").scheme(), "http");
        let clear = TokenKeeper::new(Credentials::token("t").for_host("gis.city.example"));
        assert!(clear.grant_for(&url("http://gis.city.example:6080/x")).is_some());
        assert_eq!(raised(&clear, "http://gis.city.example/x").scheme(), "http");
        let grant = safe.grant_for(&url("https://gis.city.example")).cloned().expect("a grant");
        let of_server = Token { text: "t".into(), grant, server: Some(origin_of(&url("https://server.example/a"))) };
        assert!(safe.may_see(&url("https://server.example/b"), &of_server));
        assert!(!safe.may_see(&url("http://server.example/b"), &of_server));
    }

    #[test]
    fn a_host_that_is_named_has_its_own_token_and_the_first_who_names_it_counts() {
        let online = Credentials::token("online").for_address("https://www.arcgis.com").expect("address");
        let both = Credentials::none()
            .and(online)
            .and(Credentials::token("own").for_host("services7.arcgis.com").for_host("gis.city.example"))
            .and(Credentials::token("late").for_host("gis.city.example"));
        let keeper = TokenKeeper::new(both);
        let grant = |address: &str| {
            let found = keeper.grant_for(&parse_http(address).expect("address"))?;
            keeper.grants.iter().position(|g| Arc::ptr_eq(g, found))
        };
        assert_eq!(grant("https://services1.arcgis.com/x"), Some(0));
        assert_eq!(grant("https://services7.arcgis.com/x"), Some(1));
        assert_eq!(grant("https://gis.city.example/x"), Some(1));
        assert_eq!(grant("https://elsewhere.example/x"), None);
        let own = keeper.grants.get(1).cloned().expect("a grant");
        let token = Token { text: "own".into(), grant: own, server: None };
        let may_see = |address: &str| keeper.may_see(&parse_http(address).expect("address"), &token);
        assert!(may_see("https://gis.city.example/y") && !may_see("https://services1.arcgis.com/y"));
    }

    #[test]
    fn a_token_is_renewed_five_minutes_or_a_fifth_of_its_life_ahead() {
        let due = |life: Duration| Issued::new(AccessToken::new("t").good_for(life), 1000).renew_at;
        assert_eq!(due(Duration::from_hours(2)), Some(1000 + 115 * 60_000));
        assert_eq!(due(Duration::from_secs(10)), Some(9000));
        assert_eq!(due(Duration::ZERO), None);
        assert_eq!(due(Duration::MAX), None);
        assert_eq!(Issued::new(AccessToken::new("t"), 1000).renew_at, None);
    }
}
