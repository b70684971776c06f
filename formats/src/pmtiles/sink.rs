//! Writes a file in one pass: tiles as they come, directories out of the journal at the end.

use super::directory;
use super::directory::Entry;
use super::header::{FIRST_BYTES, GZIP, HEADER, Header, Section, UNCOMPRESSED, type_of};
use super::metadata;
use crate::sinks::{Finished, Resumed, TileId, TileSink};
use crate::tile_set::TileSetInfo;
use crate::tile_writing::{AppendFile, Limit, PackedTile, TileLog, cannot_write, degrees, fingerprint, gzip};
use crate::tiles::{WebMercatorLevels, tile_id};
use offmap_disk::atomic_file;
use offmap_model::Failure;
use std::path::{Path, PathBuf};

/// Most entries of a file that has no leaf directories.
const MOST_IN_ROOT: u64 = 16_384;
/// Entries of a leaf directory, and how many leaf directories there may be before they get larger: their entries must fit into the
/// root, which grows with them.
const LEAF: u64 = 4_096;
const MOST_LEAVES: u64 = 2_048;

/// Takes tiles of a web scheme in the order of their ids.
///
/// ```
/// use offmap_formats::pmtiles::PmtilesSink;
/// use offmap_formats::tiles::web_mercator_scheme;
/// use offmap_formats::{TileFormat, TileId, TileSetInfo, TileSink};
///
/// let dir = tempfile::tempdir().expect("a directory");
/// let info = TileSetInfo::new(web_mercator_scheme(256, 4), TileFormat::Png);
/// let mut sink = Box::new(PmtilesSink::open(&dir.path().join("map.pmtiles"), &info)?);
/// sink.put(&[TileId { level: 0, row: 0, column: 0 }], b"\x89PNG ...")?;
/// assert_eq!(sink.finish()?.tiles, 1);
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Debug)]
pub struct PmtilesSink {
    to: PathBuf,
    beside: PathBuf,
    info: TileSetInfo,
    levels: WebMercatorLevels,
    file: AppendFile,
    log: TileLog,
    /// The first id that may come.
    next: u64,
}

impl PmtilesSink {
    /// Opens a sink for the file `to`, or the half of it that an earlier process left.
    ///
    /// # Errors
    /// If the tiling scheme is not the web's, the tiles are compressed in a way that is not passed on, or the disk refuses.
    pub fn open(to: &Path, info: &TileSetInfo) -> Result<Self, Failure> {
        let levels = WebMercatorLevels::of_levels(&info.scheme, info.levels)?;
        info.compression.check()?;
        let print = fingerprint(&[b"pmtiles", format!("{info:?}").as_bytes()]);
        let opened = TileLog::open(to, &print, Limit::of_file(to), &mut |_| Ok(()))?;
        let mut file = AppendFile::open(&opened.beside, opened.length)?;
        if opened.length == 0 {
            file.append_zeros(FIRST_BYTES as usize)?;
        }
        let mut sink =
            Self { to: to.to_owned(), beside: opened.beside, info: info.clone(), levels, file, log: opened.log, next: 0 };
        if let Some(last) = sink.log.done().last {
            sink.next = sink.id(last)? + 1;
        }
        Ok(sink)
    }

    fn id(&self, place: TileId) -> Result<u64, Failure> {
        let (zoom, column, row) = self.levels.zoom_column_row(place)?;
        let id = tile_id(zoom, u64::from(column), u64::from(row));
        id.ok_or_else(|| Failure::internal(format!("there is no tile {place:?} at zoom {zoom}")))
    }

    /// Where bytes are, which are stored if they are not there yet.
    fn store(&mut self, tile: &PackedTile<'_>) -> Result<u64, Failure> {
        let bytes: &[u8] = &tile.bytes;
        for at in tile.candidates(&self.log) {
            if self.file.holds(at, bytes)? {
                return Ok(at);
            }
        }
        let at = self.file.end();
        self.file.append(bytes)?;
        Ok(at)
    }

    /// Writes the directories; answers the root, and where the leaves are.
    fn write_directories(&mut self, count: u64) -> Result<(Vec<u8>, Section), Failure> {
        let offset = self.file.end();
        let most = FIRST_BYTES as usize - HEADER;
        if count <= MOST_IN_ROOT {
            let mut all = Vec::new();
            entries(&self.levels, &mut self.log, &mut |entry| {
                all.push(entry);
                Ok(())
            })?;
            let root = directory::write(&all);
            if root.len() <= most {
                return Ok((root, Section { offset, length: 0 }));
            }
        }
        let mut size = LEAF.max(count / MOST_LEAVES + 1);
        loop {
            self.file.cut(offset)?;
            let root = self.write_leaves(size)?;
            if root.len() <= most {
                return Ok((root, Section { offset, length: self.file.end() - offset }));
            }
            size *= 2;
        }
    }

