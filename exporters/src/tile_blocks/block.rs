//! The units of tiles that come piece by piece: blocks of at most 128 × 128 tiles of a level, at multiples of 128 rows and columns, as bundles have them.

use crate::tile_service::TiledService;
use offmap_formats::TileId;
use offmap_formats::compact_cache::PACKET_SIZE;
use offmap_formats::tiles::TileRows;
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, Unit};
use std::collections::BTreeMap;

/// Most tiles of one task, and most blocks that they may lie in.
const MOST_TILES: u64 = 1 << 30;
const MOST_BLOCKS: usize = 100_000;

/// One block with the tiles that are wanted of it.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) level: u32,
    /// Of its first place.
    pub(crate) row: u64,
    pub(crate) column: u64,
    pub(crate) tiles: TileRows,
}

impl Block {
    /// The id of its unit.
    pub(crate) fn unit(&self) -> String {
        format!("tiles-{}-{}-{}", self.level, self.row, self.column)
    }

    fn as_unit(&self) -> Unit {
        let (row, column) = (self.row, self.column);
        let title = format!("level {}, rows from {row}, columns from {column}: {} tiles", self.level, self.tiles.tiles());
        Unit::new(self.unit(), "tileBlock", title)
    }

    /// The tiles that are wanted, row by row.
    pub(crate) fn places(&self) -> impl Iterator<Item = TileId> {
        let level = self.level;
        self.tiles.each().map(move |(row, column)| TileId { level, row, column })
    }
}

/// All blocks that the tiles of an area lie in, level by level. Takes long for many; blocks.
pub(crate) fn blocks_of(service: &TiledService, area: &AreaOfInterest, level_ids: &[u32]) -> Result<Vec<Block>, Failure> {
    let too_many = |found: String| {
        let message = format!("the area of {} has {found}; take fewer levels or a smaller area", service.root);
        Failure::new(FailureOwner::Caller, FailureKind::LimitExceeded, FailureStage::Plan, message)
    };
    let total = service.planned_tiles(area, level_ids)?;
    if total > MOST_TILES {
        return Err(too_many(format!("{total} tiles, expected at most {MOST_TILES} of a download")));
    }
    let cover = service.tile_info.cover(area, service.extent_in().as_ref(), &service.lods(level_ids))?;
    let cover: BTreeMap<u32, TileRows> = cover.ok_or_else(|| too_many("too many rows of tiles to be listed".to_owned()))?;
    let mut blocks = Vec::new();
    for (level, tiles) in cover {
        for ((row, column), _) in tiles.blocks(PACKET_SIZE) {
            let last = PACKET_SIZE - 1;
            let tiles = tiles.within((row, row + last), (column, column.saturating_add(last)));
            blocks.push(Block { level, row, column, tiles });
        }
        if blocks.len() > MOST_BLOCKS {
            return Err(too_many(format!("tiles in more than {MOST_BLOCKS} blocks of {PACKET_SIZE} rows and columns")));
        }
    }
    Ok(blocks)
}

/// The units of blocks.
pub(crate) fn units(blocks: &[Block]) -> Vec<Unit> {
    blocks.iter().map(Block::as_unit).collect()
}
