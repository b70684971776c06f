//! The archive of a tile package: the one place that knows where its description, its bundles and its documents are.

use super::kind::TilePackageKind;
use super::packed_entry;
use super::packed_entry::Forward;
use crate::archive;
use crate::archive::Archive;
use crate::compact_cache::{TileRecord, bundle_origin, read_v1, read_v2};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::fmt::Display;
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use zip::CompressionMethod;
use zip::read::ZipFile;
use zip::result::ZipError;

/// Largest JSON entry that is read, and memory that it may need, in bytes.
const LARGEST_JSON: u64 = 64 << 20;
const JSON_MEMORY: u64 = 256 << 20;
/// Bytes of the index of a version 1 bundle that are read.
const LARGEST_INDEX: u64 = 1 << 20;

/// A package whose archive was opened and checked.
#[derive(Debug)]
pub(super) struct PackageArchive {
    path: PathBuf,
    archive: Archive,
    names: Vec<String>,
}

/// Where the tiles of a bundle belong, out of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BundlePlace {
    /// The level, which is the folder's number.
    pub(super) level: u32,
    /// Row and column of its first tile.
    pub(super) origin: (u64, u64),
}

/// A reader that can seek.
pub(super) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// A package whose content is not what it must be.
pub(super) fn corrupt(path: &Path, what: impl Display) -> Failure {
    let message = format!("{} is damaged: {what}", path.file_name().unwrap_or_default().display());
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

/// Whether an entry is a bundle of tiles.
pub(super) fn is_bundle(name: &str) -> bool {
    name.ends_with(".bundle")
}

/// Level and place of a bundle, out of its name; `None` where the name has none.
pub(super) fn bundle_place(name: &str) -> Option<BundlePlace> {
    let level = name.rsplit('/').nth(1).and_then(|l| l.strip_prefix(['L', 'l'])).and_then(|l| l.parse().ok())?;
    Some(BundlePlace { level, origin: bundle_origin(name)? })
}

impl PackageArchive {
    /// Opens a package and checks the structure of its archive. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let archive = archive::open(path).map_err(|e| match e.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::Other => {
                corrupt(path, format!("no zip that can be trusted: {e}"))
            }
            _ => Failure::io(FailureStage::Check, format!("cannot open {}", path.display()), &e),
        })?;
        let names = archive.file_names().map(|name| name.map(|n| n.into_owned())).collect::<Result<_, _>>();
        let names = names.map_err(|e: ZipError| corrupt(path, e))?;
        Ok(Self { path: path.to_owned(), archive, names })
    }

    /// The names of its entries, in the order of its directory.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is an entry of a name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// A damage of this package.
    pub(super) fn corrupt(&self, what: impl Display) -> Failure {
        corrupt(&self.path, what)
    }

    /// What kind of package it is, by its description; `None` for one that has none in JSON.
    fn kind_by_root(&self) -> Option<TilePackageKind> {
        [TilePackageKind::Vtpk, TilePackageKind::Tpkx].into_iter().find(|k| k.root().is_some_and(|root| self.has(root)))
    }

    /// What kind of package it is. Checks as well that the entries that are read are packed as readers of that kind want them.
    pub(super) fn kind(&mut self) -> Result<TilePackageKind, Failure> {
        let by_root = self.kind_by_root();
        self.check_packing(by_root.is_none())?;
        let is_old = |name: &String| name.to_ascii_lowercase().ends_with("/conf.xml");
        by_root
            .or_else(|| self.names.iter().any(is_old).then_some(TilePackageKind::Tpk))
            .ok_or_else(|| self.corrupt("neither root.json nor conf.xml is in it, so it is no tile package"))
    }

    fn check_packing(&mut self, may_be_packed: bool) -> Result<(), Failure> {
        for index in 0..self.archive.len() {
            let entry = self.archive.by_index_data(index).map_err(|e| corrupt(&self.path, e))?;
            let name = entry.name().map_err(|e| corrupt(&self.path, e))?;
            if packed_entry::is_read(&name) {
                packed_entry::check(&self.path, &name, entry.compression(), entry.size(), may_be_packed)?;
            }
        }
        Ok(())
    }

    /// An entry, inflated where it is compressed.
    pub(super) fn entry(&mut self, name: &str) -> Result<ZipFile<'_, archive::Source>, Failure> {
        let path = &self.path;
        self.archive.by_name(name).map_err(|e| corrupt(path, format!("{name}: {e}")))
    }

    /// A document of the package, whatever program wrote it.
    pub(super) fn read_json(&mut self, name: &str) -> Result<Value, Failure> {
        let path = self.path.clone();
        let failed = |what: &dyn Display| corrupt(&path, format!("{name}: {what}"));
        let entry = self.entry(name)?;
        if entry.size() > LARGEST_JSON {
            return Err(corrupt(&path, format!("{name} has {} bytes, expected at most {LARGEST_JSON}", entry.size())));
        }
        let mut bytes = Vec::new();
        entry.take(LARGEST_JSON).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        offmap_model::json::read(&bytes, JSON_MEMORY).map_err(|e| failed(&e))
    }

    /// The bytes of a bundle that is stored, at any place.
    pub(super) fn stored_bundle(&mut self, name: &str) -> Result<impl Read + Seek, ZipError> {
        self.archive.by_name_seek(name)
    }

    /// The bytes of a bundle: any place of a stored one, a compressed one from its start to its end.
    pub(super) fn open_bundle(&mut self, name: &str) -> Result<Box<dyn ReadSeek + '_>, ZipError> {
        let (method, size) = {
            let entry = self.archive.by_name(name)?;
            (entry.compression(), entry.size())
        };
        Ok(match method {
            CompressionMethod::Stored => Box::new(self.archive.by_name_seek(name)?),
            _ => Box::new(Forward::new(self.archive.by_name(name)?, size)),
        })
    }

    /// The tiles that the index of a bundle names; what is wrong with it in words.
    pub(super) fn bundle_tiles(
        &mut self,
        name: &str,
        origin: (u64, u64),
        kind: TilePackageKind,
    ) -> Result<Vec<TileRecord>, String> {
        let failed = |e: &dyn Display| format!("{name}: {e}");
        let archive = &mut self.archive;
        if kind != TilePackageKind::Tpk {
            let entry = archive.by_name(name).map_err(|e| failed(&e))?;
            let size = entry.size();
            return read_v2(entry, size, origin).map_err(|e| failed(&e));
        }
        let index_name = format!("{}bundlx", name.strip_suffix("bundle").unwrap_or(name));
        let mut index = Vec::new();
        let entry = archive.by_name(&index_name).map_err(|e| failed(&e))?;
        entry.take(LARGEST_INDEX).read_to_end(&mut index).map_err(|e| failed(&e))?;
        let size = archive.by_name(name).map_err(|e| failed(&e))?.size();
        let bundle = self.open_bundle(name).map_err(|e| failed(&e))?;
        read_v1(index.as_slice(), bundle, size, origin).map_err(|e| failed(&e))
    }
}
