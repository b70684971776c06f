//! Fetches one resource of a style.

use super::forms::check_resource;
use offmap_arcgis::{ArcGisClient, ServiceCall, parse_http};
use offmap_disk::{DiskReserve, run_blocking};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets};
use std::path::Path;
use url::Origin;

/// Largest sprite sheet or its index that is taken, in bytes.
const LARGEST_SPRITE: usize = 16 << 20;
/// Largest glyph range that is taken, in bytes.
const LARGEST_GLYPHS: usize = 4 << 20;

/// Why a resource did not come.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The layer's export fails.
    Failed(Failure),
    /// A host that is neither the style's nor the service's does not give it, in words. That costs the resource, not the layer.
    Refused(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Fetches resources of one style.
pub(super) struct Fetcher<'a> {
    client: &'a ArcGisClient,
    secrets: &'a LayerSecrets,
    /// Origins of the style and of its service.
    own: Vec<Origin>,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(client: &'a ArcGisClient, secrets: &'a LayerSecrets, own: [&str; 2]) -> Self {
        let own = own.into_iter().filter_map(|url| parse_http(url).ok()).map(|url| url.origin()).collect();
        Self { client, secrets, own }
    }

    pub(super) fn reserve(&self) -> DiskReserve {
        self.client.options().disk_reserve
    }

    /// Fetches a resource into a file; answers its bytes, `None` if there is none.
    pub(super) async fn fetch(&self, url: &str, to: &Path) -> Result<Option<u64>, Trouble> {
        let Some(bytes) = self.read(url, to).await? else { return Ok(None) };
        let size = bytes.len() as u64;
        self.write(to, bytes).await?;
        Ok(Some(size))
    }

    /// Reads a resource that a file will hold; `None` if there is none.
    pub(super) async fn read(&self, url: &str, to: &Path) -> Result<Option<Vec<u8>>, Trouble> {
        match self.bytes(url, to).await {
            Ok(bytes) => Ok(bytes),
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
            Err(failure) if failure.is_cancelled() || self.is_own(url) => Err(failure.into()),
            Err(failure) => Err(Trouble::Refused(failure.to_string())),
        }
    }

    fn is_own(&self, url: &str) -> bool {
        parse_http(url).is_ok_and(|url| self.own.contains(&url.origin()))
    }

    async fn bytes(&self, url: &str, to: &Path) -> Result<Option<Vec<u8>>, Failure> {
        let call = ServiceCall::get(url)?.with_secrets(self.secrets).in_stage(FailureStage::Download);
        let is_glyphs = to.extension().is_some_and(|ending| ending == "pbf");
        let bytes = self.client.bytes(&call, if is_glyphs { LARGEST_GLYPHS } else { LARGEST_SPRITE }).await?;
        if let Some(Err(words)) = bytes.as_ref().map(|bytes| check_resource(to, bytes)) {
            let (owner, message) = (FailureOwner::Source, format!("{words} came as part of a style"));
            return Err(Failure::new(owner, FailureKind::InvalidAnswer, FailureStage::Plan, message).with_url(url));
        }
        Ok(bytes)
    }

    pub(super) async fn write(&self, to: &Path, bytes: Vec<u8>) -> Result<(), Failure> {
        let (reserve, to) = (self.reserve(), to.to_owned());
        run_blocking(move || write_now(reserve, &to, &bytes)).await
    }
}

/// Removes a folder, if it is there.
pub(super) async fn remove_folder(folder: &Path) {
    let folder = folder.to_owned();
    let removed = move || {
        // What cannot be removed is told by who fills it anew.
        let _ = std::fs::remove_dir_all(folder);
        Ok(())
    };
    let _ = run_blocking(removed).await;
}

/// Writes a file and the folders above it. Blocks.
pub(super) fn write_now(reserve: DiskReserve, to: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e| Failure::io(FailureStage::Download, format!("cannot write {}", to.display()), &e);
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder).map_err(failed)?;
    reserve.check(folder, bytes.len() as u64)?;
    std::fs::write(to, bytes).map_err(failed)
}
