//! An archive on a web server: its parts, by range requests.

use super::pack::Pack;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use offmap_arcgis::{ArcGisClient, ByteRange, FileState, RangeAnswer, ServiceCall};
use offmap_disk::run_blocking;
use offmap_engine::ExportContext;
use offmap_model::{DirectDownloadHosts, Failure, FailureStage, LayerSecrets};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Requests of a file at a time: each part is in memory.
const AT_A_TIME: usize = 4;

/// Why a part did not come.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The archive is not what it was: in which way.
    Changed(String),
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Where an archive is, and who asks.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) client: ArcGisClient,
    pub(super) url: String,
    pub(super) secrets: LayerSecrets,
    pub(super) hosts: Arc<DirectDownloadHosts>,
    pub(super) stage: FailureStage,
    /// Ends what is at work for it.
    pub(super) cancel: CancellationToken,
    /// The export that it is for, which may be paused, and whose disk has a reserve.
    pub(super) ctx: Option<ExportContext>,
}

impl Remote {
    /// The name of the archive.
    pub(super) fn name(&self) -> &Path {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        Path::new(path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("archive.pmtiles"))
    }

    /// Asks for a part.
    pub(super) async fn part(&self, range: Range<u64>, state: Option<&FileState>) -> Result<(Vec<u8>, FileState), Trouble> {
        let call = ServiceCall::get(&self.url)?.with_secrets(&self.secrets).in_stage(self.stage).directly(&self.hosts);
        let range = ByteRange { first: range.start, length: range.end.saturating_sub(range.start).max(1) };
        let asked = self.client.byte_range(call, range, state);
        let answer = match &self.ctx {
            Some(ctx) => {
                ctx.goes_on().await?;
                ctx.or_cancelled(asked).await
            }
            None => asked.await,
        };
        match answer? {
            RangeAnswer::Bytes(bytes, state) => Ok((bytes, state)),
            RangeAnswer::Changed(words) => Err(Trouble::Changed(words)),
        }
    }

    /// Fetches what is not in a pack of some ranges, each of which fits a request; `came` is called with the bytes of those that are there.
    /// Whatever comes of it, nothing is put behind it; where a range does not come, the pack takes no more.
    pub(super) async fn fetch(
        &self,
        (ranges, state): (Vec<Range<u64>>, &FileState),
        pack: &Arc<Pack>,
        came: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Trouble> {
        let known = Arc::clone(pack);
        let parted = run_blocking(move || Ok(ranges.into_iter().partition::<Vec<_>, _>(|range| known.has(range))));
        let (here, missing) = parted.await?;
        let bytes: u64 = here.iter().map(|range| range.end - range.start).sum();
        if bytes > 0 {
            came(bytes);
        }
        let each = missing.into_iter().map(|range| self.fetch_one(range, state, pack, came));
        let fetched: Result<(), Trouble> = stream::iter(each).buffer_unordered(AT_A_TIME).try_collect().await;
        if fetched.is_err() {
            // Its neighbours are dropped, but not what they put.
            let pack = Arc::clone(pack);
            let closed = run_blocking(move || {
                pack.close();
                Ok(())
            });
            closed.await?;
        }
        fetched
    }

    async fn fetch_one(
        &self,
        range: Range<u64>,
        state: &FileState,
        pack: &Arc<Pack>,
        came: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Trouble> {
        let length = range.end - range.start;
        let (bytes, _) = self.part(range.clone(), Some(state)).await?;
        let disk = self.ctx.as_ref().map(|ctx| (self.client.options().disk_reserve, ctx.work_dir().to_owned()));
        let pack = Arc::clone(pack);
        let put = run_blocking(move || {
            if let Some((reserve, folder)) = disk {
                reserve.check(&folder, bytes.len() as u64)?;
            }
            pack.put(range.start, &bytes)
        });
        put.await?;
        came(length);
        Ok(())
    }
}
