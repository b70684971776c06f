//! What is in a tile package, by its description and the indexes of its bundles: tiles counted level by level, none of them read.

use super::kind::TilePackageKind;
use super::package_archive::{PackageArchive, bundle_place, corrupt, is_bundle};
use super::tilemap;
use super::tilemap::TILEMAP;
use crate::compact_cache::PACKET_SIZE;
use crate::tiles::TileRows;
use offmap_model::Failure;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What is in a package.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TilePackage {
    /// Which kind it is.
    pub kind: TilePackageKind,
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

/// Opens a package and counts its tiles. Blocks.
///
/// # Errors
/// If it is not a zip, not a tile package, its structure is damaged, an entry is compressed where readers want it stored (an old
/// package may be deflated), or a bundle is damaged or there twice.
///
/// ```no_run
/// use offmap_formats::tile_package::{self, TilePackageKind};
///
/// let package = tile_package::open("imagery.tpkx".as_ref())?;
/// assert_eq!(package.kind, TilePackageKind::Tpkx);
/// for (level, tiles) in &package.tiles {
///     println!("level {level}: {tiles} tiles");
/// }
/// # Ok::<(), offmap_model::Failure>(())
/// ```
pub fn open(path: &Path) -> Result<TilePackage, Failure> {
    read(&mut PackageArchive::open(path)?, &mut |_, what| Err(corrupt(path, what)))
}

/// Told of a damage of a bundle, by the bundle's name; answers whether to go on.
pub(super) type OnDamage<'a> = &'a mut dyn FnMut(&str, String) -> Result<(), Failure>;

/// Reads the description and the index of every bundle.
pub(super) fn read(archive: &mut PackageArchive, on_damage: OnDamage<'_>) -> Result<TilePackage, Failure> {
    let kind = archive.kind()?;
    let root = kind.root().map_or(Ok(Value::Null), |root| archive.read_json(root))?;
    let promised = match kind == TilePackageKind::Vtpk && archive.has(TILEMAP) {
        true => Some(tilemap::tiles(&archive.read_json(TILEMAP)?).map_err(|what| archive.corrupt(what))?),
        false => None,
    };
    let mut package = TilePackage { kind, tiles: BTreeMap::new(), root, stored: BTreeMap::new(), promised };
    let mut blocks = HashSet::new();
    for name in archive.names().to_vec().iter().filter(|name| is_bundle(name)) {
        let Some(place) = bundle_place(name) else {
            on_damage(name, format!("bundle `{name}` has no level or position in its name"))?;
            continue;
        };
        if !blocks.insert((place.level, place.origin.0 / PACKET_SIZE, place.origin.1 / PACKET_SIZE)) {
            on_damage(name, format!("the tiles of bundle `{name}` are there twice"))?;
            continue;
        }
        let tiles = match archive.bundle_tiles(name, place.origin, kind) {
            Ok(tiles) => tiles,
            Err(what) => {
                on_damage(name, what)?;
                continue;
            }
        };
        *package.tiles.entry(place.level).or_default() += tiles.len() as u64;
        let stored = package.stored.entry(place.level).or_default();
        tiles.iter().for_each(|t| stored.add(t.row, t.column));
    }
    package.stored = package.stored.into_iter().map(|(level, rows)| (level, rows.coalesce())).collect();
    Ok(package)
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
        assert_eq!(package.kind, TilePackageKind::Tpk);
        assert_eq!(package.tiles.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(package.tiles.get(&0), Some(&1));
        assert!(package.total() > 20, "{package:?}");
    }
}
