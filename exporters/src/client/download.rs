//! Files from services, streamed to disk.
//!
//! 1. Write to `<name>.part` in the work directory; the final name only ever holds a whole file. What is there under the final
//!    name already is not fetched again.
//! 2. A connection that breaks goes on with `Range` and `If-Range` where the server gave a validator, else starts over.
//!    The validator stands in `<name>.part.json`, so that another process goes on, too.
//! 3. The length is checked where the server says one; a JSON error body is an error, not a file.

use super::tokens::Token;
use super::{ArcGisClient, Refused, ServiceCall, body, host_of, network, resolve};
use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets, hash_file, run_blocking};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

/// Bytes after which what was written is forced to the disk, so that a power cut costs no more.
const SYNC_EVERY: u64 = 16 << 20;

/// A file to bring home.
#[derive(Debug)]
pub struct Download<'a> {
    /// Where it is.
    pub address: &'a str,
    /// Where it goes.
    pub to: &'a Path,
    /// Whether the address carries its own signature: then no token goes with it, whatever the host.
    pub presigned: bool,
    /// Largest size that is taken, in bytes.
    pub limit: u64,
    /// What goes with the request to the origins that it is for, unless the address is presigned.
    pub secrets: &'a LayerSecrets,
}

/// A file that came home whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// What is on disk of a file, and the server's word to prove that it is still the same.
#[derive(Default)]
struct Part {
    bytes: u64,
    validator: Option<HeaderValue>,
}

impl ArcGisClient {
    /// Brings a file home. `report` takes bytes here and, where known, bytes in all.
    ///
    /// # Errors
    /// What the network, the host or the disk says, after as many tries as the options allow; the final name is then absent.
    ///
    /// # Cancel safety
    /// May be dropped; a part file is left in the directory.
    pub async fn download(
        &self,
        download: Download<'_>,
        report: impl Fn(u64, Option<u64>) + Send + Sync,
    ) -> Result<Downloaded, Failure> {
        let mut call = ServiceCall::get(download.address)?.in_stage(FailureStage::Download);
        if !download.presigned {
            call = call.with_secrets(download.secrets);
            self.inner.keeper.raise(&mut call.url);
        }
        if let Some(whole) = already_home(download.to).await? {
            return Ok(whole);
        }
        let part_path = part_path(download.to);
        let mut part = left_over(&part_path).await;
        if part.bytes > 0 {
            tracing::debug!(bytes = part.bytes, file = %part_path.display(), "half a file goes on");
        }
        let mut pauses = self.pauses();
        let mut failed = 0_usize;
        let mut busy_answers = 0_u32;
        let mut renewed = false;
        loop {
            let before = part.bytes;
            let token = if download.presigned { None } else { self.token_for(&call.url).await? };
            let got = self.fetch(&call, &download, token.as_ref(), &part_path, &mut part, &report).await;
            let refused = match got {
                Ok(()) => break,
                Err(refused) => self.scrubbed(&call, refused),
            };
            if !download.presigned && body::is_token_error(&refused.failure) && !renewed {
                renewed = true;
                if self.inner.keeper.refused(self, &call.url, token.as_ref()).await? {
                    continue;
                }
            }
            // A try that brought as much as a slow host must is a good one: only tries in a row that did not are counted.
            failed = if part.bytes.saturating_sub(before) > self.least_of_a_stretch() { 1 } else { failed + 1 };
            if !refused.failure.retryable || failed >= self.inner.options.attempts {
                return Err(refused.failure.tried(u32::try_from(failed).unwrap_or(u32::MAX)));
            }
            let (pause, busy) = self.pause_after(&call.url, &refused, pauses.next());
            if busy && busy_answers < super::MOST_BUSY_ANSWERS {
                busy_answers += 1;
                failed -= 1;
            }
            tracing::debug!(failure = %refused.failure, ?pause, at = part.bytes, "download goes on");
            self.inner.clock.sleep(pause).await;
        }
        let (from, to) = (part_path, download.to.to_owned());
        run_blocking(move || {
            let failed = |e| Failure::io(FailureStage::Download, format!("cannot keep {}", to.display()), &e);
            std::fs::File::open(&from).and_then(|f| f.sync_all()).map_err(failed)?;
            std::fs::rename(&from, &to).map_err(failed)?;
            // Without its part the note means nothing; a rest of it harms nobody.
            let _ = std::fs::remove_file(note_path(&from));
            let (bytes, sha256) = hash_file(&to)?;
            Ok(Downloaded { bytes, sha256 })
        })
        .await
    }

