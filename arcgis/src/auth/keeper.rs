//! The tokens that are in use: who may see which, and when each is renewed.
//!
//! A token goes to the hosts that it is for. Another server that wants one and says that it belongs to a portal
//! (`owningSystemUrl`) gets a token of its own, if the portal makes one for it (`generateToken` with `serverUrl`): the portal's
//! own token is never shown to it.
//!
//! A token is dropped when a server says that it is invalid or expired, not when permission is missing.
//!
//! Source: `feature-service-rest` reference §6.2.

use super::credentials::Credentials;
use super::federated::{FederatedServer, Owner, PortalSession, owner_of};
use super::session::{Issued, Session};
use super::token_client::TokenClient;
use crate::access::{AccessRules, Token, TriedTokens};
use crate::body::is_unauthorized;
use crate::refused::Refused;
use crate::transport::{Tokens, Transport};
use crate::urls::{host_of, origin_of};
use async_trait::async_trait;
use dashmap::DashMap;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// How long a server's answer counts that it belongs to none of the portals.
const FOREIGN_FOR: Duration = Duration::from_mins(10);

/// What is known of a server that no session is for.
enum Server {
    Unknown,
    /// It answered that it belongs to none of the portals; it is asked again after this time, in milliseconds since 1970.
    Foreign(i64),
    Federated(FederatedServer, Issued),
}

/// Keeps the tokens that are in use; renews each once for all who wait.
pub(crate) struct TokenKeeper {
    rules: Arc<AccessRules>,
    /// In the order of the rules.
    sessions: Vec<Arc<Session>>,
    /// By origin.
    servers: DashMap<String, Arc<Mutex<Server>>>,
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeeper").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl TokenKeeper {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let (sources, hosts): (Vec<_>, Vec<_>) = credentials.sessions().into_iter().unzip();
        let sessions = sources.into_iter().map(|source| Arc::new(Session::new(source))).collect();
        Self { rules: Arc::new(AccessRules(hosts)), sessions, servers: DashMap::new() }
    }

    pub(crate) fn rules(&self) -> &Arc<AccessRules> {
        &self.rules
    }

    /// The tokens for requests of a transport.
    pub(crate) fn tokens<'a>(&'a self, transport: &Transport) -> impl Tokens + use<'a> {
        KeptTokens { keeper: self, client: TokenClient::new(transport, &self.rules) }
    }

    /// The session that may show its token to the host of a url.
    fn session_for(&self, url: &Url) -> Option<(usize, &Arc<Session>)> {
        let place = self.rules.session_for(url)?;
        Some((place, self.sessions.get(place)?))
    }

    /// The token for a url, where there is one that its host may see.
    async fn token(&self, client: &TokenClient, url: &Url) -> Result<Option<Token>, Failure> {
        if let Some((place, session)) = self.session_for(url) {
            return Ok(Some(Token { text: session.token(client).await?, session: place, server: None }));
        }
        if self.servers.is_empty() {
            return Ok(None);
        }
        let origin = origin_of(url);
        let Some(server) = self.servers.get(&origin).map(|s| Arc::clone(&s)) else { return Ok(None) };
        let mut server = server.lock().await;
        let Server::Federated(federated, issued) = &mut *server else { return Ok(None) };
        issued.renew_if_due(&*client.clock(), federated.token(client)).await;
        Ok(Some(Token { text: Arc::clone(&issued.text), session: federated.of.place, server: Some(origin) }))
    }

    /// A host refused a token, or wants one and got none: whether it is worth asking again, with another.
    async fn refused(&self, client: &TokenClient, url: &Url, token: Option<&Token>) -> Result<bool, Failure> {
        if let Some(own) = token.filter(|t| t.server.is_none()) {
            if let Some(session) = self.sessions.get(own.session) {
                session.forget(&own.text).await;
            }
            return Ok(true);
        }
        if self.rules.is_withheld(url) {
            let message = format!(
                "the service wants a token; the one for {} goes by https only, and the url is http: correct it in the map, \
                 or name {} as a host that may see the token in the clear",
                url.host_str().unwrap_or_default(),
                host_of(url)
            );
            return Err(unauthorized(url, message));
        }
        if self.session_for(url).is_some() {
            return Ok(false);
        }
        self.federate(client, url, token).await
    }

    /// Gets a token for a server that is federated with one of the portals; answers whether there is one.
    async fn federate(&self, client: &TokenClient, url: &Url, token: Option<&Token>) -> Result<bool, Failure> {
        let new = || Arc::new(Mutex::new(Server::Unknown));
        let server = Arc::clone(&self.servers.entry(origin_of(url)).or_insert_with(new));
        let mut server = server.lock().await;
        let clock = client.clock();
        match (&*server, token) {
            (Server::Foreign(until), _) if clock.now_ms() < *until => return self.foreign(url),
            // Another request was quicker.
            (Server::Federated(_, issued), refused) if refused.is_none_or(|r| r.text != issued.text) => return Ok(true),
            _ => {}
        }
        let federated = match (owner_of(url, self.portals(), client).await?, &*server) {
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

    /// The sessions that are of a portal.
    fn portals(&self) -> impl Iterator<Item = PortalSession> {
        self.rules.0.iter().zip(&self.sessions).enumerate().filter_map(|(place, (hosts, session))| {
            let (portal, referer) = (hosts.portal.clone()?, hosts.referer.clone());
            Some(PortalSession { session: Arc::clone(session), place, portal, referer })
        })
    }

    /// There is no token for a server. Where one is for another port of its host, the failure says so.
    fn foreign(&self, url: &Url) -> Result<bool, Failure> {
        if !self.rules.names_host(url) {
            return Ok(false);
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        let message = format!(
            "the service wants a token; the one for {host} is for another port than {port}, where somebody else may listen: if it \
             is one of yours, name {host}:{port} as a host that may see the token"
        );
        Err(unauthorized(url, message))
    }
}

fn unauthorized(url: &Url, message: String) -> Failure {
    let failure = Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message);
    failure.with_url(url.as_str())
}

/// The tokens of a keeper, for requests of one transport.
struct KeptTokens<'a> {
    keeper: &'a TokenKeeper,
    client: TokenClient,
}

