//! Tile packages that came home: opened, checked, their tiles counted level by level.
//!
//! Source: tile reference §12 to §15.

use crate::compact_cache::{PACKET_SIZE, TileRecord, bundle_origin, read_v1, read_v2};
use crate::containers::{Contents, Counted, Damages, Reading};
use crate::packed_entry;
use crate::packed_entry::Forward;
use crate::tile_cover::TileRows;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use tokio_util::sync::CancellationToken;
use zip::CompressionMethod;
use zip::result::ZipError;

/// Largest JSON entry that is read, and memory that it may need, in bytes.
const LARGEST_JSON: u64 = 64 << 20;
const JSON_MEMORY: u64 = 256 << 20;

/// Levels of the deepest tilemap that is read: rows and columns keep within 32 bits.
const DEEPEST: u32 = 31;

/// What is in a package.
#[derive(Debug, Clone, PartialEq)]
pub struct TilePackage {
    /// `tpkx`, `tpk` or `vtpk`.
    pub kind: &'static str,
    /// Level → number of tiles. The level is the folder's number.
    pub tiles: BTreeMap<u32, u64>,
    /// `root.json` of a `.tpkx` or `.vtpk`.
    pub root: Value,
    /// Which tiles there are, level by level.
    pub stored: BTreeMap<u32, TileRows>,
    /// Tiles that a vector package's tilemap promises, where it has one.
    pub promised: Option<BTreeMap<u32, TileRows>>,
}

impl TilePackage {
    /// Tiles that a vector package's own index promises, level by level, where it has one.
    #[must_use]
    pub fn indexed(&self) -> Option<BTreeMap<u32, u64>> {
        Some(self.promised.as_ref()?.iter().map(|(level, rows)| (*level, rows.tiles())).collect())
    }

    /// Tiles of all levels.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.tiles.values().sum()
    }
}

pub(crate) fn corrupt(path: &Path, words: impl std::fmt::Display) -> Failure {
    let message = format!("{} is damaged: {words}", path.file_name().unwrap_or_default().display());
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

pub(crate) use crate::archive::Archive;

/// Opens the archive of a package and checks its structure. Blocks.
pub(crate) fn archive(path: &Path) -> Result<Archive, Failure> {
    crate::archive::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::Other => {
            corrupt(path, format!("no zip that can be trusted: {e}"))
        }
        _ => Failure::io(FailureStage::Check, format!("cannot open {}", path.display()), &e),
    })
}

/// Opens a package and counts its tiles. Blocks.
///
/// # Errors
/// If it is not a zip, not a tile package, its structure is damaged, an entry is compressed where readers want it stored (an old
/// package may be deflated), or a bundle is damaged or there twice.
pub fn open(path: &Path) -> Result<TilePackage, Failure> {
    read(path, &mut archive(path)?, &mut |_, words| Err(corrupt(path, words)))
}

/// Takes a damage of a bundle in words, by the bundle's name; answers whether to go on.
type OnDamage<'a> = &'a mut dyn FnMut(&str, String) -> Result<(), Failure>;

fn read(path: &Path, archive: &mut Archive, on_damage: OnDamage<'_>) -> Result<TilePackage, Failure> {
    let mut names = Vec::new();
    let mut packing = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_data(i).map_err(|e| corrupt(path, e))?;
        let name = entry.name().map_err(|e| corrupt(path, e))?.into_owned();
        packing.push((entry.compression(), entry.size()));
        names.push(name);
    }
    let has = |name: &str| names.iter().any(|n| n == name);
    let may_be_packed = !has("p12/root.json") && !has("root.json");
    for (name, (method, size)) in names.iter().zip(packing).filter(|(name, _)| packed_entry::is_read(name)) {
        packed_entry::check(path, name, method, size, may_be_packed)?;
    }
    let mut package = if has("p12/root.json") {
        let root = read_json(path, archive, "p12/root.json")?;
        let promised = match has("p12/tilemap/root.json") {
            true => Some(tilemap_nodes(path, &read_json(path, archive, "p12/tilemap/root.json")?)?),
            false => None,
        };
        TilePackage { kind: "vtpk", tiles: BTreeMap::new(), root, stored: BTreeMap::new(), promised }
    } else if has("root.json") {
        let root = read_json(path, archive, "root.json")?;
        TilePackage { kind: "tpkx", tiles: BTreeMap::new(), root, stored: BTreeMap::new(), promised: None }
    } else if names.iter().any(|n| n.to_ascii_lowercase().ends_with("/conf.xml")) {
        TilePackage { kind: "tpk", tiles: BTreeMap::new(), root: Value::Null, stored: BTreeMap::new(), promised: None }
    } else {
        return Err(corrupt(path, "neither root.json nor conf.xml is in it, so it is no tile package"));
    };
    let mut blocks = HashSet::new();
    for name in names.iter().filter(|n| n.ends_with(".bundle")) {
        let level = name.rsplit('/').nth(1).and_then(|l| l.strip_prefix(['L', 'l'])).and_then(|l| l.parse::<u32>().ok());
        let (Some(level), Some(origin)) = (level, bundle_origin(name)) else {
            on_damage(name, format!("bundle `{name}` has no level or position in its name"))?;
            continue;
        };
        if !blocks.insert((level, origin.0 / PACKET_SIZE, origin.1 / PACKET_SIZE)) {
            on_damage(name, format!("the tiles of bundle `{name}` are there twice"))?;
            continue;
        }
        let tiles = match bundle_tiles(archive, name, origin, package.kind) {
            Ok(tiles) => tiles,
            Err(words) => {
                on_damage(name, words)?;
                continue;
            }
        };
        *package.tiles.entry(level).or_default() += tiles.len() as u64;
        let stored = package.stored.entry(level).or_default();
        tiles.iter().for_each(|t| stored.add(t.row, t.column));
    }
    package.stored = coalesce(package.stored);
    Ok(package)
}

