//! A request as ArcGIS reads it: parameter names without regard to case, from query, form or multipart.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest as _, Multipart, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest body that is read, in bytes.
const LARGEST_BODY: usize = 16 << 20;

/// A request, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Host and port that were asked.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) referer: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    /// Whether gzip is accepted.
    pub(crate) accepts_gzip: bool,
}

/// A request that the sandbox was asked.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Host and port that were asked.
    pub host: String,
    /// Path.
    pub path: String,
    /// Parameters of query and form, names in lower case.
    pub parameters: BTreeMap<String, String>,
    /// Whether a token came with it, as parameter or header.
    pub has_token: bool,
    /// `Range`, where one came with it.
    pub range: Option<String>,
    /// When, since the start of the sandbox.
    pub at: Duration,
    /// When its connection had the whole answer; `None` where it never had it, and of storage and answers whose length is not known before.
    pub answered: Option<Duration>,
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    url::form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
}

impl Call {
    pub(crate) async fn read(request: Request) -> Self {
        let headers = request.headers().clone();
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut call = Self {
            method: request.method().to_string(),
            host: header("host").unwrap_or_default(),
            path: percent_encoding::percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned(),
            parameters: pairs(request.uri().query().unwrap_or_default()).collect(),
            referer: header("referer"),
            authorization: header("x-esri-authorization").or_else(|| header("authorization")),
            range: header("range"),
            if_range: header("if-range"),
            accepts_gzip: header("accept-encoding").is_some_and(|all| all.contains("gzip")),
        };
        let kind = header("content-type").unwrap_or_default();
        if kind.starts_with("multipart/form-data") {
            if let Ok(mut parts) = Multipart::from_request(request, &()).await {
                while let Ok(Some(part)) = parts.next_field().await {
                    let name = part.name().unwrap_or_default().to_ascii_lowercase();
                    if let Ok(text) = part.text().await {
                        call.parameters.insert(name, text);
                    }
                }
            }
        } else {
            let body: Body = request.into_body();
            let bytes = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
            call.parameters.extend(pairs(&String::from_utf8_lossy(&bytes)));
        }
        call
    }

    /// The call as the log keeps it.
    pub(crate) fn logged(&self, at: Duration) -> LoggedRequest {
        LoggedRequest {
            method: self.method.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            parameters: self.parameters.clone(),
            has_token: self.token().is_some(),
            range: self.range.clone(),
            at,
            answered: None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(&name.to_ascii_lowercase()).map(String::as_str).filter(|t| !t.is_empty())
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.text(name).map_or(default, |t| t.eq_ignore_ascii_case("true"))
    }

    pub(crate) fn json(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.text(name)?).ok()
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    /// Whole numbers of a list with commas; what is none is left out.
    pub(crate) fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        self.text(name).map(|list| list.split(',').filter_map(|n| n.trim().parse().ok()).collect())
    }

    pub(crate) fn token(&self) -> Option<String> {
        let header = self.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer "));
        self.text("token").or(header).map(str::to_owned)
    }

    /// Whether it is for a hosted service, in the dialect of ArcGIS Online.
    pub(crate) fn is_online(&self) -> bool {
        let first = self.path.trim_start_matches('/').split('/').next().unwrap_or_default();
        first.eq_ignore_ascii_case("hosted")
    }

    pub(crate) fn wants_html(&self) -> bool {
        self.text("f").is_none_or(|f| f == "html")
    }
}
