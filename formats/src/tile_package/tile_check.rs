//! Every tile of a package, read: each must begin like a tile of its kind.

use super::contents;
use super::contents::TilePackage;
use super::kind::TilePackageKind;
use super::package_archive::{PackageArchive, corrupt, is_bundle};
use crate::compact_cache::{LARGEST_TILE, TileRecord, bundle_origin};
use crate::containers::{Contents, Counted, Damages, Reading};
use offmap_model::Failure;
use std::collections::HashSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Opens a package and reads every tile of it: each must begin like a tile of its kind. Answers the number of tiles. Blocks
/// until it is done or `cancel` is cancelled.
///
/// # Errors
/// As [`open`](super::open()); also if a tile is not what it should be.
pub fn check_tiles(path: &Path, cancel: &CancellationToken) -> Result<u64, Failure> {
    let (package, damages) = read_tiles(path, &Reading { cancel, report: &|_| {} })?;
    match damages.is_empty() {
        true => Ok(package.total()),
        false => Err(corrupt(path, damages.words())),
    }
}

/// What is in a package: its tiles, each read. One damaged tile or bundle does not hide the next. Blocks as [`check_tiles`] does.
pub(super) fn read_contents(path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
    let (package, damages) = read_tiles(path, reading)?;
    Ok(Contents { counted: Counted::Tiles(package.total()), damages, ..Contents::default() })
}

fn read_tiles(path: &Path, reading: &Reading<'_>) -> Result<(TilePackage, Damages), Failure> {
    let mut archive = PackageArchive::open(path)?;
    let mut damages = Damages::default();
    let mut unread = HashSet::new();
    let package = contents::read(&mut archive, &mut |name, what| {
        unread.insert(name.to_owned());
        damages.add(what);
        Ok(())
    })?;
    for name in archive.names().to_vec().iter().filter(|name| is_bundle(name) && !unread.contains(*name)) {
        let Some(origin) = bundle_origin(name) else { continue };
        match archive.bundle_tiles(name, origin, package.kind) {
            Ok(tiles) => check_bundle(&mut archive, (name, package.kind), tiles, reading, &mut damages)?,
            Err(what) => damages.add(what),
        }
    }
    Ok((package, damages))
}

/// Reads the tiles of a bundle; those that are none are damages.
fn check_bundle(
    archive: &mut PackageArchive,
    (name, kind): (&str, TilePackageKind),
    mut tiles: Vec<TileRecord>,
    reading: &Reading<'_>,
    damages: &mut Damages,
) -> Result<(), Failure> {
    // In the order of the bytes, as a compressed bundle is read; tiles that share their bytes are read once.
    tiles.sort_unstable_by_key(|t| (t.offset, t.size, t.row, t.column));
    let mut bundle = match archive.open_bundle(name) {
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
            // No more than the index of a bundle can say: 16 MiB.
            bytes.resize(usize::try_from(tile.size).unwrap_or(usize::MAX).min(LARGEST_TILE as usize), 0);
            let read = bundle.seek(SeekFrom::Start(tile.offset));
            if let Err(error) = read.and_then(|_| bundle.read_exact(&mut bytes)) {
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

/// Whether bytes begin like a tile: gzip for vector tiles, PNG, JPEG or LERC for raster tiles.
fn is_tile(bytes: &[u8], kind: TilePackageKind) -> bool {
    let begins: &[&[u8]] = match kind {
        TilePackageKind::Vtpk => &[b"\x1f\x8b"],
        TilePackageKind::Tpk | TilePackageKind::Tpkx => &[b"\x89PNG", b"\xff\xd8\xff", b"Lerc2", b"CntZImage"],
    };
    begins.iter().any(|magic| bytes.starts_with(magic))
}
