//! Files from services, streamed to disk.
//!
//! 1. Write to `<name>.part` in the work directory; the final name only ever holds a complete file. What is there under the final name
//!    already is not fetched again.
//! 2. A connection that breaks is resumed with `Range` and `If-Range` where the server gave a validator and the length, else it starts
//!    over; the rest is joined only if it is of the same file (`FileState`). Both stand in `<name>.part.json`, so that another process
//!    can resume, too.
//! 3. The length is checked where the server says one; a JSON error body is an error, not a file.
//! 4. The hash is computed while the bytes arrive, also across a resumed part: nobody need read the file for it again.

mod fetch;
mod held;
mod part;
mod writer;

use crate::call::ServiceCall;
use crate::client::ArcGisClient;
use fetch::FileAttempt;
use held::HeldAttempt;
use offmap_disk::{atomic_file, hash_file_until, hex, run_blocking};
use offmap_model::{Failure, FailureStage, LayerSecrets};
use part::{Part, PartFile};
use sha2::Digest as _;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// A file to fetch.
#[derive(Debug)]
pub struct Download<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Where it goes.
    pub to: &'a Path,
    /// Whether the url carries its own signature: then no token goes with it, whatever the host.
    pub presigned: bool,
    /// Largest size that is accepted, in bytes.
    pub limit: u64,
    /// What goes with the request to the origins that it is for, unless the url is presigned.
    pub secrets: &'a LayerSecrets,
}

/// A file that was fetched completely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// `ETag`, where the server sent one in this run.
    pub etag: Option<String>,
}

impl From<(u64, String)> for Downloaded {
    fn from((bytes, sha256): (u64, String)) -> Self {
        Self { bytes, sha256, etag: None }
    }
}

impl ArcGisClient {
    /// Fetches a file. `report` is called with the bytes that are here and, where known, the bytes in all.
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

    /// Fetches a small file into memory; `None` where it has more than `most` bytes. What came before a connection broke is asked for again.
    ///
    /// # Errors
    /// As [`ArcGisClient::download`].
    ///
    /// # Cancel safety
    /// May be dropped.
    pub async fn download_held(&self, url: &str, most: usize, secrets: &LayerSecrets) -> Result<Option<Vec<u8>>, Failure> {
        let call = ServiceCall::get(url)?.in_stage(FailureStage::Download).with_secrets(secrets);
        self.run(call, &mut HeldAttempt { most }).await
    }

    /// As [`ArcGisClient::download`], for a file that an answer of the service at `root` names, also on a host that may be reachable from inside only.
    ///
    /// # Errors
    /// As [`ArcGisClient::download`].
    ///
    /// # Cancel safety
    /// As [`ArcGisClient::download`].
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
        call.signed = download.presigned;
        if !download.presigned || call.places.is_some() {
            call = call.with_secrets(download.secrets);
        }
        if let Some(complete) = fetched_before(download.to).await? {
            return Ok(complete);
        }
        let file = PartFile::of(download.to);
        let part = file.left_over().await;
        if part.bytes > 0 {
            tracing::debug!(bytes = part.bytes, file = %file.path().display(), "a download is resumed");
        }
        let mut attempt = FileAttempt { file, part, limit: download.limit, report };
        self.run(call, &mut attempt).await?;
        let (FileAttempt { file, part, .. }, to) = (attempt, download.to.to_owned());
        run_blocking(move || finish(&file, part, &to)).await
    }
}

/// Gives a complete part its final name.
fn finish(file: &PartFile, part: Part, to: &Path) -> Result<Downloaded, Failure> {
    let failed = |e: std::io::Error| Failure::io(FailureStage::Download, format!("cannot keep {}", to.display()), &e);
    atomic_file::put(file.path(), to).map_err(failed)?;
    // Without its part the note means nothing; a rest of it harms nobody.
    let _ = std::fs::remove_file(file.note_path());
    let etag = part.state.short_etag();
    Ok(Downloaded { bytes: part.bytes, sha256: hex(part.hasher.finalize()), etag })
}

/// A file that was fetched before, under its final name.
async fn fetched_before(path: &Path) -> Result<Option<Downloaded>, Failure> {
    if !tokio::fs::symlink_metadata(path).await.is_ok_and(|m| m.is_file()) {
        return Ok(None);
    }
    let (path, stop) = (path.to_owned(), CancellationToken::new());
    let _guard = stop.clone().drop_guard();
    run_blocking(move || hash_file_until(&path, &stop).map(|found| Some(found.into()))).await
}