    async fn fetch(
        &self,
        call: &ServiceCall,
        download: &Download<'_>,
        token: Option<&Token>,
        path: &Path,
        part: &mut Part,
        report: &(impl Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<(), Refused> {
        let _permit = self.permit(&call.url).await?;
        let response = self.open(call, token, part).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            *part = Part::default();
            return Err(incomplete(call, "the file changed on the server while it was fetched").into());
        }
        let response = self.expect_success(call, response).await?;
        // Before anything is thrown away: an error in words leaves the half that is there as it is.
        if is_words(response.headers(), response.content_length()) {
            let text = self.read_all(call, response, 64 << 10).await.unwrap_or_default();
            let error = body::error_in_bytes(&text).map(|e| e.into_failure(call.stage));
            let failure = error.unwrap_or_else(|| {
                let message = "the service answers with JSON where a file was expected";
                Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message)
            });
            return Err(failure.at(call.url.as_str()).into());
        }
        let resumes =
            response.status() == StatusCode::PARTIAL_CONTENT && range_start(response.headers()) == Some(part.bytes);
        if !resumes {
            *part = Part { bytes: 0, validator: validator(response.headers()) };
            note_part(path, part, 0).await?;
        }
        let left = response.content_length();
        let total = left.map(|l| l.saturating_add(part.bytes));
        if total.is_some_and(|t| t > download.limit) {
            let message = format!("the file at {} is larger than {} bytes", host_of(&call.url), download.limit);
            return Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, call.stage, message).into());
        }
        let file = open_part(path, part.bytes).await?;
        self.write(call, download, response, file, path, part, total, report).await?;
        match total {
            Some(total) if total != part.bytes => {
                Err(incomplete(call, &format!("{} of {total} bytes came before the connection ended", part.bytes)).into())
            }
            _ if part.bytes == 0 => Err(incomplete(call, "the file is empty").into()),
            _ => Ok(()),
        }
    }

    /// Sends the request; follows redirects without taking the token to a host that it is not for.
    async fn open(&self, call: &ServiceCall, token: Option<&Token>, part: &Part) -> Result<Response, Refused> {
        let mut url = call.url.clone();
        for _ in 0..=super::MAX_REDIRECTS {
            url = self.without_repeated_secrets(call, url);
            let token = token.filter(|t| self.inner.keeper.may_see(&url, t));
            let mut headers = HeaderMap::new();
            if let (Some(validator), true) = (&part.validator, part.bytes > 0) {
                headers.insert(IF_RANGE, validator.clone());
                if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", part.bytes)) {
                    headers.insert(RANGE, range);
                }
            }
            // Compressed transfer would hide the length and break ranges.
            headers.insert(reqwest::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let response = self.execute(call, self.request(&url, call.parameters_at(&url), token, false, &headers)).await?;
            let target = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
            match target {
                Some(target) if response.status().is_redirection() => url = resolve(url.as_str(), &target)?,
                _ => return Ok(response),
            }
        }
        let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, "too many redirects");
        Err(failure.at(call.url.as_str()).into())
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `fetch`, split off for its length")]
    async fn write(
        &self,
        call: &ServiceCall,
        download: &Download<'_>,
        mut response: Response,
        mut file: File,
        path: &Path,
        part: &mut Part,
        total: Option<u64>,
        report: &(impl Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<(), Refused> {
        let disk = |e: std::io::Error| Failure::io(FailureStage::Download, "cannot write the downloaded file", &e);
        let mut synced = part.bytes;
        let mut pace = self.pace();
        let ended = loop {
            match tokio::time::timeout(self.inner.options.request_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    if part.bytes.saturating_add(chunk.len() as u64) > download.limit {
                        let message = format!("the file at {} is larger than {} bytes", host_of(&call.url), download.limit);
                        break Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, call.stage, message).into());
                    }
                    file.write_all(&chunk).await.map_err(disk)?;
                    part.bytes += chunk.len() as u64;
                    report(part.bytes, total);
                    if part.bytes - synced >= SYNC_EVERY {
                        file.sync_data().await.map_err(disk)?;
                        synced = part.bytes;
                        note_part(path, part, synced).await?;
                    }
                    if !pace.keeps(chunk.len()) {
                        break Err(self.dripping(call).into());
                    }
                }
                Ok(Ok(None)) => break Ok(()),
                Ok(Err(error)) => break Err(network(call, &error).into()),
                Err(_) => break Err(self.silent(call).into()),
            }
        };
        file.flush().await.map_err(disk)?;
        ended
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

