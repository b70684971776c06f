//! Which tiles of a block exist, by the service's own word: `tilemap` of a block, else the whole index of a vector tile service.
//!
//! | answer | what it means |
//! | --- | --- |
//! | `data` of 0 and 1 with a `location`, which may be another than was asked for | known for the places of the location |
//! | `valid` false, or another number of values than the location has | it says nothing |
//! | status 422 | nothing is cached in the block |
//! | any other refusal that does not pass | the service has no such tilemap; every tile is asked for |
//!
//! Source: tile reference §3, §4 and §14 (the index).

use crate::tile_blocks::{Block, Presence, place_in_block};
use crate::tile_service::TiledService;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_engine::ExportContext;
use offmap_formats::tile_package::tilemap_tiles;
use offmap_formats::tiles::TileRows;
use offmap_model::{Failure, FailureOwner, FailureStage, number};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OnceCell;

/// Requests for one block: a service may answer for smaller pieces than it was asked for.
const MOST_PIECES: usize = 64;
/// The status of a block without tiles.
const NOTHING_CACHED: i32 = 422;

/// The index of a whole service: level → tiles.
type Index = Option<Arc<BTreeMap<u32, TileRows>>>;

/// Whether a failure is the network's or that of a sign-in, and says nothing of the service.
fn is_others(failure: &Failure) -> bool {
    matches!(failure.owner, FailureOwner::Network | FailureOwner::Credentials)
}

/// The tilemaps of one service.
pub(super) struct Tilemaps<'a> {
    client: &'a ArcGisClient,
    ctx: &'a ExportContext,
    service: &'a TiledService,
    is_vector: bool,
    /// Whether blocks are answered, as far as it is known.
    has_blocks: AtomicBool,
    index: OnceCell<Index>,
}

impl<'a> Tilemaps<'a> {
    pub(super) fn new(client: &'a ArcGisClient, ctx: &'a ExportContext, service: &'a TiledService, is_vector: bool) -> Self {
        let has_blocks = AtomicBool::new(service.has_tilemap);
        Self { client, ctx, service, is_vector, has_blocks, index: OnceCell::new() }
    }

    /// The tiles of a block that exist; `None` where the service does not say of all that are wanted.
    pub(super) async fn of_block(&self, block: &Block) -> Result<Option<Presence>, Failure> {
        if !self.service.has_tilemap {
            return Ok(None);
        }
        if self.has_blocks.load(Ordering::Relaxed) {
            match self.by_pieces(block).await {
                Ok(Some(presence)) => return Ok(Some(presence)),
                Ok(None) => {}
                // Trouble that may pass was waited for already.
                Err(failure) if failure.is_cancelled() || is_others(&failure) => return Err(failure),
                Err(failure) if failure.status.is_some() => {
                    self.has_blocks.store(false, Ordering::Relaxed);
                    self.ctx.log("the service does not say which tiles it has block by block");
                    tracing::debug!(%failure, "the service has no tilemap of blocks");
                }
                // One answer that is none says nothing of the next one.
                Err(failure) => tracing::debug!(%failure, "a tilemap cannot be read"),
            }
        }
        let index = self.index.get_or_try_init(|| self.read_index()).await?;
        // What is deeper than the index goes is not in it, whether it exists or not.
        let deepest = index.as_ref().and_then(|index| index.last_key_value()).map(|(level, _)| *level);
        let Some(index) = index.as_ref().filter(|_| deepest.is_some_and(|deepest| block.level <= deepest)) else {
            return Ok(None);
        };
        let (last_row, last_column) = (block.row.saturating_add(127), block.column.saturating_add(127));
        let there = index.get(&block.level).map(|rows| rows.within((block.row, last_row), (block.column, last_column)));
        let mut presence = Presence::default();
        for (row, column) in there.iter().flat_map(TileRows::each) {
            presence.set(place_in_block(row, column));
        }
        Ok(Some(presence))
    }

    /// The whole index, where the service has one that can be read.
    async fn read_index(&self) -> Result<Index, Failure> {
        if !self.is_vector {
            return Ok(None);
        }
        let call = ServiceCall::get(&format!("{}/tilemap", self.service.root))?;
        match self.ask(call.answer(AnswerKind::Description)).await {
            Ok(answer) => {
                let read = self.ctx.blocking(move || Ok(tilemap_tiles(&answer).ok())).await?;
                Ok(read.map(Arc::new))
            }
            Err(failure) if failure.is_cancelled() => Err(failure),
            Err(failure) => {
                tracing::debug!(%failure, "the service has no index of its tiles that can be read");
                Ok(None)
            }
        }
    }

    async fn ask(&self, call: ServiceCall) -> Result<Value, Failure> {
        let call = call.with_secrets(&self.service.secrets).in_stage(FailureStage::Download);
        self.ctx.or_cancelled(self.client.json(&call)).await
    }