#[async_trait]
impl Tokens for KeptTokens<'_> {
    fn rules(&self) -> &Arc<AccessRules> {
        &self.keeper.rules
    }

    async fn token(&self, url: &Url) -> Result<Option<Token>, Failure> {
        self.keeper.token(&self.client, url).await
    }

    /// No permission is not the token's fault; without any token it may be.
    async fn another(
        &self,
        tried: &mut TriedTokens,
        url: &Url,
        token: Option<&Token>,
        refused: &Refused,
    ) -> Result<bool, Failure> {
        if !refused.is_about_token && (token.is_some() || !is_unauthorized(&refused.failure)) {
            return Ok(false);
        }
        if !tried.add(token) || !self.keeper.refused(&self.client, url, token).await? {
            return Ok(false);
        }
        Ok(self.keeper.token(&self.client, url).await?.is_some_and(|next| !tried.contains(&next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::urls::parse_http;

    #[test]
    fn a_token_is_only_for_the_hosts_that_it_is_for() {
        let is_for = |credentials: &Credentials, url: &str| {
            TokenKeeper::new(credentials.clone()).rules.session_for(&parse_http(url).expect("a url")).is_some()
        };
        let own = Credentials::token("t").for_url("https://gis.city.example/portal").expect("a url");
        assert!(is_for(&own, "https://GIS.city.example/arcgis/rest"));
        assert!(!is_for(&own, "https://gis.city.example.evil.example/"));
        assert!(!is_for(&own, "https://storage.example/x"));
        let port = Credentials::token("t").for_host("127.0.0.1:6080");
        assert!(is_for(&port, "http://127.0.0.1:6080/") && !is_for(&port, "http://127.0.0.1:6081/"));
        let online = Credentials::token("t").for_url("https://www.arcgis.com").expect("a url");
        assert!(is_for(&online, "https://services1.arcgis.com/x") && !is_for(&online, "http://services1.arcgis.com/x"));
        assert!(!is_for(&Credentials::none(), "https://www.arcgis.com/"));
        assert!(!format!("{own:?}").contains("\"t\""));
    }

    #[test]
    fn a_host_that_was_named_by_https_sees_no_token_in_the_clear() {
        let url = |text: &str| parse_http(text).expect("a url");
        let upgraded = |keeper: &TokenKeeper, text: &str| {
            let mut url = url(text);
            keeper.rules.upgrade_to_https(&mut url);
            url
        };
        let safe = TokenKeeper::new(Credentials::token("t").for_url("https://gis.city.example/portal").expect("a url"));
        assert!(safe.rules.session_for(&url("https://gis.city.example:443/x")).is_some());
        assert!(safe.rules.session_for(&url("https://gis.city.example:6443/x")).is_none());
        assert!(safe.rules.session_for(&url("http://gis.city.example:6080/x")).is_none());
        assert_eq!(upgraded(&safe, "http://gis.city.example/x?a=b").as_str(), "https://gis.city.example/x?a=b");
        assert_eq!(upgraded(&safe, "http://gis.city.example:6080/x").as_str(), "http://gis.city.example:6080/x");
        assert_eq!(upgraded(&safe, "http://elsewhere.example/x").scheme(), "http");
        assert_eq!(upgraded(&safe, "http://services1.arcgis.com/x").scheme(), "https");
        assert_eq!(upgraded(&safe, "http://services.arcgisonline.com/x").scheme(), "https");
        assert_eq!(upgraded(&safe, "http://notarcgis.com/x").scheme(), "http");
        let clear = TokenKeeper::new(Credentials::token("t").for_host("gis.city.example"));
        assert!(clear.rules.session_for(&url("http://gis.city.example:80/x")).is_some());
        assert_eq!(upgraded(&clear, "http://gis.city.example/x").scheme(), "http");
        let session = safe.rules.session_for(&url("https://gis.city.example")).expect("a session");
        let of_server = Token { text: "t".into(), session, server: Some(origin_of(&url("https://server.example/a"))) };
        assert!(safe.rules.is_allowed_for(&url("https://server.example/b"), &of_server));
        assert!(!safe.rules.is_allowed_for(&url("http://server.example/b"), &of_server));
    }

    #[test]
    fn a_host_that_is_named_without_a_port_sees_the_token_at_the_default_port_only() {
        let is_for = |credentials: &Credentials, url: &str| {
            TokenKeeper::new(credentials.clone()).rules.session_for(&parse_http(url).expect("a url")).is_some()
        };
        let portal = |url: &str| Credentials::token("t").for_portal(url).expect("a url");
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
        let online = Credentials::token("online").for_url("https://www.arcgis.com").expect("a url");
        let both = Credentials::none()
            .and(online)
            .and(Credentials::token("own").for_host("services7.arcgis.com").for_host("gis.city.example"))
            .and(Credentials::token("late").for_host("gis.city.example"));
        let keeper = TokenKeeper::new(both);
        let session = |url: &str| keeper.rules.session_for(&parse_http(url).expect("a url"));
        assert_eq!(session("https://services1.arcgis.com/x"), Some(0));
        assert_eq!(session("https://services7.arcgis.com/x"), Some(1));
        assert_eq!(session("https://gis.city.example/x"), Some(1));
        assert_eq!(session("https://elsewhere.example/x"), None);
        let token = Token { text: "own".into(), session: 1, server: None };
        let is_allowed_for = |url: &str| keeper.rules.is_allowed_for(&parse_http(url).expect("a url"), &token);
        assert!(is_allowed_for("https://gis.city.example/y") && !is_allowed_for("https://services1.arcgis.com/y"));
    }
}
