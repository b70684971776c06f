//! Reads an archive: its directories one at a time, its tiles as they are asked for.

use super::archive::{Archive, OnRun, TileRun};
use super::byte_source::{ByteSource, FileSource};
use super::tile_ids::TileIds;
use crate::sinks::TileId;
use crate::tile_reader::{SharedPlaces, TileReader, TileVisitor, unreadable};
use crate::tile_set::TileSetInfo;
use crate::tiles::{tile_id, tile_of_id};
use offmap_disk::folder::open_regular;
use offmap_model::Failure;
use std::ops::Range;
use std::path::Path;

/// Tiles of a run that is offered as one.
const LONG_RUN: u64 = 64;

/// Reads PMTiles of version 3. Tiles are read where they are; nothing but one directory for each level of them is held.
#[derive(Debug)]
pub struct PmtilesReader(Archive);

/// Takes what the directories of an archive say of the tiles that are wanted; no tile is read.
pub trait DirectoryVisitor {
    /// The tiles that are wanted.
    fn wanted(&self) -> &TileIds;

    /// Whether a leaf directory that has some of them can be read now; one that cannot is passed over.
    ///
    /// # Errors
    /// If nothing more is wanted; the walk ends with it.
    fn leaf(&mut self, at: u64, length: u64) -> Result<bool, Failure>;

    /// Takes tiles that share their bytes, all of which are wanted.
    ///
    /// # Errors
    /// Of whatever it does with them; the walk ends with it.
    fn run(&mut self, run: TileRun) -> Result<(), Failure>;
}

/// Runs of a [`DirectoryVisitor`].
struct Directories<'a>(&'a mut dyn DirectoryVisitor);

impl OnRun for Directories<'_> {
    fn wants(&self, ids: Range<u64>) -> bool {
        self.0.wanted().has_any(ids)
    }

    fn leaf(&mut self, at: u64, length: u64) -> Result<bool, Failure> {
        self.0.leaf(at, length)
    }

    fn run(&mut self, _: &mut Archive, run: TileRun) -> Result<(), Failure> {
        let parts: Vec<Range<u64>> = self.0.wanted().within(run.ids.clone()).collect();
        parts.into_iter().try_for_each(|ids| self.0.run(TileRun { ids, ..run.clone() }))
    }
}

/// Tiles for a [`TileVisitor`].
struct Tiles<'a> {
    wanted: &'a TileIds,
    visitor: &'a mut dyn TileVisitor,
    shared: SharedPlaces,
    bytes: Vec<u8>,
    /// Which bytes those are.
    held: Option<(u64, u32)>,
}

impl Tiles<'_> {
    /// Reads the bytes of a run, unless they are held.
    fn hold(&mut self, reader: &mut Archive, run: &TileRun) -> Result<(), Failure> {
        if self.held.is_none() {
            reader.source.read_at(run.at, u64::from(run.length), &mut self.bytes)?;
            self.held = Some((run.at, run.length));
        }
        Ok(())
    }

    /// Gives tiles of a run, all of which follow each other: blocks that are not wanted are passed over as a whole.
    fn give(&mut self, reader: &mut Archive, run: &TileRun) -> Result<(), Failure> {
        let mut ids = run.ids.clone();
        if ids.end - ids.start == 1 {
            return self.give_block(reader, run, Block { first: ids.start, order: 0 });
        }
        while ids.start < ids.end {
            let block = Block::first_of(&ids).ok_or_else(|| reader.no_tile(ids.start))?;
            self.give_block(reader, run, block)?;
            ids.start = block.first + block.tiles();
        }
        Ok(())
    }

    fn give_block(&mut self, reader: &mut Archive, run: &TileRun, block: Block) -> Result<(), Failure> {
        if block.order > 0 {
            let place = place_of(block.first).ok_or_else(|| reader.no_tile(block.first))?;
            let side = 1_u64 << block.order;
            let corner = TileId { row: place.row & !(side - 1), column: place.column & !(side - 1), ..place };
            if !self.visitor.wants_some(corner, side)? {
                return Ok(());
            }
            return block.quarters().into_iter().try_for_each(|quarter| self.give_block(reader, run, quarter));
        }
        let place = place_of(block.first).ok_or_else(|| reader.no_tile(block.first))?;
        if !self.visitor.wants(place)? {
            return Ok(());
        }
        self.hold(reader, run)?;
        self.shared.add(place, &self.bytes, self.visitor)
    }
}

