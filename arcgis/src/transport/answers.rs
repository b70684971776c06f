//! The kinds of answers that are read into memory.

use super::governor::Weight;
use super::http::Transport;
use super::read::{Body, unread};
use super::retry_loop::Attempt;
use crate::access::Access;
use crate::body::{self, ServiceError};
use crate::call::ServiceCall;
use crate::feature_set::{ReadFeatures, is_pbf};
use crate::ogc_exception;
use crate::refused::Refused;
use async_trait::async_trait;
use offmap_disk::run_blocking;
use offmap_model::Failure;
use offmap_model::json::{JsonBudget, Unread};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of the largest text that is parsed where it came; a larger one would keep others of its thread waiting.
const PARSED_HERE: usize = 64 << 10;

/// What `read` makes of a text within a budget, off the async threads where it is large; and the text.
async fn parsed<T: Send + 'static>(
    body: Body,
    budget: JsonBudget,
    read: impl FnOnce(JsonBudget, &[u8]) -> Result<T, Unread> + Send + 'static,
) -> Result<(Body, Result<T, Unread>), Failure> {
    let is_large = body.bytes.len() > PARSED_HERE;
    let work = move || {
        let found = read(budget, &body.bytes);
        Ok((body, found))
    };
    if is_large { run_blocking(work).await } else { work() }
}

/// Reads a body as JSON of the call's kind; the one way for all answers. Answers how long its host asks to be left alone, too.
async fn read_json<T: Send + 'static>(
    call: &ServiceCall,
    body: Body,
    read: impl FnOnce(JsonBudget, &[u8]) -> Result<T, Unread> + Send + 'static,
) -> Result<(T, Option<Duration>), Refused> {
    let (body, found) = parsed(body, call.kind.budget(), read).await?;
    match found {
        Ok(found) => Ok((found, body.retry_after)),
        Err(e) => Err(unread(call, &body, &e).into()),
    }
}

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
        let (value, retry_after) = read_json(call, body, JsonBudget::read).await?;
        match body::error_of(&value).or_else(|| (self.error_in)(&value)) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, retry_after)),
            None => Ok(value),
        }
    }
}

/// Features, as PBF where that was asked for, unless the service answers in JSON, as it does where something is wrong.
///
/// Source: feature service reference §5.2.
pub(crate) struct FeatureAnswer<R> {
    pub(crate) reader: Arc<R>,
}

#[async_trait]
impl<R: ReadFeatures> Attempt for FeatureAnswer<R> {
    type Output = R::Features;

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<R::Features, Refused> {
        let response = transport.follow(call, access, &HeaderMap::new(), Some(Weight::Small)).await?;
        let body = transport.read_body(call, response).await?;
        let reader = Arc::clone(&self.reader);
        // A cache may answer in the form that somebody else asked for.
        if is_pbf(&body.bytes) {
            return Ok(run_blocking(move || Ok(reader.read_pbf(&body.bytes))).await?);
        }
        let read = move |budget: JsonBudget, text: &[u8]| reader.read_json(budget, text);
        let ((features, said), retry_after) = read_json(call, body, read).await?;
        match body::error_of(&said).or_else(|| body::flat_error(&said)) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, retry_after)),
            None => Ok(features),
        }
    }
}

/// A list, of which is kept what `keep` makes of its members: the list as a whole is never in memory as values.
pub(crate) struct ListAnswer<K> {
    pub(crate) keep: Arc<K>,
}

#[async_trait]
impl<T: Send + 'static, K: Fn(Value) -> Option<T> + Send + Sync + 'static> Attempt for ListAnswer<K> {
    type Output = Vec<T>;

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Vec<T>, Refused> {
        let response = transport.follow(call, access, &HeaderMap::new(), Some(Weight::Small)).await?;
        let body = transport.read_body(call, response).await?;
        let keep = Arc::clone(&self.keep);
        let each = move |budget: JsonBudget, text: &[u8]| {
            let mut kept = Vec::new();
            budget.each(text, |member| kept.extend(keep(member))).map(|rest| (kept, rest))
        };
        let ((kept, rest), retry_after) = read_json(call, body, each).await?;
        match rest.and_then(|value| body::error_of(&value).or_else(|| body::flat_error(&value))) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, retry_after)),
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
        match body::error_in_bytes(&bytes).or_else(|| ogc_exception::read(&bytes)) {
            Some(error) => Err(Refused::answered(error, call.stage, &call.url, None)),
            None => Ok(Some(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[tokio::test]
    async fn a_large_text_is_parsed_on_another_thread_and_a_small_one_where_it_came() {
        let budget = JsonBudget { bytes: 1 << 20, values: 1 << 20 };
        for (length, elsewhere) in [(10, false), (PARSED_HERE, false), (PARSED_HERE + 1, true)] {
            let mut bytes = vec![b' '; length];
            bytes[..4].copy_from_slice(b"true");
            let from = "https://h/x".parse().expect("a url");
            let read = |budget: JsonBudget, text: &[u8]| budget.read(text).map(|value| (value, thread::current().id()));
            let (body, found) = parsed(Body { bytes, from, retry_after: None }, budget, read).await.expect("runs");
            let (value, there) = found.expect("reads");
            assert_eq!((body.bytes.len(), value), (length, Value::Bool(true)));
            assert_eq!(there != thread::current().id(), elsewhere, "{length}");
        }
    }
}
