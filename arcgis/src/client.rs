//! The ArcGIS REST client that portal and exporters share.
//!
//! - Always `f=json`; forms by POST once an address would pass 2,000 characters.
//! - Errors inside HTTP 200 are errors ([`body`]); HTML with HTTP 200 is not an answer.
//! - A token goes only to the hosts that it is for ([`Credentials`](crate::Credentials)), as a parameter, never across a redirect to another host
//!   (`redirect`), never in a message.
//! - Few requests per host at a time (`governor`); what may pass is tried again with growing pauses for a time (`retry`),
//!   `Retry-After` obeyed.
//!
//! Source: `feature-service-rest` reference §1 and §6.

use crate::answer::AnswerKind;
use crate::body::ServiceError;
use crate::credentials::Credentials;
use crate::governor::{Governor, Permit, Weight, retry_after};
use crate::host_policy::HostPolicy;
use crate::host_policy::{HostRefused, PolicyResolver};
use crate::inner_host::{KnownPlaces, Places, Turn};
use crate::moved::Moves;
use crate::retry::{Pauses, Retries};
use crate::tokens::{Token, TokenKeeper, TriedTokens};
use crate::{answer, body, connection, sign_in, tls};
use offmap_disk::DiskReserve;
use offmap_model::failure::{check_no_user, without_secrets};
use offmap_model::{
    Clock, Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets, SecretRegistry, SystemClock, TaskControl,
};
use reqwest::header::{HeaderMap, HeaderValue, REFERER};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Longest address that is asked by GET; both Esri JavaScript clients use this figure.
const LONGEST_GET: usize = 2000;
/// Redirects that are followed.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// How the client behaves.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Longest silence of one request.
    pub request_timeout: Duration,
    /// Least bytes a second of an answer, over any stretch as long as the request time-out: a host that only drips is as good as
    /// silent.
    pub slowest_transfer: u64,
    /// Longest time that one service's export or replica job may take.
    pub job_timeout: Duration,
    /// First pause between two looks at a job; it grows by half each time.
    pub poll_interval: Duration,
    /// Longest pause between two looks at a job.
    pub longest_poll_interval: Duration,
    /// How long a request is tried again whose fault may pass: trouble of the network, a host that is not available.
    pub retry_time: Duration,
    /// The same while the host has not answered once yet and cannot be reached.
    pub first_contact_time: Duration,
    /// The same where the service itself says that it failed.
    pub service_error_time: Duration,
    /// Most tries of a request whose fault may pass, the first one counted in; only the time counts where it is `usize::MAX`. A wait
    /// for a server's job has no such limit.
    pub attempts: usize,
    /// Requests to one host at a time. Downloads leave one of them to small requests; where only one is allowed, a small request
    /// goes beside a download.
    pub requests_per_host: usize,
    /// Certificates (PEM) to trust beside the system's, for servers with a private CA.
    pub ca_certificates: Vec<Vec<u8>>,
    /// Which hosts may be asked.
    pub hosts: HostPolicy,
    /// What is kept free of a disk that files are downloaded to.
    pub disk_reserve: DiskReserve,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            slowest_transfer: 64,
            job_timeout: Duration::from_secs(3600),
            poll_interval: Duration::from_millis(500),
            longest_poll_interval: Duration::from_secs(15),
            retry_time: Duration::from_mins(5),
            first_contact_time: Duration::from_secs(30),
            service_error_time: Duration::from_secs(30),
            attempts: usize::MAX,
            requests_per_host: 4,
            ca_certificates: Vec::new(),
            hosts: HostPolicy::any(),
            disk_reserve: DiskReserve::default(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    http: reqwest::Client,
    pub(crate) options: ClientOptions,
    pub(crate) keeper: TokenKeeper,
    pub(crate) moves: Moves,
    pub(crate) governor: Arc<Governor>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secrets: SecretRegistry,
    pub(crate) known_places: Arc<KnownPlaces>,
}

/// See the module. Cheap to clone; all clones share connections, limits and tokens.
#[derive(Debug, Clone)]
pub struct ArcGisClient {
    pub(crate) inner: Arc<Inner>,
    control: Option<Arc<dyn TaskControl>>,
}

