//! An archive: its directories one at a time, wherever its bytes are.

use super::byte_source::ByteSource;
use super::directory;
use super::directory::Entry;
use super::header::{FIRST_BYTES, GZIP, HEADER, Header, Section, UNCOMPRESSED, compression_of, format_of};
use super::metadata;
use crate::compact_cache::LARGEST_TILE;
use crate::tile_reader::{damaged, unsupported};
use crate::tile_set::{TileFormat, TileSetInfo};
use crate::tile_writing::gunzipped;
use crate::tiles::{DEEPEST_ZOOM, LISTED_ZOOM, tile_of_id, web_mercator_scheme};
use offmap_model::{Envelope, Failure, SpatialReference, json};
use serde_json::Map;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a directory once it is not compressed any more.
const LARGEST_DIRECTORY: u64 = 16 << 20;
/// Bytes of the metadata likewise, and memory that they may need.
const LARGEST_METADATA: u64 = 16 << 20;
const METADATA_MEMORY: u64 = 64 << 20;
/// Directories below each other. The specification advises against more than two (§4).
const DEEPEST_DIRECTORY: usize = 4;
/// Tiles of a file, which a few bytes can say: all of zoom 16.
const MOST_TILES: u64 = 1 << 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    pub(super) source: Box<dyn ByteSource>,
    pub(super) header: Header,
    pub(super) info: TileSetInfo,
}

/// What is known while directories are walked through.
struct Walk<'a> {
    on: &'a mut dyn OnRun,
    /// The first id that may come.
    next: u64,
    tiles: u64,
}

/// Takes the tiles of directories, with the reader at hand.
pub(super) trait OnRun {
    /// Whether any of some tiles is wanted.
    fn wants(&self, ids: Range<u64>) -> bool;

    /// Whether a leaf directory that is wanted can be read now; one that cannot is passed over.
    fn leaf(&mut self, at: u64, length: u64) -> Result<bool, Failure>;

    /// Takes tiles that share their bytes.
    fn run(&mut self, reader: &mut Archive, run: TileRun) -> Result<(), Failure>;
}

/// Tiles that follow each other and share their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileRun {
    /// Their ids.
    pub ids: Range<u64>,
    /// Where their bytes are in the archive.
    pub at: u64,
    /// How many bytes.
    pub length: u32,
}

impl Archive {
    /// Reads header and metadata.
    pub(super) fn open(path: &Path, mut source: Box<dyn ByteSource>) -> Result<Self, Failure> {
        let (size, mut bytes) = (source.size(), Vec::new());
        source.read_at(0, size.min(HEADER as u64), &mut bytes)?;
        let header = Header::read(&bytes, size).map_err(|what| damaged(path, what))?;
        let info = TileSetInfo::new(web_mercator_scheme(256, 0), TileFormat::Mixed);
        let mut archive = Self { path: path.to_owned(), source, header, info };
        archive.describe()?;
        Ok(archive)
    }

