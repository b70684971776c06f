//! Reads a file: its directories one at a time, its tiles as they are asked for.

use super::directory;
use super::directory::Entry;
use super::header::{FIRST_BYTES, GZIP, HEADER, Header, Section, UNCOMPRESSED, compression_of, format_of};
use super::metadata;
use crate::compact_cache::LARGEST_TILE;
use crate::sinks::TileId;
use crate::tile_reader::{SharedPlaces, TileReader, TileVisitor, damaged, unreadable, unsupported};
use crate::tile_set::{TileFormat, TileSetInfo};
use crate::tile_writing::gunzipped;
use crate::tiles::{DEEPEST_ZOOM, LISTED_ZOOM, tile_of_id, web_mercator_scheme};
use offmap_disk::folder::open_regular;
use offmap_model::{Envelope, Failure, SpatialReference, json};
use serde_json::Map;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
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
/// Bytes that are read at once.
const AHEAD: usize = 256 << 10;

/// Reads PMTiles of version 3. Tiles are read where they are; nothing but one directory for each level of them is held.
#[derive(Debug)]
pub struct PmtilesReader {
    path: PathBuf,
    file: BufReader<File>,
    header: Header,
    info: TileSetInfo,
}

/// What is known while directories are walked through.
struct Walk<'a> {
    visitor: &'a mut dyn TileVisitor,
    shared: SharedPlaces,
    bytes: Vec<u8>,
    /// Which bytes those are.
    held: Option<(u64, u32)>,
    /// The first id that may come.
    next: u64,
    tiles: u64,
}

impl PmtilesReader {
    /// Opens a file and reads its header and metadata. Blocks.
    ///
    /// # Errors
    /// If it is no PMTiles of version 3, its sections do not lie in it, or it is compressed in a way that is not read here.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |e: &std::io::Error| unreadable(path, e);
        let file = open_regular(path).map_err(|e| failed(&e))?;
        let size = file.metadata().map_err(|e| failed(&e))?.len();
        let mut file = BufReader::with_capacity(AHEAD, file);
        let mut bytes = Vec::new();
        file.by_ref().take(HEADER as u64).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        let header = Header::read(&bytes, size).map_err(|what| damaged(path, what))?;
        let info = TileSetInfo::new(web_mercator_scheme(256, 0), TileFormat::Mixed);
        let mut reader = Self { path: path.to_owned(), file, header, info };
        reader.describe()?;
        Ok(reader)
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Failure {
        damaged(&self.path, what)
    }

    /// Bytes of the file.
    fn read_at(&mut self, offset: u64, length: u64, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        let from = self.file.stream_position().map_err(|e| unreadable(&self.path, &e))?;
        // A step within what was read ahead does not read again.
        let moved = match i64::try_from(offset).ok().zip(i64::try_from(from).ok()) {
            Some((to, from)) => self.file.seek_relative(to - from),
            None => self.file.seek(SeekFrom::Start(offset)).map(|_| ()),
        };
        bytes.clear();
        let read = moved.and_then(|()| self.file.by_ref().take(length).read_to_end(bytes));
        match read {
            Ok(read) if read as u64 == length => Ok(()),
            Ok(read) => Err(self.damaged(format!("it has {read} bytes at {offset}, expected {length}"))),
            Err(error) => Err(unreadable(&self.path, &error)),
        }
    }

    /// A part that is compressed as the header says, of at most so many bytes before and after.
    fn read_internal(&mut self, section: Section, most: u64) -> Result<Vec<u8>, Failure> {
        if section.length > most {
            return Err(self.damaged(format!("a directory has {} bytes, expected at most {most}", section.length)));
        }
        let mut bytes = Vec::new();
        self.read_at(section.offset, section.length, &mut bytes)?;
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
        self.read_at(self.header.tiles.offset, length, &mut bytes)?;
        match TileFormat::of_image(&bytes) {
            Some(TileFormat::Lerc) => Ok(TileFormat::Lerc),
            Some(_) => Ok(TileFormat::Mixed),
            None => Err(unsupported(&self.path, "it does not say what its tiles are, and they are no images")),
        }
    }

    /// Walks through a directory whose ids are below `end`.
    fn walk(&mut self, section: Section, end: u64, depth: usize, walk: &mut Walk<'_>) -> Result<(), Failure> {
        if depth > DEEPEST_DIRECTORY {
            return Err(self.damaged(format!("its directories are more than {DEEPEST_DIRECTORY} deep")));
        }
        let most = if depth == 1 { FIRST_BYTES - HEADER as u64 } else { LARGEST_DIRECTORY };
        if section.length > most {
            return Err(self.damaged(format!("a directory has {} bytes, expected at most {most}", section.length)));
        }
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
                self.tiles(*entry, end, walk)?;
                continue;
            }
            if !self.header.leaves.has(entry.offset, u64::from(entry.length)) {
                return Err(self.damaged(format!("a leaf directory is {} bytes at {}", entry.length, entry.offset)));
            }
            let offset = self.header.leaves.offset + entry.offset;
            self.walk(Section { offset, length: u64::from(entry.length) }, end, depth + 1, walk)?;
        }
        Ok(())
    }

    /// Gives the tiles of an entry.
    fn tiles(&mut self, entry: Entry, end: u64, walk: &mut Walk<'_>) -> Result<(), Failure> {
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
        if walk.held != Some((offset, length)) {
            walk.shared.give(&walk.bytes, walk.visitor)?;
            walk.held = None;
        }
        for id in id..last {
            let Some((zoom, column, row)) = tile_of_id(id) else {
                return Err(self.damaged(format!("there is no tile {id}, expected none beyond zoom {DEEPEST_ZOOM}")));
            };
            let place = TileId { level: u32::from(zoom), row: u64::from(row), column: u64::from(column) };
            if !walk.visitor.wants(place)? {
                continue;
            }
            if walk.held.is_none() {
                self.read_at(self.header.tiles.offset + offset, u64::from(length), &mut walk.bytes)?;
                walk.held = Some((offset, length));
            }
            walk.shared.add(place, &walk.bytes, walk.visitor)?;
        }
        walk.next = last;
        Ok(())
    }
}

impl TileReader for PmtilesReader {
    fn info(&self) -> &TileSetInfo {
        &self.info
    }

    fn for_each_tile(&mut self, visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        let shared = SharedPlaces::default();
        let mut walk = Walk { visitor, shared, bytes: Vec::new(), held: None, next: 0, tiles: 0 };
        self.walk(self.header.root, u64::MAX, 1, &mut walk)?;
        let Walk { visitor, mut shared, bytes, .. } = walk;
        shared.give(&bytes, visitor)
    }
}
