//! Opens the source, whatever it is.

use super::destination::{SQLITE, head, is_geopackage};
use super::endings::ending;
use offmap_formats::convert::open_reader;
use offmap_formats::features::FeatureReader;
use offmap_formats::geodatabase::Geodatabase;
use offmap_formats::geopackage::GeoPackage;
use offmap_formats::mbtiles::MbtilesReader;
use offmap_formats::tile_reader::TileReader;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::time::UNIX_EPOCH;
use tokio_util::sync::CancellationToken;

/// What can be read.
const READ: &str =
    ".tpkx, .vtpk, .tpk, .mbtiles, .pmtiles, .geodatabase, .gpkg, or a directory that is laid out like a tile package";

/// A file of features.
pub(super) struct FeatureFile {
    pub(super) reader: Box<dyn FeatureReader>,
    /// Layers that cannot be read, each with the reason.
    pub(super) refused: Vec<(String, String)>,
}

/// What a file holds.
pub(super) enum Source {
    Tiles(Box<dyn TileReader>),
    Features(FeatureFile),
}

fn unreadable(path: &Path, why: &str) -> Failure {
    let message = format!("{} {why}; can be read: {READ}", path.display());
    Failure::new(FailureOwner::Source, FailureKind::NotSupported, FailureStage::Check, message)
}

/// Opens a file or directory by its content.
pub(super) fn open(path: &Path, cancel: &CancellationToken) -> Result<Source, Failure> {
    let missing = |e: std::io::Error| Failure::invalid_parameter(format!("cannot read {}: {e}", path.display()));
    let metadata = std::fs::metadata(path).map_err(missing)?;
    if ending(path) == "mmpk" || metadata.is_dir() && path.join("package.info").exists() {
        return Err(unreadable(
            path,
            "is a mobile map package of several files; name one of those, or make a folder of it with --to open",
        ));
    }
    if metadata.is_dir() {
        return open_reader(path, cancel).map(Source::Tiles);
    }
    let head = head(path).map_err(missing)?;
    if is_geopackage(&head) {
        return geopackage(path, cancel);
    }
    if head.starts_with(SQLITE) {
        return sqlite(path, cancel);
    }
    match head.starts_with(b"PMTiles") || head.starts_with(b"PK") {
        true => open_reader(path, cancel).map(Source::Tiles),
        false => Err(unreadable(path, "is of no known format by its first bytes")),
    }
}

fn geopackage(path: &Path, cancel: &CancellationToken) -> Result<Source, Failure> {
    let reader = GeoPackage::open(path, cancel)?;
    match reader.layers().is_empty() {
        true => Err(unreadable(path, "is a GeoPackage without layers and tables of features")),
        false => Ok(Source::Features(FeatureFile { reader: Box::new(reader), refused: Vec::new() })),
    }
}

fn geodatabase(path: &Path, cancel: &CancellationToken) -> Result<Source, Failure> {
    let reader = Geodatabase::open(path, cancel)?;
    let refused: Vec<_> = reader.refused_layers().iter().map(|l| (l.name.clone(), l.reason.clone())).collect();
    match reader.layers().is_empty() && refused.is_empty() {
        true => Err(unreadable(path, "has no layers and tables of a geodatabase")),
        false => Ok(Source::Features(FeatureFile { reader: Box::new(reader), refused })),
    }
}

fn mbtiles(path: &Path, cancel: &CancellationToken) -> Result<Source, Failure> {
    Ok(Source::Tiles(Box::new(MbtilesReader::open(path, cancel)?)))
}

/// Opens a SQLite file that does not say whose it is: as its ending says, else by its tables.
fn sqlite(path: &Path, cancel: &CancellationToken) -> Result<Source, Failure> {
    type Open = fn(&Path, &CancellationToken) -> Result<Source, Failure>;
    let ending = ending(path);
    let order: [Open; 3] = match ending.as_str() {
        "mbtiles" => [mbtiles, geodatabase, geopackage],
        "gpkg" => [geopackage, geodatabase, mbtiles],
        _ => [geodatabase, mbtiles, geopackage],
    };
    let mut first = None;
    for open in order {
        match open(path, cancel) {
            Ok(source) => return Ok(source),
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => _ = first.get_or_insert(failure),
        }
    }
    match first.filter(|_| matches!(ending.as_str(), "mbtiles" | "gpkg" | "geodatabase")) {
        Some(failure) => Err(failure),
        None => Err(unreadable(path, "is a SQLite file without the tables of a known format")),
    }
}

/// Bytes of a file, or of all files below a directory.
pub(super) fn bytes(path: &Path) -> u64 {
    let mut total = 0;
    // What cannot be listed is not counted here, and named when it is read.
    let _ = for_each_file(path, &mut |_, metadata| total += metadata.len());
    total
}

/// What changes when a source does: sizes and times of its files.
pub(crate) fn state(path: &Path) -> Result<String, Failure> {
    let mut files = Vec::new();
    let listed = for_each_file(path, &mut |path, metadata| {
        let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        files.push((path.to_owned(), metadata.len(), changed.as_nanos()));
    });
    listed.map_err(|e| Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), &e))?;
    files.sort();
    let mut hasher = Sha256::new();
    for file in &files {
        hasher.update(format!("{file:?}\n"));
    }
    Ok(offmap_disk::hex(hasher.finalize()))
}

/// Visits a file, or all files below a directory; links are not followed.
fn for_each_file(path: &Path, visit: &mut dyn FnMut(&Path, &std::fs::Metadata)) -> std::io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_dir() {
        visit(path, &metadata);
        return Ok(());
    }
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata()? {
                metadata if metadata.is_dir() => folders.push(entry.path()),
                metadata => visit(&entry.path(), &metadata),
            }
        }
    }
    Ok(())
}