    pub(super) fn no_tile(&self, id: u64) -> Failure {
        self.damaged(format!("there is no tile {id}, expected none beyond zoom {DEEPEST_ZOOM}"))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Failure {
        damaged(&self.path, what)
    }

    /// Refuses a directory, or what is compressed as one, that has too many bytes.
    fn fits(&self, length: u64, most: u64) -> Result<(), Failure> {
        match length <= most {
            true => Ok(()),
            false => Err(self.damaged(format!("a directory has {length} bytes, expected at most {most}"))),
        }
    }

    /// A part that is compressed as the header says, of at most so many bytes before and after.
    fn read_internal(&mut self, section: Section, most: u64) -> Result<Vec<u8>, Failure> {
        self.fits(section.length, most)?;
        let mut bytes = Vec::new();
        self.source.read_at(section.offset, section.length, &mut bytes)?;
        match self.header.internal_compression {
            UNCOMPRESSED => Ok(bytes),
            GZIP => gunzipped(&bytes, most).map_err(|e| self.damaged(format!("a directory: {e}"))),
            other => {
                Err(unsupported(&self.path, format!("its directories are compressed as {other}, expected gzip or none")))
            }
        }
    }

    fn describe(&mut self) -> Result<(), Failure> {
        let Header { zooms: (first, last), tile_type, tile_compression, .. } = self.header;
        if first > last || last > DEEPEST_ZOOM {
            return Err(self.damaged(format!("it says zooms {first} to {last}, expected 0 to {DEEPEST_ZOOM}")));
        }
        let compression = compression_of(tile_compression);
        self.info.compression = compression.ok_or_else(|| {
            unsupported(&self.path, format!("its tiles are compressed as {tile_compression}, which is not known"))
        })?;
        let mut said = Map::new();
        if self.header.metadata.length > 0 {
            let text = self.read_internal(self.header.metadata, LARGEST_METADATA)?;
            let read = json::read(&text, METADATA_MEMORY);
            said = read.map_err(|what| self.damaged(format!("its metadata: {what}")))?;
        }
        metadata::read(&said, &mut self.info);
        self.info.format = match format_of(tile_type) {
            Some(format) => format,
            None if tile_type == 0 => self.first_format()?,
            None => {
                return Err(unsupported(&self.path, format!("its tiles are of type {tile_type}, which is not read here")));
            }
        };
        let usual = if self.info.format.is_vector() { 512 } else { 256 };
        let size = metadata::tile_size(&said).filter(|size| [256, 512].contains(size)).unwrap_or(usual);
        self.info.scheme = web_mercator_scheme(size, last.max(LISTED_ZOOM));
        self.info.levels = Some((u32::from(first), u32::from(last)));
        let [xmin, ymin, xmax, ymax] = self.header.bounds;
        let bounds = Envelope { xmin, ymin, xmax, ymax, spatial_reference: Some(SpatialReference::wgs84()) };
        self.info.bounds = (xmin < xmax && ymin < ymax).then_some(bounds);
        Ok(())
    }

    /// What the first tile is, where the header does not say it.
    fn first_format(&mut self) -> Result<TileFormat, Failure> {
        let mut bytes = Vec::new();
        let length = self.header.tiles.length.min(16);
        self.source.read_at(self.header.tiles.offset, length, &mut bytes)?;
        match TileFormat::of_image(&bytes) {
            Some(TileFormat::Lerc) => Ok(TileFormat::Lerc),
            Some(_) => Ok(TileFormat::Mixed),
            None => Err(unsupported(&self.path, "it does not say what its tiles are, and they are no images")),
        }
    }

    pub(super) fn walk_all(&mut self, on: &mut dyn OnRun) -> Result<(), Failure> {
        self.walk(self.header.root, u64::MAX, 1, &mut Walk { on, next: 0, tiles: 0 })
    }

    /// Walks through a directory whose ids are below `end`.
    fn walk(&mut self, section: Section, end: u64, depth: usize, walk: &mut Walk<'_>) -> Result<(), Failure> {
        if depth > DEEPEST_DIRECTORY {
            return Err(self.damaged(format!("its directories are more than {DEEPEST_DIRECTORY} deep")));
        }
        let most = if depth == 1 { FIRST_BYTES - HEADER as u64 } else { LARGEST_DIRECTORY };
        self.fits(section.length, most)?;
        let bytes = self.read_internal(section, LARGEST_DIRECTORY)?;
        let entries = directory::read(&bytes).map_err(|what| self.damaged(what))?;
        drop(bytes);
        for (i, entry) in entries.iter().enumerate() {
            let end = entries.get(i + 1).map_or(end, |next| next.id);
            if entry.id < walk.next || entry.id >= end {
                let message = format!("its directories say tile {} where {} to {end} may come", entry.id, walk.next);
                return Err(self.damaged(message));
            }
            if entry.run > 0 {
                self.run(*entry, end, walk)?;
                continue;
            }
            if !self.header.leaves.has(entry.offset, u64::from(entry.length)) {
                return Err(self.damaged(format!("a leaf directory is {} bytes at {}", entry.length, entry.offset)));
            }
            let (offset, length) = (self.header.leaves.offset + entry.offset, u64::from(entry.length));
            if !walk.on.wants(entry.id..end) {
                continue;
            }
            // Before it is asked for, which may be by a request of that length.
            self.fits(length, LARGEST_DIRECTORY)?;
            if walk.on.leaf(offset, length)? {
                self.walk(Section { offset, length }, end, depth + 1, walk)?;
            }
        }
        Ok(())
    }

    /// Hands on the tiles of an entry, if any is wanted.
    fn run(&mut self, entry: Entry, end: u64, walk: &mut Walk<'_>) -> Result<(), Failure> {
        let Entry { id, offset, length, run } = entry;
        if !self.header.tiles.has(offset, u64::from(length)) || u64::from(length) > LARGEST_TILE {
            let all = self.header.tiles.length;
            return Err(self.damaged(format!("tile {id} is {length} bytes at {offset}, its tiles have {all} bytes")));
        }
        walk.tiles = walk.tiles.saturating_add(u64::from(run));
        let last = id.checked_add(u64::from(run)).filter(|last| *last <= end && walk.tiles <= MOST_TILES);
        let Some(last) = last else {
            return Err(self.damaged(format!("tile {id} is said to be there {run} times, and {end} comes next")));
        };
        for end in [id, last - 1] {
            tile_of_id(end).ok_or_else(|| self.no_tile(end))?;
        }
        if walk.on.wants(id..last) {
            let at = self.header.tiles.offset + offset;
            walk.on.run(self, TileRun { ids: id..last, at, length })?;
        }
        walk.next = last;
        Ok(())
    }
}
