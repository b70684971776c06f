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
use super::credentials::{AccessToken, Credentials, NamedHost, generated_token};
use super::{ArcGisClient, ServiceCall, host_of, parse_http};
use dashmap::DashMap;
use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage};
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
    /// Whose credentials it is of.
    grant: usize,
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

    fn is_due(&self, now_ms: i64) -> bool {
        self.renew_at.is_some_and(|at| now_ms >= at)
    }

    /// Takes the place of this one; if there is no other, this one stays until it is refused.
    fn renewed(&mut self, answer: Result<AccessToken, Failure>, now_ms: i64) {
        match answer {
            Ok(token) => *self = Self::new(token, now_ms),
            Err(failure) => {
                tracing::debug!(%failure, "a token is about to end and could not be renewed yet");
                self.renew_at = None;
            }
        }
    }
}

/// Credentials, and the token that was got with them.
struct Grant {
    credentials: Credentials,
    current: Mutex<Option<Issued>>,
}

/// What is known of a server that no grant is for.
enum Server {
    Unknown,
    /// It belongs to none of the portals.
    Foreign,
    Federated {
        grant: usize,
        root: String,
        issued: Issued,
    },
}

/// Keeps the tokens that are in use; renews each once for all who wait.
pub(super) struct TokenKeeper {
    grants: Vec<Grant>,
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
        let each = credentials.each().into_iter().filter(|c| c.source.is_some());
        let grants = each.map(|credentials| Grant { credentials, current: Mutex::new(None) }).collect();
        Self { grants, servers: DashMap::new() }
    }

    /// Whose token the host of an address may see. A host that is named comes before ArcGIS Online's rule that all of its hosts
    /// share the token of its portal.
    fn grant_for(&self, url: &Url) -> Option<usize> {
        let is_safe = url.scheme() == "https";
        let named = self.named(url, |h| is_safe || !h.only_https);
        let shared = is_safe && url.host_str().is_some_and(is_online);
        let online = |g: &Grant| g.credentials.hosts.iter().any(|h| is_online(&h.name));
        named.or_else(|| self.grants.iter().position(|g| shared && online(g)))
    }

    /// Who names the host of an address in such a way.
    fn named(&self, url: &Url, fits: impl Fn(&NamedHost) -> bool) -> Option<usize> {
        let (host, with_port) = (url.host_str().unwrap_or_default(), host_of(url));
        let is_it = |h: &NamedHost| (h.name == host || h.name == with_port) && fits(h);
        self.grants.iter().position(|g| g.credentials.hosts.iter().any(is_it))
    }

    /// Whether the host of an `http` address is for tokens by `https` only.
    fn is_withheld(&self, url: &Url) -> bool {
        url.scheme() == "http" && self.grant_for(url).is_none() && self.named(url, |h| h.only_https).is_some()
    }

    /// Raises an `http` address without a port to `https` where it is known that the host has it: all of ArcGIS Online, and hosts
    /// that were named so.
    pub(super) fn raised(&self, url: &Url) -> Url {
        let mut raised = url.clone();
        let host = url.host_str().unwrap_or_default();
        let has_https = is_online(host) || host.ends_with(".arcgisonline.com") || self.is_withheld(url);
        if url.scheme() == "http" && url.port().is_none() && has_https {
            // Both are special schemes, so the change cannot fail.
            let _ = raised.set_scheme("https");
        }
        raised
    }

    /// Whether the host of an address may see a token.
    pub(super) fn may_see(&self, url: &Url, token: &Token) -> bool {
        match &token.server {
            Some(server) => *server == origin_of(url),
            None => self.grant_for(url) == Some(token.grant),
        }
    }

    /// The `Referer` that tokens are bound to, for a request with a token or to a host that may see one.
    pub(super) fn referer(&self, url: &Url, token: Option<&Token>) -> Option<&str> {
        let grant = token.map(|t| t.grant).or_else(|| self.grant_for(url))?;
        self.grants.get(grant)?.credentials.referer.as_deref()
    }

    /// The token for an address, where there is one that its host may see.
    pub(super) async fn token(&self, client: &ArcGisClient, url: &Url) -> Result<Option<Token>, Failure> {
        if let Some(grant) = self.grant_for(url) {
            return Ok(self.own(client, grant).await?.map(|text| Token { text, grant, server: None }));
        }
        let origin = origin_of(url);
        let Some(server) = self.servers.get(&origin).map(|s| Arc::clone(&s)) else { return Ok(None) };
        let mut server = server.lock().await;
        let Server::Federated { grant, root, issued } = &mut *server else { return Ok(None) };
        if issued.is_due(client.inner.clock.now_ms()) {
            let answer = self.server_token(client, *grant, root).await;
            issued.renewed(answer, client.inner.clock.now_ms());
        }
        Ok(Some(Token { text: Arc::clone(&issued.text), grant: *grant, server: Some(origin) }))
    }

    async fn own(&self, client: &ArcGisClient, grant: usize) -> Result<Option<Arc<str>>, Failure> {
        let Some(grant) = self.grants.get(grant) else { return Ok(None) };
        let Some(source) = &grant.credentials.source else { return Ok(None) };
        // The lock is held while a token is fetched: whoever else needs one waits for it instead of asking too.
        let mut current = grant.current.lock().await;
        match &mut *current {
            Some(issued) if source.renews() && issued.is_due(client.inner.clock.now_ms()) => {
                let answer = source.token(client).await;
                issued.renewed(answer, client.inner.clock.now_ms());
            }
            Some(_) => {}
            None => *current = Some(Issued::new(source.token(client).await?, client.inner.clock.now_ms())),
        }
        Ok(current.as_ref().map(|issued| Arc::clone(&issued.text)))
    }

    /// Drops a grant's token that was refused, unless another one took its place already.
    async fn forget(&self, grant: usize, refused: &Arc<str>) {
        let Some(grant) = self.grants.get(grant) else { return };
        let renews = grant.credentials.source.as_ref().is_some_and(|s| s.renews());
        let mut current = grant.current.lock().await;
        if renews && current.as_ref().is_some_and(|issued| issued.text == *refused) {
            *current = None;
        }
    }

    /// A host refused a token, or wants one and got none: whether it is worth asking again, with another.
    pub(super) async fn refused(&self, client: &ArcGisClient, url: &Url, token: Option<&Token>) -> Result<bool, Failure> {
        if let Some(own) = token.filter(|t| t.server.is_none()) {
            self.forget(own.grant, &own.text).await;
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
        if self.grants.iter().all(|g| g.credentials.portal.is_none()) || self.grant_for(url).is_some() {
            return Ok(false);
        }
        let new = || Arc::new(Mutex::new(Server::Unknown));
        let server = Arc::clone(&self.servers.entry(origin_of(url)).or_insert_with(new));
        let mut server = server.lock().await;
        match (&*server, token) {
            (Server::Foreign, _) => return Ok(false),
            // Another request was quicker.
            (Server::Federated { issued, .. }, refused) if refused.is_none_or(|r| r.text != issued.text) => return Ok(true),
            _ => {}
        }
        let Some((grant, root)) = self.owner_of(client, url).await? else {
            *server = Server::Foreign;
            return Ok(false);
        };
        let token = self.server_token(client, grant, &root).await?;
        *server = Server::Federated { grant, root, issued: Issued::new(token, client.inner.clock.now_ms()) };
        Ok(true)
    }

    /// Whose portal the server at an address says that it belongs to, and the server's root. A portal that is asked by `https`
    /// has no servers by `http`.
    async fn owner_of(&self, client: &ArcGisClient, url: &Url) -> Result<Option<(usize, String)>, Failure> {
        let Some(at) = url.path().to_ascii_lowercase().find("/rest/") else { return Ok(None) };
        let root = format!("{}{}", &url[..url::Position::BeforePath], url.path().get(..at).unwrap_or_default());
        let reachable = |portal: &str| url.scheme() == "https" || !portal.starts_with("https:");
        let portals = || self.grants.iter().map(|g| g.credentials.portal.as_deref().filter(|portal| reachable(portal)));
        if portals().all(|portal| portal.is_none()) {
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
        let grant = portals().position(|portal| portal.is_some_and(|portal| is_same_portal(owner, portal)));
        Ok(grant.map(|grant| (grant, root)))
    }

    /// Asks a portal for a token that is good for one of its servers.
    async fn server_token(&self, client: &ArcGisClient, grant: usize, root: &str) -> Result<AccessToken, Failure> {
        let credentials = self.grants.get(grant).map(|g| &g.credentials);
        let portal = credentials.and_then(|c| c.portal.as_deref()).unwrap_or_default();
        let referer = credentials.and_then(|c| c.referer.as_deref());
        let mut renewed = false;
        loop {
            let own = self.own(client, grant).await?.unwrap_or_default();
            let mut call = ServiceCall::post(&format!("{portal}/sharing/rest/generateToken"))?
                .with("token", &own)
                .with("serverUrl", root)
                .with("expiration", 120)
                .in_stage(FailureStage::Read);
            if let Some(referer) = referer {
                call = call.with("client", "referer").with("referer", referer);
            }
            match generated_token(client, &call).await {
                Err(failure) if is_token_error(&failure) && !renewed => {
                    renewed = true;
                    self.forget(grant, &own).await;
                }
                answer => return answer,
            }
        }
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
        let named = |c: Credentials| TokenKeeper::new(c);
        let url = |address: &str| parse_http(address).expect("address");
        let safe = named(Credentials::token("t").for_address("https://gis.city.example/portal").expect("address"));
        assert!(safe.grant_for(&url("https://gis.city.example:6443/x")).is_some());
        assert!(safe.grant_for(&url("http://gis.city.example:6080/x")).is_none());
        assert_eq!(safe.raised(&url("http://gis.city.example/x?a=b")).as_str(), "https://gis.city.example/x?a=b");
        assert_eq!(safe.raised(&url("http://gis.city.example:6080/x")).as_str(), "http://gis.city.example:6080/x");
        assert_eq!(safe.raised(&url("http://elsewhere.example/x")).scheme(), "http");
        assert_eq!(safe.raised(&url("http://services1.arcgis.com/x")).scheme(), "https");
        assert_eq!(safe.raised(&url("http://services.arcgisonline.com/x")).scheme(), "https");
        assert_eq!(safe.raised(&url("http://notarcgis.com/x")).scheme(), "http");
        let clear = named(Credentials::token("t").for_host("gis.city.example"));
        assert!(clear.grant_for(&url("http://gis.city.example:6080/x")).is_some());
        assert_eq!(clear.raised(&url("http://gis.city.example/x")).scheme(), "http");
        let of_server = Token { text: "t".into(), grant: 0, server: Some(origin_of(&url("https://server.example/a"))) };
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
        let grant = |address: &str| keeper.grant_for(&parse_http(address).expect("address"));
        assert_eq!(grant("https://services1.arcgis.com/x"), Some(0));
        assert_eq!(grant("https://services7.arcgis.com/x"), Some(1));
        assert_eq!(grant("https://gis.city.example/x"), Some(1));
        assert_eq!(grant("https://elsewhere.example/x"), None);
        let token = Token { text: "own".into(), grant: 1, server: None };
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
