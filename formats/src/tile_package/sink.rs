//! Writes a package bundle by bundle: tiles as they come, the index of a bundle before them when the next one begins.

use super::kind::TilePackageKind;
use super::new_documents;
use super::new_documents::Described;
use super::stored_zip::{LOCAL_HEAD, StoredZip};
use super::tile_blocks::TileBlocks;
use super::tilemap::TILEMAP;
use crate::compact_cache::{PACKET_SIZE, V2Index};
use crate::sinks::{Finished, Resumed, TileId, TileSink};
use crate::tile_set::{TileFormat, TileSetInfo};
use crate::tile_writing::{AppendFile, Limit, PackedTile, TileLog, cannot_write, fingerprint};
use offmap_disk::atomic_file;
use offmap_model::Failure;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Tiles up to which a vector package gets a tilemap. One of more is longer than readers read; without it a package is flat.
const MOST_IN_TILEMAP: u64 = 2_000_000;
/// Rows and columns of a level are counted in 32 bits.
const MOST_ROWS: u64 = u32::MAX as u64;

/// Level, and row and column of its first tile.
type BundleKey = (u32, u64, u64);

/// The bundle that tiles go into.
#[derive(Debug)]
struct OpenBundle {
    key: BundleKey,
    name: String,
    /// Where its entry's own head is in the file, and where its bytes begin.
    offset: u64,
    start: u64,
    index: V2Index,
    /// Of the bytes behind its index.
    crc: crc32fast::Hasher,
    /// Where those end.
    end: u64,
}

impl OpenBundle {
    fn new(kind: TilePackageKind, key: BundleKey, offset: u64) -> Self {
        let (level, row, column) = key;
        let folder = if kind == TilePackageKind::Vtpk { "p12/tile" } else { "tile" };
        let name = format!("{folder}/L{level:02}/R{row:04x}C{column:04x}.bundle");
        let start = offset + LOCAL_HEAD + name.len() as u64;
        let end = start + V2Index::BYTES as u64;
        Self { key, name, offset, start, index: V2Index::default(), crc: crc32fast::Hasher::new(), end }
    }

    /// Notes where a tile is; answers whether its place was free.
    fn note(&mut self, place: TileId, at: u64, length: u32) -> bool {
        let within = (place.row % PACKET_SIZE, place.column % PACKET_SIZE);
        self.end = self.end.max(at + u64::from(length));
        self.index.set(within, at - self.start, u64::from(length))
    }
}

fn key_of(place: TileId) -> BundleKey {
    (place.level, place.row / PACKET_SIZE * PACKET_SIZE, place.column / PACKET_SIZE * PACKET_SIZE)
}

/// Takes tiles of any scheme, all of a bundle before the next: a `.tpkx` of raster tiles, a `.vtpk` of vector tiles.
///
/// Of what it has written it holds the name and place of each bundle. A bundle is of less than 4 GiB, a package of at most 500,000
/// entries.
#[derive(Debug)]
pub struct TilePackageSink {
    to: PathBuf,
    beside: PathBuf,
    info: TileSetInfo,
    kind: TilePackageKind,
    file: AppendFile,
    log: TileLog,
    zip: StoredZip,
    open: Option<OpenBundle>,
    ended: HashSet<BundleKey>,
    /// Where the tiles end, once something else has begun.
    tiles_end: Option<u64>,
}

impl TilePackageSink {
    /// Opens a sink for the package `to`, or the half of it that an earlier process left. Vector tiles make a `.vtpk`, others a
    /// `.tpkx`.
    ///
    /// # Errors
    /// If packages cannot hold the format of the tiles, or the disk refuses.
    pub fn open(to: &Path, info: &TileSetInfo) -> Result<Self, Failure> {
        check_tile_format(info.format)?;
        info.compression.check()?;
        let kind = if info.format.is_vector() { TilePackageKind::Vtpk } else { TilePackageKind::Tpkx };
        let print = fingerprint(&[b"tile package", format!("{info:?}").as_bytes()]);
        let opened = TileLog::open(to, &print, Limit::of_file(to), &mut |_| Ok(()))?;
        let mut sink = Self {
            to: to.to_owned(),
            file: AppendFile::open(&opened.beside, opened.length)?,
            beside: opened.beside,
            info: info.clone(),
            kind,
            log: opened.log,
            zip: StoredZip::default(),
            open: None,
            ended: HashSet::new(),
            tiles_end: None,
        };
        sink.rebuild()?;
        Ok(sink)
    }

