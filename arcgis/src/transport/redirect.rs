//! The one rule of redirects, for every request that the client sends.
//!
//! 1. A request that signs in (its own parameters hold a password, client secret, code, refresh token or token) is not redirected.
//! 2. Within an origin (scheme, host, port; `http` to `https` of one host on the default ports counts as the same) 301, 302, 307
//!    and 308 keep method and form, 303 drops them.
//! 3. To another origin a GET goes as the `Location` stands, without any parameter of the request; a form does not go, but for
//!    303 of a form without a secret. A `Location` that repeats a secret is refused.
//! 4. A service that a GET finds at another place of the same host is asked there from then on (`moves`).
//! 5. What is downloaded directly does not go on to another host whose terms forbid that.
//! 6. A managed token is attached where the host may see it, and the secrets of a layer at their origin, but no more once a host that
//!    may not see it, or a step from `https` to `http`, was on the way: then somebody else chooses what is asked.

use super::governor::{Permit, Weight};
use super::http::Transport;
use super::moves;
use crate::access::Access;
use crate::call::ServiceCall;
use crate::refused::Refused;
use crate::secret_query::signs_in;
use crate::urls::{by_https, is_same_place};
use offmap_model::failure::without_secrets;
use offmap_model::{Failure, FailureKind, FailureOwner};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Response, StatusCode};
use url::Url;

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Names of secrets in the query of a url that a map has. The signature of a storage's url is no secret from where the
/// storage itself leads.
const IN_URLS: [&str; 7] = ["token", "access_token", "apikey", "api_key", "api-key", "key", "subscription-key"];
/// Shortest secret that is looked for anywhere in a `Location`; a shorter one counts only as the value of its own parameter.
const LEAST_IN_TEXT: usize = 6;

/// What is asked next.
#[derive(Clone)]
struct Hop {
    url: Url,
    parameters: Vec<(String, String)>,
    form: bool,
    /// Whether a managed token and the secrets of the layer may still be attached.
    with_token: bool,
}

/// How the last hop was sent.
struct Sent<'a> {
    form: bool,
    token: Option<&'a str>,
}

/// Reads a `Location`.
///
/// # Errors
/// Why it leads nowhere, as text.
fn target(from: &Url, location: &[u8]) -> Result<Url, String> {
    let mut base = from.clone();
    // User information of the url that was asked is not inherited. Both only fail for urls without a host.
    let _ = base.set_username("");
    let _ = base.set_password(None);
    let text = std::str::from_utf8(location).map_err(|_| "a url that is not text".to_owned())?;
    let mut url = base.join(text.trim()).map_err(|_| "a url that cannot be read".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("a url by `{}`, which is not http", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("a url at {} with user and password in it", url.origin().ascii_serialization()));
    }
    // What was asked by https is not asked in the clear.
    if from.scheme() == "https" && url.scheme() == "http" && url.port().is_none() && from.host() == url.host() {
        by_https(&mut url);
    }
    Ok(url)
}

fn decoded(text: &str) -> String {
    // A form's decoder also turns `+` to a space, which no secret has.
    let pairs = url::form_urlencoded::parse(text.as_bytes()).map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&").to_lowercase()
}

/// Whether a url has a secret in it, in any part and as it stands or percent-encoded.
fn repeats(url: &Url, secrets: &[(&str, &str)]) -> bool {
    let (plain, text) = (url.as_str().to_lowercase(), decoded(url.as_str()));
    secrets.iter().filter(|(_, value)| !value.is_empty()).any(|(name, value)| {
        let lower = value.to_lowercase();
        match value.len() {
            LEAST_IN_TEXT.. => plain.contains(&lower) || text.contains(&lower),
            _ => url.query_pairs().any(|(found, word)| found.eq_ignore_ascii_case(name) && word == **value),
        }
    })
}

