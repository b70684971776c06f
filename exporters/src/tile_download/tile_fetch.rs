//! Fetches single tiles, each in a task of its own, so that no core waits for another.

use super::source::TileSource;
use crate::tile_blocks::shown;
use offmap_arcgis::ArcGisClient;
use offmap_engine::ExportContext;
use offmap_formats::TileId;
use offmap_formats::compact_cache::LARGEST_TILE;
use offmap_model::{DirectDownloadHosts, ExportTask, Failure, FailureKind, FailureOwner, MOST_EXAMPLES, Missing};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tracing::{Instrument as _, Span};

/// What a tile's url had.
pub(super) enum Came {
    Tile(Vec<u8>),
    None,
    /// It did not come; why is logged.
    Lost,
}

/// Tiles that are under way.
pub(super) type Running = JoinSet<Result<(TileId, Came), Failure>>;

/// What a task had; the panic of one is the exporter's.
pub(super) fn ended(task: Result<Result<(TileId, Came), Failure>, JoinError>) -> Result<(TileId, Came), Failure> {
    match task {
        Ok(came) => came,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Failure::cancelled()),
    }
}

/// Fetches the tiles of one task.
pub(super) struct TileFetch {
    client: ArcGisClient,
    ctx: ExportContext,
    source: TileSource,
    /// What the caller says of hosts to which a redirect may lead.
    hosts: Arc<DirectDownloadHosts>,
    /// Whether tiles may be missing: every layer says how many.
    has_budget: bool,
    permits: Semaphore,
    /// Tiles that did not come so far.
    lost: Mutex<Missing>,
}

impl TileFetch {
    pub(super) fn new(
        (client, ctx): (&ArcGisClient, &ExportContext),
        (source, task): (&TileSource, &ExportTask),
        in_flight: usize,
        planned: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            client: client.clone(),
            ctx: ctx.clone(),
            source: source.clone(),
            hosts: Arc::new(ctx.direct_download_hosts().clone()),
            has_budget: task.layers.iter().all(|l| ctx.error_budget(&l.id).missing_tiles.is_some()),
            permits: Semaphore::new(in_flight),
            lost: Mutex::new(Missing { of: planned, ..Missing::default() }),
        })
    }

    /// Begins to fetch tiles until so many are under way. Who drops the set ends them.
    pub(super) fn begin(self: &Arc<Self>, todo: &mut impl Iterator<Item = TileId>, running: &mut Running, most: usize) {
        while running.len() < most
            && let Some(place) = todo.next()
        {
            let all = Arc::clone(self);
            let work = async move { all.tile(place).await.map(|came| (place, came)) };
            running.spawn(work.instrument(Span::current()));
        }
    }

    async fn tile(&self, place: TileId) -> Result<Came, Failure> {
        let closed = |_| Failure::internal("nothing is fetched any more");
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let format = self.source.format();
        let is_tile = |bytes: &[u8]| format.check_tile(bytes);
        let call = self.source.call(place)?.directly(&self.hosts);
        match self.ctx.or_cancelled(self.client.tile(&call, LARGEST_TILE as usize, &is_tile)).await {
            Ok(Some(bytes)) => {
                self.source.check_packable(place, &bytes)?;
                Ok(Came::Tile(bytes))
            }
            Ok(None) => Ok(Came::None),
            Err(failure) if self.may_be_lost(&failure) => {
                self.lose(place, &failure)?;
                Ok(Came::Lost)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether a failure costs its tile, and not the layers: they say how many may be missing, and it is the tile's.
    fn may_be_lost(&self, failure: &Failure) -> bool {
        let is_of_all = failure.kind == FailureKind::NotSupported;
        let of_tile = matches!(failure.owner, FailureOwner::Source | FailureOwner::Network) && !is_of_all;
        self.has_budget && of_tile && !failure.is_cancelled()
    }

    /// Counts a tile that did not come; fails once no layer can keep its budget.
    fn lose(&self, place: TileId, failure: &Failure) -> Result<(), Failure> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(%failure, ?place, "a tile did not come");
        lost.count += 1;
        if lost.examples.len() < MOST_EXAMPLES {
            lost.examples.push(shown(place));
        }
        self.ctx.may_lack_tiles(&lost)
    }
}
