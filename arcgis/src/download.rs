//! Files from services, streamed to disk.
//!
//! 1. Write to `<name>.part` in the work directory; the final name only ever holds a whole file. What is there under the final
//!    name already is not fetched again.
//! 2. A connection that breaks goes on with `Range` and `If-Range` where the server gave a validator and the length, else starts
//!    over; the rest is joined only if it is of the same file (`part`). Both stand in `<name>.part.json`, so that another
//!    process goes on, too.
//! 3. The length is checked where the server says one; a JSON error body is an error, not a file.

use crate::client::{ArcGisClient, Refused, ServiceCall, host_of};
use crate::governor::Weight;
use crate::inner_host::Turn;
use crate::part::FileState;
use crate::retry::{Pauses, Retries};
use crate::tokens::{Token, TriedTokens};
use crate::{body, page};
use offmap_disk::{atomic_file, hash_file, run_blocking, safe_path};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// Bytes after which what was written is forced to the disk, so that a power cut costs no more.
const SYNC_EVERY: u64 = 16 << 20;

/// Longest note beside a part file, in bytes.
const LONGEST_NOTE: u64 = 64 << 10;

/// A file to bring home.
#[derive(Debug)]
pub struct Download<'a> {
    /// Where it is.
    pub url: &'a str,
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