/// One request: an address, parameters, and how to send them. Its `Debug` hides what is secret.
#[derive(Clone)]
pub struct ServiceCall {
    pub(crate) url: Url,
    pub(crate) parameters: Vec<(String, String)>,
    /// What goes only to the origins that it is for, whatever redirects say.
    pub(crate) secrets: LayerSecrets,
    pub(crate) post: bool,
    retry: bool,
    /// How long it is tried again, in place of the options' word.
    within: Option<Duration>,
    /// When that is over, in milliseconds since 1970; known once it is sent.
    pub(crate) deadline: Option<i64>,
    pub(crate) stage: FailureStage,
    pub(crate) kind: AnswerKind,
    /// Where it may be asked, if an answer names another host than the service's.
    pub(crate) places: Option<Places>,
}

/// Parameters that nobody may read.
pub(crate) const SECRETS: [&str; 4] = ["token", "password", "client_secret", "refresh_token"];

impl std::fmt::Debug for ServiceCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |(name, value): &(String, String)| {
            let hidden = SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) || self.secrets.has_name(name);
            format!("{name}={}", if hidden { "…" } else { value })
        };
        f.debug_struct("ServiceCall")
            .field("address", &without_secrets(self.url.as_str()))
            .field("parameters", &self.parameters.iter().map(shown).collect::<Vec<_>>())
            .field("post", &self.post)
            .finish_non_exhaustive()
    }
}

impl ServiceCall {
    /// A GET that turns to POST when it gets long.
    ///
    /// # Errors
    /// If the address is not `http` or `https`.
    pub fn get(address: &str) -> Result<Self, Failure> {
        Ok(Self {
            url: parse_http(address)?,
            parameters: Vec::new(),
            secrets: LayerSecrets::default(),
            post: false,
            retry: true,
            within: None,
            deadline: None,
            stage: FailureStage::Run,
            kind: AnswerKind::default(),
            places: None,
        })
    }

    /// A form by POST.
    ///
    /// # Errors
    /// As [`ServiceCall::get`].
    pub fn post(address: &str) -> Result<Self, Failure> {
        Ok(Self { post: true, ..Self::get(address)? })
    }

    /// Adds a parameter. Objects and arrays go as JSON text.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds the secrets of a map's layer (its `customParameters` and the query of its url), which go with every request for the
    /// layer to the origin of its url. The call's own parameters win over one of the same name.
    #[must_use]
    pub fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        self.secrets = secrets.clone();
        self
    }

    /// Whether anything in it may be seen by its own host only.
    #[must_use]
    pub fn carries_secret(&self) -> bool {
        let is_secret = |name: &str| SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        self.parameters.iter().any(|(name, _)| is_secret(name)) || self.secrets.parameters_for(&self.url).next().is_some()
    }

    /// Says that the request starts something on the service: it is sent again only when the service answered that it is too busy
    /// to look at it (429). Any other fault leaves open what the service did; then the caller decides.
    #[must_use]
    pub fn non_idempotent(mut self) -> Self {
        self.retry = false;
        self
    }

    /// Says that the request is one of a wait that ends so long from now: until then it is tried again whatever fault may pass.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Says for which stage of the work this is.
    #[must_use]
    pub fn in_stage(mut self, stage: FailureStage) -> Self {
        self.stage = stage;
        self
    }
}

/// Reads an address out of a map, option or answer.
///
/// # Errors
/// If it is not an `http` or `https` address.
pub fn parse_http(address: &str) -> Result<Url, Failure> {
    check_no_user(address)?;
    match Url::parse(address.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => {
            Err(Failure::invalid_parameter(format!("`{}` is not an http or https address", without_secrets(address.trim()))))
        }
    }
}

