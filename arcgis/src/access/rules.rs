//! The rules: a token goes to the hosts that it is for, and nowhere else.
//!
//! A host without a port is named for the default ports only. Where a host was named by an `https` url, no token goes there in the
//! clear: an `http` url without a port, as old web maps have them, is asked by `https`; with a port of its own it gets no token.

use super::named_host::NamedHost;
use super::token::Token;
use crate::urls::{by_https, origin_of};
use std::sync::Arc;
use url::Url;

/// The hosts of one session, and what goes to them beside its token.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionHosts {
    pub(crate) hosts: Vec<NamedHost>,
    /// The `Referer` that its tokens are bound to.
    pub(crate) referer: Option<String>,
    /// The portal that its tokens are of.
    pub(crate) portal: Option<String>,
}

/// The hosts of all sessions of a client; a session is known by its place here.
#[derive(Debug, Default)]
pub(crate) struct AccessRules(pub(crate) Vec<SessionHosts>);

impl AccessRules {
    /// Whose token the host of a url may see. A host that is named comes before ArcGIS Online's rule that all of its hosts share the
    /// token of its portal.
    pub(crate) fn session_for(&self, url: &Url) -> Option<usize> {
        let is_safe = url.scheme() == "https";
        let named = self.named(url, |h| is_safe || !h.only_https);
        let shared = is_safe && url.port().is_none() && url.host_str().is_some_and(is_online);
        let online = |s: &SessionHosts| s.hosts.iter().any(|h| h.is_default() && is_online(&h.name));
        named.or_else(|| self.0.iter().position(|session| shared && online(session)))
    }

    /// Who names the host of a url in such a way.
    fn named(&self, url: &Url, fits: impl Fn(&NamedHost) -> bool) -> Option<usize> {
        let is_it = |h: &NamedHost| h.is_of(url) && fits(h);
        self.0.iter().position(|session| session.hosts.iter().any(is_it))
    }

    /// Whether any session names a host of that name, at whatever port.
    pub(crate) fn names_host(&self, url: &Url) -> bool {
        self.0.iter().any(|session| session.hosts.iter().any(|h| url.host_str() == Some(h.name.as_str())))
    }

    /// Whether the host of an `http` url is for tokens by `https` only.
    pub(crate) fn is_withheld(&self, url: &Url) -> bool {
        url.scheme() == "http" && self.session_for(url).is_none() && self.named(url, |h| h.only_https).is_some()
    }

    /// Turns an `http` url without a port to `https` where it is known that the host has it: all of ArcGIS Online, and hosts that
    /// were named so.
    pub(crate) fn upgrade_to_https(&self, url: &mut Url) {
        if url.scheme() != "http" || url.port().is_some() {
            return;
        }
        let host = url.host_str().unwrap_or_default();
        if is_online(host) || host.ends_with(".arcgisonline.com") || self.is_withheld(url) {
            by_https(url);
        }
    }

    /// Whether the host of a url may see a token.
    pub(crate) fn is_allowed_for(&self, url: &Url, token: &Token) -> bool {
        match &token.server {
            Some(server) => *server == origin_of(url),
            None => self.session_for(url) == Some(token.session),
        }
    }

    /// The `Referer` that tokens are bound to, for a request with a token or to a host that may see one.
    fn referer(&self, url: &Url, token: Option<&Token>) -> Option<&str> {
        let session = token.map(|token| token.session).or_else(|| self.session_for(url))?;
        self.0.get(session)?.referer.as_deref()
    }
}

/// What one request may carry: its token, by the rules.
#[derive(Clone)]
pub(crate) struct Access {
    rules: Arc<AccessRules>,
    token: Option<Token>,
}

impl Access {
    pub(crate) fn new(rules: &Arc<AccessRules>, token: Option<Token>) -> Self {
        Self { rules: Arc::clone(rules), token }
    }

    /// The token, where the host of a url may see it.
    pub(crate) fn token_at(&self, url: &Url) -> Option<&Token> {
        self.token.as_ref().filter(|token| self.rules.is_allowed_for(url, token))
    }

    /// The `Referer` for a request to a url with such a token.
    pub(crate) fn referer_at(&self, url: &Url, token: Option<&Token>) -> Option<&str> {
        self.rules.referer(url, token)
    }
}

/// Whether a host is one of ArcGIS Online.
pub(crate) fn is_online(host: &str) -> bool {
    host == "arcgis.com" || host.ends_with(".arcgis.com")
}
