//! A small file that is read into memory.

use super::fetch::{incomplete, is_error_body, no_file};
use crate::access::Access;
use crate::call::ServiceCall;
use crate::refused::Refused;
use crate::transport::{Attempt, Pace, Transport, Weight};
use async_trait::async_trait;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

/// The tries of one file.
pub(super) struct HeldAttempt {
    /// Most bytes that are held.
    pub(super) most: usize,
}

#[async_trait]
impl Attempt for HeldAttempt {
    type Output = Option<Vec<u8>>;

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Self::Output, Refused> {
        let _permit = transport.permit(&call.url, Weight::Bulk, None).await?;
        let mut headers = HeaderMap::new();
        // Compressed transfer would hide the length.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // The permit of the file's host is held already.
        let response = transport.follow(call, access, &headers, None).await?;
        let mut response = transport.expect_success(call, response).await?;
        let total = response.content_length();
        if is_error_body(response.headers(), total) {
            return Err(no_file(transport, call, response).await);
        }
        let stated = total.map_or(0, |total| usize::try_from(total).unwrap_or(usize::MAX));
        if stated > self.most {
            return Ok(None);
        }
        let (mut bytes, mut pace) = (Vec::with_capacity(stated), Pace::new(transport.options()));
        while let Some(piece) = transport.chunk(call, &mut response).await? {
            if bytes.len() + piece.len() > self.most {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
            if !pace.keeps(piece.len()) {
                return Err(transport.slow_transfer(call).into());
            }
        }
        let here = bytes.len() as u64;
        match total {
            Some(total) if total != here => {
                Err(incomplete(call, &format!("{here} of {total} bytes came before the connection ended")).into())
            }
            _ if here == 0 => Err(incomplete(call, "the file is empty").into()),
            _ => Ok(Some(bytes)),
        }
    }
}
