//! One try to fetch a file, or the rest of it.

use super::part::{Part, PartFile};
use super::writer::Writer;
use crate::access::Access;
use crate::body;
use crate::call::ServiceCall;
use crate::file_state::FileState;
use crate::refused::Refused;
use crate::transport::{Attempt, Pace, Transport, Weight, judge_page};
use crate::urls::host_of;
use async_trait::async_trait;
use offmap_disk::run_blocking;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use std::pin::pin;
use tokio_util::sync::CancellationToken;

/// Largest answer that is read as an error body, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

/// The tries of one file.
pub(super) struct FileAttempt<R> {
    pub(super) file: PartFile,
    pub(super) part: Part,
    /// Largest size that is accepted, in bytes.
    pub(super) limit: u64,
    /// Is called with the bytes that are here and, where known, the bytes in all.
    pub(super) report: R,
}

#[async_trait]
impl<R: Fn(u64, Option<u64>) + Send + Sync> Attempt for FileAttempt<R> {
    type Output = ();

    async fn send(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<(), Refused> {
        let _permit = transport.permit(&call.url, Weight::Bulk, None).await?;
        let response = self.open(transport, call, access).await?;
        let response = transport.expect_success(call, response).await?;
        // Before anything is thrown away: an error body leaves the part that is there as it is.
        if is_error_body(response.headers(), response.content_length()) {
            return Err(no_file(transport, call, response).await);
        }
        if response.status() != StatusCode::PARTIAL_CONTENT {
            self.restart(FileState::of(response.headers(), response.content_length())).await?;
        }
        let total = self.part.state.total;
        if let Some(total) = total.filter(|total| *total > self.limit) {
            return Err(too_large(call, total, self.limit).into());
        }
        self.check_space(transport, total.map_or(0, |t| t.saturating_sub(self.part.bytes))).await?;
        self.write(transport, call, response).await?;
        let here = self.part.bytes;
        match total {
            Some(total) if total != here => {
                Err(incomplete(call, &format!("{here} of {total} bytes came before the connection ended")).into())
            }
            _ if here == 0 => Err(incomplete(call, "the file is empty").into()),
            _ => Ok(()),
        }
    }

    fn bytes_here(&self) -> u64 {
        self.part.bytes
    }
}

impl<R: Fn(u64, Option<u64>) + Send + Sync> FileAttempt<R> {
    /// Asks for the rest of the file where a part is here, else for all of it: also where the rest is of another state of the file.
    async fn open(&mut self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Response, Refused> {
        let mut response = self.request(transport, call, access).await?;
        let joins = |response: &Response, part: &Part| {
            part.state.is_continued_by(response.headers(), response.content_length(), part.bytes)
        };
        if response.status() == StatusCode::PARTIAL_CONTENT && !joins(&response, &self.part) {
            // Of another file, or nobody knows: the part that is here is worth nothing.
            self.forget().await?;
            response = self.request(transport, call, access).await?;
            if response.status() == StatusCode::PARTIAL_CONTENT {
                return Err(incomplete(call, "the server sends a part of the file where the whole was asked for").into());
            }
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            self.forget().await?;
            return Err(incomplete(call, "the file changed on the server while it was fetched").into());
        }
        Ok(response)
    }

    async fn request(&self, transport: &Transport, call: &ServiceCall, access: &Access) -> Result<Response, Refused> {
        let mut headers = HeaderMap::new();
        if let (Some(validator), true) = (self.part.state.if_range(), self.part.bytes > 0) {
            headers.insert(IF_RANGE, validator);
            if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.part.bytes)) {
                headers.insert(RANGE, range);
            }
        }
        // Compressed transfer would hide the length and break ranges.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // The permit of the file's host is held already.
        transport.follow(call, access, &headers, None).await
    }

    /// Forgets the part that is here.
    async fn forget(&mut self) -> Result<(), Failure> {
        self.part = Part::default();
        let file = self.file.clone();
        run_blocking(move || file.forget_note()).await
    }