/// What is on disk of a file, and which state of the file it is of.
#[derive(Default)]
struct Part {
    bytes: u64,
    state: FileState,
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
        let call = ServiceCall::get(download.url)?;
        self.download_by(call, download, report).await
    }

    /// The same for a file that an answer of the service at `root` names, also on a host that may be reachable from inside only.
    pub async fn download_named(
        &self,
        root: &str,
        download: Download<'_>,
        report: impl Fn(u64, Option<u64>) + Send + Sync,
    ) -> Result<Downloaded, Failure> {
        let call = self.named(root, download.url)?;
        self.download_by(call, download, report).await
    }

    async fn download_by(
        &self,
        call: ServiceCall,
        download: Download<'_>,
        report: impl Fn(u64, Option<u64>) + Send + Sync,
    ) -> Result<Downloaded, Failure> {
        let mut call = call.in_stage(FailureStage::Download);
        // Where the service itself was asked, nothing is presigned.
        let is_presigned = |call: &ServiceCall| download.presigned && !call.is_at_outer();
        if !download.presigned || call.places.is_some() {
            call = call.with_secrets(download.secrets);
        }
        if let Some(whole) = already_home(download.to).await? {
            return Ok(whole);
        }
        let part_path = part_path(download.to);
        let mut part = left_over(&part_path).await;
        if part.bytes > 0 {
            tracing::debug!(bytes = part.bytes, file = %part_path.display(), "half a file goes on");
        }
        let mut retries = Retries::new(Pauses::Short);
        let mut tokens = TriedTokens::default();
        let mut elsewhere = None;
        loop {
            if !is_presigned(&call) {
                self.relocate(&mut call.url);
            }
            let before = part.bytes;
            let token = if is_presigned(&call) { None } else { self.token_for(&call.url).await? };
            let got = self.fetch(&call, &download, token.as_ref(), &part_path, &mut part, &report).await;
            let refused = match got {
                Ok(()) => {
                    self.answered_at(&call, elsewhere.is_some());
                    break;
                }
                Err(refused) => self.scrubbed(&call, refused),
            };
            if !is_presigned(&call) && self.is_asked_by_https(&call.url, &refused) {
                continue;
            }
            if part.bytes > before {
                // Whoever brought something was good; a long file may outlive many tokens.
                tokens = TriedTokens::default();
            }
            if !is_presigned(&call) && tokens.another(self, &call.url, token.as_ref(), &refused).await? {
                continue;
            }
            let (refused, asked) = match self.turn(&mut call, &mut elsewhere, refused) {
                Turn::Other => continue,
                Turn::Failed(refused, asked) => (refused, asked),
            };
            // A try that brought as much as a slow host must is a good one: only tries in a row that did not are counted.
            if part.bytes.saturating_sub(before) > self.least_of_a_stretch() {
                retries.restart();
            }
            let Some(pause) = retries.after(self, &asked, &refused) else {
                return Err(retries.explain(self, *refused.failure));
            };
            tracing::debug!(failure = %refused.failure, ?pause, at = part.bytes, "download goes on");
            self.clock().sleep(pause).await;
        }
        let (from, to) = (part_path, download.to.to_owned());
        run_blocking(move || {
            let failed = |e| Failure::io(FailureStage::Download, format!("cannot keep {}", to.display()), &e);
            atomic_file::put(&from, &to).map_err(failed)?;
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
        let _permit = self.permit(&call.url, Weight::Bulk, None).await?;
        let mut response = self.open(call, token, part).await?;
        let joins = |response: &Response, part: &Part| {
            part.state.is_continued_by(response.headers(), response.content_length(), part.bytes)
        };
        if response.status() == StatusCode::PARTIAL_CONTENT && !joins(&response, part) {
            // Of another file, or not to be proven: the half that is here is worth nothing.
            *part = Part::default();
            forget_note(path).await?;
            response = self.open(call, token, part).await?;
            if response.status() == StatusCode::PARTIAL_CONTENT {
                return Err(incomplete(call, "the server sends a part of the file where the whole was asked for").into());
            }
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            *part = Part::default();
            forget_note(path).await?;
            return Err(incomplete(call, "the file changed on the server while it was fetched").into());
        }
        let response = self.expect_success(call, response).await?;
        // Before anything is thrown away: an error in words leaves the half that is there as it is.
        if is_words(response.headers(), response.content_length()) {
            let from = response.url().clone();
            let text = self.read_all(call, response, 64 << 10).await.unwrap_or_default();
            if let Some(page) = page::judge(call, &from, &text).filter(|_| !text.is_empty()) {
                return Err(page.into());
            }
            if let Some(error) = body::error_in_bytes(&text) {
                return Err(Refused::answered(error, call, None));
            }
            let message = "the service answers with JSON where a file was expected";
            let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, call.stage, message);
            return Err(failure.with_url(call.url.as_str()).into());
        }
        if response.status() != StatusCode::PARTIAL_CONTENT {
            *part = Part { bytes: 0, state: FileState::of(response.headers(), response.content_length()) };
            note_part(path, part, 0).await?;
        }
        let total = part.state.total;
        if total.is_some_and(|t| t > download.limit) {
            return Err(too_large(call, total.unwrap_or_default(), download.limit).into());
        }
        self.keep_room(path, total.map_or(0, |t| t.saturating_sub(part.bytes))).await?;
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

    /// Sends the request, for the rest of the file where a part is here.
    async fn open(&self, call: &ServiceCall, token: Option<&Token>, part: &Part) -> Result<Response, Refused> {
        let mut headers = HeaderMap::new();
        if let (Some(validator), true) = (part.state.if_range(), part.bytes > 0) {
            headers.insert(IF_RANGE, validator);
            if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", part.bytes)) {
                headers.insert(RANGE, range);
            }
        }
        // Compressed transfer would hide the length and break ranges.
        headers.insert(reqwest::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // The permit of the file's host is held already.
        self.follow(call, token, &headers, false).await
    }

    /// Checks that so many bytes more leave the reserve of the disk free.
    async fn keep_room(&self, path: &Path, more: u64) -> Result<(), Failure> {
        let (reserve, dir) = (self.inner.options.disk_reserve, path.parent().unwrap_or(path).to_owned());
        run_blocking(move || reserve.check(&dir, more)).await
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
                        let found = part.bytes.saturating_add(chunk.len() as u64);
                        // Nobody will resume it, so it does not stay on the disk.
                        *part = Part::default();
                        file.set_len(0).await.map_err(disk)?;
                        break Err(too_large(call, found, download.limit).into());
                    }
                    file.write_all(&chunk).await.map_err(disk)?;
                    part.bytes += chunk.len() as u64;
                    report(part.bytes, total);
                    if part.bytes - synced >= SYNC_EVERY {
                        file.sync_data().await.map_err(disk)?;
                        synced = part.bytes;
                        note_part(path, part, synced).await?;
                        self.keep_room(path, SYNC_EVERY).await?;
                    }
                    if !pace.keeps(chunk.len()) {
                        break Err(self.dripping(call).into());
                    }
                }
                Ok(Ok(None)) => break Ok(()),
                Ok(Err(error)) => break Err(self.network(call, &error).into()),
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

impl From<(u64, String)> for Downloaded {
    fn from((bytes, sha256): (u64, String)) -> Self {
        Self { bytes, sha256 }
    }
}

/// A file that came home whole before, under its final name.
async fn already_home(path: &Path) -> Result<Option<Downloaded>, Failure> {
    if !tokio::fs::symlink_metadata(path).await.is_ok_and(|m| m.is_file()) {
        return Ok(None);
    }
    let path = path.to_owned();
    run_blocking(move || hash_file(&path).map(|(bytes, sha256)| Some(Downloaded { bytes, sha256 }))).await
}

/// What is written down of a part file: which state of the file it is of, and how much of it is surely on the disk.
#[derive(Debug, Serialize, Deserialize)]
struct PartNote {
    #[serde(flatten)]
    state: FileState,
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
    if part.state.if_range().is_none() {
        // A note of an earlier state must not stand beside these bytes.
        return forget_note(path).await;
    }
    let note = PartNote { state: part.state.clone(), synced, boot: boot_id() };
    let text = serde_json::to_vec(&note).map_err(|e| Failure::internal(e.to_string()))?;
    let to = note_path(path);
    run_blocking(move || {
        let failed = |e: &std::io::Error| Failure::io(FailureStage::Download, format!("cannot write {}", to.display()), e);
        atomic_file::write(&to, failed, |file| file.write_all(&text).map_err(|e| failed(&e)))
    })
    .await
}

async fn forget_note(path: &Path) -> Result<(), Failure> {
    let note = note_path(path);
    match tokio::fs::remove_file(&note).await {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(FailureStage::Download, format!("cannot remove {}", note.display()), &e))
        }
        _ => Ok(()),
    }
}

