//! Parts of a file on a web server, by range requests.
//!
//! | answer | what it means |
//! | --- | --- |
//! | 206 whose `Content-Range` is the range that was asked for, of a file in the state that is known | the bytes |
//! | 206 of another length or with another `ETag`, 412, 416 where the state is known | the file changed |
//! | 206 of another range, of several parts or compressed; 200 | a failure: the server has no ranges, or lies about them |
//! | fewer bytes than it says, or a connection that breaks | it is asked for again, as any fault that may pass |
//! | any other status | a failure |
//!
//! Source: RFC 9110 §13.1, §14, §15.3.7, §15.5.17.

use crate::access::Access;
use crate::call::ServiceCall;
use crate::client::ArcGisClient;
use crate::file_state::{FileState, content_range, shown};
use crate::refused::Refused;
use crate::transport::{Attempt, Pauses, Transport, Weight};
use crate::urls::host_of;
use async_trait::async_trait;
use offmap_model::{Failure, FailureKind, FailureOwner};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};

/// What can be done where a server has no ranges that can be relied upon.
const WAY_OUT: &str =
    "download the file as a whole, and take a part of that (`offmap convert FILE OUT` with --area and --levels)";

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Its first byte, counted from zero.
    pub first: u64,
    /// How many bytes; at least one.
    pub length: u64,
}

impl ByteRange {
    /// Its last byte.
    fn last(self) -> u64 {
        self.first.saturating_add(self.length.saturating_sub(1))
    }
}

/// What a server has of a part of a file.
#[derive(Debug)]
pub enum RangeAnswer {
    /// Its bytes, and the state of the file that they are of. They are fewer than asked for only where the file ends before.
    Bytes(Vec<u8>, FileState),
    /// The file is not what it was: in which way, in words.
    Changed(String),
}

impl ArcGisClient {
    /// Asks for a part of a file, as long as the file is in a state that is known from an earlier answer. The part is in memory: ask for
    /// few bytes at a time.
    ///
    /// # Errors
    /// As [`ArcGisClient::json`]; also if the server does not answer with that part.
    ///
    /// # Cancel safety
    /// The request may have reached the server when the future is dropped.
    pub async fn byte_range(
        &self,
        call: ServiceCall,
        range: ByteRange,
        state: Option<&FileState>,
    ) -> Result<RangeAnswer, Failure> {
        // Answers stay as they come: an encoding would be of other bytes.
        self.run(call.keeping_gzip(), &mut RangeAttempt { range, state }).await
    }
}

/// The tries of one part.
struct RangeAttempt<'a> {
    range: ByteRange,
    state: Option<&'a FileState>,
}

impl RangeAttempt<'_> {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-{}", self.range.first, self.range.last())) {
            headers.insert(RANGE, range);
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some((name, value)) = self.state.and_then(FileState::condition) {
            headers.insert(name, value);
        }
        headers
    }

    /// The state of the file by the head of an answer, and how many bytes it has of the range.
    fn judge(&self, call: &ServiceCall, response: &Response) -> Result<(FileState, u64), Refused> {
        let (headers, asked) = (response.headers(), self.range);
        let (host, last) = (host_of(&call.url), asked.last());
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        let lies = |found: String| {
            let first = asked.first;
            let message =
                format!("{host} answers with {found} where bytes {first} to {last} of a file were asked for; {WAY_OUT}");
            let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message);
            Err(failure.with_url(call.url.as_str()).into())
        };
        if text(CONTENT_TYPE).starts_with("multipart/") {
            return lies("several parts (multipart/byteranges)".to_owned());
        }
        let encoding = text(CONTENT_ENCODING);
        if !matches!(encoding.as_str(), "" | "identity") {
            return lies(format!("bytes that are compressed ({})", shown(&encoding)));
        }
        let Some((first, end, total)) = content_range(headers) else {
            let said = headers.get(CONTENT_RANGE).map(|value| shown(&String::from_utf8_lossy(value.as_bytes())));
            let said = said.map_or_else(|| "no Content-Range".to_owned(), |said| format!("the Content-Range {said}"));
            return lies(format!("{said}, expected one like \"bytes 0-9/100\" with the length of the file,"));
        };
        if first != asked.first || end != last.min(total - 1) {
            return lies(format!("bytes {first} to {end} of {total}"));
        }
        Ok((FileState::of(headers, Some(total)), end - first + 1))
    }
}

#[async_trait]
impl Attempt for RangeAttempt<'_> {
    type Output = RangeAnswer;

    fn pauses(&self) -> Pauses {
        Pauses::Light
    }

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<RangeAnswer, Refused> {
        let headers = self.headers();
        let (response, _permit) = transport.follow_with_permit(call, access, &headers, Some(Weight::Bulk)).await?;
        match (response.status(), self.state) {
            (StatusCode::PRECONDITION_FAILED, Some(_)) => {
                return Ok(RangeAnswer::Changed("it is not in the state any more that was asked for (412)".to_owned()));
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                return Ok(RangeAnswer::Changed(format!("it ends before byte {} (416)", self.range.first)));
            }
            _ => {}
        }
        let response = transport.expect_success(call, response).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(no_ranges(call, &response).into());
        }
        let (found, length) = self.judge(call, &response)?;
        if let Some(words) = self.state.and_then(|state| state.difference(&found)) {
            return Ok(RangeAnswer::Changed(words));
        }
        let limit = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = transport.read_all(call, response, limit).await?;
        match bytes.len() as u64 == length {
            true => Ok(RangeAnswer::Bytes(bytes, found)),
            false => {
                let (host, came) = (host_of(&call.url), bytes.len());
                let message = format!("{host} sent {came} of {length} bytes of a part of a file before the answer ended");
                let failure = Failure::new(FailureOwner::Network, FailureKind::Incomplete, call.stage, message);
                Err(failure.with_url(call.url.as_str()).retryable().into())
            }
        }
    }
}

/// The failure for a server that answers with the whole file.
fn no_ranges(call: &ServiceCall, response: &Response) -> Failure {
    let (host, status) = (host_of(&call.url), response.status().as_u16());
    let bytes = response.content_length().map_or_else(String::new, |length| format!(" of {length} bytes"));
    let message = format!(
        "{host} answers with the whole file{bytes} (status {status}) where a part of it was asked for: it serves no ranges; {WAY_OUT}"
    );
    Failure::new(FailureOwner::Source, FailureKind::NotSupported, call.stage, message).with_url(call.url.as_str())
}