/// A url for people: without query, and without what repeats a secret.
fn place(url: &Url, secrets: &[(&str, &str)]) -> String {
    let path = decoded(url.path());
    if secrets.iter().all(|(_, value)| value.is_empty() || !path.contains(&value.to_lowercase())) {
        return without_secrets(url.as_str());
    }
    let origin = url.origin().ascii_serialization();
    match Url::parse(&origin) {
        Ok(bare) if !repeats(&bare, secrets) => origin,
        _ => "a url that repeats a secret".to_owned(),
    }
}

impl ServiceCall {
    fn signs_in(&self) -> bool {
        self.parameters.iter().any(|(name, _)| signs_in(name))
    }

    /// Secrets of the request: of its form or query, of its layer, and of the url that it was made with.
    fn secret_pairs(&self) -> Vec<(String, String)> {
        let in_urls = |name: &str| IN_URLS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        let own = self.parameters.iter().filter(|(name, _)| signs_in(name)).cloned();
        let of_layer = self.secrets.parameters_for(&self.url).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let pairs = self.url.query_pairs().into_owned();
        own.chain(of_layer).chain(pairs.filter(|(name, _)| signs_in(name) || in_urls(name))).collect()
    }
}

/// Why what is downloaded directly does not go on to another host, where its terms forbid that.
fn forbidden(call: &ServiceCall, from: &Url, to: &Url) -> Option<String> {
    let hosts = call.direct_from.as_ref().filter(|_| from.host() != to.host())?;
    hosts.refused(&without_secrets(call.url.as_str()), to.as_str())
}

impl Hop {
    fn first(call: &ServiceCall) -> Self {
        Self { url: call.url.clone(), parameters: call.parameters.clone(), form: call.post, with_token: true }
    }

    /// The rule. `is_allowed_for` answers whether a host may see the token that was sent.
    fn next(
        &self,
        call: &ServiceCall,
        sent: &Sent<'_>,
        status: StatusCode,
        location: &[u8],
        is_allowed_for: impl Fn(&Url) -> bool,
    ) -> Result<Self, Failure> {
        let asked = self.url.origin().ascii_serialization();
        let refused = |owner, message: String| {
            Failure::new(owner, FailureKind::InvalidAnswer, call.stage, message).with_url(call.url.as_str())
        };
        let source = |what: String| refused(FailureOwner::Source, format!("{asked} redirects to {what}"));
        let target = target(&self.url, location).map_err(source)?;
        let own = call.secret_pairs();
        let mut secrets: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        secrets.extend(sent.token.map(|token| ("token", token)));
        if call.signs_in() {
            let place = place(&target, &secrets);
            let portal = place.split("/sharing/").next().unwrap_or_default();
            let message = format!(
                "{asked} redirects a sign-in to {place}; password, secret and token are not sent on: if that is the right place, \
                 give {portal} as the portal"
            );
            return Err(refused(FailureOwner::Credentials, message));
        }
        if let Some(words) = forbidden(call, &self.url, &target) {
            let message = format!("{asked} redirects to a host that forbids it: {words}");
            return Err(Failure { kind: FailureKind::NotSupported, ..refused(FailureOwner::Source, message) });
        }
        let keeps = status != StatusCode::SEE_OTHER;
        if is_same_place(&self.url, &target) {
            let form = sent.form && keeps;
            let parameters = if sent.form && !keeps { Vec::new() } else { self.parameters.clone() };
            return Ok(Self { url: target, parameters, form, with_token: self.with_token });
        }
        let is_secret = sent.token.is_some() || !own.is_empty();
        if sent.form && (keeps || is_secret) {
            return Err(source(format!(
                "{}, another origin, where a form is not sent on; if that is the service's place, put its url into the map",
                place(&target, &secrets)
            )));
        }
        let is_safe = self.url.scheme() == "http" || target.scheme() == "https";
        let with_token = self.with_token && is_safe && is_allowed_for(&target);
        if with_token {
            secrets.retain(|(_, value)| Some(*value) != sent.token);
        }
        if repeats(&target, &secrets) {
            return Err(source(format!(
                "{}, another origin, with a secret of the request in the url; if that is the service's place, put its \
                 url into the map",
                place(&target, &secrets)
            )));
        }
        Ok(Self { url: target, parameters: Vec::new(), form: false, with_token })
    }
}

