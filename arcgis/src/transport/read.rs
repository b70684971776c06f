//! Bodies of answers: read within their limits, and judged.

use super::http::{Transport, timed_out};
use super::pace::{Pace, time_for};
use super::{page, sign_in};
use crate::body::{self, ServiceError};
use crate::call::ServiceCall;
use crate::metrics;
use crate::ogc_exception;
use crate::refused::Refused;
use crate::retry_after::retry_after;
use crate::urls::host_of;
use offmap_model::json::Unread;
use offmap_model::{Failure, FailureKind, FailureOwner};
use reqwest::Response;
use tokio::time::Instant;
use url::Url;

/// Largest body of an answer that is an error by its HTTP status, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

/// An answer that was read as bytes.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Where it came from.
    pub(super) from: Url,
    pub(super) retry_after: Option<std::time::Duration>,
}

impl Transport {
    /// How long the host of an answer asks to be left alone.
    fn retry_after(&self, response: &Response) -> Option<std::time::Duration> {
        retry_after(response.headers(), self.clock().now_ms())
    }

    /// Turns a status of 400 and above into a failure, with the message of the error body where there is one.
    pub(crate) async fn expect_success(&self, call: &ServiceCall, response: Response) -> Result<Response, Refused> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (headers, retry_after) = (response.headers().clone(), self.retry_after(&response));
        let text = self.read_all(call, response, LARGEST_ERROR).await.unwrap_or_default();
        let error = match body::error_in_bytes(&text).or_else(|| ogc_exception::read(&text)) {
            Some(error) => error.with_status(status.as_u16()),
            None => {
                let proxy = self.proxy_of(call);
                if let Some(failure) = sign_in::wanted(call, status, &headers, &text, proxy.as_deref()) {
                    let code = i64::from(status.as_u16());
                    return Err(Refused { code: Some(code), ..Refused::from(failure.with_status(code)) });
                }
                ServiceError::of_status(status.as_u16())
            }
        };
        Err(Refused::answered(error, call.stage, &call.url, retry_after))
    }

    /// Reads an answer of the call's kind.
    pub(super) async fn read_body(&self, call: &ServiceCall, response: Response) -> Result<Body, Refused> {
        let response = self.expect_success(call, response).await?;
        let (retry_after, from) = (self.retry_after(&response), response.url().clone());
        let bytes = self.read_all(call, response, call.kind.budget().bytes).await?;
        Ok(Body { bytes, from, retry_after })
    }

    /// Reads an answer of at most `limit` bytes, within the time for them, however they come.
    pub(crate) async fn read_all(&self, call: &ServiceCall, response: Response, limit: usize) -> Result<Vec<u8>, Refused> {
        self.read_all_into(call, response, limit, Vec::new()).await
    }

    /// The same, in the room of a list that is not needed any more.
    pub(super) async fn read_all_into(
        &self,
        call: &ServiceCall,
        mut response: Response,
        limit: usize,
        mut all: Vec<u8>,
    ) -> Result<Vec<u8>, Refused> {
        all.clear();
        let read = self.read_into(call, &mut response, limit, &mut all).await;
        metrics::received(&call.url, all.len());
        read.map(|()| all)
    }

    async fn read_into(
        &self,
        call: &ServiceCall,
        response: &mut Response,
        limit: usize,
        all: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let request_timeout = self.options().request_timeout;
        let mut pace = Pace::new(self.options());
        let began = Instant::now();
        while let Some(chunk) = self.next_chunk(call, response).await? {
            let came = all.len() + chunk.len();
            if came > limit {
                return Err(too_much(call, &format!("it has more than {limit} bytes")).into());
            }
            if came > all.capacity() {
                // Not twice as much as came, as a list would by itself.
                all.reserve_exact(chunk.len().max(all.len() / 4).min(limit - all.len()));
            }
            all.extend_from_slice(&chunk);
            if began.elapsed() > time_for(request_timeout, came) {
                let (host, seconds) = (host_of(&call.url), began.elapsed().as_secs());
                let message = format!("the answer of {host} had not ended after {seconds} seconds and {came} bytes");
                return Err(timed_out(call, message).into());
            }
            if !pace.keeps(chunk.len()) {
                return Err(self.slow_transfer(call).into());
            }
        }
        Ok(())
    }

    /// Reads what comes next of a body, at most for the request time-out; `None` at its end.
    pub(crate) async fn chunk(&self, call: &ServiceCall, response: &mut Response) -> Result<Option<bytes::Bytes>, Refused> {
        let chunk = self.next_chunk(call, response).await?;
        metrics::received(&call.url, chunk.as_ref().map_or(0, bytes::Bytes::len));
        Ok(chunk)
    }

    /// The same, not counted.
    async fn next_chunk(&self, call: &ServiceCall, response: &mut Response) -> Result<Option<bytes::Bytes>, Refused> {
        match tokio::time::timeout(self.options().request_timeout, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(self.network(call, &error).into()),
            Err(_) => Err(self.silent(call).into()),
        }
    }
}

/// The failure for an answer that is more than its kind may be.
fn too_much(call: &ServiceCall, found: &str) -> Failure {
    let message = format!("the answer of {} is too large to be read: {found}", host_of(&call.url));
    Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message).with_url(call.url.as_str())
}

/// The failure for an answer that was not read.
pub(super) fn unread(call: &ServiceCall, body: &Body, unread: &Unread) -> Failure {
    match unread {
        Unread::NotJson(place) => page::judge(call, &body.from, &body.bytes)
            .unwrap_or_else(|| body::not_json(&body.bytes, place, call.stage).with_url(call.url.as_str())),
        too_large => too_much(call, &too_large.to_string()),
    }
}