/// Host and port of an address in lower case.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    url.port().map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Resolves an address out of an answer against the address that was asked. An `http` address on the host that was asked by
/// `https` is raised to `https`.
///
/// # Errors
/// If it is not an `http` or `https` address.
pub fn resolve(asked: &str, answered: &str) -> Result<Url, Failure> {
    let base = parse_http(asked)?;
    let mut url = base.join(answered.trim()).ok().filter(|u| matches!(u.scheme(), "http" | "https")).ok_or_else(|| {
        let message = format!("the service answers with the address `{}`, which is not http", without_secrets(answered));
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Run, message)
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        let message =
            format!("the service answers with an address at {} that has a user name and password in it", host_of(&url));
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Run, message));
    }
    if base.scheme() == "https" && url.scheme() == "http" && base.host_str() == url.host_str() {
        by_https(&mut url);
    }
    Ok(url)
}

pub(crate) fn by_https(url: &mut Url) {
    // Both are special schemes, so the change cannot fail.
    let _ = url.set_scheme("https");
}

/// What a failed try leaves: the failure, how long the host asked to wait, and the code that the service answered with.
pub(crate) struct Refused {
    pub(crate) failure: Box<Failure>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) code: Option<i64>,
    /// Whether it is the token that is invalid, expired or missing.
    pub(crate) is_about_token: bool,
    /// Whether no answer came at all: the host cannot be reached, is silent or must not be asked.
    pub(crate) unreachable: bool,
    /// Whether the service answers by https only.
    pub(crate) wants_https: bool,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        *refused.failure
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            failure: Box::new(failure),
            retry_after: None,
            code: None,
            is_about_token: false,
            unreachable: false,
            wants_https: false,
        }
    }
}

impl Refused {
    fn unreachable(failure: Failure) -> Self {
        Self { unreachable: true, ..Self::from(failure) }
    }

    /// Judges an error that the service answered with.
    pub(crate) fn answered(error: ServiceError, call: &ServiceCall, retry_after: Option<Duration>) -> Self {
        // What is asked for in words counts like what is asked for in a header.
        let in_words = error.retry_after();
        let code = Some(if in_words.is_some() { 429 } else { error.code });
        let retry_after = retry_after.or(in_words);
        let (is_about_token, wants_https) = (error.is_about_token(), error.wants_https());
        let wants_token = is_about_token && error.code == 499;
        let mut failure = Box::new(error.into_failure(call.stage).with_url(call.url.as_str()));
        if wants_token {
            failure.message = sign_in::wants_token(&host_of(&call.url));
        }
        Self { failure, retry_after, code, is_about_token, unreachable: false, wants_https }
    }
}

impl ArcGisClient {
    /// Makes a client with the machine's clock.
    ///
    /// # Errors
    /// If a CA certificate cannot be read, or TLS cannot be set up.
    pub fn new(options: ClientOptions, credentials: Credentials) -> Result<Self, Failure> {
        Self::with_clock(options, credentials, Arc::new(SystemClock))
    }

    /// Makes a client that waits by `clock`.
    ///
    /// # Errors
    /// As [`ArcGisClient::new`].
    pub fn with_clock(options: ClientOptions, credentials: Credentials, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let tls = tls::config(&options.ca_certificates)?;
        let builder = reqwest::Client::builder().dns_resolver(PolicyResolver(options.hosts.clone()));
        // A proxy resolves names by itself, where no policy sees their addresses.
        let builder = if options.hosts.allows_proxies() { builder } else { builder.no_proxy() };
        let http = builder
            .user_agent(concat!("offmap/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.request_timeout.min(Duration::from_secs(30)))
            // Redirects are followed here, so that no form and no token goes to another host by itself.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|e| Failure::internal(format!("cannot make an HTTP client: {e}")))?;
        let secrets = credentials.known_secrets();
        let keeper = TokenKeeper::new(credentials);
        let governor = Arc::new(Governor::new(options.requests_per_host));
        let inner =
            Inner { http, options, keeper, moves: Moves::default(), governor, clock, secrets, known_places: Arc::default() };
        Ok(Self { inner: Arc::new(inner), control: None })
    }

    /// The same client for somebody else: connections and the limits of every host are shared, tokens are not.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        let Inner { http, options, governor, clock, known_places, .. } = &*self.inner;
        let inner = Inner {
            http: http.clone(),
            options: options.clone(),
            secrets: credentials.known_secrets(),
            keeper: TokenKeeper::new(credentials),
            // What somebody else was led to is nobody's word.
            moves: Moves::default(),
            governor: Arc::clone(governor),
            clock: Arc::clone(clock),
            known_places: Arc::clone(known_places),
        };
        Self { inner: Arc::new(inner), control: self.control.clone() }
    }

    /// The same client at work for a task: it waits on the clock of the task's job, and reports there what takes long.
    #[must_use]
    pub fn for_task(&self, control: impl TaskControl) -> Self {
        Self { inner: Arc::clone(&self.inner), control: Some(Arc::new(control)) }
    }

    /// Logs a message for the people of the task that the client works for, where it works for one.
    pub(crate) fn log(&self, message: String) {
        if let Some(control) = &self.control {
            control.log(message);
        }
    }

    /// How the client behaves.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// The secrets that this client knows: passwords, client secrets, and every token that it was given or got. They are taken out
    /// of failures and, by the engine, out of all that is written.
    #[must_use]
    pub fn secrets(&self) -> &SecretRegistry {
        &self.inner.secrets
    }

    /// The clock that the client waits by.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.control.as_ref().map_or_else(|| Arc::clone(&self.inner.clock), |control| control.clock())
    }