    /// Asks for a block, and for what an answer leaves out of it; `None` where answers cannot be used.
    async fn by_pieces(&self, block: &Block) -> Result<Option<Presence>, Failure> {
        let mut presence = Presence::default();
        let mut left = block.tiles.clone();
        for _ in 0..MOST_PIECES {
            let Some(asked) = Piece::around(&left) else { return Ok(Some(presence)) };
            let Piece { top, left: first, width, height } = asked;
            let path = format!("tilemap/{}/{top}/{first}/{width}/{height}", block.level);
            let call = ServiceCall::get(&format!("{}/{path}", self.service.root))?.answer(AnswerKind::Medium);
            let answer = match self.ask(call).await {
                Ok(answer) => answer,
                Err(failure) if failure.status == Some(NOTHING_CACHED) => return Ok(Some(presence)),
                Err(failure) => return Err(failure),
            };
            let Some(piece) = Piece::of_answer(&answer) else { return Ok(None) };
            let Some(exists) = piece.data(&answer) else { return Ok(None) };
            let before = left.tiles();
            for (row, column) in piece.tiles_of(&left) {
                if piece.index_of(row, column).and_then(|at| exists.get(at)) == Some(&true) {
                    presence.set(place_in_block(row, column));
                }
            }
            left = left.difference(&piece.tiles_of(&left).collect());
            if left.tiles() == before {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// A rectangle of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    top: u64,
    left: u64,
    width: u64,
    height: u64,
}

impl Piece {
    /// The rectangle around some tiles.
    fn around(tiles: &TileRows) -> Option<Self> {
        let mut all = tiles.each();
        let (row, column) = all.next()?;
        let (mut bottom, mut left, mut right) = (row, column, column);
        for (row, column) in all {
            (bottom, left, right) = (bottom.max(row), left.min(column), right.max(column));
        }
        Some(Self { top: row, left, width: right - left + 1, height: bottom - row + 1 })
    }

    /// The rectangle that an answer is about; `None` for an answer that must not be used.
    fn of_answer(answer: &Value) -> Option<Self> {
        if answer.get("valid").and_then(Value::as_bool) == Some(false) {
            return None;
        }
        let location = answer.get("location")?;
        let side = |key: &str| location.get(key).and_then(number::read::<u64>);
        let piece = Self { top: side("top")?, left: side("left")?, width: side("width")?, height: side("height")? };
        piece.width.checked_mul(piece.height).filter(|n| *n > 0).map(|_| piece)
    }

    /// Whether there is a tile, place by place; `None` where there are more or fewer values than places.
    fn data(self, answer: &Value) -> Option<Vec<bool>> {
        let data = answer.get("data")?.as_array()?;
        let is_whole = data.len() as u64 == self.width * self.height;
        let one = |value: &Value| number::read::<u64>(value).map(|n| n > 0);
        is_whole.then(|| data.iter().map(one).collect::<Option<_>>()).flatten()
    }

    fn index_of(self, row: u64, column: u64) -> Option<usize> {
        let (row, column) = (row.checked_sub(self.top)?, column.checked_sub(self.left)?);
        let is_within = row < self.height && column < self.width;
        is_within.then(|| usize::try_from(row * self.width + column).ok()).flatten()
    }

    /// Those of some tiles that lie in it.
    fn tiles_of(self, tiles: &TileRows) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (last_row, last_column) = (self.top.saturating_add(self.height - 1), self.left.saturating_add(self.width - 1));
        let within = tiles.within((self.top, last_row), (self.left, last_column));
        within.each().collect::<Vec<_>>().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_counts_for_the_places_that_it_is_about() {
        let answer = json!({"location": {"left": 4, "top": 2, "width": 2, "height": 3}, "data": [1, 0, 0.0, 1, "1", 0]});
        let piece = Piece::of_answer(&answer).expect("a piece");
        let data = piece.data(&answer).expect("data");
        let there = |row, column| piece.index_of(row, column).and_then(|at| data.get(at)).copied();
        assert_eq!([there(2, 4), there(2, 5), there(3, 5), there(4, 4)], [Some(true), Some(false), Some(true), Some(true)]);
        assert_eq!([there(1, 4), there(2, 6), there(5, 4)], [None; 3]);
        let tiles: TileRows = [(2, 5), (2, 6), (9, 4)].into_iter().collect();
        assert_eq!(piece.tiles_of(&tiles).collect::<Vec<_>>(), [(2, 5)]);
        assert_eq!(Piece::around(&tiles), Some(Piece { top: 2, left: 4, width: 3, height: 8 }));
        assert_eq!(Piece::around(&TileRows::default()), None);
    }

    #[test]
    fn an_answer_that_must_not_be_used_is_not() {
        let location = json!({"left": 0, "top": 0, "width": 2, "height": 2});
        for bad in [
            json!({"location": location, "valid": false, "data": [1, 1, 1, 1]}),
            json!({"data": [1, 1, 1, 1]}),
            json!({"location": {"left": 0, "top": 0, "width": 0, "height": 2}, "data": []}),
            json!({"location": {"left": 0, "top": 0, "width": u64::MAX, "height": 2}, "data": []}),
        ] {
            assert_eq!(Piece::of_answer(&bad), None, "{bad}");
        }
        for bad in [json!([1, 1, 1]), json!([1, 1, 1, 1, 1]), json!([1, 1, "x", 1]), json!("1111")] {
            let answer = json!({"location": location, "data": bad});
            assert_eq!(Piece::of_answer(&answer).and_then(|piece| piece.data(&answer)), None, "{bad}");
        }
    }
}