/// Opens a package and reads every tile of it: each must begin like a tile of its kind. Answers the number of tiles. Blocks
/// until it is done or `cancel` is cancelled.
///
/// # Errors
/// As [`open`]; also if a tile is not what it should be.
pub fn check_tiles(path: &Path, cancel: &CancellationToken) -> Result<u64, Failure> {
    let (package, damages) = read_tiles(path, &Reading { cancel, report: &|_| {} })?;
    match damages.is_empty() {
        true => Ok(package.total()),
        false => Err(corrupt(path, damages.words())),
    }
}

/// What is in a package: its tiles, each read. One damaged tile or bundle does not hide the next. Blocks as [`check_tiles`] does.
pub(crate) fn contents(path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
    let (package, damages) = read_tiles(path, reading)?;
    Ok(Contents { counted: Counted::Tiles(package.total()), damages, ..Contents::default() })
}

fn read_tiles(path: &Path, reading: &Reading<'_>) -> Result<(TilePackage, Damages), Failure> {
    let mut archive = archive(path)?;
    let mut damages = Damages::default();
    let mut unread = HashSet::new();
    let package = read(path, &mut archive, &mut |name, words| {
        unread.insert(name.to_owned());
        damages.add(words);
        Ok(())
    })?;
    let mut names = Vec::new();
    for name in archive.file_names() {
        names.push(name.map_err(|e| corrupt(path, e))?.into_owned());
    }
    for name in names.iter().filter(|n| n.ends_with(".bundle") && !unread.contains(*n)) {
        let Some(origin) = bundle_origin(name) else { continue };
        match bundle_tiles(&mut archive, name, origin, package.kind) {
            Ok(tiles) => check_bundle(&mut archive, (name, package.kind), tiles, reading, &mut damages)?,
            Err(words) => damages.add(words),
        }
    }
    Ok((package, damages))
}

/// Reads the tiles of a bundle; those that are none are damages.
fn check_bundle(
    archive: &mut Archive,
    (name, kind): (&str, &str),
    mut tiles: Vec<TileRecord>,
    reading: &Reading<'_>,
    damages: &mut Damages,
) -> Result<(), Failure> {
    // In the order of the bytes, as a compressed bundle is read; tiles that share their bytes are read once.
    tiles.sort_unstable_by_key(|t| (t.offset, t.size, t.row, t.column));
    let mut bundle = match open_bundle(archive, name) {
        Ok(bundle) => bundle,
        Err(error) => {
            damages.add(format!("{name}: {error}"));
            return Ok(());
        }
    };
    let mut bytes = Vec::new();
    let mut at = None;
    for tile in tiles {
        if at != Some((tile.offset, tile.size)) {
            reading.go_on(tile.size)?;
            bytes.clear();
            let read = bundle.seek(SeekFrom::Start(tile.offset));
            if let Err(error) = read.and_then(|_| bundle.by_ref().take(tile.size).read_to_end(&mut bytes)) {
                // What comes behind it in the bundle cannot be read either.
                damages.add(format!("{name}: {error}"));
                return Ok(());
            }
            at = Some((tile.offset, tile.size));
        }
        if !is_tile(&bytes, kind) {
            damages.add(format!("tile {}/{} of {name} is no tile", tile.row, tile.column));
        }
    }
    Ok(())
}

/// A bundle's bytes: any place of a stored one, a compressed one from its start to its end.
fn open_bundle<'a>(archive: &'a mut Archive, name: &str) -> Result<Box<dyn ReadSeek + 'a>, ZipError> {
    let (method, size) = {
        let entry = archive.by_name(name)?;
        (entry.compression(), entry.size())
    };
    Ok(match method {
        CompressionMethod::Stored => Box::new(archive.by_name_seek(name)?),
        _ => Box::new(Forward::new(archive.by_name(name)?, size)),
    })
}

trait ReadSeek: std::io::Read + std::io::Seek {}
impl<T: std::io::Read + std::io::Seek> ReadSeek for T {}

/// Whether bytes begin like a tile: gzip for vector tiles, PNG, JPEG or LERC for raster tiles.
fn is_tile(bytes: &[u8], kind: &str) -> bool {
    let begins = |words: &[&[u8]]| words.iter().any(|w| bytes.starts_with(w));
    match kind {
        "vtpk" => begins(&[b"\x1f\x8b"]),
        _ => begins(&[b"\x89PNG", b"\xff\xd8\xff", b"Lerc2", b"CntZImage"]),
    }
}