impl OnRun for Tiles<'_> {
    fn wants(&self, ids: Range<u64>) -> bool {
        self.wanted.has_any(ids)
    }

    fn leaf(&mut self, _: u64, _: u64) -> Result<bool, Failure> {
        Ok(true)
    }

    fn run(&mut self, reader: &mut Archive, run: TileRun) -> Result<(), Failure> {
        if self.held != Some((run.at, run.length)) {
            self.shared.give(&self.bytes, self.visitor)?;
            self.held = None;
        }
        let wanted = self.wanted;
        for ids in wanted.within(run.ids.clone()) {
            let part = TileRun { ids, ..run.clone() };
            let count = part.ids.end - part.ids.start;
            if count < LONG_RUN || !self.visitor.takes_runs() {
                self.give(reader, &part)?;
                continue;
            }
            self.shared.give(&self.bytes, self.visitor)?;
            self.hold(reader, &part)?;
            let first = place_of(part.ids.start).ok_or_else(|| reader.no_tile(part.ids.start))?;
            self.visitor.visit_run(first, count, &self.bytes)?;
        }
        Ok(())
    }
}

/// Tiles of one zoom that are a square at a multiple of its side, a power of two.
#[derive(Debug, Clone, Copy)]
struct Block {
    first: u64,
    order: u32,
}

impl Block {
    /// The largest one that some ids begin with; `None` where there is no such tile.
    fn first_of(ids: &Range<u64>) -> Option<Self> {
        let (zoom, ..) = tile_of_id(ids.start)?;
        let position = ids.start - tile_id(zoom, 0, 0)?;
        let fits = |order: &u32| {
            let tiles = 1_u64 << (2 * order);
            position.is_multiple_of(tiles) && tiles <= ids.end - ids.start
        };
        let order = (0..=u32::from(zoom)).rev().find(fits)?;
        Some(Self { first: ids.start, order })
    }

    fn tiles(self) -> u64 {
        1 << (2 * self.order)
    }

    fn quarters(self) -> [Self; 4] {
        let order = self.order - 1;
        [0, 1, 2, 3].map(|quarter| Self { first: self.first + (quarter << (2 * order)), order })
    }
}

fn place_of(id: u64) -> Option<TileId> {
    let (zoom, column, row) = tile_of_id(id)?;
    Some(TileId { level: u32::from(zoom), row: u64::from(row), column: u64::from(column) })
}

impl PmtilesReader {
    /// Opens a file and reads its header and metadata. Blocks.
    ///
    /// # Errors
    /// If it is no PMTiles of version 3, its sections do not lie in it, or it is compressed in a way that is not read here.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = open_regular(path).map_err(|e| unreadable(path, &e))?;
        Self::of_source(path, Box::new(FileSource::new(path, file)?))
    }

    /// The same for an archive whose bytes are anywhere; `path` is what it is called in failures. Blocks.
    ///
    /// # Errors
    /// As [`PmtilesReader::open`], and what the source says.
    pub fn of_source(path: &Path, source: Box<dyn ByteSource>) -> Result<Self, Failure> {
        Archive::open(path, source).map(Self)
    }

    /// Gives what the directories say of the tiles that are wanted to `visitor`, in the order of their ids. Directories without any of
    /// them are not read. Blocks.
    ///
    /// # Errors
    /// If a directory is damaged or cannot be read, or `visitor` refuses.
    pub fn walk_directories(&mut self, visitor: &mut dyn DirectoryVisitor) -> Result<(), Failure> {
        self.0.walk_all(&mut Directories(visitor))
    }

    /// Gives those tiles of a set that are wanted to `visitor`, in order: as [`TileReader::for_each_tile`], and directories without any of
    /// the set are not read.
    ///
    /// # Errors
    /// As [`TileReader::for_each_tile`].
    pub fn for_each_of(&mut self, wanted: &TileIds, visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        let shared = SharedPlaces::default();
        let mut tiles = Tiles { wanted, visitor, shared, bytes: Vec::new(), held: None };
        self.0.walk_all(&mut tiles)?;
        let Tiles { visitor, mut shared, bytes, .. } = tiles;
        shared.give(&bytes, visitor)
    }

    /// Tiles that its header says it has, however many of them share their bytes; zero where it does not know.
    #[must_use]
    pub fn stated_tiles(&self) -> u64 {
        self.0.header.counts[0]
    }

    /// Bytes of its tiles, and of its leaf directories.
    #[must_use]
    pub fn stated_bytes(&self) -> (u64, u64) {
        (self.0.header.tiles.length, self.0.header.leaves.length)
    }
}

impl TileReader for PmtilesReader {
    fn info(&self) -> &TileSetInfo {
        &self.0.info
    }

    fn for_each_tile(&mut self, visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        self.for_each_of(&TileIds::all(), visitor)
    }
}
