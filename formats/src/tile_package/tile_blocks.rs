//! Which tiles there are, as blocks of 128 × 128: what the tilemap of a vector tile package is written of.

use crate::sinks::TileId;
use std::collections::BTreeMap;

/// Tiles of a block up to which they are listed one by one.
const MOST_LISTED: usize = 1_024;
/// Words of a block's bits.
const WORDS: usize = 128 * 128 / 64;

#[derive(Debug)]
enum Block {
    Listed(Vec<u16>),
    Bits(Box<[u64; WORDS]>),
}

impl Block {
    fn has(&self, n: u16) -> bool {
        match self {
            Self::Listed(all) => all.binary_search(&n).is_ok(),
            Self::Bits(words) => words.get(usize::from(n) / 64).is_some_and(|word| word >> (n % 64) & 1 == 1),
        }
    }

    fn add(&mut self, n: u16) {
        match self {
            Self::Listed(all) if all.len() < MOST_LISTED => {
                if let Err(at) = all.binary_search(&n) {
                    all.insert(at, n);
                }
            }
            Self::Listed(all) => {
                let mut words = Box::new([0; WORDS]);
                for n in all.iter().chain([&n]) {
                    if let Some(word) = words.get_mut(usize::from(*n) / 64) {
                        *word |= 1_u64 << (n % 64);
                    }
                }
                *self = Self::Bits(words);
            }
            Self::Bits(words) => {
                if let Some(word) = words.get_mut(usize::from(n) / 64) {
                    *word |= 1_u64 << (n % 64);
                }
            }
        }
    }
}

/// Tiles of a quadtree, with all tiles above them.
#[derive(Debug, Default)]
pub(super) struct TileBlocks(BTreeMap<(u32, u64, u64), Block>);

/// The block of a tile, and which of its tiles it is.
fn block_of(place: TileId) -> ((u32, u64, u64), u16) {
    // Both are below 128.
    let n = ((place.row % 128) * 128 + place.column % 128) as u16;
    ((place.level, place.row / 128, place.column / 128), n)
}

impl TileBlocks {
    fn has(&self, place: TileId) -> bool {
        let (block, n) = block_of(place);
        self.0.get(&block).is_some_and(|block| block.has(n))
    }

    /// Adds a tile and those above it, up to one that is there.
    pub(super) fn add(&mut self, mut place: TileId) {
        while !self.has(place) {
            let (block, n) = block_of(place);
            self.0.entry(block).or_insert_with(|| Block::Listed(Vec::new())).add(n);
            let Some(level) = place.level.checked_sub(1) else { return };
            place = TileId { level, row: place.row / 2, column: place.column / 2 };
        }
    }

    /// The tilemap's `index` (tile reference §14), piece by piece.
    pub(super) fn write<E>(&self, to: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        self.write_node(TileId { level: 0, row: 0, column: 0 }, to)
    }

    fn write_node<E>(&self, place: TileId, to: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        if !self.has(place) {
            return to("0");
        }
        let below = |k: u64| TileId { level: place.level + 1, row: 2 * place.row + k / 2, column: 2 * place.column + k % 2 };
        // The first node is a list in any case: readers expect one there.
        if place.level > 0 && (0..4).all(|k| !self.has(below(k))) {
            return to("1");
        }
        for k in 0..4 {
            to(if k == 0 { "[" } else { "," })?;
            self.write_node(below(k), to)?;
        }
        to("]")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tilemap;
    use super::*;

    fn text(places: &[(u32, u64, u64)]) -> String {
        let mut blocks = TileBlocks::default();
        places.iter().for_each(|(level, row, column)| blocks.add(TileId { level: *level, row: *row, column: *column }));
        let mut text = String::new();
        blocks
            .write::<()>(&mut |piece| {
                text.push_str(piece);
                Ok(())
            })
            .expect("writes");
        text
    }

    #[test]
    fn a_tile_that_has_none_below_is_one_and_one_that_is_missing_is_reachable() {
        assert_eq!(text(&[(0, 0, 0)]), "[0,0,0,0]");
        assert_eq!(text(&[(0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 2, 0)]), "[0,1,[1,0,0,0],0]");
        assert_eq!(text(&[(2, 3, 3)]), "[0,0,0,[0,0,0,1]]");
    }

    #[test]
    fn a_whole_level_is_read_as_it_was_written() {
        let all: Vec<(u32, u64, u64)> =
            (0..=8).flat_map(|z| (0..1 << z).flat_map(move |r| (0..1 << z).map(move |c| (z, r, c)))).collect();
        let json = format!("{{\"index\":{}}}", text(&all));
        let read = tilemap::tiles(&serde_json::from_str(&json).expect("JSON")).expect("a tilemap");
        assert_eq!(read.values().map(crate::tiles::TileRows::tiles).sum::<u64>(), all.len() as u64);
    }
}
