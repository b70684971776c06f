//! Fetches single tiles, by as many workers as may be under way, each a task of its own, so that no core waits for another.

use super::arrived::Came;
use super::delivery::{Delivered, Room};
use super::source::TileSource;
use super::tile_queue::TileQueue;
use crate::tile_blocks::{Spare, shown};
use offmap_arcgis::ArcGisClient;
use offmap_disk::Steps;
use offmap_engine::ExportContext;
use offmap_formats::compact_cache::LARGEST_TILE;
use offmap_formats::{TileFormat, TileId};
use offmap_model::{DirectDownloadHosts, ExportTask, Failure, FailureKind, FailureOwner, MOST_EXAMPLES, Missing};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{Instrument as _, Span};

/// Those who fetch. Who drops them ends what they do.
pub(super) struct Workers(JoinSet<()>);

impl Workers {
    /// Ends when one of them ended, which none does but by a panic: it is the exporter's.
    pub(super) async fn panicked(&mut self) -> Failure {
        match self.0.join_next().await {
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(_) => Failure::cancelled(),
            None => std::future::pending().await,
        }
    }
}

/// Fetches the tiles of one task.
pub(super) struct TileFetch {
    client: ArcGisClient,
    ctx: ExportContext,
    source: TileSource,
    format: TileFormat,
    /// What the caller says of hosts to which a redirect may lead.
    hosts: Arc<DirectDownloadHosts>,
    /// Whether tiles may be missing: every layer says how many.
    has_budget: bool,
    queue: TileQueue,
    room: Room,
    spare: Arc<Spare>,
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
            format: source.format(),
            hosts: Arc::new(ctx.direct_download_hosts().clone()),
            has_budget: task.layers.iter().all(|l| ctx.error_budget(&l.id).missing_tiles.is_some()),
            queue: TileQueue::new(in_flight, source.template.hosts()),
            room: Room::default(),
            spare: Arc::default(),
            lost: Mutex::new(Missing { of: planned, ..Missing::default() }),
        })
    }

    /// Those who fetch the tiles of the blocks that are open; so many at a time.
    pub(super) fn workers(self: &Arc<Self>, in_flight: usize) -> Workers {
        let mut workers = JoinSet::new();
        for _ in 0..in_flight {
            let (all, steps) = (Arc::clone(self), Steps::here());
            workers.spawn(steps.of(async move { all.work().await }).instrument(Span::current()));
        }
        Workers(workers)
    }

    /// Where lists go that are not needed any more.
    pub(super) fn spare(&self) -> &Arc<Spare> {
        &self.spare
    }

    /// Opens a block; answers what comes of its tiles.
    pub(super) fn open(&self, places: impl Iterator<Item = TileId>) -> mpsc::Receiver<Delivered> {
        let (to, tiles) = self.room.delivery();
        self.queue.open(places, |place| self.source.template.host_of(place), to);
        tiles
    }

    async fn work(&self) {
        loop {
            let turn = self.queue.next().await;
            let came = self.tile(turn.place).await;
            if let Ok(Came::Tile(bytes)) = &came {
                self.queue.came(bytes.len());
            }
            turn.to.bring(came.map(|came| (turn.place, came))).await;
        }
    }

    async fn tile(&self, place: TileId) -> Result<Came, Failure> {
        self.ctx.goes_on().await?;
        let is_tile = |bytes: &[u8]| self.format.check_tile(bytes);
        let call = self.source.call(place)?.directly(&self.hosts);
        match self.ctx.or_cancelled(self.client.tile(call, LARGEST_TILE as usize, &is_tile, self.spare.reused())).await {
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