/// The target of an answer that is a redirect.
fn location(response: &Response) -> Option<&[u8]> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    response.headers().get(LOCATION).filter(|_| is_redirect).map(|value| value.as_bytes())
}

impl Transport {
    /// Sends a request and follows its redirects. `headers` go with every hop; each hop waits for its host's turn by `weight`, or not
    /// at all.
    pub(crate) async fn follow(
        &self,
        call: &ServiceCall,
        access: &Access,
        headers: &HeaderMap,
        weight: Option<Weight>,
    ) -> Result<Response, Refused> {
        self.follow_with_permit(call, access, headers, weight).await.map(|(response, _)| response)
    }

    /// The same, and the permit of the last hop: who holds it on counts as under way until the body has come.
    pub(crate) async fn follow_with_permit(
        &self,
        call: &ServiceCall,
        access: &Access,
        headers: &HeaderMap,
        weight: Option<Weight>,
    ) -> Result<(Response, Option<Permit>), Refused> {
        let mut hop = Hop::first(call);
        hop.url = self.without_repeated_secrets(call, hop.url);
        let (first, mut is_move) = (hop.url.clone(), !call.signs_in());
        for _ in 0..=MAX_REDIRECTS {
            let permit = match weight {
                Some(weight) => Some(self.permit(&hop.url, weight, call.deadline).await?),
                None => None,
            };
            let attached = access.token_at(&hop.url).filter(|_| hop.with_token);
            let parameters = call.parameters_at(&hop.url, &hop.parameters, hop.with_token);
            let (request, form) = self.request(&hop.url, parameters, access, attached, hop.form);
            let response = self.execute(call, request, headers, permit.as_ref()).await?;
            let Some(location) = location(&response) else {
                if is_move && hop.url != first && response.status().is_success() {
                    self.learn_move(&first, &hop.url);
                }
                return Ok((response, permit));
            };
            drop(permit);
            is_move &= !form && matches!(response.status().as_u16(), 301 | 302 | 308);
            let sent = Sent { form, token: attached.map(|token| &*token.text) };
            let to = |url: &Url| access.token_at(url).is_some();
            let next = hop.next(call, &sent, response.status(), location, to)?;
            // What another host, or one that answered in the clear, answers about the service's place is not to be trusted.
            is_move &= next.url.host() == first.host() && !(hop.url.scheme() == "https" && next.url.scheme() == "http");
            hop = next;
        }
        let message = format!("{} redirects more than {MAX_REDIRECTS} times", call.url.origin().ascii_serialization());
        let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message);
        Err(failure.with_url(call.url.as_str()).into())
    }

    /// Learns from the redirects of a GET, and logs it once.
    fn learn_move(&self, from: &Url, to: &Url) {
        if self.moves().learn(from, to) {
            let notice = moves::notice(from, to);
            tracing::info!("{notice}");
            self.log(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::urls::parse_http;
    use offmap_model::{DirectDownloadHosts, LayerSecrets};
    use std::sync::Arc;

    fn url(text: &str) -> Url {
        parse_http(text).expect("a url")
    }

    /// Where a GET at `from` with a token and an API key goes, and with what.
    fn goes(from: &str, status: u16, location: &str) -> Result<Hop, Failure> {
        let call = ServiceCall::get(from).expect("a url");
        let mut secrets = LayerSecrets::default();
        secrets.add(&call.url, "apiKey", "key-key-key");
        let call = call.with("lang", "en").with_secrets(&secrets);
        let sent = Sent { form: false, token: Some("token-token") };
        let status = StatusCode::from_u16(status).expect("a status");
        let named = |to: &Url| to.host_str() == Some("a.example") && to.port().is_none();
        Hop::first(&call).next(&call, &sent, status, location.as_bytes(), named)
    }

    #[test]
    fn only_the_same_scheme_host_and_port_are_the_same_place() {
        for (from, to) in [
            ("https://a.example/x", "https://a.example:443/y"),
            ("https://a.example/x", "HTTPS://A.Example/y"),
            ("http://a.example:80/x", "http://a.example/y"),
            ("http://a.example/x", "https://a.example:443/y"),
            ("http://127.0.0.1/x", "http://2130706433/y"),
        ] {
            assert!(is_same_place(&url(from), &url(to)), "{from} {to}");
        }
        for (from, to) in [
            ("https://a.example/x", "http://a.example/x"),
            ("https://a.example/x", "https://a.example:8443/x"),
            ("http://a.example:6080/x", "https://a.example/x"),
            ("http://a.example/x", "https://a.example:6443/x"),
            ("https://a.example/x", "https://a.example./x"),
            ("https://a.example/x", "https://b.a.example/x"),
            ("https://a.example/x", "https://a.example.evil.example/x"),
        ] {
            assert!(!is_same_place(&url(from), &url(to)), "{from} {to}");
        }
    }

    #[test]
    fn what_a_location_means_is_judged_after_it_was_read() {
        let from = "https://a.example/arcgis/rest/services/S/MapServer";
        // Within the origin the parameters go along.
        for location in ["/moved", "moved", "?x=1", "//a.example/moved", "https://a.example:443/m", "\\moved", " /m"] {
            let hop = goes(from, 302, location).expect(location);
            assert_eq!(hop.url.host_str(), Some("a.example"), "{location}");
            assert!(hop.with_token && hop.parameters.len() == 1, "{location}");
        }
        // The same host by http is asked by https.
        assert_eq!(goes(from, 302, "http://a.example/m").expect("goes").url.as_str(), "https://a.example/m");
        // To any other origin they do not, whatever it looks like.
        for location in [
            "//evil.example/m",
            "\\\\evil.example\\m",
            "/\\evil.example/m",
            "https:\\\\evil.example/m",
            "/\t/evil.example/m",
            "https://a.example./m",
            "https://a.example:8443/m",
            "https://a.example%2eevil.example/m",
            "http://a.example:8080/m",
            "http:/evil.example",
        ] {
            let hop = goes(from, 302, location).expect(location);
            assert!(!is_same_place(&url(from), &hop.url), "{location}");
            assert!(!hop.with_token && hop.parameters.is_empty() && !hop.form, "{location}: {}", hop.url);
        }
        for location in [
            "ftp://a.example/m",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:,x",
            "https://user:pw@a.example/m",
            "https://user@evil.example/m",
            "//a.example@evil.example/",
            "http://[::1",
            "https://",
        ] {
            let failure = goes(from, 302, location).err().unwrap_or_else(|| panic!("{location} is followed"));
            assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{location}");
            assert!(!failure.to_string().contains("user:pw"), "{failure}");
        }
        assert!(target(&url(from), b"/\xff").is_err());
        let with_user = Url::parse("https://u:p@a.example/x").expect("a url");
        assert_eq!(target(&with_user, b"/y").map(|u| u.to_string()), Ok("https://a.example/y".into()));
    }

    #[test]
    fn what_is_downloaded_directly_does_not_go_on_to_a_host_that_forbids_it() {
        let mut hosts = DirectDownloadHosts::default();
        let go = |hosts: &DirectDownloadHosts, location: &[u8]| {
            let call = ServiceCall::get("https://tiles.example/1/2/3").expect("a url").directly(&Arc::new(hosts.clone()));
            let sent = Sent { form: false, token: None };
            Hop::first(&call).next(&call, &sent, StatusCode::FOUND, location, |_| false).map(|hop| hop.url.to_string())
        };
        let there = b"https://a.tile.openstreetmap.org/1/2/3.png";
        let failure = go(&hosts, there).expect_err("not followed");
        assert_eq!(
            (failure.owner, failure.kind, failure.retryable),
            (FailureOwner::Source, FailureKind::NotSupported, false)
        );
        assert!(failure.message.contains("--allow-direct-from a.tile.openstreetmap.org"), "{failure}");
        assert!(go(&hosts, b"/moved").is_ok() && go(&hosts, b"https://other.example/").is_ok());
        hosts.allow.push("a.tile.openstreetmap.org".to_owned());
        assert!(go(&hosts, there).is_ok(), "the way out works");
    }

    #[test]
    fn a_secret_in_a_location_goes_nowhere_else() {
        let from = "https://b.example/x";
        let b = |location: &str| goes(from, 302, location);
        for location in [
            "https://evil.example/?apiKey=key-key-key",
            "https://evil.example/key%2Dkey%2dkey",
            "https://KEY-KEY-KEY.evil.example/",
            "https://evil.example/#token-token",
            "https://evil.example/?x=token%2Dtoken",
        ] {
            let failure = b(location).err().unwrap_or_else(|| panic!("{location} is followed"));
            assert!(failure.message.contains("a secret of the request"), "{failure}");
        }
        let secrets = [("password", "pw"), ("token", "token-token")];
        for (location, shown) in [
            ("https://h/a?password=pw", "https://h/a"),
            ("https://h/a/PW/b", "https://h"),
            ("https://h/a/%70w", "https://h"),
            ("https://token-token.h/token-token", "a url that repeats a secret"),
        ] {
            assert_eq!(place(&url(location), &secrets), shown, "{location}");
        }
        assert!(b("/?apiKey=key-key-key").is_ok(), "its own");
        // The token may be repeated to who may see it; the key may not.
        assert!(b("https://a.example/?token=token-token").is_ok_and(|hop| hop.with_token));
        assert!(b("https://a.example/?token=key-key-key").is_err());
    }

    #[test]
    fn no_token_goes_in_the_clear_after_https_nor_to_what_a_stranger_chooses() {
        assert!(goes("http://c.example/", 302, "http://a.example/").is_ok_and(|hop| hop.with_token));
        assert!(goes("https://c.example/", 302, "http://a.example/").is_ok_and(|hop| !hop.with_token));
        let call = ServiceCall::get("https://a.example/").expect("a url");
        let strange = goes("https://a.example/", 302, "https://evil.example/").expect("goes");
        let sent = Sent { form: false, token: None };
        let back = strange.next(&call, &sent, StatusCode::FOUND, b"https://a.example/delete", |_| true).expect("goes");
        assert!(!back.with_token && back.parameters.is_empty());
    }

    #[test]
    fn a_form_goes_to_no_other_origin_but_by_303_without_a_secret() {
        let call = ServiceCall::post("https://a.example/q").expect("a url").with("where", "1=1");
        let next = |token: Option<&str>, status: u16, location: &str| {
            let (sent, status) = (Sent { form: true, token }, StatusCode::from_u16(status).expect("a status"));
            Hop::first(&call).next(&call, &sent, status, location.as_bytes(), |_| true)
        };
        for status in [301, 302, 307, 308] {
            assert!(next(None, status, "https://b.example/").is_err() && next(Some("t"), status, "//b.example/").is_err());
            assert!(next(Some("t"), status, "/moved").is_ok_and(|hop| hop.form && hop.parameters.len() == 1), "{status}");
        }
        assert!(next(Some("t"), 303, "https://b.example/").is_err());
        assert!(next(None, 303, "https://b.example/").is_ok_and(|hop| !hop.form && hop.parameters.is_empty()));
        assert!(next(Some("t"), 303, "/moved").is_ok_and(|hop| !hop.form && hop.parameters.is_empty() && hop.with_token));
    }
}
