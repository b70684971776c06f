//! The HTTP client of one session, and one request that is sent once.

use super::connection;
use super::governor::{Answer, Governor, Permit, Weight};
use super::moves::Moves;
use super::retry::RetryContext;
use super::tls;
use crate::access::{Access, AccessRules, Token};
use crate::call::ServiceCall;
use crate::host_policy::{HostRefused, PolicyResolver};
use crate::inner_host::KnownPlaces;
use crate::metrics;
use crate::options::ClientOptions;
use crate::refused::Refused;
use crate::secret_query::without_pairs;
use crate::urls::host_of;
use offmap_model::{Clock, Failure, FailureKind, FailureOwner, SecretRegistry, SystemClock, TaskControl};
use reqwest::header::{HeaderMap, HeaderValue, REFERER};
use reqwest::{Method, RequestBuilder, Response};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// Longest url that is asked by GET; both Esri JavaScript clients use this figure.
const LONGEST_GET: usize = 2000;

/// An HTTP client. One that decodes asks for compressed answers and opens them.
fn http_client(options: &ClientOptions, tls: rustls::ClientConfig, decodes: bool) -> Result<reqwest::Client, Failure> {
    let builder = reqwest::Client::builder().dns_resolver(PolicyResolver(options.hosts.clone()));
    // A proxy resolves names by itself, where no policy sees their addresses.
    let builder = if options.hosts.allows_proxies() { builder } else { builder.no_proxy() };
    builder
        .user_agent(concat!("offmap/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.request_timeout.min(Duration::from_secs(30)))
        // Redirects are followed here, so that no form and no token goes to another host by itself.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .gzip(decodes)
        .brotli(decodes)
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|e| Failure::internal(format!("cannot make an HTTP client: {e}")))
}

/// What the transports of all sessions share.
#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    /// The same, which leaves answers compressed as they come.
    undecoded: reqwest::Client,
    options: ClientOptions,
    governor: Governor,
    /// A clock that was given; without one the task's, else the machine's.
    clock: Option<Arc<dyn Clock>>,
    known_places: KnownPlaces,
}

/// What a transport has of its session. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionFacts {
    /// What another session was led to is nobody's word.
    moves: Arc<Moves>,
    secrets: SecretRegistry,
}

impl SessionFacts {
    pub(crate) fn new(secrets: SecretRegistry) -> Self {
        Self { moves: Arc::default(), secrets }
    }

    pub(crate) fn secrets(&self) -> &SecretRegistry {
        &self.secrets
    }
}

/// Sends requests for one session: connections and the limits of every host are shared with the transports of other sessions, what
/// was learnt of places and secrets is not. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    inner: Arc<Inner>,
    session: SessionFacts,
    control: Option<Arc<dyn TaskControl>>,
}

impl Transport {
    pub(crate) fn new(
        options: ClientOptions,
        session: SessionFacts,
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<Self, Failure> {
        let tls = tls::config(&options.ca_certificates)?;
        let (http, undecoded) = (http_client(&options, tls.clone(), true)?, http_client(&options, tls, false)?);
        let governor = Governor::new(options.requests_per_host, options.tiles_per_host);
        let inner = Inner { http, undecoded, options, governor, clock, known_places: KnownPlaces::default() };
        Ok(Self { inner: Arc::new(inner), session, control: None })
    }

    /// The same for another session.
    pub(crate) fn for_session(&self, session: SessionFacts) -> Self {
        Self { session, ..self.clone() }
    }

    /// The same at work for a task.
    pub(crate) fn for_task(&self, control: Arc<dyn TaskControl>) -> Self {
        Self { control: Some(control), ..self.clone() }
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    pub(crate) fn secrets(&self) -> &SecretRegistry {
        &self.session.secrets
    }

    pub(crate) fn known_places(&self) -> &KnownPlaces {
        &self.inner.known_places
    }

    pub(crate) fn moves(&self) -> &Moves {
        &self.session.moves
    }

    /// The one clock for all that waits: the one that was given, else the task's, where it works for one, else the machine's.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        let of_task = || self.control.as_ref().map(|control| control.clock());
        self.inner.clock.clone().or_else(of_task).unwrap_or_else(|| Arc::new(SystemClock))
    }

    /// Logs a message for the people of the task that it works for, where it works for one.
    pub(crate) fn log(&self, message: String) {
        if let Some(control) = &self.control {
            control.log(message);
        }
    }

    /// When a time from now on is over, in milliseconds since 1970.
    pub(crate) fn deadline(&self, time: Duration) -> i64 {
        self.clock().now_ms().saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    }

    /// What decides on retries.
    pub(crate) fn retry_context(&self) -> RetryContext<'_> {
        let control = self.control.as_deref();
        RetryContext { options: &self.inner.options, governor: &self.inner.governor, clock: self.clock(), control }
    }