/// What another process left of a file; nothing where it cannot be proven to be the same.
async fn left_over(path: &Path) -> Part {
    let note_path = note_path(path);
    let note = run_blocking(move || {
        let mut text = String::new();
        let file = safe_path::open_file(&note_path).ok();
        let read =
            file.and_then(|f| std::io::Read::read_to_string(&mut std::io::Read::take(f, LONGEST_NOTE), &mut text).ok());
        Ok(read.and_then(|_| serde_json::from_str::<PartNote>(&text).ok()))
    })
    .await;
    let there = tokio::fs::symlink_metadata(path).await;
    let (Ok(Some(note)), Some(metadata)) = (note, there.ok().filter(std::fs::Metadata::is_file)) else {
        return Part::default();
    };
    let same_start = note.boot.is_some() && note.boot == boot_id();
    let bytes = if same_start { metadata.len() } else { metadata.len().min(note.synced) };
    if note.state.if_range().is_some() { Part { bytes, state: note.state } } else { Part::default() }
}

/// Opens the part file at `bytes`; what lies beyond is cut off.
async fn open_part(path: &Path, bytes: u64) -> Result<File, Failure> {
    let failed = |e: std::io::Error| Failure::io(FailureStage::Download, format!("cannot write {}", path.display()), &e);
    let to = path.to_owned();
    let odd = |e| safe_path::judged("cannot write a downloaded file", &e);
    let file = File::from_std(run_blocking(move || safe_path::open_to_write(&to).map_err(odd)).await?);
    file.set_len(bytes).await.map_err(failed)?;
    let mut file = file;
    tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(bytes)).await.map_err(failed)?;
    Ok(file)
}

fn too_large(call: &ServiceCall, found: u64, limit: u64) -> Failure {
    let message = format!("the file at {} has {found} bytes or more, {limit} are allowed", host_of(&call.url));
    Failure::new(FailureOwner::Source, FailureKind::LimitExceeded, call.stage, message).with_url(call.url.as_str())
}

fn incomplete(call: &ServiceCall, words: &str) -> Failure {
    let message = format!("the download from {} broke off: {words}", host_of(&call.url));
    Failure::new(FailureOwner::Network, FailureKind::Incomplete, FailureStage::Download, message)
        .with_url(call.url.as_str())
        .retryable()
}

/// Whether this is an answer in words rather than a file. Old servers send error bodies as plain text.
fn is_words(headers: &HeaderMap, length: Option<u64>) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json")
        || kind.starts_with("text/html")
        || (kind.starts_with("text/plain") && length.is_some_and(|l| l < 64 << 10))
}
