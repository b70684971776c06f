//! One tile of a service, told apart from what is answered in its place.
//!
//! | answer | what it means |
//! | --- | --- |
//! | 404, 204, 200 with `blank-tile: true` | there is no such tile |
//! | 200 with nothing in it, of the media type of vector tiles | the same: a tile without layers |
//! | 200 with an HTML page, an error as JSON, anything that is no tile | a failure; it is asked again as any fault that may pass |
//! | any other status | a failure |
//!
//! Source: tile reference §4.

use super::governor::Weight;
use super::http::Transport;
use super::page;
use super::retry::Pauses;
use super::retry_loop::Attempt;
use super::tile_window::Went;
use crate::access::Access;
use crate::body;
use crate::call::ServiceCall;
use crate::ogc_exception;
use crate::refused::Refused;
use crate::urls::is_same_place;
use async_trait::async_trait;
use flate2::read::MultiGzDecoder;
use offmap_model::{Failure, FailureKind, FailureOwner};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use std::borrow::Cow;
use std::io::Read as _;

/// Says whether bytes, opened where they were gzip, are a tile; else in words what they are.
pub(crate) type IsTile<'a> = &'a (dyn Fn(&[u8]) -> Result<(), String> + Send + Sync);

/// Bytes of an answer that is read to its end though it says nothing, so that its connection is used again.
const UNREAD: usize = 64 << 10;
/// Times of the limit that the content of gzip may have.
const INFLATES: usize = 8;

/// A tile.
pub(crate) struct TileAnswer<'a> {
    /// Most bytes that it may have.
    pub(crate) limit: usize,
    pub(crate) is_tile: IsTile<'a>,
    /// A list whose room the tile is read into.
    pub(crate) room: Vec<u8>,
}

/// Whether there is no tile, by the head of an answer.
fn is_none(response: &Response) -> bool {
    let is_blank = response.headers().get("blank-tile").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"true"));
    matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::NO_CONTENT)
        || (response.status().is_success() && is_blank)
}

fn is_vector(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    kind.contains("protobuf") || kind.contains("mapbox-vector-tile") || kind.contains("x-mvt")
}

/// A failure that may pass, of an answer that is no tile.
fn no_tile(call: &ServiceCall, words: &str) -> Refused {
    let message = format!("the answer is no tile: {words}");
    let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message);
    failure.with_url(call.url.as_str()).retryable().into()
}

impl TileAnswer<'_> {
    /// The content of gzip; other bytes as they are.
    fn opened<'b>(&self, call: &ServiceCall, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Refused> {
        if !bytes.starts_with(b"\x1f\x8b") {
            return Ok(Cow::Borrowed(bytes));
        }
        let most = self.limit.saturating_mul(INFLATES);
        let mut content = Vec::new();
        match MultiGzDecoder::new(bytes).take(most as u64 + 1).read_to_end(&mut content) {
            Ok(_) if content.len() <= most => Ok(Cow::Owned(content)),
            Ok(_) => Err(no_tile(call, &format!("it inflates to more than {most} bytes"))),
            Err(error) => Err(no_tile(call, &format!("it is damaged gzip ({error})"))),
        }
    }
}

#[async_trait]
impl Attempt for TileAnswer<'_> {
    type Output = Option<Vec<u8>>;

    fn pauses(&self) -> Pauses {
        Pauses::Light
    }

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Self::Output, Refused> {
        let mut headers = HeaderMap::new();
        if call.keeps_gzip {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let (response, permit) = transport.follow_with_permit(call, access, &headers, Some(Weight::Tile)).await?;
        let judged = self.judged(transport, call, response).await;
        if let (Some(permit), Some(went)) = (permit, went(&judged)) {
            permit.done(went, transport.clock().now_ms());
        }
        judged
    }
}

/// How a request went, as far as it says anything of the host; one that it refused for being busy is told by who waits for it.
fn went<T>(judged: &Result<Option<T>, Refused>) -> Option<Went> {
    match judged {
        Ok(Some(_)) => Some(Went::Well),
        Ok(None) => Some(Went::Otherwise),
        Err(refused) if refused.retry_after.is_some() || refused.code == Some(429) => None,
        Err(refused) if refused.code.is_some_and(|code| (400..500).contains(&code)) => Some(Went::Otherwise),
        Err(refused) if refused.failure.owner == FailureOwner::Credentials => Some(Went::Otherwise),
        Err(_) => Some(Went::Wrong),
    }
}

impl TileAnswer<'_> {
    /// Reads an answer and judges it.
    async fn judged(
        &mut self,
        transport: &Transport,
        call: &ServiceCall,
        response: Response,
    ) -> Result<Option<Vec<u8>>, Refused> {
        // What another host answers, to which a redirect led, is not the service's word.
        if is_none(&response) && is_same_place(&call.url, response.url()) {
            // What it says is of no interest, and neither is whether all of it comes.
            let _ = transport.read_all(call, response, UNREAD).await;
            return Ok(None);
        }
        let is_own = is_same_place(&call.url, response.url());
        let response = match transport.expect_success(call, response).await {
            // WMTS says it with status 400.
            Err(refused) if is_own && refused.says(ogc_exception::is_out_of_range) => return Ok(None),
            answered => answered?,
        };
        let (from, is_vector) = (response.url().clone(), is_vector(response.headers()));
        let encoding = response.headers().get(CONTENT_ENCODING).cloned();
        let bytes = transport.read_all_into(call, response, self.limit, std::mem::take(&mut self.room)).await?;
        if let Some(other) =
            encoding.filter(|e| call.keeps_gzip && !matches!(e.as_bytes(), b"gzip" | b"x-gzip" | b"identity"))
        {
            return Err(no_tile(call, &format!("it is compressed as {other:?}, and gzip was asked for")));
        }
        let content = self.opened(call, &bytes)?;
        if content.is_empty() && is_vector {
            return Ok(None);
        }
        if let Some(error) = body::error_in_bytes(&content).or_else(|| ogc_exception::read(&content)) {
            if ogc_exception::is_out_of_range(&error.message) && is_same_place(&call.url, &from) {
                return Ok(None);
            }
            return Err(Refused::answered(error, call.stage, &call.url, None));
        }
        if let Some(page) = page::judge(call, &from, &content) {
            return Err(page.into());
        }
        match (self.is_tile)(&content) {
            Ok(()) => {
                // A picture that came compressed is kept as a picture.
                let opened = match content {
                    Cow::Owned(content) if !call.keeps_gzip => Some(content),
                    _ => None,
                };
                Ok(Some(opened.unwrap_or(bytes)))
            }
            Err(words) => Err(no_tile(call, &words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::ServiceError;
    use offmap_model::FailureStage;

    #[test]
    fn what_is_answered_within_a_200_is_judged_for_the_window() {
        let url = "https://h/x".parse().expect("a url");
        let error = |code: u16| Refused::answered(ServiceError::of_status(code), FailureStage::Run, &url, None);
        let call = ServiceCall::get("https://h/x").expect("a url");
        assert_eq!(went(&Ok(Some(()))), Some(Went::Well));
        assert_eq!(went::<()>(&Ok(None)), Some(Went::Otherwise));
        for code in [500, 502, 503] {
            assert_eq!(went::<()>(&Err(error(code))), Some(Went::Wrong), "{code}");
        }
        for code in [400, 403, 404] {
            assert_eq!(went::<()>(&Err(error(code))), Some(Went::Otherwise), "{code}");
        }
        assert_eq!(went::<()>(&Err(error(429))), None, "who waits for it tells");
        assert_eq!(went::<()>(&Err(no_tile(&call, "a page"))), Some(Went::Wrong));
    }
}
