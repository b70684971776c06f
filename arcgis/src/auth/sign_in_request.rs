//! A person signs in with the browser: OAuth 2.0 authorization code with PKCE.
//!
//! 1. The browser opens [`SignInRequest::authorize_url`]; the person signs in at the portal, in whatever way the portal wants.
//! 2. The portal leads the browser to the redirect uri with a code, or shows the code to be pasted.
//! 3. [`SignInRequest::finish`] turns the code into a [`UserSignIn`].
//!
//! Source: RFC 6749 §4.1, RFC 7636, RFC 8252; `feature-service-rest` reference §6.2.

use super::pkce;
use super::token_answer::{self, is_refusal, words};
use super::token_client::TokenClient;
use super::user_sign_in::UserSignIn;
use crate::body;
use crate::call::ServiceCall;
use crate::urls::parse_http;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fmt;
use url::Url;
use url::form_urlencoded;

/// The redirect uri of who has the portal show the code.
const PASTED: &str = "urn:ietf:wg:oauth:2.0:oob";
/// Longest code that is sent on, in bytes.
const LONGEST_CODE: usize = 4096;

/// A code that a portal gave to who signed in; good once, and for a few minutes. Its `Debug` hides it.
#[derive(Clone)]
pub struct AuthorizationCode(String);

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationCode").finish_non_exhaustive()
    }
}

/// What a portal answered by way of the browser.
pub(super) enum Redirected {
    Code(AuthorizationCode),
    /// The person or the portal refused.
    Refused(Failure),
    /// It is no answer to this sign-in: no state, or another one.
    Foreign,
}

/// One sign-in of a person, from its url to its end.
///
/// ```no_run
/// use async_trait::async_trait;
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials, LoopbackRedirect, SignInRequest, SignInStore, UserSignIn};
/// use offmap_model::Failure;
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
///
/// // Where the host program keeps sign-ins: here for as long as it runs.
/// #[derive(Default)]
/// struct InMemory(Mutex<HashMap<String, UserSignIn>>);
///
/// #[async_trait]
/// impl SignInStore for InMemory {
///     async fn load(&self, portal: &str) -> Result<Option<UserSignIn>, Failure> {
///         Ok(self.0.lock().expect("no panic").get(portal).cloned())
///     }
///     async fn save(&self, sign_in: &UserSignIn) -> Result<(), Failure> {
///         self.0.lock().expect("no panic").insert(sign_in.portal().to_owned(), sign_in.clone());
///         Ok(())
///     }
///     async fn remove(&self, portal: &str) -> Result<bool, Failure> {
///         Ok(self.0.lock().expect("no panic").remove(portal).is_some())
///     }
/// }
///
/// # async fn run() -> Result<(), Failure> {
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// let redirect = LoopbackRedirect::bind(0).await?;
/// let request = SignInRequest::new("https://gis.city.example/portal", "client id of the application", redirect.uri())?;
/// println!("open {}", request.authorize_url());
/// let code = redirect.code(&request).await?;
/// let sign_in = request.finish(&client.token_client(), &code).await?;
/// let store = Arc::new(InMemory::default());
/// store.save(&sign_in).await?;
/// let client = client.with_credentials(Credentials::sign_in(sign_in, store)?);
/// # Ok(())
/// # }
/// ```
pub struct SignInRequest {
    portal: String,
    client_id: String,
    redirect_uri: String,
    state: String,
    verifier: String,
}

impl fmt::Debug for SignInRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInRequest")
            .field("portal", &self.portal)
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}

fn refused(message: String) -> Failure {
    Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message)
}

