//! The tokens that are in use: who may see which, and when each is renewed.
//!
//! A token goes to the hosts that it is for. Another server that wants one and says that it belongs to a portal
//! (`owningSystemUrl`) gets a token of its own, if the portal makes one for it (`generateToken` with `serverUrl`): the portal's
//! own token is never shown to it.
//!
//! A token is dropped when a server says that it is invalid or expired, not when permission is missing. A host without a port is
//! named for the default ports only.
//!
//! Where a host was named by an `https` address, no token goes there in the clear: an `http` address without a port, as old web
//! maps have them, is asked by `https`; with a port of its own it gets no token.
//!
//! Source: `feature-service-rest` reference §6.2.

use crate::answer::AnswerKind;
use crate::body::is_unauthorized;
use crate::client::{ArcGisClient, Refused, ServiceCall, by_https, host_of, parse_http};
use crate::credentials::{AccessToken, Credentials, NamedHost, TokenSource, generated_token};
use dashmap::DashMap;
use offmap_model::{Clock, Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// How long before its end a token is renewed; a fifth of its life if that is less.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// Different tokens that one request is tried with.
const MOST_TOKENS: usize = 3;
/// How long a server's word counts that it belongs to none of the portals.
const FOREIGN_FOR: Duration = Duration::from_mins(10);

/// A token as a request carries it.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: Arc<str>,
    session: Arc<Session>,
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
        let due = life.and_then(|life| i64::try_from((life - RENEW_BEFORE.min(life / 5)).as_millis()).ok());
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

/// Keeps a new token as a secret of the client, before anything is done with it.
async fn known(
    client: &ArcGisClient,
    ask: impl Future<Output = Result<AccessToken, Failure>>,
) -> Result<AccessToken, Failure> {
    let token = ask.await?;
    client.secrets().add(&token.text);
    Ok(token)
}

/// Credentials, and the token that was got with them.
struct Session {
    source: Arc<dyn TokenSource>,
    credentials: Credentials,
    current: Mutex<Option<Issued>>,
}

impl Session {
    async fn token(&self, client: &ArcGisClient) -> Result<Arc<str>, Failure> {
        let clock = &client.inner.clock;
        // The lock is held while a token is fetched: whoever else needs one waits for it instead of asking too.
        let mut current = self.current.lock().await;
        if let Some(issued) = &mut *current {
            if self.source.renews() {
                issued.renew_if_due(&**clock, known(client, self.source.token(client))).await;
            }
            return Ok(Arc::clone(&issued.text));
        }
        let token = known(client, self.source.token(client)).await?;
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
#[derive(Clone)]
struct FederatedServer {
    session: Arc<Session>,
    portal: String,
    root: String,
}

impl FederatedServer {
    /// Asks the portal for a token that is good for the server.
    async fn token(&self, client: &ArcGisClient) -> Result<AccessToken, Failure> {
        let mut tried: Vec<Arc<str>> = Vec::new();
        loop {
            let own = self.session.token(client).await?;
            let is_last = tried.len() + 1 >= MOST_TOKENS;
            let mut call = ServiceCall::post(&format!("{}/sharing/rest/generateToken", self.portal))?
                .with("token", &own)
                .with("serverUrl", &self.root)
                .with("expiration", 120)
                .in_stage(FailureStage::Read);
            if let Some(referer) = &self.session.credentials.referer {
                call = call.with("client", "referer").with("referer", referer);
            }
            let refused = match generated_token(client, &call).await {
                Ok(token) => {
                    client.secrets().add(&token.text);
                    return Ok(token);
                }
                Err(refused) => refused,
            };
            if !refused.is_about_token || is_last {
                return Err(refused.into());
            }
            self.session.forget(&own).await;
            tried.push(own);
            if tried.contains(&self.session.token(client).await?) {
                return Err(refused.into());
            }
        }
    }
}

/// What is known of a server that no grant is for.
enum Server {
    Unknown,
    /// It said that it belongs to none of the portals; it is asked again after this time, in milliseconds since 1970.
    Foreign(i64),
    Federated(FederatedServer, Issued),
}

/// Whose a server is by its own word.
enum Owner {
    Ours(FederatedServer),
    Nobodys,
    /// It did not answer as servers do, so nothing is known.
    Unclear,
}

/// The tokens that one request was tried with. A request is repeated only with a token that it was not tried with, and with
/// [`MOST_TOKENS`] at most.
#[derive(Default)]
pub(super) struct TriedTokens(Vec<Arc<str>>);

impl TriedTokens {
    /// Whether there is another token to ask with after a request was refused. No permission is not the token's fault; without
    /// any token it may be.
    pub(super) async fn another(
        &mut self,
        client: &ArcGisClient,
        url: &Url,
        token: Option<&Token>,
        refused: &Refused,
    ) -> Result<bool, Failure> {
        if !refused.is_about_token && (token.is_some() || !is_unauthorized(&refused.failure)) {
            return Ok(false);
        }
        if let Some(token) = token.filter(|t| !self.0.contains(&t.text)) {
            self.0.push(Arc::clone(&token.text));
        }
        if self.0.len() >= MOST_TOKENS {
            return Ok(false);
        }
        let keeper = &client.inner.keeper;
        if !keeper.refused(client, url, token).await? {
            return Ok(false);
        }
        Ok(keeper.token(client, url).await?.is_some_and(|next| !self.0.contains(&next.text)))
    }
}

/// Keeps the tokens that are in use; renews each once for all who wait.
pub(super) struct TokenKeeper {
    sessions: Vec<Arc<Session>>,
    /// By origin.
    servers: DashMap<String, Arc<Mutex<Server>>>,
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sessions.iter().map(|g| &g.credentials)).finish()
    }
}

impl TokenKeeper {
    pub(super) fn new(credentials: Credentials) -> Self {
        let session = |credentials: Credentials| {
            let source = Arc::clone(credentials.source.as_ref()?);
            Some(Arc::new(Session { source, credentials, current: Mutex::new(None) }))
        };
        Self { sessions: credentials.each().into_iter().filter_map(session).collect(), servers: DashMap::new() }
    }

    /// Whose token the host of an address may see. A host that is named comes before ArcGIS Online's rule that all of its hosts
    /// share the token of its portal.
    fn session_for(&self, url: &Url) -> Option<&Arc<Session>> {
        let is_safe = url.scheme() == "https";
        let named = self.named(url, |h| is_safe || !h.only_https);
        let shared = is_safe && url.port().is_none() && url.host_str().is_some_and(is_online);
        let online = |g: &Session| g.credentials.hosts.iter().any(|h| h.is_default() && is_online(&h.name));
        named.or_else(|| self.sessions.iter().find(|g| shared && online(g)))
    }

    /// Who names the host of an address in such a way.
    fn named(&self, url: &Url, fits: impl Fn(&NamedHost) -> bool) -> Option<&Arc<Session>> {
        let is_it = |h: &NamedHost| h.is_of(url) && fits(h);
        self.sessions.iter().find(|g| g.credentials.hosts.iter().any(is_it))
    }

    /// Whether the host of an `http` address is for tokens by `https` only.
    fn is_withheld(&self, url: &Url) -> bool {
        url.scheme() == "http" && self.session_for(url).is_none() && self.named(url, |h| h.only_https).is_some()
    }

    /// Raises an `http` address without a port to `https` where it is known that the host has it: all of ArcGIS Online, and hosts
    /// that were named so.
    pub(super) fn upgrade_to_https(&self, url: &mut Url) {
        if url.scheme() != "http" || url.port().is_some() {
            return;
        }
        let host = url.host_str().unwrap_or_default();
        if is_online(host) || host.ends_with(".arcgisonline.com") || self.is_withheld(url) {
            by_https(url);
        }
    }

    /// Whether the host of an address may see a token.
    pub(super) fn is_allowed_for(&self, url: &Url, token: &Token) -> bool {
        match &token.server {
            Some(server) => *server == origin_of(url),
            None => self.session_for(url).is_some_and(|session| Arc::ptr_eq(session, &token.session)),
        }
    }

    /// The `Referer` that tokens are bound to, for a request with a token or to a host that may see one.
    pub(super) fn referer<'a>(&'a self, url: &Url, token: Option<&'a Token>) -> Option<&'a str> {
        let session = token.map(|t| &t.session).or_else(|| self.session_for(url))?;
        session.credentials.referer.as_deref()
    }

    /// The token for an address, where there is one that its host may see.
    pub(super) async fn token(&self, client: &ArcGisClient, url: &Url) -> Result<Option<Token>, Failure> {
        if let Some(session) = self.session_for(url) {
            return Ok(Some(Token { text: session.token(client).await?, session: Arc::clone(session), server: None }));
        }
        let origin = origin_of(url);
        let Some(server) = self.servers.get(&origin).map(|s| Arc::clone(&s)) else { return Ok(None) };
        let mut server = server.lock().await;
        let Server::Federated(federated, issued) = &mut *server else { return Ok(None) };
        issued.renew_if_due(&*client.inner.clock, federated.token(client)).await;
        Ok(Some(Token { text: Arc::clone(&issued.text), session: Arc::clone(&federated.session), server: Some(origin) }))
    }

    /// A host refused a token, or wants one and got none: whether it is worth asking again, with another.
    pub(super) async fn refused(&self, client: &ArcGisClient, url: &Url, token: Option<&Token>) -> Result<bool, Failure> {
        if let Some(own) = token.filter(|t| t.server.is_none()) {
            own.session.forget(&own.text).await;
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
            return Err(failure.with_url(url.as_str()));
        }
        if self.session_for(url).is_some() {
            return Ok(false);
        }
        let new = || Arc::new(Mutex::new(Server::Unknown));
        let server = Arc::clone(&self.servers.entry(origin_of(url)).or_insert_with(new));
        let mut server = server.lock().await;
        let clock = &client.inner.clock;
        match (&*server, token) {
            (Server::Foreign(until), _) if clock.now_ms() < *until => return self.foreign(url),
            // Another request was quicker.
            (Server::Federated(_, issued), refused) if refused.is_none_or(|r| r.text != issued.text) => return Ok(true),
            _ => {}
        }
        let federated = match (self.owner(client, url).await?, &*server) {
            (Owner::Ours(federated), _) => federated,
            // It was known before; one odd answer does not change that.
            (Owner::Unclear, Server::Federated(known, _)) => known.clone(),
            (Owner::Unclear, _) => return self.foreign(url),
            (Owner::Nobodys, _) => {
                let time = i64::try_from(FOREIGN_FOR.as_millis()).unwrap_or(i64::MAX);
                *server = Server::Foreign(clock.now_ms().saturating_add(time));
                return self.foreign(url);
            }
        };
        let token = federated.token(client).await?;
        *server = Server::Federated(federated, Issued::new(token, clock.now_ms()));
        Ok(true)
    }

    /// There is no token for a server. Where one is for another port of its host, the failure says so.
    fn foreign(&self, url: &Url) -> Result<bool, Failure> {
        let names = |h: &NamedHost| url.host_str() == Some(h.name.as_str());
        if !self.sessions.iter().any(|g| g.credentials.hosts.iter().any(names)) {
            return Ok(false);
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        let message = format!(
            "the service wants a token; the one for {host} is for another port than {port}, where somebody else may listen: if it \
             is one of yours, name {host}:{port} as a host that may see the token"
        );
        let failure = Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message);
        Err(failure.with_url(url.as_str()))
    }

    /// Whose the server at an address is. A portal that is asked by `https` has no servers by `http`.
    async fn owner(&self, client: &ArcGisClient, url: &Url) -> Result<Owner, Failure> {
        let Some(at) = url.path().to_ascii_lowercase().find("/rest/") else { return Ok(Owner::Unclear) };
        let root = format!("{}{}", &url[..url::Position::BeforePath], url.path().get(..at).unwrap_or_default());
        let reachable = |portal: &str| url.scheme() == "https" || !portal.starts_with("https:");
        let own = self.sessions.iter().filter_map(|g| Some((g, g.credentials.portal.as_deref()?)));
        let portals: Vec<_> = own.filter(|(_, portal)| reachable(portal)).collect();
        if portals.is_empty() {
            return Ok(Owner::Unclear);
        }
        let call = ServiceCall::get(&format!("{root}/rest/info"))?.in_stage(FailureStage::Read);
        let info = match client.json_without_token(&call).await {
            Ok(info) => info,
            // What may pass says nothing about whose the server is.
            Err(refused) if refused.failure.owner == FailureOwner::Network || refused.failure.retryable => {
                return Err(refused.into());
            }
            Err(refused) => {
                tracing::debug!(failure = %refused.failure, "a server does not say whose it is");
                return Ok(Owner::Unclear);
            }
        };
        let owner = match info.get("owningSystemUrl") {
            Some(Value::String(owner)) => owner.as_str(),
            None | Some(Value::Null) => "",
            Some(_) => return Ok(Owner::Unclear),
        };
        let is_info =
            ["currentVersion", "fullVersion", "authInfo", "owningSystemUrl"].iter().any(|key| info.get(key).is_some());
        if !is_info {
            return Ok(Owner::Unclear);
        }
        if info.pointer("/authInfo/isTokenBasedSecurity").and_then(Value::as_bool) == Some(false) {
            return Ok(Owner::Nobodys);
        }
        let found = portals.into_iter().find(|(_, portal)| is_same_portal(owner, portal));
        let ours = |(session, portal): (&Arc<Session>, &str)| FederatedServer {
            session: Arc::clone(session),
            portal: portal.to_owned(),
            root,
        };
        Ok(found.map_or(Owner::Nobodys, |found| Owner::Ours(ours(found))))
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
    ) -> Pin<Box<dyn Future<Output = Result<Value, Refused>> + Send + 'a>> {
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
            TokenKeeper::new(credentials.clone()).session_for(&parse_http(address).expect("address")).is_some()
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
            keeper.upgrade_to_https(&mut url);
            url
        };
        let safe =
            TokenKeeper::new(Credentials::token("t").for_address("https://gis.city.example/portal").expect("address"));
        assert!(safe.session_for(&url("https://gis.city.example:443/x")).is_some());
        assert!(safe.session_for(&url("https://gis.city.example:6443/x")).is_none());
        assert!(safe.session_for(&url("http://gis.city.example:6080/x")).is_none());
        assert_eq!(raised(&safe, "http://gis.city.example/x?a=b").as_str(), "https://gis.city.example/x?a=b");
        assert_eq!(raised(&safe, "http://gis.city.example:6080/x").as_str(), "http://gis.city.example:6080/x");
        assert_eq!(raised(&safe, "http://elsewhere.example/x").scheme(), "http");
        assert_eq!(raised(&safe, "http://services1.arcgis.com/x").scheme(), "https");
        assert_eq!(raised(&safe, "http://services.arcgisonline.com/x").scheme(), "https");
        assert_eq!(raised(&safe, "http://notarcgis.com/x").scheme(), "http");
        let clear = TokenKeeper::new(Credentials::token("t").for_host("gis.city.example"));
        assert!(clear.session_for(&url("http://gis.city.example:80/x")).is_some());
        assert_eq!(raised(&clear, "http://gis.city.example/x").scheme(), "http");
        let session = safe.session_for(&url("https://gis.city.example")).cloned().expect("a grant");
        let of_server = Token { text: "t".into(), session, server: Some(origin_of(&url("https://server.example/a"))) };
        assert!(safe.is_allowed_for(&url("https://server.example/b"), &of_server));
        assert!(!safe.is_allowed_for(&url("http://server.example/b"), &of_server));
    }

    #[test]
    fn a_host_that_is_named_without_a_port_sees_the_token_at_the_default_port_only() {
        let is_for = |credentials: &Credentials, address: &str| {
            TokenKeeper::new(credentials.clone()).session_for(&parse_http(address).expect("address")).is_some()
        };
        let portal = |address: &str| Credentials::token("t").for_portal(address).expect("address");
        let host = |host: &str| Credentials::token("t").for_host(host);
        for (credentials, good, bad) in [
            (portal("http://127.0.0.8"), "http://127.0.0.8/x", "http://127.0.0.8:9931/x"),
            (portal("http://127.0.0.8"), "https://127.0.0.8:443/x", "https://127.0.0.8:80/x"),
            (portal("https://GIS.Example/p"), "https://gis.example:443/x", "https://gis.example:7443/x"),
            (portal("https://gis.example:443"), "https://gis.example/x", "https://gis.example.:443/x"),
            (portal("https://gis.example:7443/p"), "https://gis.example:7443/x", "https://gis.example/x"),
            (portal("https://www.arcgis.com"), "https://services.arcgis.com/x", "https://services.arcgis.com:8443/x"),
            (portal("https://www.arcgis.com:8443"), "https://www.arcgis.com:8443/x", "https://services.arcgis.com/x"),
            (host("GIS.example "), "http://gis.example:80/x", "http://gis.example:6080/x"),
            (host("gis.example"), "https://gis.example/x", "https://gis.example:6443/x"),
            (host("gis.example:443"), "https://gis.example/x", "http://gis.example/x"),
            (host("gis.example:6080"), "http://GIS.example:6080/x", "http://gis.example:60800/x"),
            (host("[::1]:6080"), "http://[0:0::1]:6080/x", "http://[::1]/x"),
            (host("[::1]"), "http://[::1]/x", "http://[::1]:6080/x"),
        ] {
            assert!(is_for(&credentials, good), "{credentials:?} {good}");
            assert!(!is_for(&credentials, bad), "{credentials:?} {bad}");
        }
        for nobody in ["", ":80", "https://gis.example", "gis.example/", "gis.example:x", "user@gis.example"] {
            assert!(
                !is_for(&host(nobody), "https://gis.example/x") && !is_for(&host(nobody), "http://gis.example/x"),
                "{nobody}"
            );
        }
    }

    #[test]
    fn a_host_that_is_named_has_its_own_token_and_the_first_who_names_it_counts() {
        let online = Credentials::token("online").for_address("https://www.arcgis.com").expect("address");
        let both = Credentials::none()
            .and(online)
            .and(Credentials::token("own").for_host("services7.arcgis.com").for_host("gis.city.example"))
            .and(Credentials::token("late").for_host("gis.city.example"));
        let keeper = TokenKeeper::new(both);
        let session = |address: &str| {
            let found = keeper.session_for(&parse_http(address).expect("address"))?;
            keeper.sessions.iter().position(|g| Arc::ptr_eq(g, found))
        };
        assert_eq!(session("https://services1.arcgis.com/x"), Some(0));
        assert_eq!(session("https://services7.arcgis.com/x"), Some(1));
        assert_eq!(session("https://gis.city.example/x"), Some(1));
        assert_eq!(session("https://elsewhere.example/x"), None);
        let own = keeper.sessions.get(1).cloned().expect("a grant");
        let token = Token { text: "own".into(), session: own, server: None };
        let is_allowed_for = |address: &str| keeper.is_allowed_for(&parse_http(address).expect("address"), &token);
        assert!(is_allowed_for("https://gis.city.example/y") && !is_allowed_for("https://services1.arcgis.com/y"));
    }

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