    /// Begins anew with a state of the file.
    async fn restart(&mut self, state: FileState) -> Result<(), Failure> {
        self.part = Part { state: state.clone(), ..Part::default() };
        let file = self.file.clone();
        run_blocking(move || file.note(&state, 0)).await
    }

    /// Checks that so many bytes more leave the reserve of the disk free.
    async fn check_space(&self, transport: &Transport, more: u64) -> Result<(), Failure> {
        let (reserve, path) = (transport.options().disk_reserve, self.file.path().to_owned());
        run_blocking(move || reserve.check(path.parent().unwrap_or(&path), more)).await
    }

    /// Writes what comes, and keeps what is on the disk of it.
    async fn write(&mut self, transport: &Transport, call: &ServiceCall, mut response: Response) -> Result<(), Refused> {
        let (total, mut came) = (self.part.state.total, self.part.bytes);
        let part = std::mem::take(&mut self.part);
        let mut writer = Writer::start(self.file.clone(), part, transport.options().disk_reserve);
        let mut pace = Pace::new(transport.options());
        let mut is_too_large = false;
        let ended = loop {
            let mut next = pin!(transport.chunk(call, &mut response));
            let piece = loop {
                tokio::select! {
                    biased;
                    // What is reported is on the disk: a cancel that follows does not lose it.
                    here = writer.written() => (self.report)(here, total),
                    piece = &mut next => break piece,
                }
            };
            let piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(refused) => break Err(refused),
            };
            let length = piece.len();
            came = came.saturating_add(length as u64);
            if came > self.limit {
                is_too_large = true;
                break Err(too_large(call, came, self.limit).into());
            }
            if !writer.write(piece).await {
                // Its own failure says why.
                break Ok(());
            }
            if !pace.keeps(length) {
                break Err(transport.slow_transfer(call).into());
            }
        };
        let (part, written) = writer.finish().await;
        self.part = part;
        if !is_too_large && written.is_ok() {
            (self.report)(self.part.bytes, total);
        } else if is_too_large {
            // Nobody will resume it, so it does not stay on the disk.
            self.part = Part::default();
            let file = self.file.clone();
            let stop = CancellationToken::new();
            let _guard = stop.clone().drop_guard();
            run_blocking(move || file.open(0, &stop).map(drop)).await?;
        }
        written?;
        ended
    }
}

/// The failure of an answer that is an error body, or a page, where a file was expected.
pub(super) async fn no_file(transport: &Transport, call: &ServiceCall, response: Response) -> Refused {
    let from = response.url().clone();
    let text = transport.read_all(call, response, LARGEST_ERROR).await.unwrap_or_default();
    if let Some(page) = judge_page(call, &from, &text).filter(|_| !text.is_empty()) {
        return page.into();
    }
    if let Some(error) = body::error_in_bytes(&text) {
        return Refused::answered(error, call.stage, &call.url, None);
    }
    let message = "the service answers with JSON where a file was expected";
    let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message);
    failure.with_url(call.url.as_str()).into()
}

fn too_large(call: &ServiceCall, found: u64, limit: u64) -> Failure {
    let message = format!("the file at {} has {found} bytes or more, {limit} are allowed", host_of(&call.url));
    Failure::new(FailureOwner::Source, FailureKind::LimitExceeded, call.stage, message).with_url(call.url.as_str())
}

pub(super) fn incomplete(call: &ServiceCall, why: &str) -> Failure {
    let message = format!("the download from {} broke off: {why}", host_of(&call.url));
    Failure::new(FailureOwner::Network, FailureKind::Incomplete, FailureStage::Download, message)
        .with_url(call.url.as_str())
        .retryable()
}

/// Whether this is an error body or a page rather than a file. Old servers send error bodies as plain text.
pub(super) fn is_error_body(headers: &HeaderMap, length: Option<u64>) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json")
        || kind.starts_with("text/html")
        || (kind.starts_with("text/plain") && length.is_some_and(|l| l < LARGEST_ERROR as u64))
}