    /// Waits until a host may be asked.
    pub(crate) async fn permit(&self, url: &Url, weight: Weight, deadline: Option<i64>) -> Result<Permit, Failure> {
        self.inner.governor.admit(&host_of(url), weight, &self.clock(), deadline, |message| self.log(message)).await
    }

    /// Turns a url to where it is asked.
    pub(crate) fn relocate(&self, rules: &AccessRules, url: &mut Url) {
        rules.upgrade_to_https(url);
        self.session.moves.apply(url);
    }

    /// A failure without the secrets that a service may have repeated.
    pub(crate) fn scrubbed(&self, call: &ServiceCall, mut refused: Refused) -> Refused {
        let known = self.session.secrets.child();
        known.add_all(call.secrets.values_to_hide());
        *refused.failure = known.failure(*refused.failure);
        refused
    }

    /// A url without secrets that an answer repeated in its query: where they belong they are added again, elsewhere they have
    /// nothing to do.
    pub(super) fn without_repeated_secrets(&self, call: &ServiceCall, url: Url) -> Url {
        let is_known = |value: &str| self.session.secrets.scrub(value) != value;
        without_pairs(url, |name, value| is_known(value) || call.secrets.holds(name, value))
    }

    /// Makes a request; answers whether it is a form.
    pub(super) fn request(
        &self,
        url: &Url,
        mut parameters: Vec<(String, String)>,
        access: &Access,
        token: Option<&Token>,
        form: bool,
    ) -> (RequestBuilder, bool) {
        parameters.extend(token.map(|t| ("token".to_owned(), t.text.to_string())));
        let full = if form { url.clone() } else { with_query(url, &parameters) };
        // A long url without parameters of ours, such as a signed one, has nothing that a form could hold.
        let form = form || (!parameters.is_empty() && full.as_str().len() > LONGEST_GET);
        let mut request = if form {
            self.inner.http.request(Method::POST, url.clone()).form(&parameters)
        } else {
            self.inner.http.request(Method::GET, full)
        };
        if let Some(referer) = access.referer_at(url, token)
            && let Ok(value) = HeaderValue::from_str(referer)
        {
            request = request.header(REFERER, value);
        }
        (request, form)
    }

    /// Sends a request and waits for the head of the answer, at most the request time-out. Every request passes here, each step of
    /// a redirect by itself, so here its host is judged.
    pub(super) async fn execute(
        &self,
        call: &ServiceCall,
        request: RequestBuilder,
        headers: &HeaderMap,
        permit: Option<&Permit>,
    ) -> Result<Response, Refused> {
        let (http, request) = request.headers(headers.clone()).build_split();
        let http = if call.keeps_gzip { self.inner.undecoded.clone() } else { http };
        let request = request.map_err(|e| self.network(call, &e))?;
        let url = request.url().clone();
        let refused = |refused: HostRefused| Refused::unreachable(refused.into_failure(call.stage, &url));
        self.inner.options.hosts.judge_url(&url).map_err(refused)?;
        let began = Instant::now();
        let answered = tokio::time::timeout(self.inner.options.request_timeout, http.execute(request)).await;
        let status = answered.as_ref().ok().and_then(|answer| answer.as_ref().ok()).map(|r| r.status().as_u16());
        let took = began.elapsed();
        metrics::requested(&url, status, took);
        if let (None, Some(permit)) = (status, permit) {
            permit.no_answer();
        }
        match answered {
            Ok(Ok(response)) => {
                let (status, headers) = (response.status(), response.headers());
                let answer = Answer { status, headers, took, at: self.clock().now_ms() };
                self.inner.governor.answered(&host_of(response.url()), permit, &answer);
                Ok(response)
            }
            Ok(Err(error)) => Err(HostRefused::cause_of(&error).map_or_else(
                || Refused { unreachable: error.is_connect(), ..Refused::from(self.network(call, &error)) },
                refused,
            )),
            Err(_) => Err(Refused::unreachable(self.silent(call))),
        }
    }