    pub(crate) async fn permit(&self, url: &Url, weight: Weight, deadline: Option<i64>) -> Result<Permit, Failure> {
        self.inner.governor.admit(host_of(url), weight, &self.clock(), deadline, |message| self.log(message)).await
    }

    /// Asks and reads a JSON answer; an error body of any shape is a failure.
    ///
    /// # Errors
    /// What the network, the host or the service says.
    ///
    /// # Cancel safety
    /// The request may have reached the service when the future is dropped.
    pub async fn json(&self, call: &ServiceCall) -> Result<Value, Failure> {
        self.json_without(call, body::flat_error).await
    }

    /// Asks and reads a JSON answer in which a kind of error is looked for beside the usual one.
    async fn json_without(
        &self,
        call: &ServiceCall,
        error_in: fn(&Value) -> Option<ServiceError>,
    ) -> Result<Value, Failure> {
        let call = call.clone().with("f", "json");
        self.with_retries(call, |client, call, token| async move {
            let response = client.send(&call, token.as_ref()).await?;
            let retry_after = retry_after(response.headers());
            let value = client.read_json(&call, response).await?;
            match error_in(&value) {
                Some(error) => Err(Refused::answered(error, &call, retry_after)),
                None => Ok(value),
            }
        })
        .await
    }

    /// Asks and reads the state of a job: only an error of the request is a failure, since a failed job also says `status` and
    /// `error`.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`].
    pub async fn job_json(&self, call: &ServiceCall) -> Result<Value, Failure> {
        self.json_without(call, body::flat_error_of_request).await
    }

    /// Asks for a small file, such as a thumbnail or a sprite; `None` if the address has none (404).
    ///
    /// # Errors
    /// As [`ArcGisClient::json`]; also if it is larger than `limit` bytes.
    pub async fn bytes(&self, call: &ServiceCall, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        self.with_retries(call.clone(), |client, call, token| async move {
            let response = client.send(&call, token.as_ref()).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let response = client.expect_success(&call, response).await?;
            let bytes = client.read_all(&call, response, limit).await?;
            if let Some(error) = body::error_in_bytes(&bytes) {
                return Err(Refused::answered(error, &call, None));
            }
            Ok(Some(bytes))
        })
        .await
    }

    /// Runs one request until it succeeds, fails for good, or was tried often enough. An old token is renewed, and so is the next
    /// one that dies.
    pub(crate) async fn with_retries<T, F, Fut>(&self, call: ServiceCall, run: F) -> Result<T, Failure>
    where
        F: Fn(Self, ServiceCall, Option<Token>) -> Fut,
        Fut: Future<Output = Result<T, Refused>>,
    {
        Ok(self.retried(call, true, run).await?)
    }

