//! The files of a tile cache: in the archive of a package, or in a directory.

use super::kind::TilePackageKind;
use super::package_archive::{PackageArchive, ReadSeek};
use crate::compact_cache::{TileRecord, read_v1, read_v2};
use crate::tile_reader::{damaged, unreadable};
use offmap_disk::folder::Folder;
use offmap_model::Failure;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use zip::CompressionMethod;

/// Bytes of the index of a version 1 bundle that are read.
const LARGEST_INDEX: u64 = 1 << 20;

/// The files of a cache, by their names with forward slashes.
pub(super) enum CacheFiles {
    Archive(PackageArchive),
    Folder { path: PathBuf, folder: Folder, names: Vec<String> },
}

impl CacheFiles {
    /// Opens a package, or a directory that is laid out like one.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if !std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.is_dir() {
            return Ok(Self::Archive(PackageArchive::open(path)?));
        }
        let folder = Folder::open(path).map_err(|e| unreadable(path, &e))?;
        let listing = folder.list().map_err(|e| unreadable(path, &e))?;
        let names = listing.files.into_iter().map(|(name, _)| name).collect();
        Ok(Self::Folder { path: path.to_owned(), folder, names })
    }

    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Archive(archive) => archive.names(),
            Self::Folder { names, .. } => names,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Archive(archive) => archive.has(name),
            Self::Folder { names, .. } => names.binary_search_by(|n| n.as_str().cmp(name)).is_ok(),
        }
    }

    /// What kind it is, by its description. Checks as well that the entries of an archive are packed as readers want them.
    pub(super) fn kind(&mut self) -> Result<TilePackageKind, Failure> {
        if let Self::Archive(archive) = self {
            return archive.kind();
        }
        let by_root = [TilePackageKind::Vtpk, TilePackageKind::Tpkx].into_iter();
        let kind = by_root.into_iter().find(|kind| kind.root().is_some_and(|root| self.has(root)));
        let kind = kind.or_else(|| self.names().iter().any(|name| is_conf(name)).then_some(TilePackageKind::Tpk));
        kind.ok_or_else(|| self.damaged("neither root.json nor conf.xml is in it, so it is no tile cache"))
    }

    pub(super) fn damaged(&self, what: impl std::fmt::Display) -> Failure {
        match self {
            Self::Archive(archive) => archive.corrupt(what),
            Self::Folder { path, .. } => damaged(path, what),
        }
    }

    /// A file of at most `most` bytes.
    pub(super) fn document(&mut self, name: &str, most: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = match self {
            Self::Archive(archive) => archive.entry(name)?.take(most + 1).read_to_end(&mut bytes),
            Self::Folder { folder, .. } => folder.file(name).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)),
        };
        match read {
            Ok(read) if read as u64 <= most => Ok(bytes),
            Ok(_) => Err(self.damaged(format!("{name} has more than {most} bytes, expected at most that"))),
            Err(error) => Err(self.damaged(format!("{name}: {error}"))),
        }
    }

    /// A bundle, to be read at any place: one that is compressed is inflated into a file without a name first, of which its entry
    /// states the size, and that was checked.
    pub(super) fn bundle(&mut self, name: &str) -> Result<(Box<dyn ReadSeek + '_>, u64), Failure> {
        let is_stored = match self {
            Self::Archive(archive) => archive.entry(name)?.compression() == CompressionMethod::Stored,
            Self::Folder { .. } => true,
        };
        if !is_stored {
            return self.inflated(name).map(|(file, size)| (Box::new(BufReader::new(file)) as Box<dyn ReadSeek>, size));
        }
        match self {
            Self::Archive(archive) => {
                let size = archive.entry(name)?.size();
                let failed = archive.corrupt(format!("{name} cannot be opened"));
                Ok((archive.open_bundle(name).map_err(|_| failed)?, size))
            }
            Self::Folder { path, folder, .. } => {
                let file = folder.file(name).map_err(|e| unreadable(&path.join(name), &e))?;
                let size = file.metadata().map_err(|e| unreadable(&path.join(name), &e))?.len();
                Ok((Box::new(BufReader::new(file)), size))
            }
        }
    }

    fn inflated(&mut self, name: &str) -> Result<(File, u64), Failure> {
        let Self::Archive(archive) = self else { return Err(self.damaged(format!("{name} is not compressed"))) };
        let mut entry = archive.entry(name)?;
        let size = entry.size();
        let copied = tempfile::tempfile().and_then(|mut file| {
            let copied = io::copy(&mut entry.by_ref().take(size + 1), &mut file)?;
            file.seek(SeekFrom::Start(0))?;
            Ok((file, copied))
        });
        drop(entry);
        match copied {
            Ok((file, copied)) if copied == size => Ok((file, size)),
            Ok(_) => Err(self.damaged(format!("{name} is not inflated to the {size} bytes that it states"))),
            Err(error) => Err(self.damaged(format!("{name}: {error}"))),
        }
    }

    /// The tiles of a bundle: by its index file where it has one, else by the index in it.
    pub(super) fn records(
        &mut self,
        name: &str,
        origin: (u64, u64),
    ) -> Result<(Vec<TileRecord>, Box<dyn ReadSeek + '_>), Failure> {
        let index_name = format!("{}bundlx", name.strip_suffix("bundle").unwrap_or(name));
        let index = match self.has(&index_name) {
            true => Some(self.document(&index_name, LARGEST_INDEX)?),
            false => None,
        };
        let path = self.damaged("").message;
        let (mut bundle, size) = self.bundle(name)?;
        let records = match index {
            Some(index) => read_v1(index.as_slice(), &mut bundle, size, origin),
            None => read_v2(&mut bundle, size, origin),
        };
        let failed = |e: io::Error| {
            let mut failure = damaged(Path::new(name), &e);
            failure.message = format!("{path}{name}: {e}");
            failure
        };
        Ok((records.map_err(failed)?, bundle))
    }
}

/// Whether a file describes an old cache.
pub(super) fn is_conf(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case("conf.xml"))
}
