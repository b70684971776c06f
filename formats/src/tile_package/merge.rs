//! Joins tile packages of one service into one: the parts of an area on both sides of the dateline.
//!
//! A tile that is in several parts, as those of the first levels are, is taken once. Source: tile reference §12 to §14.

use super::documents::{ITEM_JSON, ITEM_XML, join_item_xml, join_json};
use super::kind::TilePackageKind;
use super::package_archive::{PackageArchive, bundle_place, is_bundle};
use super::tilemap::TILEMAP;
use crate::archive::{ArchiveFile, stored};
use crate::compact_cache::BundleSink;
use crate::sinks::TileId;
use offmap_disk::atomic_file;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;
use zip::ZipWriter;

/// Largest text entry that is edited, in bytes.
const LARGEST_TEXT: u64 = 1 << 20;

/// Joins the packages of `parts` as `to`, which appears when it is complete. Blocks until it is done or cancelled; holds one tile at a
/// time.
///
/// # Errors
/// If a part is damaged, is of the older kind that has no Compact Cache V2, `to` cannot be written, or it was cancelled.
pub fn merge(parts: &[PathBuf], to: &Path, cancel: &CancellationToken) -> Result<(), Failure> {
    let token = cancel.clone();
    merge_until(parts, to, move || token.is_cancelled())
}

fn merge_until(parts: &[PathBuf], to: &Path, stop: impl Stop) -> Result<(), Failure> {
    let failed = |e: &io::Error| Failure::io(FailureStage::Check, format!("cannot write {}", to.display()), e);
    let joined = atomic_file::write(to, failed, |file| join(parts, file, to, &stop));
    joined.map_err(|failure| if stop() { Failure::cancelled() } else { failure })
}

/// Asks whether nobody wants the package any more.
trait Stop: Fn() -> bool + Clone + Send + 'static {}
impl<T: Fn() -> bool + Clone + Send + 'static> Stop for T {}

/// The archive that is written; a cancel ends it in the middle of an entry.
type Joined<'a> = ZipWriter<ArchiveFile<BufWriter<&'a mut File>>>;

fn cannot_write(what: impl Display, error: &dyn Display) -> Failure {
    let message = format!("cannot {what}: {error}");
    Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Check, message)
}

fn join(parts: &[PathBuf], file: &mut File, to: &Path, stop: &impl Stop) -> Result<(), Failure> {
    let failed = |e: &dyn Display| cannot_write(format!("write {}", to.display()), e);
    let mut parts: Vec<PackageArchive> = parts.iter().map(|path| PackageArchive::open(path)).collect::<Result<_, _>>()?;
    let mut seen = HashSet::new();
    let names = parts.iter().flat_map(|part| part.names().iter().cloned()).filter(|name| seen.insert(name.clone()));
    let names: Vec<String> = names.collect();
    let roots = [TilePackageKind::Tpkx, TilePackageKind::Vtpk].into_iter().filter_map(TilePackageKind::root);
    let Some(root) = roots.into_iter().find(|root| seen.contains(*root)) else {
        let message = "the service sent packages of the older kind (.tpk), which cannot be joined across the dateline; \
                       take the two sides as two areas";
        return Err(Failure::new(FailureOwner::Source, FailureKind::NotSupported, FailureStage::Check, message));
    };
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut zip = ZipWriter::new(ArchiveFile::new(BufWriter::new(file)).until(stop.clone()));
    for name in names.iter().filter(|name| !name.ends_with('/')) {
        let holders: Vec<usize> = (0..parts.len()).filter(|i| parts[*i].has(name)).collect();
        let many = holders.len() > 1;
        if many && is_bundle(name) {
            join_bundle(&mut parts, &holders, name, &mut zip, (dir, stop))?;
        } else if many && [root, TILEMAP, ITEM_JSON, ITEM_XML].contains(&name.as_str()) {
            let bytes = join_document(&mut parts, &holders, name)?;
            zip.start_file(name.as_str(), stored(bytes.len() as u64)).map_err(|e| failed(&e))?;
            zip.write_all(&bytes).map_err(|e| failed(&e))?;
        } else if let Some(part) = holders.first().and_then(|i| parts.get_mut(*i)) {
            zip.raw_copy_file(part.entry(name)?).map_err(|e| failed(&e))?;
        }
    }
    zip.finish().map_err(|e| failed(&e))?.into_inner().into_inner().map_err(|e| failed(&e.into_error()))?;
    Ok(())
}

/// One bundle of all tiles that the parts' bundles of that name hold.
fn join_bundle(
    parts: &mut [PackageArchive],
    holders: &[usize],
    name: &str,
    zip: &mut Joined<'_>,
    (dir, stop): (&Path, &impl Stop),
) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    // By part and place of its bytes: which tiles have them. Tiles that share their bytes are read once.
    let mut blobs: BTreeMap<(usize, u64, u64), Vec<TileId>> = BTreeMap::new();
    let mut first = TileId { level: 0, row: 0, column: 0 };
    for i in holders {
        let Some(part) = parts.get_mut(*i) else { continue };
        let place = bundle_place(name);
        let place = place.ok_or_else(|| part.corrupt(format!("bundle `{name}` has no level or position in its name")))?;
        first = TileId { level: place.level, row: place.origin.0, column: place.origin.1 };
        let found = part.bundle_tiles(name, place.origin, TilePackageKind::Tpkx);
        for tile in found.map_err(|what| part.corrupt(what))? {
            let id = TileId { row: tile.row, column: tile.column, ..first };
            if seen.insert(id) {
                blobs.entry((*i, tile.offset, tile.size)).or_default().push(id);
            }
        }
    }
    let mut sink = BundleSink::new(zip, name, first, dir)?;
    let mut bytes = Vec::new();
    for ((i, offset, size), places) in &blobs {
        if stop() {
            return Err(Failure::cancelled());
        }
        let Some(part) = parts.get_mut(*i) else { continue };
        read_tile(part, name, (*offset, *size), &mut bytes).map_err(|what| part.corrupt(format!("{name}: {what}")))?;
        sink.put(places, &bytes)?;
    }
    sink.finish()
}

