//! Fetches the tiles of a block: which there are, then each of them.

use super::arrived::Came;
use super::delivery::WAITING;
use super::source::TileSource;
use super::tile_fetch::{TileFetch, Workers};
use super::tilemap::Tilemaps;
use crate::tile_blocks::{Block, BlockFile, BlockSource, BlockWriter, TileProgress, place_in_block};
use async_trait::async_trait;
use offmap_arcgis::ArcGisClient;
use offmap_engine::ExportContext;
use offmap_formats::TileId;
use offmap_model::{ExportTask, Failure};
use std::sync::Arc;

/// Most requests under way or waiting; how many go at a time, the governor of each host says.
const MOST_IN_FLIGHT: usize = 512;

/// Fetches the tiles of one task.
pub(super) struct Fetch<'a> {
    client: &'a ArcGisClient,
    ctx: &'a ExportContext,
    source: &'a TileSource,
    tilemaps: Tilemaps<'a>,
    tiles: Arc<TileFetch>,
    in_flight: usize,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        client: &'a ArcGisClient,
        ctx: &'a ExportContext,
        (source, task): (&'a TileSource, &ExportTask),
        planned: u64,
    ) -> Self {
        let each = client.options().tiles_per_host.max(1);
        let in_flight = each.saturating_mul(source.template.hosts()).min(MOST_IN_FLIGHT);
        Self {
            client,
            ctx,
            source,
            tilemaps: Tilemaps::new(client, ctx, &source.service, source.is_vector()),
            tiles: TileFetch::new((client, ctx), (source, task), in_flight, planned),
            in_flight,
        }
    }

    /// Those who fetch for it, as long as they are kept.
    pub(super) fn workers(&self) -> Workers {
        self.tiles.workers(self.in_flight)
    }

    /// Fetches what is not known of a block. What came is kept, whatever comes after it.
    async fn tiles(&self, block: &Block, file: BlockFile, progress: &TileProgress<'_>) -> Result<BlockFile, Failure> {
        let unknown = |place: &TileId| !file.known.knows(place_in_block(place.row, place.column));
        let todo: Vec<TileId> = block.places().filter(unknown).collect();
        progress.add(block.tiles.tiles().saturating_sub(todo.len() as u64));
        let aside = (self.client.options().disk_reserve, self.tiles.spare());
        let mut writer = BlockWriter::new(self.ctx, aside, file);
        let mut arrived = self.tiles.open(todo.into_iter());
        let (mut batch, mut failed) = (Vec::with_capacity(WAITING), None);
        while failed.is_none() {
            if writer.is_due() {
                writer.begin();
                continue;
            }
            tokio::select! {
                biased;
                stepped = writer.step() => stepped?,
                came = arrived.recv_many(&mut batch, WAITING), if !writer.is_full() => {
                    if came == 0 {
                        break;
                    }
                    for (tile, held) in batch.drain(..) {
                        match tile {
                            Ok((place, Came::Tile(bytes))) => {
                                writer.put_held(place_in_block(place.row, place.column), bytes, held);
                            }
                            Ok((place, Came::None)) => writer.put(place_in_block(place.row, place.column), None),
                            Ok((_, Came::Lost)) => {}
                            Err(failure) => failed = failed.or(Some(failure)),
                        }
                    }
                    progress.add(came as u64);
                },
            }
        }
        drop(arrived);
        let file = writer.finish().await?;
        failed.map_or(Ok(file), Err)
    }
}

#[async_trait]
impl BlockSource for Fetch<'_> {
    fn purpose(&self, unit: &str) -> [u8; 32] {
        self.source.purpose(unit)
    }

    async fn fill(&self, block: &Block, mut file: BlockFile, progress: &TileProgress<'_>) -> Result<BlockFile, Failure> {
        if file.known.presence.is_none()
            && let Some(presence) = self.tilemaps.of_block(block).await?
        {
            file.put_presence(presence);
        }
        self.tiles(block, file, progress).await
    }
}