/// Whether a url is of this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl SignInRequest {
    /// Begins a sign-in at a portal, by its root, to one of its applications; the portal leads the browser to `redirect_uri`, which is
    /// registered there with the application: see [`LoopbackRedirect`](super::LoopbackRedirect).
    ///
    /// # Errors
    /// If the portal's url is not one, or is neither by `https` nor of this machine.
    pub fn new(portal: &str, client_id: &str, redirect_uri: &str) -> Result<Self, Failure> {
        let url = parse_http(portal)?;
        if url.scheme() != "https" && !is_loopback(&url) {
            let message = format!("`{url}` is in the clear; people sign in by https only: give the portal's https url");
            return Err(Failure::invalid_parameter(message));
        }
        Ok(Self {
            portal: portal.trim().trim_end_matches('/').to_owned(),
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            state: pkce::random_text()?,
            verifier: pkce::random_text()?,
        })
    }

    /// The same, where the portal shows the code and the person pastes it: see [`SignInRequest::pasted_code`].
    ///
    /// # Errors
    /// As [`SignInRequest::new`].
    pub fn with_pasted_code(portal: &str, client_id: &str) -> Result<Self, Failure> {
        Self::new(portal, client_id, PASTED)
    }

    /// The url that the browser opens. It holds no secret.
    #[must_use]
    pub fn authorize_url(&self) -> String {
        let challenge = pkce::challenge(&self.verifier);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.client_id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("state", &self.state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        format!("{}/sharing/rest/oauth2/authorize?{query}", self.portal)
    }

    /// Reads the query of the url that the browser was led to.
    pub(super) fn redirected(&self, query: &str) -> Redirected {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let one =
            |name: &str| pairs.iter().find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.as_str());
        if one("state") != Some(self.state.as_str()) {
            return Redirected::Foreign;
        }
        match (one("error"), one("code")) {
            (None, Some(code)) if code.len() <= LONGEST_CODE => Redirected::Code(AuthorizationCode(code.to_owned())),
            (None, _) => Redirected::Refused(refused(format!("{} led the browser back without a code", self.portal))),
            (Some(error), _) => {
                let description = one("error_description").map(|text| format!(": {text}")).unwrap_or_default();
                let said = body::cut(&format!("{error}{description}"));
                let what = match error {
                    "access_denied" => "the sign-in was refused in the browser",
                    _ => "the portal refused the sign-in",
                };
                Redirected::Refused(refused(format!("{what} ({said}); nobody is signed in at {}", self.portal)))
            }
        }
    }

    /// Reads the whole url that the browser was led to, for who receives it by other ways than [`LoopbackRedirect`](super::LoopbackRedirect).
    ///
    /// # Errors
    /// If its `state` is not that of this sign-in, the person or the portal refused, or there is no code in it.
    pub fn redirected_code(&self, url: &str) -> Result<AuthorizationCode, Failure> {
        let query = url.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
        match self.redirected(query) {
            Redirected::Code(code) => Ok(code),
            Redirected::Refused(failure) => Err(failure),
            Redirected::Foreign => Err(refused(
                "the `state` of the answer is not that of this sign-in, so it is the answer to another one: sign in again"
                    .to_owned(),
            )),
        }
    }

    /// Reads what the person pastes: the code, or the url that the browser was led to.
    ///
    /// # Errors
    /// If it is no code; of a url as [`SignInRequest::redirected_code`].
    pub fn pasted_code(&self, text: &str) -> Result<AuthorizationCode, Failure> {
        let text = text.trim();
        if text.starts_with("http://") || text.starts_with("https://") {
            return self.redirected_code(text);
        }
        if text.is_empty() || text.len() > LONGEST_CODE || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let message = "what was pasted is no code: it is one word, which the portal shows after the sign-in".to_owned();
            return Err(refused(message));
        }
        Ok(AuthorizationCode(text.to_owned()))
    }

    /// Turns the code into a sign-in.
    ///
    /// # Errors
    /// If the portal cannot be reached, does not accept the code, or gives no refresh token.
    ///
    /// # Cancel safety
    /// The code may be used up when the future is dropped.
    pub async fn finish(self, client: &TokenClient, code: &AuthorizationCode) -> Result<UserSignIn, Failure> {
        client.secrets().add_all([code.0.as_str(), self.verifier.as_str()]);
        let call = ServiceCall::post(&format!("{}/sharing/rest/oauth2/token", self.portal))?
            .with("client_id", &self.client_id)
            .with("grant_type", "authorization_code")
            .with("code", &code.0)
            .with("redirect_uri", &self.redirect_uri)
            .with("code_verifier", &self.verifier)
            .non_idempotent()
            .in_stage(FailureStage::Read);
        let portal = &self.portal;
        let answer = token_answer::ask(client, &call).await.map_err(|said| match is_refusal(&said) {
            true => refused(format!(
                "{portal} does not accept the code ({}); a code is good once and for a few minutes, for the sign-in that it was shown \
                 for: sign in again",
                words(&said)
            )),
            false => said.into(),
        })?;
        let Some((refresh_token, expires_at)) = answer.refresh else {
            let message =
                format!("{portal} gives no refresh token to the application {}, so nothing can be kept", self.client_id);
            return Err(refused(message));
        };
        let issued_at = client.clock().now_ms();
        let Self { portal, client_id, redirect_uri, .. } = self;
        Ok(UserSignIn { portal, client_id, redirect_uri, username: answer.username, issued_at, expires_at, refresh_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> SignInRequest {
        SignInRequest::new("https://gis.city.example/portal/", "field", "http://127.0.0.1:7070/").expect("a request")
    }

    #[test]
    fn the_url_has_the_challenge_and_not_the_verifier() {
        let request = request();
        let url = Url::parse(&request.authorize_url()).expect("a url");
        let pairs: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/portal/sharing/rest/oauth2/authorize");
        assert_eq!(pairs["code_challenge"], pkce::challenge(&request.verifier));
        assert_eq!(
            (pairs["code_challenge_method"].as_str(), pairs["redirect_uri"].as_str()),
            ("S256", "http://127.0.0.1:7070/")
        );
        assert!(!url.as_str().contains(&request.verifier) && !format!("{request:?}").contains(&request.verifier));
    }

    #[test]
    fn an_answer_counts_only_with_the_state_of_its_sign_in() {
        let request = request();
        let at = |query: String| format!("http://127.0.0.1:7070/?{query}");
        let good = request.redirected_code(&at(format!("code=abc&state={}", request.state)));
        assert_eq!(good.map(|code| code.0).as_deref(), Ok("abc"));
        for query in ["code=abc", "code=abc&state=", "code=abc&state=other", "error=access_denied&state=other", ""] {
            let failure = request.redirected_code(&at(query.to_owned())).expect_err("foreign");
            assert!(failure.to_string().contains("`state`"), "{query}: {failure}");
        }
        let denied = at(format!("error=access_denied&error_description=no%20thanks&state={}", request.state));
        let failure = request.redirected_code(&denied).expect_err("refused");
        assert!(failure.to_string().contains("refused in the browser (access_denied: no thanks)"), "{failure}");
        for text in ["", "two words", "a\nb", "https://gis.city.example/?code=abc"] {
            assert!(request.pasted_code(text).is_err(), "{text:?}");
        }
        assert_eq!(request.pasted_code(" abc \n").map(|code| code.0).as_deref(), Ok("abc"));
    }

    #[test]
    fn people_sign_in_by_https_or_on_this_machine() {
        for (portal, is_good) in [
            ("https://gis.city.example/portal", true),
            ("http://gis.city.example/portal", false),
            ("http://localhost:7070/portal", true),
            ("http://127.0.0.1:7070/portal", true),
            ("http://[::1]/portal", true),
            ("http://localhost.city.example/portal", false),
            ("ftp://localhost/portal", false),
        ] {
            assert_eq!(SignInRequest::with_pasted_code(portal, "field").is_ok(), is_good, "{portal}");
        }
    }
}