    /// The same; a call to a token service goes without a token.
    pub(crate) async fn retried<T, F, Fut>(&self, mut call: ServiceCall, with_token: bool, run: F) -> Result<T, Refused>
    where
        F: Fn(Self, ServiceCall, Option<Token>) -> Fut,
        Fut: Future<Output = Result<T, Refused>>,
    {
        call.deadline = call.within.map(|time| self.deadline(time));
        let mut retries = Retries::new(Pauses::Short).until(call.deadline);
        let mut tokens = TriedTokens::default();
        let mut elsewhere = None;
        loop {
            self.relocate(&mut call.url);
            let token = match with_token {
                true => self.token_for(&call.url).await,
                false => Ok(None),
            };
            let (refused, token) = match token {
                Ok(token) => match run(self.clone(), call.clone(), token.clone()).await {
                    Ok(value) => {
                        self.answered_at(&call, elsewhere.is_some());
                        return Ok(value);
                    }
                    Err(refused) => (self.scrubbed(&call, refused), Some(token)),
                },
                // It was tried long enough; only who waits for more than that goes on.
                Err(failure) if call.deadline.is_none() => return Err(failure.into()),
                Err(failure) => (Refused::from(failure), None),
            };
            if self.is_asked_by_https(&call.url, &refused) {
                continue;
            }
            let another = match &token {
                Some(token) if with_token => tokens.another(self, &call.url, token.as_ref(), &refused).await,
                _ => Ok(false),
            };
            let refused = match another {
                Ok(true) => continue,
                Ok(false) => refused,
                Err(failure) if call.deadline.is_some() => Refused::from(failure),
                Err(failure) => return Err(failure.into()),
            };
            let (refused, asked) = match self.turn(&mut call, &mut elsewhere, refused) {
                Turn::Other => continue,
                Turn::Failed(refused, asked) => (refused, asked),
            };
            let is_repeatable = call.retry || refused.code == Some(429);
            match retries.after(self, &asked, &refused).filter(|_| is_repeatable) {
                Some(pause) => self.clock().sleep(pause).await,
                None => return Err(Refused { failure: Box::new(retries.explain(self, *refused.failure)), ..refused }),
            }
        }
    }

    /// The same without the secrets that a service may have repeated.
    pub(crate) fn scrubbed(&self, call: &ServiceCall, mut refused: Refused) -> Refused {
        let known = self.inner.secrets.child();
        known.add_all(call.secrets.values());
        *refused.failure = known.failure(*refused.failure);
        refused
    }

    pub(crate) async fn token_for(&self, url: &Url) -> Result<Option<Token>, Failure> {
        self.inner.keeper.token(self, url).await
    }

    /// Sends one request and follows its redirects.
    pub(crate) async fn send(&self, call: &ServiceCall, token: Option<&Token>) -> Result<Response, Refused> {
        self.follow(call, token, &HeaderMap::new(), true).await
    }

