//! What a connection that failed means: whose it is and what can be done, for people.
//!
//! | found | owner | way out |
//! | --- | --- | --- |
//! | a proxy of the environment that is dead, or does not connect | network | correct the variable, or `NO_PROXY` |
//! | a proxy that wants a password (407) | credentials | user and password in the variable |
//! | a certificate that nobody here trusts | network | `--ca-cert` |
//! | a certificate that has expired, or is for another name | source | the server's owner renews it; the name that it is for |
//! | a server that wants a certificate of its client | credentials | another url of the service |
//! | no name, no answer, a connection that breaks | network | again later |
//!
//! The texts of libraries go to the debug log only.

use crate::call::ServiceCall;
use crate::host_policy::HostPolicy;
use crate::urls::host_of;
use hyper_util::client::proxy::matcher::Matcher;
use offmap_model::failure::shortened;
use offmap_model::{Failure, FailureKind, FailureOwner};
use rustls::{AlertDescription, CertificateError};
use std::error::Error;
use std::io;
use url::Url;

/// The proxy that the environment names for a url, where the policy lets proxies find hosts: host and port, without a password.
pub(super) fn proxy_of(url: &Url, policy: &HostPolicy) -> Option<String> {
    if !policy.allows_proxies() {
        return None;
    }
    let uri = url.as_str().parse().ok()?;
    let proxy = Matcher::from_env().intercept(&uri)?;
    let host = proxy.uri().host()?;
    Some(proxy.uri().port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

const PROXY_VARIABLES: &str = "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY";

/// The failure of a request that a proxy answered with 407.
pub(super) fn proxy_wants_password(call: &ServiceCall, proxy: Option<&str>) -> Failure {
    let proxy = proxy.map_or_else(|| "a proxy before it".to_owned(), |proxy| format!("the proxy {proxy}"));
    let message = format!(
        "{} was not asked: {proxy} wants a user name and password (407); put them into the variable that names the proxy \
         ({PROXY_VARIABLES}) as http://USER:PASSWORD@HOST:PORT, or go without it by NO_PROXY={}",
        host_of(&call.url),
        call.url.host_str().unwrap_or_default()
    );
    Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, call.stage, message).with_url(call.url.as_str())
}

/// The cause of an error, also one that an I/O error wraps.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// An error and all its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// Judges an error of the HTTP client. Its own text has the url with the query in it, and its causes are a library's texts.
pub(super) fn network(call: &ServiceCall, error: &reqwest::Error, proxy: Option<&str>) -> Failure {
    tracing::debug!(host = %host_of(&call.url), causes = ?causes(error).skip(1).map(ToString::to_string).collect::<Vec<_>>(),
        "a request failed");
    let host = host_of(&call.url);
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    if let Some(failure) = tls.and_then(|tls| of_tls(call, &host, tls)) {
        return failure.with_url(call.url.as_str());
    }
    let texts: Vec<String> = causes(error).skip(1).map(|cause| cause.to_string()).collect();
    let says = |text: &str| texts.iter().any(|known| known.contains(text));
    if says("proxy authorization required") {
        return proxy_wants_password(call, proxy);
    }
    let why = why(error, &texts);
    let message = match proxy.filter(|_| error.is_connect()) {
        Some(proxy) if says("tunnel error: unsuccessful") => format!(
            "the proxy {proxy} does not connect to {host}; ask whoever runs it to allow that, or go without it by NO_PROXY={}",
            call.url.host_str().unwrap_or_default()
        ),
        Some(proxy) => format!(
            "{host} was not asked: the proxy {proxy} cannot be reached: {why}; correct the variable that names it \
             ({PROXY_VARIABLES}), or go without it by NO_PROXY={}",
            call.url.host_str().unwrap_or_default()
        ),
        None if error.is_connect() => format!("{host} cannot be reached: {why}"),
        None => format!("{host} broke the connection: {why}"),
    };
    Failure::new(FailureOwner::Network, FailureKind::Unavailable, call.stage, message)
        .with_url(call.url.as_str())
        .retryable()
}

/// Why no answer came, for people.
fn why(error: &reqwest::Error, texts: &[String]) -> &'static str {
    let kind = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind);
    let says = |text: &str| texts.iter().any(|known| known.contains(text));
    match kind {
        _ if says("failed to lookup address information") || says("dns error") => {
            "its name is not known here (no address was found for it)"
        }
        Some(io::ErrorKind::ConnectionRefused) => "nothing listens there (connection refused)",
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe) => {
            "it was reset (connection reset)"
        }
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown) => {
            "there is no way to it from here (network unreachable)"
        }
        Some(io::ErrorKind::TimedOut) => "it did not answer in time",
        _ if error.is_timeout() => "it did not answer in time",
        _ if error.is_decode() => "its compressed answer cannot be read",
        _ => "it ended before the answer did",
    }
}

/// A certificate that cannot be trusted is whoever's who can change that; `None` for what may pass.
fn of_tls(call: &ServiceCall, host: &str, error: &rustls::Error) -> Option<Failure> {
    use FailureOwner as O;
    let judged = |owner, kind, message: String| Some(Failure::new(owner, kind, call.stage, message));
    let of_source = |what: String| judged(O::Source, FailureKind::Unavailable, format!("{host} {what}"));
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => of_source(
                "has a certificate that has expired; its owner must renew it (or the clock of this machine is wrong)".into(),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => of_source(
                "has a certificate that is not valid yet; the clock of this machine or of the server is wrong".into(),
            ),
            CertificateError::NotValidForName => {
                of_source("has a certificate that is for other names; ask it by a name that is in its certificate".into())
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                // Each is shown as `DnsName("gis.city.example")`.
                let plain = |name: &String| {
                    let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner.trim_end_matches(')'));
                    inner.trim_matches('"').to_owned()
                };
                let names = presented.iter().map(plain).collect::<Vec<_>>().join(", ");
                let names =
                    if names.is_empty() { "no name at all (subjectAltName)".to_owned() } else { shortened(names, 300) };
                of_source(format!("has a certificate that is for {names}; ask it by a name that is in its certificate"))
            }
            CertificateError::Revoked => of_source("has a certificate that was revoked; its owner must replace it".into()),
            _ => judged(
                O::Network,
                FailureKind::Unavailable,
                format!(
                    "the certificate of {host} is not trusted here: it is self-signed or of an authority that this machine does not \
                     know; if it is the right one, give it, or its authority's, by `--ca-cert FILE` (PEM)"
                ),
            ),
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => judged(O::Credentials, FailureKind::Unauthorized, wants_certificate(host)),
        rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_) => {
            of_source("and offmap have no version or cipher of TLS in common; TLS 1.2 or 1.3 is needed".into())
        }
        rustls::Error::InvalidMessage(_) => {
            of_source("does not speak https at this port; correct the url (http, or the port of https)".into())
        }
        _ => None,
    }
}

/// The message for a server that wants a certificate of its client.
pub(super) fn wants_certificate(host: &str) -> String {
    format!(
        "{host} wants a certificate of the client, which offmap cannot show; name a url of the service that wants none, such as the \
         server's own beside its web adaptor"
    )
}
