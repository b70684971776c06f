//! Copies tiles from a file of one format into one of another: all of them, or those of some levels or an area.
//!
//! | from | to |
//! | --- | --- |
//! | `.tpkx`, `.vtpk`, `.tpk`, directories laid out like one, `.mbtiles`, `.pmtiles` | `.tpkx`, `.vtpk`, `.mbtiles`, `.pmtiles` |
//!
//! Bytes are passed on as they are (vector tiles that are not compressed become gzip). What is interrupted is resumed: the same call
//! again goes on behind the last checkpoint and ends in the same bytes.
//!
//! ```no_run
//! use offmap_formats::containers::Reading;
//! use offmap_formats::convert::{self, TileSelection};
//! use tokio_util::sync::CancellationToken;
//!
//! let cancel = CancellationToken::new();
//! let selection = TileSelection { levels: Some((0..=10).collect()), ..TileSelection::default() };
//! let mut reader = convert::open_reader("imagery.tpkx".as_ref(), &cancel)?;
//! let sink = convert::open_sink("imagery.pmtiles".as_ref(), &selection.describe(reader.info()))?;
//! let done = convert::tiles(reader.as_mut(), sink, &selection, &Reading { cancel: &cancel, report: &|_| {} })?;
//! println!("{} tiles, {} contents, {} bytes", done.tiles, done.contents, done.bytes);
//! # Ok::<(), offmap_model::Failure>(())
//! ```

