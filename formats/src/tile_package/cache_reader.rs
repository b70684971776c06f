//! Reads every tile of a cache, whatever program made it: bundle by bundle along the curve, in each bundle along the curve.

use super::cache_files::{CacheFiles, is_conf};
use super::cache_info;
use super::kind::TilePackageKind;
use super::package_archive::{bundle_place, is_bundle};
use crate::compact_cache::{PACKET_SIZE, TileRecord};
use crate::sinks::TileId;
use crate::tile_reader::{OnResource, SharedPlaces, TileReader, TileVisitor};
use crate::tile_set::TileSetInfo;
use crate::tiles::TileOrder;
use offmap_model::{Failure, json};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{Read as _, SeekFrom};
use std::path::Path;

/// Bytes of a JSON document and memory that it may need, bytes of an XML document, bytes of a resource.
const LARGEST_JSON: u64 = 64 << 20;
const JSON_MEMORY: u64 = 256 << 20;
const LARGEST_XML: u64 = 4 << 20;
const LARGEST_RESOURCE: u64 = 64 << 20;
const RESOURCES: &str = "p12/resources/";
/// Lists the resources; who writes another package lists its own.
const RESOURCE_LIST: &str = "info/root.json";

/// A bundle, and where it comes in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bundle {
    rank: (bool, u32),
    position: u64,
    level: u32,
    origin: (u64, u64),
    name: String,
}

/// Reads tile packages of all kinds (`.tpkx`, `.vtpk`, `.tpk`), and directories that are laid out like one, such as a cache with its
/// `conf.xml`. Old packages may be deflated.
///
/// It holds the names of the bundles and the index of one.
pub struct TileCacheReader {
    files: CacheFiles,
    kind: TilePackageKind,
    info: TileSetInfo,
    order: TileOrder,
    bundles: Vec<Bundle>,
}

impl std::fmt::Debug for TileCacheReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TileCacheReader")
            .field("kind", &self.kind)
            .field("bundles", &self.bundles.len())
            .finish_non_exhaustive()
    }
}

impl TileCacheReader {
    /// Opens a package or a directory, and reads its description. Blocks.
    ///
    /// # Errors
    /// If it is no cache, its description cannot be read, or a bundle is named wrongly or there twice.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let mut files = CacheFiles::open(path)?;
        let kind = files.kind()?;
        let (mut info, below) = match kind {
            TilePackageKind::Tpk => of_conf(&mut files)?,
            _ => (of_root(&mut files, kind)?, String::new()),
        };
        let order = TileOrder::of(&info.scheme);
        let mut bundles = Vec::new();
        let mut seen = HashSet::new();
        for name in files.names().iter().filter(|name| is_bundle(name) && name.starts_with(&below)) {
            let place = bundle_place(name).filter(|p| p.origin.0 % PACKET_SIZE == 0 && p.origin.1 % PACKET_SIZE == 0);
            let Some(place) = place else {
                return Err(files.damaged(format!("bundle `{name}` has no level or position in its name")));
            };
            if !seen.insert((place.level, place.origin)) {
                return Err(files.damaged(format!("the tiles of bundle `{name}` are there twice")));
            }
            let (row, column) = place.origin;
            // All tiles of a bundle share what is above their last 14 bits.
            let position = order.position(place.level, column, row) >> 14;
            let bundle = Bundle {
                rank: order.rank(place.level),
                position,
                level: place.level,
                origin: place.origin,
                name: name.clone(),
            };
            bundles.push(bundle);
        }
        bundles.sort_unstable();
        let levels = || bundles.iter().map(|b| b.level);
        info.levels = levels().min().zip(levels().max());
        Ok(Self { files, kind, info, order, bundles })
    }

    /// Which kind of package it is laid out like.
    #[must_use]
    pub fn kind(&self) -> TilePackageKind {
        self.kind
    }
}

