//! Sets of tiles, and how they are written and read.

use offmap_formats::containers::Reading;
use offmap_formats::convert::{self, TileSelection};
use offmap_formats::tiles::{tile_of_id, web_mercator_scheme};
use offmap_formats::{Finished, TileFormat, TileId, TileReader, TileSetInfo, TileSink, TileVisitor};
use offmap_model::Failure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

pub(crate) type Tiles = BTreeMap<TileId, Vec<u8>>;

/// A file that lies with the tests.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A sample that is not in the repository; says so where it is not there.
pub(crate) fn sample(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/tiles").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[derive(Default)]
struct Collect {
    tiles: Tiles,
    asked: Vec<TileId>,
}

impl TileVisitor for Collect {
    fn wants(&mut self, place: TileId) -> Result<bool, Failure> {
        self.asked.push(place);
        Ok(true)
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        for place in places {
            assert!(self.tiles.insert(*place, bytes.to_vec()).is_none(), "{place:?} comes once");
        }
        Ok(())
    }
}

pub(crate) fn open(path: &Path) -> Box<dyn TileReader> {
    convert::open_reader(path, &CancellationToken::new()).expect("opens")
}

/// All tiles, and the places in the order in which they came.
pub(crate) fn read_in_order(path: &Path) -> (Tiles, Vec<TileId>) {
    let mut all = Collect::default();
    open(path).for_each_tile(&mut all).expect("reads");
    assert_eq!(all.tiles.len(), all.asked.len(), "what is wanted is given");
    (all.tiles, all.asked)
}

pub(crate) fn read(path: &Path) -> Tiles {
    read_in_order(path).0
}

/// Opens and reads, whatever comes of it.
pub(crate) fn try_read(path: &Path) -> Result<Tiles, Failure> {
    let mut all = Collect::default();
    convert::open_reader(path, &CancellationToken::new())?.for_each_tile(&mut all)?;
    Ok(all.tiles)
}

pub(crate) fn try_convert(from: &Path, to: &Path, selection: &TileSelection) -> Result<Finished, Failure> {
    let cancel = CancellationToken::new();
    let mut reader = convert::open_reader(from, &cancel)?;
    let sink = convert::open_sink(to, &selection.describe(reader.info()))?;
    convert::tiles(reader.as_mut(), sink, selection, &Reading { cancel: &cancel, report: &|_| {} })
}

pub(crate) fn convert(from: &Path, to: &Path) -> Finished {
    try_convert(from, to, &TileSelection::default()).expect("converts")
}

/// PNG tiles of all zooms up to one, in order: a good part of them the same sea, by runs and by single tiles.
pub(crate) fn pyramid(last: u8) -> (TileSetInfo, Vec<(TileId, Vec<u8>)>) {
    let info = TileSetInfo::new(web_mercator_scheme(256, 23), TileFormat::Png);
    let count = ((1_u64 << (2 * (u32::from(last) + 1))) - 1) / 3;
    let tile = |id: u64| {
        let (zoom, column, row) = tile_of_id(id).expect("a tile");
        let place = TileId { level: u32::from(zoom), row: row.into(), column: column.into() };
        let n = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bytes = match id % 100 {
            0..20 => b"\x89PNG sea".to_vec(),
            20 => b"\x89PNG ice".to_vec(),
            _ => [b"\x89PNG".as_slice(), &n.to_le_bytes(), &vec![n as u8; (n >> 58) as usize]].concat(),
        };
        (place, bytes)
    };
    (info, (0..count).map(tile).collect())
}

/// Writes tiles into a new file.
pub(crate) fn write(to: &Path, info: &TileSetInfo, tiles: &[(TileId, Vec<u8>)]) -> Finished {
    let mut sink = convert::open_sink(to, info).expect("opens");
    tiles.iter().for_each(|(place, bytes)| sink.put(&[*place], bytes).expect("puts"));
    sink.finish().expect("finishes")
}

/// What is in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).expect("lists").map(|e| e.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A sink, opened.
pub(crate) fn sink(to: &Path, info: &TileSetInfo) -> Box<dyn TileSink> {
    convert::open_sink(to, info).expect("opens")
}