use crate::containers::Reading;
use crate::mbtiles::{MbtilesReader, MbtilesSink};
use crate::pmtiles::{PmtilesReader, PmtilesSink};
use crate::sinks::{Finished, TileId, TileSink};
use crate::tile_package::{TileCacheReader, TilePackageSink};
use crate::tile_reader::{TileReader, TileVisitor, unreadable, unsupported};
use crate::tile_set::TileSetInfo;
use crate::tiles::{Lod, TileInfo, TileRows};
use crate::vector_layers::VectorLayers;
use offmap_disk::folder::open_regular;
use offmap_model::{AreaOfInterest, Envelope, Failure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Bytes and tiles between two checkpoints.
const CHECKPOINT_BYTES: u64 = 512 << 20;
const CHECKPOINT_TILES: u64 = 250_000;
/// Most tiles of a level that are looked at for their layers.
const MOST_LOOKED_AT: u64 = 2_000;

/// Which tiles are copied: all unless something is said.
#[derive(Debug, Clone, Default)]
pub struct TileSelection {
    /// Level ids of the source.
    pub levels: Option<BTreeSet<u32>>,
    /// An area that tiles meet.
    pub area: Option<AreaOfInterest>,
}

impl TileSelection {
    /// The description of what is copied of a set.
    #[must_use]
    pub fn describe(&self, info: &TileSetInfo) -> TileSetInfo {
        let mut info = info.clone();
        if let (Some(levels), Some((first, last))) = (&self.levels, info.levels) {
            let mut kept = levels.range(first..=last.max(first)).copied();
            let first = kept.next();
            info.levels = first.map(|first| (first, kept.next_back().unwrap_or(first)));
        }
        if let Some(envelope) = self.area.as_ref().and_then(|area| area.parts_in(&info.scheme.spatial_reference).ok()) {
            let parts = envelope.iter().filter_map(AreaOfInterest::envelope);
            let around = Envelope::of(parts.flat_map(|e| [[e.xmin, e.ymin], [e.xmax, e.ymax]]));
            info.bounds = around.map(|e| Envelope { spatial_reference: Some(info.scheme.spatial_reference.clone()), ..e });
        }
        info
    }

    /// The same for the tiles of a scheme.
    fn resolve(&self, scheme: &TileInfo) -> Result<Resolved, Failure> {
        let mut by_level = BTreeMap::new();
        if let Some(area) = &self.area {
            let parts = area.parts_in(&scheme.spatial_reference)?;
            for lod in &scheme.lods {
                let rows = scheme.cover(area, None, std::slice::from_ref(lod))?.and_then(|mut rows| rows.remove(&lod.level));
                // An area over very many rows is asked by its envelope.
                let asked = match rows {
                    Some(rows) => Asked::Rows(rows),
                    None => Asked::Envelopes(*lod, parts.iter().filter_map(AreaOfInterest::envelope).collect()),
                };
                by_level.insert(lod.level, asked);
            }
        }
        let by_level = self.area.is_some().then_some(by_level);
        Ok(Resolved { levels: self.levels.clone(), by_level, scheme: scheme.clone() })
    }
}

enum Asked {
    Rows(TileRows),
    Envelopes(Lod, Vec<Envelope>),
}

struct Resolved {
    levels: Option<BTreeSet<u32>>,
    by_level: Option<BTreeMap<u32, Asked>>,
    scheme: TileInfo,
}

impl Resolved {
    /// Whether any tile of a square may be wanted.
    fn wants_some(&self, first: TileId, side: u64) -> bool {
        if self.levels.as_ref().is_some_and(|levels| !levels.contains(&first.level)) {
            return false;
        }
        match self.by_level.as_ref().map(|by_level| by_level.get(&first.level)) {
            None => true,
            Some(None) => false,
            Some(Some(Asked::Envelopes(lod, all))) => self.meets((lod, all.as_slice()), first, side),
            Some(Some(Asked::Rows(rows))) => {
                let last = |first: u64| first.saturating_add(side - 1);
                rows.has_any((first.row, last(first.row)), (first.column, last(first.column)))
            }
        }
    }

    fn wants(&self, place: TileId) -> bool {
        if self.levels.as_ref().is_some_and(|levels| !levels.contains(&place.level)) {
            return false;
        }
        match self.by_level.as_ref().map(|by_level| by_level.get(&place.level)) {
            None => true,
            Some(None) => false,
            Some(Some(Asked::Rows(rows))) => rows.has_tile(place.row, place.column),
            Some(Some(Asked::Envelopes(lod, all))) => self.meets((lod, all.as_slice()), place, 1),
        }
    }

    /// Whether a square of tiles meets one of some envelopes.
    fn meets(&self, (lod, all): (&Lod, &[Envelope]), first: TileId, side: u64) -> bool {
        let (wide, high) = (lod.resolution * f64::from(self.scheme.cols), lod.resolution * f64::from(self.scheme.rows));
        let (xmin, ymax) =
            (self.scheme.origin.x + first.column as f64 * wide, self.scheme.origin.y - first.row as f64 * high);
        let (xmax, ymin) = (xmin + side as f64 * wide, ymax - side as f64 * high);
        all.iter().any(|e| e.xmin < xmax && e.xmax > xmin && e.ymin < ymax && e.ymax > ymin)
    }
}

/// Opens a file of tiles by its first bytes, or a directory that is laid out like a package. Blocks.
///
/// # Errors
/// If it is none that is known, or as its reader says.
pub fn open_reader(path: &Path, cancel: &CancellationToken) -> Result<Box<dyn TileReader>, Failure> {
    let failed = |e: &std::io::Error| unreadable(path, e);
    if std::fs::metadata(path).map_err(|e| failed(&e))?.is_dir() {
        return Ok(Box::new(TileCacheReader::open(path)?));
    }
    let mut first = Vec::new();
    open_regular(path).and_then(|file| file.take(16).read_to_end(&mut first)).map_err(|e| failed(&e))?;
    match first.as_slice() {
        [b'P', b'M', b'T', b'i', b'l', b'e', b's', ..] => Ok(Box::new(PmtilesReader::open(path)?)),
        b"SQLite format 3\0" => Ok(Box::new(MbtilesReader::open(path, cancel)?)),
        [b'P', b'K', ..] => Ok(Box::new(TileCacheReader::open(path)?)),
        _ => Err(unsupported(path, "it is none of .tpkx, .vtpk, .tpk, .mbtiles, .pmtiles by its first bytes")),
    }
}

/// Opens a sink for a file by its ending, or the half of it that an interrupted call left. Blocks.
///
/// # Errors
/// If the ending is none that is written, the format cannot hold the tiles, or the disk refuses.
pub fn open_sink(path: &Path, info: &TileSetInfo) -> Result<Box<dyn TileSink>, Failure> {
    check_holds(path, info.format.is_vector())?;
    match ending_of(path).as_str() {
        "pmtiles" => Ok(Box::new(PmtilesSink::open(path, info)?)),
        "mbtiles" => Ok(Box::new(MbtilesSink::open(path, info)?)),
        _ => Ok(Box::new(TilePackageSink::open(path, info)?)),
    }
}

fn ending_of(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Whether a file of this name, by its ending, holds vector tiles, or pictures. Nothing need be there.
///
/// # Errors
/// If the ending is none that is written, or the format cannot hold the tiles.
pub fn check_holds(path: &Path, is_vector: bool) -> Result<(), Failure> {
    match ending_of(path).as_str() {
        "pmtiles" | "mbtiles" => Ok(()),
        "tpkx" if !is_vector => Ok(()),
        "vtpk" if is_vector => Ok(()),
        "tpkx" => Err(unsupported(path, "a .tpkx holds raster tiles, and these are vector tiles; write a .vtpk")),
        "vtpk" => Err(unsupported(path, "a .vtpk holds vector tiles, and these are raster tiles; write a .tpkx")),
        "tpk" => Err(unsupported(path, "the older .tpk is read and not written; write a .tpkx")),
        _ => Err(unsupported(path, "its ending is none of .tpkx, .vtpk, .mbtiles, .pmtiles")),
    }
}

/// Adds to a description which layers and fields the vector tiles of a selection have, where their file does not say it: MBTiles and PMTiles
/// have to. Of each level at most 2,000 tiles that lie all over it are looked at, the same whenever it is asked. Blocks.
///
/// # Errors
/// If the source is damaged, or it was cancelled.
pub fn with_vector_layers(
    mut info: TileSetInfo,
    reader: &mut dyn TileReader,
    selection: &TileSelection,
    cancel: &CancellationToken,
) -> Result<TileSetInfo, Failure> {
    let is_said = info.vector.get("vector_layers").and_then(Value::as_array).is_some_and(|layers| !layers.is_empty());
    if !info.format.is_vector() || is_said {
        return Ok(info);
    }
    let wanted = selection.resolve(&reader.info().scheme)?;
    let mut look = Look { wanted, cancel, counts: BTreeMap::new(), found: None };
    reader.for_each_tile(&mut look)?;
    // Every so many tiles of each level from now on.
    look.counts.values_mut().for_each(|(count, every)| (*count, *every) = (0, count.div_ceil(MOST_LOOKED_AT).max(1)));
    look.found = Some(VectorLayers::default());
    reader.for_each_tile(&mut look)?;
    let found = look.found.unwrap_or_default().into_json();
    info.vector.insert("vector_layers".to_owned(), found);
    Ok(info)
}

/// Counts the tiles of levels; then looks at some of them.
struct Look<'a> {
    wanted: Resolved,
    cancel: &'a CancellationToken,
    /// Of each level, how many came so far, and how many of them are for one that is looked at.
    counts: BTreeMap<u32, (u64, u64)>,
    found: Option<VectorLayers>,
}

impl TileVisitor for Look<'_> {
    fn wants(&mut self, place: TileId) -> Result<bool, Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        if !self.wanted.wants(place) {
            return Ok(false);
        }
        let (count, every) = self.counts.entry(place.level).or_insert((0, 1));
        let is_looked_at = self.found.is_some() && count.checked_rem(*every) == Some(0);
        *count += 1;
        Ok(is_looked_at)
    }

    fn visit(&mut self, _: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        if let Some(found) = &mut self.found {
            found.add(bytes);
        }
        Ok(())
    }
}