pub(crate) fn read_bundle(
    path: &Path,
    archive: &mut Archive,
    name: &str,
    origin: (u64, u64),
    kind: &str,
) -> Result<Vec<TileRecord>, Failure> {
    bundle_tiles(archive, name, origin, kind).map_err(|words| corrupt(path, words))
}

/// The tiles that the index of a bundle names; what is wrong with it in words.
fn bundle_tiles(archive: &mut Archive, name: &str, origin: (u64, u64), kind: &str) -> Result<Vec<TileRecord>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{name}: {e}");
    if kind != "tpk" {
        let entry = archive.by_name(name).map_err(|e| failed(&e))?;
        let size = entry.size();
        return read_v2(entry, size, origin).map_err(|e| failed(&e));
    }
    let index_name = format!("{}bundlx", name.strip_suffix("bundle").unwrap_or(name));
    let mut index = Vec::new();
    archive.by_name(&index_name).map_err(|e| failed(&e))?.take(1 << 20).read_to_end(&mut index).map_err(|e| failed(&e))?;
    let size = archive.by_name(name).map_err(|e| failed(&e))?.size();
    let bundle = open_bundle(archive, name).map_err(|e| failed(&e))?;
    read_v1(index.as_slice(), bundle, size, origin).map_err(|e| failed(&e))
}

pub(crate) fn read_json(path: &Path, archive: &mut Archive, name: &str) -> Result<Value, Failure> {
    let entry = archive.by_name(name).map_err(|e| corrupt(path, format!("{name}: {e}")))?;
    if entry.size() > LARGEST_JSON {
        return Err(corrupt(path, format!("{name} has {} bytes, expected at most {LARGEST_JSON}", entry.size())));
    }
    let mut bytes = Vec::new();
    entry.take(LARGEST_JSON).read_to_end(&mut bytes).map_err(|e| corrupt(path, format!("{name}: {e}")))?;
    offmap_model::json::read(&bytes, JSON_MEMORY).map_err(|e| corrupt(path, format!("{name}: {e}")))
}

fn coalesce(levels: BTreeMap<u32, TileRows>) -> BTreeMap<u32, TileRows> {
    levels.into_iter().map(|(level, rows)| (level, rows.coalesce())).collect()
}

/// The tiles of a tilemap: an array is a tile that goes on with its four children (upper left, upper right, lower left, lower
/// right), 1 a tile that ends, 0 none.
fn tilemap_nodes(path: &Path, tilemap: &Value) -> Result<BTreeMap<u32, TileRows>, Failure> {
    let Some(index) = tilemap.get("index") else {
        return Err(corrupt(path, "tilemap/root.json has no `index`"));
    };
    let mut levels: BTreeMap<u32, TileRows> = BTreeMap::new();
    let mut todo = vec![(0_u32, 0_u64, 0_u64, index)];
    while let Some((level, row, column, node)) = todo.pop() {
        match node {
            Value::Array(children) if children.len() == 4 && level < DEEPEST => {
                let child = |(k, node): (u64, _)| (level + 1, 2 * row + k / 2, 2 * column + k % 2, node);
                todo.extend((0..).zip(children).map(child));
            }
            Value::Array(children) => {
                let words = format!(
                    "tilemap/root.json has a node of {} children on level {level}, expected 4 and at most {DEEPEST} levels",
                    children.len()
                );
                return Err(corrupt(path, words));
            }
            number => match offmap_model::number::read::<u64>(number) {
                Some(0) => continue,
                Some(_) => {}
                None => return Err(corrupt(path, "tilemap/root.json has something else than numbers and lists in it")),
            },
        }
        levels.entry(level).or_default().add(row, column);
    }
    Ok(coalesce(levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiles_of_a_real_old_package_are_counted() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/tiles/packages/states_filled.tpk");
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            return;
        }
        let package = open(&path).expect("opens");
        assert_eq!(package.kind, "tpk");
        assert_eq!(package.tiles.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(package.tiles.get(&0), Some(&1));
        assert!(package.total() > 20, "{package:?}");
    }

    #[test]
    fn a_tilemap_is_counted_level_by_level() {
        let tilemap = serde_json::json!({"index": [0, 1, [1, 0, 0, 0], 0]});
        let levels = tilemap_nodes(Path::new("x"), &tilemap).expect("reads");
        let tiles = levels.iter().map(|(level, rows)| (*level, rows.each().collect::<Vec<_>>()));
        let expected = [(0, vec![(0, 0)]), (1, vec![(0, 1), (1, 0)]), (2, vec![(2, 0)])];
        assert_eq!(tiles.collect::<Vec<_>>(), expected);
        for bad in [serde_json::json!({"index": [0, 1]}), serde_json::json!({"index": "x"}), serde_json::json!({})] {
            assert!(tilemap_nodes(Path::new("x"), &bad).is_err(), "{bad}");
        }
    }
}
