//! The kinds of answers that are read into memory.

use super::governor::Weight;
use super::http::Transport;
use super::read::unread;
use super::retry_loop::Attempt;
use crate::access::Access;
use crate::body::{self, ServiceError};
use crate::call::ServiceCall;
use crate::feature_set::{FeatureSet, is_pbf};
use crate::refused::Refused;
use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// JSON, in which a kind of error is looked for beside the usual one.
pub(crate) struct JsonAnswer {
    pub(crate) error_in: fn(&Value) -> Option<ServiceError>,
}

#[async_trait]
impl Attempt for JsonAnswer {
    type Output = Value;

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Value, Refused> {
        let response = transport.follow(call, access, &HeaderMap::new(), Some(Weight::Small)).await?;
        let body = transport.read_body(call, response).await?;
        let value = call.kind.budget().read(&body.bytes).map_err(|e| unread(call, &body, &e))?;
        match body::error_of(&value).or_else(|| (self.error_in)(&value)) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, body.retry_after)),
            None => Ok(value),
        }
    }
}

/// Features, as PBF unless the service answers in JSON, as it does where something is wrong.
///
/// Source: feature service reference §5.2.
pub(crate) struct FeatureAnswer;

#[async_trait]
impl Attempt for FeatureAnswer {
    type Output = FeatureSet;

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<FeatureSet, Refused> {
        let response = transport.follow(call, access, &HeaderMap::new(), Some(Weight::Small)).await?;
        let body = transport.read_body(call, response).await?;
        if is_pbf(&body.bytes) {
            return Ok(FeatureSet::Pbf(body.bytes));
        }
        let value = call.kind.budget().read(&body.bytes).map_err(|e| unread(call, &body, &e))?;
        match body::error_of(&value).or_else(|| body::flat_error(&value)) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, body.retry_after)),
            None => Ok(FeatureSet::Json(value)),
        }
    }
}

/// A list, of which is kept what `keep` makes of its members: the list as a whole is never in memory as values.
pub(crate) struct ListAnswer<K> {
    pub(crate) keep: K,
}

#[async_trait]
impl<T: Send, K: Fn(Value) -> Option<T> + Send + Sync> Attempt for ListAnswer<K> {
    type Output = Vec<T>;

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Vec<T>, Refused> {
        let response = transport.follow(call, access, &HeaderMap::new(), Some(Weight::Small)).await?;
        let body = transport.read_body(call, response).await?;
        let mut kept = Vec::new();
        let rest = call.kind.budget().each(&body.bytes, |member| kept.extend((self.keep)(member)));
        let rest = rest.map_err(|e| unread(call, &body, &e))?;
        match rest.and_then(|value| body::error_of(&value).or_else(|| body::flat_error(&value))) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, body.retry_after)),
            None => Ok(kept),
        }
    }
}

/// A small file; `None` if the url has none (404).
pub(crate) struct SmallFile {
    /// Most bytes that it may have.
    pub(crate) limit: usize,
}

#[async_trait]
impl Attempt for SmallFile {
    type Output = Option<Vec<u8>>;

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Self::Output, Refused> {
        let response = transport.follow(call, access, &HeaderMap::new(), Some(Weight::Small)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = transport.expect_success(call, response).await?;
        let bytes = transport.read_all(call, response, self.limit).await?;
        match body::error_in_bytes(&bytes) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, None)),
            None => Ok(Some(bytes)),
        }
    }
}