    /// Makes a request; answers whether it is a form.
    pub(crate) fn request(
        &self,
        url: &Url,
        mut parameters: Vec<(String, String)>,
        token: Option<&Token>,
        form: bool,
        headers: &HeaderMap,
    ) -> (reqwest::RequestBuilder, bool) {
        parameters.extend(token.map(|t| ("token".to_owned(), t.text.to_string())));
        let mut full = url.clone();
        if !form && !parameters.is_empty() {
            // An address out of an answer may have a query already: merge, the call's own words win.
            let kept: Vec<(String, String)> = url
                .query_pairs()
                .filter(|(name, _)| !parameters.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)))
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            full.query_pairs_mut().clear().extend_pairs(&kept).extend_pairs(&parameters);
        }
        // A long address without parameters of ours, such as a signed one, has nothing that a form could take.
        let form = form || (!parameters.is_empty() && full.as_str().len() > LONGEST_GET);
        let mut request = if form {
            self.inner.http.request(Method::POST, url.clone()).form(&parameters)
        } else {
            self.inner.http.request(Method::GET, full)
        };
        if let Some(referer) = self.inner.keeper.referer(url, token)
            && let Ok(value) = HeaderValue::from_str(referer)
        {
            request = request.header(REFERER, value);
        }
        (request.headers(headers.clone()), form)
    }

    /// Waits for the head of the answer, at most the request time-out. Every request passes here, each step of a redirect by
    /// itself, so here its host is judged.
    pub(crate) async fn execute(&self, call: &ServiceCall, request: reqwest::RequestBuilder) -> Result<Response, Refused> {
        let (http, request) = request.build_split();
        let request = request.map_err(|e| self.network(call, &e))?;
        let url = request.url().clone();
        let refused = |refused: HostRefused| Refused::unreachable(refused.into_failure(call.stage, &url));
        self.inner.options.hosts.judge_url(&url).map_err(refused)?;
        match tokio::time::timeout(self.inner.options.request_timeout, http.execute(request)).await {
            Ok(Ok(response)) => {
                self.inner.governor.heard(host_of(response.url()));
                if response.status().is_success() {
                    let host = host_of(response.url());
                    self.inner.governor.answered(host, response.headers(), self.inner.clock.now_ms());
                }
                Ok(response)
            }
            Ok(Err(error)) => Err(HostRefused::cause_of(&error).map_or_else(
                || Refused { unreachable: error.is_connect(), ..Refused::from(self.network(call, &error)) },
                refused,
            )),
            Err(_) => Err(Refused::unreachable(self.silent(call))),
        }
    }

    /// Judges an error of the HTTP client.
    pub(crate) fn network(&self, call: &ServiceCall, error: &reqwest::Error) -> Failure {
        connection::network(call, error, connection::proxy_of(&call.url, &self.inner.options.hosts).as_deref())
    }

    pub(crate) fn silent(&self, call: &ServiceCall) -> Failure {
        let seconds = self.inner.options.request_timeout.as_secs_f64();
        let message = format!("{} was silent for {seconds} seconds", host_of(&call.url));
        Failure::new(FailureOwner::Network, FailureKind::TimedOut, call.stage, message)
            .with_url(call.url.as_str())
            .retryable()
    }

    /// Turns a status of 400 and above into a failure, with the error body's words where there is one.
    pub(crate) async fn expect_success(&self, call: &ServiceCall, response: Response) -> Result<Response, Refused> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (headers, retry_after) = (response.headers().clone(), retry_after(response.headers()));
        let text = self.read_all(call, response, answer::LARGEST_ERROR).await.unwrap_or_default();
        let error = match body::error_in_bytes(&text) {
            Some(error) => error.with_status(status.as_u16()),
            None => {
                let proxy = connection::proxy_of(&call.url, &self.inner.options.hosts);
                if let Some(failure) = sign_in::wanted(call, status, &headers, &text, proxy.as_deref()) {
                    let code = i64::from(status.as_u16());
                    return Err(Refused { code: Some(code), ..Refused::from(failure.with_status(code)) });
                }
                ServiceError::of_status(status.as_u16())
            }
        };
        Err(Refused::answered(error, call, retry_after))
    }

    pub(crate) async fn read_json(&self, call: &ServiceCall, response: Response) -> Result<Value, Refused> {
        let response = self.expect_success(call, response).await?;
        let retry_after = retry_after(response.headers());
        let (budget, from) = (call.kind.budget(), response.url().clone());
        let bytes = self.read_all(call, response, budget.bytes).await?;
        let value = budget.read(&bytes).map_err(|e| answer::unread(call, &from, &bytes, &e))?;
        match body::error_of(&value) {
            Some(error) => Err(Refused::answered(error, call, retry_after)),
            None => Ok(value),
        }
    }

    /// The pace that an answer has to keep from now on.
    pub(crate) fn pace(&self) -> Pace {
        let options = &self.inner.options;
        Pace { since: Instant::now(), bytes: 0, stretch: options.request_timeout, least: self.least_of_a_stretch() }
    }

    /// Bytes that have to come within one request time-out.
    pub(crate) fn least_of_a_stretch(&self) -> u64 {
        let options = &self.inner.options;
        u64::try_from(options.request_timeout.as_millis()).unwrap_or(u64::MAX).saturating_mul(options.slowest_transfer)
            / 1000
    }

    pub(crate) fn dripping(&self, call: &ServiceCall) -> Failure {
        let (least, seconds) = (self.inner.options.slowest_transfer, self.inner.options.request_timeout.as_secs_f64());
        let message = format!("{} sent less than {least} bytes a second for {seconds} seconds", host_of(&call.url));
        Failure::new(FailureOwner::Network, FailureKind::TimedOut, call.stage, message)
            .with_url(call.url.as_str())
            .retryable()
    }

    /// Reads an answer of at most `limit` bytes, within the time for them, however they come.
    pub(crate) async fn read_all(
        &self,
        call: &ServiceCall,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, Refused> {
        let request_timeout = self.inner.options.request_timeout;
        let mut all: Vec<u8> = Vec::new();
        let mut pace = self.pace();
        let began = Instant::now();
        loop {
            let chunk = match tokio::time::timeout(request_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(all),
                Ok(Err(error)) => return Err(self.network(call, &error).into()),
                Err(_) => return Err(self.silent(call).into()),
            };
            let came = all.len() + chunk.len();
            if came > limit {
                return Err(answer::too_much(call, &format!("it has more than {limit} bytes")).into());
            }
            if came > all.capacity() {
                // Not twice as much as came, as a list would by itself.
                all.reserve_exact(chunk.len().max(all.len() / 4).min(limit - all.len()));
            }
            all.extend_from_slice(&chunk);
            if began.elapsed() > answer::time_for(request_timeout, came) {
                let seconds = began.elapsed().as_secs();
                let message =
                    format!("the answer of {} had not ended after {seconds} seconds and {came} bytes", host_of(&call.url));
                let failure = Failure::new(FailureOwner::Network, FailureKind::TimedOut, call.stage, message);
                return Err(failure.with_url(call.url.as_str()).retryable().into());
            }
            if !pace.keeps(chunk.len()) {
                return Err(self.dripping(call).into());
            }
        }
    }
}

