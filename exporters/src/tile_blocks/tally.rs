//! What became of the tiles of a task, counted block by block.

use super::block::Block;
use super::block_file::{Known, PlaceState, place_in_block};
use offmap_formats::TileId;
use offmap_model::{LayerNote, LayerNoteKind, MOST_EXAMPLES, Missing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Tiles that do not exist and are named.
const MOST_NAMED: usize = 3;

/// A tile as it is named: level, row and column.
pub(crate) fn shown(place: TileId) -> String {
    format!("{}/{}/{}", place.level, place.row, place.column)
}

/// See the module.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) planned: u64,
    /// Tiles that came.
    pub(crate) got: u64,
    /// Tiles that do not exist, by the tilemap and by the answers to their own urls; and some of them.
    by_tilemap: u64,
    by_answer: u64,
    none: Vec<String>,
    /// Tiles that did not come though they exist, or nobody knows.
    missing: Missing,
    /// Levels of which no tilemap says what there is, and levels that have tiles.
    untold: BTreeSet<u32>,
    filled: BTreeSet<u32>,
}

impl Tally {
    /// Counts a block; answers whether nothing of it is missing.
    pub(crate) fn add(&mut self, block: &Block, known: &Known) -> bool {
        let before = self.missing.count;
        if known.presence.is_none() {
            self.untold.insert(block.level);
        }
        for place in block.places() {
            self.planned += 1;
            let none = match known.state(place_in_block(place.row, place.column)) {
                PlaceState::Got => {
                    self.got += 1;
                    self.filled.insert(block.level);
                    continue;
                }
                PlaceState::Missing => {
                    self.missing.count += 1;
                    if self.missing.examples.len() < MOST_EXAMPLES {
                        self.missing.examples.push(shown(place));
                    }
                    continue;
                }
                PlaceState::NoneByTilemap => &mut self.by_tilemap,
                PlaceState::NoneByAnswer => &mut self.by_answer,
            };
            *none += 1;
            if self.none.len() < MOST_NAMED {
                self.none.push(shown(place));
            }
        }
        self.missing.count == before
    }

    /// Tiles that exist, as far as it is known.
    pub(crate) fn existing(&self) -> u64 {
        self.planned - self.by_tilemap - self.by_answer
    }

    pub(crate) fn missing(&self) -> Option<Missing> {
        (self.missing.count > 0).then(|| Missing { of: self.existing(), ..self.missing.clone() })
    }

    /// Names the tiles that do not exist.
    pub(crate) fn note(&self) -> Option<LayerNote> {
        let none = self.by_tilemap + self.by_answer;
        let by = |count: u64, whose: &str| (count > 0).then(|| format!("{count} by {whose}"));
        let ways = [by(self.by_tilemap, "its tilemap"), by(self.by_answer, "the answers to their urls")];
        let ways: Vec<String> = ways.into_iter().flatten().collect();
        let first = self.none.first()?;
        let message = format!(
            "{none} of {} tiles of the area do not exist on the service: {} (the first: {first})",
            self.planned,
            ways.join(", ")
        );
        Some(LayerNote::new(LayerNoteKind::NotExisting, message))
    }

    /// Names the tiles on which nothing is drawn.
    pub(crate) fn note_of_empty(&self) -> Option<LayerNote> {
        let (none, first) = (self.by_answer, self.none.first()?);
        let message = format!("nothing is drawn on {none} of {} tiles of the area (the first: {first})", self.planned);
        Some(LayerNote::new(LayerNoteKind::NotExisting, message))
    }

    /// Levels without a tile, of which no tilemap says that they have none.
    pub(crate) fn empty_levels(&self) -> Vec<u32> {
        self.untold.difference(&self.filled).copied().collect()
    }

    /// Whether the service itself says of every tile that there is none.
    pub(crate) fn is_nothing(&self) -> bool {
        self.got == 0 && self.by_tilemap == self.planned
    }
}

#[cfg(test)]
mod tests {
    use super::super::block_file::{BlockFile, Presence};
    use super::*;

    #[test]
    fn what_does_not_exist_is_told_from_what_did_not_come() {
        let dir = tempfile::tempdir().expect("a directory");
        let block = |level, column| Block { level, row: 0, column, tiles: (column..column + 4).map(|c| (1, c)).collect() };
        let mut tally = Tally::default();
        let mut file = BlockFile::open(&dir.path().join("a"), &[0; 32]).expect("opens");
        file.put(place_in_block(1, 0), Some(b"tile"));
        file.put(place_in_block(1, 1), None);
        assert!(!tally.add(&block(3, 0), &file.known), "two are not known");
        let mut file = BlockFile::open(&dir.path().join("b"), &[0; 32]).expect("opens");
        let mut presence = Presence::default();
        presence.set(place_in_block(1, 128));
        file.put_presence(presence);
        file.put(place_in_block(1, 128), None);
        assert!(!tally.add(&block(4, 128), &file.known), "the tilemap promises one");
        assert_eq!((tally.planned, tally.got, tally.existing()), (8, 1, 4));
        let missing = tally.missing().expect("three");
        assert_eq!(
            (missing.count, missing.of, missing.examples),
            (3, 4, ["3/1/2", "3/1/3", "4/1/128"].map(str::to_owned).to_vec())
        );
        let words = tally.note().expect("a note").message;
        assert!(words.contains("4 of 8 tiles") && words.contains("3 by its tilemap, 1 by the answers"), "{words}");
        assert_eq!(tally.empty_levels(), Vec::<u32>::new(), "the tilemap tells of level 4");
        assert!(!tally.is_nothing());
    }
}