fn part_path(to: &Path) -> PathBuf {
    with_ending(to, ".part")
}

fn note_path(part: &Path) -> PathBuf {
    with_ending(part, ".json")
}

/// A file that came home whole before, under its final name.
pub(crate) async fn already_home(path: &Path) -> Result<Option<Downloaded>, Failure> {
    if !tokio::fs::metadata(path).await.is_ok_and(|m| m.is_file()) {
        return Ok(None);
    }
    let path = path.to_owned();
    run_blocking(move || hash_file(&path).map(|(bytes, sha256)| Some(Downloaded { bytes, sha256 }))).await
}

/// What is written down of a part file: how to prove that the file is still the same, and how much of it is surely on the disk.
#[derive(Debug, Serialize, Deserialize)]
struct PartNote {
    validator: String,
    /// Bytes that survive a power cut.
    synced: u64,
    /// The start of the machine in which it was written: within it all bytes that were written are there.
    boot: Option<String>,
}

/// Names the machine's current start, where the system tells.
fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|t| t.trim().to_owned())
}

async fn note_part(path: &Path, part: &Part, synced: u64) -> Result<(), Failure> {
    let Some(validator) = part.validator.as_ref().and_then(|v| v.to_str().ok()) else { return Ok(()) };
    let note = PartNote { validator: validator.to_owned(), synced, boot: boot_id() };
    let text = serde_json::to_vec(&note).map_err(|e| Failure::internal(e.to_string()))?;
    let (to, new) = (note_path(path), with_ending(path, ".json.new"));
    // Written beside and renamed, so that the note is never half.
    let written = async {
        tokio::fs::write(&new, text).await?;
        tokio::fs::rename(&new, &to).await
    };
    written.await.map_err(|e| Failure::io(FailureStage::Download, format!("cannot write {}", to.display()), &e))
}

/// What another process left of a file; nothing where it cannot be proven to be the same.
async fn left_over(path: &Path) -> Part {
    let note = tokio::fs::read(note_path(path)).await.ok().and_then(|text| serde_json::from_slice::<PartNote>(&text).ok());
    let (Some(note), Ok(metadata)) = (note, tokio::fs::metadata(path).await) else { return Part::default() };
    let same_start = note.boot.is_some() && note.boot == boot_id();
    let bytes = if same_start { metadata.len() } else { metadata.len().min(note.synced) };
    match HeaderValue::from_str(&note.validator) {
        Ok(validator) => Part { bytes, validator: Some(validator) },
        Err(_) => Part::default(),
    }
}

/// Opens the part file at `bytes`; what lies beyond is cut off.
async fn open_part(path: &Path, bytes: u64) -> Result<File, Failure> {
    let failed = |e: std::io::Error| Failure::io(FailureStage::Download, format!("cannot write {}", path.display()), &e);
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path).await.map_err(failed)?;
    file.set_len(bytes).await.map_err(failed)?;
    let mut file = file;
    tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(bytes)).await.map_err(failed)?;
    Ok(file)
}

fn incomplete(call: &ServiceCall, words: &str) -> Failure {
    let message = format!("the download from {} broke off: {words}", host_of(&call.url));
    Failure::new(FailureOwner::Network, FailureKind::Incomplete, FailureStage::Download, message)
        .at(call.url.as_str())
        .may_pass()
}

/// A strong `ETag`, else `Last-Modified`.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = headers.get(ETAG).filter(|v| !v.as_bytes().starts_with(b"W/"));
    strong.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Whether this is an answer in words rather than a file. Old servers send error bodies as plain text.
fn is_words(headers: &HeaderMap, length: Option<u64>) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json")
        || kind.starts_with("text/html")
        || (kind.starts_with("text/plain") && length.is_some_and(|l| l < 64 << 10))
}