/// How fast an answer comes.
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
    stretch: Duration,
    least: u64,
}

impl Pace {
    /// Counts what came; false once a whole stretch brought too little.
    pub(crate) fn keeps(&mut self, came: usize) -> bool {
        self.bytes += came as u64;
        if self.since.elapsed() < self.stretch {
            return true;
        }
        let enough = self.bytes >= self.least;
        (self.since, self.bytes) = (Instant::now(), 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_out_of_answers_are_resolved_and_raised_to_https() {
        let asked = "https://h/arcgis/rest/services/S/MapServer/exportTiles/jobs/j1?f=json";
        let text = |answered| resolve(asked, answered).map(|u| u.to_string());
        assert_eq!(text("http://h/a.tpkx").as_deref(), Ok("https://h/a.tpkx"));
        assert_eq!(text("http://other/a").as_deref(), Ok("http://other/a"));
        let relative = "https://h/arcgis/rest/services/S/MapServer/exportTiles/jobs/results/out_service_url";
        assert_eq!(text("results/out_service_url").as_deref(), Ok(relative));
        assert!(text("file:///etc/passwd").is_err());
    }

    #[test]
    fn a_request_that_is_shown_shows_no_secret() {
        let call = ServiceCall::post("https://h/generateToken?token=abc123").expect("an address");
        let call = call.with("Token", "abc123").with("password", "abc123").with("client_secret", "abc123").with("f", "json");
        let shown = format!("{call:?}");
        assert!(
            !shown.contains("abc123") && shown.contains("f=json") && shown.contains("https://h/generateToken"),
            "{shown}"
        );
    }

    #[test]
    fn a_query_in_an_address_is_merged_not_pasted() {
        let client = ArcGisClient::new(ClientOptions::default(), Credentials::none()).expect("makes");
        let call = ServiceCall::get("https://h/x?statusId=1&f=html").expect("address").with("f", "json");
        let (request, _) = client.request(&call.url, call.parameters, None, false, &HeaderMap::new());
        let request = request.build().expect("builds");
        assert_eq!(request.url().as_str(), "https://h/x?statusId=1&f=json");
        let long = ServiceCall::get("https://h/x").expect("address").with("where", "y".repeat(2000));
        let (request, form) = client.request(&long.url, long.parameters, None, false, &HeaderMap::new());
        assert_eq!((request.build().expect("builds").method(), form), (&Method::POST, true));
        let signed = parse_http(&format!("https://h/x?sig={}", "y".repeat(2000))).expect("address");
        let (request, form) = client.request(&signed, Vec::new(), None, false, &HeaderMap::new());
        assert_eq!((request.build().expect("builds").method(), form), (&Method::GET, false));
    }
}