fn read_json(files: &mut CacheFiles, name: &str) -> Result<Value, Failure> {
    let bytes = files.document(name, LARGEST_JSON)?;
    json::read(&bytes, JSON_MEMORY).map_err(|what| files.damaged(format!("{name}: {what}")))
}

fn of_root(files: &mut CacheFiles, kind: TilePackageKind) -> Result<TileSetInfo, Failure> {
    let root = read_json(files, kind.root().unwrap_or_default())?;
    let is_vector = kind == TilePackageKind::Vtpk;
    let metadata = match is_vector && files.has("p12/metadata.json") {
        // It says nothing that the tiles need.
        true => read_json(files, "p12/metadata.json").ok(),
        false => None,
    };
    cache_info::of_root(&root, is_vector, metadata.as_ref()).map_err(|what| files.damaged(what))
}

/// Of the first description that has bundles below it; answers as well below what.
fn of_conf(files: &mut CacheFiles) -> Result<(TileSetInfo, String), Failure> {
    let mut confs: Vec<String> = files.names().iter().filter(|name| is_conf(name)).cloned().collect();
    confs.sort_by_key(|name| (name.matches('/').count(), name.clone()));
    let folder = |name: &str| name.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"));
    let has_bundles = |name: &&String| files.names().iter().any(|n| is_bundle(n) && n.starts_with(&folder(name)));
    let conf = confs.iter().find(has_bundles).or(confs.first()).cloned();
    let conf = conf.ok_or_else(|| files.damaged("no conf.xml is in it"))?;
    let below = folder(&conf);
    let cdi = files.names().iter().find(|name| name.eq_ignore_ascii_case(&format!("{below}conf.cdi"))).cloned();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let extent = cdi.map(|cdi| files.document(&cdi, LARGEST_XML)).transpose()?.map(text);
    let xml = text(files.document(&conf, LARGEST_XML)?);
    let info = cache_info::of_conf(&xml, extent.as_deref());
    Ok((info.map_err(|what| files.damaged(what))?, below))
}

impl TileReader for TileCacheReader {
    fn info(&self) -> &TileSetInfo {
        &self.info
    }

    fn for_each_tile(&mut self, visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        let Self { files, order, bundles, .. } = self;
        let mut bytes = Vec::new();
        for Bundle { level, origin, name, .. } in bundles.iter() {
            let broken = files.damaged(format!("{name} ends before its tiles do"));
            let (mut records, mut bundle) = files.records(name, *origin)?;
            records.sort_by_cached_key(|r| order.position(*level, r.column, r.row));
            let mut shared = SharedPlaces::default();
            let mut held = None;
            for TileRecord { row, column, offset, size } in records {
                let place = TileId { level: *level, row, column };
                if !visitor.wants(place)? {
                    continue;
                }
                if held != Some((offset, size)) {
                    shared.give(&bytes, visitor)?;
                    bytes.clear();
                    let read = bundle
                        .seek(SeekFrom::Start(offset))
                        .and_then(|_| bundle.by_ref().take(size).read_to_end(&mut bytes));
                    if read.ok() != usize::try_from(size).ok() {
                        return Err(broken);
                    }
                    held = Some((offset, size));
                }
                shared.add(place, &bytes, visitor)?;
            }
            shared.give(&bytes, visitor)?;
        }
        Ok(())
    }

    fn for_each_resource(&mut self, visit: OnResource<'_>) -> Result<(), Failure> {
        if self.kind != TilePackageKind::Vtpk {
            return Ok(());
        }
        let mut names: Vec<String> = self.files.names().to_vec();
        names.sort_unstable();
        for name in names.iter().filter(|name| !name.ends_with('/')) {
            let Some(short) = name.strip_prefix(RESOURCES).filter(|short| *short != RESOURCE_LIST) else { continue };
            let bytes = self.files.document(name, LARGEST_RESOURCE)?;
            visit(short, &bytes)?;
        }
        Ok(())
    }
}