    /// The proxy that stands before the host of a call, where one does.
    pub(super) fn proxy_of(&self, call: &ServiceCall) -> Option<String> {
        connection::proxy_of(&call.url, &self.inner.options.hosts)
    }

    /// Judges an error of the HTTP client.
    pub(crate) fn network(&self, call: &ServiceCall, error: &reqwest::Error) -> Failure {
        connection::network(call, error, self.proxy_of(call).as_deref())
    }

    pub(crate) fn silent(&self, call: &ServiceCall) -> Failure {
        let seconds = self.inner.options.request_timeout.as_secs_f64();
        timed_out(call, format!("{} was silent for {seconds} seconds", host_of(&call.url)))
    }

    pub(crate) fn slow_transfer(&self, call: &ServiceCall) -> Failure {
        let (least, seconds) = (self.inner.options.slowest_transfer, self.inner.options.request_timeout.as_secs_f64());
        timed_out(call, format!("{} sent less than {least} bytes a second for {seconds} seconds", host_of(&call.url)))
    }
}

/// The failure of an answer that takes too long.
pub(super) fn timed_out(call: &ServiceCall, message: String) -> Failure {
    let failure = Failure::new(FailureOwner::Network, FailureKind::TimedOut, call.stage, message);
    failure.with_url(call.url.as_str()).retryable()
}

/// A url with parameters. One out of an answer may have a query already: both are merged, the call's own parameters win.
fn with_query(url: &Url, parameters: &[(String, String)]) -> Url {
    if parameters.is_empty() {
        return url.clone();
    }
    let mut full = without_pairs(url.clone(), |name, _| parameters.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)));
    full.query_pairs_mut().extend_pairs(parameters);
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::urls::parse_http;

    #[test]
    fn a_query_in_a_url_is_merged_not_pasted() {
        let transport = Transport::new(ClientOptions::default(), SessionFacts::default(), None).expect("a transport");
        let access = Access::new(&Arc::default(), None);
        let made = |url: &Url, parameters| {
            let (request, form) = transport.request(url, parameters, &access, None, false);
            (request.build().expect("builds"), form)
        };
        let call = ServiceCall::get("https://h/x?statusId=1&f=html").expect("a url").with("f", "json");
        assert_eq!(made(&call.url, call.parameters).0.url().as_str(), "https://h/x?statusId=1&f=json");
        let call = ServiceCall::get("https://h/x?map=/caf%E9%20a.map&nocache&F=html").expect("a url").with("f", "json");
        let sent = made(&call.url, call.parameters).0;
        assert_eq!(sent.url().as_str(), "https://h/x?map=/caf%E9%20a.map&nocache&f=json", "the rest as it is written");
        let long = ServiceCall::get("https://h/x").expect("a url").with("where", "y".repeat(2000));
        let (request, form) = made(&long.url, long.parameters);
        assert_eq!((request.method(), form), (&Method::POST, true));
        let signed = parse_http(&format!("https://h/x?sig={}", "y".repeat(2000))).expect("a url");
        let (request, form) = made(&signed, Vec::new());
        assert_eq!((request.method(), form), (&Method::GET, false));
    }
}