    /// Writes leaf directories of so many entries each; answers the root over them.
    fn write_leaves(&mut self, size: u64) -> Result<Vec<u8>, Failure> {
        let (mut root, mut leaf, mut at) = (Vec::new(), Vec::new(), 0);
        let file = &mut self.file;
        let mut write = |leaf: &mut Vec<Entry>| {
            let Some(Entry { id, .. }) = leaf.first().copied() else { return Ok(()) };
            let bytes = directory::write(leaf);
            let length = u32::try_from(bytes.len()).map_err(|_| Failure::internal("a leaf directory is too large"))?;
            root.push(Entry { id, offset: at, length, run: 0 });
            at += u64::from(length);
            leaf.clear();
            file.append(&bytes)
        };
        entries(&self.levels, &mut self.log, &mut |entry| {
            leaf.push(entry);
            if leaf.len() as u64 >= size { write(&mut leaf) } else { Ok(()) }
        })?;
        write(&mut leaf)?;
        Ok(directory::write(&root))
    }

    fn header(&mut self) -> Result<Header, Failure> {
        let mut counts = [self.log.done().tiles, 0, self.log.known.contents];
        entries(&self.levels, &mut self.log, &mut |_| {
            counts[1] += 1;
            Ok(())
        })?;
        let (first, last) = self.log.known.extents.levels().unwrap_or_default();
        let (first, last) = (self.levels.zoom(first)?, self.levels.zoom(last)?);
        let zooms = (first.min(last), first.max(last));
        let bounds = self.log.known.extents.bounds(&self.info.scheme, self.info.bounds.as_ref());
        let format = self.log.known.format.unwrap_or(self.info.format);
        Ok(Header {
            counts,
            clustered: true,
            internal_compression: GZIP,
            tile_compression: if format.is_vector() { GZIP } else { UNCOMPRESSED },
            tile_type: type_of(format),
            zooms,
            bounds: bounds.as_ref().and_then(degrees).unwrap_or([-180.0, -85.051_128_7, 180.0, 85.051_128_7]),
            center_zoom: zooms.0,
            tiles: Section { offset: FIRST_BYTES, length: self.file.end() - FIRST_BYTES },
            ..Header::default()
        })
    }
}

/// Gives every entry of the directories, in order.
fn entries(
    levels: &WebMercatorLevels,
    log: &mut TileLog,
    visit: &mut dyn FnMut(Entry) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut open: Option<Entry> = None;
    log.replay(&mut |record| {
        let (zoom, column, row) = levels.zoom_column_row(record.place)?;
        let id = tile_id(zoom, u64::from(column), u64::from(row)).unwrap_or_default();
        let entry = Entry { id, offset: record.at - FIRST_BYTES, length: record.length, run: 1 };
        match &mut open {
            Some(run) if run.id + u64::from(run.run) == id && run.offset == entry.offset && run.run < u32::MAX => {
                run.run += 1
            }
            before => before.replace(entry).map_or(Ok(()), &mut *visit)?,
        }
        Ok(())
    })?;
    open.map_or(Ok(()), visit)
}

impl TileSink for PmtilesSink {
    fn resumed(&self) -> Resumed {
        self.log.done()
    }

    fn put(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        let tile = PackedTile::of(places, bytes, self.info.format)?;
        let mut at = None;
        for place in places {
            let id = self.id(*place)?;
            if id < self.next {
                let message = format!("tile {place:?} comes behind a later one, expected in the order of the Hilbert curve");
                return Err(Failure::internal(message));
            }
            let stored = match at {
                Some(at) => at,
                None => self.store(&tile)?,
            };
            at = Some(stored);
            self.log.add(&tile.record(*place, stored))?;
            self.next = id + 1;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        self.file.sync()?;
        self.log.mark(self.file.end())
    }

    fn finish(mut self: Box<Self>) -> Result<Finished, Failure> {
        if self.log.done().tiles == 0 {
            return Err(Failure::not_supported("there is no tile to write"));
        }
        let mut header = self.header()?;
        let text = metadata::write(&self.info, self.levels.tile_size()).to_string();
        let packed = gzip(text.as_bytes());
        header.metadata = Section { offset: self.file.end(), length: packed.len() as u64 };
        self.file.append(&packed)?;
        let (root, leaves) = self.write_directories(header.counts[1])?;
        header.root = Section { offset: HEADER as u64, length: root.len() as u64 };
        header.leaves = leaves;
        let mut first = header.to_bytes();
        first.extend_from_slice(&root);
        first.resize(FIRST_BYTES as usize, 0);
        self.file.replace(0, &first)?;
        self.file.sync()?;
        let bytes = self.file.end();
        atomic_file::put(&self.beside, &self.to).map_err(|e| cannot_write(&self.to, &e))?;
        let [tiles, _, contents] = header.counts;
        self.log.remove();
        Ok(Finished { tiles, contents, bytes })
    }
}