    /// Finds out of the journal which bundles there are.
    fn rebuild(&mut self) -> Result<(), Failure> {
        let Self { log, file, zip, ended, kind, .. } = self;
        let mut open: Option<OpenBundle> = None;
        log.replay(&mut |record| {
            let key = key_of(record.place);
            if let Some(bundle) = open.take_if(|open| open.key != key) {
                zip.note(file, &bundle.name, bundle.offset, bundle.end - bundle.start)?;
                ended.insert(bundle.key);
                open = Some(OpenBundle::new(*kind, key, bundle.end));
            }
            open.get_or_insert_with(|| OpenBundle::new(*kind, key, 0)).note(record.place, record.at, record.length);
            Ok(())
        })?;
        if let Some(bundle) = &mut open {
            let from = bundle.start + V2Index::BYTES as u64;
            let crc = &mut bundle.crc;
            file.read_through(from, bundle.end - from, &mut |piece| {
                crc.update(piece);
                true
            })?;
        }
        self.open = open;
        Ok(())
    }

    /// The bundle of a key, which begins where the file ends.
    fn begin_bundle(&mut self, key: BundleKey, place: TileId) -> Result<(), Failure> {
        self.end_bundle()?;
        if self.ended.contains(&key) || self.tiles_end.is_some() {
            let message = format!("tile {place:?} comes behind its bundle, expected all tiles of a bundle before the next");
            return Err(Failure::internal(message));
        }
        let bundle = OpenBundle::new(self.kind, key, self.file.end());
        self.zip.begin(&mut self.file, &bundle.name)?;
        self.file.append_zeros(V2Index::BYTES)?;
        self.open = Some(bundle);
        Ok(())
    }

    /// Fills in the index of the open bundle.
    fn end_bundle(&mut self) -> Result<(), Failure> {
        let Some(bundle) = self.open.take() else { return Ok(()) };
        let head = bundle.index.head(bundle.end - bundle.start);
        self.file.replace(bundle.start, &head)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        crc.combine(&bundle.crc);
        self.zip.end(&mut self.file, &bundle.name, bundle.offset, crc.finalize())?;
        self.ended.insert(bundle.key);
        Ok(())
    }

    /// Where bytes are in the open bundle, which are stored if they are not there yet.
    fn store(&mut self, tile: &PackedTile<'_>) -> Result<u64, Failure> {
        let bytes: &[u8] = &tile.bytes;
        let Some(bundle) = &mut self.open else { return Err(Failure::internal("no bundle is open")) };
        for at in tile.candidates(&self.log) {
            if at > bundle.start && self.file.holds(at, bytes)? {
                return Ok(at);
            }
        }
        let size = tile.length().to_le_bytes();
        self.file.append(&size)?;
        let at = self.file.end();
        self.file.append(bytes)?;
        bundle.crc.update(&size);
        bundle.crc.update(bytes);
        Ok(at)
    }

    /// Ends the tiles: other entries follow.
    fn end_tiles(&mut self) -> Result<(), Failure> {
        if self.tiles_end.is_none() {
            self.tiles_end = Some(self.file.end());
            self.end_bundle()?;
        }
        Ok(())
    }