/// Copies the tiles of a selection, and the resources that go with them. Blocks until it is done or cancelled; cancelled, what was
/// copied up to the last checkpoint stays for the next call.
///
/// # Errors
/// If the source is damaged, the sink refuses, nothing is selected, or it was cancelled.
pub fn tiles(
    reader: &mut dyn TileReader,
    sink: Box<dyn TileSink>,
    selection: &TileSelection,
    reading: &Reading<'_>,
) -> Result<Finished, Failure> {
    let wanted = selection.resolve(&reader.info().scheme)?;
    let resumed = sink.resumed();
    let mut copy = Copy { sink, wanted, reading, left: resumed.tiles, last: resumed.last, tiles: 0, bytes: 0 };
    reader.for_each_tile(&mut copy)?;
    let mut sink = copy.sink;
    if copy.left > 0 {
        return Err(Failure::internal(format!("the half that is resumed has {} tiles more than the source", copy.left)));
    }
    reader.for_each_resource(&mut |name, bytes| {
        reading.go_on(bytes.len() as u64)?;
        sink.put_resource(name, bytes)
    })?;
    sink.finish()
}

/// Puts what is read.
struct Copy<'a> {
    sink: Box<dyn TileSink>,
    wanted: Resolved,
    reading: &'a Reading<'a>,
    /// How many tiles the sink has from an earlier call, and the last one of them.
    left: u64,
    last: Option<TileId>,
    /// Since the last checkpoint.
    tiles: u64,
    bytes: u64,
}

impl TileVisitor for Copy<'_> {
    fn wants(&mut self, place: TileId) -> Result<bool, Failure> {
        if self.reading.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        if !self.wanted.wants(place) {
            return Ok(false);
        }
        if self.left == 0 {
            return Ok(true);
        }
        self.left -= 1;
        if self.left == 0 && self.last != Some(place) {
            let message = format!("the half that is resumed ends with {:?}, the source has {place:?} there", self.last);
            return Err(Failure::internal(message));
        }
        Ok(false)
    }

    fn wants_some(&mut self, first: TileId, side: u64) -> Result<bool, Failure> {
        match self.reading.cancel.is_cancelled() {
            true => Err(Failure::cancelled()),
            false => Ok(self.wanted.wants_some(first, side)),
        }
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        self.sink.put(places, bytes)?;
        self.tiles += places.len() as u64;
        self.bytes += bytes.len() as u64;
        if self.tiles >= CHECKPOINT_TILES || self.bytes >= CHECKPOINT_BYTES {
            self.sink.checkpoint()?;
            (self.tiles, self.bytes) = (0, 0);
        }
        self.reading.go_on(bytes.len() as u64)
    }
}
