//! Servers that say that they belong to a portal, and get tokens of their own from it.

use super::session::Session;
use super::source::{AccessToken, generated_token};
use super::token_client::TokenClient;
use crate::access::{MOST_TOKENS, is_online};
use crate::call::ServiceCall;
use crate::urls::{host_of, parse_http};
use offmap_model::{Failure, FailureOwner, FailureStage};
use serde_json::Value;
use std::sync::Arc;
use url::Url;

/// A session that is of a portal.
#[derive(Clone)]
pub(super) struct PortalSession {
    pub(super) session: Arc<Session>,
    /// Its place in the rules.
    pub(super) place: usize,
    pub(super) portal: String,
    pub(super) referer: Option<String>,
}

/// A server that is federated with a session's portal.
#[derive(Clone)]
pub(super) struct FederatedServer {
    pub(super) of: PortalSession,
    root: String,
}

/// Whose a server is by its own answer.
pub(super) enum Owner {
    Ours(FederatedServer),
    Nobodys,
    /// It did not answer as servers do, so nothing is known.
    Unclear,
}

impl FederatedServer {
    /// Asks the portal for a token that is good for the server.
    pub(super) async fn token(&self, client: &TokenClient) -> Result<AccessToken, Failure> {
        let mut tried: Vec<Arc<str>> = Vec::new();
        loop {
            let own = self.of.session.token(client).await?;
            let is_last = tried.len() + 1 >= MOST_TOKENS;
            let mut call = ServiceCall::post(&format!("{}/sharing/rest/generateToken", self.of.portal))?
                .with("token", &own)
                .with("serverUrl", &self.root)
                .with("expiration", 120)
                .in_stage(FailureStage::Read);
            if let Some(referer) = &self.of.referer {
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
            self.of.session.forget(&own).await;
            tried.push(own);
            if tried.contains(&self.of.session.token(client).await?) {
                return Err(refused.into());
            }
        }
    }
}

/// Asks the server at a url whose it is. A portal that is asked by `https` has no servers by `http`.
pub(super) async fn owner_of(
    url: &Url,
    portals: impl Iterator<Item = PortalSession>,
    client: &TokenClient,
) -> Result<Owner, Failure> {
    let Some(at) = url.path().to_ascii_lowercase().find("/rest/") else { return Ok(Owner::Unclear) };
    let root = format!("{}{}", &url[..url::Position::BeforePath], url.path().get(..at).unwrap_or_default());
    let reachable = |of: &PortalSession| url.scheme() == "https" || !of.portal.starts_with("https:");
    let portals: Vec<_> = portals.filter(reachable).collect();
    if portals.is_empty() {
        return Ok(Owner::Unclear);
    }
    let call = ServiceCall::get(&format!("{root}/rest/info"))?.in_stage(FailureStage::Read);
    let info = match client.ask(&call).await {
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
    let keys = ["currentVersion", "fullVersion", "authInfo", "owningSystemUrl"];
    if !keys.iter().any(|key| info.get(key).is_some()) {
        return Ok(Owner::Unclear);
    }
    if info.pointer("/authInfo/isTokenBasedSecurity").and_then(Value::as_bool) == Some(false) {
        return Ok(Owner::Nobodys);
    }
    let of = portals.into_iter().find(|of| is_same_portal(owner, &of.portal));
    Ok(of.map_or(Owner::Nobodys, |of| Owner::Ours(FederatedServer { of, root })))
}

/// Whether two urls are of one portal; all of ArcGIS Online is one.
fn is_same_portal(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (parse_http(a), parse_http(b)) else { return false };
    let path = |url: &Url| url.path().trim_end_matches('/').to_ascii_lowercase();
    let (x, y) = (host_of(&a), host_of(&b));
    (is_online(&x) && is_online(&y)) || (x == y && path(&a) == path(&b))
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
}