/// Reads the bytes of a tile.
fn read_tile(part: &mut PackageArchive, name: &str, (offset, size): (u64, u64), bytes: &mut Vec<u8>) -> Result<(), String> {
    let mut bundle = part.stored_bundle(name).map_err(|e| e.to_string())?;
    bytes.clear();
    let read = bundle.seek(SeekFrom::Start(offset)).and_then(|_| bundle.take(size).read_to_end(bytes));
    match read {
        Ok(n) if n as u64 == size => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn join_document(parts: &mut [PackageArchive], holders: &[usize], name: &str) -> Result<Vec<u8>, Failure> {
    let mut holding = parts.iter_mut().enumerate().filter(|(i, _)| holders.contains(i)).map(|(_, part)| part);
    if name != ITEM_XML {
        let documents = holding.map(|part| part.read_json(name)).collect::<Result<_, _>>()?;
        return Ok(join_json(name, documents));
    }
    let texts = holding.try_fold(Vec::new(), |mut texts, part| {
        let mut text = String::new();
        let read = part.entry(name)?.take(LARGEST_TEXT).read_to_string(&mut text);
        read.map_err(|e| part.corrupt(format!("{name}: {e}")))?;
        texts.push(text);
        Ok::<_, Failure>(texts)
    })?;
    Ok(join_item_xml(texts).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact_cache::v2_head;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A package of one bundle.
    fn package(path: &Path, bundle: &[u8]) {
        let mut zip = ZipWriter::new(File::create(path).expect("creates"));
        for (name, bytes) in [("root.json", b"{}".as_slice()), ("tile/L00/R0000C0000.bundle", bundle)] {
            zip.start_file(name, stored(bytes.len() as u64)).and_then(|()| Ok(zip.write_all(bytes)?)).expect("writes");
        }
        zip.finish().expect("finishes");
    }

    #[test]
    fn packages_that_cannot_be_joined_leave_nothing_under_the_final_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let (to, parts) = (dir.path().join("package"), [dir.path().join("package.part1"), dir.path().join("package.part2")]);
        let bundle = v2_head(&[]);
        package(&parts[0], &bundle);
        package(&parts[1], b"no bundle");
        let failure = merge(&parts, &to, &CancellationToken::new()).expect_err("the second is damaged");
        assert!(failure.message.contains("package.part2"), "{failure}");
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).expect("lists").map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["package.part1", "package.part2"], "what a later step trusts is not there by half");
        package(&parts[1], &bundle);
        merge(&parts, &to, &CancellationToken::new()).expect("joins");
        assert!(to.is_file());
    }

    /// A package of one bundle with eight tiles in a row that fill a megabyte.
    fn large_package(path: &Path, row: u64) {
        let tiles: Vec<(u64, u64, u64)> = (0..8).map(|column| (row, column, 1 << 17)).collect();
        let mut bundle = v2_head(&tiles);
        for (n, (_, _, size)) in (7..).zip(&tiles) {
            bundle.extend(u32::try_from(*size).expect("small").to_le_bytes());
            bundle.resize(bundle.len() + usize::try_from(*size).expect("small"), n);
        }
        package(path, &bundle);
    }

    #[test]
    fn a_cancel_ends_the_joining_wherever_it_comes_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (to, parts) = (dir.path().join("package"), [dir.path().join("package.part1"), dir.path().join("package.part2")]);
        large_package(&parts[0], 0);
        // Its tiles are joined one by one; without a bundle, the other's is copied in one go.
        for has_bundle in [true, false] {
            if has_bundle {
                large_package(&parts[1], 5);
            } else {
                let mut zip = ZipWriter::new(File::create(&parts[1]).expect("creates"));
                zip.start_file("root.json", stored(2)).and_then(|()| Ok(zip.write_all(b"{}")?)).expect("writes");
                zip.finish().expect("finishes");
            }
            let asked = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&asked);
            merge_until(&parts, &to, move || counter.fetch_add(1, Ordering::Relaxed) == usize::MAX).expect("joins");
            std::fs::remove_file(&to).expect("removes");
            let times = asked.load(Ordering::Relaxed);
            assert!(times > 20, "asked often enough in a megabyte: {times}");
            for at in 0..times {
                let asked = Arc::new(AtomicUsize::new(0));
                let counter = Arc::clone(&asked);
                let failure = merge_until(&parts, &to, move || counter.fetch_add(1, Ordering::Relaxed) >= at);
                assert!(failure.expect_err("it is cancelled").is_cancelled(), "{at}");
                let after = asked.load(Ordering::Relaxed) - at;
                assert!(after <= 3, "it goes on for {after} steps after a cancel at {at}");
                assert!(!to.exists() && !atomic_file::beside(&to).exists(), "the parts stay and nothing else");
            }
        }
    }
}