    fn describe(&self) -> Described<'_> {
        let known = &self.log.known;
        let tiles = self.log.done().tiles;
        let is_quadtree = known.extents.is_quadtree();
        Described {
            info: &self.info,
            format: known.format.unwrap_or(self.info.format),
            levels: known.extents.levels().unwrap_or_default(),
            extent: known.extents.bounds(&self.info.scheme, self.info.bounds.as_ref()),
            stem: self.to.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            tiles,
            contents: known.contents,
            has_tilemap: self.kind == TilePackageKind::Vtpk && is_quadtree && tiles <= MOST_IN_TILEMAP,
        }
    }

    /// Writes the tilemap out of the journal.
    fn write_tilemap(&mut self) -> Result<(), Failure> {
        let mut blocks = TileBlocks::default();
        self.log.replay(&mut |record| {
            blocks.add(record.place);
            Ok(())
        })?;
        let offset = self.zip.begin(&mut self.file, TILEMAP)?;
        let mut crc = crc32fast::Hasher::new();
        let file = &mut self.file;
        let mut write = |piece: &str| {
            crc.update(piece.as_bytes());
            file.append(piece.as_bytes())
        };
        write("{\"index\":")?;
        blocks.write(&mut write)?;
        write("}")?;
        self.zip.end(&mut self.file, TILEMAP, offset, crc.finalize())
    }
}

/// Whether packages hold tiles of a format.
///
/// # Errors
/// Which ones they hold, where they do not hold these.
pub fn check_tile_format(format: TileFormat) -> Result<(), Failure> {
    match format {
        TileFormat::WebP | TileFormat::Avif => {
            let message = format!("tile packages hold PNG, JPEG, LERC and vector tiles, and these are {format:?}");
            Err(Failure::not_supported(message))
        }
        _ => Ok(()),
    }
}

impl TileSink for TilePackageSink {
    fn resumed(&self) -> Resumed {
        self.log.done()
    }

    fn put(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        let tile = PackedTile::of(places, bytes, self.info.format)?;
        check_tile_format(TileFormat::of_image(&tile.bytes).unwrap_or(self.info.format))?;
        // Where its bytes are in the open bundle.
        let mut at = None;
        for place in places {
            if place.row > MOST_ROWS || place.column > MOST_ROWS {
                return Err(Failure::internal(format!("there is no row or column of tile {place:?}")));
            }
            let key = key_of(*place);
            if self.open.as_ref().is_none_or(|open| open.key != key) {
                self.begin_bundle(key, *place)?;
                at = None;
            }
            let stored = match at {
                Some(at) => at,
                None => self.store(&tile)?,
            };
            at = Some(stored);
            if !self.open.as_mut().is_some_and(|open| open.note(*place, stored, tile.length())) {
                return Err(Failure::internal(format!("tile {place:?} was put twice")));
            }
            self.log.add(&tile.record(*place, stored))?;
        }
        Ok(())
    }

    fn put_resource(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        if self.kind != TilePackageKind::Vtpk {
            return Ok(());
        }
        self.end_tiles()?;
        self.zip.add(&mut self.file, &format!("p12/resources/{name}"), bytes)
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        self.file.sync()?;
        self.log.mark(self.tiles_end.unwrap_or(self.file.end()))
    }

    fn finish(mut self: Box<Self>) -> Result<Finished, Failure> {
        let Resumed { tiles, .. } = self.log.done();
        if tiles == 0 {
            return Err(Failure::not_supported("there is no tile to write"));
        }
        self.end_tiles()?;
        if self.describe().has_tilemap {
            self.write_tilemap()?;
        }
        let there: Vec<String> = self.zip.entries.iter().map(|entry| entry.name.clone()).collect();
        for (name, bytes) in new_documents::documents(&self.describe(), &there) {
            self.zip.add(&mut self.file, &name, &bytes)?;
        }
        self.zip.finish(&mut self.file)?;
        self.file.sync()?;
        let bytes = self.file.end();
        atomic_file::put(&self.beside, &self.to).map_err(|e| cannot_write(&self.to, &e))?;
        let contents = self.log.known.contents;
        self.log.remove();
        Ok(Finished { tiles, contents, bytes })
    }
}
